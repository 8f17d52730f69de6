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
# # Module 09: Autograd
#
# Training means: change every weight a little, in the direction that makes the loss smaller. The
# direction is given by the *gradient*, the derivative of the loss with respect to each weight. A
# small network has ten thousand weights, a large one a hundred billion. Where do all these
# derivatives come from?
#
# Three ways to get a derivative:
#
# | way | cost for n weights | accuracy |
# |---|---|---|
# | by hand, on paper | your weekend, for each new network | exact, if you made no mistake |
# | nudge each weight and look at the loss | n + 1 runs of the network | about half the digits |
# | **reverse-mode automatic differentiation** | about 3 runs, for *any* n | exact to rounding |
#
# The third is what this module builds. It does not manipulate formulas, and it does not approximate.
# It uses that every computation, however long, is a chain of about thirty primitives, that the
# derivative of each primitive fits into one line, and that the chain rule says how to put the lines
# together.
#
# In module 02 we left the door open: every operation passes `apply`, and a *recorder* may take notes.
# Now we write that recorder. Layers, losses, convolutions and attention become differentiable without
# a change to their code; they do not even know that this module exists.
#
# The idea is older than deep learning: S. Linnainmaa, master's thesis, University of Helsinki, 1970.
# A good survey is Baydin, Pearlmutter, Radul and Siskind, *Automatic Differentiation in Machine
# Learning: a Survey*, Journal of Machine Learning Research 18, 2018. The textbook is Griewank and
# Walther, *Evaluating Derivatives*, SIAM, 2nd ed. 2008.

# %%
#| default_exp core.autograd

# %%
#| export
import itertools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.tensor import Primitive, Tensor, set_recorder

# %% [markdown]
# ## 1. The chain rule, backwards
#
# Take $L = (a \cdot b + c)^2$ with $a = 2,\ b = 3,\ c = 1$. The computer does it in three steps:
#
#     p = a * b      6
#     q = p + c      7
#     L = q ** 2    49
#
# Write $\bar v$ for $\partial L / \partial v$: how much $L$ changes per change of $v$. Start at the
# end with $\bar L = 1$ and walk back:
#
#     q̄ = L̄ · 2q        = 14          because L = q²
#     p̄ = q̄ · 1         = 14          because q = p + c
#     c̄ = q̄ · 1         = 14
#     ā = p̄ · b         = 42          because p = a · b
#     b̄ = p̄ · a         = 28
#
# Each line needs three things only: the gradient that arrives from above, the *local* derivative of
# one primitive, and the values from the forward run. One walk back gives the derivatives with respect
# to **all** inputs. That is why the direction matters: a loss is one number and weights are many, so
# walking from the one to the many does the work once.
#
# If a value is used twice, both uses contribute, and the contributions **add up**. For
# $L = a \cdot a$ the two inputs of the product give $a$ each: $\bar a = 2a$. To overwrite instead of
# adding is the classical mistake in hand-written backpropagation.
#
# For arrays the local derivative is a Jacobian matrix $J_{ij} = \partial y_i / \partial x_j$, and the
# rule reads $\bar x = J^{T} \bar y$, the *vector-Jacobian product*. We never build $J$: for a product
# of two arrays of a million elements it would have $10^{12}$ entries, nearly all zero. Every
# primitive instead has a **rule** that computes $J^T \bar y$ directly, at about the cost of the
# primitive itself.

# %% [markdown]
# ## 2. What is recorded
#
# For every operation we keep a note: which primitive, which inputs, with what params, and what came
# out. The note goes into the `origin` slot of the output tensor. So the graph of the computation is
# no separate structure; it hangs on its results:
#
#     L.origin = Operation(power,    inputs (q, 2))
#     q.origin = Operation(add,      inputs (p, c))
#     p.origin = Operation(multiply, inputs (a, b))        a.origin is None: a is a *leaf*
#
# If `L` goes away, the notes go with it: nobody has to clear a global tape.
#
# Each note carries a **serial number**. Inputs exist before the output, so along every path backwards
# the numbers fall. To process the notes by falling number is therefore a correct order: when a note's
# turn comes, everyone who used its output has delivered already. And it needs no recursion: a chain
# of 10,000 operations would break Python's recursion limit.
#
# A note also carries the **versions** of its inputs. The rules read the inputs' values at the time of
# `backward`; should somebody have overwritten them since, the gradient would be wrong without any
# sign of it. We compare and refuse.


# %%
#| export
_Array = npt.NDArray[Any]
_serial_numbers = itertools.count()
_NO_ARRAY: _Array = np.empty(0)


