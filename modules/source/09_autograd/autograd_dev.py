# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 09: Autograd
#
# To train a network you need the derivative of one number, the loss, with respect to every weight: perhaps
# millions of derivatives at once. This module computes them all in about the time of two more forward
# passes, for any program that you write with tensors.
#
# How could one get them?
#
# - **By hand**, for each model anew. Fine for a straight line, hopeless for a transformer.
# - **By finite differences**: nudge a weight, run the model again, see what the loss does. One run *per
#   weight*, and only about eight correct digits. We will use it to test ourselves.
# - **By reverse mode**: write down every operation of the forward pass, then walk back through the notes
#   once, applying the chain rule. One walk, all derivatives, exact to rounding.
#
# Reverse mode goes back to S. Linnainmaa (1970); the standard text is A. Griewank and A. Walther, *Evaluating
# Derivatives*, 2nd ed., SIAM 2008, chapter 3.
#
# The tensor module has kept a door open for us: every computation passes through `apply`, and whoever is
# installed as *recorder* hears about it. So nothing that you built in modules 02 to 08 has to change.

# %%
#| default_exp core.autograd

# %% [markdown]
# ## 1. The chain rule, walked backwards
#
# Take $L = (w x + b)^2$ with $w = 3, x = 2, b = 1$. The forward pass makes three steps:
#
# ```text
#   u = w * x = 6        v = u + b = 7        L = v ** 2 = 49
# ```
#
# Write $\bar v$ for $\partial L / \partial v$ ("v bar", the *adjoint*). Start at the end with $\bar L = 1$
# and go back. Each step only needs its own local derivative:
#
# ```text
#   v_bar = 2 v * L_bar = 14
#   u_bar = v_bar = 14          b_bar = v_bar = 14
#   w_bar = x * u_bar = 28      x_bar = w * u_bar = 42
# ```
#
# For arrays, the local derivative of an operation $y = f(x)$ is a Jacobian matrix $J$ with as many rows as
# $y$ has elements and as many columns as $x$. We never build it. A **rule** computes directly the product
#
# $$ \bar x = J^\top \bar y $$
#
# which has the shape of $x$. For `exp` it is simply `y_bar * y`, although $J$ would be a huge diagonal
# matrix.
#
# If a value is used twice, its adjoint is the **sum** over the uses (the multivariate chain rule). This is
# why we must not pass a value's adjoint on before every use has contributed: the order of the walk matters.

# %%
#| export
import heapq
import itertools
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tinytorch.core.tensor import Primitive, Tensor, get_recorder, set_recorder

_Array = NDArray[Any]
_Params = Mapping[str, Any]
_Needed = Sequence[bool]
_Rule = Callable[[_Array, Sequence[_Array], _Array, _Params, _Needed], Sequence[Any]]

# %% [markdown]
# ## 2. Taking notes
#
# A note (we call it a *node*, since the notes form a graph) holds what a rule will need: which primitive,
# its inputs, the arrays in them, the result, the parameters. It hangs on the output tensor, in the slot
# `origin`.
#
# ```text
#   L.origin -> [power | v, 2] -> v.origin -> [add | u, b] -> u.origin -> [multiply | w, x]
# ```
#
# Three decisions:
#
# - **Nodes point backwards only.** A node knows its inputs, never its output tensor. So there are no
#   reference cycles: drop the loss, and Python frees the whole graph at once, without waiting for the
#   garbage collector.
# - **Nodes are numbered** as they are made. An operation always comes after the ones that made its inputs,
#   so walking from the highest number down meets every consumer before its producer. No sorting of graphs,
#   no recursion, and a chain of 100,000 operations is no deeper than one of three.
# - **Nothing is noted in vain.** If no input wants a gradient or was itself noted, or the result is not a
#   floating tensor, there is nothing to differentiate.


# %%
#| export
class _Node:
    """A note about one operation: all that its rule needs to pass a gradient on."""

    __slots__ = ("arrays", "inputs", "number", "output", "params", "primitive")

    def __init__(
        self, primitive: Primitive, inputs: tuple[Tensor, ...], output: _Array, params: _Params, number: int
    ) -> None:
        self.primitive = primitive
        self.inputs: tuple[Tensor, ...] | None = inputs  # None once the graph has been freed
        self.arrays: list[_Array] | None = [tensor.data for tensor in inputs]
        self.output: _Array | None = output
        self.params: _Params = params
        self.number = number

    def free(self) -> None:
        """Let go of the arrays; the node stays as a sign that there was a graph."""
        self.inputs = self.arrays = self.output = None
        self.params = {}


class _Mode(threading.local):
    """Whether operations are being recorded, separately for each thread."""

    recording = True


_mode = _Mode()
_numbers = itertools.count()


