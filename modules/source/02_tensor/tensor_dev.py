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
# # Module 02: Tensor
#
# A neural network is a long chain of arithmetic on arrays of numbers. This module builds the one type
# that every later module computes with: `Tensor`, an n-dimensional array on top of NumPy.
#
# Why not use NumPy arrays as they are? Because training needs more than the value of a result. To
# learn, a network must know *how* each number was computed, so that it can ask: "if this weight grew
# a little, how would the loss change?" A NumPy array forgets where it came from the moment it exists.
# So our tensor does all its arithmetic through **one door**, and somebody may stand at that door and
# take notes. The tensor never learns who that is; in module 09 it will be `autograd`, which reads the
# notes backwards and differentiates whatever was computed.
#
# What you will have at the end:
#
# | you write | and get |
# |---|---|
# | `Tensor([[1.0, 2.0], [3.0, 4.0]])` | a 2 by 2 tensor of 32-bit floats |
# | `x + 1.0`, `x * y`, `x @ w` | arithmetic with broadcasting, matrix products |
# | `x.sum(axis=0)`, `x.mean()`, `x.max()` | reductions |
# | `x.T`, `x.reshape(4)`, `x[0, 1:]` | another view of the same numbers |
# | `x > 0` | a tensor of booleans |
#
# The plan: first what a tensor *holds*, then the door, then the operations in groups (arithmetic,
# elementwise functions, reductions, shapes, indexing). The class is built like a ladder: each group
# is a small class that adds its methods to the one below, and `Tensor` is the top rung.

# %%
#| default_exp core.tensor

# %%
#| export
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

# %% [markdown]
# ## 1. Numbers and their types
#
# Every array has a *dtype*: how many bytes a number takes and how they are read. Deep learning lives
# on `float32`: half the memory of `float64`, about twice the speed, and more than enough precision
# for gradients that are noisy anyway.
#
# So we choose defaults that differ from NumPy's in one place, and say exactly what they are:
#
# | data | dtype of the tensor |
# |---|---|
# | Python floats, nested lists of them | `float32` |
# | Python ints, lists of them | `int64` |
# | Python bools, lists of them | `bool` |
# | a NumPy array or NumPy scalar | its own dtype |
#
# Complex numbers, strings and arbitrary objects are refused at once. Otherwise they fail much later,
# far from the mistake.
#
# What is the dtype of `a + b` when the two differ? Two rules:
#
# 1. **Scalars are weak.** In `x * 2.0` the 2.0 takes the dtype of `x`, because nobody who writes
#    `2.0` means "and please turn my network into float64". This holds for Python's scalars and for
#    NumPy's (`np.sqrt(64)` is a `float64` scalar).
# 2. **Floats win over integers, wide wins over narrow.** `float32 + int64` is `float32`,
#    `float32 + float64` is `float64`. Booleans count as the integers 0 and 1.
#
# Plain NumPy breaks the first rule for NumPy scalars, and its answer for `float32 + int64` is
# `float64`. A common mistake in real code: one `float64` array of normalisation constants, and the
# whole network quietly runs at half speed.

# %%
#| export
_Array = npt.NDArray[Any]
_Shape = tuple[int, ...]
_Axes = int | Sequence[int] | None
_DTypeLike = npt.DTypeLike | None

_BOOL = np.dtype(np.bool_)
_INT64 = np.dtype(np.int64)
_FLOAT16 = np.dtype(np.float16)
_FLOAT32 = np.dtype(np.float32)
_DTYPE_CHARACTERS = frozenset("?bBhHiIlLqQefd")
_SCALAR_TYPES = (bool, int, float, np.bool_, np.integer, np.floating)


def _checked_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """Return `dtype` in native byte order, or raise TypeError if tensors cannot hold it."""
    try:
        found = np.dtype(dtype)
    except (TypeError, ValueError):
        raise TypeError(f"a dtype is expected, such as np.float32, found {dtype!r}") from None
    if found.char not in _DTYPE_CHARACTERS:
        raise TypeError(f"a tensor holds bool, int or float16/32/64 numbers, found dtype {found}")
    return found if found.isnative else found.newbyteorder("=")


def _checked_array(array: _Array) -> _Array:
    """Return `array` itself (or its copy in native byte order) after a check of its dtype."""
    return array.astype(_checked_dtype(array.dtype), copy=False)


def _new_array(data: object, dtype: _DTypeLike) -> _Array:
    """Copy `data` into a new array; Python numbers get the default dtypes."""
    wanted = None if dtype is None else _checked_dtype(dtype)
    if isinstance(data, _Storage):
        data = data._data
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(f"nested sequences must have equal lengths at every level: {error}") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"a tensor holds numbers, found {type(data).__name__} data of dtype {array.dtype}")
    if wanted is None and not isinstance(data, (np.ndarray, np.generic)):
        default = {"f": np.dtype(np.float64), "i": np.dtype(np.int_)}.get(array.dtype.kind)
        if array.dtype == default:  # as NumPy reads Python's floats and ints
            wanted = _FLOAT32 if array.dtype.kind == "f" else _INT64
    return array.astype(_checked_dtype(array.dtype) if wanted is None else wanted, copy=False)


