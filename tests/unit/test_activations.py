"""Unit tests of the activations: values against independent formulas, extreme inputs, refusals."""

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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
from tinytorch.core.tensor import PRIMITIVES, Tensor, set_recorder

deterministic = settings(derandomize=True, max_examples=30, deadline=None)
arrays = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5), elements=st.floats(-20.0, 20.0)
)
ALL: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "sigmoid": sigmoid,
    "tanh": tanh,
    "gelu": gelu,
    "gelu-tanh": GELU("tanh"),
    "softmax": softmax,
    "log_softmax": log_softmax,
}
every_activation = pytest.mark.parametrize("function", ALL.values(), ids=ALL.keys())


class Listener:
    """A recorder that keeps every array which passes the door."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.arrays: list[Any] = []
        self.outputs: list[Tensor] = []

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        self.names.append(primitive.name)
        self.arrays.extend([*(tensor.data for tensor in inputs), output.data])
        self.outputs.append(output)

    def backward(self, tensor: Any, gradient: Any) -> None:
        raise NotImplementedError


@pytest.fixture
def listener() -> Iterator[Listener]:
    guest = Listener()
    previous = set_recorder(guest)
    yield guest
    set_recorder(previous)


def normal_distribution_function(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


@deterministic
@given(arrays)
def test_elementwise_values(array: Any) -> None:
    x = Tensor(array)
    np.testing.assert_array_equal(relu(x).numpy(), np.where(array > 0, array, 0.0))
    np.testing.assert_allclose(leaky_relu(x, 0.2).numpy(), np.where(array > 0, array, 0.2 * array))
    np.testing.assert_allclose(sigmoid(x).numpy(), 1.0 / (1.0 + np.exp(-array)), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(tanh(x).numpy(), 1.0 - 2.0 / (np.exp(2.0 * array) + 1.0), atol=1e-14)
    expected = array * np.vectorize(normal_distribution_function)(array)
    np.testing.assert_allclose(gelu(x).numpy(), expected, rtol=1e-12, atol=2e-14)
    approximation = array / (1.0 + np.exp(-2.0 * math.sqrt(2.0 / math.pi) * (array + 0.044715 * array**3)))
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(gelu(x, "tanh").numpy(), approximation, rtol=1e-9, atol=2e-14)


@deterministic
@given(arrays, st.data())
def test_softmax_values_along_any_axis(array: Any, data: Any) -> None:
    axis = data.draw(st.integers(-array.ndim, array.ndim - 1))
    naive = np.exp(array) / np.exp(array).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(softmax(Tensor(array), axis).numpy(), naive, rtol=1e-9)
    np.testing.assert_allclose(log_softmax(Tensor(array), axis).numpy(), np.log(naive), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(softmax(Tensor(array + 7.0), axis).numpy(), naive, rtol=1e-9)


@every_activation
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_inputs_give_no_warning_and_nothing_infinite_on_the_way(
    function: Callable[[Tensor], Tensor], dtype: Any, listener: Listener
) -> None:
    x = Tensor(np.array([[-1e4, -100.0, -1.0, 0.0, 1.0, 100.0, 1e4]], dtype=dtype))
    with np.errstate(all="raise", under="ignore"):
        result = function(x)
    assert result.dtype == dtype
    assert result.shape == x.shape
    # The gradients are made of these arrays: if one were infinite, they would not be finite either.
    assert all(np.isfinite(array).all() for array in listener.arrays)


@every_activation
def test_everything_passes_the_door(function: Callable[[Tensor], Tensor], listener: Listener) -> None:
    result = function(Tensor([[0.5, -1.0]]))
    assert set(listener.names) <= set(PRIMITIVES)
    assert listener.outputs[-1] is result


@every_activation
def test_nan_stays_visible(function: Callable[[Tensor], Tensor]) -> None:
    assert np.isnan(function(Tensor([[math.nan]])).numpy()).all()


@every_activation
@pytest.mark.parametrize("found", [np.zeros(3), 1.0, [1.0], None])
def test_only_tensors_are_taken(function: Callable[[Any], Tensor], found: object) -> None:
    with pytest.raises(TypeError, match=f"expects a Tensor, found {type(found).__name__}: wrap the data"):
        function(found)


@pytest.mark.parametrize("function", [leaky_relu, sigmoid, tanh, gelu, softmax, log_softmax])
def test_integers_become_float32(function: Callable[[Tensor], Tensor]) -> None:
    assert function(Tensor([1, 2, 3])).dtype == np.float32
    np.testing.assert_allclose(
        function(Tensor([1, 2, 3])).numpy(), function(Tensor([1.0, 2.0, 3.0])).numpy(), rtol=1e-6
    )


def test_relu_of_infinities() -> None:
    assert relu(Tensor([-np.inf, np.inf])).tolist() == [0.0, np.inf]


FORMS: list[tuple[Any, Callable[[Tensor], Tensor]]] = [
    (ReLU(), relu),
    (LeakyReLU(0.3), lambda x: leaky_relu(x, 0.3)),
    (Sigmoid(), sigmoid),
    (Tanh(), tanh),
    (GELU(), gelu),
    (GELU(approximate="tanh"), lambda x: gelu(x, "tanh")),
    (Softmax(axis=0), lambda x: softmax(x, 0)),
    (LogSoftmax(axis=0), lambda x: log_softmax(x, 0)),
]


@pytest.mark.parametrize(("callable_form", "function"), FORMS, ids=[repr(form) for form, _ in FORMS])
def test_both_forms_agree(callable_form: Any, function: Callable[[Tensor], Tensor]) -> None:
    x = Tensor(np.random.default_rng(0).standard_normal((4, 3)))
    np.testing.assert_array_equal(callable_form(x).numpy(), function(x).numpy())
    assert callable_form == type(callable_form)(*[getattr(callable_form, n) for n in callable_form.__slots__])


def test_both_gelus_differ_a_little() -> None:
    x = Tensor(np.linspace(-5.0, 5.0, 201))
    difference = abs(gelu(x) - gelu(x, "tanh")).max().item()
    assert 1e-5 < difference < 5e-4


@pytest.mark.parametrize("slope", [math.nan, math.inf, -math.inf])
def test_a_slope_must_be_finite(slope: float) -> None:
    with pytest.raises(ValueError, match="negative_slope must be a finite number"):
        LeakyReLU(slope)
    with pytest.raises(ValueError, match="negative_slope must be a finite number"):
        leaky_relu(Tensor([1.0]), slope)


def test_gelu_has_two_forms() -> None:
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh', found 'sigmoid'"):
        GELU("sigmoid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="found True"):
        gelu(Tensor([1.0]), True)  # type: ignore[arg-type]


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_softmax_refuses_bad_axes(function: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="axis 2 does not exist"):
        function(Tensor([[1.0]]), 2)
    with pytest.raises(TypeError, match=r"one axis, an int, found \(0, 1\)"):
        function(Tensor([[1.0]]), (0, 1))
    with pytest.raises(ValueError, match=r"needs at least one axis, found a tensor of shape \(\)"):
        function(Tensor(1.0))
    with pytest.raises(ValueError, match="max"):
        function(Tensor(np.zeros((3, 0))))


def test_an_impossible_class_has_probability_zero() -> None:
    assert softmax(Tensor([0.0, -np.inf, 0.0])).tolist() == [0.5, 0.0, 0.5]
    assert log_softmax(Tensor([0.0, -np.inf]))[1].item() == -np.inf


def test_small_probabilities_keep_their_logarithm() -> None:
    scores = Tensor([0.0, 200.0])
    assert softmax(scores)[0].item() == 0.0
    assert log_softmax(scores).tolist() == [-200.0, 0.0]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: leaky_relu(Tensor([1.0]), None), TypeError, "negative_slope must be a number, found None"),
        (
            lambda: leaky_relu(Tensor([1.0]), math.nan),
            ValueError,
            "negative_slope must be a finite number, found nan",
        ),
        (lambda: LeakyReLU("0.1"), TypeError, "negative_slope must be a number, found '0.1'"),
        (lambda: relu([1.0]), TypeError, "relu expects a Tensor, found list: wrap the data in Tensor(...)"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
