"""Unit tests of the tensor module: its numbers against numpy's, its shapes, its refusals."""

import copy
import math
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tinytorch.core.tensor import (
    PRIMITIVES,
    Primitive,
    Tensor,
    apply,
    arange,
    concatenate,
    eye,
    full,
    get_recorder,
    linspace,
    ones,
    ones_like,
    rand,
    randn,
    set_recorder,
    stack,
    tensor,
    where,
    zeros,
    zeros_like,
)

deterministic = settings(derandomize=True, max_examples=40, deadline=None)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def values(shape: tuple[int, ...], seed: int = 0, dtype: Any = np.float64) -> Any:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


class Listener:
    """A recorder that keeps what it heard."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, Any, Any, Any]] = []
        self.asked: list[tuple[Any, Any]] = []

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        self.heard.append((primitive, inputs, output, params))

    def backward(self, tensor: Any, gradient: Any) -> None:
        self.asked.append((tensor, gradient))


@pytest.fixture
def listener() -> Iterator[Listener]:
    installed = Listener()
    previous = set_recorder(installed)
    yield installed
    set_recorder(previous)


# Creation


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1.0, 2], "float32"),
        (3, "int64"),
        ([[1, 2], [3, 4]], "int64"),
        ([True, False], "bool"),
        (np.zeros(2), "float64"),
        (np.zeros(2, np.float16), "float16"),
        (np.zeros(2, np.uint8), "uint8"),
        (np.float64(1.0), "float64"),
        ([], "float32"),
    ],
)
def test_dtype_follows_from_the_data(data: Any, dtype: str) -> None:
    assert Tensor(data).dtype == np.dtype(dtype)


def test_dtype_argument_wins() -> None:
    assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
    assert Tensor(Tensor([1, 2]), dtype="float16").tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    "data", ["text", [1j], np.array([None]), np.array(["a"]), np.zeros(2, np.complex64), None]
)
def test_data_that_is_not_numeric_is_refused(data: Any) -> None:
    with pytest.raises(TypeError, match="a Tensor holds float16/32/64, integers or bools; found dtype"):
        Tensor(data)


def test_dtype_that_is_not_numeric_is_refused() -> None:
    with pytest.raises(TypeError, match="found dtype complex64"):
        Tensor([1.0], dtype=np.complex64)


def test_ragged_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="rows of equal length"):
        Tensor([[1.0, 2.0], [3.0]])


def test_the_data_is_copied() -> None:
    array = np.zeros(3)
    made = Tensor(array)
    array[0] = 5.0
    assert made.tolist() == [0.0, 0.0, 0.0]


def test_integers_cannot_require_gradients() -> None:
    with pytest.raises(TypeError, match="only floating tensors can require gradients; found dtype int64"):
        Tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match="only floating tensors"):
        zeros(2, dtype=np.int64, requires_grad=True)
    assert tensor([1.0], requires_grad=True).requires_grad


def test_a_list_of_tensors_is_refused() -> None:
    with pytest.raises(TypeError, match=r"use \.data or \.numpy\(\)"):
        Tensor([Tensor(1.0), Tensor(2.0)])


def test_factories() -> None:
    assert zeros((2, 3)).shape == ones((2, 3)).shape == (2, 3)
    assert zeros(2).dtype == ones(2).dtype == np.float32
    assert full((2,), 7).dtype == np.int64
    assert full((2,), 7, dtype=np.float32).tolist() == [7.0, 7.0]
    assert eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert arange(3).tolist() == [0, 1, 2]
    assert arange(3).dtype == np.int64
    assert arange(1, 2, 0.5).tolist() == [1.0, 1.5]
    assert linspace(0, 1, 5).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert zeros_like(Tensor([[1, 2]])).dtype == np.int64
    assert ones_like(Tensor([[1, 2]]), dtype=np.float64).tolist() == [[1.0, 1.0]]
    with pytest.raises(ValueError, match="step other than 0"):
        arange(0, 3, 0)
    with pytest.raises(TypeError, match="a shape is made of ints; found 2.5"):
        zeros((2.5,))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_random_tensors_repeat_with_a_seed_and_advance_with_a_generator(dtype: Any) -> None:
    assert randn((4, 5), rng=3, dtype=dtype).tolist() == randn((4, 5), rng=3, dtype=dtype).tolist()
    generator = np.random.default_rng(3)
    assert rand(5, rng=generator, dtype=dtype).tolist() != rand(5, rng=generator, dtype=dtype).tolist()
    drawn = rand(20_000, rng=1, dtype=dtype)
    assert drawn.dtype == dtype
    assert 0.0 <= float(drawn.min()) < float(drawn.max()) < 1.0
    normal = randn(20_000, rng=1, dtype=np.float64)
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.var()) - 1.0) < 0.03
    with pytest.raises(TypeError, match="random tensors are floating; found dtype int64"):
        rand(3, dtype=np.int64)


# Attributes and conversions


def test_attributes() -> None:
    t = Tensor(np.zeros((2, 3, 4)))
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((2, 3, 4), 3, 24, np.float64, 2)
    assert t.T.shape == (4, 3, 2)
    assert t.grad is None
    assert t.origin is None
    assert not t.requires_grad


def test_slots_leave_no_room_for_typing_mistakes() -> None:
    with pytest.raises(AttributeError):
        Tensor(1.0).requires_gard = True  # type: ignore[attr-defined]


def test_a_subclass_is_possible_and_results_are_plain_tensors() -> None:
    class Weight(Tensor):
        def __init__(self, data: Any) -> None:
            super().__init__(data, requires_grad=True)
            self.label = "w"

    weight = Weight([1.0, 2.0])
    assert weight.label == "w"
    assert type(weight * 2) is Tensor
    assert repr(weight).startswith("Weight([1., 2.]")
    twin = copy.deepcopy(weight)
    assert type(twin) is Weight
    assert (twin.label, twin.requires_grad, twin.tolist()) == ("w", True, [1.0, 2.0])
    twin.data[0] = 9.0
    assert weight.tolist() == [1.0, 2.0]


def test_pickling_leaves_the_history_behind() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    t.origin = lambda: None  # could not be pickled
    t.grad = Tensor([3.0, 4.0])
    twin = pickle.loads(pickle.dumps(t))
    assert twin.origin is None
    assert twin.requires_grad
    assert (twin.tolist(), twin.grad.tolist()) == ([1.0, 2.0], [3.0, 4.0])


def test_data_can_be_replaced_by_the_same_shape_only() -> None:
    t = Tensor([1.0, 2.0])
    t.data = np.array([3.0, 4.0])
    assert t.tolist() == [3.0, 4.0]
    t.data -= 1.0
    assert t.tolist() == [2.0, 3.0]
    with pytest.raises(ValueError, match=r"data must keep the shape \(2,\); found \(3,\)"):
        t.data = np.zeros(3)


def test_detach_shares_and_numpy_does_not() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    detached, own = t.detach(), t.numpy()
    t.data[0] = 9.0
    assert detached.tolist() == [9.0, 2.0]
    assert own.tolist() == [1.0, 2.0]
    assert not detached.requires_grad


def test_one_element_conversions() -> None:
    assert Tensor([[2.5]]).item() == 2.5
    assert float(Tensor(2)) == 2.0
    assert int(Tensor(2.7)) == 2
    assert bool(Tensor([0.0])) is False
    with pytest.raises(ValueError, match=r"item\(\) needs a tensor with one element; found shape \(2,\)"):
        Tensor([1, 2]).item()
    with pytest.raises(ValueError, match="neither true nor false"):
        bool(Tensor([1, 2]))


def test_zero_dimensional_tensors_are_no_sequences() -> None:
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))
    with pytest.raises(TypeError, match="cannot iterate over a 0-d tensor"):
        iter(Tensor(1.0))
    assert [row.tolist() for row in Tensor([[1], [2]])] == [[1], [2]]


def test_repr_is_readable() -> None:
    assert repr(Tensor([[1.0, 2.0], [3.0, 4.5]], requires_grad=True)) == (
        "Tensor([[1. , 2. ],\n        [3. , 4.5]], shape=(2, 2), dtype=float32, requires_grad=True)"
    )
    assert repr(Tensor(3)) == "Tensor(3, shape=(), dtype=int64)"
    assert len(repr(zeros((100, 100)))) < 800


def test_numpy_steps_back() -> None:
    product = np.array([1.0, 2.0]) * Tensor([3.0, 4.0])
    assert isinstance(product, Tensor)
    assert product.tolist() == [3.0, 8.0]
    assert (np.float64(2.0) * Tensor([3.0])).dtype == np.float32
    with pytest.raises(TypeError, match="does not turn into a numpy array silently"):
        np.asarray(Tensor([1.0]))


# Arithmetic

BINARY = {
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "divide": (lambda a, b: a / b, np.divide),
    "maximum": (lambda a, b: a.maximum(b), np.maximum),
    "minimum": (lambda a, b: a.minimum(b), np.minimum),
    "less": (lambda a, b: a < b, np.less),
    "less_equal": (lambda a, b: a <= b, np.less_equal),
    "greater": (lambda a, b: a > b, np.greater),
    "greater_equal": (lambda a, b: a >= b, np.greater_equal),
    "equal": (lambda a, b: a == b, np.equal),
    "not_equal": (lambda a, b: a != b, np.not_equal),
}


@pytest.mark.parametrize("name", BINARY)
@deterministic
@given(pair=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4), seed=st.integers(0, 99))
def test_binary_operations_broadcast_as_numpy_does(name: str, pair: Any, seed: int) -> None:
    ours, theirs = BINARY[name]
    a, b = (values(shape, seed + i) for i, shape in enumerate(pair.input_shapes))
    result = ours(Tensor(a), Tensor(b))
    assert result.shape == pair.result_shape
    np.testing.assert_array_equal(result.data, theirs(a, b))


UNARY = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "abs": np.abs,
    "__neg__": np.negative,
    "__abs__": np.abs,
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_unary_operations(name: str, shape: tuple[int, ...]) -> None:
    array = np.abs(values(shape)) + 0.1
    result = getattr(Tensor(array), name)()
    assert result.shape == shape
    np.testing.assert_array_equal(result.data, UNARY[name](array))


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "sin", "cos", "erf"])
def test_functions_of_integers_give_float32(name: str) -> None:
    assert getattr(Tensor([1, 2]), name)().dtype == np.float32


@pytest.mark.parametrize("exponent", [2, 2.0, 0.5, 3, -1, 0, np.array([1.0, 2.0])])
def test_power(exponent: Any) -> None:
    base = np.array([0.5, 2.0])
    np.testing.assert_allclose((Tensor(base) ** exponent).data, base**exponent, rtol=1e-15)
    np.testing.assert_allclose((Tensor(base) ** Tensor(exponent)).data, base**exponent, rtol=1e-15)


def test_reflected_operators() -> None:
    t = Tensor([2.0, 4.0])
    assert (1 + t).tolist() == [3.0, 5.0]
    assert (1 - t).tolist() == [-1.0, -3.0]
    assert (3 * t).tolist() == [6.0, 12.0]
    assert (8 / t).tolist() == [4.0, 2.0]
    assert (2**t).tolist() == [4.0, 16.0]
    assert (np.ones((3, 2)) @ t).tolist() == [6.0, 6.0, 6.0]


@pytest.mark.parametrize(
    ("left", "right", "dtype"),
    [
        ("float32", 2.0, "float32"),
        ("float16", 2.0, "float16"),
        ("float64", 2, "float64"),
        ("float32", np.float64(2.0), "float32"),
        ("int64", 2, "int64"),
        ("uint8", 2, "uint8"),
        ("int64", 2.0, "float32"),
        ("bool", 2, "int64"),
        ("bool", True, "bool"),
    ],
)
def test_python_numbers_are_weak(left: str, right: Any, dtype: str) -> None:
    for shape in ((), (3,)):
        t = Tensor(np.ones(shape, left))
        assert (t * right).dtype == (right * t).dtype == np.dtype(dtype)
        assert t.maximum(right).dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("left", "right", "dtype"),
    [
        ("float32", "float64", "float64"),
        ("float32", "int64", "float32"),
        ("float16", "int64", "float16"),
        ("bool", "float32", "float32"),
        ("bool", "int64", "int64"),
        ("int32", "int64", "int64"),
    ],
)
@pytest.mark.parametrize("shapes_of_both", [((2,), (2,)), ((), (2,)), ((2,), ())])
def test_mixed_dtypes_do_not_depend_on_the_shape(
    left: str, right: str, dtype: str, shapes_of_both: Any
) -> None:
    a, b = (Tensor(np.ones(s, d)) for s, d in zip(shapes_of_both, (left, right), strict=True))
    assert (a + b).dtype == (b + a).dtype == np.dtype(dtype)
    assert where(True, a, b).dtype == np.dtype(dtype)
    if a.ndim and b.ndim:
        assert concatenate([a, b]).dtype == stack([b, a]).dtype == (a @ b).dtype == np.dtype(dtype)


def test_integer_division_gives_float32() -> None:
    quotient = Tensor([1, 2]) / 2
    assert (quotient.dtype, quotient.tolist()) == (np.float32, [0.5, 1.0])
    assert (Tensor([1, 2]) / Tensor([2, 2])).dtype == np.float32


def test_wrong_operands_are_refused() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        Tensor([1.0]) + "text"
    with pytest.raises(TypeError, match="maximum needs a tensor, an array or a number; found str"):
        Tensor([1.0]).maximum("text")
    with pytest.raises(TypeError, match="found dtype complex128"):
        Tensor([1.0]) + np.array([1j])
    with pytest.raises(ValueError, match=r"add of shape \(2,\), \(3,\)"):
        Tensor([1.0, 2.0]) + Tensor([1.0, 2.0, 3.0])


def test_comparison_with_something_else_is_false_as_python_says() -> None:
    t = Tensor([1.0])
    assert (t == "text") is False
    assert (t != None) is True  # noqa: E711
    assert (t == [1.0]).tolist() == [True]
    with pytest.raises(TypeError):
        t < "text"  # noqa: B015


def test_the_hash_is_the_identity() -> None:
    a, b = Tensor([1.0]), Tensor([1.0])
    assert len({a, b, a}) == 2


def test_clip() -> None:
    t = Tensor([-2.0, 0.5, 3.0])
    assert t.clip(0, 1).tolist() == [0.0, 0.5, 1.0]
    assert t.clip(low=0).tolist() == [0.0, 0.5, 3.0]
    assert t.clip(high=0).tolist() == [-2.0, 0.0, 0.0]
    assert t.clip(0, 1).dtype == np.float32
    assert Tensor([1, 5]).clip(0, 2.5).tolist() == [1.0, 2.5]
    for low, high, message in [(None, None, "low or a high"), (2, 1, "low <= high"), (math.nan, 1, "NaN")]:
        with pytest.raises(ValueError, match=message):
            t.clip(low, high)


def test_where() -> None:
    condition = Tensor([[True], [False]])
    assert where(condition, Tensor([1.0, 2.0]), 0.0).tolist() == [[1.0, 2.0], [0.0, 0.0]]
    assert where(condition, 1, 2).dtype == np.int64
    assert where(np.array([True, False]), 0.0, Tensor([1, 2])).dtype == np.float32
    with pytest.raises(TypeError, match="bool condition; found dtype int64"):
        where(Tensor([1, 0]), 1.0, 2.0)
    with pytest.raises(TypeError, match="chooses between numbers; found str"):
        where(condition, Tensor([1.0]), "text")


def test_astype() -> None:
    t = Tensor([1.7, -1.7])
    assert t.astype(np.int64).tolist() == [1, -1]
    assert t.astype("float64").dtype == np.float64
    with pytest.raises(TypeError, match="found dtype object"):
        t.astype(object)


@deterministic
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=50))
def test_erf_agrees_with_the_c_library(points: list[float]) -> None:
    result = Tensor(np.array(points)).erf().data
    np.testing.assert_allclose(result, [math.erf(p) for p in points], rtol=1e-15, atol=0)


def test_erf_at_the_seams_and_beyond() -> None:
    points = np.concatenate([np.nextafter(s, s + np.array([-1, 0, 1])) for s in (0.46875, 4.0, 6.0)])
    points = np.concatenate([points, -points, [0.0, 1e-300, 5e-324, np.inf, -np.inf]])
    np.testing.assert_allclose(Tensor(points).erf().data, [math.erf(p) for p in points], rtol=1e-15, atol=0)
    assert math.isnan(Tensor(math.nan).erf().item())
    assert math.copysign(1.0, Tensor(-0.0).erf().item()) == -1.0
    assert Tensor([[0.5]]).erf().dtype == np.float32
    assert zeros((0, 3)).erf().shape == (0, 3)


# Reductions


@st.composite
def arrays_and_axes(draw: Any) -> tuple[Any, Any, bool]:
    shape = draw(shapes)
    axis: Any = None
    if shape and draw(st.booleans()):
        axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
        signed = tuple(a - len(shape) if draw(st.booleans()) else a for a in axes)
        axis = signed[0] if len(signed) == 1 else signed
    return values(shape, draw(st.integers(0, 99))), axis, draw(st.booleans())


@pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
@deterministic
@given(case=arrays_and_axes())
def test_reductions_agree_with_numpy(name: str, case: Any) -> None:
    array, axis, keepdims = case
    result = getattr(Tensor(array), name)(axis=axis, keepdims=keepdims)
    expected = getattr(np, name)(array, axis=axis, keepdims=keepdims)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-14)


def test_reductions_keep_float32_and_make_floats_of_integers() -> None:
    for name in ("sum", "mean", "var", "max", "min"):
        assert getattr(ones((2, 3)), name)().dtype == np.float32
    assert Tensor([1, 2]).mean().dtype == np.float32
    assert Tensor([1, 2]).sum().dtype == np.int64
    assert Tensor([True, True]).sum().item() == 2


def test_reductions_of_nothing() -> None:
    empty = zeros((0, 3))
    assert empty.sum(axis=0).tolist() == [0.0, 0.0, 0.0]
    for name, message in [
        ("mean", "mean of no elements"),
        ("var", "var of no elements"),
        ("max", "max of shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            getattr(empty, name)(axis=0)
    with pytest.raises(ValueError, match=r"argmax of no elements; the tensor has shape \(0, 3\)"):
        empty.argmax(axis=0)


def test_variance_with_ddof() -> None:
    array = values((4, 5))
    np.testing.assert_allclose(Tensor(array).var(axis=0, ddof=1).data, array.var(axis=0, ddof=1))
    with pytest.raises(ValueError, match="var with ddof=1 needs more than 1 values; found 1"):
        Tensor([1.0]).var(ddof=1)


def test_variance_does_not_cancel() -> None:
    shifted = 10_000.0 + np.arange(100.0)
    assert Tensor(shifted, dtype=np.float32).var().item() == pytest.approx(shifted.var(), rel=1e-4)


def test_wrong_axes() -> None:
    t = zeros((2, 3))
    with pytest.raises(ValueError, match="axis 2 is out of range for a tensor with 2 dimensions"):
        t.sum(axis=2)
    with pytest.raises(ValueError, match="an axis is named twice"):
        t.sum(axis=(0, -2))
    with pytest.raises(TypeError, match="an axis must be an int; found 1.0"):
        t.sum(axis=(1.0,))  # type: ignore[arg-type]


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_argmax_and_argmin(axis: Any, keepdims: bool) -> None:
    array = values((3, 4))
    for name in ("argmax", "argmin"):
        result = getattr(Tensor(array), name)(axis=axis, keepdims=keepdims)
        np.testing.assert_array_equal(result.data, getattr(np, name)(array, axis=axis, keepdims=keepdims))
        assert result.dtype == np.int64


# Matrix products


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 2)),
        ((5, 2, 3), (5, 3, 4)),
        ((6, 1, 2, 3), (5, 3, 4)),
        ((2, 3), (5, 3, 4)),
        ((0, 2, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((5, 2, 0), (0, 4)),
    ],
)
def test_matmul(left: Any, right: Any) -> None:
    a, b = values(left), values(right, 1)
    result = Tensor(a) @ Tensor(b)
    assert result.shape == (a @ b).shape
    np.testing.assert_allclose(result.data, a @ b, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(Tensor(a).matmul(b).data, result.data)


def test_matmul_of_a_transposed_batch() -> None:
    a, b = values((4, 3, 5)), values((4, 2), 1)
    np.testing.assert_allclose((Tensor(a).transpose(1, 2, 0) @ Tensor(b)).data, a.transpose(1, 2, 0) @ b)


def test_matmul_refusals() -> None:
    with pytest.raises(ValueError, match=r"last axis \(3\) must be as long as .* second-to-last axis \(2\)"):
        zeros((2, 3)) @ zeros((2, 3))
    with pytest.raises(ValueError, match=r"only axis \(2\)"):
        zeros((2, 3)) @ zeros(2)
    with pytest.raises(ValueError, match="at least one dimension"):
        zeros((2, 3)) @ 2.0


# Shapes


def test_reshape_family() -> None:
    t = Tensor(np.arange(24)).reshape(2, 3, 4)
    assert t.reshape(-1, 6).shape == t.reshape((4, 6)).shape == t.reshape([4, 6]).shape == (4, 6)
    assert t.flatten().shape == (24,)
    assert t.flatten(1).shape == t.flatten(start=-2).shape == (2, 12)
    assert Tensor(1.0).flatten().shape == (1,)
    assert zeros((0, 3, 4)).flatten(1).shape == (0, 12)
    assert t.expand_dims(0).shape == (1, 2, 3, 4)
    assert t.expand_dims(-1).shape == (2, 3, 4, 1)
    assert zeros((1, 2, 1)).squeeze().shape == (2,)
    assert zeros((1, 2, 1)).squeeze(-1).shape == (1, 2)
    with pytest.raises(ValueError, match="axis 1 has length 2"):
        zeros((1, 2, 1)).squeeze(1)
    with pytest.raises(ValueError, match=r"reshape of shape \(2, 3, 4\)"):
        t.reshape(5, 5)


def test_transpose_family() -> None:
    array = values((2, 3, 4))
    t = Tensor(array)
    np.testing.assert_array_equal(t.transpose(2, 0, 1).data, array.transpose(2, 0, 1))
    np.testing.assert_array_equal(t.permute((0, -1, 1)).data, array.transpose(0, 2, 1))
    np.testing.assert_array_equal(t.transpose().data, array.T)
    np.testing.assert_array_equal(t.swapaxes(0, -1).data, array.swapaxes(0, -1))
    assert Tensor(1.0).T.shape == ()
    with pytest.raises(ValueError, match="all 3 axes, each once"):
        t.transpose(0, 1)
    with pytest.raises(ValueError, match="named twice"):
        t.transpose(0, 1, 1)


def test_broadcast_to_is_a_read_only_view() -> None:
    t = Tensor([[1.0], [2.0]]).broadcast_to(3, 2, 2)
    assert t.shape == (3, 2, 2)
    with pytest.raises(RuntimeError, match="read-only view"):
        t[0] = 1.0
    with pytest.raises(ValueError, match=r"broadcast_to of shape \(2,\)"):
        Tensor([1.0, 2.0]).broadcast_to(3)


def test_pad() -> None:
    array = values((2, 3))
    np.testing.assert_array_equal(Tensor(array).pad(1).data, np.pad(array, 1))
    widths = [(1, 0), (0, 2)]
    np.testing.assert_array_equal(
        Tensor(array).pad(widths, value=-1.0).data,  # type: ignore[arg-type]
        np.pad(array, widths, constant_values=-1.0),
    )
    for wrong in ([(1, 1)], -1, [(0, -1), (0, 0)], [1, 1], [(1,), (1,)]):
        with pytest.raises(ValueError, match="pad needs an int or 2 pairs"):
            Tensor(array).pad(wrong)  # type: ignore[arg-type]


@deterministic
@given(
    size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_windows_follow_their_formula(size: Any, kernel: Any, stride: Any, dilation: Any) -> None:
    array = values((2, 3, *size))
    t = Tensor(array)
    out = [(size[i] - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    if min(out) < 1:
        with pytest.raises(ValueError, match="pad the input or shrink the kernel"):
            t.windows(kernel, stride, dilation)
        return
    result = t.windows(kernel, stride, dilation)
    assert result.shape == (2, 3, *out, *kernel)
    for i, j, u, v in np.ndindex(*out, *kernel):
        expected = array[:, :, i * stride[0] + u * dilation[0], j * stride[1] + v * dilation[1]]
        np.testing.assert_array_equal(result.data[:, :, i, j, u, v], expected)


def test_windows_refusals() -> None:
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\); found 2 dimensions"):
        zeros((5, 5)).windows(2)
    for wrong in (0, (1, 2, 3), (1, -1), 1.5):
        with pytest.raises((ValueError, TypeError)):
            zeros((1, 1, 5, 5)).windows(2, stride=wrong)  # type: ignore[arg-type]


def test_concatenate_and_stack() -> None:
    a, b = values((2, 3)), values((4, 3), 1)
    np.testing.assert_array_equal(concatenate([Tensor(a), Tensor(b)]).data, np.concatenate([a, b]))
    np.testing.assert_array_equal(stack([Tensor(a), Tensor(a)], axis=-1).data, np.stack([a, a], axis=-1))
    with pytest.raises(ValueError, match="concatenate needs at least one tensor"):
        concatenate([])
    with pytest.raises(ValueError, match=r"concatenate of shape \(2, 3\), \(4, 3\)"):
        concatenate([Tensor(a), Tensor(b)], axis=1)
    with pytest.raises(ValueError, match="use stack for 0-d"):
        concatenate([Tensor(1.0)])
    with pytest.raises(TypeError, match="stack joins tensors; found ndarray"):
        stack([a])  # type: ignore[list-item]


# Indexing


@deterministic
@given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))
def test_basic_indexing(data: Any, shape: tuple[int, ...]) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    array = values(shape)
    result = Tensor(array)[index]
    assert result.shape == array[index].shape
    np.testing.assert_array_equal(result.data, array[index])


def test_other_indexing() -> None:
    array = values((4, 5))
    t = Tensor(array)
    rows, columns = Tensor([3, 0, 3]), Tensor([1, 1, 4])
    np.testing.assert_array_equal(t[rows].data, array[[3, 0, 3]])
    np.testing.assert_array_equal(t[rows, columns].data, array[[3, 0, 3], [1, 1, 4]])
    np.testing.assert_array_equal(t[t > 0].data, array[array > 0])
    np.testing.assert_array_equal(t[[0, 2], 1:].data, array[[0, 2], 1:])
    assert t[[]].shape == (0, 5)
    with pytest.raises(IndexError):
        t[4]
    with pytest.raises(IndexError):
        t[Tensor([0.5])]


def test_writing() -> None:
    t = zeros((2, 3))
    t[0] = 1.0
    t[1, Tensor([0, 2])] = Tensor([5.0, 6.0])
    t[t == 0] = -1
    assert t.tolist() == [[1.0, 1.0, 1.0], [5.0, -1.0, 6.0]]
    t.origin = object()
    with pytest.raises(RuntimeError, match="computed under a record"):
        t[0] = 2.0


# The door


def test_every_primitive_is_reached_by_its_name(listener: Listener) -> None:
    x = Tensor(values((2, 3)) + 3.0)
    image = zeros((1, 1, 3, 3))
    x + x, x - x, x * x, x / x, x**x, -x
    x.exp(), x.log(), x.sqrt(), x.tanh(), x.erf(), x.sin(), x.cos(), x.abs()
    x.maximum(x), x.minimum(x), x.clip(0, 1), where(x > 0, x, x)
    x.sum(), x.max(), x.min(), x @ x.T
    x.reshape(6), x.broadcast_to(2, 2, 3), x[0], x.pad(1), image.windows(2)
    concatenate([x, x]), stack([x, x]), x.astype(np.float32)
    heard = {primitive.name for primitive, *_ in listener.heard}
    assert heard == set(PRIMITIVES)
    assert all(PRIMITIVES[primitive.name] is primitive for primitive, *_ in listener.heard)


def test_the_recorder_hears_inputs_output_and_plain_parameters(listener: Listener) -> None:
    x = zeros((2, 3))
    y = x.sum(axis=-1, keepdims=True)
    x.transpose()
    x * 2.0
    (_, inputs, output, params), (_, _, _, order), (_, product, _, _) = listener.heard
    assert inputs[0] is x
    assert output is y
    assert params == {"axis": (1,), "keepdims": True}
    assert order == {"axes": (1, 0)}
    assert isinstance(product[1], Tensor)
    assert not product[1].requires_grad


def test_comparisons_and_argmax_are_not_recorded(listener: Listener) -> None:
    x = zeros((2, 3))
    x == x, x < 1.0, x.argmax(), x.argmin(axis=0)  # noqa: B015
    assert listener.heard == []


def test_a_failed_operation_is_not_recorded(listener: Listener) -> None:
    with pytest.raises(ValueError, match="add of shape"):
        zeros(2) + zeros(3)
    assert listener.heard == []


def test_new_primitives_pass_through_the_same_door(listener: Listener) -> None:
    double = Primitive("double_for_test", lambda a, *, times: a * 2.0**times)
    assert apply(double, Tensor([1.0]), times=3).tolist() == [8.0]
    assert listener.heard[0][0] is double
    assert listener.heard[0][3] == {"times": 3}


def test_set_recorder_returns_the_previous_one() -> None:
    before = get_recorder()
    mine = Listener()
    assert set_recorder(mine) is before
    assert get_recorder() is mine
    assert set_recorder(before) is mine


def test_backward_asks_the_recorder(listener: Listener) -> None:
    x, gradient = Tensor([1.0]), Tensor([2.0])
    x.backward(gradient)
    assert listener.asked[0][0] is x
    assert listener.asked[0][1] is gradient


def test_backward_without_a_recorder_says_what_to_import() -> None:
    previous = set_recorder(None)
    try:
        with pytest.raises(RuntimeError, match=r"import tinytorch\.core\.autograd"):
            Tensor([1.0], requires_grad=True).backward()
    finally:
        set_recorder(previous)


def test_zero_grad() -> None:
    t = Tensor([1.0], requires_grad=True)
    t.grad = Tensor([2.0])
    t.zero_grad()
    assert t.grad is None