def _common_dtype(first: np.dtype[Any], second: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype in which two tensors meet: floats win over integers, wide over narrow."""
    if first.kind == "f" and second.kind != "f":
        return first
    if second.kind == "f" and first.kind != "f":
        return second
    meeting = np.promote_types(first, second)
    return _INT64 if meeting == _BOOL else meeting


# %%
assert _common_dtype(np.dtype("float32"), np.dtype("int64")) == np.float32
assert _common_dtype(np.dtype("float32"), np.dtype("float64")) == np.float64
assert _common_dtype(np.dtype("bool"), np.dtype("bool")) == np.int64
assert np.promote_types("float32", "int64") == np.float64  # NumPy's own answer

# %% [markdown]
# ## 2. The door: primitives and the recorder
#
# Every differentiable computation in the whole course is a composition of about thirty
# **primitives**: `add`, `matmul`, `exp`, `sum`, ... A primitive is a name and a pure function on
# NumPy arrays. "Pure" means that it changes nothing and that equal inputs give equal outputs, so that
# whoever knows the name and the inputs knows everything about the result.
#
# `apply(primitive, *inputs, **params)` is the door:
#
#     x = Tensor([1.0, 4.0])
#     apply(_SQRT, x)                 # what x.sqrt() does
#
#     1. run      array = primitive.forward(x.data)
#     2. wrap     output = a new Tensor around array
#     3. tell     recorder.record(primitive, (x,), output, {})      if there is a recorder
#
# *Inputs* are tensors: things one may want to differentiate with respect to. *Params* are everything
# else: an axis, a shape, an index.
#
# The recorder is a guest. It has one slot in every tensor, `origin`, where it may leave whatever it
# likes; this module only ever asks whether the slot is empty. This is the pattern called *dependency
# inversion*: the low-level module (tensor) defines a small interface, and the high-level one
# (autograd) fits itself into it.
#
# The price must be small, as each training step passes through the door hundreds of times. It is
# about a microsecond per operation: noticeable for ten numbers, lost in the noise for ten thousand.


# %%
#| export
@dataclass(frozen=True, slots=True)
class Primitive:
    """A named, pure function on NumPy arrays: the unit that a recorder sees.

    Attributes:
        name: Identifies the operation; `autograd` keeps one derivative rule per name.
        forward: Computes the result from the inputs' arrays (by position) and the params (by keyword).
    """

    name: str
    forward: Callable[..., Any]


class Recorder(Protocol):
    """What may stand at the door and take notes; see `set_recorder`."""

    def record(
        self, primitive: Primitive, inputs: "tuple[Tensor, ...]", output: "Tensor", params: Mapping[str, Any]
    ) -> None:
        """Note that `output` is `primitive` of `inputs` with `params`. May set `output.origin`."""

    def backward(self, tensor: "Tensor", gradient: "Tensor | _Array | float | None") -> None:
        """Propagate `gradient` (default: 1 for one element) from `tensor` to what it was computed from."""


_recorder: Recorder | None = None


def set_recorder(recorder: Recorder | None) -> Recorder | None:
    """Install the recorder that sees every operation from now on.

    Args:
        recorder: The new recorder, or None to record nothing.

    Returns:
        The recorder that was installed before, so that it can be put back.
    """
    global _recorder
    previous = _recorder
    _recorder = recorder
    return previous


def get_recorder() -> Recorder | None:
    """Return the installed recorder, or None."""
    return _recorder


def apply(primitive: Primitive, *inputs: Any, **params: Any) -> "Tensor":
    """Compute a primitive on tensors: the one door through which all arithmetic goes.

    Args:
        primitive: What to compute.
        *inputs: Tensors, in the order of the arguments of `primitive.forward`.
        **params: Everything that is not a tensor, by keyword.

    Returns:
        A new tensor around the result. An installed recorder has seen it.
    """
    output = _wrap(primitive.forward(*[tensor._data for tensor in inputs], **params))
    if _recorder is not None:
        _recorder.record(primitive, inputs, output, params)
    return output


def _wrap(array: Any) -> "Tensor":
    """Put an array (or the NumPy scalar that full reductions give) into a new Tensor without a copy."""
    tensor: Tensor = _allocate(Tensor)
    tensor._data = array if type(array) is np.ndarray else np.asarray(array)
    tensor._requires_grad = False
    tensor.grad = None
    tensor.origin = None
    tensor.version = 0
    return tensor


_allocate: Callable[..., Any] = object.__new__

# %% [markdown]
# ## 3. What a tensor holds
#
# The first rung of the ladder is storage. A tensor holds an array and four small things:
#
# - `requires_grad`: a mark that says "I want to know the gradient with respect to this one". Weights
#   carry it.
# - `grad`: where that gradient is put, a tensor of the same shape.
# - `origin`: the recorder's slot.
# - `version`: how often the numbers were overwritten in place. So a recorder can notice that a value
#   it noted down has changed since.
#
# `__slots__` tells Python that these are all the attributes there are. An object then needs no
# dictionary of its own: it is smaller and faster to make, and a typing error such as
# `t.requires_gard = True` fails.
#
# **Identity and equality.** `a == b` compares element by element and gives a tensor of booleans, so
# it cannot serve to look tensors up in a dictionary. The hash of a tensor is therefore its identity:
# two tensors are the same key only if they are the same object. And `if a == b:` is refused for more
# than one element, for it could mean "all" or "any".
#
# **No silent way back to NumPy.** `np.exp(tensor)` would compute the right numbers and lose the
# record: the gradient would come out as zero, without a word. So we tell NumPy to keep its hands off
# (`__array_ufunc__ = None`; this also makes `array * tensor` call *our* multiplication) and refuse
# `np.asarray(tensor)`. Whoever wants the numbers says so: `tensor.numpy()` for a copy, `tensor.data`
# for the array itself.


# %%
#| export
class _Storage:
    """First rung: an array, the marks a recorder needs, and conversions to Python and NumPy."""

    __slots__ = ("_data", "_requires_grad", "grad", "origin", "version")

    __array_ufunc__ = None
    _data: _Array
    _requires_grad: bool
    grad: "Tensor | None"
    origin: object | None
    version: int

    def __init__(self, data: object, dtype: _DTypeLike = None, requires_grad: bool = False) -> None:
        self._data = _new_array(data, dtype)
        self.grad = None
        self.origin = None
        self.version = 0
        self.requires_grad = requires_grad

    @property
    def data(self) -> _Array:
        """The array itself, not a copy. Assigning an array of the same shape overwrites the values."""
        return self._data

    @data.setter
    def data(self, value: object) -> None:
        array = np.asarray(value)
        if array.shape != self._data.shape:
            raise ValueError(f"data of shape {self._data.shape} expected, found shape {array.shape}")
        if array.dtype is not self._data.dtype:
            _check_storable(array.dtype, self._data.dtype)
            array = array.astype(self._data.dtype, copy=False)
        self._data = array
        self.version += 1

    @property
    def requires_grad(self) -> bool:
        """Whether the gradient with respect to this tensor is wanted in `.grad`."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if wanted and self._data.dtype.kind != "f":
            raise TypeError(f"only float tensors have gradients, found dtype {self._data.dtype}")
        self._requires_grad = bool(wanted)

    @property
    def shape(self) -> _Shape:
        """The length of every axis."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """The number of axes; 0 for a single number."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements: the product of the shape."""
        return self._data.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the elements."""
        return self._data.dtype

    def numpy(self) -> _Array:
        """Return the values as a new NumPy array."""
        return self._data.copy()

    def tolist(self) -> Any:
        """Return the values as nested Python lists (a Python number for a tensor without axes)."""
        return self._data.tolist()

    def item(self) -> Any:
        """Return the only element as a Python number.

        Raises:
            ValueError: If there is not exactly one element.
        """
        if self._data.size != 1:
            raise ValueError(f"item() needs exactly one element, found shape {self._data.shape}")
        return self._data.item()

    def detach(self) -> "Tensor":
        """Return a tensor that shares the values but has no origin: gradients do not flow through it."""
        return _wrap(self._data)

    def zero_grad(self) -> None:
        """Forget the gradient: `.grad` becomes None."""
        self.grad = None

    def backward(self, gradient: "Tensor | _Array | float | None" = None) -> None:
        """Compute the gradients of this tensor with respect to all it was computed from, into their `.grad`.

        Args:
            gradient: The gradient of the final quantity with respect to this tensor, of this tensor's
                shape. May be left out for a tensor of one element, where it is 1.

        Raises:
            RuntimeError: If no recorder is installed. The recorder may raise errors of its own.
        """
        if _recorder is None:
            raise RuntimeError(
                "nothing was recorded, so there is nothing to differentiate: "
                "import tinytorch.core.autograd before the computation"
            )
        _recorder.backward(self, gradient)  # type: ignore[arg-type]  # every instance is a Tensor

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("a tensor without axes has no length")
        return int(self._data.shape[0])

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self._data.shape} is ambiguous: reduce it first, "
                "for example with (a == b).min()"
            )
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, *_: object, **__: object) -> _Array:
        raise TypeError(
            "NumPy functions do not take tensors, as the record of the computation would be lost: use the "
            "tensor's own methods, stack() to join tensors, or tensor.numpy() for the plain values"
        )

    def __getstate__(self) -> tuple[Any, ...]:
        # A copied or pickled tensor keeps its values and marks. Its origin stays behind: the record
        # belongs to the original, and a whole graph would travel with it.
        return self._data, self._requires_grad, self.grad, getattr(self, "__dict__", None)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._data, self._requires_grad, self.grad, attributes = state
        self.origin = None
        self.version = 0
        if attributes:
            self.__dict__.update(attributes)

    def __repr__(self) -> str:
        name = type(self).__name__
        values = np.array2string(self._data, precision=4, separator=", ", prefix=f"{name}(")
        mark = ", requires_grad=True" if self._requires_grad else ""
        return f"{name}({values}, shape={self._data.shape}, dtype={self._data.dtype}{mark})"


def _check_storable(source: np.dtype[Any], target: np.dtype[Any]) -> None:
    """Raise TypeError where writing would lose the kind of number (float into int, int into bool)."""
    if not np.can_cast(source, target, "same_kind"):
        raise TypeError(f"values of dtype {source} do not fit a tensor of dtype {target}: use astype() first")


# %% [markdown]
# ## 4. Arithmetic and broadcasting
#
# The second rung. Two tensors of the same shape are added element by element. *Broadcasting* extends
# this to shapes that merely fit: line the shapes up at their **right** ends; two lengths fit if they
# are equal or one of them is 1; missing lengths on the left count as 1. A length of 1 is then
# stretched, without copying, to the other's length.
#
#     x      (32, 10)          scores: 32 examples, 10 classes
#     bias       (10,)         one number per class, used for every example
#     x + bias  (32, 10)
#
#     column (3, 1)  +  row (4,)   ->   (3, 4): every sum of an element of one and an element of the other
#
# A common mistake: `(32,) - (32, 1)` is no error but a `(32, 32)` table of all differences. When a
# loss is strangely large, look for this first.
#
# Division of integers gives `float32`, as with Python's `/`. For the power with the scalar exponent
# 2, the most frequent by far (squared errors, variances), `np.square` is several times faster than
# the general `np.power`, which goes through logarithms.


# %%
#| export
def _power_forward(base: _Array, exponent: _Array) -> Any:
    if exponent.ndim == 0 and exponent.item() == 2:
        return np.square(base)
    return np.power(base, exponent)


_ADD = Primitive("add", np.add)
_SUBTRACT = Primitive("subtract", np.subtract)
_MULTIPLY = Primitive("multiply", np.multiply)
_DIVIDE = Primitive("divide", np.divide)
_POWER = Primitive("power", _power_forward)
_NEGATIVE = Primitive("negative", np.negative)
_ABSOLUTE = Primitive("absolute", np.absolute)
_MAXIMUM = Primitive("maximum", np.maximum)
_MINIMUM = Primitive("minimum", np.minimum)
_MATMUL = Primitive("matmul", np.matmul)


def _astype_forward(array: _Array, dtype: np.dtype[Any]) -> Any:
    return array.astype(dtype)


_ASTYPE = Primitive("astype", _astype_forward)

# %%
assert _power_forward(np.array([3.0]), np.array(2.0)) == 9.0
assert np.allclose(_power_forward(np.array([2.0, 3.0]), np.array([3.0, 2.0])), [8.0, 9.0])

# %% [markdown]
# Before a primitive runs, both operands must be tensors of one dtype. `_operands` sees to that. It
# begins with the two cases that matter for speed: two tensors of one dtype, and a float tensor with a
# number. (`is` compares dtypes faster than `==`; where it misses, the general path gives the same.)
#
# An operand that is no number at all (`x + "a"`) is answered with `NotImplemented`, Python's way to
# say "ask the other side". As the other side does not know either, Python raises the usual
# `TypeError`.
#
# A conversion of dtype is a primitive too (`astype`): otherwise the gradient of a `float32` weight
# that meets a `float64` input could not find its way back.


# %%
#| export
_NOT_OURS = cast("Tensor", NotImplemented)  # typed as the result that it stands in for


def _scalar_dtype(value: object, partner: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype that a weak scalar takes beside a tensor of dtype `partner`."""
    if isinstance(value, (float, np.floating)):
        return partner if partner.kind == "f" else _FLOAT32
    return _INT64 if partner == _BOOL and not isinstance(value, (bool, np.bool_)) else partner


def _as_operand(value: object, partner: np.dtype[Any]) -> "_Storage | None":
    """Turn a tensor, array or scalar into a tensor, or return None for anything else."""
    if isinstance(value, _Storage):
        return value
    if isinstance(value, np.ndarray):
        return _wrap(_checked_array(value))
    if isinstance(value, _SCALAR_TYPES):
        return _wrap(np.array(value, dtype=_scalar_dtype(value, partner)))
    return None


def _cast(tensor: "_Storage", dtype: np.dtype[Any]) -> "_Storage":
    """Return `tensor` in `dtype`: itself if it has that dtype already."""
    return tensor if tensor._data.dtype == dtype else apply(_ASTYPE, tensor, dtype=dtype)


def _operands(left: Any, right: Any) -> "tuple[_Storage, _Storage] | None":
    """Bring two operands, at least one of them a tensor, to one dtype; None if one is not a number."""
    if isinstance(left, _Storage):
        dtype = left._data.dtype
        if isinstance(right, _Storage):
            if dtype is right._data.dtype and dtype is not _BOOL:
                return left, right
        elif isinstance(right, (float, int)) and dtype.kind == "f":
            return left, _wrap(np.array(right, dtype))
    first = _as_operand(left, getattr(right, "dtype", _FLOAT32))
    second = _as_operand(right, getattr(left, "dtype", _FLOAT32))
    if first is None or second is None:
        return None
    dtype = _common_dtype(first._data.dtype, second._data.dtype)
    return _cast(first, dtype), _cast(second, dtype)


def _binary(primitive: Primitive, left: Any, right: Any) -> "Tensor":
    """Apply a broadcasting primitive of two operands, or return NotImplemented."""
    pair = _operands(left, right)
    return _NOT_OURS if pair is None else _broadcasting(primitive, *pair)


def _broadcasting(primitive: Primitive, left: "_Storage", right: "_Storage") -> "Tensor":
    """Apply a primitive of two operands of one dtype; shapes that do not fit are named in the error."""
    try:
        return apply(primitive, left, right)
    except ValueError:
        _check_broadcast(primitive.name, left._data.shape, right._data.shape)
        raise


def _check_broadcast(name: str, *shapes: _Shape) -> None:
    """Raise a ValueError that names the shapes if they do not broadcast."""
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(shape) for shape in shapes)
        raise ValueError(
            f"{name}: shapes {listed} do not broadcast: counted from the right, lengths must be equal or 1"
        ) from None