class Operation:
    """The note about one recorded operation, as a gradient rule reads it.

    Attributes:
        primitive: What was computed.
        inputs: The tensors it was computed from, at least one; none after the graph was freed.
        output: The array of the result.
        params: The operation's params, such as `axis`.
        versions: The sum of the inputs' versions when they were used. As versions only grow, an equal sum
            means that none has changed.
        serial: Grows from operation to operation.
    """

    __slots__ = ("inputs", "output", "params", "primitive", "serial", "versions")

    def __init__(
        self,
        primitive: Primitive,
        inputs: tuple[Tensor, ...],
        output: _Array,
        params: Mapping[str, Any],
        versions: int,
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.output = output
        self.params = params
        self.versions = versions
        self.serial = next(_serial_numbers)

    @property
    def arrays(self) -> list[_Array]:
        """The arrays of the inputs."""
        return [tensor.data for tensor in self.inputs]

    @property
    def needs(self) -> list[bool]:
        """For each input, whether its gradient is of any use; a rule may return None for the others."""
        return [tensor.origin is not None or tensor.requires_grad for tensor in self.inputs]

    @property
    def freed(self) -> bool:
        """Whether a backward pass has used the operation up."""
        return not self.inputs

    def free(self) -> None:
        """Let go of everything that was kept for the backward pass."""
        self.inputs = ()
        self.output = _NO_ARRAY
        self.params = {}

    def __repr__(self) -> str:
        state = "freed" if self.freed else f"{len(self.inputs)} inputs"
        return f"Operation({self.primitive.name}, {state}, serial={self.serial})"


# %% [markdown]
# The recorder itself decides *whether* to take a note:
#
# - Some input must matter: it is marked `requires_grad`, or it was itself computed from one that is.
#   The images of a batch are neither, so preprocessing leaves no notes.
# - The output must be a float. Integers and booleans move in jumps; there is nothing to
#   differentiate.
# - Recording must be on. Evaluation needs no gradients, and notes keep every intermediate result
#   alive. `with no_grad():` turns recording off for the current thread.


# %%
#| export
class _Mode(threading.local):
    recording = True


_mode = _Mode()


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing in the `with` block (or, as a decorator, in the function), in this thread.

    Results computed inside have no origin: they count as constants and keep nothing else alive.
    """
    previous = _mode.recording
    _mode.recording = False
    try:
        yield
    finally:
        _mode.recording = previous


class _Recorder:
    """Takes notes for `backward`; see `tinytorch.core.tensor.Recorder`."""

    def record(
        self, primitive: Primitive, inputs: tuple[Tensor, ...], output: Tensor, params: Mapping[str, Any]
    ) -> None:
        if not _mode.recording:
            return
        matters = False
        versions = 0
        for tensor in inputs:
            versions += tensor.version
            if tensor.origin is not None or tensor.requires_grad:
                matters = True
        if matters and output.dtype.kind == "f":
            output.origin = Operation(primitive, inputs, output.data, params, versions)

    def backward(self, tensor: Tensor, gradient: Tensor | _Array | float | None) -> None:
        backward(tensor, gradient)


# %%
previous = set_recorder(_Recorder())
a, b = Tensor(2.0, requires_grad=True), Tensor(3.0)
p = a * b
q = p + 1.0
assert repr(q.origin).startswith("Operation(add, 2 inputs")
assert q.origin.inputs[0] is p
assert p.origin.inputs == (a, b)
assert p.origin.needs == [True, False]
assert (b * b).origin is None  # no input matters
with no_grad():
    assert (a * b).origin is None

# %% [markdown]
# ## 3. Rules
#
# A rule is a function `rule(gradient, operation)`. It gets $\bar y$, the gradient with respect to the
# operation's output, and returns one gradient per input, each with the shape of that input. Rules are
# kept by the primitive's name. A module that defines a new primitive, a fused kernel for instance,
# registers a rule for it.

# %%
#| export
GradientRule = Callable[[_Array, Operation], Sequence[_Array | None]]

_rules: dict[str, GradientRule] = {}


def register_gradient(primitive_name: str, rule: GradientRule, replace: bool = False) -> None:
    """Say how to differentiate a primitive.

    Args:
        primitive_name: The primitive's name.
        rule: Called with the gradient with respect to the output (an array of the output's shape) and the
            `Operation`; returns for every input an array of that input's shape, or None for "zero, or not
            needed" (see `Operation.needs`). It must not write into the arrays it is given.
        replace: Allow to replace an existing rule.

    Raises:
        ValueError: If there is a rule for the name already and `replace` is not set.
        TypeError: If the name is no text or the rule no function.
    """
    if not isinstance(primitive_name, str) or not callable(rule):
        raise TypeError(
            f"register_gradient expects a name and a function, found {primitive_name!r} and {rule!r}"
        )
    if primitive_name in _rules and not replace:
        raise ValueError(f"primitive {primitive_name!r} has a gradient rule already: pass replace=True")
    _rules[primitive_name] = rule


# %% [markdown]
# ### Functions of one element
#
# If $y_i = f(x_i)$, the Jacobian is diagonal and the rule is $\bar x_i = \bar y_i \, f'(x_i)$. So a
# table of derivatives will do. Several are cheapest in terms of the *output*: $(e^x)' = e^x = y$,
# $\tanh' = 1 - y^2$, $\sqrt{x}\,' = 1 / 2y$. That is why the note keeps it. (Abramowitz and Stegun,
# *Handbook of Mathematical Functions*, 4.1 to 4.5 and 7.1.19.)
#
# $|x|$ has a kink at 0. Any slope from -1 to 1 is a *subgradient* there; we take 0, as `np.sign`
# does.
#
# `clip` has slope 1 between its limits, the limits included, and 0 outside.


# %%
#| export
_TWO_OVER_SQRT_PI = 2.0 / math.sqrt(math.pi)

_slopes: dict[str, Callable[[_Array, _Array], Any]] = {
    "negative": lambda x, y: -1.0,
    "exp": lambda x, y: y,
    "log": lambda x, y: 1.0 / x,
    "sqrt": lambda x, y: 0.5 / y,
    "tanh": lambda x, y: 1.0 - y * y,
    "erf": lambda x, y: _TWO_OVER_SQRT_PI * np.exp(-x * x),
    "sin": lambda x, y: np.cos(x),
    "cos": lambda x, y: -np.sin(x),
    "absolute": lambda x, y: np.sign(x),
}


def _slope_rule(slope: Callable[[_Array, _Array], Any]) -> GradientRule:
    """Make the rule of an elementwise function from its derivative as a function of input and output."""

    def rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
        return (gradient * slope(operation.inputs[0].data, operation.output),)

    return rule


for _name, _slope in _slopes.items():
    register_gradient(_name, _slope_rule(_slope))


def _clip_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    return (gradient * (operation.inputs[0].data == operation.output),)  # where nothing was cut off


def _astype_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    return (gradient.astype(operation.inputs[0].dtype),)


register_gradient("clip", _clip_rule)
register_gradient("astype", _astype_rule)

# %% [markdown]
# ### Broadcasting, undone
#
# In `x + bias` with shapes `(32, 10)` and `(10,)`, each element of the bias was used 32 times.
# Contributions of several uses add up. So the gradient of the bias is the incoming gradient, *summed
# over the axes that broadcasting stretched*:
#
#     gradient of x + bias   (32, 10)
#     gradient of x          (32, 10)     as it is
#     gradient of bias       (10,)        summed over axis 0
#
# In general: axes that were added on the left are summed away; axes of length 1 that were stretched
# are summed and kept with length 1. This one function serves all binary operations, `where`, `matmul`
# and `broadcast_to`, whose rule is nothing else.


# %%
#| export
def _unbroadcast(gradient: _Array, shape: tuple[int, ...]) -> _Array:
    """Sum a gradient over the axes along which an array of the given shape was stretched."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    if extra == 1 and shape and gradient.shape[1:] == shape:  # a bias, by far the most frequent case
        summed: _Array = np.add.reduce(gradient, axis=0)
        return summed
    axes = list(range(extra))
    for axis, length in enumerate(shape, extra):
        if length == 1 and gradient.shape[axis] != 1:
            axes.append(axis)
    total: _Array = np.add.reduce(gradient, axis=tuple(axes))
    return total.reshape(shape)


# %%
assert _unbroadcast(np.ones((32, 10)), (10,)).tolist() == [32.0] * 10
assert _unbroadcast(np.ones((5, 2, 3)), (2, 1)).tolist() == [[15.0], [15.0]]
assert _unbroadcast(np.ones((2, 3)), ()) == 6.0

# %% [markdown]
# ### Two operands
#
# With $g = \bar y$ and $y = f(a, b)$ element by element:
#
# | primitive | $\bar a$ | $\bar b$ |
# |---|---|---|
# | $a + b$ | $g$ | $g$ |
# | $a - b$ | $g$ | $-g$ |
# | $a b$ | $g b$ | $g a$ |
# | $a / b$ | $g / b$ | $-g y / b$ |
# | $a^b$ | $g\, b\, a^{b-1}$ | $g\, y \ln a$ |
# | $\max(a, b)$ | $g$ where $a$ is larger | $g$ where $b$ is larger |
#
# Two corners. For $a^b$ at $a = 0$ the formulas give $0 \cdot \infty$ where the derivative is 0 (the
# exponent $b = 0$, or $0^b$ as a function of $b > 0$), so these places are set to 0. And where
# $a = b$ the maximum has a kink: every split of $g$ among the two is a subgradient, and we give
# **half to each**, so that neither operand is preferred.


# %%
#| export
_Half = Callable[[_Array, _Array, _Array, _Array], Any]


def _binary_rule(left: _Half, right: _Half) -> GradientRule:
    """Make the rule of a broadcasting operation from the two gradients as functions of (g, a, b, y)."""

    def rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
        a, b = operation.arrays
        needs_a, needs_b = operation.needs
        y = operation.output
        return (
            _unbroadcast(left(gradient, a, b, y), a.shape) if needs_a else None,
            _unbroadcast(right(gradient, a, b, y), b.shape) if needs_b else None,
        )

    return rule


def _power_base(g: _Array, a: _Array, b: _Array, y: _Array) -> Any:
    if b.ndim == 0 and b.item() == 2:
        return g * (a + a)
    with np.errstate(divide="ignore", invalid="ignore"):
        return g * np.where(b == 0, b, b * np.power(a, b - 1))


def _power_exponent(g: _Array, a: _Array, b: _Array, y: _Array) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return g * np.where((a == 0) & (b > 0), y, y * np.log(a))


def _preference(a: _Array, b: _Array) -> _Array:
    """Return 1 (or True) where a > b, 0 where a < b, and a half where they are equal."""
    larger: _Array = a > b
    equal = a == b
    return larger + equal * a.dtype.type(0.5) if equal.any() else larger


for _name, _left, _right in (
    ("add", lambda g, a, b, y: g, lambda g, a, b, y: g),
    ("subtract", lambda g, a, b, y: g, lambda g, a, b, y: -g),
    ("multiply", lambda g, a, b, y: g * b, lambda g, a, b, y: g * a),
    ("divide", lambda g, a, b, y: g / b, lambda g, a, b, y: -g * y / b),
    ("power", _power_base, _power_exponent),
    ("maximum", lambda g, a, b, y: g * _preference(a, b), lambda g, a, b, y: g * _preference(b, a)),
    ("minimum", lambda g, a, b, y: g * _preference(b, a), lambda g, a, b, y: g * _preference(a, b)),
):
    register_gradient(_name, _binary_rule(_left, _right))


def _where_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    condition, a, b = operation.arrays
    _, needs_a, needs_b = operation.needs
    zero = gradient.dtype.type(0)
    return (
        None,
        _unbroadcast(np.where(condition, gradient, zero), a.shape) if needs_a else None,
        _unbroadcast(np.where(condition, zero, gradient), b.shape) if needs_b else None,
    )


register_gradient("where", _where_rule)

# %% [markdown]
# ### Reductions
#
# $y = \sum_i x_i$ changes by exactly as much as any $x_i$ does: the gradient is copied to every
# element. To sum and to stretch are each other's backward pass.
#
# For $y = \max_i x_i$ the gradient goes to the element that won. If several share the first place,
# each gets an equal part: with $k$ winners $g / k$. (For differentiable functions inside a maximum,
# every such convex combination is a subgradient: Griewank and Walther, chapter 14.) In a comparison
# with NaN nobody is smaller than the result, and everybody gets a part; the NaN is in the loss
# anyway.


# %%
#| export
def _keepdims(array: _Array, operation: Operation) -> _Array:
    """Give a reduction's result, or its gradient, the axes of length 1 that `keepdims` keeps."""
    shape = operation.inputs[0].shape
    axes = operation.params["axis"]
    kept = [1 if axes is None or axis in axes else length for axis, length in enumerate(shape)]
    return array.reshape(kept)


def _sum_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    result = np.empty(operation.inputs[0].shape, gradient.dtype)
    result[...] = _keepdims(gradient, operation)
    return (result,)


def _extreme_rule(loses: Callable[..., Any]) -> GradientRule:
    """Make the rule of max or min; `loses(x, y)` says that x is beaten by the result y."""

    def rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
        x = operation.inputs[0].data
        winners = ~loses(x, _keepdims(operation.output, operation))
        count = np.add.reduce(winners, axis=operation.params["axis"], keepdims=True, dtype=x.dtype)
        return (winners * (_keepdims(gradient, operation) / count),)

    return rule


register_gradient("sum", _sum_rule)
register_gradient("max", _extreme_rule(np.less))
register_gradient("min", _extreme_rule(np.greater))

# %% [markdown]
# ### Matrix products
#
# For $C = A B$, in components $C_{ij} = \sum_p A_{ip} B_{pj}$. The element $A_{ip}$ enters all
# $C_{ij}$ of its row, with the factors $B_{pj}$; adding up gives
# $\bar A_{ip} = \sum_j \bar C_{ij} B_{pj}$, and likewise for $B$:
#
# $$\bar A = \bar C B^{T}, \qquad \bar B = A^{T} \bar C.$$
#
# (M. B. Giles, *Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic
# Differentiation*, 2008.) A good check for the memory: with $A$ of shape $(m, k)$, $B$ $(k, n)$ and
# $\bar C$ $(m, n)$, no other product has the right shape.
#
# Vectors are treated as the row or column that `matmul` makes of them; batch axes broadcast, so they
# are unbroadcast. One case deserves a shortcut: a batch times a single matrix, as in every dense
# layer on sequences. $A^T \bar C$ for each batch entry, then summed, is one large product of all rows
# at once.


# %%
#| export
def _matmul_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    left, right = operation.arrays
    needs_left, needs_right = operation.needs
    if left.ndim == 2 == right.ndim:
        return gradient @ right.T if needs_left else None, left.T @ gradient if needs_right else None
    a = left[np.newaxis, :] if left.ndim == 1 else left
    b = right[:, np.newaxis] if right.ndim == 1 else right
    g = gradient
    if right.ndim == 1:
        g = np.expand_dims(g, -1)
    if left.ndim == 1:
        g = np.expand_dims(g, -2)
    grad_a = grad_b = None
    if needs_left:
        grad_a = _unbroadcast(g @ b.swapaxes(-1, -2), a.shape).reshape(left.shape)
    if needs_right:
        if b.ndim == 2 and a.ndim > 2:
            product = a.reshape(-1, a.shape[-1]).T @ g.reshape(-1, g.shape[-1])
        else:
            product = _unbroadcast(a.swapaxes(-1, -2) @ g, b.shape)
        grad_b = product.reshape(right.shape)
    return grad_a, grad_b


register_gradient("matmul", _matmul_rule)

# %% [markdown]
# ### Shapes, indices, joining
#
# These operations only move numbers, so their rules move the gradient back:
#
# | primitive | rule |
# |---|---|
# | reshape | reshape to the old shape |
# | transpose | transpose with the inverse order of axes |
# | broadcast_to | unbroadcast |
# | pad | cut the border off |
# | concatenate, stack | cut into the parts |
# | getitem | zeros, with the gradient written to the places that were read |
#
# With an integer array the same place may be read twice: in `table[[5, 5]]` both rows come from row
# 5, so both gradients must be **added** there. A common mistake is `zeros[index] += gradient`: NumPy
# performs the buffered addition once per place, and one of the two is lost. `np.add.at` adds as often
# as the index says. It is slower, so slices and masks, which never name a place twice, take the plain
# assignment.


# %%
#| export
def _reshape_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    return (gradient.reshape(operation.inputs[0].shape),)


def _transpose_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    axes = operation.params["axes"]
    return (gradient.transpose(sorted(range(len(axes)), key=axes.__getitem__)),)


def _broadcast_to_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    return (_unbroadcast(gradient, operation.inputs[0].shape),)


def _pad_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    widths, shape = operation.params["widths"], operation.inputs[0].shape
    inside = [slice(before, before + length) for (before, _), length in zip(widths, shape, strict=True)]
    return (gradient[tuple(inside)],)


def _concatenate_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    axis = operation.params["axis"]
    ends = list(itertools.accumulate(tensor.shape[axis] for tensor in operation.inputs))
    return np.split(gradient, ends[:-1], axis=axis)


def _stack_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    return list(np.moveaxis(gradient, operation.params["axis"], 0))


def _names_places_twice(index: Any) -> bool:
    """Return whether an index could read one place more than once: only integer arrays can."""
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, np.ndarray) and part.dtype.kind != "b" for part in parts)


