"""Gradients of the layers of layers and dense, recorded by autograd, against central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.dense
import tinytorch.core.layers
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear
from tinytorch.core.tensor import Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)
WIDTHS = st.integers(1, 4)


def examples(draw: st.DrawFn, *last: int) -> Tensor:
    """Inputs with no, one or two leading axes."""
    leading = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3))
    numbers = np.random.default_rng(draw(SEEDS)).normal(size=(*leading, *last))
    return Tensor(numbers, requires_grad=True)


def with_parameters(layer: Layer, x: Tensor) -> Case:
    """The layer's output, and the input and all parameters, which start from numbers other than 0 and 1."""
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=parameter.shape).astype(parameter.dtype)
    return lambda: layer(x), [x, *layer.parameters()]


@st.composite
def linear(draw: st.DrawFn) -> Case:
    before, after = draw(WIDTHS), draw(WIDTHS)
    layer = Linear(before, after, bias=draw(st.booleans()), dtype=np.float64)
    return with_parameters(layer, examples(draw, before))


@st.composite
def layer_norm(draw: st.DrawFn) -> Case:
    """Over one axis or two. A generous eps keeps short axes from being nearly singular."""
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=4))
    layer = LayerNorm(shape, eps=0.1, affine=draw(st.booleans()), dtype=np.float64)
    return with_parameters(layer, examples(draw, *shape))


@st.composite
def dropout(draw: st.DrawFn) -> Case:
    """Made anew for each call, so that the same elements are dropped every time."""
    seed, x = draw(SEEDS), examples(draw, 3)
    return lambda: Dropout(0.4, rng=seed)(x), [x]


def in_float64(layer: Layer) -> Layer:
    """Give a network that is made in float32 parameters in which differences are exact."""
    for linear_layer in (part for _, part in layer.named_layers() if isinstance(part, Linear)):
        twin = Linear(linear_layer.in_features, linear_layer.out_features, rng=0, dtype=np.float64)
        linear_layer.weight, linear_layer.bias = twin.weight, twin.bias
    return layer


@st.composite
def mlp(draw: st.DrawFn) -> Case:
    """With an activation that has no kink: hidden units may come to lie anywhere."""
    sizes = draw(st.lists(WIDTHS, min_size=2, max_size=4))
    net = in_float64(MLP(sizes, activation=lambda x: x.tanh()))
    return with_parameters(net, examples(draw, sizes[0]))


@st.composite
def sequential(draw: st.DrawFn) -> Case:
    """A chain in which one layer, with one set of parameters, stands twice."""
    width = draw(WIDTHS)
    shared = Linear(width, width, dtype=np.float64)
    chain = Sequential(shared, LayerNorm(width, eps=0.1, dtype=np.float64), lambda x: x.tanh(), shared)
    return with_parameters(chain, examples(draw, width))


CASES = {
    "Linear": linear(),
    "LayerNorm": layer_norm(),
    "Dropout": dropout(),
    "MLP": mlp(),
    "Sequential": sequential(),
}
WITHOUT_GRADIENT = {
    # what layers are made from
    "Layer", "Parameter",
    # starting values, which nothing records
    "fan_in_and_out", "fill_constant", "fill_zeros", "kaiming_normal", "kaiming_uniform", "xavier_normal",
    "xavier_uniform",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_name_has_a_case_or_a_reason() -> None:
    names = {*tinytorch.core.layers.__all__, *tinytorch.core.dense.__all__}
    assert names == CASES.keys() | WITHOUT_GRADIENT


def test_an_mlp_with_its_usual_activation(agree: Any) -> None:
    """Rectified units have a kink: the input is one from which every unit is further than the step."""
    rng = np.random.default_rng(1)
    x = Tensor(rng.normal(size=(3, 4)), requires_grad=True)
    compute, tensors = with_parameters(in_float64(MLP([4, 5, 2])), x)
    first_weight, first_bias = tensors[1], tensors[2]
    hidden = x.data @ first_weight.data + first_bias.data
    assert np.abs(hidden).min() > 0.02
    assert (hidden < 0).any()
    assert (hidden > 0).any()
    agree(compute, tensors)
