# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 12: Compression
#
# A trained network is usually larger than it needs to be. It was made large because large networks are
# easier to *train*; the function that it has learned can often be written with far fewer bits. That matters
# wherever the network has to be stored, sent, or run on a small device: reading a weight from memory costs
# far more time and energy than multiplying with it (Han, Mao & Dally, *Deep Compression*, ICLR 2016).
#
# Four ways to make a network smaller, from the gentlest intervention to the most radical:
#
# | method | what changes | typical size |
# |---|---|---|
# | quantisation | 8 bits per weight instead of 32 | 1/4 |
# | magnitude pruning | small weights become 0 | 1/2 to 1/10, with a sparse format |
# | structured pruning | whole neurons disappear | whatever you dare |
# | distillation | a small network learns from the large one | whatever you choose |
#
# They combine: at the end of this module a pruned *and* quantised network takes a fifth of the bytes.
#
# Two rules of honesty run through the module. **Bytes are counted as they would lie on disk**, with every
# scale and index that decoding needs. And **a smaller size is worth nothing without the error beside it**, so
# the report at the end always gives both.

# %%
#| default_exp core.compression

# %%
#| export
import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinytorch.core.layers import Layer
from tinytorch.core.layers import Linear
from tinytorch.core.layers import Parameter
from tinytorch.core.tensor import Tensor

_Array = npt.NDArray[Any]
_Mask = npt.NDArray[np.bool_]

# %% [markdown]
# ## 1. What does a zero cost?
#
# Setting a weight to zero saves nothing by itself: a `float32` zero takes four bytes like any other number.
# It saves only if we change the *format*, and every sparse format has to say *where* the numbers are that it
# does keep. Let $n$ be the number of elements, $k$ of them not zero, $b$ the bytes per element:
#
# | format | holds | bytes |
# |---|---|---|
# | dense | every element | $n b$ |
# | bitmask | one bit per place, then the nonzero values | $\lceil n/8 \rceil + k b$ |
# | CSR | per value its column; per row where it begins | $4(r + 1) + k (b + c)$ |
#
# CSR is "compressed sparse row" (Saad, *Iterative Methods for Sparse Linear Systems*, 2nd ed. 2003, section
# 3.4), with $r$ rows and $c$ bytes per column index: 1 up to 256 columns, 2 up to 65536, else 4.
#
# Where is the break-even? The bitmask beats dense if $n/8 + kb < nb$, that is if the density $k/n$ is below
# $1 - \frac{1}{8b}$: below 97% for `float32`, below 88% for `int8`. It beats CSR as long as indices cost more
# than mask bits, $k c > n / 8$: with one-byte indices, down to a density of one in eight. Networks are rarely
# pruned that far, so the humble bitmask usually wins.
#
# A worked example, a `(64, 32)` weight of `float32` with half of it pruned:
#
#     n = 2048, k = 1024, b = 4
#     dense     2048 * 4                      = 8192
#     bitmask   2048 / 8 + 1024 * 4           = 4352      the best
#     CSR       4 * 65 + 1024 * (4 + 1)       = 5380
#
# So that the count is no mere claim, `pack_sparse` really builds the bitmask format, and `unpack` reads it.


