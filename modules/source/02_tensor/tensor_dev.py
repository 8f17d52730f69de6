# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 02: Tensor
#
# Every model that you will build, from a straight line to a transformer, moves one kind of object around: an
# n-dimensional array of numbers. This module builds that object, `Tensor`.
#
# Why not use a numpy array as it is? Because a framework needs three things that numpy does not have:
#
# 1. **A place for gradients.** A weight carries the derivative of the loss beside its value.
# 2. **One door for all computation.** If every operation passes through one function, somebody can stand at
#    the door and write down what passed. Module 09 (`autograd`) does exactly that, and no line of this
#    module changes.
# 3. **Small number types by default.** Networks train in float32. numpy's habit is float64, at twice the
#    memory.
#
# After this module you can create tensors, compute with them under broadcasting, reduce, multiply, reshape
# and index them, and explain what happens to shapes and dtypes at each step.

# %%
#| default_exp core.tensor

# %%
#| export

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

_Array = NDArray[Any]
_Axis = int | Sequence[int] | None
_DEFAULT_FLOAT = np.dtype(np.float32)
_DEFAULT_INT = np.dtype(np.int64)
_INTEGERS = (int, np.integer)
_NUMBERS = (bool, int, float, np.generic)

# %% [markdown]
# ## 1. From data to an array
#
# | given | dtype |
# |---|---|
# | Python floats, lists with floats | float32 |
# | Python ints, lists of ints | int64 |
# | Python bools, lists of bools | bool |
# | numpy arrays and numpy scalars | their own |
#
# Text, objects and complex numbers are refused: a model cannot train on them, and the error is easiest to
# understand at the moment of creation. The data is always copied, so that a later change to your array does
# not change the tensor behind your back.


# %%
#| export
def _number_type(dtype: DTypeLike) -> np.dtype[Any]:
    """Return `dtype` as a numpy dtype, or raise TypeError if a tensor cannot hold it."""
    found = np.dtype(dtype)
    if found.kind not in "biuf" or found.itemsize > 8:
        raise TypeError(f"a Tensor holds float16/32/64, integers or bools; found dtype {found}")
    return found


def _to_array(data: Any, dtype: DTypeLike | None) -> _Array:
    """Return a new array that holds `data`, with the dtype rules of the table above."""
    if isinstance(data, Tensor):
        data = data.data
    keeps_dtype = isinstance(data, (np.ndarray, np.generic))
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(
            f"Tensor data must be numbers in rows of equal length; numpy says: {error}"
        ) from None
    if dtype is not None:
        _number_type(array.dtype)
        return array.astype(_number_type(dtype))
    if not keeps_dtype:
        if array.dtype.kind == "f":
            return array.astype(_DEFAULT_FLOAT)
        if array.dtype.kind == "i":
            return array.astype(_DEFAULT_INT)
    _number_type(array.dtype)
    return array


# %% [markdown]
# ## 2. Mixing dtypes
#
# What is `float32 tensor * 2.0`? A Python number has no opinion about precision, so it should adapt: the
# result stays float32. We call such operands *weak*. (numpy 2 does this too, numpy 1.26 only sometimes; we
# decide it ourselves, so that the answer never depends on the installed version.)
#
# For two tensors of different dtype:
#
# - float with int or bool: **the float wins**, `float32 + int64 -> float32`. numpy would answer float64
#   here, and one integer mask would silently double the memory of everything after it.
# - otherwise numpy's promotion: `float32 + float64 -> float64`, `bool + int64 -> int64`.
#
# Functions whose result is not an integer (division, `exp`, `sqrt`, ...) first turn integers into float32.


