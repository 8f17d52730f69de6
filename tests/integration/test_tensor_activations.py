"""Guards the boundary tensor | layers | activations: what a layer puts out, an activation takes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tinytorch.core.activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.layers import LayerNorm, Linear
from tinytorch.core.tensor import Tensor, set_recorder

ELEMENTWISE = [ReLU(), LeakyReLU(0.1), Sigmoid(), Tanh(), GELU(), GELU("tanh")]
EVERY = [*ELEMENTWISE, Softmax(), LogSoftmax()]


class Listener:
    """A recorder that remembers from which tensors each tensor was computed."""

    def __init__(self) -> None:
        self.inputs: dict[int, tuple[Tensor, ...]] = {}
        self.kept: list[Tensor] = []  # else an id could be used twice

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        self.inputs[id(output)] = inputs
        self.kept.append(output)

    def backward(self, tensor: Any, gradient: Any) -> None:
        raise NotImplementedError

    def reaches(self, start: Tensor, goal: Tensor) -> bool:
        waiting = [start]
        while waiting:
            tensor = waiting.pop()
            if tensor is goal:
                return True
            waiting.extend(self.inputs.get(id(tensor), ()))
        return False


@pytest.fixture
def listener() -> Iterator[Listener]:
    guest = Listener()
    previous = set_recorder(guest)
    yield guest
    set_recorder(previous)


def examples(scale: float = 1.0) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((2, 5, 4)) * scale, dtype=np.float32)


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_shape_and_dtype_survive(activation: Callable[[Tensor], Tensor]) -> None:
    hidden = Linear(4, 3, rng=1)(examples())
    result = activation(hidden)
    assert result.shape == (2, 5, 3)
    assert result.dtype == np.float32


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_the_record_leads_from_the_activation_back_to_the_weights(
    activation: Callable[[Tensor], Tensor], listener: Listener
) -> None:
    linear = Linear(4, 3, rng=1)
    result = activation(linear(examples()))
    assert linear.bias is not None
    assert listener.reaches(result, linear.weight)
    assert listener.reaches(result, linear.bias)


@pytest.mark.parametrize("activation", EVERY, ids=repr)
def test_exploding_layers_do_not_make_the_activations_overflow(
    activation: Callable[[Tensor], Tensor],
) -> None:
    hidden = Linear(4, 3, rng=1)(examples(scale=1e4))
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(activation(hidden).numpy()).all()


def test_class_scores_of_a_layer_become_probabilities() -> None:
    scores = Linear(4, 3, rng=1)(examples())
    probabilities = Softmax()(scores)
    np.testing.assert_allclose(probabilities.sum(axis=-1).numpy(), 1.0, rtol=1e-6)
    np.testing.assert_array_equal(probabilities.argmax(axis=-1).numpy(), scores.argmax(axis=-1).numpy())
    np.testing.assert_allclose(LogSoftmax()(scores).exp().numpy(), probabilities.numpy(), rtol=1e-5)


def test_normalised_inputs_leave_half_of_the_rectified_units_active() -> None:
    normal = LayerNorm(4)(examples(scale=50.0) + 1000.0)
    active = (ReLU()(normal) > 0.0).numpy().mean()
    assert 0.3 < active < 0.7