def _divide(left: Any, right: Any) -> "Tensor":
    """Divide; two integers meet in float32."""
    pair = _operands(left, right)
    if pair is None:
        return _NOT_OURS
    return _broadcasting(_DIVIDE, _as_float(pair[0]), _as_float(pair[1]))


def _as_float(tensor: "_Storage") -> "_Storage":
    """Return a float tensor: itself, or a float32 version of integers and booleans."""
    return tensor if tensor._data.dtype.kind == "f" else apply(_ASTYPE, tensor, dtype=_FLOAT32)


# %% [markdown]
# **Matrix product.** For matrices of shapes $(m, k)$ and $(k, n)$ it is
#
# $$C_{ij} = \sum_{p=1}^{k} A_{ip} B_{pj}, \qquad C \text{ of shape } (m, n).$$
#
# With more than two axes the last two are the matrices and those before are a *batch*, which
# broadcasts. A vector on the left counts as a row, on the right as a column, and the axis added for
# that is taken away again:
#
# | left | right | result |
# |---|---|---|
# | `(k,)` | `(k,)` | `()`: the dot product |
# | `(m, k)` | `(k,)` | `(m,)` |
# | `(m, k)` | `(k, n)` | `(m, n)` |
# | `(b, m, k)` | `(k, n)` | `(b, m, n)` |
# | `(b, 1, m, k)` | `(h, k, n)` | `(b, h, m, n)` |
#
# **Comparisons** give booleans. A step function has derivative zero wherever it has one, so they are
# not recorded.


# %%
#| export
def _matmul(left: Any, right: Any) -> "Tensor":
    """Matrix product of two operands, or NotImplemented."""
    pair = _operands(left, right)
    if pair is None:
        return _NOT_OURS
    a, b = pair[0]._data.shape, pair[1]._data.shape
    if not a or not b:
        raise ValueError(f"matmul: both operands need an axis, found shapes {a} and {b}; use * for scalars")
    if a[-1] != (b[-2] if len(b) > 1 else b[0]):
        place = "last but one" if len(b) > 1 else "only"
        raise ValueError(
            f"matmul: the last length of the left shape must equal the {place} length of the right shape, "
            f"found {a} and {b}"
        )
    try:
        return apply(_MATMUL, *pair)
    except ValueError:
        _check_broadcast("matmul (leading axes)", a[:-2], b[:-2])
        raise


def _plain_array(value: object, partner: _Array) -> "_Array | None":
    """Return the array of a comparison's operand, or None if it is not a number."""
    if isinstance(value, _Storage):
        return value._data
    if isinstance(value, np.ndarray):
        return _checked_array(value)
    if isinstance(value, _SCALAR_TYPES):
        return np.asarray(value, dtype=partner.dtype if partner.dtype.kind == "f" else None)
    return None


def _elementwise(function: Callable[..., Any], left: _Array, right: _Array) -> "Tensor":
    """Run an unrecorded function of two arrays; shapes that do not fit are named in the error."""
    try:
        return _wrap(function(left, right))
    except ValueError:
        _check_broadcast(function.__name__, left.shape, right.shape)
        raise


def _compare(function: Callable[..., Any], left: "_Storage", right: object) -> "Tensor":
    """Compare element by element into a bool tensor, or return NotImplemented."""
    array = _plain_array(right, left._data)
    if array is None:
        return _NOT_OURS
    return _elementwise(function, left._data, array)


def _logical(function: Callable[..., Any], left: "_Storage", right: object) -> "Tensor":
    """Combine two masks into a bool tensor, or return NotImplemented."""
    array = _plain_array(right, left._data)
    if array is None:
        return _NOT_OURS
    if left._data.dtype != _BOOL or array.dtype != _BOOL:
        raise TypeError(f"& | ^ combine bool tensors, found dtypes {left._data.dtype} and {array.dtype}")
    return _elementwise(function, left._data, array)


