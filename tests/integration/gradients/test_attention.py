"""Gradients of attention's functions and layers, recorded by autograd, against central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.attention
import tinytorch.core.autograd  # installs the recorder
from tinytorch.core.attention import (
    Embedding,
    FeedForward,
    MultiHeadAttention,
    PositionalEncoding,
    TransformerBlock,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)
from tinytorch.core.layers import Layer, LayerNorm
from tinytorch.core.tensor import Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=6, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)
FEWER = st.integers(1, 3)


def vectors(draw: st.DrawFn, *shape: int) -> Tensor:
    return Tensor(np.random.default_rng(draw(SEEDS)).normal(size=shape), requires_grad=True)


def masks(queries: int, keys: int) -> Any:
    """No mask, or any, also one in which a query may look nowhere."""
    return st.none() | hnp.arrays(np.bool_, (queries, keys))


def with_parameters(layer: Layer, compute: Callable[[], Tensor], *inputs: Tensor) -> Case:
    """A computation by a layer, and the inputs and all parameters, which start from numbers other than 0."""
    rng = np.random.default_rng(0)
    for parameter in layer.parameters():
        parameter.data = rng.normal(size=parameter.shape) * 0.5
    return compute, [*inputs, *layer.parameters()]


@st.composite
def weights(draw: st.DrawFn) -> Case:
    """Queries and keys of different number, whose leading axes broadcast."""
    leading = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=2)).input_shapes
    queries, keys, width = draw(FEWER), draw(FEWER), draw(FEWER)
    query, key = vectors(draw, *leading[0], queries, width), vectors(draw, *leading[1], keys, width)
    mask = draw(masks(queries, keys))
    return lambda: attention_weights(query, key, mask), [query, key]


@st.composite
def looked_up(draw: st.DrawFn) -> Case:
    leading = draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=2))
    queries, keys, width = draw(FEWER), draw(FEWER), draw(FEWER)
    query, key = vectors(draw, *leading, queries, width), vectors(draw, *leading, keys, width)
    value = vectors(draw, *leading, keys, draw(FEWER))
    mask = draw(masks(queries, keys))
    return lambda: scaled_dot_product_attention(query, key, value, mask), [query, key, value]


@st.composite
def heads(draw: st.DrawFn) -> Case:
    """Self-attention, and attention from one sequence to another."""
    count, width, examples = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    layer = MultiHeadAttention(count * width, count, bias=draw(st.booleans()), dtype=np.float64)
    query = vectors(draw, examples, draw(FEWER), layer.features)
    if draw(st.booleans()):
        return with_parameters(layer, lambda: layer(query, mask=causal_mask(query.shape[1])), query)
    key, value = (vectors(draw, examples, 2, layer.features) for _ in range(2))
    mask = draw(masks(query.shape[1], 2))
    return with_parameters(layer, lambda: layer(query, key, value, mask), query, key, value)


@st.composite
def embedding(draw: st.DrawFn) -> Case:
    """Tokens that come once, several times or never."""
    layer = Embedding(3, draw(FEWER), dtype=np.float64)
    tokens = draw(hnp.arrays(np.int64, hnp.array_shapes(max_dims=2, max_side=4), elements=st.integers(0, 2)))
    return with_parameters(layer, lambda: layer(tokens))


@st.composite
def positions(draw: st.DrawFn) -> Case:
    x = vectors(draw, 2, draw(FEWER), 4)
    return lambda: PositionalEncoding(4, max_length=8)(x), [x]


@st.composite
def feed_forward(draw: st.DrawFn) -> Case:
    layer = FeedForward(draw(FEWER), draw(FEWER), dtype=np.float64)
    x = vectors(draw, *draw(hnp.array_shapes(max_dims=2, max_side=2)), layer.widen.in_features)
    return with_parameters(layer, lambda: layer(x), x)


@st.composite
def block(draw: st.DrawFn) -> Case:
    """Without dropout, which test_layers.py checks: its masks would differ from call to call."""
    features = draw(st.sampled_from([2, 4]))
    layer = TransformerBlock(features, 2, hidden=3, dtype=np.float64)
    for norm in (part for _, part in layer.named_layers() if isinstance(part, LayerNorm)):
        norm.eps = 0.1  # two features may be nearly equal, and the norm nearly singular
    x = vectors(draw, draw(st.integers(1, 2)), draw(st.integers(1, 3)), features)
    mask = draw(masks(x.shape[1], x.shape[1]))
    return with_parameters(layer, lambda: layer(x, mask), x)


CASES = {
    "attention_weights": weights(),
    "scaled_dot_product_attention": looked_up(),
    "MultiHeadAttention": heads(),
    "Embedding": embedding(),
    "PositionalEncoding": positions(),
    "FeedForward": feed_forward(),
    "TransformerBlock": block(),
}
WITHOUT_GRADIENT = {"causal_mask", "sinusoidal_encoding"}  # constants


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_name_has_a_case_or_a_reason() -> None:
    assert set(tinytorch.core.attention.__all__) == CASES.keys() | WITHOUT_GRADIENT