def _getitem_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    index = operation.params["index"]
    result = np.zeros(operation.inputs[0].shape, gradient.dtype)
    if _names_places_twice(index):
        np.add.at(result, index, gradient)
    else:
        result[index] = gradient
    return (result,)


for _name, _rule in (
    ("reshape", _reshape_rule),
    ("transpose", _transpose_rule),
    ("broadcast_to", _broadcast_to_rule),
    ("pad", _pad_rule),
    ("concatenate", _concatenate_rule),
    ("stack", _stack_rule),
    ("getitem", _getitem_rule),
):
    register_gradient(_name, _rule)

# %% [markdown]
# ### Windows
#
# `windows` shows every pixel in several frames, so the gradient of a pixel is the sum over all frames
# it appears in. A loop over pixels would be hopeless in Python. Look at the definition again:
#
# $$w[n, c, i, j, p, q] = x[n, c,\; i\, s_h + p\, d_h,\; j\, s_w + q\, d_w]$$
#
# For one fixed place $(p, q)$ in the frame, different $(i, j)$ read different pixels, and those form
# a regular grid: a slice with the stride as its step. So one loop over the *places of the kernel*,
# nine for a 3 by 3 kernel, adds a whole grid at a time.


# %%
#| export
def _windows_rule(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    kernel, stride, dilation = (operation.params[name] for name in ("kernel", "stride", "dilation"))
    rows, columns = gradient.shape[2:4]
    result = np.zeros(operation.inputs[0].shape, gradient.dtype)
    for p in range(kernel[0]):
        top = p * dilation[0]
        down = slice(top, top + stride[0] * (rows - 1) + 1, stride[0])
        for q in range(kernel[1]):
            left = q * dilation[1]
            across = slice(left, left + stride[1] * (columns - 1) + 1, stride[1])
            result[:, :, down, across] += gradient[:, :, :, :, p, q]
    return (result,)


register_gradient("windows", _windows_rule)

# %% [markdown]
# ## 4. The walk back
#
# Now the algorithm, three steps long:
#
# 1. **Collect** all operations that the result depends on, and sort them by falling serial number.
# 2. **Propagate.** Keep one total per operation and per leaf. Take the next operation, hand its total
#    to its rule, and add what comes out to the totals of its inputs.
# 3. **Deliver** the totals of the tensors marked `requires_grad` into their `.grad`, and free the
#    operations.
#
# Step 3 happens only if all went well; an error in the middle leaves every `.grad` as it was.
#
# **Accumulation.** `.grad` is added to, not overwritten. So the gradients of several small batches
# add up to that of a large one which would not fit into memory. The price: `zero_grad()` before each
# step. To forget it is the most frequent mistake in training loops; the loss falls at first and then
# runs wild.
#
# **Freeing.** The notes keep all intermediate results alive, which is most of the memory that
# training takes. After the walk they are of no use, so they are dropped. A second `backward` through
# them is an error that says so; whoever needs it passes `retain_graph=True` the first time.
#
# What a rule returns is checked, shape and number. A wrong rule for a new primitive would otherwise
# show up as a network that learns badly, the hardest kind of bug to find.


# %%
#| export
_FREED = (
    "an operation was already used by a backward pass and freed: compute the result again, or call the first "
    "backward(..., retain_graph=True)"
)
_OVERWRITTEN = (
    "was overwritten in place after it was recorded, so the gradient would be wrong: overwrite tensors only "
    "after backward, or work on a copy"
)


def _collect(root: Tensor) -> tuple[list[Operation], set[Tensor]]:
    """Return the operations that `root` depends on, latest first, and the marked tensors among all."""
    found: set[object] = {root.origin}
    waiting = [_origin(root)]
    marked = {root} if root.requires_grad else set()
    operations = []
    while waiting:
        operation = waiting.pop()
        operations.append(operation)
        if not operation.inputs:
            raise RuntimeError(_FREED)
        versions = 0
        for tensor in operation.inputs:
            versions += tensor.version
            if tensor.requires_grad:
                marked.add(tensor)
            origin = tensor.origin
            if origin is not None and origin not in found:
                found.add(origin)
                waiting.append(_origin(tensor))
        if versions != operation.versions:
            raise RuntimeError(f"an input of {operation.primitive.name!r} {_OVERWRITTEN}")
    operations.sort(key=_serial, reverse=True)
    return operations, marked


_serial = attrgetter("serial")


def _origin(tensor: Tensor) -> Operation:
    """Return the note on a computed tensor after checks that it is ours and still true."""
    origin = tensor.origin
    if not isinstance(origin, Operation):
        raise RuntimeError(f"the tensor was recorded by another recorder: its origin is {origin!r}")
    if tensor.version:
        raise RuntimeError(f"the result of {origin.primitive.name!r} {_OVERWRITTEN}")
    return origin


def _contributions(gradient: _Array, operation: Operation) -> Sequence[_Array | None]:
    """Ask the rule of an operation, and check the number of its answers."""
    name = operation.primitive.name
    rule = _rules.get(name)
    if rule is None:
        raise RuntimeError(f"no gradient rule for primitive {name!r}: add one with register_gradient()")
    parts = rule(gradient, operation)
    if len(parts) != len(operation.inputs):
        raise RuntimeError(
            f"the rule of {name!r} gave {len(parts)} gradients for {len(operation.inputs)} inputs"
        )
    return parts


def _key(tensor: Tensor) -> object:
    """Return what a tensor's gradient is filed under: its operation, or a leaf itself."""
    return tensor if tensor.origin is None else tensor.origin


def _propagate(
    root: Tensor, seed: _Array, operations: Sequence[Operation], keep: Set[object]
) -> dict[object, _Array]:
    """Walk back from `root` and return the gradients filed under the keys in `keep`.

    Args:
        root: The tensor to differentiate.
        seed: The gradient with respect to `root`.
        operations: What `_collect` found.
        keep: The keys of the tensors whose gradients are wanted; all others are dropped once used.
    """
    totals: dict[object, _Array] = {_key(root): seed}
    own: set[object] = set()  # whose total is an array that nobody else holds: safe to add to in place
    for operation in operations:
        gradient = totals.get(operation) if operation in keep else totals.pop(operation, None)
        if gradient is None:
            continue  # every rule on the way said: zero
        for tensor, part in zip(operation.inputs, _contributions(gradient, operation), strict=True):
            key = tensor.origin
            if key is None:
                key = tensor
                if tensor not in keep:
                    continue
            if part is None:
                continue
            array = tensor.data
            if part.shape != array.shape:
                raise RuntimeError(
                    f"the rule of {operation.primitive.name!r} gave a gradient of shape {part.shape} for an "
                    f"input of shape {array.shape}"
                )
            if type(part) is not np.ndarray or part.dtype is not array.dtype:
                part = np.asarray(part, dtype=array.dtype)
            before = totals.get(key)
            if before is None:
                totals[key] = part
            elif key in own:
                before += part
            else:
                totals[key] = np.asarray(before + part)
                own.add(key)
    return totals


# %% [markdown]
# Two details. A total may be an array that another total shares: `add` passes the same gradient to
# both its inputs. So the first addition makes a new array, and only from then on it is safe to add in
# place. And for the same reason what goes into `.grad` is copied: whoever clips gradients in place
# must not change two of them at once.
#
# `grad` is the second way in: it *returns* the gradients that one asks for and touches no `.grad`,
# for checks, penalties and experiments.
#
# Everything that makes no sense is refused with the reason: a result that does not depend on anything
# marked, a result that is no float, several elements without a gradient to start from, a call inside
# `no_grad`.


# %%
#| export
def backward(
    tensor: Tensor, gradient: Tensor | _Array | float | None = None, retain_graph: bool = False
) -> None:
    """Add the gradients of a tensor to the `.grad` of all tensors marked `requires_grad` that it depends on.

    Those are usually weights; an intermediate result gets a `.grad` too if it is marked. The method is
    reverse-mode automatic differentiation (Griewank and Walther, Evaluating Derivatives, 2nd ed., chapter 3).

    Args:
        tensor: What to differentiate, usually the loss.
        gradient: The gradient of the final quantity with respect to `tensor`, of its shape. May be left out
            for a tensor of one element, where it is 1.
        retain_graph: Keep the record, so that a second backward pass through it is possible.

    Raises:
        TypeError: If `tensor` is no float tensor.
        ValueError: If the gradient is missing or has another shape.
        RuntimeError: If `tensor` depends on nothing marked `requires_grad`, the record was freed, a recorded
            value was overwritten, or the call stands inside `no_grad`.
    """
    seed = _seed(tensor, gradient)
    if tensor.origin is None:
        _deliver(tensor, seed)
        return
    operations, marked = _collect(tensor)
    totals = _propagate(tensor, seed, operations, {_key(part) for part in marked})
    for part in marked:
        found = totals.get(_key(part))
        if found is not None:
            _deliver(part, found)
    if not retain_graph:
        for operation in operations:
            operation.free()


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: Tensor | _Array | float | None = None,
    retain_graph: bool = False,
) -> tuple[Tensor, ...]:
    """Return the gradients of a tensor with respect to some of those it depends on; no `.grad` changes.

    Args:
        output: What to differentiate.
        inputs: One tensor or several: leaves marked `requires_grad`, or intermediate results.
        gradient: As for `backward`.
        retain_graph: As for `backward`.

    Returns:
        A tuple with one gradient per input, also for a single one.

    Raises:
        ValueError: If the output does not depend on one of the inputs; also as `backward`.
        TypeError: As `backward`.
        RuntimeError: As `backward`.
    """
    wanted = _checked_inputs(inputs)
    seed = _seed(output, gradient)
    operations = [] if output.origin is None else _collect(output)[0]
    keep = {_key(tensor) for tensor in wanted if tensor.origin is not None or tensor.requires_grad}
    totals = _propagate(output, seed, operations, keep)
    results = []
    for position, tensor in enumerate(wanted):
        if _key(tensor) not in keep or _key(tensor) not in totals:
            raise ValueError(
                f"the output does not depend on input {position} by recorded operations: mark it with "
                "requires_grad before the computation"
            )
        results.append(Tensor(totals[_key(tensor)]))
    if not retain_graph:
        for operation in operations:
            operation.free()
    return tuple(results)


