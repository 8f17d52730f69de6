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
# # Module 04: Layers
#
# A network is a function with thousands of adjustable numbers. A *layer* is a piece of it: some numbers,
# and a rule how to compute an output from an input. This module says what all layers have in common, and
# builds three of them:
#
# | | computes | adjustable numbers |
# |---|---|---|
# | `Linear` | $x W + b$ | $W$ and $b$ |
# | `Dropout` | a random half of its input, while training | none |
# | `LayerNorm` | its input with mean 0 and variance 1 | a gain and a shift |
#
# Around the layers there is housekeeping, and it has to be right. An optimizer must find *all* parameters,
# since one that it misses never learns, without a word. Dropout must know whether we are training. And
# what was learned must go to disk and come back unchanged. All of this is written once, in the class
# `Layer`.

# %%
#| default_exp core.layers

# %%
#| export
import math
from collections.abc import Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from tinytorch.core.tensor import Tensor, ones, rand, zeros

# %% [markdown]
# ## 1. Parameters
#
# A `Parameter` is a tensor with a promise: "I am to be learned". It computes like any other tensor, and two
# things set it apart. Its `requires_grad` is on, and a layer that has one as an attribute counts it among
# its parameters.
#
# A common mistake: `self.weight = self.weight - 0.1 * gradient`. The result of arithmetic is an ordinary
# tensor, so after this line the layer has one parameter less. New values are written *into* a parameter:
# `self.weight.data = ...`.


# %%
#| export
class Parameter(Tensor):
    """A tensor that is learned: it wants a gradient, and layers find it among their attributes.

    Args:
        data: Floats: numbers, nested sequences, a NumPy array or a tensor. They are copied.
        dtype: A float dtype; by default as for `Tensor`.

    Raises:
        TypeError: If the data are not floats.
    """

    __slots__ = ()

    def __init__(self, data: object, dtype: npt.DTypeLike | None = None) -> None:
        super().__init__(data, dtype, requires_grad=True)


# %%
weight = Parameter([[1.0, 2.0]])
assert weight.requires_grad
assert isinstance(weight, Tensor)
assert not isinstance(weight * 2.0, Parameter)
try:
    Parameter([1, 2, 3])
except TypeError as error:
    message = str(error)
else:
    raise AssertionError("integers cannot be learned by gradient descent")
assert "float" in message

# %% [markdown]
# ## 2. What all layers share
#
# A layer may hold other layers, which hold others again: a tree. Nearly everything below is a walk through
# this tree.
#
#     class Block(Layer):
#         def __init__(self):
#             self.first = Linear(4, 8)             first.weight, first.bias
#             self.rest = [Linear(8, 8), Linear(8, 2)]      rest.0.weight, rest.0.bias, rest.1.weight, ...
#
# How does the walk know what belongs to a layer? It looks through the attributes for parameters, layers, and
# lists or tuples of them. The path from the root, joined by dots, is the name. No registration is needed,
# and a subclass need not call `super().__init__()`.
#
# - **Shared parts count once.** Two attributes may hold the same parameter ("weight tying", as between the
#   first and last matrix of a language model). An optimizer that got it twice would take every step twice.
# - **Buffers** are numbers that belong to the layer's state but are not learned by gradients, such as a
#   running mean. They are NumPy arrays, registered by name.
# - **Training or not.** `train()` and `eval()` set the flag `training` in the whole tree.
#
# **State.** `state_dict()` gives every parameter and buffer by name, as *copies*: a snapshot that does not
# change when training goes on. `load_state_dict` is its opposite, and it is careful:
#
# 1. It looks at everything before it writes anything. A half-loaded network looks alive and computes rubbish.
# 2. It reports *all* disagreements, by name: missing, unexpected, of another shape.
#
#         ValueError: the state does not fit Block:
#           missing: first.bias
#           unexpected: first.offset
#           first.weight: shape (4, 8) expected, found (8, 4)
#
# `strict=False` forgives missing and unexpected names (one loads a trained body under a new head), but
# never a wrong shape.


