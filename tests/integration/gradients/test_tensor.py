"""Gradients of every operation of tensor, recorded by autograd, against central differences."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import isfunction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.tensor
from tinytorch.core.tensor import PRIMITIVES, Tensor, concatenate, get_recorder, set_recorder, stack, where

Case = tuple[Callable[[], Tensor], list[Tensor]]  # a computation, and what it starts from
Cases = st.SearchStrategy[Case]

FEW = settings(max_examples=25, derandomize=True, deadline=None, database=None)
ANY_SHAPE = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
NOT_EMPTY = hnp.array_shapes(min_dims=1, max_dims=3, max_side=3)
SEEDS = st.integers(0, 2**32 - 1)


def normal(shape: Any, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(shape: Any, seed: int) -> np.ndarray:
    """Numbers for roots, logarithms and divisors, not so near 0 that the differences become inexact."""
    return np.random.default_rng(seed).uniform(0.5, 2.0, size=shape)


def distinct(shape: Any, seed: int) -> np.ndarray:
    """Numbers 0.1 apart, and as far from 0: the step of the differences never reaches a kink."""
    order = np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape)
    return 0.1 * (order + 1) * np.where(order % 2, 1.0, -1.0)


def on_grid(shape: Any, seed: int) -> np.ndarray:
    """Multiples of 1/8, which float32 holds exactly, moved or not."""
    return np.random.default_rng(seed).integers(-8, 9, size=shape) / 8.0


def leaf(array: np.ndarray) -> Tensor:
    return Tensor(array, requires_grad=True)


@st.composite
def one(
    draw: st.DrawFn, function: Callable[[Tensor], Tensor], numbers: Any = normal, shapes: Any = ANY_SHAPE
) -> Case:
    """A function of one tensor."""
    x = leaf(numbers(draw(shapes), draw(SEEDS)))
    return lambda: function(x), [x]


@st.composite
def two(draw: st.DrawFn, function: Callable[[Tensor, Tensor], Tensor], numbers: Any = normal) -> Case:
    """A function of two tensors whose shapes broadcast."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, min_side=0, max_dims=3, max_side=3))
    a, b = (leaf(numbers(shape, draw(SEEDS))) for shape in shapes.input_shapes)
    return lambda: function(a, b), [a, b]


@st.composite
def compared(draw: st.DrawFn, function: Callable[[Tensor, Tensor], Tensor]) -> Case:
    """A function that picks from two tensors, no two elements of which are equal."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    a, b = (distinct(shape, draw(SEEDS)) for shape in shapes.input_shapes)
    x, y = leaf(a), leaf(b + 0.03)
    return lambda: function(x, y), [x, y]


@st.composite
def product(draw: st.DrawFn, function: Callable[[Tensor, Tensor], Tensor]) -> Case:
    """A matrix product: vectors, matrices, and batches that broadcast."""
    shapes = draw(
        hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, min_side=1, max_side=3)
    )
    a, b = (leaf(normal(shape, draw(SEEDS))) for shape in shapes.input_shapes)
    return lambda: function(a, b), [a, b]


@st.composite
def reduction(draw: st.DrawFn, name: str, numbers: Any = normal) -> Case:
    """A reduction over no, one or several axes. Equal elements would be a kink of max and min."""
    shape = draw(NOT_EMPTY)
    axis = draw(
        st.none() | st.integers(-len(shape), len(shape) - 1) | hnp.valid_tuple_axes(len(shape), min_size=1)
    )
    keepdims = draw(st.booleans())
    x = leaf(numbers(shape, draw(SEEDS)))
    return lambda: getattr(x, name)(axis=axis, keepdims=keepdims), [x]


@st.composite
def unbiased_variance(draw: st.DrawFn) -> Case:
    """The variance that divides by one less than the number of elements."""
    x = leaf(normal((draw(st.integers(2, 4)), draw(st.integers(1, 3))), draw(SEEDS)))
    return lambda: x.var(axis=0, ddof=1), [x]


@st.composite
def reordered(draw: st.DrawFn, name: str) -> Case:
    """Axes in any order."""
    x = leaf(normal(draw(NOT_EMPTY), draw(SEEDS)))
    order = draw(st.permutations(range(x.ndim)))
    return lambda: getattr(x, name)(*order), [x]


@st.composite
def at_an_axis(draw: st.DrawFn, function: Callable[..., Tensor], shapes: Any = NOT_EMPTY) -> Case:
    """A function that takes an axis, or two."""
    x = leaf(normal(draw(shapes), draw(SEEDS)))
    axes = [draw(st.integers(-x.ndim, x.ndim - 1)) for _ in range(2)]
    return lambda: function(x, *axes), [x]


@st.composite
def stretched(draw: st.DrawFn) -> Case:
    """One of two shapes, stretched to what both have in common."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3))
    x = leaf(normal(shapes.input_shapes[0], draw(SEEDS)))
    return lambda: x.broadcast_to(shapes.result_shape), [x]