class _Tape:
    """The recorder that this module installs: hangs a node on each output that may need a gradient."""

    def record(
        self, primitive: Primitive, inputs: tuple[Tensor, ...], output: Tensor, params: _Params
    ) -> None:
        """Note an operation, if a gradient may be wanted through it."""
        if not _mode.recording:
            return
        for tensor in inputs:
            if tensor.requires_grad or tensor.origin is not None:
                array = output.data
                if array.dtype.kind == "f":
                    output.origin = _Node(primitive, inputs, array, params, next(_numbers))
                return

    def backward(self, tensor: Tensor, gradient: Any) -> None:
        """Answer `Tensor.backward`."""
        backward(tensor, gradient)


# %% [markdown]
# ### Switching the notes off
#
# Notes keep arrays alive. When you only predict or measure, `with no_grad():` saves that memory and a
# little time. It works as a decorator too, may be nested, and concerns only the thread that entered it: one
# thread may evaluate while another trains.


# %%
#| export
class no_grad(ContextDecorator):  # noqa: N801  (used like a statement: `with no_grad():`)
    """Record nothing inside a `with` block, or inside a function decorated with `@no_grad()`.

    Results computed inside have no history: gradients do not flow through them. Concerns the current thread only.
    """

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> "no_grad":
        self._before.append(_mode.recording)
        _mode.recording = False
        return self

    def __exit__(self, *_: object) -> None:
        _mode.recording = self._before.pop()


set_recorder(_Tape())

# %%
w = Tensor(3.0, requires_grad=True)
noted = w * 2.0
assert noted.origin.primitive.name == "multiply"
with no_grad():
    assert (w * 2.0).origin is None
assert (Tensor(1.0) * 2.0).origin is None  # nobody wants this gradient

# %% [markdown]
# ## 3. Broadcasting, backwards
#
# In `x + b` with shapes `(32, 64)` and `(64,)`, every element of `b` is used 32 times. Its adjoint is the
# sum over all the uses: **the backward of broadcasting is summing**. In general: sum away the axes that
# broadcasting put in front, then sum, keeping the length 1, the axes that it stretched.
#
# ```text
#   gradient (8, 3, 28, 28) -> b of shape (3, 1, 1):  sum over axis 0, then over axes 2 and 3 with keepdims
# ```
#
# We do this once, in the engine, for all primitives. So the rule of `add` can say `(gradient, gradient)`
# and never think of shapes. A gradient whose shape is right already passes untouched.


# %%
#| export
def _unbroadcast(gradient: _Array, shape: tuple[int, ...]) -> _Array:
    """Sum `gradient` over the axes along which a tensor of shape `shape` was repeated."""
    extra = gradient.ndim - len(shape)
    if extra > 0:
        gradient = gradient.sum(axis=tuple(range(extra)))
    stretched = tuple(i for i, length in enumerate(shape) if length == 1 and gradient.shape[i] != 1)
    if stretched:
        gradient = gradient.sum(axis=stretched, keepdims=True)
    return gradient


# %%
assert _unbroadcast(np.ones((8, 3, 28, 28)), (3, 1, 1)).tolist() == [[[6272.0]], [[6272.0]], [[6272.0]]]
assert _unbroadcast(np.ones((4, 5)), ()) == 20.0

# %% [markdown]
# ## 4. The rules
#
# A rule is a function
#
# ```python
# rule(gradient, inputs, output, params, needed) -> one gradient per input
# ```
#
# on numpy arrays. `gradient` is $\bar y$, with the shape of the output. `needed` says for which inputs
# anybody wants an answer; for the others a rule may return None and save the work (the gradient with
# respect to the training images is never needed, and is one of the largest matrix products of a network).
# Rules return new arrays or `gradient` itself, and never write into what they are given.
#
# ### Elementwise
#
# | $y$ | $\bar x$ | |
# |---|---|---|
# | $a + b$, $a - b$ | $\bar y,\ \pm\bar y$ | |
# | $a b$ | $\bar y b,\ \bar y a$ | |
# | $a / b$ | $\bar y / b,\ -\bar y\, y / b$ | uses $a/b^2 = y/b$ |
# | $a^b$ | $\bar y\, b\, a^{b-1},\ \bar y\, y \ln a$ | see below |
# | $e^x$, $\ln x$, $\sqrt x$ | $\bar y y,\ \bar y / x,\ \bar y / (2 y)$ | |
# | $\tanh x$ | $\bar y (1 - y^2)$ | |
# | $\operatorname{erf} x$ | $\bar y \frac{2}{\sqrt\pi} e^{-x^2}$ | |
# | $\sin x$, $\cos x$ | $\bar y \cos x,\ -\bar y \sin x$ | |
# | $\lvert x\rvert$ | $\bar y \operatorname{sign} x$ | 0 at 0 |
#
# (M. Abramowitz and I. Stegun, *Handbook of Mathematical Functions*, 1964, chapters 3, 4 and 7.)
#
# Some functions have corners. There we choose one value between the slopes on both sides, so that an
# optimizer has something sensible to follow:
#
# - **max, min, maximum, minimum: equal arguments share the gradient equally.** The derivative of
#   `maximum(x, 0)` at 0 is 1/2. Sharing keeps the result independent of the order of the arguments.
# - **clip** passes the gradient inside the interval, its ends included, and stops it outside.
#
# **Powers at zero.** $\partial a^b / \partial a$ at $b = 0$ is $0 \cdot a^{-1}$: for $a = 0$ a careless
# rule gives $0 \cdot \infty =$ NaN, though $a^0$ is constant. And $y \ln a$ at $a = 0$ is taken as its
# limit 0 for $b > 0$. For negative $a$ the derivative with respect to the exponent does not exist; we
# answer NaN.


