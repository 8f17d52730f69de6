"""Unit tests of dense networks: chains, initial values, and multi-layer perceptrons."""

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.dense import (
    MLP,
    Sequential,
    fan_in_and_out,
    fill_constant,
    fill_zeros,
    kaiming_normal,
    kaiming_uniform,
    xavier_normal,
    xavier_uniform,
)
from tinytorch.core.layers import Dropout, Layer, Linear, Parameter
from tinytorch.core.tensor import Tensor, ones, zeros

deterministic = settings(derandomize=True, max_examples=30, deadline=None)


def values(shape: tuple[int, ...], seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def double(x: Tensor) -> Tensor:
    return x * 2.0


def test_a_chain_applies_its_steps_in_order() -> None:
    chain = Sequential(double, lambda x: x + 1.0, double)
    assert chain(Tensor([1.0])).tolist() == [6.0]


def test_an_empty_chain_is_the_identity_and_true() -> None:
    x = ones(3)
    assert Sequential()(x) is x
    assert len(Sequential()) == 0
    assert Sequential()


def test_a_chain_can_be_indexed_and_iterated() -> None:
    steps = (Linear(2, 3), double, Linear(3, 1))
    chain = Sequential(*steps)
    assert list(chain) == list(steps)
    assert chain[-1] is steps[2]
    head = chain[:2]
    assert isinstance(head, Sequential)
    assert list(head) == list(steps[:2])
    with pytest.raises(IndexError, match="step 3 does not exist: the chain has 3 steps"):
        chain[3]


def test_a_chain_refuses_what_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="step 1 must be a layer or a function, found int"):
        Sequential(double, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"step 0 is the class Linear: write Linear\(\.\.\.\)"):
        Sequential(Linear)  # type: ignore[arg-type]


def test_states_are_nested_and_restored() -> None:
    def build(seed: int) -> Sequential:
        return Sequential(Linear(2, 3, rng=seed), double, Sequential(Linear(3, 1, rng=seed + 1)))

    one, other, x = build(0), build(10), Tensor(values((4, 2)))
    assert list(one.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
    assert not np.allclose(one(x).numpy(), other(x).numpy())
    other.load_state_dict(one.state_dict())
    np.testing.assert_array_equal(one(x).numpy(), other(x).numpy())


def test_a_step_that_stands_twice_in_a_chain_is_learned_once() -> None:
    shared = Linear(2, 2)
    assert len(Sequential(shared, double, shared).parameters()) == 2


def test_train_and_eval_reach_the_steps() -> None:
    chain = Sequential(Sequential(Dropout(0.5)), double)
    chain.eval()
    assert not chain[0][0].training


def test_fans_of_matrices_and_convolutions() -> None:
    assert fan_in_and_out((3, 7)) == (3, 7)
    assert fan_in_and_out([16, 3, 5, 2]) == (30, 160)
    for shape in [(), (3,), (3, 0)]:
        with pytest.raises(ValueError, match="fans need a weight with two or more axes"):
            fan_in_and_out(shape)


@pytest.mark.parametrize("shape", [(300, 200), (40, 30, 5, 5)])
@pytest.mark.parametrize(
    ("initialise", "variance"),
    [
        (lambda w: xavier_uniform(w, rng=0), lambda i, o: 2 / (i + o)),
        (lambda w: xavier_normal(w, gain=3.0, rng=0), lambda i, o: 18 / (i + o)),
        (lambda w: kaiming_uniform(w, rng=0), lambda i, o: 2 / i),
        (lambda w: kaiming_normal(w, negative_slope=0.5, rng=0), lambda i, o: 1.6 / i),
        (lambda w: kaiming_normal(w, mode="fan_out", rng=0), lambda i, o: 2 / o),
    ],
)
def test_initial_values_have_mean_zero_and_the_papers_variance(
    initialise: Callable[[Parameter], Parameter],
    variance: Callable[[int, int], float],
    shape: tuple[int, ...],
) -> None:
    weight = Parameter(np.zeros(shape, dtype=np.float32))
    assert initialise(weight) is weight
    expected = variance(*fan_in_and_out(shape))
    assert weight.dtype == np.float32
    assert weight.data.var() == pytest.approx(expected, rel=0.03)
    assert abs(weight.data.mean()) < 0.02 * math.sqrt(expected)


@pytest.mark.parametrize("initialise", [xavier_uniform, kaiming_uniform])
def test_uniform_values_stay_within_and_fill_their_bounds(initialise: Callable[..., Parameter]) -> None:
    weight = initialise(Parameter(np.zeros((100, 100))), rng=0)
    bound = math.sqrt(3 * 2 / 200) if initialise is xavier_uniform else math.sqrt(3 * 2 / 100)
    assert 0.99 * bound < np.abs(weight.data).max() <= bound


@pytest.mark.parametrize("initialise", [xavier_uniform, xavier_normal, kaiming_uniform, kaiming_normal])
def test_seeds_repeat_and_generators_go_on(initialise: Callable[..., Parameter]) -> None:
    def drawn(rng: np.random.Generator | int) -> Any:
        return initialise(Parameter(np.zeros((4, 5))), rng=rng).numpy()

    generator = np.random.default_rng(5)
    first, second = drawn(generator), drawn(generator)
    np.testing.assert_array_equal(drawn(5), first)
    assert (first != second).all()


def test_initialisers_refuse_what_makes_no_sense() -> None:
    weight = Parameter(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"found shape \(3,\)"):
        xavier_normal(Parameter(np.zeros(3)))
    with pytest.raises(ValueError, match="gain must be a positive number, found 0"):
        xavier_uniform(weight, gain=0.0)
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', found 'fan'"):
        kaiming_uniform(weight, mode="fan")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="negative_slope must be a finite number, found nan"):
        kaiming_normal(weight, negative_slope=math.nan)
    with pytest.raises(ValueError, match="finite numbers, found inf"):
        fill_constant(weight, math.inf)