# %%
#| export
def _common_type(a: np.dtype[Any], b: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which operands of dtypes `a` and `b` are combined."""
    if a.kind == "f" and b.kind != "f":
        return a
    if b.kind == "f" and a.kind != "f":
        return b
    return np.promote_types(a, b)


def _weak_type(number: Any, partner: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a Python number takes beside a tensor of dtype `partner`."""
    if partner.kind == "f":  # by far the most frequent case
        return partner
    if isinstance(number, (bool, np.bool_)):
        return np.dtype(bool)
    if isinstance(number, _INTEGERS):
        return _DEFAULT_INT if partner.kind == "b" else partner
    return _DEFAULT_FLOAT


def _floating(array: _Array) -> _Array:
    """Return `array`, as float32 if it holds integers or bools."""
    return array if array.dtype.kind == "f" else array.astype(_DEFAULT_FLOAT)


def _same_type(arrays: Sequence[_Array]) -> list[_Array]:
    """Return the arrays converted to their common dtype."""
    common = arrays[0].dtype
    for array in arrays[1:]:
        common = _common_type(common, array.dtype)
    return [array.astype(common, copy=False) for array in arrays]


# %%
assert _common_type(np.dtype("float32"), np.dtype("int64")) == np.float32
assert _common_type(np.dtype("float64"), np.dtype("float32")) == np.float64
assert _weak_type(2.0, np.dtype("float16")) == np.float16
assert _weak_type(2.0, np.dtype("int64")) == np.float32
assert _floating(np.arange(3)).dtype == np.float32

# %% [markdown]
# ## 3. Primitives and the one door
#
# A **primitive** is a name and a pure function on numpy arrays. Everything a tensor can do is a composition
# of about thirty of them. `apply` is the door through which they run:
#
# ```text
#   Tensor, Tensor  --data-->  primitive.forward(array, array)  --wrap-->  Tensor
#                                        |
#                              recorder.record(primitive, inputs, output, params)
# ```
#
# If a *recorder* is installed, it hears about every call. A recorder may hang a note on the output, in the
# slot `origin`, that says how the output was made; the tensor never reads that slot. So `tensor` knows
# nothing about derivatives, and still every computation in any later module is differentiable once a
# recorder is there.
#
# **Common mistake.** Computing with `layer.weight.data @ x.data` in numpy skips the door: the result is
# right, nobody recorded it, and the weight never learns.


# %%
#| export
@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """A named, pure function on numpy arrays.

    Attributes:
        name: What recorders know it by; unique among all primitives.
        forward: Takes one array per input tensor, and the parameters as keywords; returns a new array or a
            view. It must not change its inputs.
    """

    name: str
    forward: Callable[..., Any]


class Recorder(Protocol):
    """Whoever listens at the door: it may note each operation, and answers `Tensor.backward`."""

    def record(
        self, primitive: Primitive, inputs: "tuple[Tensor, ...]", output: "Tensor", params: dict[str, Any]
    ) -> None:
        """Hear that `primitive`, applied to `inputs` with `params`, gave `output`."""

    def backward(self, tensor: "Tensor", gradient: "Tensor | None") -> None:
        """Propagate `gradient`, the derivative of a loss with respect to `tensor`, to its ancestors."""


_recorder: Recorder | None = None


def set_recorder(recorder: Recorder | None) -> Recorder | None:
    """Install `recorder` for every operation from now on; None removes it.

    Args:
        recorder: Who listens from now on.

    Returns:
        The recorder that was installed before, so that a caller can put it back.
    """
    global _recorder
    previous, _recorder = _recorder, recorder
    return previous


def get_recorder() -> Recorder | None:
    """Return the installed recorder, or None."""
    return _recorder


def apply(primitive: Primitive, *inputs: "Tensor", **params: Any) -> "Tensor":
    """Run a primitive on tensors: the one door for all computation.

    Args:
        primitive: What to compute.
        *inputs: The tensors it works on.
        **params: Everything that is not a tensor (axes, shapes, ...), passed on to `primitive.forward`.

    Returns:
        A new Tensor with the result.

    Raises:
        ValueError: The shapes do not fit; the message names the primitive and the shapes.
    """
    try:
        result = primitive.forward(*[tensor._data for tensor in inputs], **params)
    except ValueError as error:
        shapes = ", ".join(str(tensor.shape) for tensor in inputs)
        raise ValueError(f"{primitive.name} of shape {shapes}: {error}") from None
    output = _wrap(result)
    if _recorder is not None:
        _recorder.record(primitive, inputs, output, params)
    return output


def _wrap(array: Any) -> "Tensor":
    """Make a Tensor around an array, without the checks and the copying of the constructor."""
    tensor: Tensor = _new_object(Tensor)
    tensor._data = array if type(array) is np.ndarray else np.asarray(array)
    tensor.requires_grad = False
    tensor.grad = None
    tensor.origin = None
    return tensor


_new_object = object.__new__

# %% [markdown]
# ## 4. Elementwise primitives and broadcasting
#
# Elementwise operations need equal shapes, or shapes that can be *broadcast*. Line the shapes up at the
# right; each pair of lengths must be equal, or one of them 1 (or absent), which is then repeated:
#
# ```text
#   x      (32, 64)         images  (8, 3, 28, 28)
#   bias       (64,)        mean       (3,  1,  1)
#   sum    (32, 64)         result  (8, 3, 28, 28)
# ```
#
# **Common mistake.** `(32,) - (32, 1)` is legal and gives `(32, 32)`. If a loss looks far too large, print
# the shapes of prediction and target first.


# %%
#| export
def _binary(ufunc: Callable[[_Array, _Array], Any]) -> Callable[[_Array, _Array], Any]:
    """Return `ufunc` with this module's rule for mixed dtypes."""

    def forward(a: _Array, b: _Array) -> Any:
        if a.dtype != b.dtype:
            a, b = _same_type((a, b))
        return ufunc(a, b)

    return forward


def _of_floats(function: Callable[[_Array], Any]) -> Callable[[_Array], Any]:
    """Return `function` so that integers become float32 first."""

    def forward(a: _Array) -> Any:
        return function(a if a.dtype.kind == "f" else a.astype(_DEFAULT_FLOAT))

    return forward


def _divide(a: _Array, b: _Array) -> Any:
    if a.dtype != b.dtype:
        a, b = _same_type((a, b))
    return np.divide(_floating(a), _floating(b))


def _power(a: _Array, b: _Array) -> Any:
    if b.ndim == 0 and b == 2:  # squares are everywhere, and a multiplication is far cheaper than pow()
        return np.square(a.astype(_common_type(a.dtype, b.dtype), copy=False))
    if a.dtype != b.dtype:
        a, b = _same_type((a, b))
    return np.power(a, b)


def _clip(a: _Array, *, low: float | None, high: float | None) -> Any:
    for bound in (low, high):
        if bound is not None:
            a = a.astype(_common_type(a.dtype, _weak_type(bound, a.dtype)), copy=False)
    if low is not None:
        a = np.maximum(a, np.asarray(low, a.dtype))
    return a if high is None else np.minimum(a, np.asarray(high, a.dtype))


def _where(condition: _Array, a: _Array, b: _Array) -> Any:
    if condition.dtype != bool:
        raise TypeError(f"where needs a bool condition; found dtype {condition.dtype}")
    return np.where(condition, *_same_type((a, b)))


def _cast(a: _Array, *, dtype: np.dtype[Any]) -> Any:
    return a.astype(dtype)


# %%
assert _binary(np.add)(np.ones((2, 3), np.float32), np.arange(3)).dtype == np.float32
assert _divide(np.array([1, 2]), np.array(2)).tolist() == [0.5, 1.0]
assert _clip(np.array([-1.0, 0.5, 3.0]), low=0.0, high=1.0).tolist() == [0.0, 0.5, 1.0]

# %% [markdown]
# ### The error function
#
# The GELU activation needs
# $\operatorname{erf}(x) = \frac{2}{\sqrt\pi}\int_0^x e^{-t^2}\,dt$, which numpy does not offer. There is no
# closed form; one approximates it by quotients of polynomials, with different coefficients near zero, in
# the middle and in the tail:
#
# - $|x| \le 0.46875$: $\operatorname{erf}(x) \approx x\,R_1(x^2)$,
# - $0.46875 < |x| \le 4$: $1 - \operatorname{erf}(|x|) \approx e^{-x^2} R_2(|x|)$,
# - $|x| > 4$: $1 - \operatorname{erf}(|x|) \approx \frac{e^{-x^2}}{|x|}\bigl(\frac{1}{\sqrt\pi} + x^{-2}
#   R_3(x^{-2})\bigr)$.
#
# The coefficients are W. J. Cody's, "Rational Chebyshev approximations for the error function",
# *Mathematics of Computation* 23 (1969), 631-637. They give full float64 accuracy. Each polynomial is
# evaluated by Horner's rule, one multiplication and one addition per coefficient, on whole arrays at a
# time.

# %%
#| export
# Numerators and denominators, highest power first.
_ERF_NEAR = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERFC_MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
_ERFC_TAIL = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242e0,
        1.87295284992346725e0,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)


def _quotient(x: _Array, coefficients: tuple[tuple[float, ...], tuple[float, ...]]) -> _Array:
    """Evaluate numerator(x) / denominator(x) by Horner's rule."""
    values = []
    for polynomial in coefficients:
        value = np.full_like(x, polynomial[0])
        for coefficient in polynomial[1:]:
            value *= x
            value += coefficient
        values.append(value)
    return np.divide(values[0], values[1])


def _erf(a: _Array) -> _Array:
    """Return erf(a) elementwise, computed in float64 by Cody's approximations and rounded to a's dtype."""
    x = a.astype(np.float64, copy=False).ravel()
    size = np.minimum(np.abs(x), 6.0)  # beyond 5.93 the result rounds to 1; NaN stays NaN
    result = size.copy()
    near = size <= 0.46875
    tail = size > 4.0
    middle = (size > 0.46875) & ~tail
    y = size[near]
    result[near] = y * _quotient(y * y, _ERF_NEAR)
    y = size[middle]
    result[middle] = 1.0 - np.exp(-y * y) * _quotient(y, _ERFC_MIDDLE)
    y = size[tail]
    inverse = 1.0 / (y * y)
    correction = 1.0 / math.sqrt(math.pi) - inverse * _quotient(inverse, _ERFC_TAIL)
    result[tail] = 1.0 - np.exp(-y * y) / y * correction
    return np.copysign(result, x).astype(a.dtype, copy=False).reshape(a.shape)