# %%
#| export
def _add(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    return g, g


def _subtract(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    return g, -g if needed[1] else None


def _multiply(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    a, b = inputs
    return g * b if needed[0] else None, g * a if needed[1] else None


def _divide(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    quotient = g / inputs[1]
    return quotient, -quotient * y if needed[1] else None


def _power(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    a, b = inputs
    base = exponent = None
    if needed[0]:
        if b.ndim == 0 and b == 2:
            base = g * (a + a)
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                base = g * np.where(b == 0, 0, b * np.power(a.astype(y.dtype, copy=False), b - 1))
    if needed[1]:
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithm = np.log(a.astype(y.dtype, copy=False))
            exponent = g * np.where((a == 0) & (b > 0), 0, y * logarithm)
    return base, exponent


def _maximum(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    a, b = inputs
    return _share(g, a, b) if needed[0] else None, _share(g, b, a) if needed[1] else None


def _minimum(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    a, b = inputs
    return _share(g, b, a) if needed[0] else None, _share(g, a, b) if needed[1] else None


def _share(g: _Array, larger: _Array, smaller: _Array) -> _Array:
    """Return `g` where `larger` really is larger, half of it where they are equal, 0 elsewhere."""
    twice = np.greater(larger, smaller).astype(g.dtype)
    twice += np.greater_equal(larger, smaller)
    return g * (twice * g.dtype.type(0.5))


def _clip(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    (x,) = inputs
    low, high = params["low"], params["high"]
    inside = np.ones(x.shape, bool) if low is None else x >= low
    return (g * (inside if high is None else inside & (x <= high)),)


def _where(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    zero = np.zeros((), g.dtype)
    return (
        None,
        np.where(inputs[0], g, zero) if needed[1] else None,
        np.where(inputs[0], zero, g) if needed[2] else None,
    )


def _of_one(slope: Callable[[_Array, _Array, _Array], Any]) -> _Rule:
    """Make a rule for a function of one tensor from `slope(gradient, x, y)`."""

    def rule(
        g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
    ) -> Sequence[Any]:
        return (slope(g, inputs[0], y),)

    return rule


_ERF_SLOPE = 2.0 / math.sqrt(math.pi)

# %%
(tie_a,), (tie_b,) = _maximum(
    np.ones(1), (np.array([2.0]), np.array([2.0])), np.array([2.0]), {}, (True, True)
)
assert (tie_a, tie_b) == (0.5, 0.5)
zero_base, _ = _power(np.ones(1), (np.zeros(1), np.zeros(1)), np.ones(1), {}, (True, False))
assert zero_base == 0.0

# %% [markdown]
# ### Reductions and matrix products
#
# **sum** adds elements, so each gets the gradient of its sum: broadcast it back. **max** passes the
# gradient to the element that attained it; ties share.
#
# **matmul.** From $C_{ij} = \sum_k A_{ik} B_{kj}$ follow, with $\bar C$ given,
#
# $$ \bar A_{ik} = \sum_j \bar C_{ij} B_{kj}, \qquad \bar B_{kj} = \sum_i A_{ik} \bar C_{ij},
# \qquad\text{that is}\qquad \bar A = \bar C B^\top, \quad \bar B = A^\top \bar C . $$
#
# (M. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation",
# 2008, section 2.2.1.) The shapes are a good memory aid: with $A$ of shape `(n, k)`, $B$ `(k, m)` and $\bar
# C$ `(n, m)`, there is only one way to multiply that gives `(n, k)`. Vectors are treated as matrices with
# one row or column. Batch axes that were broadcast are summed, as always; when one matrix $B$ serves a
# whole batch, that sum and the product together are a single tall product.


# %%
#| export
def _restored(array: _Array, axis: tuple[int, ...] | None, keepdims: bool, ndim: int) -> _Array:
    """Give a reduced array its lost axes back, with length 1."""
    if keepdims or axis is None:
        return array if keepdims else array.reshape((1,) * ndim)
    return np.expand_dims(array, axis)


def _sum(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    (x,) = inputs
    return (np.broadcast_to(_restored(g, params["axis"], params["keepdims"], x.ndim), x.shape),)


def _extremum(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    (x,) = inputs
    axis, keepdims = params["axis"], params["keepdims"]
    attained = x == _restored(y, axis, keepdims, x.ndim)
    count = attained.sum(axis=axis, keepdims=True, dtype=g.dtype)
    return (_restored(g, axis, keepdims, x.ndim) * attained / np.maximum(count, 1),)


def _matmul(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    a, b = inputs
    left = right = None
    if a.ndim == 1 or b.ndim == 1:  # one row, one column
        if b.ndim == 1:
            g = g[..., None]
        if a.ndim == 1:
            g = g[..., None, :]
    rows = a[None, :] if a.ndim == 1 else a
    columns = b[:, None] if b.ndim == 1 else b
    if columns.ndim == 2 and g.ndim > 2:  # one matrix for the whole batch
        g = g.reshape(-1, g.shape[-1])
        rows = rows.reshape(g.shape[0], -1)
    if needed[0]:
        left = np.matmul(g, columns.swapaxes(-1, -2))
        left = _unbroadcast(left, rows.shape).reshape(a.shape)
    if needed[1]:
        right = np.matmul(rows.swapaxes(-1, -2), g)
        right = _unbroadcast(right, columns.shape).reshape(b.shape)
    return left, right


# %%
(shared,) = _extremum(
    np.array(6.0), [np.array([1.0, 3.0, 3.0])], np.array(3.0), {"axis": None, "keepdims": False}, [True]
)
assert shared.tolist() == [0.0, 3.0, 3.0]
left, right = _matmul(
    np.ones((5, 2, 4)), [np.ones((5, 2, 3)), np.ones((3, 4))], np.ones((5, 2, 4)), {}, (True, True)
)
assert left.shape == (5, 2, 3)
assert right.shape == (3, 4)
assert right[0, 0] == 10.0  # each element of the matrix served 5 * 2 rows

# %% [markdown]
# ### Moving elements
#
# Operations that only move elements have rules that move the gradient back: `transpose` by the inverse
# permutation, `reshape` to the old shape, `pad` by cutting the border off, `concatenate` and `stack` by
# splitting.
#
# Where one input element may land in **several** places, the way back must **add**. Two rules have to take
# care:
#
# - `x[[3, 0, 3]]` reads row 3 twice. Writing the gradients with `z[index] = g` would keep only the last
#   one; `np.add.at` adds all. Slices and boolean masks read no element twice, and there the plain (much
#   faster) assignment is right.
# - `windows` overlap. The way back is a scatter-add of `(N, C, OH, OW, KH, KW)` into `(N, C, H, W)`. We
#   loop over the *kernel positions* $(u, v)$, nine for a 3x3 kernel: for one fixed position all windows
#   touch different pixels, so a whole strided slice can be added at once. Looping over pixels would take
#   thousands of Python steps for the same sums.


# %%
#| export
def _transpose(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    axes = params["axes"]
    back = [0] * len(axes)
    for new, old in enumerate(axes):
        back[old] = new
    return (g.transpose(back),)


def _reshape(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    return (g.reshape(inputs[0].shape),)


def _same(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    """The rule of `broadcast_to` and `astype`: the engine restores shape and dtype."""
    return (g,)


def _reads_once(index: Any) -> bool:
    """Tell whether an index certainly reads no element twice: slices, ints, masks, but no integer arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(part, (np.ndarray, list)) and np.asarray(part).dtype != bool for part in parts)


def _getitem(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    back = np.zeros(inputs[0].shape, g.dtype)
    index = params["index"]
    if _reads_once(index):
        back[index] = g
    else:
        np.add.at(back, index, g)
    return (back,)


def _pad(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    cut = tuple(
        slice(before, before + length)
        for (before, _), length in zip(params["widths"], inputs[0].shape, strict=True)
    )
    return (g[cut],)


def _concatenate(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    axis = params["axis"]
    ends = list(itertools.accumulate(array.shape[axis] for array in inputs))
    return np.split(g, ends[:-1], axis=axis)


def _stack(g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed) -> Sequence[Any]:
    return list(np.moveaxis(g, params["axis"], 0))


def _windows(
    g: _Array, inputs: Sequence[_Array], y: _Array, params: _Params, needed: _Needed
) -> Sequence[Any]:
    back = np.zeros(inputs[0].shape, g.dtype)
    (sh, sw), (dh, dw) = params["stride"], params["dilation"]
    _, _, oh, ow, kh, kw = g.shape
    for u, v in itertools.product(range(kh), range(kw)):
        rows = slice(u * dh, u * dh + sh * (oh - 1) + 1, sh)
        columns = slice(v * dw, v * dw + sw * (ow - 1) + 1, sw)
        back[:, :, rows, columns] += g[:, :, :, :, u, v]
    return (back,)


# %%
(twice,) = _getitem(np.ones(3), [np.zeros(4)], np.zeros(3), {"index": np.array([3, 0, 3])}, [True])
assert twice.tolist() == [1.0, 0.0, 0.0, 2.0]
steps = {"kernel": (1, 2), "stride": (1, 1), "dilation": (1, 1)}
(overlap,) = _windows(np.ones((1, 1, 1, 2, 1, 2)), [np.zeros((1, 1, 1, 3))], np.zeros(0), steps, [True])
assert overlap.tolist() == [[[[1.0, 2.0, 1.0]]]]  # the pixel in the middle was in two windows

# %% [markdown]
# ### The table
#
# One rule per primitive name. Later modules may define primitives of their own and add rules with
# `register_gradient`.

# %%
#| export
_RULES: dict[str, _Rule] = {
    "add": _add,
    "subtract": _subtract,
    "multiply": _multiply,
    "divide": _divide,
    "power": _power,
    "negative": _of_one(lambda g, x, y: -g),
    "exp": _of_one(lambda g, x, y: g * y),
    "log": _of_one(lambda g, x, y: g / x),
    "sqrt": _of_one(lambda g, x, y: g / (y + y)),
    "tanh": _of_one(lambda g, x, y: g * (1 - y * y)),
    "erf": _of_one(lambda g, x, y: g * (np.exp(-x * x) * y.dtype.type(_ERF_SLOPE))),
    "sin": _of_one(lambda g, x, y: g * np.cos(x)),
    "cos": _of_one(lambda g, x, y: -g * np.sin(x)),
    "absolute": _of_one(lambda g, x, y: g * np.sign(x)),
    "maximum": _maximum,
    "minimum": _minimum,
    "clip": _clip,
    "where": _where,
    "sum": _sum,
    "max": _extremum,
    "min": _extremum,
    "matmul": _matmul,
    "transpose": _transpose,
    "reshape": _reshape,
    "broadcast_to": _same,
    "getitem": _getitem,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "windows": _windows,
    "astype": _same,
}


def register_gradient(primitive_name: str, rule: _Rule) -> None:
    """Teach the engine to differentiate one more primitive.

    Args:
        primitive_name: `Primitive.name` of the operation.
        rule: `rule(gradient, inputs, output, params, needed)` on numpy arrays. `gradient` has the output's shape. Returns
            one gradient per input: a new array (or `gradient` itself) of the input's shape, or of a shape that
            the input was broadcast to, or None for "no gradient". Where `needed[i]` is False, None saves work.

    Raises:
        ValueError: There is a rule of that name already.
        TypeError: The rule cannot be called.
    """
    if not callable(rule):
        raise TypeError(f"a gradient rule must be callable; found {type(rule).__name__}")
    if primitive_name in _RULES:
        raise ValueError(f"primitive {primitive_name!r} has a gradient rule already")
    _RULES[primitive_name] = rule


# %% [markdown]
# ## 5. The walk
#
# The engine keeps the nodes that have received a gradient in a heap, and takes the one with the highest
# number each time. By then all its consumers, which are younger, have contributed; its gradient is
# complete, and the rule can pass it on.
#
# ```text
#   pending: {L: 1}
#   pop L (power)     -> pending: {v: 14}
#   pop v (add)       -> pending: {u: 14},  found: {b: 14}
#   pop u (multiply)  -> pending: {},       found: {b: 14, w: 28, x: 42}
# ```
#
# Two details matter more than they seem:
#
# - Gradients are never added in place: `add` hands *the same array* to both inputs.
# - Nothing is stored in `.grad` and nothing is freed before the walk has succeeded. If a rule fails, the
#   state is as before.


# %%
#| export
class _Walk:
    """One walk back through the graph: collects the gradients of some tensors.

    Args:
        wanted: Tells for a tensor whether its gradient shall be collected.
    """

    def __init__(self, wanted: Callable[[Tensor], bool]) -> None:
        self._wanted = wanted
        self._heap: list[int] = []
        self._pending: dict[int, tuple[_Node, _Array]] = {}
        self.found: dict[int, tuple[Tensor, _Array]] = {}
        self.visited: list[_Node] = []

    def run(self, root: Tensor, seed: _Array) -> None:
        """Start with gradient `seed` at `root` and walk until nothing is pending."""
        self._deliver(root, seed)
        heap, pending = self._heap, self._pending
        while heap:
            node, gradient = pending.pop(-heapq.heappop(heap))
            self._pass_on(node, gradient)

    def _pass_on(self, node: _Node, gradient: _Array) -> None:
        """Apply a node's rule and deliver the results to its inputs."""
        inputs, arrays, output = node.inputs, node.arrays, node.output
        if inputs is None or arrays is None or output is None:
            raise RuntimeError(
                "the graph of this tensor was freed by an earlier backward; "
                "compute it again, or say retain_graph=True in the first call"
            )
        rule = _RULES.get(node.primitive.name)
        if rule is None:
            raise RuntimeError(
                f"primitive {node.primitive.name!r} has no gradient rule; give it one with register_gradient"
            )
        self.visited.append(node)
        needed = [tensor.origin is not None or tensor.requires_grad for tensor in inputs]
        parts = rule(gradient, arrays, output, node.params, needed)
        for i, part in enumerate(parts):
            if part is not None and needed[i]:
                array = arrays[i]
                if part.shape != array.shape:
                    part = _unbroadcast(part, array.shape)
                if part.dtype != array.dtype:
                    part = part.astype(array.dtype)
                self._deliver(inputs[i], part)

    def _deliver(self, tensor: Tensor, gradient: _Array) -> None:
        """Add `gradient` to what `tensor` has received so far."""
        if self._wanted(tensor):
            key = id(tensor)
            before = self.found.get(key)
            self.found[key] = (tensor, gradient if before is None else before[1] + gradient)
        node = tensor.origin
        if isinstance(node, _Node):
            number = node.number
            waiting = self._pending.get(number)
            if waiting is None:
                heapq.heappush(self._heap, -number)
                self._pending[number] = (node, gradient)
            else:
                self._pending[number] = (node, waiting[1] + gradient)

    def free(self) -> None:
        """Free all visited nodes."""
        for node in self.visited:
            node.free()


# %% [markdown]
# ## 6. `backward` and `grad`
#
# `backward(loss)` puts gradients where optimizers look for them: into `.grad` of every tensor with
# `requires_grad=True`. It **adds** to what is there. That is a feature (a large batch may be computed in
# several small ones), and the most frequent mistake of beginners: forget `zero_grad()`, and each step also
# follows all older gradients.
#
# `grad(output, inputs)` returns gradients and leaves `.grad` alone.
#
# Both start from a single number. For a tensor with several elements "the gradient" is not defined, unless
# you say how the elements count: pass `gradient`, the weights $\bar y$, of the tensor's shape.
#
# After a walk the graph is **freed**: the arrays it kept for the rules are usually most of the memory of a
# training. A second walk over the same graph is an error, unless the first said `retain_graph=True`.


# %%
#| export
def _seed(tensor: Tensor, gradient: Any) -> _Array:
    """Return the array that a walk from `tensor` starts with, after all checks."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"only a Tensor can be differentiated; found {type(tensor).__name__}")
    if tensor.dtype.kind != "f":
        raise TypeError(f"only floating tensors can be differentiated; found dtype {tensor.dtype}")
    if not _mode.recording:
        raise RuntimeError("gradients were asked for inside no_grad(); leave the block first")
    if tensor.origin is None and not tensor.requires_grad:
        raise RuntimeError(
            "there is nothing to differentiate: no tensor that went into this one has requires_grad=True, "
            "or it was computed under no_grad()"
        )
    if gradient is None:
        if tensor.size != 1:
            raise ValueError(
                f"a tensor of shape {tensor.shape} has no single gradient; reduce it to one element "
                "(for example with .sum()), or pass gradient="
            )
        return np.ones(tensor.shape, tensor.dtype)
    array = gradient.data if isinstance(gradient, Tensor) else np.asarray(gradient)
    if array.shape != tensor.shape:
        raise ValueError(f"gradient must have the tensor's shape {tensor.shape}; found {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"gradient must be numeric; found dtype {array.dtype}")
    return array.astype(tensor.dtype)


def _requires_grad(tensor: Tensor) -> bool:
    return tensor.requires_grad


def backward(tensor: Tensor, gradient: Any = None, retain_graph: bool = False) -> None:
    """Add the derivatives of `tensor` to `.grad` of every tensor with `requires_grad` that it was made from.

    Reverse mode: Griewank and Walther, *Evaluating Derivatives*, 2nd ed. 2008, section 3.2.

    Args:
        tensor: What to differentiate, usually a loss.
        gradient: How much each of its elements counts (Tensor or array of its shape); may be left out for one element.
        retain_graph: Keep the graph for another walk.

    Raises:
        TypeError: `tensor` is not a floating Tensor.
        ValueError: Several elements and no `gradient`, or a `gradient` of another shape.
        RuntimeError: There is nothing to differentiate, the graph was freed, a primitive has no rule, or the call
            comes from inside `no_grad`.
    """
    walk = _Walk(_requires_grad)
    walk.run(tensor, _seed(tensor, gradient))
    for target, array in walk.found.values():
        if target.grad is None:
            target.grad = Tensor(array)
        else:
            target.grad = Tensor(target.grad.data + array)
    if not retain_graph:
        walk.free()


@overload
def grad(
    output: Tensor,
    inputs: Tensor,
    gradient: Any = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> Tensor: ...


@overload
def grad(
    output: Tensor,
    inputs: Sequence[Tensor],
    gradient: Any = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor, ...]: ...


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: Any = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """Return the derivatives of `output` with respect to `inputs`, without touching any `.grad`.

    Args:
        output: What to differentiate.
        inputs: One tensor or several, results of recorded operations or tensors with `requires_grad`.
        gradient: How much each element of `output` counts; may be left out for one element.
        retain_graph: Keep the graph for another walk.
        allow_unused: Answer zeros for a tensor that `output` does not depend on, instead of an error.

    Returns:
        A tensor of the same shape for each input; a single one if `inputs` is a Tensor.

    Raises:
        ValueError: `output` does not depend on one of the inputs; otherwise as `backward`.
    """
    targets = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    keys = {id(target) for target in targets}
    walk = _Walk(lambda tensor: id(tensor) in keys)
    walk.run(output, _seed(output, gradient))
    gradients = []
    for i, target in enumerate(targets):
        if id(target) in walk.found:
            gradients.append(Tensor(walk.found[id(target)][1]))
        elif allow_unused:
            gradients.append(Tensor(np.zeros(target.shape, target.dtype)))
        else:
            raise ValueError(
                f"the output does not depend on input {i}, or that one had no requires_grad when it was used; "
                "say allow_unused=True to get zeros"
            )
    if not retain_graph:
        walk.free()
    return gradients[0] if isinstance(inputs, Tensor) else tuple(gradients)


# %% [markdown]
# The example from section 1, and the walk through a value that is used twice:

# %%
w = Tensor(3.0, requires_grad=True)
x = Tensor(2.0, requires_grad=True)
b = Tensor(1.0, requires_grad=True)
loss = (w * x + b) ** 2
loss.backward()
assert (w.grad.item(), x.grad.item(), b.grad.item()) == (28.0, 42.0, 14.0)

try:
    loss.backward()
except RuntimeError as error:
    assert "freed" in str(error)
else:
    raise AssertionError("a second walk over a freed graph must be refused")

t = Tensor(5.0, requires_grad=True)
assert grad(t * t + t, t).item() == 11.0  # 2 t + 1
assert t.grad is None

chain = t
for _ in range(10_000):
    chain = chain + 1.0
chain.backward()
assert t.grad.item() == 1.0

# %% [markdown]
# ## 7. Checking gradients
#
# A wrong rule rarely crashes; the network just learns badly. So test every rule against the definition of
# the derivative. The **central difference**
#
# $$ f'(x) \approx \frac{f(x + h) - f(x - h)}{2h} $$
#
# has two errors: the formula's own, about $h^2 f'''/6$, and rounding, about $\varepsilon |f| / h$ with
# $\varepsilon \approx 2 \cdot 10^{-16}$ in float64. Their sum is smallest near $h \approx \varepsilon^{1/3}
# \approx 6 \cdot 10^{-6}$, scaled with $|x|$ (W. Press et al., *Numerical Recipes*, 3rd ed. 2007, section
# 5.7), and leaves some ten correct digits. In float32 only about four would be left, so float64 is
# required.
#
# For an output with several elements we check $J^\top \bar y$ for one random $\bar y$: a wrong entry of the
# Jacobian has no chance to hide behind the others, as it could with $\bar y = 1$.
#
# **Common mistake.** Checking at a corner (`maximum(x, 0)` at 0, ties in `max`): the two sides differ
# there, and no rule can agree with the difference quotient except by luck.


# %%
#| export
def numerical_gradient(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    gradient: Any = None,
    step: float = 6e-6,
) -> tuple[Tensor, ...]:
    """Estimate derivatives by central differences, two evaluations per element.

    Source: Press et al., *Numerical Recipes*, 3rd ed. 2007, section 5.7.

    Args:
        function: Takes the inputs, returns a Tensor. Must be deterministic.
        inputs: float64 tensors; unchanged afterwards.
        gradient: Weights of the output's elements, of its shape; default: all 1.
        step: The h of the formula for |x| <= 1; it grows with |x| beyond.

    Returns:
        For each input the estimated gradient of the weighted sum of the output, float64.

    Raises:
        TypeError: An input is not a float64 Tensor.
        ValueError: `step` is not positive.
    """
    if not step > 0:
        raise ValueError(f"step must be positive; found {step}")
    points = [_float64_point(tensor, i) for i, tensor in enumerate(inputs)]
    weights = gradient.data if isinstance(gradient, Tensor) else gradient

    def value() -> float:
        with no_grad():
            result = function(*(Tensor(point) for point in points)).data
        return math.fsum((result if weights is None else result * weights).ravel())

    estimates = []
    for point in points:
        estimate = np.zeros(point.shape)
        for place in np.ndindex(point.shape):
            middle = point[place]
            h = step * max(1.0, abs(middle))
            above, below = middle + h, middle - h
            point[place] = above
            high = value()
            point[place] = below
            low = value()
            point[place] = middle
            estimate[place] = (high - low) / (above - below)
        estimates.append(Tensor(estimate))
    return tuple(estimates)


def _float64_point(tensor: Tensor, position: int) -> _Array:
    if not isinstance(tensor, Tensor) or tensor.dtype != np.float64:
        found = f"dtype {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"gradient checking needs float64 tensors; input {position} has {found}")
    return tensor.numpy()


def check_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    tolerance: float = 1e-6,
    rng: np.random.Generator | int | None = 0,
) -> float:
    """Compare the gradients of reverse mode with central differences.

    The error of an element is |a - n| / max(1, |a|, |n|), relative for large and absolute for small gradients.

    Args:
        function: Takes the inputs, returns a Tensor of any shape. Must be deterministic.
        inputs: float64 tensors, away from corners of the function; unchanged afterwards.
        tolerance: Largest error that is accepted.
        rng: Source of the random weights of the output's elements.

    Returns:
        The largest error found.

    Raises:
        AssertionError: An error exceeds `tolerance`; the message names the worst element.
        TypeError: An input is not a float64 Tensor.
    """
    leaves = [Tensor(_float64_point(t, i), requires_grad=True) for i, t in enumerate(inputs)]
    output = function(*leaves)
    generator = rng if isinstance(rng, np.random.Generator) else np.random.default_rng(rng)
    weights = generator.uniform(0.5, 1.5, output.shape) * generator.choice([-1.0, 1.0], output.shape)
    exact = grad(output, leaves, gradient=weights, allow_unused=True)
    estimated = numerical_gradient(function, inputs, gradient=weights)
    worst = 0.0
    for i, (a, n) in enumerate(zip(exact, estimated, strict=True)):
        if not a.size:
            continue
        scale = np.maximum(1.0, np.maximum(np.abs(a.data), np.abs(n.data)))
        errors = np.abs(a.data - n.data) / scale
        errors = np.where(np.isnan(errors), np.inf, errors)
        place = tuple(int(p) for p in np.unravel_index(int(errors.argmax()), errors.shape))
        if not errors[place] <= tolerance:
            raise AssertionError(
                f"gradient of input {i} at {place}: reverse mode gives {a.data[place]:.10g}, "
                f"central differences give {n.data[place]:.10g} (error {errors[place]:.2g}, tolerance {tolerance:.2g})"
            )
        worst = max(worst, float(errors[place]))
    return worst


# %%
points = Tensor(np.linspace(-1.5, 1.5, 6).reshape(2, 3))
weights = Tensor(np.linspace(0.3, 1.1, 12).reshape(3, 4))
assert (
    check_gradients(lambda p, q: ((p @ q).tanh() / (1.0 + p.exp().sum())).mean(axis=0), [points, weights])
    < 1e-6
)

try:
    check_gradients(lambda p: Tensor(p.data) * p, [points])  # half of the product hides from the record
except AssertionError as error:
    assert "reverse mode gives" in str(error)
else:
    raise AssertionError("a missing gradient must be found")

# %% [markdown]
# ## 8. A worked example: a network that learns
#
# Two layers, XOR, plain gradient descent. Note the three steps that every training loop repeats: forward,
# backward, update. The update changes `.data`, which nobody records, and then forgets the gradients.

# %%
rng = np.random.default_rng(1)
inputs = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
targets = Tensor([[0.0], [1.0], [1.0], [0.0]])
first = Tensor(rng.normal(size=(2, 8)), dtype=np.float32, requires_grad=True)
offset = Tensor(np.zeros(8), dtype=np.float32, requires_grad=True)
second = Tensor(rng.normal(size=(8, 1)), dtype=np.float32, requires_grad=True)
losses = []
for _ in range(300):
    hidden = (inputs @ first + offset).tanh()  # (4, 8)
    error = hidden @ second - targets  # (4, 1)
    loss = (error * error).mean()
    loss.backward()
    for parameter in (first, offset, second):
        parameter.data -= 0.2 * parameter.grad.data
        parameter.zero_grad()
    losses.append(loss.item())
assert losses[-1] < 0.02 < losses[0]

# %% [markdown]
# ## Common mistakes
#
# | symptom | cause |
# |---|---|
# | gradients grow from step to step | `zero_grad()` forgotten: `.grad` accumulates |
# | `.grad` stays None | the tensor had no `requires_grad`, or the result was computed from `.data` |
# | "the graph was freed" | `backward` twice over one graph; compute the loss again |
# | wrong gradients, no error | an array was changed in place between forward and backward |
# | memory grows with every step | `total += loss` keeps all graphs alive; write `total += loss.item()` |
#
# ## Summary
#
# - Reverse mode notes the forward operations and applies the chain rule backwards: all derivatives in one
#   walk.
# - A rule computes $J^\top \bar y$ for one primitive and never builds $J$.
# - The backward of broadcasting is summing, of reading twice is adding, of transposing is transposing back.
# - Numbered nodes give the right order without recursion; nodes that point only backwards free themselves.
# - Central differences in float64 test every rule.
#
# ## Exercises
#
# 1. Differentiate $x^x$ at 2 by hand and with `grad`.
# 2. Write the rule of a primitive `cube` with forward `x * x * x`, register it, and check it with
#    `check_gradients`.
# 3. The gradient of `softmax` summed over its outputs is zero. Why? Confirm it.
# 4. Halve `step` in `numerical_gradient` repeatedly, from 0.1 down to 1e-12, and plot the error. Where is
#    the minimum, and why?
# 5. Compute the full Jacobian of a function from 3 to 2 numbers with two calls of `grad`. When would
#    forward mode be cheaper?
