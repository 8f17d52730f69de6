"""Gradients of the kernels, by the rules that kernels brings along, against central differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.kernels
from tinytorch.core.autograd import register_gradient
from tinytorch.core.kernels import (
    KERNEL_GRADIENTS,
    blocked_matmul,
    col2im,
    conv2d_im2col,
    im2col,
    linear_relu,
    loop_matmul,
    softmax_cross_entropy,
)
from tinytorch.core.tensor import Primitive, Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)
LENGTHS = st.integers(1, 4)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@pytest.fixture(scope="module", autouse=True)
def rules() -> None:
    for name, rule in KERNEL_GRADIENTS.items():
        register_gradient(name, rule, replace=True)


def leaf(draw: st.DrawFn, *shape: int) -> Tensor:
    return Tensor(np.random.default_rng(draw(SEEDS)).normal(size=shape), requires_grad=True)


@st.composite
def matrices(draw: st.DrawFn, multiply: Callable[..., Tensor], **options: int) -> Case:
    rows, inner, columns = draw(LENGTHS), draw(LENGTHS), draw(LENGTHS)
    a, b = leaf(draw, rows, inner), leaf(draw, inner, columns)
    return lambda: multiply(a, b, **options), [a, b]


@st.composite
def geometry(draw: st.DrawFn) -> tuple[tuple[int, ...], dict[str, tuple[int, int]]]:
    """A shape of images, and windows that fit them."""
    kernel, stride = draw(PAIRS), draw(PAIRS)
    padding, dilation = ((draw(st.integers(low, low + 1)), draw(st.integers(low, low + 1))) for low in (0, 1))
    spans = (d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    size = [
        max(1, span - 2 * border) + draw(st.integers(0, 2))
        for span, border in zip(spans, padding, strict=True)
    ]
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size)
    return shape, {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def rows_of_windows(draw: st.DrawFn) -> Case:
    shape, steps = draw(geometry())
    x = leaf(draw, *shape)
    return lambda: im2col(x, **steps), [x]


@st.composite
def images_from_rows(draw: st.DrawFn) -> Case:
    shape, steps = draw(geometry())
    x = leaf(draw, *im2col(Tensor(np.zeros(shape)), **steps).shape)
    return lambda: col2im(x, shape, **steps), [x]


@st.composite
def convolution(draw: st.DrawFn) -> Case:
    shape, steps = draw(geometry())
    kernel = steps.pop("kernel")
    x, weight = leaf(draw, *shape), leaf(draw, 2, shape[1], *kernel)
    bias = leaf(draw, 2) if draw(st.booleans()) else None
    return lambda: conv2d_im2col(x, weight, bias, **steps), [x, weight, *([] if bias is None else [bias])]


@st.composite
def rectified(draw: st.DrawFn) -> Case:
    """Whole numbers and a bias of a half: no unit is nearer to the kink than that."""
    leading = draw(hnp.array_shapes(max_dims=2, max_side=3))
    inputs, outputs, rng = draw(LENGTHS), draw(LENGTHS), np.random.default_rng(draw(SEEDS))
    x, weight = (
        Tensor(rng.integers(-3, 4, shape).astype(np.float64), requires_grad=True)
        for shape in ((*leading, inputs), (inputs, outputs))
    )
    bias = Tensor(rng.integers(-2, 2, outputs) + 0.5, requires_grad=True)
    return lambda: linear_relu(x, weight, bias), [x, weight, bias]


@st.composite
def cross_entropy(draw: st.DrawFn) -> Case:
    batch, classes = draw(LENGTHS), draw(LENGTHS)
    labels = Tensor(np.random.default_rng(draw(SEEDS)).integers(0, classes, batch))
    scores = leaf(draw, batch, classes)
    return lambda: softmax_cross_entropy(scores, labels) * 2.0, [scores]


CASES = {
    "loop_matmul": matrices(loop_matmul),
    "blocked_matmul": matrices(blocked_matmul, block=2),
    "im2col": rows_of_windows(),
    "col2im": images_from_rows(),
    "conv2d_im2col": convolution(),
    "linear_relu": rectified(),
    "softmax_cross_entropy": cross_entropy(),
}
WITHOUT_GRADIENT = {"KERNEL_GRADIENTS", "KernelTime", "compare_kernels"}  # the rules, and measuring


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_name_has_a_case_or_a_reason() -> None:
    assert set(tinytorch.core.kernels.__all__) == CASES.keys() | WITHOUT_GRADIENT


def test_every_primitive_has_a_rule() -> None:
    primitives = {part.name for part in vars(tinytorch.core.kernels).values() if isinstance(part, Primitive)}
    assert primitives == KERNEL_GRADIENTS.keys()


def test_many_windows_on_one_pixel_add_up() -> None:
    """The case that an assignment in place of a sum gets wrong: the middle of 3 x 3 lies in all 4 windows."""
    x = Tensor(np.zeros((1, 1, 3, 3)), requires_grad=True)
    im2col(x, 2).sum().backward()
    assert x.grad is not None
    counts = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    np.testing.assert_array_equal(x.grad.data.reshape(3, 3), counts)
    assert math.prod(im2col(x, 2).shape) == np.sum(counts)