# %%
#| export
def storage_bytes(shape: Sequence[int], nonzeros: int, itemsize: int) -> dict[str, int]:
    """Return how many bytes an array takes in three formats (CSR: Saad, 2003, section 3.4).

    Args:
        shape: Shape of the array; for CSR the last axis counts as columns, all others together as rows.
        nonzeros: Number of elements that are not zero.
        itemsize: Bytes per element.

    Returns:
        Bytes by the name of the format: "dense", "bitmask" and "csr". The shape itself is not counted.

    Raises:
        ValueError: If there cannot be so many nonzero elements, or `itemsize` is below 1.
        TypeError: If something is not an int.
    """
    lengths = shape if isinstance(shape, Sequence) else (None,)
    if not all(isinstance(number, (int, np.integer)) for number in (*lengths, nonzeros, itemsize)):
        raise TypeError(
            f"storage_bytes expects ints and a shape of ints, found {shape!r}, {nonzeros!r} and {itemsize!r}"
        )
    count = math.prod(shape)
    if not 0 <= nonzeros <= count or itemsize < 1:
        raise ValueError(
            f"shape {tuple(shape)} holds 0 to {count} nonzeros of at least 1 byte, "
            f"found {nonzeros} of {itemsize} bytes"
        )
    columns = shape[-1] if shape else 1
    index = 1 if columns <= 256 else 2 if columns <= 65536 else 4
    rows = count // columns if columns else 0
    return {
        "dense": count * itemsize,
        "bitmask": -(-count // 8) + nonzeros * itemsize,
        "csr": 4 * (rows + 1) + nonzeros * (itemsize + index),
    }


@dataclass(frozen=True)
class PackedArray:
    """An array in bitmask format.

    Attributes:
        shape: Shape of the array.
        bits: One bit for every element in C order, set where it is not zero; uint8.
        values: The elements that are not zero, in the same order.
    """

    shape: tuple[int, ...]
    bits: npt.NDArray[np.uint8]
    values: _Array

    @property
    def nbytes(self) -> int:
        """Bytes of bits and values together."""
        return self.bits.nbytes + self.values.nbytes

    def unpack(self) -> _Array:
        """Return the array."""
        count = math.prod(self.shape)
        array = np.zeros(count, self.values.dtype)
        array[np.unpackbits(self.bits, count=count).astype(bool)] = self.values
        return array.reshape(self.shape)


def pack_sparse(array: _Array) -> PackedArray:
    """Return an array in bitmask format; worth it if more than a few of its elements are zero.

    Raises:
        TypeError: If `array` is not a NumPy array.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"pack_sparse expects a NumPy array, found {type(array).__name__}")
    mask = array != 0
    return PackedArray(array.shape, np.packbits(mask), array[mask])


# %%
half_empty = np.arange(2048, dtype=np.float32).reshape(64, 32)
half_empty[:, ::2] = 0.0
packed = pack_sparse(half_empty)
assert storage_bytes((64, 32), 1024, 4) == {"dense": 8192, "bitmask": 4352, "csr": 5380}
assert packed.nbytes == 4352
assert (packed.unpack() == half_empty).all()

# %% [markdown]
# ## 2. Magnitude pruning
#
# Which weights can go? To second order, removing weight $w$ changes the loss by $\frac12 h w^2$, with $h$ the
# curvature of the loss along that weight (LeCun, Denker & Solla, *Optimal Brain Damage*, NIPS 1989). If one
# knows nothing about $h$ and takes it as equal everywhere, what is left is: **the smallest $|w|$ first**
# (Han, Pool, Tran & Dally, *Learning both Weights and Connections*, NIPS 2015). Crude, and hard to beat.
#
# The *sparsity* is the share of zeros. To reach it there are two scopes:
#
# - **layer**: the same sparsity in every weight. Safe; no layer can be cut through.
# - **global**: one threshold for all weights together. It takes more from the layers that have weights to
#   spare, and is usually better. But at high sparsity it may empty a layer whose weights are all small, and
#   then the network's output is constant. Look at the sparsity of each layer afterwards.
#
#     first  [ 5, -4,  3, -2]       sparsity 1/2, layer:   [5, -4, 0, 0]  and  [0, 0, 1, -2.5]
#     second [.1, .2,  1, -2.5]                  global:   [5, -4, 3, 0]  and  [0, 0, 0, -2.5]
#
# Only weights (two axes and more) are pruned. Biases and normalisation gains are few, and each of them
# matters.
#
# A **mask** is a boolean array that is True where a weight stays. We keep masks apart from the weights for a
# reason: after pruning one trains on for a while (*fine-tuning*), and an optimizer knows nothing of masks. A
# zero weight has a gradient like any other, and after one step it is no longer zero. So the loop is
#
# ```text
#   masks = magnitude_masks(model, 0.8)
#   apply_masks(model, masks)
#   for batch in loader:
#       ...loss.backward(), optimizer.step()...
#       apply_masks(model, masks)              # put the zeros back
# ```
#
# Pruning slowly, with training in between, does far less damage than one cut. Zhu & Gupta (*To prune, or not
# to prune*, 2017) raise the sparsity from $s_0$ to $s_n$ by a cubic curve, fast while there is much to spare
# and slowly towards the end:
#
# $$s_t = s_n + (s_0 - s_n)\left(1 - \frac{t}{n}\right)^3 .$$


# %%
#| export
def _check_number(name: str, value: object) -> None:
    """Raise a TypeError unless `value` is a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, found {value!r}")


def _check_layer(name: str, layer: object) -> None:
    if not isinstance(layer, Layer):
        raise TypeError(f"{name} expects a Layer, found {type(layer).__name__}")


def magnitude_masks(
    layer: Layer,
    sparsity: float,
    scope: Literal["global", "layer"] = "global",
    names: Collection[str] | None = None,
) -> dict[str, _Mask]:
    """Choose the weights of smallest magnitude for pruning (Han, Pool, Tran & Dally, 2015).

    Args:
        layer: The network. It is not changed.
        sparsity: Share of the weights to remove, at least 0 and below 1. It is met exactly, rounded to
            whole weights; among equal magnitudes the earlier one goes first.
        scope: "global" for one ranking of all weights, "layer" for the same sparsity in each.
        names: Names of the parameters to prune; None for all with at least two axes.

    Returns:
        For every chosen parameter a boolean array of its shape, True where a weight stays.

    Raises:
        ValueError: If the sparsity, scope or a name does not make sense, there is nothing to prune, or a
            weight is NaN.
        TypeError: If `layer` is no Layer, `sparsity` no number, or `names` no collection.
    """
    _check_layer("magnitude_masks", layer)
    _check_number("sparsity", sparsity)
    if not 0.0 <= sparsity < 1.0:
        raise ValueError(f"sparsity must be at least 0 and below 1, found {sparsity}")
    if scope not in ("global", "layer"):
        raise ValueError(f"scope must be 'global' or 'layer', found {scope!r}")
    magnitudes = {name: np.abs(parameter.data) for name, parameter in _chosen(layer, names).items()}
    for name, magnitude in magnitudes.items():
        if np.isnan(magnitude).any():
            raise ValueError(f"weights cannot be ranked: {name} holds NaN")
    if scope == "layer":
        return {name: _keep_largest(m.ravel(), sparsity).reshape(m.shape) for name, m in magnitudes.items()}
    kept = _keep_largest(np.concatenate([m.ravel() for m in magnitudes.values()]), sparsity)
    ends = np.cumsum([m.size for m in magnitudes.values()])
    pieces = np.split(kept, ends[:-1])
    return {name: piece.reshape(m.shape) for (name, m), piece in zip(magnitudes.items(), pieces, strict=True)}


def _chosen(layer: Layer, names: Collection[str] | None) -> dict[str, Parameter]:
    """Return the parameters to prune, by name."""
    parameters = dict(layer.named_parameters())
    if names is None:
        chosen = {name: parameter for name, parameter in parameters.items() if parameter.ndim >= 2}
    else:
        if isinstance(names, str) or not isinstance(names, Collection):
            raise TypeError(f"names is a collection of parameters' names, found {names!r}")
        unknown = sorted(set(names) - parameters.keys())
        if unknown:
            raise ValueError(f"no parameters named {unknown}: the layer has {list(parameters)}")
        chosen = {name: parameters[name] for name in parameters if name in set(names)}
    if not chosen:
        raise ValueError(f"there is nothing to prune among the parameters {list(parameters)}")
    return chosen


def _keep_largest(magnitudes: _Array, sparsity: float) -> _Mask:
    """Return a mask that is False for the smallest magnitudes; one axis."""
    removed = round(sparsity * magnitudes.size)
    mask = np.ones(magnitudes.size, np.bool_)
    mask[np.argsort(magnitudes, kind="stable")[:removed]] = False
    return mask


def apply_masks(layer: Layer, masks: Mapping[str, _Mask]) -> None:
    """Set the masked weights to zero; to be called again after every optimizer step.

    Args:
        layer: The network, which is changed.
        masks: Boolean arrays by parameter name, True where a weight stays.

    Raises:
        ValueError: If a name is unknown or a shape differs. Nothing is changed then.
        TypeError: If a mask is not made of booleans, or an argument is of another kind.
    """
    _check_layer("apply_masks", layer)
    if not isinstance(masks, Mapping):
        raise TypeError(f"masks is a mapping from names to arrays, found {type(masks).__name__}")
    parameters = dict(layer.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"no parameter named {name!r}: the layer has {list(parameters)}")
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"mask {name!r} must be an array of booleans, found {mask!r}")
        if mask.shape != parameters[name].shape:
            raise ValueError(f"mask {name!r} must have shape {parameters[name].shape}, found {mask.shape}")
    for name, mask in masks.items():
        values = parameters[name].data
        parameters[name].data = np.where(mask, values, values.dtype.type(0))