class _Arithmetic(_Storage):
    """Second rung: operators, with broadcasting."""

    __slots__ = ()

    def __add__(self, other: object) -> "Tensor":
        return _binary(_ADD, self, other)

    def __radd__(self, other: object) -> "Tensor":
        return _binary(_ADD, other, self)

    def __sub__(self, other: object) -> "Tensor":
        return _binary(_SUBTRACT, self, other)

    def __rsub__(self, other: object) -> "Tensor":
        return _binary(_SUBTRACT, other, self)

    def __mul__(self, other: object) -> "Tensor":
        return _binary(_MULTIPLY, self, other)

    def __rmul__(self, other: object) -> "Tensor":
        return _binary(_MULTIPLY, other, self)

    def __truediv__(self, other: object) -> "Tensor":
        return _divide(self, other)

    def __rtruediv__(self, other: object) -> "Tensor":
        return _divide(other, self)

    def __pow__(self, exponent: object) -> "Tensor":
        return _binary(_POWER, self, exponent)

    def __rpow__(self, base: object) -> "Tensor":
        return _binary(_POWER, base, self)

    def __matmul__(self, other: object) -> "Tensor":
        return _matmul(self, other)

    def __rmatmul__(self, other: object) -> "Tensor":
        return _matmul(other, self)

    def __neg__(self) -> "Tensor":
        return apply(_NEGATIVE, _cast(self, _INT64) if self._data.dtype == _BOOL else self)

    def __abs__(self) -> "Tensor":
        return apply(_ABSOLUTE, self)

    def __eq__(self, other: object) -> Any:
        return _compare(np.equal, self, other)

    def __ne__(self, other: object) -> Any:
        return _compare(np.not_equal, self, other)

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> "Tensor":
        return _compare(np.less, self, other)

    def __le__(self, other: object) -> "Tensor":
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: object) -> "Tensor":
        return _compare(np.greater, self, other)

    def __ge__(self, other: object) -> "Tensor":
        return _compare(np.greater_equal, self, other)

    def __and__(self, other: object) -> "Tensor":
        return _logical(np.logical_and, self, other)

    def __or__(self, other: object) -> "Tensor":
        return _logical(np.logical_or, self, other)

    def __xor__(self, other: object) -> "Tensor":
        return _logical(np.logical_xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> "Tensor":
        return _logical(np.not_equal, self, True)

    def matmul(self, other: "Tensor | _Array") -> "Tensor":
        """Return the matrix product `self @ other`; leading axes are a batch and broadcast.

        Raises:
            ValueError: If the shapes do not fit.
            TypeError: If `other` is not a tensor or an array.
        """
        return _required(_matmul(self, other), "matmul", other)

    def maximum(self, other: "Tensor | _Array | float") -> "Tensor":
        """Return the larger of two elements at every place; NaN wins."""
        return _required(_binary(_MAXIMUM, self, other), "maximum", other)

    def minimum(self, other: "Tensor | _Array | float") -> "Tensor":
        """Return the smaller of two elements at every place; NaN wins."""
        return _required(_binary(_MINIMUM, self, other), "minimum", other)


def _required(result: "Tensor", name: str, other: object) -> "Tensor":
    """Return `result`, or raise the TypeError that an operator would have got from Python."""
    if result is _NOT_OURS:
        raise TypeError(f"{name} expects a tensor, an array or a number, found {type(other).__name__}")
    return result


# %% [markdown]
# ## 5. Functions of one element
#
# The third rung: `exp`, `log`, `sqrt`, `tanh`, `sin`, `cos` come from NumPy. One function that deep
# learning needs is missing there: the *error function*
#
# $$\operatorname{erf}(x) = \frac{2}{\sqrt{\pi}} \int_0^x e^{-t^2}\, dt,$$
#
# the heart of the normal distribution and of the GELU activation. Python's `math.erf` takes one
# number at a time, so a million elements would take a tenth of a second. We want a vectorised one,
# exact to the last digits of `float64`.
#
# W. J. Cody (*Rational Chebyshev Approximations for the Error Function*, Mathematics of Computation
# 23, 1969, pp. 631-637) splits the axis in three and gives, for each piece, the quotient of two
# polynomials with the smallest possible maximal error:
#
# $$
# \begin{aligned}
# |x| \le 0.46875: &\quad \operatorname{erf}(x) \approx x\, R_1(x^2) \\
# 0.46875 < |x| \le 4: &\quad 1 - \operatorname{erf}(|x|) \approx e^{-x^2} R_2(|x|) \\
# |x| > 4: &\quad 1 - \operatorname{erf}(|x|) \approx \frac{e^{-x^2}}{|x|}
#          \left(\frac{1}{\sqrt\pi} - \frac{1}{x^2} R_3\!\left(\frac{1}{x^2}\right)\right)
# \end{aligned}
# $$
#
# Why not the first formula everywhere? Polynomials cannot flatten out. Far from zero,
# $\operatorname{erf}$ is 1 minus something tiny, and computing the tiny thing is what keeps the
# accuracy. The sign is put back at the end, as $\operatorname{erf}(-x) = -\operatorname{erf}(x)$. The
# coefficients stand highest power first, ready for *Horner's scheme*
# $((c_0 x + c_1) x + c_2) x + \dots$, which needs one multiplication and one addition per
# coefficient.
#
# Horner's scheme reads and writes its array once per coefficient. A long array is therefore worked
# off in blocks small enough to stay in the processor's cache: for a million elements, twice as fast.


# %%
#| export
_ERF_SMALL = (
    (
        1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)  # fmt: skip
_ERF_MIDDLE = (
    (
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1,
        2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    ),
)  # fmt: skip
_ERF_LARGE = (
    (
        1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4,
    ),
    (
        1.0, 2.56852019228982242e0, 1.87295284992346725e0, 5.27905102951428412e-1, 6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)  # fmt: skip
_ONE_OVER_SQRT_PI = 0.56418958354775628695
_ERF_BLOCK = 8192


def _horner(coefficients: Sequence[float], x: _Array) -> _Array:
    """Evaluate a polynomial whose coefficients stand highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total


def _quotient(coefficients: tuple[Sequence[float], Sequence[float]], x: _Array) -> _Array:
    """Evaluate a rational function: numerator over denominator."""
    return _horner(coefficients[0], x) / _horner(coefficients[1], x)


def _erf_block(x: _Array) -> _Array:
    """Error function of a flat float64 array, by Cody (1969)."""
    size = np.abs(x)
    result = np.where(np.isnan(x), x, 1.0)  # beyond 6, 1 is the nearest number in float64
    small = np.flatnonzero(size <= 0.46875)
    middle = np.flatnonzero((size > 0.46875) & (size <= 4.0))
    large = np.flatnonzero((size > 4.0) & (size < 6.0))
    y = size[small]
    result[small] = y * _quotient(_ERF_SMALL, y * y)
    y = size[middle]
    result[middle] = 1.0 - np.exp(-y * y) * _quotient(_ERF_MIDDLE, y)
    y = size[large]
    z = 1.0 / (y * y)
    result[large] = 1.0 - np.exp(-y * y) / y * (_ONE_OVER_SQRT_PI - z * _quotient(_ERF_LARGE, z))
    return np.copysign(result, x)


def _erf_forward(array: _Array) -> _Array:
    """Error function of every element, computed in float64."""
    flat = array.ravel()
    result = np.empty_like(flat)
    for start in range(0, flat.size, _ERF_BLOCK):
        block = slice(start, start + _ERF_BLOCK)
        result[block] = _erf_block(flat[block].astype(np.float64))
    return result.reshape(array.shape)


# %%
from math import erf as reference_erf

points = np.linspace(-7.0, 7.0, 2001)
error = np.abs(_erf_forward(points) - [reference_erf(point) for point in points])
assert error.max() < 4e-16, error.max()
assert _erf_forward(np.array([np.inf, -np.inf, 0.0])).tolist() == [1.0, -1.0, 0.0]

# %% [markdown]
# `clip(low, high)` cuts values off at two limits. The limits are params, not inputs: nobody learns
# them. They are turned into the array's own dtype first, or a Python float beside a `float32` array
# could widen the result under old versions of NumPy.
#
# Functions such as `exp` make no sense for integers, so integers are turned into `float32` first.


# %%
#| export
def _number(name: str, value: Any) -> Any:
    """Return `value` if it is a Python or NumPy number; otherwise raise."""
    if not isinstance(value, _SCALAR_TYPES):
        raise TypeError(f"{name} must be a number, found {value!r}")
    return value


def _clip_forward(array: _Array, low: float | None, high: float | None) -> Any:
    kind = array.dtype.type
    if low is not None:
        array = np.maximum(array, kind(low))
    return array if high is None else np.minimum(array, kind(high))


_EXP = Primitive("exp", np.exp)
_LOG = Primitive("log", np.log)
_SQRT = Primitive("sqrt", np.sqrt)
_TANH = Primitive("tanh", np.tanh)
_ERF = Primitive("erf", _erf_forward)
_SIN = Primitive("sin", np.sin)
_COS = Primitive("cos", np.cos)
_CLIP = Primitive("clip", _clip_forward)


class _Functions(_Arithmetic):
    """Third rung: functions of one element."""

    __slots__ = ()

    def exp(self) -> "Tensor":
        """Return e to the power of every element."""
        return apply(_EXP, _as_float(self))

    def log(self) -> "Tensor":
        """Return the natural logarithm of every element (-inf at 0, NaN below)."""
        return apply(_LOG, _as_float(self))

    def sqrt(self) -> "Tensor":
        """Return the square root of every element (NaN below 0)."""
        return apply(_SQRT, _as_float(self))

    def tanh(self) -> "Tensor":
        """Return the hyperbolic tangent of every element."""
        return apply(_TANH, _as_float(self))

    def erf(self) -> "Tensor":
        """Return the error function of every element (W. J. Cody, Math. Comp. 23, 1969)."""
        return apply(_ERF, _as_float(self))

    def sin(self) -> "Tensor":
        """Return the sine of every element, in radians."""
        return apply(_SIN, _as_float(self))

    def cos(self) -> "Tensor":
        """Return the cosine of every element, in radians."""
        return apply(_COS, _as_float(self))

    def abs(self) -> "Tensor":
        """Return the absolute value of every element."""
        return apply(_ABSOLUTE, self)

    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        """Cut every element off at two limits.

        Args:
            low: The smallest value allowed, or None for no limit.
            high: The largest value allowed, or None for no limit.

        Raises:
            ValueError: If both limits are None, one is NaN, or low exceeds high.
            TypeError: If a limit is not a number.
        """
        limits = [_number("clip's limit", limit) for limit in (low, high) if limit is not None]
        if not limits or not limits[0] <= limits[-1]:
            raise ValueError(f"clip expects low <= high, at least one a number, found {low} and {high}")
        source: _Storage = self
        for limit in limits:
            dtype = source._data.dtype
            source = _cast(source, _common_dtype(dtype, _scalar_dtype(limit, dtype)))
        return apply(_CLIP, source, low=low, high=high)

    def astype(self, dtype: npt.DTypeLike) -> "Tensor":
        """Return a tensor with the elements converted to `dtype`.

        Raises:
            TypeError: If tensors cannot hold `dtype`.
        """
        return apply(_ASTYPE, self, dtype=_checked_dtype(dtype))


# %% [markdown]
# ## 6. Reductions
#
# A reduction takes one or several axes away. `axis` says **which axis disappears**, which is the
# opposite of how many people read it at first:
#
#     x of shape (2, 3):   [[1, 2, 3],
#                           [4, 5, 6]]
#
#     x.sum(axis=0)                 -> [5, 7, 9]        shape (3,)    the 2 is gone
#     x.sum(axis=1)                 -> [6, 15]          shape (2,)    the 3 is gone
#     x.sum(axis=1, keepdims=True)  -> [[6], [15]]      shape (2, 1)  ready to broadcast against x
#     x.sum()                       -> 21               shape ()
#
# `mean` and `var` are compositions of the others, so nobody needs to write a derivative for them:
#
# $$\operatorname{mean}(x) = \frac{1}{n}\sum_i x_i, \qquad
#   \operatorname{var}(x) = \frac{1}{n - d}\sum_i (x_i - \operatorname{mean}(x))^2$$
#
# with $d$ = `ddof`, "delta degrees of freedom": 0 for the variance of these numbers, 1 for an
# unbiased estimate from a sample. The textbook shortcut
# $\operatorname{mean}(x^2) - \operatorname{mean}(x)^2$ saves a pass and can cancel catastrophically:
# for values around $10^4$ in `float32` all digits are lost, and the result may even be negative.
# (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 1.9.)
#
# The mean of nothing does not exist: an empty axis is an error instead of a NaN that spreads. The sum
# of nothing is 0.


# %%
#| export
def _normalised_axes(axis: _Axes, ndim: int) -> tuple[int, ...] | None:
    """Return the axes as a tuple of non-negative ints, or None for all axes.

    Raises:
        TypeError: If an axis is not an int.
        ValueError: If an axis does not exist or is named twice.
    """
    if axis is None:
        return None
    if type(axis) is int and -ndim <= axis < ndim:  # by far the most frequent case
        return (axis % ndim,)
    axes = axis if isinstance(axis, Sequence) else (axis,)
    for one in axes:
        if isinstance(one, bool) or not isinstance(one, (int, np.integer)):
            raise TypeError(f"an axis is an int, found {one!r}")
        if not -ndim <= one < ndim:
            raise ValueError(f"axis {one} does not exist: the tensor has {ndim} axes")
    normal = tuple(int(one) % ndim for one in axes)
    if len(set(normal)) != len(normal):
        raise ValueError(f"an axis is named twice in {axis}")
    return normal


def _one_axis(axis: int, ndim: int) -> int:
    """Return one axis as a non-negative int; raises as `_normalised_axes` does."""
    axes = _normalised_axes(axis, ndim)
    if axes is None or len(axes) != 1:
        raise TypeError(f"one axis is expected, found {axis!r}")
    return axes[0]


def _count(shape: _Shape, axes: tuple[int, ...] | None) -> int:
    """Return how many elements a reduction over `axes` puts together."""
    count = 1
    for axis in range(len(shape)) if axes is None else axes:
        count *= shape[axis]
    return count


_SUM = Primitive("sum", np.add.reduce)
_MAX = Primitive("max", np.maximum.reduce)
_MIN = Primitive("min", np.minimum.reduce)


class _Reductions(_Functions):
    """Fourth rung: operations that take axes away."""

    __slots__ = ()

    def sum(self, axis: _Axes = None, keepdims: bool = False) -> "Tensor":
        """Return the sum over the given axes.

        Args:
            axis: The axis or axes to sum over; None for all.
            keepdims: Keep the summed axes with length 1, so that the result broadcasts against this tensor.

        Returns:
            The sums; int64 for booleans. The sum of no elements is 0.
        """
        return apply(_SUM, self, axis=_normalised_axes(axis, self._data.ndim), keepdims=keepdims)

    def mean(self, axis: _Axes = None, keepdims: bool = False) -> "Tensor":
        """Return the mean over the given axes, a float; see `sum` for the arguments.

        Raises:
            ValueError: If there are no elements to average.
        """
        dtype = self._data.dtype
        if dtype == _FLOAT16:  # sums overflow beyond 65504
            return self.astype(_FLOAT32).mean(axis, keepdims).astype(_FLOAT16)
        axes = _normalised_axes(axis, self._data.ndim)
        count = self._counted("mean", axes)
        total = apply(_SUM, _as_float(self), axis=axes, keepdims=keepdims)
        return apply(_DIVIDE, total, _wrap(np.array(count, total._data.dtype)))

    def var(self, axis: _Axes = None, keepdims: bool = False, ddof: int = 0) -> "Tensor":
        """Return the variance over the given axes, by the two-pass formula; see `sum` for the arguments.

        Args:
            axis: The axis or axes to reduce; None for all.
            keepdims: Keep the reduced axes with length 1.
            ddof: What is taken off the number of elements in the divisor; 1 for the unbiased variance.

        Raises:
            ValueError: If there are not more than `ddof` elements.
        """
        axes = _normalised_axes(axis, self._data.ndim)
        count = self._counted("var", axes)
        if count <= ddof:
            raise ValueError(f"var with ddof={ddof} needs more than {ddof} elements, found {count}")
        centred = self - self.mean(axes, keepdims=True)
        mean_square = (centred * centred).mean(axes, keepdims)
        return mean_square if ddof == 0 else mean_square * (count / (count - ddof))

    def max(self, axis: _Axes = None, keepdims: bool = False) -> "Tensor":
        """Return the largest element over the given axes (NaN if there is one); see `sum` for the arguments.

        Raises:
            ValueError: If there are no elements to compare.
        """
        axes = _normalised_axes(axis, self._data.ndim)
        self._counted("max", axes)
        return apply(_MAX, self, axis=axes, keepdims=keepdims)

    def min(self, axis: _Axes = None, keepdims: bool = False) -> "Tensor":
        """Return the smallest element over the given axes (NaN if there is one); see `sum` for the arguments.

        Raises:
            ValueError: If there are no elements to compare.
        """
        axes = _normalised_axes(axis, self._data.ndim)
        self._counted("min", axes)
        return apply(_MIN, self, axis=axes, keepdims=keepdims)

    def argmax(self, axis: int | None = None) -> "Tensor":
        """Return the position (int64) of the first largest element along `axis`, or in the flattened tensor.

        Raises:
            ValueError: If there are no elements to compare.
        """
        return self._position("argmax", np.argmax, axis)

    def argmin(self, axis: int | None = None) -> "Tensor":
        """Return the position (int64) of the first smallest element along `axis`, or in the flattened tensor.

        Raises:
            ValueError: If there are no elements to compare.
        """
        return self._position("argmin", np.argmin, axis)

    def _position(self, name: str, function: Callable[..., Any], axis: int | None) -> "Tensor":
        one = None if axis is None else _one_axis(axis, self._data.ndim)
        self._counted(name, None if one is None else (one,))
        found = function(self._data, axis=one)
        return _wrap(np.asarray(found, dtype=_INT64))

    def _counted(self, name: str, axes: tuple[int, ...] | None) -> int:
        count = _count(self._data.shape, axes)
        if count == 0:
            raise ValueError(f"{name} of no elements: shape {self._data.shape}, axis {axes}")
        return count


# %%
assert _normalised_axes(-1, 3) == (2,)
assert _normalised_axes((0, -1), 3) == (0, 2)
assert _SUM.forward(np.array([[1, 2, 3], [4, 5, 6]]), axis=(0,), keepdims=False).tolist() == [5, 7, 9]

large = np.array([10000.0, 10001.0, 10002.0], dtype=np.float32)
shortcut = np.mean(large * large) - np.mean(large) ** 2
two_pass = np.mean((large - np.mean(large)) ** 2)
assert abs(two_pass - 2 / 3) < 1e-6 < abs(shortcut - 2 / 3)

# %% [markdown]
# ## 7. Shapes
#
# The fifth rung moves no numbers, or hardly any. An array in memory is one long row of numbers plus a
# recipe: for each axis a length and a *stride*, the distance in memory from one element to the next
# along that axis. Many operations only write a new recipe for the same memory, a **view**:
#
#     x = [[0, 1, 2],        memory 0 1 2 3 4 5     shape (2, 3)   strides (3, 1)
#          [3, 4, 5]]
#     x.T                    memory 0 1 2 3 4 5     shape (3, 2)   strides (1, 3)
#     x.reshape(6)           memory 0 1 2 3 4 5     shape (6,)     strides (1,)
#     x[0].broadcast_to(4,3) memory 0 1 2 ...       shape (4, 3)   strides (0, 1)
#
# A stride of 0 stays in place: that is broadcasting without copying. (Strides are counted in elements
# here; NumPy counts bytes.)
#
# A view shares its numbers with the original: writing to one changes the other. And `reshape` is not
# `transpose`: a `(2, 3)` tensor reshaped to `(3, 2)` keeps the order of the numbers in memory, its
# transpose does not. To confuse the two raises no error; the image of a cat becomes noise.


# %%
#| export
def _normalised_shape(shape: tuple[Any, ...], size: int) -> _Shape:
    """Return the target of a reshape of `size` elements as a tuple of ints, with -1 worked out."""
    lengths = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    target = tuple([_length(length, -1) for length in lengths])
    known, unknown = 1, 0
    for length in target:
        if length == -1:
            unknown += 1
        else:
            known *= length
    if unknown == 0 and known == size:
        return target
    if unknown != 1 or known == 0 or size % known:
        raise ValueError(f"{size} elements do not fit shape {target}")
    return tuple([size // known if length == -1 else length for length in target])


def _length(value: Any, smallest: int = 0) -> int:
    """Return `value` as the length of an axis."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
        raise TypeError(f"a length is an int, found {value!r}")
    if value < smallest:
        raise ValueError(f"a length of at least {smallest} is expected, found {value}")
    return int(value)


def _shape_of(shape: Any) -> _Shape:
    """Return a shape that was given as an int or as a sequence of ints."""
    return tuple([_length(length) for length in (shape if isinstance(shape, Sequence) else (shape,))])


def _transpose_forward(array: _Array, axes: tuple[int, ...]) -> Any:
    return array.transpose(axes)


def _reshape_forward(array: _Array, shape: _Shape) -> Any:
    return array.reshape(shape)


def _broadcast_to_forward(array: _Array, shape: _Shape) -> Any:
    return np.broadcast_to(array, shape)


_TRANSPOSE = Primitive("transpose", _transpose_forward)
_RESHAPE = Primitive("reshape", _reshape_forward)
_BROADCAST_TO = Primitive("broadcast_to", _broadcast_to_forward)

# %%
assert _normalised_shape((2, -1), 6) == (2, 3)
assert _normalised_shape(((3, 2),), 6) == (3, 2)
grid = np.arange(6).reshape(2, 3)
assert _transpose_forward(grid, (1, 0)).tolist() == [[0, 3], [1, 4], [2, 5]]
assert _reshape_forward(grid, (3, 2)).tolist() == [[0, 1], [2, 3], [4, 5]]

# %% [markdown]
# **Padding** puts a border of constant values around a tensor. **Windows** is the operation behind
# convolution and pooling: it lays a small frame over an image at every position and collects what the
# frame shows. For images `x` of shape $(N, C, H, W)$ and a kernel of $k_h \times k_w$ places,
#
# $$\text{windows}[n, c, i, j, p, q] = x[n, c,\; i\, s_h + p\, d_h,\; j\, s_w + q\, d_w]$$
#
# where the *stride* $s$ is the step from one frame to the next and the *dilation* $d$ the step
# between the places within a frame. The frame spans $d_h(k_h - 1) + 1$ rows, so there are
#
# $$O_h = \left\lfloor \frac{H - d_h(k_h - 1) - 1}{s_h} \right\rfloor + 1$$
#
# positions (Dumoulin and Visin, *A guide to convolution arithmetic for deep learning*, 2016), and
# likewise for columns. Look at the index formula: it is linear in $i, j, p, q$. So this, too, is only
# a recipe of strides, a view with six axes, and no Python loop visits a pixel:
#
#     image row      0 1 2 3 4        kernel 3, stride 2:   [[0, 1, 2],
#                                                            [2, 3, 4]]
#
# The 2 appears twice in the view and once in memory. Writing to such a view would change several
# places at once, so it is read-only.


# %%
#| export
def _pad_forward(array: _Array, widths: tuple[tuple[int, int], ...], value: float) -> _Array:
    sides = list(zip(array.shape, widths, strict=True))
    result = np.full([before + length + after for length, (before, after) in sides], value, array.dtype)
    result[tuple([slice(before, before + length) for length, (before, _) in sides])] = array
    return result


def _windows_forward(
    array: _Array, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> _Array:
    n, c, h, w = array.shape
    step_n, step_c, step_h, step_w = array.strides
    rows = (h - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
    columns = (w - dilation[1] * (kernel[1] - 1) - 1) // stride[1] + 1
    return np.lib.stride_tricks.as_strided(
        array,
        shape=(n, c, rows, columns, *kernel),
        strides=(
            step_n, step_c, step_h * stride[0], step_w * stride[1],
            step_h * dilation[0], step_w * dilation[1],
        ),
        writeable=False,
    )  # fmt: skip


_PAD = Primitive("pad", _pad_forward)
_WINDOWS = Primitive("windows", _windows_forward)


def _pair(value: int | Sequence[int], name: str) -> tuple[int, int]:
    """Return a positive int or a pair of them as a pair (rows, columns)."""
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} is one int or a pair (rows, columns), found {value!r}")
    return _length(pair[0], 1), _length(pair[1], 1)


class _Shaping(_Reductions):
    """Fifth rung: the same numbers in another arrangement."""

    __slots__ = ()

    @property
    def T(self) -> "Tensor":  # noqa: N802  # the mathematical sign
        """The tensor with its axes in reverse order: the transposed matrix."""
        return self.transpose()

    def transpose(self, *axes: Any) -> "Tensor":
        """Return the tensor with its axes in another order.

        Args:
            *axes: For every axis of the result, the axis of this tensor it comes from, as ints or as one
                sequence. Without any, the order is reversed.

        Raises:
            ValueError: If not every axis is named exactly once.
        """
        ndim = self._data.ndim
        given = axes[0] if len(axes) == 1 else axes
        if given is None or len(axes) == 0:
            return apply(_TRANSPOSE, self, axes=tuple(range(ndim - 1, -1, -1)))
        order = _normalised_axes(given.tolist() if isinstance(given, np.ndarray) else given, ndim)
        if order is None or len(order) != ndim:
            raise ValueError(f"transpose expects each of {ndim} axes once, found {axes}")
        return apply(_TRANSPOSE, self, axes=order)

    def permute(self, *axes: Any) -> "Tensor":
        """Return the tensor with its axes in the given order; the same as `transpose(*axes)`."""
        return self.transpose(*axes)

    def swapaxes(self, first: int, second: int) -> "Tensor":
        """Return the tensor with two axes exchanged."""
        a, b = _one_axis(first, self._data.ndim), _one_axis(second, self._data.ndim)
        order = list(range(self._data.ndim))
        order[a], order[b] = b, a
        return apply(_TRANSPOSE, self, axes=tuple(order))

    def reshape(self, *shape: Any) -> "Tensor":
        """Return the elements, in the same order, in another shape.

        Args:
            *shape: The new lengths, as ints or as one sequence. One of them may be -1: it is worked out.

        Raises:
            ValueError: If the number of elements does not fit.
        """
        return apply(_RESHAPE, self, shape=_normalised_shape(shape, self._data.size))

    def flatten(self, start: int = 0) -> "Tensor":
        """Return the tensor with the axes from `start` on made into one; flatten(1) keeps a batch axis."""
        shape = self._data.shape
        if start == 0:
            return apply(_RESHAPE, self, shape=(self._data.size,))
        first = _one_axis(start, len(shape))
        return apply(_RESHAPE, self, shape=(*shape[:first], _count(shape[first:], None)))

    def expand_dims(self, axis: int) -> "Tensor":
        """Return the tensor with a new axis of length 1, which stands at position `axis` of the result."""
        shape = list(self._data.shape)
        shape.insert(_one_axis(axis, len(shape) + 1), 1)
        return apply(_RESHAPE, self, shape=tuple(shape))

    def squeeze(self, axis: _Axes = None) -> "Tensor":
        """Return the tensor without the given axes of length 1; without all of them for None.

        Raises:
            ValueError: If a given axis has another length than 1.
        """
        shape = self._data.shape
        axes = _normalised_axes(axis, len(shape))
        if axes is None:
            return apply(_RESHAPE, self, shape=tuple(length for length in shape if length != 1))
        if any(shape[one] != 1 for one in axes):
            raise ValueError(f"squeeze takes away axes of length 1, found axis {axis} of shape {shape}")
        return apply(_RESHAPE, self, shape=tuple(length for i, length in enumerate(shape) if i not in axes))

    def broadcast_to(self, *shape: Any) -> "Tensor":
        """Return the tensor stretched to `shape` by the rules of broadcasting, without copying.

        Raises:
            ValueError: If this tensor does not broadcast to `shape`.
        """
        target = _shape_of(shape[0] if len(shape) == 1 else shape)
        try:
            return apply(_BROADCAST_TO, self, shape=target)
        except ValueError:
            raise ValueError(f"shape {self._data.shape} does not broadcast to {target}") from None

    def pad(self, widths: Sequence[Sequence[int]], value: float = 0.0) -> "Tensor":
        """Return the tensor with a border of constant values.

        Args:
            widths: For every axis a pair: how many elements to add before and after.
            value: What the border is filled with.

        Raises:
            ValueError: If there is not one pair of non-negative ints per axis.
            TypeError: If a width is not an int, or the value does not fit the dtype.
        """
        given = widths if isinstance(widths, Sequence) else ()
        if not all(isinstance(pair, Sequence) for pair in given):
            raise ValueError(f"pad expects pairs (before, after), one per axis, found {widths!r}")
        pairs = tuple(tuple(_length(width) for width in pair) for pair in given)
        if len(pairs) != self._data.ndim or any(len(pair) != 2 for pair in pairs):
            raise ValueError(
                f"pad expects {self._data.ndim} pairs (before, after), one per axis, found {widths!r}"
            )
        _check_storable(_scalar_dtype(_number("pad's value", value), self._data.dtype), self._data.dtype)
        return apply(_PAD, self, widths=pairs, value=value)

    def windows(
        self, kernel: int | Sequence[int], stride: int | Sequence[int] = 1, dilation: int | Sequence[int] = 1
    ) -> "Tensor":
        """Return every kernel-sized window of a batch of images, as a read-only view.

        Args:
            kernel: Rows and columns of a window; one int for both.
            stride: Steps from one window to the next.
            dilation: Steps between the places within a window.

        Returns:
            Shape (N, C, OH, OW, KH, KW) for this tensor's shape (N, C, H, W), where
            OH = (H - dilation * (KH - 1) - 1) // stride + 1 (Dumoulin and Visin, 2016).

        Raises:
            ValueError: If this tensor has not four axes, a number is not positive, or the window
                exceeds the image.
        """
        if self._data.ndim != 4:
            raise ValueError(f"windows expects the shape (N, C, H, W), found {self._data.shape}")
        pairs = _pair(kernel, "kernel"), _pair(stride, "stride"), _pair(dilation, "dilation")
        span = tuple(d * (k - 1) + 1 for k, d in zip(pairs[0], pairs[2], strict=True))
        if span[0] > self._data.shape[2] or span[1] > self._data.shape[3]:
            raise ValueError(f"a window that spans {span} does not fit images of {self._data.shape[2:]}")
        return apply(_WINDOWS, self, kernel=pairs[0], stride=pairs[1], dilation=pairs[2])


# %%
row = np.arange(5.0).reshape(1, 1, 1, 5)
assert _windows_forward(row, (1, 3), (1, 2), (1, 1))[0, 0, 0, :, 0].tolist() == [[0, 1, 2], [2, 3, 4]]
assert _windows_forward(row, (1, 2), (1, 1), (1, 3))[0, 0, 0, :, 0].tolist() == [[0, 3], [1, 4]]
assert _pad_forward(np.array([1.0, 2.0]), ((1, 2),), 9.0).tolist() == [9, 1, 2, 9, 9]

# %% [markdown]
# ## 8. Indexing
#
# The last rung but one. There are two kinds of index, and they differ in more than looks:
#
# | index | example | result |
# |---|---|---|
# | basic: ints, slices, `None`, `...` | `x[0]`, `x[:, 1:3]` | a view |
# | advanced: integer or boolean arrays | `x[[2, 0, 0]]`, `x[x > 0]` | a copy |
#
# With integer arrays one can pick an element for every row: `logits[rows, labels]` with
# `rows = arange(n)` gives, for each example, the score of its true class. Cross-entropy needs just
# this; and an embedding table is `table[tokens]`.
#
# Index arrays are copied when they are used: a recorder keeps the index, and a data loader may reuse
# its buffer for the next batch.
#
# **Writing in place**, `x[0] = 5.0`, is allowed where it cannot falsify a record. If `x` was computed
# by a recorded operation, the note "x is the exp of y" would become a lie, so that is refused.
# Writing a recorded value *into* a tensor would lose its record, so that is refused too. `where` and
# `concatenate` do the same jobs without overwriting.


# %%
#| export
_BASIC_INDEX_TYPES = (int, slice, type(None), type(Ellipsis))


def _plain_index(index: Any) -> Any:
    """Return an index that NumPy understands: tensors and lists become new arrays."""
    if type(index) in _BASIC_INDEX_TYPES:
        return index
    if isinstance(index, tuple):
        return tuple([_plain_index(part) for part in index])
    if isinstance(index, _Storage):
        index = index._data
    if isinstance(index, (list, np.ndarray)):
        array = np.array(index)
        if array.size == 0 and isinstance(index, list):
            array = array.astype(_INT64)
        if array.dtype.kind not in "biu":
            raise TypeError(f"an index array holds ints or bools, found dtype {array.dtype}")
        return array
    return index


def _getitem_forward(array: _Array, index: Any) -> Any:
    return array[index]


_GETITEM = Primitive("getitem", _getitem_forward)


class _Indexing(_Shaping):
    """Sixth rung: reading and writing parts."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> "Tensor":
        return apply(_GETITEM, self, index=_plain_index(index))

    def __setitem__(self, index: Any, value: object) -> None:
        if self.origin is not None:
            raise RuntimeError(
                "this tensor was computed by a recorded operation, and writing into it would falsify the "
                "record: use where() or concatenate(), or write into a copy: Tensor(this)"
            )
        if isinstance(value, _Storage) and value.origin is not None:
            raise RuntimeError(
                "the assigned tensor was computed by a recorded operation, and the record would be lost: "
                "use where(), stack() or concatenate(), or assign detach() if no gradient is wanted"
            )
        array = value._data if isinstance(value, _Storage) else np.asarray(value)
        if isinstance(value, _SCALAR_TYPES):
            _check_storable(_scalar_dtype(value, self._data.dtype), self._data.dtype)
        else:
            _check_storable(array.dtype, self._data.dtype)
        self._data[_plain_index(index)] = array
        self.version += 1

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[i] for i in range(len(self)))


# %% [markdown]
# ## 9. The tensor
#
# The top rung has nothing left to do but to say what the whole is. (`__weakref__` allows others to
# refer to a tensor without keeping it alive.)


# %%
#| export
class Tensor(_Indexing):
    """An n-dimensional array of numbers whose operations can be recorded, and therefore differentiated.

    Args:
        data: A number, nested sequences of numbers, a NumPy array or another tensor. It is always copied.
        dtype: The type of the elements. By default Python floats become float32, ints int64, bools
            bool, and NumPy arrays keep their dtype.
        requires_grad: Whether the gradient with respect to this tensor is wanted in `.grad`.

    Attributes:
        data: The NumPy array that holds the values.
        requires_grad: See above.
        grad: The gradient, a tensor of the same shape, or None as long as none was computed.
        origin: Belongs to whoever records operations; None for a tensor that no recorded one computed.
        version: How often the values were overwritten in place: by assignment to the tensor's elements or to
            `data`. Writing through a view of it, or into the array behind `data`, is not counted.

    Raises:
        TypeError: If the data are not numbers, or a gradient is wanted for integers.
        ValueError: If nested sequences have unequal lengths.
    """

    __slots__ = ("__weakref__",)


# %% [markdown]
# Try it. The first cell is the example of broadcasting from above.

# %%
x = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
bias = Tensor([10.0, 20.0, 30.0])
assert (x + bias).tolist() == [[11.0, 22.0, 33.0], [14.0, 25.0, 36.0]]
assert (x * 2.0).dtype == np.float32  # scalars are weak
assert (Tensor([1, 2]) / 2).tolist() == [0.5, 1.0]
assert (np.ones(3) * Tensor([1.0, 2.0, 3.0])).tolist() == [1.0, 2.0, 3.0]
assert (x > 2).tolist() == [[False, False, True], [True, True, True]]
assert repr(Tensor([1.0, 2.5])) == "Tensor([1. , 2.5], shape=(2,), dtype=float32)"

try:
    x + Tensor([1.0, 2.0])
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("shapes that do not fit must be refused")
assert "(2, 3) and (2,) do not broadcast" in message

# %%
assert (x @ x.T).tolist() == [[14.0, 32.0], [32.0, 77.0]]
assert (bias @ bias).item() == 1400.0
assert x.sum(axis=0).tolist() == [5.0, 7.0, 9.0]
assert x.mean(axis=1, keepdims=True).tolist() == [[2.0], [5.0]]
assert abs(x.var().item() - 35 / 12) < 1e-6
assert x.argmax(axis=1).tolist() == [2, 2]
assert x.reshape(3, -1).shape == (3, 2)
assert x.expand_dims(0).shape == (1, 2, 3)
assert x[1, [0, 2]].tolist() == [4.0, 6.0]
assert x[x > 4.5].tolist() == [5.0, 6.0]

# %% [markdown]
# Now the door. A recorder that merely lists the names shows what a softmax is made of:


# %%
class Listener:
    """Writes down the name of every primitive it sees."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def record(self, primitive, inputs, output, params) -> None:
        self.names.append(primitive.name)

    def backward(self, tensor, gradient) -> None:
        raise NotImplementedError


listener = Listener()
previous = set_recorder(listener)
exponentials = (x - x.max(axis=1, keepdims=True)).exp()
softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
set_recorder(previous)
assert listener.names == ["max", "subtract", "exp", "sum", "divide"]
assert abs(softmax.sum().item() - 2.0) < 1e-6

# %% [markdown]
# ## 10. Making tensors
#
# Functions that make tensors from nothing. Random ones take a *generator*: the number 7 gives the
# same numbers today and tomorrow, and so an experiment can be repeated. A `np.random.Generator`
# continues where it stands, which is what one wants when many tensors are drawn one after the other.
# A common mistake is to pass the same number for every layer: all layers start with the same weights.


# %%
#| export
def tensor(data: object, dtype: _DTypeLike = None, requires_grad: bool = False) -> Tensor:
    """Make a tensor from data; the same as `Tensor(data, dtype, requires_grad)`."""
    return Tensor(data, dtype, requires_grad)


def _made(array: _Array, requires_grad: bool) -> Tensor:
    """Wrap an array that nobody else holds."""
    result = _wrap(_checked_array(array))
    result.requires_grad = requires_grad
    return result


def _check_finite(name: str, value: object) -> None:
    if not np.isfinite(_number(f"{name}'s argument", value)):
        raise ValueError(f"{name} expects finite numbers, found {value}")


def zeros(
    shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32, requires_grad: bool = False
) -> Tensor:
    """Make a tensor of zeros."""
    return _made(np.zeros(_shape_of(shape), _checked_dtype(dtype)), requires_grad)


def ones(
    shape: int | Sequence[int], dtype: npt.DTypeLike = np.float32, requires_grad: bool = False
) -> Tensor:
    """Make a tensor of ones."""
    return _made(np.ones(_shape_of(shape), _checked_dtype(dtype)), requires_grad)


def full(
    shape: int | Sequence[int], value: float, dtype: _DTypeLike = None, requires_grad: bool = False
) -> Tensor:
    """Make a tensor filled with one value; its dtype is that of `Tensor(value)` if none is given."""
    filling = _new_array(value, dtype)
    if filling.ndim:
        raise ValueError(f"full expects one number, found shape {filling.shape}")
    return _made(np.full(_shape_of(shape), filling), requires_grad)


def eye(rows: int, columns: int | None = None, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """Make a matrix with ones on the diagonal and zeros elsewhere (square if `columns` is not given)."""
    return _made(
        np.eye(_length(rows), None if columns is None else _length(columns), dtype=_checked_dtype(dtype)),
        False,
    )


def arange(start: float, stop: float | None = None, step: float = 1, dtype: _DTypeLike = None) -> Tensor:
    """Make the numbers from `start` up to, but not including, `stop`, like Python's range.

    Args:
        start: The first number; with no `stop` given, the end, and the first number is 0.
        stop: The end, not included.
        step: The distance between two numbers.
        dtype: By default int64 if all three are ints, else float32.

    Raises:
        ValueError: If `step` is 0, or a number is NaN or infinite.
        TypeError: If something is not a number.
    """
    for number in (start, 0 if stop is None else stop, step):
        _check_finite("arange", number)
    if step == 0:
        raise ValueError("arange expects a step other than 0")
    first, last = (0, start) if stop is None else (start, stop)
    whole = all(isinstance(number, (int, np.integer)) for number in (first, last, step))
    wanted = (_INT64 if whole else _FLOAT32) if dtype is None else _checked_dtype(dtype)
    return _made(np.arange(first, last, step).astype(wanted), False)


def linspace(start: float, stop: float, count: int, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """Make `count` evenly spaced numbers from `start` to `stop`, both included."""
    _check_finite("linspace", start)
    _check_finite("linspace", stop)
    return _made(np.linspace(start, stop, _length(count)).astype(_checked_dtype(dtype)), False)


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} expects a Tensor, found {type(value).__name__}")


def zeros_like(other: Tensor, dtype: _DTypeLike = None) -> Tensor:
    """Make a tensor of zeros with the shape, and by default the dtype, of another."""
    _check_tensor("zeros_like", other)
    return zeros(other.shape, other.dtype if dtype is None else dtype)


def ones_like(other: Tensor, dtype: _DTypeLike = None) -> Tensor:
    """Make a tensor of ones with the shape, and by default the dtype, of another."""
    _check_tensor("ones_like", other)
    return ones(other.shape, other.dtype if dtype is None else dtype)


def rand(
    shape: int | Sequence[int],
    rng: np.random.Generator | int | None = None,
    dtype: npt.DTypeLike = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Make random numbers, evenly distributed from 0 (included) to 1 (not included).

    Args:
        shape: The shape of the tensor.
        rng: A NumPy generator, or a seed for a new one; None for numbers that differ every time.
        dtype: A float dtype.
        requires_grad: Whether the gradient with respect to the tensor is wanted.

    Raises:
        TypeError: If `dtype` is not a float dtype.
    """
    drawn, wanted = _random_dtypes(dtype)
    array = np.random.default_rng(rng).random(_shape_of(shape), dtype=drawn)
    return _made(array.astype(wanted, copy=False), requires_grad)


def randn(
    shape: int | Sequence[int],
    rng: np.random.Generator | int | None = None,
    dtype: npt.DTypeLike = np.float32,
    requires_grad: bool = False,
) -> Tensor:
    """Make random numbers from the normal distribution, mean 0 and variance 1; arguments as for `rand`."""
    drawn, wanted = _random_dtypes(dtype)
    array = np.random.default_rng(rng).standard_normal(_shape_of(shape), dtype=drawn)
    return _made(array.astype(wanted, copy=False), requires_grad)


def _random_dtypes(dtype: npt.DTypeLike) -> tuple[Any, np.dtype[Any]]:
    """Return the dtype in which NumPy can draw, and the one that is wanted."""
    wanted = _checked_dtype(dtype)
    if wanted.kind != "f":
        raise TypeError(f"random numbers are floats, found dtype {wanted}")
    return (_FLOAT32 if wanted == _FLOAT16 else wanted), wanted


# %%
assert zeros((2, 3)).shape == (2, 3)
assert zeros(3).dtype == np.float32
assert arange(4).tolist() == [0, 1, 2, 3]
assert arange(0.0, 1.0, 0.25).dtype == np.float32
assert (randn(5, rng=7) == randn(5, rng=7)).min()
generator = np.random.default_rng(7)
assert not (randn(5, generator) == randn(5, generator)).min()

# %% [markdown]
# ## 11. Joining and choosing
#
# Three functions take several tensors on an equal footing, so they are functions and not methods:
#
#     concatenate([a, b], axis=0)   (2, 3) and (4, 3)  -> (6, 3)      along an axis that exists
#     stack([a, b], axis=0)         (3,) and (3,)      -> (2, 3)      along a new axis
#     where(condition, a, b)        a where the condition is true, else b; broadcasting
#
# `where` evaluates *both* branches. `where(x > 0, x.sqrt(), 0.0)` still computes the root of the
# negative elements; the NaN is dropped from the value, but in a gradient it comes back as
# $0 \cdot \text{NaN}$. The cure is to make the input safe first:
# `where(x > 0, where(x > 0, x, 1.0).sqrt(), 0.0)`.


# %%
#| export
def _concatenate_forward(*arrays: _Array, axis: int) -> Any:
    return np.concatenate(arrays, axis=axis)


def _stack_forward(*arrays: _Array, axis: int) -> Any:
    return np.stack(arrays, axis=axis)


_CONCATENATE = Primitive("concatenate", _concatenate_forward)
_STACK = Primitive("stack", _stack_forward)
_WHERE = Primitive("where", np.where)


def _same_dtype(tensors: Sequence[Tensor], name: str) -> list[_Storage]:
    """Bring the tensors of a list to one dtype."""
    if not isinstance(tensors, Iterable):
        raise TypeError(f"{name} expects a sequence of tensors, found {type(tensors).__name__}")
    parts = list(tensors)
    for part in parts:
        if not isinstance(part, Tensor):
            raise TypeError(f"{name} expects a sequence of tensors, found one of {type(part).__name__}")
    if not parts:
        raise ValueError(f"{name} expects at least one tensor, found none")
    dtype = parts[0].dtype
    for part in parts[1:]:
        if part.dtype != dtype:
            dtype = _common_dtype(dtype, part.dtype)
    return [_cast(part, dtype) for part in parts]


def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along an axis that they have.

    Args:
        tensors: At least one tensor; all shapes equal except along `axis`.
        axis: Where they are joined.

    Raises:
        ValueError: If there are no tensors or the shapes do not fit.
        TypeError: If something in the sequence is not a tensor.
    """
    parts = _same_dtype(tensors, "concatenate")
    position = _one_axis(axis, parts[0].ndim)
    rests = {(part.shape[:position], part.shape[position + 1 :]) for part in parts}
    if len({part.ndim for part in parts}) > 1 or len(rests) > 1:
        raise ValueError(f"concatenate: shapes differ outside axis {axis}: {[part.shape for part in parts]}")
    return apply(_CONCATENATE, *parts, axis=position)


def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors of equal shape along a new axis, which stands at position `axis` of the result.

    Raises:
        ValueError: If there are no tensors or the shapes differ.
        TypeError: If something in the sequence is not a tensor.
    """
    parts = _same_dtype(tensors, "stack")
    if len({part.shape for part in parts}) > 1:
        raise ValueError(f"stack expects equal shapes, found {[part.shape for part in parts]}")
    return apply(_STACK, *parts, axis=_one_axis(axis, parts[0].ndim + 1))


def where(condition: Tensor | _Array, a: Tensor | _Array | float, b: Tensor | _Array | float) -> Tensor:
    """Choose, element by element, from `a` where the condition is true and from `b` where it is not.

    Args:
        condition: Booleans.
        a: What to take where the condition is true.
        b: What to take where it is false. All three broadcast against each other.

    Raises:
        TypeError: If the condition is not made of booleans, or `a` or `b` is not a number.
        ValueError: If the shapes do not broadcast.
    """
    mask = _as_operand(condition, _BOOL)
    if mask is None or mask.dtype != _BOOL:
        found = type(condition).__name__ if mask is None else mask.dtype
        raise TypeError(f"where expects a condition of dtype bool, found {found}")
    if isinstance(a, _SCALAR_TYPES) and isinstance(b, _SCALAR_TYPES):
        a = Tensor(a)
    first = _as_operand(a, getattr(b, "dtype", _FLOAT32))
    second = _as_operand(b, getattr(a, "dtype", _FLOAT32))
    if first is None or second is None:
        raise TypeError(f"where chooses among numbers, found {type(a).__name__} and {type(b).__name__}")
    if first.dtype != second.dtype:
        dtype = _common_dtype(first.dtype, second.dtype)
        first, second = _cast(first, dtype), _cast(second, dtype)
    _check_broadcast("where", mask.shape, first.shape, second.shape)
    return apply(_WHERE, mask, first, second)


# %%
assert concatenate([x, x]).shape == (4, 3)
assert concatenate([x, x], axis=1).shape == (2, 6)
assert stack([bias, bias], axis=1).shape == (3, 2)
assert where(x > 3.0, x, 0.0).tolist() == [[0.0, 0.0, 0.0], [4.0, 5.0, 6.0]]

# %% [markdown]
# ## 12. The list of primitives
#
# Whoever wants to treat all of them, such as `autograd` with its derivative rules, finds them here by
# name.

# %%
#| export
_ALL_PRIMITIVES = (
    _ADD, _SUBTRACT, _MULTIPLY, _DIVIDE, _POWER, _NEGATIVE, _EXP, _LOG, _SQRT, _TANH, _ERF, _SIN, _COS,
    _ABSOLUTE, _MAXIMUM, _MINIMUM, _CLIP, _WHERE, _SUM, _MAX, _MIN, _MATMUL, _TRANSPOSE, _RESHAPE,
    _BROADCAST_TO, _GETITEM, _PAD, _CONCATENATE, _STACK, _WINDOWS, _ASTYPE,
)  # fmt: skip
PRIMITIVES: Mapping[str, Primitive] = MappingProxyType(
    {primitive.name: primitive for primitive in _ALL_PRIMITIVES}
)

# %%
assert len(PRIMITIVES) == 31
assert all(name == primitive.name for name, primitive in PRIMITIVES.items())

# %% [markdown]
# ## Summary
#
# - A tensor is a NumPy array with four small things: `requires_grad`, `grad`, `origin`, `version`.
# - All differentiable arithmetic is made of 31 primitives, pure functions on arrays that pass one
#   door, `apply`. Whoever installs a recorder there sees everything; nobody else has to know.
# - Broadcasting aligns shapes at the right; lengths must be equal or 1.
# - `axis` names the axis that disappears. `keepdims=True` leaves a 1 behind, ready to broadcast.
# - Shape operations and slices are views: no copying, shared numbers. Index arrays copy.
# - Scalars are weak, floats win over integers, wide wins over narrow.
#
# ## Exercises
#
# 1. Write `logsumexp(x, axis)`, $\log \sum_i e^{x_i}$, so that it is exact for `x = [1000.0, 1000.0]`
#    too. Which value must be subtracted first, and why is the result still right?
# 2. Standardise the columns of a `(100, 5)` tensor to mean 0 and variance 1 in one line. Where is
#    `keepdims` needed, and where not?
# 3. Compute all pairwise squared distances between the rows of a `(n, d)` and a `(m, d)` tensor, once
#    by broadcasting and once by $|a|^2 - 2 a \cdot b + |b|^2$. Compare memory, time, and the accuracy
#    for two nearly equal rows.
# 4. Express the mean over 2 by 2 blocks of an image with `windows`, and again with `reshape` alone.
# 5. Write a recorder that counts multiplications and additions, and measure a matrix product of two
#    64 by 64 matrices.