def test_constants_fill_any_shape() -> None:
    parameter = Parameter(np.ones((2, 3), dtype=np.float16))
    assert fill_constant(parameter, 0.5) is parameter
    assert parameter.dtype == np.float16
    assert (parameter.data == 0.5).all()
    assert not fill_zeros(parameter).data.any()
    assert parameter.requires_grad


@deterministic
@given(st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 3))
def test_mlp_is_the_composition_of_its_layers(sizes: list[int], batch: int) -> None:
    mlp = MLP(sizes, rng=0)
    x = values((batch, sizes[0]))
    expected = x
    for position, linear in enumerate(mlp.linears):
        expected = expected @ linear.weight.data
        if position < len(sizes) - 2:
            expected = np.where(expected > 0, expected, 0)
    np.testing.assert_allclose(mlp(Tensor(x)).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert sum(p.size for p in mlp.parameters()) == sum((n + 1) * m for n, m in pairwise(sizes))


def test_mlp_takes_any_activation_and_initialiser() -> None:
    def halves(weight: Parameter, rng: object) -> Parameter:
        return fill_constant(weight, 0.5)

    mlp = MLP([2, 2, 1], activation=double, initialise=halves, bias=False)
    assert mlp(Tensor([1.0, 3.0])).tolist() == [4.0]
    assert len(mlp.parameters()) == 2


def test_an_activation_with_parameters_is_part_of_the_state() -> None:
    class Slope(Layer):
        def __init__(self) -> None:
            self.slope = Parameter(1.0)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.slope

    assert "activation.slope" in MLP([2, 2, 1], activation=Slope()).state_dict()


def test_mlp_repeats_with_a_seed_and_its_layers_differ() -> None:
    one, two = MLP([3, 3, 3], rng=4), MLP([3, 3, 3], rng=4)
    np.testing.assert_array_equal(one.linears[1].weight.data, two.linears[1].weight.data)
    assert (one.linears[0].weight.data != one.linears[1].weight.data).all()


def test_mlp_drops_hidden_units_while_training_only() -> None:
    mlp = MLP([4, 50, 1], dropout=0.5, rng=0)
    x = ones((1, 4))
    assert mlp(x).item() != mlp(x).item()
    mlp.eval()
    assert mlp(x).item() == mlp(x).item()
    assert list(mlp.state_dict()) == list(MLP([4, 50, 1]).state_dict())  # names do not depend on dropout


def test_mlp_refuses_what_makes_no_network() -> None:
    with pytest.raises(ValueError, match=r"at least an input and an output width, found \(3,\)"):
        MLP([3])
    with pytest.raises(ValueError, match="out_features must be at least 1, found 0"):
        MLP([3, 0, 1])
    with pytest.raises(TypeError, match="activation must be a function or a layer, found str"):
        MLP([3, 1], activation="relu")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="activation is the class Dropout"):
        MLP([3, 1], activation=Dropout)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="probability p"):
        MLP([3, 1], dropout=1.0)
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 3\), found \(2, 4\)"):
        MLP([3, 1])(zeros((2, 4)))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: Sequential(double)["first"],
            TypeError,
            "a step is named by an int or a slice, found 'first'",
        ),
        (lambda: MLP(3), TypeError, "sizes must be a sequence of widths, found 3"),
        (lambda: MLP([2, 2], initialise=None), TypeError, "initialise must be a function, found NoneType"),
        (lambda: MLP([2, 2], dropout="half"), TypeError, "the probability p must be a number, found 'half'"),
        (lambda: fan_in_and_out(3), TypeError, "a shape is a sequence of ints, found 3"),
        (lambda: fan_in_and_out("ab"), TypeError, "a shape is a sequence of ints, found 'ab'"),
        (lambda: fan_in_and_out((3, -1)), ValueError, "none below length 1, found shape (3, -1)"),
        (lambda: xavier_uniform(None), TypeError, "a parameter (a float Tensor) is expected, found NoneType"),
        (
            lambda: kaiming_normal(values((2, 2))),
            TypeError,
            "a parameter (a float Tensor) is expected, found ndarray",
        ),
        (
            lambda: fill_zeros(Tensor([1, 2])),
            TypeError,
            "a parameter (a float Tensor) is expected, found a tensor of int64",
        ),
        (lambda: xavier_normal(ones((2, 2)), gain="big"), TypeError, "gain must be a number, found 'big'"),
        (
            lambda: kaiming_uniform(ones((2, 2)), None),
            TypeError,
            "negative_slope must be a number, found None",
        ),
        (lambda: fill_constant(ones(2), [1.0]), TypeError, "value must be a number, found [1.0]"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