def measured_sparsity(layer: Layer) -> dict[str, float]:
    """Return the share of zeros in every parameter, by name."""
    _check_layer("measured_sparsity", layer)
    return {name: float(np.mean(parameter.data == 0)) for name, parameter in layer.named_parameters()}


def sparsity_schedule(step: int, steps: int, final: float, initial: float = 0.0) -> float:
    """Return the sparsity at a step of gradual pruning (Zhu & Gupta, 2017, eq. 1).

    Args:
        step: Number of this step, from 0. After `steps` the sparsity stays at `final`.
        steps: Number of steps from `initial` to `final`, at least 1.
        final: Sparsity at the end.
        initial: Sparsity at the beginning.

    Raises:
        ValueError: If a number is out of range.
        TypeError: If something is not a number.
    """
    for name, value in (("step", step), ("steps", steps), ("final", final), ("initial", initial)):
        _check_number(name, value)
    if not (steps >= 1 and step >= 0):
        raise ValueError(f"step must be at least 0 and steps at least 1, found {step} and {steps}")
    if not 0.0 <= initial <= final < 1.0:
        raise ValueError(f"0 <= initial <= final < 1 is expected, found {initial} and {final}")
    return final + (initial - final) * (1.0 - min(step / steps, 1.0)) ** 3


# %%
class Net(Layer):
    """Two linear maps with a bend between them."""

    def __init__(self, inputs, hidden, outputs, rng=0):
        generator = np.random.default_rng(rng)
        self.first = Linear(inputs, hidden, rng=generator)
        self.second = Linear(hidden, outputs, rng=generator)

    def forward(self, x):
        return self.second(self.first(x).maximum(0.0))


tiny = Net(2, 2, 2)
tiny.first.weight.data = np.array([[5.0, -4.0], [3.0, -2.0]])
tiny.second.weight.data = np.array([[0.1, 0.2], [1.0, -2.5]])
masks = magnitude_masks(tiny, 0.5)
assert masks["first.weight"].tolist() == [[True, True], [True, False]]
assert masks["second.weight"].tolist() == [[False, False], [False, True]]
masks = magnitude_masks(tiny, 0.5, scope="layer")
assert masks["first.weight"].tolist() == [[True, True], [False, False]]
assert masks["second.weight"].tolist() == [[False, False], [True, True]]
apply_masks(tiny, masks)
assert tiny.first.weight.tolist() == [[5.0, -4.0], [0.0, 0.0]]
assert [round(sparsity_schedule(t, 4, 0.8), 4) for t in range(5)] == [0.0, 0.4625, 0.7, 0.7875, 0.8]

# %% [markdown]
# ## 3. Structured pruning
#
# Scattered zeros save bytes but hardly time: to skip single elements, a program must look up where they are,
# and that costs more than the multiplications it saves (module 13 measures such things). To save time the
# matrices themselves must become smaller. So remove whole **neurons**.
#
# Neuron $j$ of a hidden layer is a column of the matrix in front and a row of the one behind:
#
#     x (..., 4) -> W1 (4, 3) -> activation -> W2 (3, 2)
#
#     W1 = [a a a     remove      W1 = [a a        W2 = [c c      remove      W2 = [c c
#           a a a    neuron 1           a a              c c     neuron 1           c c]
#           a a a                       a a              c c]
#           a a a]                      a a]
#
# Both must be cut at once. The result is an ordinary, smaller network, without masks or special formats.
#
# Which neurons? Those whose incoming weights have the smallest norm: they hardly react to anything (Li,
# Kadav, Durdanovic, Samet & Graf, *Pruning Filters for Efficient ConvNets*, ICLR 2017, do this with the
# $L_1$ norm for convolutions). One could also look at the weights going out, or at the activations themselves
# (exercise 3).
#
# Common mistake: to leave the bias out of account. A neuron with zero weights and a large bias gives a
# constant; removing it shifts the next layer. We count the bias as one more incoming weight.