def _checked_inputs(inputs: object) -> tuple[Tensor, ...]:
    """Return one tensor, or a sequence of them, as a tuple."""
    found = (inputs,) if isinstance(inputs, Tensor) else inputs
    if not isinstance(found, Sequence):
        raise TypeError(f"a tensor or a sequence of tensors is expected, found {type(inputs).__name__}")
    for position, tensor in enumerate(found):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"input {position}: a tensor is expected, found {type(tensor).__name__}")
    return tuple(found)


def _seed(tensor: Tensor, gradient: Tensor | _Array | float | None) -> _Array:
    """Return the gradient to start with, after all checks that need no walk."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"a tensor is expected, found {type(tensor).__name__}")
    if tensor.dtype.kind != "f":
        raise TypeError(f"only float tensors have gradients, found dtype {tensor.dtype}")
    if not _mode.recording:
        raise RuntimeError("backward inside no_grad(): leave the block first, nothing is recorded there")
    if tensor.origin is None and not tensor.requires_grad:
        raise RuntimeError(
            "the tensor depends on nothing marked requires_grad, or it was computed inside no_grad(), from "
            "detach(), or before tinytorch.core.autograd was imported"
        )
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"a tensor of shape {tensor.shape} has no single gradient: reduce it to one number, for "
                "example with sum() or mean(), or pass the gradient with respect to it"
            )
        return np.ones(tensor.shape, tensor.dtype)
    given = gradient.data if isinstance(gradient, Tensor) else np.asarray(gradient)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"a gradient is made of numbers, found dtype {given.dtype}")
    if given.shape != tensor.shape and not given.ndim == 0 == tensor.size - 1:
        raise ValueError(f"a gradient of shape {tensor.shape} is expected, found shape {given.shape}")
    return given.astype(tensor.dtype).reshape(tensor.shape)


def _deliver(tensor: Tensor, gradient: _Array) -> None:
    """Add a gradient to `tensor.grad`."""
    total = Tensor(gradient)
    if tensor.grad is not None:
        total.data += tensor.grad.data
    tensor.grad = total


set_recorder(_Recorder())

# %% [markdown]
# The example from the beginning:

# %%
a, b, c = (Tensor(value, requires_grad=True) for value in (2.0, 3.0, 1.0))
loss = (a * b + c) ** 2
loss.backward()
assert (a.grad.item(), b.grad.item(), c.grad.item()) == (42.0, 28.0, 14.0)

# A value that is used twice gets both contributions, and .grad accumulates over calls.
x = Tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
assert x.grad.tolist() == [2.0, 4.0]
(3.0 * x).sum().backward()
assert x.grad.tolist() == [5.0, 7.0]

# %%
y = x.exp().sum()
backward(y, retain_graph=True)
y.backward()
try:
    y.backward()
except RuntimeError as error:
    message = str(error)
else:
    raise AssertionError("a freed graph must be refused")
assert "retain_graph=True" in message

(slope,) = grad((x**3).sum(), x)
assert np.allclose(slope.data, 3 * x.data**2)

# %% [markdown]
# A chain of 10,000 operations, which recursion could not walk:

# %%
x = Tensor(1.0, requires_grad=True)
y = x
for _ in range(10_000):
    y = y + 1.0
y.backward()
assert x.grad.item() == 1.0
del y

# %% [markdown]
# ## 5. Is it right? Checking gradients
#
# A wrong gradient seldom fails loudly; the network just learns badly. So every rule is checked
# against the definition of the derivative. The *central difference*
#
# $$f'(x) \approx \frac{f(x + h) - f(x - h)}{2h}$$
#
# has an error of about $h^2 |f^{(3)}| / 6$ from cutting off the Taylor series, and one of about
# $\varepsilon |f| / h$ from rounding, where $\varepsilon \approx 2.2 \cdot 10^{-16}$ in `float64`. A
# large $h$ makes the first large, a small $h$ the second; the sum is smallest near
# $h \approx \varepsilon^{1/3} \approx 6 \cdot 10^{-6}$, where about ten digits are right. (Nocedal
# and Wright, *Numerical Optimization*, 2nd ed., section 8.1.) In `float32` only about five digits
# would remain, too few to tell a slightly wrong rule from rounding: the check insists on `float64`.
#
# A function with many outputs is made a single number first, $\sum_i r_i y_i$ with fixed random
# weights $r$. With all weights equal, an error that merely shuffles the gradient's elements could
# stay hidden.
#
# The differences are taken by changing the inputs' elements one by one, in place. So an input may
# also be a layer's weight that the function uses without taking it as an argument.


# %%
#| export
_STEP = float(np.finfo(np.float64).eps) ** (1 / 3)


def _check_function(function: object) -> None:
    if not callable(function):
        raise TypeError(f"a function from tensors to a tensor is expected, found {type(function).__name__}")


def _weights(output: Tensor) -> _Array:
    """Return the fixed random weights that make one number of a function's output."""
    return np.random.default_rng(0).uniform(0.5, 1.5, output.shape)