# %%
#| export
_LayerType = TypeVar("_LayerType", bound="Layer")


def _parts(name: str, value: object) -> "Iterator[tuple[str, Parameter | Layer]]":
    """Yield the parameters and layers in an attribute's value, with their names."""
    if isinstance(value, (Parameter, Layer)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for position, element in enumerate(value):
            if isinstance(element, (Parameter, Layer, list, tuple)):
                yield from _parts(f"{name}.{position}", element)


class Layer:
    """A piece of a network: parameters, buffers, sub-layers, and a rule in `forward`.

    Subclasses assign parameters and layers (or lists and tuples of them) to attributes, and define
    `forward`. Calling the layer calls `forward`.

    Attributes:
        training: Whether the layer behaves as in training (Dropout drops) or as in use.
    """

    training: bool = True
    _buffer_names: tuple[str, ...] = ()

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the layer's output; every layer defines its own."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Compute the layer's output: the same as `forward`."""
        return self.forward(*inputs, **options)

    def _members(self) -> "Iterator[tuple[str, Parameter | Layer]]":
        """Yield the parameters and layers that this layer holds directly, in order of assignment."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Layer, list, tuple)):
                yield from _parts(name, value)

    def _walk(self) -> "Iterator[tuple[str, Layer, list[tuple[str, Parameter | Layer]]]]":
        """Yield name, layer and members of this layer and all below, each layer once, parents first."""
        seen: set[int] = set()
        waiting: list[tuple[str, Layer]] = [("", self)]
        while waiting:
            name, layer = waiting.pop()
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            members = list(layer._members())
            yield name, layer, members
            prefix = f"{name}." if name else ""
            below = [(prefix + key, part) for key, part in members if isinstance(part, Layer)]
            waiting.extend(reversed(below))  # a stack gives back last what was put on it first

    def named_layers(self) -> "Iterator[tuple[str, Layer]]":
        """Yield this layer (with the name "") and all layers below, each once, parents first."""
        for name, layer, _ in self._walk():
            yield name, layer

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield the name and value of every parameter here and below, each parameter once."""
        seen: set[int] = set()
        for name, _, members in self._walk():
            prefix = f"{name}." if name else ""
            for key, part in members:
                if isinstance(part, Parameter) and id(part) not in seen:
                    seen.add(id(part))
                    yield prefix + key, part

    def parameters(self) -> list[Parameter]:
        """Return every parameter here and below, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def register_buffer(self, name: str, value: npt.NDArray[Any]) -> None:
        """Make `value` the attribute `name` and a part of the state that is not learned.

        Args:
            name: A valid attribute name that the layer does not use yet.
            value: A NumPy array. The layer may replace it later by one of the same shape.

        Raises:
            ValueError: If the name is no identifier or is taken.
            TypeError: If the value is not a NumPy array.
        """
        if not isinstance(name, str) or not name.isidentifier() or hasattr(self, name):
            raise ValueError(f"a buffer needs a new attribute name, found {name!r}")
        if not isinstance(value, np.ndarray):
            raise TypeError(f"buffer {name!r} must be a NumPy array, found {type(value).__name__}")
        setattr(self, name, value)
        self._buffer_names = (*self._buffer_names, name)

    def named_buffers(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """Yield the name and value of every buffer here and below."""
        for path, layer, name in self._buffer_places():
            yield path, np.asarray(getattr(layer, name))

    def _buffer_places(self) -> "Iterator[tuple[str, Layer, str]]":
        """Yield, for every buffer, its full name, the layer that has it, and its attribute there."""
        for path, layer in self.named_layers():
            for name in layer._buffer_names:
                yield (f"{path}.{name}" if path else name), layer, name

    def train(self: _LayerType, mode: bool = True) -> _LayerType:
        """Switch this layer and all below to training (or, with False, to use); return the layer."""
        for _, layer in self.named_layers():
            layer.training = mode
        return self

    def eval(self: _LayerType) -> _LayerType:
        """Switch this layer and all below to use; return the layer."""
        return self.train(False)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all parameters and buffers, by name."""
        state = {name: parameter.numpy() for name, parameter in self.named_parameters()}
        state.update({name: buffer.copy() for name, buffer in self.named_buffers()})
        return state

    def load_state_dict(self, state: "Mapping[str, npt.NDArray[Any] | Tensor]", strict: bool = True) -> None:
        """Write saved values into the parameters and buffers. Nothing is written if anything does not fit.

        Args:
            state: Values by name, as from `state_dict`. They are copied, in the dtype of what they replace.
            strict: Whether the names must agree exactly. Shapes always must.

        Raises:
            ValueError: If names or shapes disagree, or values are of a kind that does not convert (floats
                for an integer buffer). The message lists every disagreement.
            TypeError: If the state is not a mapping.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a mapping from names to arrays, found {type(state).__name__}")
        parameters = dict(self.named_parameters())
        buffers = {path: (layer, name) for path, layer, name in self._buffer_places()}
        expected = {name: parameter.data for name, parameter in parameters.items()}
        expected.update(self.named_buffers())
        found = {
            name: value.data if isinstance(value, Tensor) else np.asarray(value)
            for name, value in state.items()
        }
        problems = _disagreements(expected, found, strict)
        if problems:
            raise ValueError("\n  ".join([f"the state does not fit {type(self).__name__}:", *problems]))
        for name in expected.keys() & found.keys():
            array = found[name].astype(expected[name].dtype)  # astype copies
            if name in parameters:
                parameters[name].data = array
            else:
                layer, attribute = buffers[name]
                setattr(layer, attribute, array)

    def _describe(self) -> str:
        """Return what stands between the parentheses of the layer's repr."""
        return ", ".join(f"{name}={part!r}" for name, part in self._members() if isinstance(part, Layer))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"


def _disagreements(
    expected: Mapping[str, npt.NDArray[Any]], found: Mapping[str, npt.NDArray[Any]], strict: bool
) -> list[str]:
    """Return a line for everything in which a state differs from what a layer expects."""
    problems = []
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if strict and missing:
        problems.append(f"missing: {', '.join(missing)}")
    if strict and unexpected:
        problems.append(f"unexpected: {', '.join(unexpected)}")
    for name, wanted in expected.items():
        if name not in found:
            continue
        value = found[name]
        if value.shape != wanted.shape:
            problems.append(f"{name}: shape {wanted.shape} expected, found {value.shape}")
        elif not np.can_cast(value.dtype, wanted.dtype, "same_kind"):
            problems.append(f"{name}: dtype {wanted.dtype} expected, found {value.dtype}")
    return problems


# %% [markdown]
# A tiny layer of our own shows the housekeeping. It scales its input and counts its calls in a buffer.


# %%
class Scale(Layer):
    def __init__(self, factor):
        self.factor = Parameter(factor)
        self.register_buffer("calls", np.array(0))

    def forward(self, x):
        self.calls = self.calls + 1
        return x * self.factor


class Pair(Layer):
    def __init__(self):
        self.scales = [Scale(2.0), Scale(3.0)]
        self.tied = self.scales[0]  # the same layer under a second name

    def forward(self, x):
        return self.scales[1](self.scales[0](x))


pair = Pair()
assert pair(Tensor([1.0])).tolist() == [6.0]
assert [name for name, _ in pair.named_parameters()] == ["scales.0.factor", "scales.1.factor"]
assert pair.state_dict()["scales.1.calls"] == 1
assert not pair.eval().scales[1].training

snapshot = pair.state_dict()
pair.scales[0].factor.data = np.array(10.0)
pair(Tensor([1.0]))
assert snapshot["scales.0.factor"] == 2.0  # a copy
pair.load_state_dict(snapshot)
assert pair(Tensor([1.0])).tolist() == [6.0]

try:
    pair.load_state_dict({"scales.0.factor": np.zeros(3), "head": np.zeros(1)})
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a state that does not fit must be refused")
assert "unexpected: head" in message
assert "scales.0.factor: shape () expected, found (3,)" in message
assert pair(Tensor([1.0])).tolist() == [6.0]  # nothing was written

# %% [markdown]
# ## 3. Linear
#
# The workhorse: every output is a weighted sum of all inputs,
#
# $$y = x W + b, \qquad y_j = \sum_{i=1}^{n} x_i W_{ij} + b_j .$$
#
#     x  (..., in_features)    W  (in_features, out_features)    b  (out_features,)    y  (..., out_features)
#
# Here `weight` has the shape **(in_features, out_features)**, so that the code reads like the formula. (Some
# frameworks store the transpose; then their saved weights need a `.T` on the way in.) Any number of leading
# axes is a batch: the matrix product broadcasts over them.
#
#     x = [1, 2]    W = [[1, 0, 2],    b = [10, 20, 30]
#                        [3, 1, 0]]
#     y = [1*1 + 2*3 + 10,  1*0 + 2*1 + 20,  1*2 + 2*0 + 30] = [17, 22, 32]
#
# **Where do weights start?** Not at zero: then all outputs are equal, get equal gradients and stay equal
# for ever. And neither too large nor too small. If the inputs are independent with variance 1 and each
# weight has variance $v$, a sum of $n$ products has variance $n v$. It stays 1 for $v = 1/n$ (LeCun, Bottou,
# Orr & Müller, *Efficient BackProp*, 1998, section 4.6). A uniform distribution on $[-a, a]$ has variance
# $a^2/3$, hence
#
# $$W_{ij} \sim U\left(-\sqrt{3/n},\ \sqrt{3/n}\right), \qquad b = 0.$$
#
# Module 05 has initial values made to measure for particular activations.


# %%
#| export
def _check_number(name: str, value: object) -> None:
    """Raise a TypeError unless `value` is a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, found {value!r}")


def _checked_length(name: str, value: object) -> int:
    """Return `value` as an int if it is a positive whole number; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, found {value}")
    return int(value)


class Linear(Layer):
    """The affine map y = x W + b over the last axis.

    Weights start uniform with variance 1 / in_features (LeCun et al., Efficient BackProp, 1998), b at 0.

    Args:
        in_features: Length of the input's last axis.
        out_features: Length of the output's last axis.
        bias: Whether there is a b.
        rng: A NumPy generator or a seed for the initial weights; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        weight: W, of shape (in_features, out_features).
        bias: b, of shape (out_features,), or None.

    Raises:
        ValueError: If a number of features is not positive.
        TypeError: If it is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_features = _checked_length("in_features", in_features)
        self.out_features = _checked_length("out_features", out_features)
        bound = math.sqrt(3.0 / self.in_features)
        drawn = rand((self.in_features, self.out_features), rng, dtype)
        self.weight = Parameter(drawn * (2.0 * bound) - bound)
        self.bias = Parameter(zeros(self.out_features, dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute x W + b.

        Args:
            x: A tensor of shape (..., in_features).

        Returns:
            A tensor of shape (..., out_features).

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If its last axis has another length.
        """
        _check_last_axes("Linear", x, (self.in_features,))
        product = x @ self.weight
        return product if self.bias is None else product + self.bias

    def _describe(self) -> str:
        return f"{self.in_features}, {self.out_features}{', bias=False' if self.bias is None else ''}"


def _check_last_axes(layer: str, x: object, wanted: tuple[int, ...]) -> None:
    """Raise unless `x` is a tensor whose shape ends with `wanted`."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expects a Tensor, found {type(x).__name__}: wrap the data in Tensor(...)")
    if x.shape[-len(wanted) :] != wanted:
        ending = ", ".join(str(length) for length in wanted)
        raise ValueError(f"{layer} expects an input of shape (..., {ending}), found {x.shape}")


# %%
linear = Linear(2, 3)
linear.weight.data = np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0]], dtype=np.float32)
linear.bias.data = np.array([10.0, 20.0, 30.0], dtype=np.float32)
assert linear(Tensor([1.0, 2.0])).tolist() == [17.0, 22.0, 32.0]
assert linear(Tensor(np.zeros((5, 4, 2), dtype=np.float32))).shape == (5, 4, 3)
assert repr(linear) == "Linear(2, 3)"

wide = Linear(1000, 50, rng=0)
assert abs(wide.weight.var().item() * 1000 - 1.0) < 0.05
try:
    linear(Tensor([1.0, 2.0, 3.0]))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("an input of the wrong length must be refused")
assert message == "Linear expects an input of shape (..., 2), found (3,)"

# %% [markdown]
# ## 4. Dropout
#
# A network can learn to rely on accidental teamwork between its units, which fits the training data and
# nothing else. *Dropout* (Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov, JMLR 15, 2014) breaks up
# the teams: while training, each element is set to zero with probability $p$, every time anew.
#
# In use we want all units and no chance. But then the next layer would see larger sums than it was trained
# on. *Inverted* dropout puts the correction into the training, so that use is plain identity:
#
# $$y_i = \frac{m_i}{1 - p}\, x_i, \qquad P(m_i = 1) = 1 - p,
#   \qquad E[y_i] = \frac{1 - p}{1 - p}\, x_i = x_i.$$
#
#     p = 0.5:   x = [1, 2, 3, 4],   m = [1, 0, 0, 1]   ->   y = [2, 0, 0, 8]
#
# The mask is a constant: gradients flow through the kept elements, scaled alike, and not through the others.
#
# The mistake everybody makes once: to measure a network without calling `eval()` first.


# %%
#| export
class Dropout(Layer):
    """Zero random elements while training and scale the others by 1 / (1 - p); identity in use.

    "Inverted" dropout (Srivastava et al., JMLR 15, 2014, section 10).

    Args:
        p: Probability that an element is dropped, at least 0 and below 1.
        rng: A NumPy generator or a seed for the masks; None for different ones every time.

    Raises:
        ValueError: If `p` is out of range.
        TypeError: If it is not a number.
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | int | None = None) -> None:
        _check_number("the probability p", p)
        if not 0.0 <= p < 1.0:
            raise ValueError(f"the probability p must be at least 0 and below 1, found {p}")
        self.p = float(p)
        self._generator = np.random.default_rng(rng)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` with random elements dropped, or `x` itself when not training.

        Args:
            x: A tensor of any shape.

        Returns:
            A tensor of the same shape.

        Raises:
            TypeError: If `x` is not a tensor.
        """
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Dropout expects a Tensor, found {type(x).__name__}: wrap the data in Tensor(...)"
            )
        if not self.training or self.p == 0.0:
            return x
        kept = rand(x.shape, self._generator) >= self.p
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        return x * (kept.astype(dtype) / (1.0 - self.p))

    def _describe(self) -> str:
        return f"p={self.p}"


# %%
dropout = Dropout(0.25, rng=0)
many = ones(10_000)
dropped = dropout(many)
assert abs(dropped.mean().item() - 1.0) < 0.02
assert abs((dropped == 0.0).astype(np.float32).mean().item() - 0.25) < 0.02
assert np.allclose(dropped[dropped > 0.0].numpy(), 1 / 0.75)
assert dropout.eval()(many) is many

# %% [markdown]
# ## 5. Layer normalisation
#
# As a network learns, the scale of what one layer hands to the next drifts, and every layer has to chase
# the one before. *Layer normalisation* (Ba, Kiros & Hinton, arXiv:1607.06450, 2016) pins it down: each
# example is shifted and scaled to mean 0 and variance 1 over its features, and then a learned gain $\gamma$
# and shift $\beta$ may undo as much of this as is good:
#
# $$\mu = \frac1n \sum_i x_i, \qquad \sigma^2 = \frac1n \sum_i (x_i - \mu)^2, \qquad
#   y_i = \gamma_i\, \frac{x_i - \mu}{\sqrt{\sigma^2 + \varepsilon}} + \beta_i .$$
#
#     x = [1, 2, 3]:   mean 2,  variance 2/3,  y = [-1.2247, 0, 1.2247]
#
# Two details decide whether the numbers agree with other frameworks: the variance is the *biased* one
# (divisor $n$), and $\varepsilon$ stands *inside* the root. There it also keeps the gradient finite when
# all features are equal: the slope of a square root at 0 is infinite.
#
# Each example is treated alone, so training and use do not differ and the batch may have any size, even 1.


# %%
#| export
class LayerNorm(Layer):
    """Normalise the last axes to mean 0 and variance 1, then scale and shift (Ba, Kiros & Hinton, 2016).

    Args:
        normalized_shape: Lengths of the last axes, over which mean and variance are taken.
        eps: What is added to the variance inside the root, above 0.
        affine: Whether there are a learned gain and shift.
        dtype: A float dtype for the parameters.

    Attributes:
        weight: The gain, of shape `normalized_shape`, at first 1; None without `affine`.
        bias: The shift, of shape `normalized_shape`, at first 0; None without `affine`.

    Raises:
        ValueError: If a length is not positive, there is none, or `eps` is not a positive number.
        TypeError: If a length is not an int, `eps` not a number, or `dtype` no float dtype.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        affine: bool = True,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        lengths = normalized_shape if isinstance(normalized_shape, Sequence) else (normalized_shape,)
        if not lengths:
            raise ValueError("normalized_shape must name at least one axis, found ()")
        _check_number("eps", eps)
        if not 0.0 < eps < math.inf:
            raise ValueError(f"eps must be a positive number, found {eps}")
        self.normalized_shape = tuple(_checked_length("normalized_shape", length) for length in lengths)
        self.eps = float(eps)
        self.weight = Parameter(ones(self.normalized_shape, dtype)) if affine else None
        self.bias = Parameter(zeros(self.normalized_shape, dtype)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each example.

        Args:
            x: A tensor of shape (..., *normalized_shape).

        Returns:
            A float tensor of the same shape.

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If its last axes have other lengths.
        """
        _check_last_axes("LayerNorm", x, self.normalized_shape)
        axes = tuple(range(-len(self.normalized_shape), 0))
        centred = x - x.mean(axis=axes, keepdims=True)
        variance = (centred * centred).mean(axis=axes, keepdims=True)
        normal = centred / (variance + self.eps).sqrt()
        if self.weight is None or self.bias is None:
            return normal
        return normal * self.weight + self.bias

    def _describe(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}{', affine=False' if self.weight is None else ''}"


# %%
norm = LayerNorm(3)
assert np.allclose(norm(Tensor([1.0, 2.0, 3.0])).numpy(), [-1.2247, 0.0, 1.2247], atol=1e-4)
assert norm(Tensor([5.0, 5.0, 5.0])).tolist() == [0.0, 0.0, 0.0]  # no division by zero
images = Tensor(np.random.default_rng(0).normal(3.0, 2.0, (2, 4, 5)))
flat = LayerNorm((4, 5))(images).reshape(2, 20)
assert np.allclose(flat.mean(axis=1).numpy(), 0.0, atol=1e-6)
assert np.allclose(flat.var(axis=1).numpy(), 1.0, atol=1e-4)
assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]

# %% [markdown]
# ## Summary
#
# - A layer is parameters, buffers, sub-layers and a `forward`. The rest is walking through the tree.
# - Nothing is registered by hand except buffers; shared parameters count once.
# - `load_state_dict` looks at everything first and reports all that does not fit.
# - Everything in `forward` is tensor operations, so all of it can be recorded, and differentiated later.
#
# ## Exercises
#
# 1. Write a `Bilinear` layer, $y_k = x^T W_k z + b_k$. Which shape has the weight, and which operation does
#    the sum over two axes?
# 2. Dictionaries of layers are not searched. Extend `_parts`. What if a key contains a dot?
# 3. *RMSNorm* (Zhang & Sennrich, 2019) leaves out the mean. Write it, and compare its speed with LayerNorm's.
# 4. Why is it wrong to drop a fixed share of the elements instead of each with probability $p$? Or is it?