# %%
#| export
def prune_neurons(
    first: Linear, second: Linear, keep: int, order: Literal[1, 2] = 2
) -> tuple[Linear, Linear, npt.NDArray[np.int64]]:
    """Remove the weakest neurons between two linear layers (after Li et al., ICLR 2017).

    Args:
        first: The layer whose outputs are the neurons. Between it and `second` there may be any activation
            that treats each element by itself.
        second: The layer that takes them.
        keep: How many neurons to keep, at least 1.
        order: Rank neurons by the sum of absolute values (1) or the Euclidean norm (2) of their incoming
            weights and bias.

    Returns:
        Two new, smaller layers (the given ones are not changed), and the indices of the kept neurons in
        ascending order.

    Raises:
        TypeError: If a layer is not Linear, or `keep` no int.
        ValueError: If the layers do not fit each other, `keep` or `order` is out of range, or a weight is
            NaN.
    """
    for layer in (first, second):
        if not isinstance(layer, Linear):
            raise TypeError(f"prune_neurons expects two Linear layers, found {type(layer).__name__}")
    count = first.out_features
    if second.in_features != count:
        raise ValueError(f"the layers do not fit: {count} outputs and {second.in_features} inputs")
    if isinstance(keep, bool) or not isinstance(keep, (int, np.integer)):
        raise TypeError(f"keep is an int, found {keep!r}")
    if not 1 <= keep <= count:
        raise ValueError(f"keep must be from 1 to {count}, found {keep}")
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, found {order!r}")
    incoming = first.weight.data
    if first.bias is not None:
        incoming = np.vstack([incoming, first.bias.data])
    if np.isnan(incoming).any():
        raise ValueError("neurons cannot be ranked: the first layer holds NaN")
    strength = np.linalg.norm(incoming, ord=order, axis=0)
    strongest = np.argsort(-strength, kind="stable")[:keep]
    kept = np.sort(strongest).astype(np.int64)
    front = _linear_from(first.weight.data[:, kept], None if first.bias is None else first.bias.data[kept])
    behind = _linear_from(second.weight.data[kept], None if second.bias is None else second.bias.data)
    return front, behind, kept


def _linear_from(weight: _Array, bias: _Array | None) -> Linear:
    """Make a linear layer with given weight, shape (inputs, outputs), and bias."""
    inputs, outputs = weight.shape
    layer = Linear(inputs, outputs, bias=bias is not None, rng=0, dtype=weight.dtype)
    layer.weight.data = weight.copy()
    if layer.bias is not None and bias is not None:
        layer.bias.data = bias.copy()
    return layer


# %%
net = Net(4, 6, 2)
net.first.weight.data[:, [1, 4]] = 0.0  # two dead neurons
smaller_first, smaller_second, kept = prune_neurons(net.first, net.second, keep=4)
assert kept.tolist() == [0, 2, 3, 5]
assert (smaller_first.weight.shape, smaller_second.weight.shape) == ((4, 4), (4, 2))
x = Tensor(np.random.default_rng(1).normal(size=(5, 4)), dtype=np.float32)
same = smaller_second(smaller_first(x).maximum(0.0))
assert np.allclose(same.numpy(), net(x).numpy(), atol=1e-6)  # dead neurons are not missed

# %% [markdown]
# ## 4. Quantisation
#
# An 8-bit integer has 256 values. We spread them evenly over the range of the weights and round each weight
# to the nearest (Jacob et al., *Quantization and Training of Neural Networks for Efficient
# Integer-Arithmetic-Only Inference*, CVPR 2018, eq. 1):
#
# $$r \approx s\,(q - z), \qquad q = \operatorname{clip}\left(\operatorname{round}(r / s) + z\right),$$
#
# with a *scale* $s$ and a *zero point* $z$, the integer that stands for 0. Two schemes:
#
# | scheme | scale | zero point | $q$ from | good for |
# |---|---|---|---|---|
# | symmetric | $\max \lvert r \rvert / 127$ | 0 | -127 to 127 | weights |
# | affine | $(\max r - \min r) / 255$ | $-128 - \operatorname{round}(\min r / s)$ | -128 to 127 | one side |
#
# Affine uses the whole range for lopsided data: outputs of a ReLU would leave half of the symmetric integers
# idle. For it, the range is first extended to contain 0.
#
# In both schemes **zero is represented exactly**. That is more than tidiness: pruned weights stay exactly
# zero, and so does the padding of an image.
#
# How large is the error? Rounding is off by at most half a step, $|r - \hat r| \le s / 2$. If it is spread
# evenly in between, its root mean square is $s / \sqrt{12}$.
#
#     r = [0.4, -1.27, 0.003]    s = 1.27 / 127 = 0.01    q = [40, -127, 0]    back: [0.4, -1.27, 0.0]
#
# **Per tensor or per channel?** The scale is set by the largest weight, so a single outlier makes all steps
# coarse. Giving each output channel its own scale confines the damage to one channel, for four bytes each
# (Krishnamoorthi, *Quantizing deep convolutional networks for efficient inference*, 2018, section 3). A
# channel is a *column* of our linear weights `(in, out)`, and the first axis of convolution kernels
# `(out, in, rows, columns)`.