@st.composite
def padded(draw: st.DrawFn) -> Case:
    x = leaf(normal(draw(NOT_EMPTY), draw(SEEDS)))
    widths = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in x.shape]
    return lambda: x.pad(widths, 3.0), [x]


@st.composite
def windowed(draw: st.DrawFn) -> Case:
    """Windows that overlap, touch or leave gaps, and do not always reach the border."""
    kernel, stride, dilation = (
        (draw(st.integers(1, most)), draw(st.integers(1, most))) for most in (3, 3, 2)
    )
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [span + draw(st.integers(0, 2)) for span in spans]
    x = leaf(normal((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size), draw(SEEDS)))
    return lambda: x.windows(kernel, stride, dilation), [x]


@st.composite
def indexed(draw: st.DrawFn) -> Case:
    """Slices and new axes; lists of places, repeated or not; masks; and mixtures."""
    shape = draw(NOT_EMPTY)
    places = st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=4)
    index = draw(
        hnp.basic_indices(shape, allow_newaxis=True)
        | hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
        | hnp.arrays(np.bool_, shape)
        | hnp.arrays(np.bool_, shape[:1])
        | places
        | places.map(lambda rows: (np.array(rows), ..., None))
        | places.map(lambda rows: Tensor(np.array(rows)))
    )
    x = leaf(normal(shape, draw(SEEDS)))
    return lambda: x[index], [x]


@st.composite
def joined(draw: st.DrawFn) -> Case:
    """Tensors whose lengths differ along the axis; the first comes twice."""
    shape = draw(NOT_EMPTY)
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        lengths = list(shape)
        lengths[axis] = draw(st.integers(0, 3))
        parts.append(leaf(normal(lengths, draw(SEEDS))))
    return lambda: concatenate([*parts, parts[0]], axis=axis), parts


@st.composite
def stacked(draw: st.DrawFn) -> Case:
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))
    axis = draw(st.integers(-len(shape) - 1, len(shape)))
    parts = [leaf(normal(shape, draw(SEEDS))) for _ in range(draw(st.integers(1, 3)))]
    return lambda: stack([*parts, parts[0]], axis=axis), parts


