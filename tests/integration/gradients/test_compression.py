"""Gradients of what compression can differentiate, recorded by autograd, against central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.compression
from tinytorch.core.compression import QuantizedLinear, distillation_loss
from tinytorch.core.layers import Layer, Linear
from tinytorch.core.tensor import Tensor

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=30, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def distillation(draw: st.DrawFn) -> Case:
    """With respect to the student alone: the teacher's scores count as constants."""
    batch, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(SEEDS))
    student, teacher = (Tensor(2.0 * rng.normal(size=(batch, classes))) for _ in range(2))
    student.requires_grad = True
    labels = Tensor(rng.integers(0, classes, batch))
    temperature, alpha = draw(st.sampled_from([0.5, 1.0, 4.0])), draw(st.sampled_from([0.0, 0.3, 1.0]))
    return lambda: distillation_loss(student, teacher, labels, temperature, alpha), [student]


@st.composite
def quantized(draw: st.DrawFn) -> Case:
    """With respect to the input: the rounded weights are not learned."""
    rng = np.random.default_rng(draw(SEEDS))
    before, after = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    scheme = draw(st.sampled_from(["symmetric", "affine"]))
    layer = QuantizedLinear(Linear(before, after, rng=rng), scheme, per_channel=draw(st.booleans()))
    x = Tensor(rng.normal(size=(draw(st.integers(1, 3)), before)), requires_grad=True)
    return lambda: layer(x), [x]


CASES = {"distillation_loss": distillation(), "QuantizedLinear": quantized()}


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_layer_and_loss_has_a_case() -> None:
    """Everything else in compression works on arrays, whose numbers nothing records."""
    module = tinytorch.core.compression
    layers = {
        name
        for name in module.__all__
        if isinstance(part := getattr(module, name), type) and issubclass(part, Layer)
    }
    losses = {name for name in module.__all__ if name.endswith("loss")}
    assert layers | losses == CASES.keys()