# %%
#| export
_Scheme = Literal["symmetric", "affine"]
_SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
_LARGEST_VALUE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class QuantizedArray:
    """Numbers as 8-bit integers: scale * (values - zero_point) (Jacob et al., CVPR 2018, eq. 1).

    Attributes:
        values: The integers, int8.
        scale: float32, one number of shape () or one per channel, with length 1 on the other axes.
        zero_point: int8 of the same shape, or None if it is 0 everywhere (symmetric scheme).
    """

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int8] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the numbers."""
        return self.values.shape

    @property
    def nbytes(self) -> int:
        """Bytes of all that decoding needs, in the cheapest of the formats of `storage_bytes`."""
        zero = np.int8(0) if self.zero_point is None else self.zero_point
        formats = storage_bytes(self.shape, int(np.count_nonzero(self.values != zero)), 1)
        extra = 0 if self.zero_point is None else self.zero_point.nbytes
        return min(formats.values()) + self.scale.nbytes + extra

    def dequantize(self) -> npt.NDArray[np.float32]:
        """Return the numbers as float32."""
        steps = self.values.astype(np.float32)
        if self.zero_point is not None:
            steps -= self.zero_point
        return np.asarray(steps * self.scale, np.float32)


def quantize(array: _Array, scheme: _Scheme = "symmetric", axis: int | None = None) -> QuantizedArray:
    """Round numbers to 8-bit integers (Jacob et al., CVPR 2018; per channel: Krishnamoorthi, 2018).

    Args:
        array: Finite floats of any shape.
        scheme: "symmetric" (zero point 0) or "affine".
        axis: The axis of the channels, each of which gets its own scale; None for one scale.

    Returns:
        The integers with what is needed to decode them. The error is at most half a scale per element.

    Raises:
        TypeError: If `array` is not a NumPy array of floats, or `axis` no int.
        ValueError: If it is empty, holds NaN or values beyond float32, or scheme or axis do not exist.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        found = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"quantize expects a NumPy array of floats, found {found}")
    if scheme not in ("symmetric", "affine"):
        raise ValueError(f"scheme must be 'symmetric' or 'affine', found {scheme!r}")
    if array.size == 0:
        raise ValueError(f"quantize expects at least one element, found shape {array.shape}")
    wide = array.astype(np.float64)
    if not np.abs(wide).max() <= _LARGEST_VALUE:  # false for NaN, too
        raise ValueError("quantize expects finite values within the range of float32, found others")
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, (int, np.integer))):
        raise TypeError(f"axis is an int or None, found {axis!r}")
    if axis is not None and not -array.ndim <= axis < array.ndim:
        raise ValueError(f"axis {axis} does not exist in shape {array.shape}")
    reduced = None if axis is None else tuple(i for i in range(array.ndim) if i != axis % array.ndim)
    keep = axis is not None
    if scheme == "symmetric":
        scale = _usable_scale(np.abs(wide).max(axis=reduced, keepdims=keep) / 127.0)
        return QuantizedArray(np.clip(np.rint(wide / scale), -127, 127).astype(np.int8), scale)
    low = np.minimum(wide.min(axis=reduced, keepdims=keep), 0.0)
    high = np.maximum(wide.max(axis=reduced, keepdims=keep), 0.0)
    scale = _usable_scale((high - low) / 255.0)
    zero_point = np.clip(-128.0 - np.rint(low / scale), -128, 127)
    values = np.clip(np.rint(wide / scale) + zero_point, -128, 127)
    return QuantizedArray(values.astype(np.int8), scale, np.asarray(zero_point, np.int8))


def _usable_scale(scale: Any) -> npt.NDArray[np.float32]:
    """Return a scale as float32 that can be divided by, also where all values are zero."""
    return np.asarray(np.maximum(scale, _SMALLEST_SCALE), np.float32)


# %%
example = quantize(np.array([0.4, -1.27, 0.003], dtype=np.float32))
assert example.values.tolist() == [40, -127, 0]
assert np.allclose(example.dequantize(), [0.4, -1.27, 0.0])

lopsided = np.random.default_rng(0).random(1000).astype(np.float32)  # from 0 to 1


def largest_error(array, **options):
    return np.abs(quantize(array, **options).dequantize() - array).max()


assert largest_error(lopsided, scheme="affine") < 0.6 * largest_error(lopsided)
columns = np.random.default_rng(0).normal(size=(50, 3)) * [0.01, 1.0, 100.0]
first_column = np.abs(quantize(columns).dequantize() - columns)[:, 0].max()
with_own_scale = np.abs(quantize(columns, axis=1).dequantize() - columns)[:, 0].max()
assert with_own_scale < first_column / 100
assert quantize(np.zeros(4)).dequantize().tolist() == [0.0] * 4

# %% [markdown]
# ### A layer of integers
#
# A `QuantizedLinear` stores its weight in 8 bits. What does it compute? With one scale per output column,
# the scale moves out of the sum:
#
# $$y_j = \sum_i x_i\, s_j (q_{ij} - z_j) + b_j = s_j \sum_i x_i (q_{ij} - z_j) + b_j .$$
#
# On a phone's processor the sum would run in integer arithmetic (with `x` quantised as well), several times
# faster than in floats. NumPy has fast matrix products for floats only; its integer product is a plain
# loop. So we convert the integers to floats for each call: **this layer saves memory, not time**. It is even
# a little slower than `Linear`.
#
# The integers are *buffers*: part of the state, but nothing that gradient descent could learn. Gradients
# still flow through the layer to its input, since it is made of tensor operations.