def numerical_gradient(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: _Array | None = None
) -> tuple[_Array, ...]:
    """Differentiate a function by central differences, for checks: slow, two calls per element.

    Args:
        function: Called as `function(*inputs)`; returns a tensor. It must not be random.
        inputs: Tensors of dtype float64. Their elements are changed in place, one by one, and restored.
        gradient: The gradient of the final quantity with respect to the output, of the output's shape; by
            default 1 for every element.

    Returns:
        For each input, the gradient as an array of its shape.

    Raises:
        TypeError: If an input is no float64 tensor.
    """
    _check_function(function)
    tensors = _checked_inputs(inputs)
    for position, tensor in enumerate(tensors):
        if tensor.dtype != np.float64:
            raise TypeError(f"input {position}: a float64 tensor is expected, found {tensor.dtype}")
    results = []
    with no_grad():
        for tensor in tensors:
            result = np.empty(tensor.shape)
            for place in np.ndindex(tensor.shape):
                value = float(tensor.data[place])
                step = _STEP * max(1.0, abs(value))
                sides = []
                try:
                    for side in (value + step, value - step):
                        tensor.data[place] = side
                        sides.append(function(*tensors).numpy())
                finally:
                    tensor.data[place] = value
                difference = (sides[0] - sides[1]) / ((value + step) - (value - step))
                result[place] = np.sum(difference if gradient is None else difference * gradient)
            results.append(result)
    return tuple(results)


