"""Gradients of every activation, recorded by autograd, against central differences."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinytorch.core.activations
import tinytorch.core.autograd  # installs the recorder
from tinytorch.core.activations import (
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    softmax,
    tanh,
)
from tinytorch.core.tensor import Tensor

FEW = settings(max_examples=25, derandomize=True, deadline=None, database=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=4)
SEEDS = st.integers(0, 2**32 - 1)

# Each takes scores and one of their axes.
CASES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "relu": lambda x, axis: relu(x),
    "leaky_relu": lambda x, axis: leaky_relu(x, 0.2),
    "sigmoid": lambda x, axis: sigmoid(x),
    "tanh": lambda x, axis: tanh(x),
    "gelu": lambda x, axis: gelu(x) + gelu(x, "tanh"),
    "softmax": softmax,
    "log_softmax": log_softmax,
    "ReLU": lambda x, axis: ReLU()(x),
    "LeakyReLU": lambda x, axis: LeakyReLU()(x),
    "Sigmoid": lambda x, axis: Sigmoid()(x),
    "Tanh": lambda x, axis: Tanh()(x),
    "GELU": lambda x, axis: GELU()(x) + GELU("tanh")(x),
    "Softmax": lambda x, axis: Softmax(axis)(x),
    "LogSoftmax": lambda x, axis: LogSoftmax(axis)(x),
}


@pytest.mark.parametrize("name", CASES)
@FEW
@given(shape=SHAPES, seed=SEEDS, data=st.data())
def test_gradients_are_those_of_central_differences(
    name: str, shape: tuple[int, ...], seed: int, data: st.DataObject, agree: Any
) -> None:
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    order = np.random.default_rng(seed).permutation(math.prod(shape)).reshape(shape)
    away_from_the_kinks = 0.05 * (order + 1) * np.where(order % 2, 1.0, -1.0)
    x = Tensor(away_from_the_kinks, requires_grad=True)
    agree(lambda: CASES[name](x, axis), [x])


def test_every_activation_has_a_case() -> None:
    assert set(tinytorch.core.activations.__all__) == CASES.keys()


@pytest.mark.parametrize(
    ("activation", "slope"),
    [(relu, 0.5), (ReLU(), 0.5), (leaky_relu, 0.01), (LeakyReLU(0.2), 0.2), (gelu, 0.5)],
)
def test_the_slope_at_zero(activation: Callable[[Tensor], Tensor], slope: float) -> None:
    """At a kink there is no derivative, and each activation takes one of those between the two sides."""
    x = Tensor(np.zeros(1), requires_grad=True)
    activation(x).backward()
    assert x.grad is not None
    assert x.grad.item() == slope


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_finite_far_from_zero(name: str) -> None:
    x = Tensor([[-1e4, -50.0, 50.0, 1e4]], dtype=np.float64, requires_grad=True)
    CASES[name](x, 1).sum().backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.data).all()