# %%
points = np.linspace(-7.0, 7.0, 2801)
assert np.allclose(_erf(points), [math.erf(p) for p in points], rtol=1e-15, atol=0.0)
assert np.isnan(_erf(np.array(np.nan))) and _erf(np.array([np.inf])) == 1.0

# %% [markdown]
# ## 5. Reductions and matrix products
#
# A reduction removes axes: `(32, 10)` summed over axis 1 gives `(32,)`. With `keepdims=True` the axis stays
# with length 1, `(32, 1)`, so that the result broadcasts against the original, as in `x - x.max(axis=1,
# keepdims=True)`.
#
# The matrix product $C_{ij} = \sum_k A_{ik} B_{kj}$ contracts the last axis of the left with the
# second-to-last axis of the right operand; axes before these are a batch and broadcast:
#
# ```text
#   (n, k) @ (k, m) -> (n, m)            (k,) @ (k,)   -> ()
#   (n, k) @ (k,)   -> (n,)              (b, h, n, k) @ (b, h, k, m) -> (b, h, n, m)
# ```
#
# A batch times one matrix, `(b, n, k) @ (k, m)`, is one tall product of `b*n` rows; treating it so lets the
# BLAS library work on one large problem instead of `b` small ones.


# %%
#| export
_reduce_add: Callable[..., Any] = np.add.reduce  # what np.sum calls in the end, without the detour
_reduce_maximum: Callable[..., Any] = np.maximum.reduce
_reduce_minimum: Callable[..., Any] = np.minimum.reduce


