"""Guards the boundary from layers, dense and spatial to autograd and optimizers: a step changes what it should."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Layer, LayerNorm, Linear, Parameter
from tinytorch.core.optimizers import SGD, Adam, AdamW, Optimizer, clip_gradients
from tinytorch.core.spatial import BatchNorm2D, Conv2D, Flatten
from tinytorch.core.tensor import Tensor

MAKERS: dict[str, Callable[[list[Parameter]], Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, lr=0.1),
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, nesterov=True),
    "Adam": lambda parameters: Adam(parameters, lr=0.01),
    "AdamW": lambda parameters: AdamW(parameters, lr=0.01),
}


def examples(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def step(net: Layer, optimizer: Optimizer, x: Tensor) -> float:
    return optimizer.minimize(((net(x) - 1.0) ** 2).mean())


@pytest.mark.parametrize("name", MAKERS)
def test_a_step_moves_every_parameter_in_its_own_place_and_dtype(name: str) -> None:
    """Layers must go on with the very tensors that the optimizer holds."""
    net = Sequential(Conv2D(1, 2, 3, rng=0), BatchNorm2D(2), Flatten(), LayerNorm(8), Linear(8, 2, rng=1))
    optimizer = MAKERS[name](net.parameters())
    before, tensors = net.state_dict(), net.parameters()
    x = examples(4, 1, 4, 4)
    scores = net(x).numpy()
    step(net, optimizer, x)
    assert all(old is new for old, new in zip(tensors, net.parameters(), strict=True))
    for key, parameter in net.named_parameters():
        assert parameter.dtype == np.float32
        if key != "0.bias":  # batch norm takes its shift away again
            assert np.abs(parameter.data - before[key]).max() > 1e-6, key
    assert not np.array_equal(net(x).numpy(), scores)


@pytest.mark.parametrize("name", MAKERS)
def test_twenty_steps_make_the_loss_smaller(name: str) -> None:
    net, x = MLP([3, 8, 2], rng=0), examples(16, 3)
    optimizer = MAKERS[name](net.parameters())
    losses = [step(net, optimizer, x) for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]


class Tied(Layer):
    """An autoencoder whose second map is the first one transposed."""

    def __init__(self) -> None:
        self.first = Linear(4, 2, bias=False, rng=0)
        self.again = self.first

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x) @ self.again.weight.T


def test_a_shared_weight_is_one_parameter_and_gets_the_sum_of_both_gradients() -> None:
    net, x = Tied(), examples(8, 4)
    assert len(net.parameters()) == 1
    optimizer = SGD(net.parameters(), lr=0.1)
    weight = net.first.weight.numpy().astype(np.float64)
    step(net, optimizer, x)
    data = x.data.astype(np.float64)
    error = (data @ weight @ weight.T - 1.0) * 2 / x.size
    gradient = data.T @ error @ weight + error.T @ data @ weight
    np.testing.assert_allclose(net.first.weight.data, weight - 0.1 * gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MAKERS)
def test_a_frozen_layer_passes_gradients_on_and_stays(name: str) -> None:
    first, frozen = Linear(3, 4, rng=0), Linear(4, 1, rng=1)
    for parameter in frozen.parameters():
        parameter.requires_grad = False
    net, before = Sequential(first, frozen), Sequential(first, frozen).state_dict()
    optimizer = MAKERS[name]([parameter for parameter in net.parameters() if parameter.requires_grad])
    for _ in range(3):
        step(net, optimizer, examples(5, 3))
    changed = [key for key, array in net.state_dict().items() if not np.array_equal(array, before[key])]
    assert changed == ["0.weight", "0.bias"]


def test_accumulated_gradients_of_halves_are_those_of_the_whole() -> None:
    net, x = MLP([3, 6, 2], rng=0), examples(8, 3)
    (net(x) ** 2).sum().backward()
    whole = gradients(net)
    net.zero_grad()
    for half in (x[:4], x[4:]):
        (net(half) ** 2).sum().backward()
    for found, expected in zip(gradients(net), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def gradients(net: Layer) -> list[Any]:
    return [parameter.grad.data for parameter in net.parameters() if parameter.grad is not None]


def test_clipping_keeps_the_direction_over_all_layers() -> None:
    net = MLP([3, 6, 2], rng=0)
    (net(examples(8, 3)) * 100.0).sum().backward()
    before = np.concatenate([gradient.ravel() for gradient in gradients(net)])
    norm = clip_gradients(net.parameters(), max_norm=1.0)
    after = np.concatenate([gradient.ravel() for gradient in gradients(net)])
    assert norm == pytest.approx(np.linalg.norm(before), rel=1e-5)
    np.testing.assert_allclose(after, before / norm, rtol=1e-4, atol=1e-7)


def test_a_part_that_took_no_part_is_named() -> None:
    net = Sequential(Linear(3, 4, rng=0), Linear(4, 2, rng=1))
    optimizer = SGD(net.parameters(), lr=0.1)
    with pytest.raises(
        RuntimeError, match=r"no gradient for parameter 2 of shape \(4, 2\), 3 of shape \(2,\)"
    ):
        optimizer.minimize(net[0](examples(5, 3)).sum())