@st.composite
def chosen(draw: st.DrawFn) -> Case:
    """Three shapes that broadcast: the condition's, and those of the two choices."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=3, min_side=0, max_dims=3, max_side=3))
    condition = Tensor(normal(shapes.input_shapes[0], draw(SEEDS)) > 0)
    a, b = (leaf(normal(shape, draw(SEEDS))) for shape in shapes.input_shapes[1:])
    return lambda: where(condition, a, b), [a, b]


@st.composite
def narrowed(draw: st.DrawFn) -> Case:
    """From float32 to float64, or there and back."""
    narrow = draw(st.booleans())
    array = on_grid(draw(ANY_SHAPE), draw(SEEDS))
    x = leaf(array if narrow else array.astype(np.float32))
    return lambda: (x.astype(np.float32) if narrow else x).astype(np.float64), [x]


def with_ones(shapes: Any) -> Any:
    """Shapes with an axis of length 1 in front."""
    return shapes.map(lambda shape: (1, *shape))


CASES: dict[str, Cases] = {
    "__add__": two(lambda a, b: a + b) | one(lambda x: x + 1.5) | one(lambda x: x + x),
    "__radd__": one(lambda x: 1.5 + x) | one(lambda x: np.arange(3.0) + x, shapes=st.just((2, 3))),
    "__sub__": two(lambda a, b: a - b),
    "__rsub__": one(lambda x: 1.5 - x),
    "__mul__": two(lambda a, b: a * b) | one(lambda x: x * x),
    "__rmul__": one(lambda x: 1.5 * x),
    "__truediv__": two(lambda a, b: a / b, positive),
    "__rtruediv__": one(lambda x: 1.5 / x, positive),
    "__pow__": two(lambda a, b: a**b, positive) | one(lambda x: x**2) | one(lambda x: x**3),
    "__rpow__": one(lambda x: 1.5**x),
    "__matmul__": product(lambda a, b: a @ b),
    "__rmatmul__": one(lambda x: np.arange(6.0).reshape(2, 3) @ x, shapes=st.just((3, 2))),
    "__neg__": one(lambda x: -x),
    "__abs__": one(abs, distinct),
    "__getitem__": indexed(),
    "__iter__": one(lambda x: stack(list(x)), shapes=NOT_EMPTY),
    "T": one(lambda x: x.T),
    "abs": one(lambda x: x.abs(), distinct),
    "astype": narrowed(),
    "broadcast_to": stretched(),
    "clip": one(lambda x: x.clip(-0.25, 0.25), distinct)
    | one(lambda x: x.clip(low=0.15), distinct)
    | one(lambda x: x.clip(high=0.15), distinct),
    "concatenate": joined(),
    "cos": one(lambda x: x.cos()),
    "erf": one(lambda x: x.erf()),
    "exp": one(lambda x: x.exp()),
    "expand_dims": at_an_axis(lambda x, axis, _: x.expand_dims(axis)),
    "flatten": at_an_axis(lambda x, axis, _: x.flatten(axis)),
    "log": one(lambda x: x.log(), positive),
    "matmul": product(lambda a, b: a.matmul(b)),
    "max": reduction("max", distinct),
    "maximum": compared(lambda a, b: a.maximum(b)),
    "mean": reduction("mean"),
    "min": reduction("min", distinct),
    "minimum": compared(lambda a, b: a.minimum(b)),
    "pad": padded(),
    "permute": reordered("permute"),
    "reshape": one(lambda x: x.reshape(-1, x.shape[-1]), shapes=NOT_EMPTY),
    "sin": one(lambda x: x.sin()),
    "sqrt": one(lambda x: x.sqrt(), positive),
    "squeeze": one(lambda x: x.squeeze(0), shapes=with_ones(NOT_EMPTY)) | one(lambda x: x.squeeze()),
    "stack": stacked(),
    "sum": reduction("sum"),
    "swapaxes": at_an_axis(lambda x, first, second: x.swapaxes(first, second)),
    "tanh": one(lambda x: x.tanh()),
    "transpose": reordered("transpose"),
    "var": reduction("var") | unbiased_variance(),
    "where": chosen(),
    "windows": windowed(),
}

WITHOUT_GRADIENT = {
    # what a tensor is and holds
    "data", "dtype", "grad", "item", "ndim", "numpy", "origin", "requires_grad", "shape", "size", "tolist", "version",
    "__array__", "__bool__", "__float__", "__int__", "__len__", "__setstate__",
    # constants: booleans and places
    "__and__", "__invert__", "__or__", "__rand__", "__ror__", "__rxor__", "__xor__", "argmax", "argmin",
    # made of plain data
    "arange", "detach", "eye", "full", "linspace", "ones", "ones_like", "rand", "randn", "tensor", "zeros",
    "zeros_like",
    # refused where something was recorded
    "__setitem__",
    # the machinery itself
    "PRIMITIVES", "Primitive", "Recorder", "Tensor", "apply", "backward", "get_recorder", "set_recorder", "zero_grad",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


class Witness:
    """Stands in front of a recorder and notes which primitives pass."""

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder
        self.seen: set[str] = set()

    def record(self, primitive: Any, inputs: Any, output: Any, params: Mapping[str, Any]) -> None:
        self.seen.add(primitive.name)
        self.recorder.record(primitive, inputs, output, params)

    def backward(self, tensor: Any, gradient: Any) -> None:
        self.recorder.backward(tensor, gradient)


@contextmanager
def witnessed() -> Iterator[Witness]:
    witness = Witness(get_recorder())
    previous = set_recorder(witness)
    try:
        yield witness
    finally:
        set_recorder(previous)


def test_every_primitive_takes_part() -> None:
    seen: set[str] = set()

    @settings(FEW, max_examples=10)
    @given(data=st.data())
    def note(data: st.DataObject) -> None:
        for cases in CASES.values():
            compute, _ = data.draw(cases)
            with witnessed() as witness:
                compute()
            seen.update(witness.seen)

    note()
    assert seen == set(PRIMITIVES)


def test_every_name_has_a_case_or_a_reason() -> None:
    """A new operation without a gradient test fails here: give it a case, or say why it has no gradient."""
    special = {name for name in dir(Tensor) if name.startswith("__") and isfunction(getattr(Tensor, name))}
    public = {name for name in dir(Tensor) if not name.startswith("_")}
    names = {*tinytorch.core.tensor.__all__, *public, *special - set(dir(object))}
    assert names == CASES.keys() | WITHOUT_GRADIENT
    assert not CASES.keys() & WITHOUT_GRADIENT


def test_a_wrong_gradient_is_noticed(agree: Any) -> None:
    """The comparison itself can fail: the absolute value at its kink, and a gradient that is cut off."""
    at_the_kink, cut = leaf(np.zeros(1)), leaf(np.ones(1))
    with pytest.raises(AssertionError, match=r"input 0: .* found, .* expected"):
        agree(lambda: at_the_kink.maximum(at_the_kink * 3.0).exp(), [at_the_kink])
    with pytest.raises(AssertionError, match=r"input 0: \[1\.\d*\] found"):
        agree(lambda: cut + cut.detach() * cut.detach(), [cut])
    with pytest.raises(AssertionError, match=r"input 1 of shape \(1,\) got no gradient"):
        agree(lambda: cut * 2.0, [cut, leaf(np.ones(1))])