def check_gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], tolerance: float = 1e-6
) -> float:
    """Compare the recorded gradients of a function with central differences.

    Args:
        function: Called as `function(*inputs)`; returns a float tensor of any shape. It must not be random.
        inputs: Tensors of dtype float64, marked `requires_grad`. No `.grad` changes.
        tolerance: The largest error allowed, relative to the gradient where that exceeds 1, else absolute.

    Returns:
        The largest error found.

    Raises:
        AssertionError: If an error exceeds the tolerance; says where and by how much.
        TypeError: If an input is no float64 tensor.
        ValueError: If an input is not marked `requires_grad` or the output does not depend on it.
    """
    _check_function(function)
    tensors = _checked_inputs(inputs)
    output = function(*tensors)
    if not isinstance(output, Tensor):
        raise TypeError(f"the function must return a tensor, found {type(output).__name__}")
    weights = _weights(output)
    expected = numerical_gradient(function, tensors, weights)
    found = grad(output, tensors, weights)
    worst = 0.0
    for position, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        error = np.abs(ours.data - theirs) / np.maximum(1.0, np.maximum(np.abs(ours.data), np.abs(theirs)))
        if error.size == 0:
            continue
        place = np.unravel_index(int(np.argmax(np.where(np.isnan(error), np.inf, error))), error.shape)
        if not error[place] <= tolerance:
            raise AssertionError(
                f"input {position}, element {tuple(int(i) for i in place)}: the recorded gradient is "
                f"{ours.data[place]:.10g}, central differences give {theirs[place]:.10g}"
            )
        worst = max(worst, float(error[place]))
    return worst


