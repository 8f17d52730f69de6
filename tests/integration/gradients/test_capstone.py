"""Gradients of capstone's two models, recorded by autograd, against central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.capstone
from tinytorch.core.activations import ReLU
from tinytorch.core.capstone import CharacterTransformer, ClassifierConfig, ImageClassifier, TransformerConfig
from tinytorch.core.layers import Layer, LayerNorm
from tinytorch.core.spatial import MaxPool2D
from tinytorch.core.tensor import Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=4, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)


def fill(model: Layer, rng: np.random.Generator) -> None:
    for parameter in model.parameters():
        parameter.data = 0.5 * rng.normal(size=parameter.shape)


@st.composite
def transformer(draw: st.DrawFn) -> Case:
    """The table of characters takes part twice, as input and as output matrix."""
    rng = np.random.default_rng(draw(SEEDS))
    config = TransformerConfig(tokens=3, context=3, features=2, heads=2, depth=draw(st.integers(1, 2)))
    model = CharacterTransformer(config, dtype=np.float64)
    for norm in (part for _, part in model.named_layers() if isinstance(part, LayerNorm)):
        norm.eps = 0.1  # two features may be nearly equal, and the norm nearly singular
    fill(model, rng)
    tokens = Tensor(rng.integers(0, 3, (draw(st.integers(1, 2)), draw(st.integers(1, 3)))))
    return lambda: model(tokens), model.parameters()


def nearest_kink(model: ImageClassifier, images: Tensor) -> float:
    """How far the input of the nearest kink is from it: of a unit from 0, of a largest pixel from the next."""
    distances, x = [], images
    for step in (*model.stages, *model.head):
        if isinstance(step, ReLU):
            distances.append(np.abs(x.data))
        if isinstance(step, MaxPool2D):
            windows = np.sort(x.windows(2, 2).data.reshape(-1, 4))
            distances.append((windows[:, -1] - windows[:, -2])[windows[:, -1] > 0])  # below lies a plain of 0
        x = step(x)
    return min(float(distance.min(initial=np.inf)) for distance in distances)


@st.composite
def classifier(draw: st.DrawFn) -> Case:
    """Numbers from which no unit and no window comes to its kink within the step of the differences."""
    rng = np.random.default_rng(draw(SEEDS))
    channels = draw(st.integers(1, 2))
    config = ClassifierConfig(image=(channels, 2, 2), classes=2, channels=(2,), hidden=3)
    model = ImageClassifier(config, dtype=np.float64)
    fill(model, rng)
    images = Tensor(rng.normal(size=(2, *config.image)), requires_grad=True)
    assume(nearest_kink(model, images) > 0.03)
    return lambda: model(images), [images, *model.parameters()]


CASES = {"CharacterTransformer": transformer(), "ImageClassifier": classifier()}


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_layer_has_a_case() -> None:
    """What else capstone exports prepares data, trains, or makes text of scores: no gradient flows through."""
    module = tinytorch.core.capstone
    parts = {name: getattr(module, name) for name in module.__all__}
    layers = {name for name, part in parts.items() if isinstance(part, type) and issubclass(part, Layer)}
    assert layers == CASES.keys()
