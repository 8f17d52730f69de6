"""Guards the boundary tensor | layers | dense: states of nested networks move between objects and files."""

import io
from typing import Any

import numpy as np
import pytest

from tinytorch.core.dense import MLP, Sequential, fill_constant
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.tensor import Tensor


class Counter(Layer):
    """Passes its input on and keeps its running mean in a buffer."""

    def __init__(self, features: int) -> None:
        self.register_buffer("mean", np.zeros(features, dtype=np.float32))

    def forward(self, x: Tensor) -> Tensor:
        self.mean = 0.5 * self.mean + 0.5 * x.numpy().mean(axis=0)
        return x


def network(seed: int) -> Sequential:
    return Sequential(
        Counter(4), MLP([4, 6, 5], dropout=0.1, rng=seed), LayerNorm(5), Sequential(Linear(5, 2, rng=seed))
    )


def examples() -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((3, 4)), dtype=np.float32)


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file) as loaded:
        return {name: loaded[name] for name in loaded.files}


def test_a_state_gives_a_twin() -> None:
    one, twin = network(1), network(2)
    one(examples())  # moves the buffer
    twin.load_state_dict(through_a_file(one.state_dict()))
    assert list(twin.state_dict()) == list(one.state_dict())
    np.testing.assert_array_equal(twin[0].mean, one[0].mean)
    np.testing.assert_array_equal(twin.eval()(examples()).numpy(), one.eval()(examples()).numpy())


def test_a_twin_lives_its_own_life() -> None:
    one, twin = network(1), network(2)
    twin.load_state_dict(one.state_dict())
    fill_constant(one[3][0].weight, 7.0)
    one(examples())
    assert not (twin[3][0].weight.data == 7.0).any()
    assert not twin[0].mean.any()


def test_keys_name_the_way_through_the_network() -> None:
    assert sorted(network(1).state_dict()) == [
        "0.mean",
        "1.linears.0.bias",
        "1.linears.0.weight",
        "1.linears.1.bias",
        "1.linears.1.weight",
        "2.bias",
        "2.weight",
        "3.0.bias",
        "3.0.weight",
    ]


def test_a_network_of_another_form_refuses_the_state_and_stays_as_it_was() -> None:
    wider = Sequential(MLP([4, 7, 5], rng=3), Dropout(0.1), LayerNorm(5))
    before = wider.state_dict()
    with pytest.raises(ValueError, match="the state does not fit Sequential") as caught:
        wider.load_state_dict(Sequential(MLP([4, 6, 5], rng=1), LayerNorm(5)).state_dict())
    message = str(caught.value)
    assert "missing: 2.weight, 2.bias" in message
    assert "unexpected: 1.weight, 1.bias" in message
    assert "0.linears.0.weight: shape (4, 7) expected, found (4, 6)" in message
    assert all(np.array_equal(before[name], value) for name, value in wider.state_dict().items())


def test_a_trained_body_goes_under_a_new_head() -> None:
    body = Sequential(MLP([4, 6, 5], rng=1))
    headed = Sequential(MLP([4, 6, 5], rng=2), Linear(5, 3, rng=3))
    head = headed[1].weight.numpy()
    headed.load_state_dict(body.state_dict(), strict=False)
    np.testing.assert_array_equal(headed[0].linears[0].weight.data, body[0].linears[0].weight.data)
    np.testing.assert_array_equal(headed[1].weight.data, head)


def test_loading_keeps_the_parameters_that_an_optimizer_holds() -> None:
    net = network(1)
    held = net.parameters()
    net.load_state_dict(network(2).state_dict())
    assert [id(parameter) for parameter in net.parameters()] == [id(parameter) for parameter in held]
    assert all(isinstance(parameter, Parameter) and parameter.requires_grad for parameter in held)