# %%
#| export
class QuantizedLinear(Layer):
    """A `Linear` whose weight is stored as 8-bit integers, for use, not for training.

    Args:
        linear: The layer whose weight is rounded. It is not changed.
        scheme: "symmetric" or "affine".
        per_channel: Whether every output has a scale of its own.

    Attributes:
        values: The integers, int8 of shape (in_features, out_features).
        scale: float32 of shape (1, out_features), or (1, 1) without `per_channel`.
        zero_point: int8 of the same shape.
        bias: float of shape (out_features,), zeros if `linear` had none.

    Raises:
        TypeError: If `linear` is not a Linear layer.
        ValueError: If a weight is not finite, or the scheme does not exist.
    """

    values: npt.NDArray[np.int8]
    scale: npt.NDArray[np.float32]
    zero_point: npt.NDArray[np.int8]
    bias: _Array

    def __init__(self, linear: Linear, scheme: _Scheme = "symmetric", per_channel: bool = True) -> None:
        if not isinstance(linear, Linear):
            raise TypeError(f"QuantizedLinear expects a Linear layer, found {type(linear).__name__}")
        weight = linear.weight.data
        quantized = quantize(weight, scheme, axis=1 if per_channel else None)
        scale = quantized.scale.reshape(1, -1)
        zero_point = quantized.zero_point
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("values", quantized.values)
        self.register_buffer("scale", scale)
        self.register_buffer(
            "zero_point", np.zeros_like(scale, np.int8) if zero_point is None else zero_point.reshape(1, -1)
        )
        bias = np.zeros(linear.out_features, weight.dtype) if linear.bias is None else linear.bias.numpy()
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute x W + b with the rounded weight.

        Args:
            x: A tensor of shape (..., in_features).

        Returns:
            A tensor of shape (..., out_features).

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If its last axis has another length.
        """
        if not isinstance(x, Tensor):
            raise TypeError(f"QuantizedLinear expects a Tensor, found {type(x).__name__}")
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(
                f"QuantizedLinear expects an input of shape (..., {self.in_features}), found {x.shape}"
            )
        steps = self.values.astype(np.float32) - self.zero_point
        return (x @ steps) * self.scale.reshape(-1) + self.bias

    def _describe(self) -> str:
        return f"{self.in_features}, {self.out_features}"


def quantize_linears(layer: Layer, scheme: _Scheme = "symmetric", per_channel: bool = True) -> Layer:
    """Return a copy of a network in which every `Linear` is a `QuantizedLinear`.

    Args:
        layer: The network, which is not changed. Its linear layers must be attributes, or stand in lists or
            tuples that are attributes, as `Layer` asks for.
        scheme: "symmetric" or "affine".
        per_channel: Whether every output has a scale of its own.

    Raises:
        ValueError: If there is no `Linear`, or a weight is not finite.
        TypeError: If `layer` is no Layer.
    """
    _check_layer("quantize_linears", layer)
    if not any(isinstance(part, Linear) for _, part in layer.named_layers()):
        raise ValueError(f"there is no Linear layer in {layer!r}")
    replaced: dict[int, Layer] = {}

    def exchanged(value: Any) -> Any:
        if isinstance(value, Linear):
            if id(value) not in replaced:
                replaced[id(value)] = QuantizedLinear(value, scheme, per_channel)
            return replaced[id(value)]
        if type(value) in (list, tuple):
            return type(value)([exchanged(element) for element in value])
        if isinstance(value, Layer) and id(value) not in replaced:
            replaced[id(value)] = value
            for name, attribute in list(vars(value).items()):
                new = exchanged(attribute)
                if new is not attribute:
                    setattr(value, name, new)
        return value

    result: Layer = exchanged(copy.deepcopy(layer))
    return result


# %%
net = Net(16, 32, 4)
x = Tensor(np.random.default_rng(1).normal(size=(8, 16)), dtype=np.float32)
small = quantize_linears(net)
assert isinstance(small.first, QuantizedLinear)
assert isinstance(net.first, Linear)
assert np.abs(small(x).numpy() - net(x).numpy()).max() < 0.05
assert small.state_dict()["first.values"].dtype == np.int8

# %% [markdown]
# ## 5. States: bytes and errors
#
# What goes to disk is a *state dict*: arrays by name. `quantize_state` rounds its weights (arrays with at
# least two axes) and leaves the rest in `float32`: biases are a percent of the bytes, and errors in them do
# not average out. `dequantize_state` is the way back, and its result fits `load_state_dict`.
#
# `compression_report` puts the two numbers side by side that belong together. *Before* counts every array as
# dense. *After* counts each in its cheapest format, quantised ones with their scales.


# %%
#| export
def _check_state(state: object, *kinds: type) -> None:
    """Raise a TypeError unless `state` is a mapping to values of the given kinds."""
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a mapping from names to arrays, found {type(state).__name__}")
    for name, value in state.items():
        if not isinstance(value, kinds):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise TypeError(f"{name!r}: {wanted} expected, found {type(value).__name__}")


def quantize_state(
    state: Mapping[str, _Array], scheme: _Scheme = "symmetric", per_channel: bool = True
) -> dict[str, _Array | QuantizedArray]:
    """Round the weights of a state dict to 8 bits.

    Args:
        state: Arrays by name, as `Layer.state_dict` gives them.
        scheme: "symmetric" or "affine".
        per_channel: Whether every output channel has a scale of its own: the last axis of matrices, the
            first axis of arrays with more axes (convolution kernels).

    Returns:
        The same names. Floats with at least two axes are quantised; the rest is copied as it is.

    Raises:
        ValueError: If a weight is not finite or empty.
        TypeError: If the state is no mapping to arrays.
    """
    _check_state(state, np.ndarray)
    result: dict[str, _Array | QuantizedArray] = {}
    for name, array in state.items():
        if array.ndim >= 2 and array.dtype.kind == "f":
            channels = (1 if array.ndim == 2 else 0) if per_channel else None
            result[name] = quantize(array, scheme, channels)
        else:
            result[name] = array.copy()
    return result


def dequantize_state(state: Mapping[str, _Array | QuantizedArray]) -> dict[str, _Array]:
    """Return a state dict as plain arrays again, for `Layer.load_state_dict`.

    Raises:
        TypeError: If the state is no mapping to arrays and quantised arrays.
    """
    _check_state(state, np.ndarray, QuantizedArray)
    return {name: _plain(value) for name, value in state.items()}


def _plain(value: _Array | QuantizedArray) -> _Array:
    """Return a stored value as an array."""
    return value.dequantize() if isinstance(value, QuantizedArray) else value.copy()


def state_bytes(state: Mapping[str, _Array | QuantizedArray], sparse: bool = True) -> int:
    """Return how many bytes a state dict takes.

    Args:
        state: Arrays or quantised arrays by name.
        sparse: Whether each entry may use the cheapest format of `storage_bytes`; otherwise plain arrays
            count as dense. Quantised ones always use the cheapest.

    Raises:
        TypeError: If the state is no mapping to arrays and quantised arrays.
    """
    _check_state(state, np.ndarray, QuantizedArray)
    total = 0
    for value in state.values():
        if isinstance(value, QuantizedArray) or not sparse:
            total += value.nbytes
        else:
            total += min(storage_bytes(value.shape, int(np.count_nonzero(value)), value.itemsize).values())
    return total


@dataclass(frozen=True)
class CompressionReport:
    """What compression has saved, and what it has cost.

    Attributes:
        bytes_before: Bytes of the original state, dense.
        bytes_after: Bytes of the compressed state, each entry in its cheapest format.
        sparsity: Share of zeros in the compressed state.
        largest_error: Largest absolute difference of an element.
        rms_error: Root mean square of the differences of all elements.
    """

    bytes_before: int
    bytes_after: int
    sparsity: float
    largest_error: float
    rms_error: float

    @property
    def ratio(self) -> float:
        """Bytes after divided by bytes before: smaller is better."""
        return self.bytes_after / self.bytes_before

    def __str__(self) -> str:
        return (
            f"{self.bytes_before} -> {self.bytes_after} bytes ({self.ratio:.1%}), {self.sparsity:.0%} zeros, "
            f"largest error {self.largest_error:.2g}, rms error {self.rms_error:.2g}"
        )


def compression_report(
    before: Mapping[str, _Array], after: Mapping[str, _Array | QuantizedArray]
) -> CompressionReport:
    """Compare a state dict with its compressed version.

    Args:
        before: The original arrays by name.
        after: Arrays or quantised arrays with the same names and shapes.

    Raises:
        ValueError: If names or shapes differ, or there are no elements.
        TypeError: If a state is no mapping to arrays.
    """
    _check_state(before, np.ndarray)
    _check_state(after, np.ndarray, QuantizedArray)
    if before.keys() != after.keys():
        raise ValueError(f"the states differ in the names {sorted(before.keys() ^ after.keys())}")
    differences, zeros, count = [], 0, 0
    for name, original in before.items():
        restored = _plain(after[name])
        if restored.shape != original.shape:
            raise ValueError(f"{name}: shape {original.shape} expected, found {restored.shape}")
        differences.append((restored.astype(np.float64) - original).ravel())
        zeros += int(np.count_nonzero(restored == 0))
        count += restored.size
    if count == 0:
        raise ValueError("a report needs at least one element, found none")
    error = np.concatenate(differences)
    return CompressionReport(
        state_bytes(before, sparse=False),
        state_bytes(after),
        zeros / count,
        float(np.abs(error).max()),
        float(np.sqrt(np.mean(error * error))),
    )


# %% [markdown]
# Here is a network of the size that reads handwritten digits (8 by 8 pixels, 10 classes): quantised, pruned
# by half, and both.

# %%
digits = Net(64, 32, 10)
original = digits.state_dict()
only_quantized = compression_report(original, quantize_state(original))

apply_masks(digits, magnitude_masks(digits, 0.5))
only_pruned = compression_report(original, digits.state_dict())
both = compression_report(original, quantize_state(digits.state_dict()))
assert only_pruned.ratio < 0.55
assert only_quantized.ratio < 0.30
assert both.ratio < 0.20
print(both)

digits.load_state_dict(dequantize_state(quantize_state(digits.state_dict())))
assert measured_sparsity(digits)["first.weight"] > 0.4  # zeros have survived the rounding

# %% [markdown]
# The errors are errors of *weights*. What matters in the end is accuracy on test data, so measure that too.
# Quantisation usually costs nothing that could be noticed; pruning by half costs a little, and fine-tuning
# wins it back.
#
# ## 6. Distillation
#
# A label says "this is a 7". The output of a good network says more: "a 7, but it could be a 1, and certainly
# not an 8". This *dark knowledge* is what a small network (the student) can learn from a large one (the
# teacher), from the same examples (Hinton, Vinyals & Dean, *Distilling the Knowledge in a Neural Network*,
# 2015).
#
# The interesting part is in the small probabilities, so they are lifted: all scores are divided by a
# *temperature* $T > 1$ before the softmax.
#
#     scores        8.0      4.0      1.0
#     T = 1         0.981    0.018    0.0009
#     T = 4         0.649    0.239    0.113
#
# With $p$ and $q$ the softened probabilities of teacher and student, and $y$ the labels,
#
# $$L = \alpha\, T^2\, \operatorname{KL}(p \,\|\, q) + (1 - \alpha)\, \operatorname{CE}(y, q_{T=1}), \qquad
#   \operatorname{KL}(p \,\|\, q) = \sum_i p_i (\log p_i - \log q_i).$$
#
# Why $T^2$? The gradient of the divergence with respect to the student's score $z_i$ is $(q_i - p_i) / T$,
# and for large $T$ the difference $q_i - p_i$ itself shrinks like $1/T$. Together the gradient fades like
# $1/T^2$, and the factor makes up for it: one can change $T$ without readjusting $\alpha$. (Hinton et al.,
# section 2.1.)
#
# The teacher is a constant here: `detach` cuts its history off, or else its weights would be trained to suit
# the student.


# %%
#| export
def distillation_loss(
    student_scores: Tensor,
    teacher_scores: Tensor,
    labels: Tensor | None = None,
    temperature: float = 2.0,
    alpha: float = 0.5,
) -> Tensor:
    """Return the loss with which a student learns from a teacher (Hinton, Vinyals & Dean, 2015).

    Computes alpha T^2 KL(teacher at T || student at T) + (1 - alpha) cross-entropy(labels, student), averaged
    over the batch.

    Args:
        student_scores: Scores before softmax, shape (batch, classes). Gradients flow to them.
        teacher_scores: Scores of the teacher, same shape, finite. They count as constants.
        labels: True classes, ints of shape (batch,); not needed if `alpha` is 1.
        temperature: T, above 0: the softening of both distributions.
        alpha: Weight of the teacher's part, from 0 to 1.

    Returns:
        A tensor of one element.

    Raises:
        TypeError: If scores are not float tensors, or labels not int tensors.
        ValueError: If shapes do not fit, the batch is empty, a number or a label is out of range, labels
            are missing, a student's score is NaN, or the teacher's scores are not finite.
    """
    _check_scores(student_scores, teacher_scores)
    _check_number("temperature", temperature)
    _check_number("alpha", alpha)
    if not 0.0 < temperature < math.inf:
        raise ValueError(f"temperature must be a positive number, found {temperature}")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must be from 0 to 1, found {alpha}")
    batch, classes = student_scores.shape
    teacher_log = _log_probabilities(teacher_scores.detach() * (1.0 / temperature))
    student_log = _log_probabilities(student_scores * (1.0 / temperature))
    divergence = (teacher_log.exp() * (teacher_log - student_log)).sum() * (1.0 / batch)
    soft = divergence * (temperature * temperature)
    if alpha == 1.0:
        return soft
    places = _checked_labels(labels, batch, classes)
    picked = _log_probabilities(student_scores)[np.arange(batch), places]
    return soft * alpha - picked.mean() * (1.0 - alpha)


def _log_probabilities(scores: Tensor) -> Tensor:
    """Return the logarithm of the softmax along the last axis, without overflow."""
    shifted = scores - scores.max(axis=-1, keepdims=True).detach()
    return shifted - shifted.exp().sum(axis=-1, keepdims=True).log()


def _check_scores(student: Tensor, teacher: Tensor) -> None:
    """Raise unless both are float tensors of one shape (batch, classes)."""
    for name, scores in (("student_scores", student), ("teacher_scores", teacher)):
        if not isinstance(scores, Tensor) or scores.dtype.kind != "f":
            found = scores.dtype if isinstance(scores, Tensor) else type(scores).__name__
            raise TypeError(f"{name} must be a float Tensor, found {found}")
    if student.ndim != 2 or student.shape != teacher.shape or student.size == 0:
        raise ValueError(
            f"scores must have one shape (batch, classes) without empty axes, "
            f"found {student.shape} and {teacher.shape}"
        )
    if np.isnan(student.data).any():
        raise ValueError("student_scores must not be NaN: look for NaN in the data, or learn more slowly")
    if not np.isfinite(teacher.data).all():
        raise ValueError("teacher_scores must be finite, found NaN or infinite values")


def _checked_labels(labels: Tensor | None, batch: int, classes: int) -> npt.NDArray[np.int64]:
    """Return labels as an array after a check."""
    if labels is None:
        raise ValueError("labels are needed unless alpha is 1")
    if not isinstance(labels, Tensor) or labels.dtype.kind not in "iu":
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be an int Tensor, found {found}")
    if labels.shape != (batch,):
        raise ValueError(f"labels of shape ({batch},) expected, found {labels.shape}")
    places = labels.data.astype(np.int64)
    if places.min() < 0 or places.max() >= classes:
        raise ValueError(f"labels from 0 to {classes - 1} expected, found {places.min()} to {places.max()}")
    return places


# %%
scores = Tensor([[8.0, 4.0, 1.0]])
assert np.allclose(_log_probabilities(scores * 0.25).exp().numpy(), [[0.649, 0.239, 0.113]], atol=6e-4)
assert abs(distillation_loss(scores, scores, alpha=1.0, temperature=4.0).item()) < 1e-6

doubtful = Tensor([[8.0, 4.0, 4.0]])
plain = distillation_loss(doubtful, scores, Tensor([0]), alpha=0.0).item()
assert abs(plain - np.log(1 + 2 * np.exp(-4.0))) < 1e-6  # the usual cross-entropy
assert distillation_loss(doubtful, scores, Tensor([0])).item() > 0.5 * plain


# With the factor, the size of the gradient hardly depends on the temperature: measured by a difference.
def slope(temperature, step=1e-4):
    teacher = Tensor(np.array([[1.0, 0.0, -1.0]]))
    ahead = distillation_loss(Tensor(np.array([[step, 0, 0]])), teacher, alpha=1.0, temperature=temperature)
    behind = distillation_loss(Tensor(np.array([[-step, 0, 0]])), teacher, alpha=1.0, temperature=temperature)
    return (ahead - behind).item() / (2 * step)


assert abs(slope(10.0) / slope(100.0) - 1.0) < 0.1
assert abs(slope(100.0) + 1 / 3) < 0.01  # towards (student - teacher) / classes, Hinton et al., eq. 4

# %% [markdown]
# ## Summary
#
# | step | function | remember |
# |---|---|---|
# | count | `storage_bytes`, `state_bytes` | zeros are free only in a sparse format |
# | prune weights | `magnitude_masks`, `apply_masks` | apply again after every optimizer step |
# | prune neurons | `prune_neurons` | cut both matrices; saves time as well |
# | quantise | `quantize_state`, `quantize_linears` | zero stays zero; error at most half a scale |
# | distil | `distillation_loss` | $T^2$; the teacher is detached |
# | report | `compression_report` | bytes *and* errors |
#
# ## Exercises
#
# 1. At which density does CSR become cheaper than the bitmask for an `int8` matrix with 200 columns? Derive
#    it, then check with `storage_bytes`.
# 2. *Huffman coding* gives frequent values short codes. Estimate the bytes a quantised weight would take by
#    the entropy of its values, $-\sum_q p_q \log_2 p_q$ bits each.
# 3. Rank neurons by their mean absolute activation on some data instead of their weights' norm. Which
#    network is better after removing half?
# 4. Quantise with 4 bits: range -7 to 7, two values per byte. How much larger is the error, by the formula
#    and by measurement?
# 5. Choose the symmetric range by the 99.9th percentile of $|r|$ instead of its maximum. When does the error
#    fall, and which element pays?
