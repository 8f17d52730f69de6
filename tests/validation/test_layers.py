"""What holds of every layer and activation of the package: it stays float32, and it survives being stored."""

import inspect
import pickle
from collections.abc import Callable

import numpy as np
import pytest

import tinytorch
from tinytorch import (
    GELU,
    MLP,
    AvgPool2D,
    BatchNorm2D,
    CharacterTransformer,
    ClassifierConfig,
    Conv2D,
    Dropout,
    Embedding,
    FeedForward,
    Flatten,
    ImageClassifier,
    Layer,
    LayerNorm,
    LeakyReLU,
    Linear,
    LogSoftmax,
    MaxPool2D,
    MultiHeadAttention,
    PositionalEncoding,
    QuantizedLinear,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    Tensor,
    TransformerBlock,
    TransformerConfig,
    randn,
)

IMAGES, ROWS, TEXTS = (2, 4, 6, 6), (5, 4), (2, 3, 8)

LAYERS: dict[type, tuple[Callable[[int], Layer], tuple[int, ...]]] = {
    Linear: (lambda seed: Linear(4, 3, rng=seed), ROWS),
    Dropout: (lambda seed: Dropout(0.5, rng=seed), ROWS),
    LayerNorm: (lambda seed: LayerNorm(4), ROWS),
    Sequential: (lambda seed: Sequential(Linear(4, 3, rng=seed), ReLU(), LayerNorm(3)), ROWS),
    MLP: (lambda seed: MLP([4, 6, 3], dropout=0.1, rng=seed), ROWS),
    QuantizedLinear: (lambda seed: QuantizedLinear(Linear(4, 3, rng=seed)), ROWS),
    Conv2D: (lambda seed: Conv2D(4, 3, 3, stride=2, padding=1, rng=seed), IMAGES),
    MaxPool2D: (lambda seed: MaxPool2D(2), IMAGES),
    AvgPool2D: (lambda seed: AvgPool2D(3, padding=1, count_include_pad=False), IMAGES),
    BatchNorm2D: (lambda seed: BatchNorm2D(4), IMAGES),
    Flatten: (lambda seed: Flatten(), IMAGES),
    MultiHeadAttention: (lambda seed: MultiHeadAttention(8, 2, rng=seed), TEXTS),
    PositionalEncoding: (lambda seed: PositionalEncoding(8, 10), TEXTS),
    FeedForward: (lambda seed: FeedForward(8, 16, rng=seed), TEXTS),
    TransformerBlock: (lambda seed: TransformerBlock(8, 2, 16, rng=seed), TEXTS),
    Embedding: (lambda seed: Embedding(7, 8, rng=seed), (2, 3)),
    CharacterTransformer: (
        lambda seed: CharacterTransformer(TransformerConfig(7, 4, 8, 2, 1), rng=seed),
        (2, 3),
    ),
    ImageClassifier: (lambda seed: ImageClassifier(ClassifierConfig(IMAGES[1:], 3), rng=seed), IMAGES),
}
"""How each exported layer is made from a seed, and the shape of its input."""

TAKE_TOKENS = (Embedding, CharacterTransformer)
"""Layers whose input is made of integers, from 0 to 6 here."""

ACTIVATIONS = [ReLU(), LeakyReLU(), Sigmoid(), Tanh(), GELU(), GELU("tanh"), Softmax(), LogSoftmax()]

every_layer = pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind.__name__)


def an_input(kind: type) -> Tensor:
    shape = LAYERS[kind][1]
    if kind in TAKE_TOKENS:
        return Tensor(np.random.default_rng(0).integers(0, 7, shape))
    return randn(shape, 0)


def trained_a_little(kind: type) -> Layer:
    """A layer whose state is not that of a new one."""
    layer = LAYERS[kind][0](1)
    rng = np.random.default_rng(2)
    for parameter in layer.parameters():
        parameter.data = parameter.data + rng.normal(size=parameter.shape).astype(np.float32)
    layer(an_input(kind))  # BatchNorm2D takes notes
    return layer


def test_every_exported_layer_is_among_those_tested_here() -> None:
    found = [getattr(tinytorch, name) for name in tinytorch.__all__]
    layers = {value for value in found if isinstance(value, type) and issubclass(value, Layer)}
    complete = {layer for layer in layers if layer is not Layer and not inspect.isabstract(layer)}
    assert sorted(layer.__name__ for layer in complete - LAYERS.keys()) == []


@every_layer
def test_a_layer_keeps_float32_forward_and_backward(kind: type) -> None:
    layer, x = LAYERS[kind][0](0), an_input(kind)
    x.requires_grad = kind not in TAKE_TOKENS
    output = layer(x)
    assert output.dtype == np.float32
    floats = {array.dtype for array in layer.state_dict().values() if array.dtype.kind == "f"}
    assert floats <= {np.dtype(np.float32)}
    (output * output).sum().backward()
    for name, leaf in [*layer.named_parameters(), *([("input", x)] if x.requires_grad else [])]:
        assert leaf.grad is not None, name
        assert leaf.grad.dtype == np.float32, name
        assert leaf.grad.shape == leaf.shape, name
        assert np.isfinite(leaf.grad.data).all(), name


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
def test_an_activation_keeps_float32_forward_and_backward(activation: Callable[[Tensor], Tensor]) -> None:
    x = randn(ROWS, 0)
    x.requires_grad = True
    output = activation(x)
    assert output.dtype == np.float32
    assert output.shape == x.shape
    (output * output).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32


@every_layer
def test_a_pickled_layer_computes_the_same(kind: type) -> None:
    layer = trained_a_little(kind).eval()
    copy = pickle.loads(pickle.dumps(layer))
    assert type(copy) is kind
    assert not copy.training
    assert repr(copy) == repr(layer)
    np.testing.assert_array_equal(copy(an_input(kind)).numpy(), layer(an_input(kind)).numpy())
    for parameter in copy.parameters():  # it shares nothing with the original
        parameter.data = np.zeros_like(parameter.data)
    assert all(parameter.data.any() for parameter in layer.parameters())


@every_layer
def test_a_state_dict_makes_another_layer_compute_the_same(kind: type) -> None:
    layer, other = trained_a_little(kind).eval(), LAYERS[kind][0](5).eval()
    x = an_input(kind)
    expected = layer(x).numpy()
    if layer.state_dict():
        assert not np.array_equal(other(x).numpy(), expected)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x).numpy(), expected)
    assert other.state_dict().keys() == layer.state_dict().keys()


@every_layer
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(kind: type) -> None:
    layer = trained_a_little(kind)
    before = layer.state_dict()
    wrong = {name: np.zeros((*array.shape, 2), array.dtype) for name, array in before.items()}
    with pytest.raises(ValueError, match=f"the state does not fit {kind.__name__}"):
        layer.load_state_dict({**wrong, "stranger": np.zeros(1)})
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
