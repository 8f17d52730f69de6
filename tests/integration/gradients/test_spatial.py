"""Gradients of the layers of spatial, recorded by autograd, against central differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.spatial
from tinytorch.core.layers import Layer
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=15, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


def images(draw: st.DrawFn, rows: int, columns: int) -> Tensor:
    """A small batch. No two elements are nearer than 0.01: of equal ones, the maximum has a kink."""
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 2)), rows, columns
    order = np.random.default_rng(draw(SEEDS)).permutation(math.prod(shape)).reshape(shape)
    return Tensor(0.01 * (order + 1) * np.where(order % 2, 1.0, -1.0), requires_grad=True)


def with_parameters(layer: Layer, x: Tensor) -> Case:
    """The layer's output, and the input and all parameters, which start from numbers other than 0 and 1."""
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=parameter.shape)
    return lambda: layer(x), [x, *layer.parameters()]


@st.composite
def convolution(draw: st.DrawFn) -> Case:
    """Windows that overlap, touch or leave gaps; images that they just fit or that stick out."""
    kernel, stride = draw(PAIRS), draw(PAIRS)
    padding, dilation = ((draw(st.integers(low, low + 1)), draw(st.integers(low, low + 1))) for low in (0, 1))
    spans = (d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))
    rows, columns = (
        max(1, span - 2 * border) + draw(st.integers(0, 2))
        for span, border in zip(spans, padding, strict=True)
    )
    x = images(draw, rows, columns)
    bias = draw(st.booleans())
    layer = Conv2D(
        x.shape[1], draw(st.integers(1, 2)), kernel, stride, padding, dilation, bias, dtype=np.float64
    )
    return with_parameters(layer, x)


@st.composite
def pooling(draw: st.DrawFn, make: Callable[..., Layer]) -> Case:
    """Windows that overlap, touch or leave gaps, with padding up to half a window."""
    kernel = draw(PAIRS)
    stride = draw(st.none() | PAIRS)
    padding = tuple(draw(st.integers(0, places // 2)) for places in kernel)
    rows, columns = (places + draw(st.integers(0, 2)) for places in kernel)
    x = images(draw, rows, columns)
    return with_parameters(make(kernel, stride, padding), x)


@st.composite
def batch_norm(draw: st.DrawFn) -> Case:
    """In training, where the statistics depend on the input, and in use, where they do not."""
    x = images(draw, draw(st.integers(2, 3)), draw(st.integers(1, 3)))
    x.data = 10.0 * x.data
    layer = BatchNorm2D(x.shape[1], eps=0.1, affine=draw(st.booleans()), dtype=np.float64)
    if draw(st.booleans()):
        layer(x)  # moves the running estimates
        layer.eval()
    return with_parameters(layer, x)


@st.composite
def flatten(draw: st.DrawFn) -> Case:
    layer, x = Flatten(draw(st.integers(0, 3))), images(draw, 2, 3)
    return lambda: layer(x), [x]


CASES = {
    "Conv2D": convolution(),
    "MaxPool2D": pooling(MaxPool2D),
    "AvgPool2D": pooling(AvgPool2D)
    | pooling(lambda kernel, stride, padding: AvgPool2D(kernel, stride, padding, count_include_pad=False)),
    "BatchNorm2D": batch_norm(),
    "Flatten": flatten(),
}
WITHOUT_GRADIENT = {"conv_output_size"}  # counts


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_name_has_a_case_or_a_reason() -> None:
    assert set(tinytorch.core.spatial.__all__) == CASES.keys() | WITHOUT_GRADIENT


def test_equal_maxima_share_the_gradient() -> None:
    """At this kink central differences say nothing; shares keep the sum of the gradients right."""
    x = Tensor(np.ones((1, 1, 2, 2)), requires_grad=True)
    MaxPool2D(2)(x).backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.data, np.full((1, 1, 2, 2), 0.25))
