"""Guards the boundary tensor | activations | layers | dense: networks against the same sums in numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.core.activations import GELU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.dense import MLP, Sequential, xavier_uniform
from tinytorch.core.layers import Dropout, LayerNorm, Linear
from tinytorch.core.tensor import Tensor


def examples(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        pytest.param(ReLU(), lambda x: np.where(x > 0, x, 0), id="ReLU"),
        pytest.param(Tanh(), np.tanh, id="Tanh"),
        pytest.param(Sigmoid(), lambda x: 1 / (1 + np.exp(-x)), id="Sigmoid"),
    ],
)
def test_an_mlp_with_an_activation_is_its_formula(
    activation: Callable[[Tensor], Tensor], formula: Callable[[Any], Any]
) -> None:
    mlp = MLP([6, 8, 7, 3], activation=activation, initialise=xavier_uniform, rng=1)
    x = examples(5, 6)
    first, second, last = (linear.state_dict() for linear in mlp.linears)
    hidden = formula(formula(x @ first["weight"] + first["bias"]) @ second["weight"] + second["bias"])
    expected = hidden @ last["weight"] + last["bias"]
    np.testing.assert_allclose(mlp(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_default_activation_is_relu() -> None:
    x = Tensor(examples(5, 6))
    np.testing.assert_array_equal(
        MLP([6, 8, 3], rng=1)(x).numpy(), MLP([6, 8, 3], activation=ReLU(), rng=1)(x).numpy()
    )


def test_a_chain_of_all_kinds_of_steps() -> None:
    net = Sequential(
        LayerNorm(6), Linear(6, 16, rng=1), GELU(), Dropout(0.5, rng=2), MLP([16, 8, 3], rng=3), LogSoftmax()
    )
    x = Tensor(examples(4, 5, 6))
    noisy, again = net(x), net(x)
    assert noisy.shape == (4, 5, 3)
    assert not np.allclose(noisy.numpy(), again.numpy())  # dropout draws anew
    quiet = net.eval()(x)
    np.testing.assert_array_equal(quiet.numpy(), net(x).numpy())
    np.testing.assert_allclose(quiet.exp().sum(axis=-1).numpy(), 1.0, rtol=1e-5)


def test_every_example_is_computed_alone() -> None:
    net = Sequential(LayerNorm(6), MLP([6, 8, 3], activation=GELU(), rng=1), Softmax())
    x = examples(5, 6)
    together = net(Tensor(x)).numpy()
    for position, example in enumerate(x):
        np.testing.assert_allclose(net(Tensor(example)).numpy(), together[position], rtol=1e-5, atol=1e-7)


def test_double_precision_inputs_are_not_cut_down() -> None:
    net = Sequential(Linear(6, 3, rng=1, dtype=np.float64), Tanh(), LayerNorm(3, dtype=np.float64))
    assert net(Tensor(examples(2, 6).astype(np.float64))).dtype == np.float64


def test_a_wrong_width_is_named_by_the_layer_that_meets_it() -> None:
    net = Sequential(Linear(6, 4, rng=1), ReLU(), Linear(5, 3, rng=2))
    with pytest.raises(ValueError, match=r"Linear expects an input of shape \(\.\.\., 5\), found \(2, 4\)"):
        net(Tensor(examples(2, 6)))


def test_a_forgotten_pair_of_parentheses_is_noticed() -> None:
    with pytest.raises(TypeError, match=r"step 1 is the class ReLU: write ReLU\(\.\.\.\)"):
        Sequential(Linear(6, 4), ReLU)  # type: ignore[arg-type]