# %%
rng = np.random.default_rng(0)
x = Tensor(rng.normal(size=(4, 3)), requires_grad=True)
w = Tensor(rng.normal(size=(3, 2)), requires_grad=True)
bias = Tensor(rng.normal(size=2), requires_grad=True)
assert check_gradients(lambda x, w, bias: (x @ w + bias).tanh().mean(axis=0), [x, w, bias]) < 1e-8

# A rule that is wrong by a sign does not escape.
right_rule = _rules["sin"]
register_gradient("sin", lambda g, operation: (-g * np.cos(operation.arrays[0]),), replace=True)
try:
    check_gradients(lambda x: x.sin(), [x])
except AssertionError as error:
    message = str(error)
else:
    message = "nothing was found"
register_gradient("sin", right_rule, replace=True)
assert "central differences give" in message
assert check_gradients(lambda x: x.sin(), [x]) < 1e-8

# %% [markdown]
# ## 6. A network learns
#
# Everything together, in a small network that does what no straight line can: the exclusive or. (Two
# layers suffice: Rumelhart, Hinton and Williams, *Learning Representations by Back-propagating
# Errors*, Nature 323, 1986.)

# %%
rng = np.random.default_rng(1)
examples = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
answers = Tensor([[0.0], [1.0], [1.0], [0.0]])
weights = [
    Tensor(rng.normal(size=shape), dtype=np.float32, requires_grad=True)
    for shape in ((2, 8), (8,), (8, 1), (1,))
]
for _ in range(500):
    w1, b1, w2, b2 = weights
    error = (examples @ w1 + b1).tanh() @ w2 + b2 - answers
    loss = (error**2).mean()
    loss.backward()
    for weight in weights:
        weight.data -= 0.1 * weight.grad.data
        weight.zero_grad()
