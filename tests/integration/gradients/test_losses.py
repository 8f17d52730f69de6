"""Gradients of training's losses, recorded by autograd, against central differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.autograd  # installs the recorder
import tinytorch.core.training
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import BCEWithLogits, CrossEntropyLoss, MSELoss

Case = tuple[Callable[[], Tensor], list[Tensor]]
FEW = settings(max_examples=30, derandomize=True, deadline=None, database=None)
SEEDS = st.integers(0, 2**32 - 1)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=3)
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


@st.composite
def squared_error(draw: st.DrawFn) -> Case:
    """Also with respect to the targets, which may be what another network predicts."""
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    predictions, targets = (Tensor(rng.normal(size=shape), requires_grad=True) for _ in range(2))
    loss = MSELoss(draw(REDUCTIONS))
    return lambda: loss(predictions, targets), [predictions, targets]


@st.composite
def cross_entropy(draw: st.DrawFn) -> Case:
    shape, classes = draw(SHAPES), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(SEEDS))
    logits = Tensor(2.0 * rng.normal(size=(*shape, classes)), requires_grad=True)
    labels = Tensor(rng.integers(0, classes, shape))
    loss = CrossEntropyLoss(draw(REDUCTIONS), label_smoothing=draw(st.sampled_from([0.0, 0.1, 0.9])))
    return lambda: loss(logits, labels), [logits]


@st.composite
def binary_cross_entropy(draw: st.DrawFn) -> Case:
    """Hard and soft targets; logits keep away from 0, where the two halves of the formula meet."""
    shape, rng = draw(SHAPES), np.random.default_rng(draw(SEEDS))
    order = rng.permutation(math.prod(shape)).reshape(shape)
    logits = Tensor(0.1 * (order + 1) * np.where(order % 2, 1.0, -1.0), requires_grad=True)
    soft = draw(st.booleans())
    targets = Tensor(rng.uniform(size=shape) if soft else rng.integers(0, 2, shape))
    loss = BCEWithLogits(draw(REDUCTIONS))
    return lambda: loss(logits, targets), [logits]


CASES = {
    "MSELoss": squared_error(),
    "CrossEntropyLoss": cross_entropy(),
    "BCEWithLogits": binary_cross_entropy(),
}
WITHOUT_GRADIENT = {
    # metrics: plain numbers
    "accuracy", "confusion_matrix", "mean_absolute_error",
    # what runs a training
    "EarlyStopping", "Trainer", "load_checkpoint", "save_checkpoint",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@FEW
@given(data=st.data())
def test_gradients_are_those_of_central_differences(name: str, data: st.DataObject, agree: Any) -> None:
    agree(*data.draw(CASES[name]))


def test_every_name_has_a_case_or_a_reason() -> None:
    assert set(tinytorch.core.training.__all__) == CASES.keys() | WITHOUT_GRADIENT


@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_the_slope_of_binary_cross_entropy_at_zero_is_exact(target: float) -> None:
    """The formula is put together from two kinks that cancel: sigmoid(0) - target must come out."""
    logits = Tensor(np.zeros(1), requires_grad=True)
    BCEWithLogits()(logits, Tensor([target], dtype=np.float64)).backward()
    assert logits.grad is not None
    assert logits.grad.item() == 0.5 - target