def _sum(a: _Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    return _reduce_add(a, axis=axis, keepdims=keepdims)


def _max(a: _Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    return _reduce_maximum(a, axis=axis, keepdims=keepdims)


def _min(a: _Array, *, axis: tuple[int, ...] | None, keepdims: bool) -> Any:
    return _reduce_minimum(a, axis=axis, keepdims=keepdims)


def _matmul(a: _Array, b: _Array) -> Any:
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("both operands need at least one dimension; use * for a product with a scalar")
    rows = b.shape[-2 if b.ndim > 1 else 0]
    if a.shape[-1] != rows:
        which = "second-to-last" if b.ndim > 1 else "only"
        raise ValueError(
            f"the left operand's last axis ({a.shape[-1]}) must be as long as "
            f"the right operand's {which} axis ({rows})"
        )
    if a.dtype != b.dtype:
        a, b = _same_type((a, b))
    if a.ndim > 2 and b.ndim == 2 and a.size:
        return np.matmul(a.reshape(-1, a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    return np.matmul(a, b)


# %%
assert _sum(np.ones((2, 3)), axis=(1,), keepdims=True).shape == (2, 1)
assert _matmul(np.ones((5, 2, 3)), np.ones((3, 4))).shape == (5, 2, 4)

# %% [markdown]
# ## 6. Shapes, indices, windows
#
# `transpose`, `reshape` and simple slices compute nothing: they give numpy a new way to walk over the same
# memory (a *view*). That makes them nearly free, and it means that writing into a view writes into the
# original.
#
# `windows` is the heart of convolution and pooling. For an image batch `x` of shape `(N, C, H, W)` it gives
# every kernel-sized patch, shape `(N, C, OH, OW, KH, KW)`:
#
# $$ \mathrm{windows}(x)_{n,c,i,j,u,v} = x_{n,\;c,\;i\,s_h + u\,d_h,\;j\,s_w + v\,d_w},
# \qquad OH = \Bigl\lfloor \frac{H - d_h (KH - 1) - 1}{s_h} \Bigr\rfloor + 1 $$
#
# with stride $s$ and dilation $d$ (Dumoulin and Visin, "A guide to convolution arithmetic for deep
# learning", 2016, arXiv:1603.07285). The index on the right is linear in $i, j, u, v$, so no element needs
# to be moved: a view with the strides $(s_h \cdot t_H, s_w \cdot t_W, d_h \cdot t_H, d_w \cdot t_W)$, where
# $t$ are the strides of `x`, is the whole computation. Example: an image row of 5, a kernel of 3, stride 2
# gives 2 windows, at 0 and at 2.


# %%
#| export
def _transpose(a: _Array, *, axes: tuple[int, ...]) -> Any:
    return a.transpose(axes)


def _reshape(a: _Array, *, shape: tuple[int, ...]) -> Any:
    return a.reshape(shape)


def _broadcast_to(a: _Array, *, shape: tuple[int, ...]) -> Any:
    return np.broadcast_to(a, shape)


def _getitem(a: _Array, *, index: Any) -> Any:
    return a[index]


def _pad(a: _Array, *, widths: tuple[tuple[int, int], ...], value: float) -> Any:
    shape = [before + length + after for (before, after), length in zip(widths, a.shape, strict=True)]
    padded = np.full(shape, value, dtype=a.dtype)
    padded[tuple(slice(before, before + n) for (before, _), n in zip(widths, a.shape, strict=True))] = a
    return padded


def _concatenate(*arrays: _Array, axis: int) -> Any:
    return np.concatenate(_same_type(arrays), axis=axis)


def _stack(*arrays: _Array, axis: int) -> Any:
    return np.stack(_same_type(arrays), axis=axis)


def _windows(
    a: _Array, *, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> Any:
    if a.ndim != 4:
        raise ValueError(f"windows needs a tensor of shape (N, C, H, W); found {a.ndim} dimensions")
    lengths = []
    for axis in (0, 1):
        span = dilation[axis] * (kernel[axis] - 1) + 1
        if span > a.shape[2 + axis]:
            raise ValueError(
                f"a kernel of {kernel[axis]} with dilation {dilation[axis]} spans {span} elements, "
                f"but axis {2 + axis} has only {a.shape[2 + axis]}; pad the input or shrink the kernel"
            )
        lengths.append((a.shape[2 + axis] - span) // stride[axis] + 1)
    n, c, h, w = a.strides
    return np.lib.stride_tricks.as_strided(
        a,
        shape=(*a.shape[:2], *lengths, *kernel),
        strides=(n, c, h * stride[0], w * stride[1], h * dilation[0], w * dilation[1]),
        writeable=False,
    )


# %%
row = np.arange(5.0).reshape(1, 1, 1, 5)
assert _windows(row, kernel=(1, 3), stride=(1, 2), dilation=(1, 1))[0, 0, 0, :, 0].tolist() == [
    [0, 1, 2],
    [2, 3, 4],
]
assert _pad(np.ones((1, 2)), widths=((0, 1), (1, 0)), value=9.0).tolist() == [[9, 1, 1], [9, 9, 9]]

# %% [markdown]
# ## 7. The table of primitives
#
# These names are a contract: module 09 has one derivative rule for each of them. Comparisons, `argmax` and
# `argmin` are not here, since their results jump and have no useful derivative; `mean` and `var` are not
# here because they are compositions.

# %%
#| export
_FORWARDS: dict[str, Callable[..., Any]] = {
    "add": _binary(np.add),
    "subtract": _binary(np.subtract),
    "multiply": _binary(np.multiply),
    "divide": _divide,
    "power": _power,
    "negative": np.negative,
    "exp": _of_floats(np.exp),
    "log": _of_floats(np.log),
    "sqrt": _of_floats(np.sqrt),
    "tanh": _of_floats(np.tanh),
    "erf": _of_floats(_erf),
    "sin": _of_floats(np.sin),
    "cos": _of_floats(np.cos),
    "absolute": np.absolute,
    "maximum": _binary(np.maximum),
    "minimum": _binary(np.minimum),
    "clip": _clip,
    "where": _where,
    "sum": _sum,
    "max": _max,
    "min": _min,
    "matmul": _matmul,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _broadcast_to,
    "getitem": _getitem,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "windows": _windows,
    "astype": _cast,
}

PRIMITIVES: Mapping[str, Primitive] = {name: Primitive(name, forward) for name, forward in _FORWARDS.items()}

# Operators run millions of times in a training: a global name is cheaper to find than a key in a mapping.
_ADD, _SUBTRACT, _MULTIPLY, _DIVIDE = (PRIMITIVES[n] for n in ("add", "subtract", "multiply", "divide"))
_POWER, _NEGATIVE, _MATMUL, _SUM = (PRIMITIVES[n] for n in ("power", "negative", "matmul", "sum"))
_RESHAPE, _TRANSPOSE, _GETITEM = (PRIMITIVES[n] for n in ("reshape", "transpose", "getitem"))

# %% [markdown]
# ## 8. Arguments
#
# Users write axes as `-1`, `1` or `(0, 2)`; primitives should see one form only, a tuple of numbers from 0.
# These few functions translate, and are the place where a wrong argument gets a message that names it.


# %%
#| export
def _axis_number(axis: Any, ndim: int) -> int:
    """Return `axis` counted from 0, for a tensor with `ndim` dimensions."""
    if isinstance(axis, bool) or not isinstance(axis, _INTEGERS):
        raise TypeError(f"an axis must be an int; found {axis!r}")
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis {axis} is out of range for a tensor with {ndim} dimensions")
    return int(axis) % ndim


def _axis_numbers(axis: _Axis, ndim: int) -> tuple[int, ...] | None:
    """Return axes counted from 0; None, meaning all axes, stays None."""
    if axis is None:
        return None
    if isinstance(axis, _INTEGERS):
        return (_axis_number(axis, ndim),)
    numbers = tuple(_axis_number(each, ndim) for each in axis)
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"an axis is named twice in {tuple(axis)}")
    return numbers


def _shape_of(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the shape meant by `f(2, 3)`, `f((2, 3))` or `f([2, 3])`."""
    if len(arguments) == 1 and isinstance(arguments[0], (tuple, list)):
        arguments = tuple(arguments[0])
    for length in arguments:
        if isinstance(length, bool) or not isinstance(length, _INTEGERS):
            raise TypeError(f"a shape is made of ints; found {length!r}")
    return tuple(int(length) for length in arguments)


def _pair(value: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Return `value` as (for height, for width), both at least 1."""
    pair = (value, value) if isinstance(value, _INTEGERS) else tuple(value)
    if len(pair) != 2 or any(not isinstance(each, _INTEGERS) or each < 1 for each in pair):
        raise ValueError(f"{name} must be a positive int or a pair of them; found {value!r}")
    return (int(pair[0]), int(pair[1]))


def _plain_index(index: Any) -> Any:
    """Return an index in which tensors and lists have become numpy arrays."""
    if isinstance(index, tuple):
        return tuple(_plain_index(each) for each in index)
    if isinstance(index, Tensor):
        return index._data
    if isinstance(index, list):
        return np.asarray(index, dtype=None if index else np.intp)
    return index


def _generator(rng: np.random.Generator | int | None) -> np.random.Generator:
    return rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)


# %%
assert _axis_numbers(-1, 3) == (2,)
assert _shape_of(((2, 3),)) == _shape_of((2, 3)) == (2, 3)
try:
    _axis_numbers(2, 2)
except ValueError as error:
    assert "out of range" in str(error)
else:
    raise AssertionError("axis 2 of a matrix must be refused")

# %% [markdown]
# ## 9. The Tensor
#
# With the primitives in place the class is thin: each method tidies its arguments and goes through the
# door. A few decisions deserve a word.
#
# - `__slots__` instead of a `__dict__`: a training step makes thousands of tensors, and slots make each
#   smaller and faster.
# - `==` compares elementwise, as in numpy. Python then removes the default hash; we put the identity hash
#   back, since optimizers and graphs keep tensors in dicts and sets.
# - `__array_ufunc__ = None` tells numpy to step back, so that `array * tensor` reaches `Tensor.__rmul__`.
#   And `np.asarray(tensor)` is refused: it would leave the record without a word. Write `tensor.data`
#   (shared) or `tensor.numpy()` (a copy of its own).
# - Writing `t[0] = 1` is refused for a tensor that a recorder has marked: the record would describe values
#   that are no longer there.


# %%
#| export
class Tensor:
    """An n-dimensional array of numbers whose operations can be recorded.

    Args:
        data: Numbers, nested lists of numbers, a numpy array or a Tensor. It is copied.
        dtype: Element type. Default: float32 for Python floats, int64 for ints, bool for bools; an array's own.
        requires_grad: Whether gradients shall be collected in `.grad`; floating dtypes only.

    Attributes:
        requires_grad: See above.
        grad: The collected gradient (same shape), or None.
        origin: Belongs to whoever records operations; None for a tensor that was not computed under a record.

    Raises:
        TypeError: `data` is not numeric, or `requires_grad` was asked for integers or bools.
        ValueError: Nested lists of unequal length.
    """

    __slots__ = ("__weakref__", "_data", "grad", "origin", "requires_grad")

    __array_ufunc__ = None
    __hash__ = object.__hash__

    _data: _Array
    requires_grad: bool
    grad: "Tensor | None"
    origin: object | None

    def __init__(self, data: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> None:
        self._data = _to_array(data, dtype)
        if requires_grad and self._data.dtype.kind != "f":
            raise TypeError(
                f"only floating tensors can require gradients; found dtype {self._data.dtype} "
                "(write 1.0 instead of 1, or give dtype=np.float32)"
            )
        self.requires_grad = bool(requires_grad)
        self.grad = None
        self.origin = None

    # What it is -------------------------------------------------------------------------------------------

    @property
    def data(self) -> _Array:
        """The numpy array itself, shared. Assigning replaces it by an array of the same shape."""
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = value if isinstance(value, np.ndarray) else _to_array(value, None)
        _number_type(array.dtype)
        if array.shape != self._data.shape:
            raise ValueError(f"data must keep the shape {self._data.shape}; found {array.shape}")
        self._data = array

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self._data.dtype

    @property
    def T(self) -> "Tensor":  # noqa: N802  (the name that mathematics and numpy use)
        """The tensor with its axes in reverse order; for a matrix, its transpose."""
        return self.transpose()

    def item(self) -> bool | int | float:
        """Return the only element as a Python number; ValueError if there is not exactly one."""
        if self._data.size != 1:
            raise ValueError(f"item() needs a tensor with one element; found shape {self.shape}")
        number: bool | int | float = self._data.item()
        return number

    def numpy(self) -> _Array:
        """Return the values as a numpy array of their own."""
        return self._data.copy()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers (one number for a 0-d tensor)."""
        return self._data.tolist()

    def detach(self) -> "Tensor":
        """Return a tensor that shares the data and has no history."""
        return _wrap(self._data)

    def zero_grad(self) -> None:
        """Forget the collected gradient."""
        self.grad = None

    def backward(self, gradient: "Tensor | None" = None) -> None:
        """Ask the installed recorder to propagate gradients from here.

        Args:
            gradient: Derivative of the loss with respect to this tensor, of its shape; may be left out for
                one element.

        Raises:
            RuntimeError: No recorder is installed.
        """
        if _recorder is None:
            raise RuntimeError("backward needs a recorder: import tinytorch.core.autograd before computing")
        _recorder.backward(self, gradient)

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("a 0-d tensor has no length")
        return len(self._data)

    def __iter__(self) -> "Iterator[Tensor]":
        if not self._data.ndim:
            raise TypeError("cannot iterate over a 0-d tensor")
        return (self[i] for i in range(len(self._data)))

    def __repr__(self) -> str:
        name = type(self).__name__
        values = np.array2string(self._data, separator=", ", precision=4, threshold=200, prefix=f"{name}(")
        extra = ", requires_grad=True" if self.requires_grad else ""
        return f"{name}({values}, shape={self.shape}, dtype={self.dtype}{extra})"

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"a tensor of shape {self.shape} is neither true nor false; reduce it to one element"
            )
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, *args: Any, **kwargs: Any) -> _Array:
        raise TypeError("a Tensor does not turn into a numpy array silently: use .data or .numpy()")

    def __getstate__(self) -> Any:
        """Leave the history behind when a tensor is pickled or deep-copied."""
        state: Any = object.__getstate__(self)  # (the __dict__ of a subclass or None, the slots)
        return state[0], {**state[1], "origin": None}

    # Arithmetic -------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> "Tensor":
        return _operate(_ADD, self, other)

    def __radd__(self, other: Any) -> "Tensor":
        return _operate(_ADD, self, other, swapped=True)

    def __sub__(self, other: Any) -> "Tensor":
        return _operate(_SUBTRACT, self, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return _operate(_SUBTRACT, self, other, swapped=True)

    def __mul__(self, other: Any) -> "Tensor":
        return _operate(_MULTIPLY, self, other)

    def __rmul__(self, other: Any) -> "Tensor":
        return _operate(_MULTIPLY, self, other, swapped=True)

    def __truediv__(self, other: Any) -> "Tensor":
        return _operate(_DIVIDE, self, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return _operate(_DIVIDE, self, other, swapped=True)

    def __pow__(self, other: Any) -> "Tensor":
        return _operate(_POWER, self, other)

    def __rpow__(self, other: Any) -> "Tensor":
        return _operate(_POWER, self, other, swapped=True)

    def __matmul__(self, other: Any) -> "Tensor":
        return _operate(_MATMUL, self, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return _operate(_MATMUL, self, other, swapped=True)

    def __neg__(self) -> "Tensor":
        return apply(_NEGATIVE, self)

    def __abs__(self) -> "Tensor":
        return self.abs()

    def matmul(self, other: Any) -> "Tensor":
        """Matrix product `self @ other`; see section 5 for the shapes."""
        return self @ other

    def maximum(self, other: Any) -> "Tensor":
        """Elementwise larger of the two, with broadcasting."""
        return _operate_named("maximum", self, other)

    def minimum(self, other: Any) -> "Tensor":
        """Elementwise smaller of the two, with broadcasting."""
        return _operate_named("minimum", self, other)

    def exp(self) -> "Tensor":
        """Elementwise e to the power of the element."""
        return apply(PRIMITIVES["exp"], self)

    def log(self) -> "Tensor":
        """Elementwise natural logarithm."""
        return apply(PRIMITIVES["log"], self)

    def sqrt(self) -> "Tensor":
        """Elementwise square root."""
        return apply(PRIMITIVES["sqrt"], self)

    def tanh(self) -> "Tensor":
        """Elementwise hyperbolic tangent."""
        return apply(PRIMITIVES["tanh"], self)

    def erf(self) -> "Tensor":
        """Elementwise error function (Cody 1969), accurate to float64."""
        return apply(PRIMITIVES["erf"], self)

    def sin(self) -> "Tensor":
        """Elementwise sine; the element is an angle in radians."""
        return apply(PRIMITIVES["sin"], self)

    def cos(self) -> "Tensor":
        """Elementwise cosine; the element is an angle in radians."""
        return apply(PRIMITIVES["cos"], self)

    def abs(self) -> "Tensor":
        """Elementwise absolute value."""
        return apply(PRIMITIVES["absolute"], self)

    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        """Limit every element to the interval from `low` to `high`; None leaves that side open.

        Raises:
            ValueError: Both bounds are None, one is NaN, or `low` exceeds `high`.
        """
        if low is None and high is None:
            raise ValueError("clip needs a low or a high bound")
        if (low is not None and math.isnan(low)) or (high is not None and math.isnan(high)):
            raise ValueError("the bounds of clip must not be NaN")
        if low is not None and high is not None and low > high:
            raise ValueError(f"clip needs low <= high; found low={low}, high={high}")
        return apply(PRIMITIVES["clip"], self, low=low, high=high)

    def astype(self, dtype: DTypeLike) -> "Tensor":
        """Return the values converted to `dtype`."""
        return apply(PRIMITIVES["astype"], self, dtype=_number_type(dtype))

    # Comparison (never recorded) --------------------------------------------------------------------------

    def __eq__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return _compare(np.equal, self, other)

    def __ne__(self, other: Any) -> "Tensor":  # type: ignore[override]
        return _compare(np.not_equal, self, other)

    def __lt__(self, other: Any) -> "Tensor":
        return _compare(np.less, self, other)

    def __le__(self, other: Any) -> "Tensor":
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: Any) -> "Tensor":
        return _compare(np.greater, self, other)

    def __ge__(self, other: Any) -> "Tensor":
        return _compare(np.greater_equal, self, other)

    # Reduction --------------------------------------------------------------------------------------------

    def sum(self, axis: _Axis = None, keepdims: bool = False) -> "Tensor":
        """Sum over `axis` (an int, several, or None for all). The sum of nothing is 0."""
        return apply(_SUM, self, axis=_axis_numbers(axis, self._data.ndim), keepdims=keepdims)

    def mean(self, axis: _Axis = None, keepdims: bool = False) -> "Tensor":
        """Arithmetic mean over `axis`; ValueError if there is nothing to average."""
        return self.sum(axis, keepdims) / self._count(axis, "mean")

    def var(self, axis: _Axis = None, keepdims: bool = False, ddof: int = 0) -> "Tensor":
        """Variance over `axis`: sum((x - mean)^2) / (n - ddof).

        Args:
            axis: As in `sum`.
            keepdims: Whether reduced axes stay with length 1.
            ddof: 0 for the variance of the values, 1 for the unbiased estimate from a sample
                (Bessel's correction).

        Raises:
            ValueError: Fewer than `ddof + 1` values.
        """
        count = self._count(axis, "var")
        if count <= ddof:
            raise ValueError(f"var with ddof={ddof} needs more than {ddof} values; found {count}")
        deviation = self - self.mean(axis, keepdims=True)
        return (deviation * deviation).sum(axis, keepdims) / (count - ddof)

    def max(self, axis: _Axis = None, keepdims: bool = False) -> "Tensor":
        """Largest element over `axis`; ValueError if there is none."""
        return apply(PRIMITIVES["max"], self, axis=_axis_numbers(axis, self.ndim), keepdims=keepdims)

    def min(self, axis: _Axis = None, keepdims: bool = False) -> "Tensor":
        """Smallest element over `axis`; ValueError if there is none."""
        return apply(PRIMITIVES["min"], self, axis=_axis_numbers(axis, self.ndim), keepdims=keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """Index (int64) of the first largest element along `axis` (None: of the flattened tensor)."""
        return self._arg(np.argmax, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False) -> "Tensor":
        """Index (int64) of the first smallest element along `axis` (None: of the flattened tensor)."""
        return self._arg(np.argmin, axis, keepdims)

    def _arg(self, function: Callable[..., Any], axis: int | None, keepdims: bool) -> "Tensor":
        number = None if axis is None else _axis_number(axis, self.ndim)
        if (self.size if number is None else self.shape[number]) == 0:
            raise ValueError(f"{function.__name__} of no elements; the tensor has shape {self.shape}")
        return _wrap(np.asarray(function(self._data, axis=number, keepdims=keepdims), dtype=_DEFAULT_INT))

    def _count(self, axis: _Axis, name: str) -> int:
        """Return how many elements `axis` puts together into one."""
        axes = _axis_numbers(axis, self._data.ndim)
        shape = self._data.shape
        count = self._data.size if axes is None else math.prod(shape[each] for each in axes)
        if count == 0:
            raise ValueError(f"{name} of no elements; the tensor has shape {shape}, axis is {axis}")
        return count

    # Shape ------------------------------------------------------------------------------------------------

    def reshape(self, *shape: Any) -> "Tensor":
        """Return the same elements in another shape; one length may be -1 and is then worked out."""
        return apply(_RESHAPE, self, shape=_shape_of(shape))

    def transpose(self, *axes: Any) -> "Tensor":
        """Return the tensor with its axes in the order `axes`; without arguments, reversed."""
        order = _axis_numbers(_shape_of(axes), self.ndim) if axes else tuple(range(self.ndim))[::-1]
        if order is None or len(order) != self.ndim:
            raise ValueError(f"transpose needs all {self.ndim} axes, each once; found {axes}")
        return apply(_TRANSPOSE, self, axes=order)

    def permute(self, *axes: Any) -> "Tensor":
        """Another name for `transpose`."""
        return self.transpose(*axes)

    def swapaxes(self, first: int, second: int) -> "Tensor":
        """Return the tensor with two axes exchanged."""
        order = list(range(self.ndim))
        i, j = _axis_number(first, self.ndim), _axis_number(second, self.ndim)
        order[i], order[j] = j, i
        return apply(_TRANSPOSE, self, axes=tuple(order))

    def flatten(self, start: int = 0) -> "Tensor":
        """Merge all axes from `start` on into one: (N, C, H, W) with start=1 becomes (N, C*H*W)."""
        first = _axis_number(start, max(self.ndim, 1))
        return apply(_RESHAPE, self, shape=(*self.shape[:first], math.prod(self.shape[first:])))

    def expand_dims(self, axis: int) -> "Tensor":
        """Insert an axis of length 1 at position `axis` of the result."""
        place = _axis_number(axis, self.ndim + 1)
        return apply(_RESHAPE, self, shape=(*self.shape[:place], 1, *self.shape[place:]))

    def squeeze(self, axis: _Axis = None) -> "Tensor":
        """Remove axes of length 1: those named, or all of them; ValueError if a named one is longer."""
        axes = _axis_numbers(axis, self.ndim)
        if axes is None:
            axes = tuple(i for i, length in enumerate(self.shape) if length == 1)
        for each in axes:
            if self.shape[each] != 1:
                raise ValueError(
                    f"squeeze removes axes of length 1; axis {each} has length {self.shape[each]}"
                )
        return apply(_RESHAPE, self, shape=tuple(n for i, n in enumerate(self.shape) if i not in axes))

    def broadcast_to(self, *shape: Any) -> "Tensor":
        """Repeat axes of length 1 (or absent at the left) until the shape is `shape`. A read-only view."""
        return apply(PRIMITIVES["broadcast_to"], self, shape=_shape_of(shape))

    def pad(self, widths: int | Sequence[tuple[int, int]], value: float = 0.0) -> "Tensor":
        """Add a border of `value`.

        Args:
            widths: How many elements to add: an int for all sides of all axes, or (before, after) per axis.
            value: What the border holds.

        Raises:
            ValueError: A negative width, or not one pair per axis.
        """
        if isinstance(widths, _INTEGERS):
            widths = [(int(widths), int(widths))] * self.ndim
        pairs = [tuple(pair) if isinstance(pair, (Sequence, np.ndarray)) else () for pair in widths]
        if len(pairs) != self.ndim or any(len(pair) != 2 or min(pair) < 0 for pair in pairs):
            raise ValueError(
                f"pad needs an int or {self.ndim} pairs (before, after) of numbers >= 0; found {widths!r}"
            )
        plain = tuple((int(before), int(after)) for before, after in pairs)
        return apply(PRIMITIVES["pad"], self, widths=plain, value=value)

    def windows(
        self,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        dilation: int | tuple[int, int] = 1,
    ) -> "Tensor":
        """Return every kernel-sized window of a batch of images, as a read-only view.

        Args:
            kernel: Height and width of a window, in elements.
            stride: Distance between neighbouring windows.
            dilation: Distance between neighbouring elements inside a window.

        Returns:
            (N, C, H, W) -> (N, C, OH, OW, KH, KW), OH = (H - dilation*(KH-1) - 1) // stride + 1, OW alike
            (Dumoulin and Visin 2016).

        Raises:
            ValueError: Not four axes, a window larger than the image, or an argument below 1.
        """
        return apply(
            PRIMITIVES["windows"],
            self,
            kernel=_pair(kernel, "kernel"),
            stride=_pair(stride, "stride"),
            dilation=_pair(dilation, "dilation"),
        )

    # Indexing ---------------------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> "Tensor":
        return apply(_GETITEM, self, index=_plain_index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.origin is not None:
            raise RuntimeError(
                "cannot write into a tensor that was computed under a record: its gradient would be wrong; "
                "use where(), or write into a detached one of its own: Tensor(t.data)"
            )
        if not self._data.flags.writeable:
            raise RuntimeError(
                "cannot write into a read-only view (broadcast_to, windows); write into Tensor(view)"
            )
        self._data[_plain_index(index)] = value._data if isinstance(value, Tensor) else value


def _operand(value: Any, partner: np.dtype[Any]) -> Tensor | None:
    """Return `value` as a constant Tensor beside one of dtype `partner`; None if it is not numeric at all."""
    if isinstance(value, _NUMBERS):
        if isinstance(value, np.generic) and value.dtype.kind not in "biuf":
            return None
        return _wrap(np.asarray(value, dtype=_weak_type(value, partner)))
    if isinstance(value, np.ndarray):
        _number_type(value.dtype)
        return _wrap(value)
    return Tensor(value) if isinstance(value, (list, tuple)) else None


def _operate(primitive: Primitive, tensor: Tensor, other: Any, swapped: bool = False) -> Tensor:
    """Apply a primitive to `tensor` and a tensor, array or number; `swapped` puts the other one first."""
    if not isinstance(other, Tensor):
        other = _operand(other, tensor._data.dtype)
        if other is None:
            return NotImplemented  # type: ignore[no-any-return]  # Python asks the other operand
    return apply(primitive, other, tensor) if swapped else apply(primitive, tensor, other)


def _operate_named(name: str, tensor: Tensor, other: Any) -> Tensor:
    """As `_operate`, for methods, which have no second chance: a wrong operand is a TypeError."""
    result = _operate(PRIMITIVES[name], tensor, other)
    if result is NotImplemented:
        raise TypeError(f"{name} needs a tensor, an array or a number; found {type(other).__name__}")
    return result


def _compare(ufunc: Callable[..., Any], tensor: Tensor, other: Any) -> Tensor:
    """Compare elementwise; the result is a bool Tensor without history."""
    if not isinstance(other, Tensor):
        other = _operand(other, tensor._data.dtype)
        if other is None:
            return NotImplemented  # type: ignore[no-any-return]  # Python asks the other operand
    return _wrap(ufunc(tensor._data, other._data))


# %% [markdown]
# A first walk through. Read each line and say shape and dtype before you look at the assertion.

# %%
x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
assert x.shape == (2, 3) and x.dtype == np.float32
assert (x * 2.0).dtype == np.float32 and (Tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
assert (x - x.mean(axis=0)).tolist() == [[-1.5, -1.5, -1.5], [1.5, 1.5, 1.5]]
assert (x @ x.T).shape == (2, 2)
assert (np.ones(3) * x).shape == (2, 3)  # numpy stepped back, Tensor.__rmul__ answered
assert x[:, 1].tolist() == [2.0, 5.0]
assert x[x > 3.0].tolist() == [4.0, 5.0, 6.0]
assert x.max(axis=1, keepdims=True).shape == (2, 1)
assert x.argmax().item() == 5
assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], shape=(2,), dtype=float32)"

# %% [markdown]
# And the door: a recorder of six lines hears every operation, with its inputs and parameters.


# %%
class _Diary:
    def __init__(self):
        self.lines = []

    def record(self, primitive, inputs, output, params):
        self.lines.append(f"{primitive.name}{[t.shape for t in inputs]} -> {output.shape}")

    def backward(self, tensor, gradient):
        raise NotImplementedError


diary = _Diary()
before = set_recorder(diary)
(x * 3.0).mean(axis=1)
set_recorder(before)
assert diary.lines == ["multiply[(2, 3), ()] -> (2, 3)", "sum[(2, 3)] -> (2,)", "divide[(2,), ()] -> (2,)"]

# %% [markdown]
# ## 10. Making tensors, joining tensors
#
# Free functions make tensors of a known pattern. Random ones take a `numpy.random.Generator` (or a seed),
# never a hidden global state: with the same generator an experiment repeats exactly.
#
# `concatenate` joins along an axis that exists: two of shape `(2, 3)` become `(4, 3)`. `stack` makes a new
# axis: `(2, 2, 3)`. `where(condition, a, b)` takes `a` where the condition holds and `b` elsewhere, with
# broadcasting over all three.


# %%
#| export
def tensor(data: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor; the same as `Tensor(data, dtype, requires_grad)`."""
    return Tensor(data, dtype, requires_grad)


def _filled(array: _Array, requires_grad: bool) -> Tensor:
    """Wrap a fresh array, with the constructor's check of `requires_grad`."""
    _number_type(array.dtype)
    made = _wrap(array)
    if requires_grad and array.dtype.kind != "f":
        raise TypeError(f"only floating tensors can require gradients; found dtype {array.dtype}")
    made.requires_grad = requires_grad
    return made


def zeros(shape: int | Sequence[int], dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Make a tensor of zeros."""
    return _filled(np.zeros(_shape_of((shape,)), dtype), requires_grad)


def ones(shape: int | Sequence[int], dtype: DTypeLike = np.float32, requires_grad: bool = False) -> Tensor:
    """Make a tensor of ones."""
    return _filled(np.ones(_shape_of((shape,)), dtype), requires_grad)


def full(
    shape: int | Sequence[int],
    value: bool | int | float,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Make a tensor that holds `value` everywhere; the dtype follows from `value` unless given."""
    kind = _to_array(value, None).dtype if dtype is None else dtype
    return _filled(np.full(_shape_of((shape,)), value, kind), requires_grad)


def eye(rows: int, columns: int | None = None, dtype: DTypeLike = np.float32) -> Tensor:
    """Make a matrix with ones on the diagonal and zeros elsewhere."""
    return _filled(np.eye(rows, columns, dtype=dtype), False)


def arange(
    start: float, stop: float | None = None, step: float = 1, dtype: DTypeLike | None = None
) -> Tensor:
    """Make start, start + step, ... up to but without `stop`; `arange(n)` counts from 0.

    Ints give int64, floats float32, unless `dtype` is given."""
    first, last = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ValueError("arange needs a step other than 0")
    whole = all(isinstance(each, _INTEGERS) for each in (first, last, step))
    return _filled(
        np.arange(first, last, step, dtype=dtype or (_DEFAULT_INT if whole else _DEFAULT_FLOAT)), False
    )


def linspace(start: float, stop: float, count: int, dtype: DTypeLike = np.float32) -> Tensor:
    """Make `count` evenly spaced values from `start` to `stop`, both included."""
    return _filled(np.linspace(start, stop, count, dtype=dtype), False)


def zeros_like(other: Tensor, dtype: DTypeLike | None = None) -> Tensor:
    """Make zeros with the shape (and, unless given, the dtype) of `other`."""
    return zeros(other.shape, other.dtype if dtype is None else dtype)


def ones_like(other: Tensor, dtype: DTypeLike | None = None) -> Tensor:
    """Make ones with the shape (and, unless given, the dtype) of `other`."""
    return ones(other.shape, other.dtype if dtype is None else dtype)


def rand(
    shape: int | Sequence[int],
    rng: np.random.Generator | int | None = None,
    dtype: DTypeLike = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Draw uniformly from [0, 1).

    Args:
        shape: Shape of the result.
        rng: A generator, a seed, or None for a stream that differs on every call.
        dtype: A floating dtype.
        requires_grad: As for `Tensor`.
    """
    return _drawn(_generator(rng).random, shape, dtype, requires_grad)


def randn(
    shape: int | Sequence[int],
    rng: np.random.Generator | int | None = None,
    dtype: DTypeLike = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Draw from the normal distribution with mean 0 and variance 1; arguments as for `rand`."""
    return _drawn(_generator(rng).standard_normal, shape, dtype, requires_grad)


def _drawn(
    draw: Callable[..., Any], shape: int | Sequence[int], dtype: DTypeLike, requires_grad: bool
) -> Tensor:
    kind = _number_type(dtype)
    if kind.kind != "f":
        raise TypeError(f"random tensors are floating; found dtype {kind}")
    # float16 is rounded from float32; rounding may give 1.0, which rand promises not to return.
    values = draw(_shape_of((shape,)), dtype=np.float64 if kind == np.float64 else np.float32)
    values = np.asarray(values)
    if kind == np.float16:
        small = values.astype(kind)
        below = np.nextafter(kind.type(1), kind.type(0))
        values = np.where((small == 1) & (values < 1), below, small)
    return _filled(values, requires_grad)


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along an existing axis; all other axes must agree.

    Raises:
        ValueError: No tensors, 0-d tensors, or shapes that do not fit.
        TypeError: Something in the sequence is not a Tensor.
    """
    items = _tensors(tensors, "concatenate")
    if items[0].ndim == 0:
        raise ValueError("concatenate needs tensors with at least one axis; use stack for 0-d tensors")
    return apply(PRIMITIVES["concatenate"], *items, axis=_axis_number(axis, items[0].ndim))


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis at position `axis` of the result.

    Raises:
        ValueError: No tensors, or different shapes.
        TypeError: Something in the sequence is not a Tensor.
    """
    items = _tensors(tensors, "stack")
    return apply(PRIMITIVES["stack"], *items, axis=_axis_number(axis, items[0].ndim + 1))


def _tensors(tensors: Sequence[Tensor], name: str) -> list[Tensor]:
    items = list(tensors)
    if not items:
        raise ValueError(f"{name} needs at least one tensor")
    for each in items:
        if not isinstance(each, Tensor):
            raise TypeError(f"{name} joins tensors; found {type(each).__name__}")
    return items


def where(condition: Tensor | _Array | bool, a: Any, b: Any) -> Tensor:
    """Choose elementwise: `a` where `condition` holds, `b` elsewhere.

    Args:
        condition: Bools; broadcasts with `a` and `b`.
        a: Tensor, array or number.
        b: Tensor, array or number.

    Returns:
        A tensor of the broadcast shape and the common dtype of `a` and `b`.

    Raises:
        TypeError: The condition is not bool, or an operand is not numeric.
    """
    mask = condition if isinstance(condition, Tensor) else Tensor(condition)
    left = (
        a
        if isinstance(a, Tensor)
        else _operand(a, b.dtype if hasattr(b, "dtype") else _to_array(b, None).dtype)
    )
    if left is None:
        raise TypeError(f"where chooses between numbers; found {type(a).__name__}")
    right = b if isinstance(b, Tensor) else _operand(b, left.dtype)
    if right is None:
        raise TypeError(f"where chooses between numbers; found {type(b).__name__}")
    return apply(PRIMITIVES["where"], mask, left, right)


# %%
a = arange(6).reshape(2, 3)
assert concatenate([a, a]).shape == (4, 3) and stack([a, a]).shape == (2, 2, 3)
assert where(a > 2, a, 0).tolist() == [[0, 0, 0], [3, 4, 5]]
assert randn((2, 2), rng=7).tolist() == randn((2, 2), rng=7).tolist()
assert full((2,), 1.5).dtype == np.float32 and zeros(3).tolist() == [0.0, 0.0, 0.0]

# %% [markdown]
# ## 11. A worked example: one layer by hand
#
# A linear layer with a softmax, for a batch of two. Subtracting the row maximum changes nothing in exact
# arithmetic, $\frac{e^{z_i - m}}{\sum_j e^{z_j - m}} = \frac{e^{z_i}}{\sum_j e^{z_j}}$, but keeps `exp`
# from overflowing.

# %%
inputs = Tensor([[1.0, 0.0], [0.0, 1000.0]])  # (2, 2): batch, features
weight = Tensor([[1.0, -1.0, 0.0], [0.5, 0.5, 1.0]])  # (2, 3): features, classes
scores = inputs @ weight  # (2, 3)
shifted = scores - scores.max(axis=1, keepdims=True)  # (2, 1) broadcasts
exponentials = shifted.exp()
probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
assert np.allclose(probabilities.sum(axis=1).data, 1.0)
assert np.allclose(probabilities[1].data, [0.0, 0.0, 1.0])

# %% [markdown]
# ## Summary
#
# - A `Tensor` is a numpy array with a place for a gradient, and operations that all pass through `apply`.
# - Primitives are pure functions on arrays; a recorder at the door can note them. That is all that
#   `autograd` will need.
# - Shapes: broadcasting lines up at the right; reductions remove axes unless `keepdims`; `@` contracts the
#   inner axes.
# - Dtypes: Python numbers are weak, floats win over ints, float32 is the default.
#
# ## Exercises
#
# 1. Write `cumulative_mean(x)` for a 1-d tensor with tensor operations only. Hint: a lower triangular matrix.
# 2. Predict the shape of `zeros((8, 1, 6, 1)) + zeros((7, 1, 5))`, then check.
# 3. Use `windows` to blur an image with a 3x3 mean filter: one `pad`, one `windows`, one `mean`.
# 4. Write a recorder that counts floating point operations of `matmul`, and count those of the worked
#    example.
# 5. In float32, compute `var` of `10000 + randn(1000)` once by this module and once as mean(x^2) -
#    mean(x)^2. Explain the difference.