assert loss.item() < 1e-3

# %% [markdown]
# ## Summary
#
# - Reverse mode gives all derivatives of one number in one walk back, for about the cost of a few
#   forward runs.
# - The record hangs on the results' `origin` slots; serial numbers give the order; nothing is
#   recursive.
# - Each primitive has one rule, the product of its transposed Jacobian with the incoming gradient.
# - What broadcasting stretched, the gradient sums. What was used twice, adds up.
# - `.grad` accumulates; the graph is freed after use; overwritten values are noticed.
# - A rule is right when central differences in `float64` agree.
#
# ## Exercises
#
# 1. Work out by hand the gradient of $L = \sum_i \log(1 + e^{x_i})$ and compare with `grad`.
# 2. The rule of `divide` uses the output $y$. Write it without, and count the operations.
# 3. Add a primitive `softplus` with a rule of its own, checked by `check_gradients`. How many notes
#    does it save over the composition of `exp`, `+` and `log`? For which $x$ is it also more exact?
# 4. Why does the walk need the *falling* serial numbers? Draw a graph in which a depth-first walk
#    that follows each path at once would visit a node before all contributions have arrived.
# 5. *Gradient checkpointing* keeps only some results and computes the others again on the way back.
#    For a chain of $n$ operations, how many must be kept so that nothing is computed more than twice?
#    (Griewank and Walther, chapter 12.)
