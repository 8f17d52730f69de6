"""Unit tests of core.tensor: values against independent NumPy formulas, rules of dtype, and every refusal."""

import copy
import math
import pickle
import re
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

FEW = settings(max_examples=40, derandomize=True, deadline=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)


def numbers(shape: Any, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


class Notes:
    """A recorder that keeps what it is told and marks every output."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[Tensor, ...], Tensor, dict[str, Any]]] = []
        self.asked: list[tuple[Tensor, Any]] = []

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        self.seen.append((primitive.name, inputs, output, dict(params)))
        output.origin = len(self.seen)

    def backward(self, tensor: Any, gradient: Any) -> None:
        self.asked.append((tensor, gradient))


@pytest.fixture(autouse=True)
def no_recorder() -> Iterator[None]:
    previous = set_recorder(None)
    yield
    set_recorder(previous)


@pytest.fixture
def notes() -> Notes:
    recorder = Notes()
    set_recorder(recorder)
    return recorder


class TestCreation:
    @pytest.mark.parametrize(
        ("data", "dtype"),
        [
            (1.5, "float32"),
            ([1.5, 2.0], "float32"),
            ([[1, 2.5]], "float32"),
            (3, "int64"),
            ([[1, 2]], "int64"),
            (True, "bool"),
            ([True, False], "bool"),
            ([], "float32"),
            (np.float64(1.5), "float64"),
            (np.int32(1), "int32"),
        ],
    )
    def test_default_dtypes(self, data: Any, dtype: str) -> None:
        assert Tensor(data).dtype == dtype

    @pytest.mark.parametrize(
        "dtype", ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"]
    )
    def test_arrays_keep_their_dtype(self, dtype: str) -> None:
        assert Tensor(np.ones(2, dtype)).dtype == dtype

    def test_a_wanted_dtype_wins(self) -> None:
        assert Tensor([1, 2], dtype=np.float64).dtype == np.float64
        assert Tensor(np.ones(2), "float32").dtype == np.float32

    def test_foreign_byte_order_becomes_native(self) -> None:
        result = Tensor(np.array([1.0, 2.0], dtype=">f4"))
        assert result.dtype.isnative
        assert result.tolist() == [1.0, 2.0]

    @pytest.mark.parametrize("data", ["text", None, [1, "a"], 1j, np.array([object()]), [None], {"a": 1}])
    def test_other_things_than_numbers_are_refused(self, data: Any) -> None:
        with pytest.raises(TypeError, match="a tensor holds numbers"):
            Tensor(data)

    def test_complex_dtype_is_refused(self) -> None:
        with pytest.raises(TypeError, match="float16/32/64 numbers, found dtype complex64"):
            Tensor([1.0], dtype=np.complex64)

    def test_unequal_lengths_are_refused(self) -> None:
        with pytest.raises(ValueError, match="equal lengths"):
            Tensor([[1.0, 2.0], [3.0]])

    def test_a_list_of_tensors_points_to_stack(self) -> None:
        with pytest.raises(TypeError, match=r"stack\(\)"):
            Tensor([Tensor([1.0]), Tensor([2.0])])

    def test_data_are_copied(self) -> None:
        source = np.zeros(3)
        made = Tensor(source)
        source[0] = 5.0
        assert made.tolist() == [0.0, 0.0, 0.0]
        again = Tensor(made)
        again[0] = 1.0
        assert made.tolist() == [0.0, 0.0, 0.0]

    def test_integers_cannot_require_gradients(self) -> None:
        with pytest.raises(TypeError, match="only float tensors have gradients, found dtype int64"):
            Tensor([1, 2], requires_grad=True)
        whole = Tensor([1])
        with pytest.raises(TypeError, match="only float tensors"):
            whole.requires_grad = True

    def test_functions_that_make_tensors(self) -> None:
        np.testing.assert_array_equal(zeros((2, 3)).data, np.zeros((2, 3), np.float32))
        np.testing.assert_array_equal(ones(2, dtype="int32").data, np.ones(2, np.int32))
        np.testing.assert_array_equal(full((2,), 7).data, np.array([7, 7]))
        np.testing.assert_array_equal(eye(2, 3).data, np.eye(2, 3))
        np.testing.assert_array_equal(arange(2, 11, 3).data, [2, 5, 8])
        np.testing.assert_array_equal(arange(3, dtype="float64").data, [0.0, 1.0, 2.0])
        np.testing.assert_allclose(linspace(0, 1, 5).data, [0, 0.25, 0.5, 0.75, 1])
        assert tensor([1.0], requires_grad=True).requires_grad
        assert full((), 2.5).dtype == np.float32
        assert zeros(2, requires_grad=True).requires_grad
        model = Tensor(np.ones((2, 2)))
        assert zeros_like(model).dtype == np.float64
        assert ones_like(model, dtype="int64").tolist() == [[1, 1], [1, 1]]

    def test_bad_arguments_of_makers(self) -> None:
        with pytest.raises(ValueError, match="at least 0 is expected, found -1"):
            zeros((2, -1))
        with pytest.raises(TypeError, match=r"a length is an int, found 2\.0"):
            zeros(2.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="step other than 0"):
            arange(0, 3, 0)
        with pytest.raises(ValueError, match="one number"):
            full((2,), [1, 2])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="random numbers are floats"):
            rand(3, 0, dtype="int64")

    def test_random_numbers_repeat_with_a_seed_and_continue_with_a_generator(self) -> None:
        assert rand((2, 3), 5).tolist() == rand((2, 3), 5).tolist()
        rng = np.random.default_rng(5)
        assert randn(4, rng).tolist() != randn(4, rng).tolist()
        assert rand(3, 0, dtype="float16").dtype == np.float16
        many = randn(20000, 1, dtype="float64").data
        assert abs(many.mean()) < 0.03
        assert abs(many.std() - 1) < 0.03
        even = rand(20000, 1).data
        assert even.min() >= 0
        assert even.max() < 1
        assert abs(even.mean() - 0.5) < 0.01


class TestStorage:
    def test_attributes(self) -> None:
        t = Tensor(np.zeros((2, 3)))
        assert (t.shape, t.ndim, t.size, len(t)) == ((2, 3), 2, 6, 2)
        assert t.grad is None
        assert t.origin is None
        assert not t.requires_grad

    def test_slots_catch_misspelt_attributes(self) -> None:
        with pytest.raises(AttributeError):
            Tensor(1.0).requires_gard = True  # type: ignore[attr-defined]

    def test_data_can_be_replaced_by_the_same_shape(self) -> None:
        t = Tensor([1.0, 2.0])
        before = t.version
        t.data = np.array([3.0, 4.0])
        assert t.tolist() == [3.0, 4.0]
        assert t.dtype == np.float32
        assert t.version == before + 1
        t.data -= 1
        assert t.tolist() == [2.0, 3.0]
        with pytest.raises(ValueError, match=r"shape \(2,\) expected, found shape \(3,\)"):
            t.data = np.zeros(3)
        with pytest.raises(TypeError, match="do not fit a tensor of dtype int64"):
            Tensor([1]).data = np.array([1.5])

    def test_conversions(self) -> None:
        t = Tensor([[1.5]])
        assert t.item() == 1.5
        assert float(t) == 1.5
        assert int(Tensor(3)) == 3
        assert bool(Tensor([1]))
        assert not bool(Tensor(0.0))
        values = t.numpy()
        values[0, 0] = 9.0
        assert t.item() == 1.5
        with pytest.raises(ValueError, match="exactly one element"):
            Tensor([1, 2]).item()
        with pytest.raises(ValueError, match="ambiguous"):
            bool(Tensor([1, 2]) == Tensor([1, 2]))
        with pytest.raises(TypeError, match="no length"):
            len(Tensor(1.0))

    def test_numpy_functions_are_refused(self) -> None:
        t = Tensor([1.0])
        with pytest.raises(TypeError, match="record of the computation would be lost"):
            np.asarray(t)
        with pytest.raises(TypeError):
            np.exp(t)  # type: ignore[call-overload]

    def test_iteration_gives_tensors(self) -> None:
        rows = list(Tensor([[1, 2], [3, 4]]))
        assert [row.tolist() for row in rows] == [[1, 2], [3, 4]]
        with pytest.raises(TypeError):
            iter(Tensor(1.0))

    def test_detach_shares_values_and_drops_the_origin(self, notes: Notes) -> None:
        y = Tensor([1.0]).exp()
        assert y.origin is not None
        assert y.detach().origin is None
        assert y.detach().data is y.data

    def test_hash_is_identity(self) -> None:
        a, b = Tensor([1.0]), Tensor([1.0])
        assert len({a, b, a}) == 2

    def test_repr(self) -> None:
        assert repr(Tensor(3.0)) == "Tensor(3., shape=(), dtype=float32)"
        text = repr(Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True))
        assert (
            text == "Tensor([[1., 2.],\n        [3., 4.]], shape=(2, 2), dtype=float32, requires_grad=True)"
        )
        assert len(repr(zeros((1000, 1000)))) < 1000

    @pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda t: pickle.loads(pickle.dumps(t))])
    def test_copies_keep_values_and_marks_but_no_origin(self, notes: Notes, duplicate: Any) -> None:
        original = Tensor([1.0, 2.0], requires_grad=True)
        original.grad = Tensor([5.0, 6.0])
        original.origin = "somebody's"
        twin = duplicate(original)
        assert twin.tolist() == [1.0, 2.0]
        assert twin.requires_grad
        assert twin.grad.tolist() == [5.0, 6.0]
        assert twin.origin is None

    def test_a_subclass_may_have_attributes_of_its_own(self) -> None:
        class Named(Tensor):
            label: str

        named = Named([1.0], requires_grad=True)
        named.label = "weight"
        assert copy.deepcopy(named).label == "weight"
        assert type(named + 1) is Tensor
        assert repr(named).startswith("Named([1.]")

    def test_zero_grad(self) -> None:
        t = Tensor([1.0], requires_grad=True)
        t.grad = Tensor([1.0])
        t.zero_grad()
        assert t.grad is None


class TestDoor:
    def test_apply_runs_wraps_and_tells(self, notes: Notes) -> None:
        scale = Primitive("scale", lambda array, factor: array * factor)
        x = Tensor([1.0, 2.0])
        y = apply(scale, x, factor=3)
        assert y.tolist() == [3.0, 6.0]
        assert notes.seen == [("scale", (x,), y, {"factor": 3})]

    def test_the_previous_recorder_comes_back(self) -> None:
        first, second = Notes(), Notes()
        assert set_recorder(first) is None
        assert set_recorder(second) is first
        assert get_recorder() is second

    def test_backward_without_a_recorder(self) -> None:
        with pytest.raises(RuntimeError, match=r"import tinytorch\.core\.autograd"):
            Tensor(1.0).backward()

    def test_backward_asks_the_recorder(self, notes: Notes) -> None:
        x = Tensor([1.0, 2.0])
        x.backward([1.0, 1.0])  # type: ignore[arg-type]
        assert notes.asked == [(x, [1.0, 1.0])]

    def test_every_primitive_is_reached_by_its_name(self, notes: Notes) -> None:
        x, k = Tensor(np.full((2, 3), 0.5)), Tensor([0, 1])
        image = Tensor(np.ones((1, 1, 3, 3)))
        x + x, x - x, x * x, x / x, x**x, -x, x.exp(), x.log(), x.sqrt(), x.tanh(), x.erf(), x.sin(), x.cos()
        abs(x), x.maximum(x), x.minimum(x), x.clip(0, 1), where(x > 0, x, x), x.sum(), x.max(), x.min()
        (
            x @ x.T,
            x.reshape(6),
            x.broadcast_to(2, 2, 3),
            x[k],
            x.pad(((0, 0), (1, 1))),
            concatenate([x]),
            stack([x]),
        )
        image.windows(2), x.astype("float32")
        assert {name for name, *_ in notes.seen} == set(PRIMITIVES)

    def test_comparisons_and_positions_are_not_recorded(self, notes: Notes) -> None:
        x = Tensor([1.0, 2.0])
        x > 1, x == x, x.argmax(), x.argmin(), (x > 1) & (x < 2), ~(x > 1)
        assert notes.seen == []

    def test_a_primitive_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            PRIMITIVES["add"].name = "plus"  # type: ignore[misc]


class TestArithmetic:
    @FEW
    @given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4))
    def test_broadcasting_as_numpy(self, shapes: Any) -> None:
        a, b = (numbers(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
        x, y = Tensor(a), Tensor(b)
        for ours, theirs in [
            (x + y, a + b),
            (x - y, a - b),
            (x * y, a * b),
            (x / y, a / b),
            (x.maximum(y), np.maximum(a, b)),
            (x.minimum(y), np.minimum(a, b)),
            (abs(x) ** y, np.abs(a) ** b),
            (x < y, a < b),
            (x >= y, a >= b),
        ]:
            np.testing.assert_array_equal(ours.data, theirs)
            assert ours.shape == shapes.result_shape

    def test_operators_with_numbers_and_arrays_on_either_side(self) -> None:
        a = np.array([1.0, 2.0, 4.0])
        x = Tensor(a)
        for ours, theirs in [
            (2 - x, 2 - a),
            (2 / x, 2 / a),
            (2**x, 2**a),
            (a + x, a + a),
            (a - x, a - a),
            (a * x, a * a),
            (a / x, a / a),
            (a @ x, a @ a),
            (x**2, a**2),
            (x**-0.5, a**-0.5),
            (-x, -a),
            (3.0 * x, 3.0 * a),
        ]:
            assert isinstance(ours, Tensor)
            np.testing.assert_allclose(ours.data, theirs, rtol=1e-15)

    @pytest.mark.parametrize("shape", [(), (3,)])
    def test_scalars_are_weak(self, shape: Any) -> None:
        for dtype in ("float16", "float32", "float64"):
            x = ones(shape, dtype=dtype)
            for scalar in (2, 2.0, True, np.float64(2), np.int64(2), np.float32(2)):
                for result in (
                    x + scalar,
                    scalar * x,
                    x / scalar,
                    x**scalar,
                    x.maximum(scalar),
                    x.clip(0.0, 2.0),
                ):
                    assert result.dtype == dtype
        assert (ones(shape, dtype="int32") + 1).dtype == np.int32

    @pytest.mark.parametrize(
        ("first", "second", "result"),
        [
            ("float32", "int64", "float32"),
            ("int64", "float16", "float16"),
            ("float32", "float64", "float64"),
            ("float16", "float32", "float32"),
            ("int32", "int64", "int64"),
            ("bool", "int32", "int32"),
            ("bool", "bool", "int64"),
            ("bool", "float32", "float32"),
        ],
    )
    def test_where_two_dtypes_meet(self, first: str, second: str, result: str) -> None:
        a, b = ones(2, dtype=first), ones(2, dtype=second)
        assert (a + b).dtype == result
        assert (b - a).dtype == result
        assert (a @ b).dtype == result

    def test_integers_divide_into_float32(self) -> None:
        assert (Tensor([1, 2]) / 2).dtype == np.float32
        assert (Tensor([1, 2]) / Tensor([2, 2])).tolist() == [0.5, 1.0]
        assert (1 / Tensor([True, True])).dtype == np.float32
        assert (Tensor([1]) * 0.5).dtype == np.float32
        assert (Tensor([1.0]) / 3).dtype == np.float32

    def test_booleans_count_as_integers(self) -> None:
        mask = Tensor([True, True, False])
        assert (mask + mask).tolist() == [2, 2, 0]
        assert (mask - True).tolist() == [0, 0, -1]
        assert (-mask).tolist() == [-1, -1, 0]
        assert mask.sum().item() == 2
        assert mask.mean().dtype == np.float32

    def test_shapes_that_do_not_broadcast(self) -> None:
        with pytest.raises(ValueError, match=r"add: shapes \(2, 3\) and \(2,\) do not broadcast"):
            zeros((2, 3)) + zeros(2)
        with pytest.raises(ValueError, match=r"less: shapes \(3,\) and \(2,\) do not broadcast"):
            _ = zeros(3) < zeros(2)

    @pytest.mark.parametrize("other", ["a", None, [1.0], 1j])
    def test_operands_that_are_no_numbers(self, other: Any) -> None:
        x = Tensor([1.0])
        with pytest.raises(TypeError, match="unsupported operand"):
            x + other
        with pytest.raises(TypeError, match="unsupported operand"):
            other / x
        with pytest.raises(TypeError, match="maximum expects a tensor, an array or a number"):
            x.maximum(other)
        assert (x == other) is False
        assert (x != other) is True

    def test_object_arrays_are_refused(self) -> None:
        with pytest.raises(TypeError, match="found dtype object"):
            Tensor([1.0]) + np.array([object()])

    def test_masks(self) -> None:
        a, b = Tensor([True, True, False]), Tensor([True, False, False])
        assert (a & b).tolist() == [True, False, False]
        assert (a | b).tolist() == [True, True, False]
        assert (a ^ b).tolist() == [False, True, False]
        assert (~a).tolist() == [False, False, True]
        with pytest.raises(TypeError, match="combine bool tensors"):
            Tensor([1]) & Tensor([1])

    def test_comparison_with_a_scalar_uses_the_tensors_precision(self) -> None:
        assert bool(Tensor(0.1) == 0.1)
        assert (Tensor([0.1]) >= 0.1).tolist() == [True]
        assert (Tensor([1, 2]) > 1.5).tolist() == [False, True]
        assert (Tensor([math.nan]) == Tensor([math.nan])).tolist() == [False]


class TestMatmul:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((5, 1, 2, 3), (6, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
            ((0, 3), (3, 2)),
        ],
    )
    def test_against_einsum(self, left: Any, right: Any) -> None:
        a, b = numbers(left, 1), numbers(right, 2)
        formula = ("j" if a.ndim == 1 else "...ij") + "," + ("j" if b.ndim == 1 else "...jk")
        formula += "->..." + ("" if a.ndim == 1 else "i") + ("" if b.ndim == 1 else "k")
        result = Tensor(a).matmul(Tensor(b))
        np.testing.assert_allclose(result.data, np.einsum(formula, a, b), rtol=1e-12, atol=1e-12)

    def test_refusals(self) -> None:
        with pytest.raises(
            ValueError, match=r"last but one length of the right shape, found \(2, 3\) and \(2, 3\)"
        ):
            zeros((2, 3)) @ zeros((2, 3))
        with pytest.raises(ValueError, match=r"use \* for scalars"):
            zeros((2, 3)) @ 2.0
        with pytest.raises(ValueError, match=r"leading axes\): shapes \(2,\) and \(3,\) do not broadcast"):
            zeros((2, 4, 4)) @ zeros((3, 4, 4))
        with pytest.raises(TypeError, match="matmul expects"):
            zeros(2).matmul([1.0, 2.0])  # type: ignore[arg-type]


class TestFunctions:
    def test_against_numpy(self) -> None:
        a = np.abs(numbers((3, 4))) + 0.1
        x = Tensor(a)
        for name in ("exp", "log", "sqrt", "tanh", "sin", "cos", "abs"):
            np.testing.assert_array_equal(getattr(x, name)().data, getattr(np, name)(a))

    def test_integers_become_float32(self) -> None:
        for name in ("exp", "log", "sqrt", "tanh", "erf", "sin", "cos"):
            assert getattr(Tensor([1, 2]), name)().dtype == np.float32
        assert Tensor([-1, 2]).abs().dtype == np.int64

    def test_erf_has_the_accuracy_of_float64(self) -> None:
        points = np.concatenate(
            [np.linspace(-6.5, 6.5, 4001), np.logspace(-300, 0, 200), [0.46875, 4.0, 6.0, 30.0]]
        )
        expected = np.array([math.erf(point) for point in points])
        np.testing.assert_allclose(Tensor(points).erf().data, expected, rtol=5e-16, atol=0)

    def test_erf_at_the_edges(self) -> None:
        result = Tensor(np.array([np.inf, -np.inf, np.nan, 0.0, -0.0])).erf().data
        np.testing.assert_array_equal(result, [1.0, -1.0, np.nan, 0.0, -0.0])
        assert np.signbit(result[4])
        assert Tensor(0.5).erf().shape == ()
        assert zeros((0, 2)).erf().shape == (0, 2)
        single = Tensor([0.3, 1.0, 5.0]).erf()
        assert single.dtype == np.float32
        np.testing.assert_array_equal(
            single.data, np.float32([math.erf(np.float32(v)) for v in (0.3, 1.0, 5.0)])
        )

    def test_clip(self) -> None:
        x = Tensor([-2.0, 0.5, 3.0])
        assert x.clip(-1, 1).tolist() == [-1.0, 0.5, 1.0]
        assert x.clip(low=0).tolist() == [0.0, 0.5, 3.0]
        assert x.clip(high=0).tolist() == [-2.0, 0.0, 0.0]
        assert Tensor([1, 5]).clip(2, 4).dtype == np.int64
        assert Tensor([1, 5]).clip(1.5, 4).tolist() == [1.5, 4.0]
        for low, high in [(2, 1), (None, None), (math.nan, 1), (0, math.nan), (math.nan, None)]:
            with pytest.raises(ValueError, match="clip expects low <= high"):
                x.clip(low, high)

    def test_astype(self) -> None:
        assert Tensor([1.7, -1.7]).astype("int64").tolist() == [1, -1]
        with pytest.raises(TypeError, match="found dtype complex128"):
            Tensor([1.0]).astype(complex)


class TestReductions:
    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), keepdims=st.booleans())
    def test_against_numpy(self, data: Any, shape: Any, keepdims: bool) -> None:
        axis = data.draw(
            st.none()
            | st.integers(-len(shape), len(shape) - 1)
            | hnp.valid_tuple_axes(len(shape), min_size=1)
        )
        a = numbers(shape)
        x = Tensor(a)
        for name in ("sum", "mean", "var", "max", "min"):
            expected = getattr(np, name)(a, axis=axis, keepdims=keepdims)
            result = getattr(x, name)(axis, keepdims)
            assert result.shape == np.shape(expected)
            np.testing.assert_allclose(result.data, expected, rtol=1e-12, atol=1e-14)

    def test_argmax_and_argmin(self) -> None:
        a = np.array([[1.0, 5.0, 5.0], [7.0, 0.0, 2.0]])
        x = Tensor(a)
        assert x.argmax().item() == 3
        assert x.argmax(axis=1).tolist() == [1, 0]
        assert x.argmin(axis=0).tolist() == [0, 1, 1]
        assert x.argmax(-1).dtype == np.int64

    def test_unbiased_variance(self) -> None:
        a = numbers((5, 3))
        np.testing.assert_allclose(Tensor(a).var(0, ddof=1).data, a.var(0, ddof=1), rtol=1e-13)
        with pytest.raises(ValueError, match="needs more than 1 elements, found 1"):
            Tensor([1.0]).var(ddof=1)

    def test_variance_does_not_cancel(self) -> None:
        x = Tensor([10000.0, 10001.0, 10002.0])
        assert x.var().item() == pytest.approx(2 / 3, rel=1e-6)

    def test_half_precision_mean_does_not_overflow(self) -> None:
        x = full((1000,), 100.0, dtype="float16")
        assert x.mean().item() == 100.0
        assert x.mean().dtype == np.float16

    def test_nothing_to_reduce(self) -> None:
        empty = zeros((0, 3))
        assert empty.sum().item() == 0.0
        assert empty.sum(axis=0).tolist() == [0.0, 0.0, 0.0]
        for name in ("mean", "var", "max", "min", "argmax", "argmin"):
            with pytest.raises(ValueError, match=f"{name} of no elements"):
                getattr(empty, name)(axis=0)

    def test_nan_is_not_hidden(self) -> None:
        x = Tensor([1.0, math.nan])
        assert math.isnan(x.max().item())
        assert math.isnan(x.min().item())

    def test_bad_axes(self) -> None:
        x = zeros((2, 3))
        with pytest.raises(ValueError, match="axis 2 does not exist: the tensor has 2 axes"):
            x.sum(axis=2)
        with pytest.raises(ValueError, match="named twice"):
            x.sum(axis=(0, -2))
        with pytest.raises(TypeError, match=r"an axis is an int, found 1\.0"):
            x.mean(axis=1.0)  # type: ignore[arg-type]


class TestShapes:
    @FEW
    @given(data=st.data(), shape=SHAPES)
    def test_transpose_any_order(self, data: Any, shape: Any) -> None:
        order = data.draw(st.permutations(range(len(shape))))
        a = numbers(shape)
        np.testing.assert_array_equal(Tensor(a).transpose(*order).data if order else a, a.transpose(order))
        np.testing.assert_array_equal(Tensor(a).permute(tuple(order)).data, a.transpose(order))
        np.testing.assert_array_equal(Tensor(a).T.data, a.T)

    def test_shape_methods(self) -> None:
        x = arange(24).reshape(2, 3, 4)
        assert x.reshape((4, 6)).shape == (4, 6)
        assert x.reshape(3, -1).shape == (3, 8)
        assert x.reshape([24]).tolist() == list(range(24))
        assert x.flatten().shape == (24,)
        assert x.flatten(1).shape == (2, 12)
        assert Tensor(1.0).flatten().shape == (1,)
        assert x.expand_dims(0).shape == (1, 2, 3, 4)
        assert x.expand_dims(-1).shape == (2, 3, 4, 1)
        assert x.expand_dims(1).squeeze(1).shape == x.shape
        assert zeros((1, 2, 1)).squeeze().shape == (2,)
        assert zeros((1, 2, 1)).squeeze(-1).shape == (1, 2)
        assert x.swapaxes(0, -1).shape == (4, 3, 2)
        np.testing.assert_array_equal(x.swapaxes(1, 2).data, x.data.swapaxes(1, 2))
        assert zeros((3, 1)).broadcast_to(2, 3, 4).shape == (2, 3, 4)
        assert zeros(3).broadcast_to((2, 3)).shape == (2, 3)
        assert zeros((0, 3)).reshape(3, 0).shape == (3, 0)

    def test_refusals(self) -> None:
        x = zeros((2, 3))
        with pytest.raises(ValueError, match=r"6 elements do not fit shape \(4, 2\)"):
            x.reshape(4, 2)
        with pytest.raises(ValueError, match="6 elements do not fit"):
            x.reshape(-1, -1)
        with pytest.raises(ValueError, match="6 elements do not fit"):
            x.reshape(-1, 4)
        with pytest.raises(ValueError, match="0 elements do not fit"):
            zeros((0, 3)).reshape(-1, 0)
        with pytest.raises(ValueError, match="transpose expects each of 2 axes once"):
            x.transpose(0)
        with pytest.raises(ValueError, match="named twice"):
            x.transpose(0, 0)
        with pytest.raises(ValueError, match="axes of length 1, found axis 0"):
            x.squeeze(0)
        with pytest.raises(ValueError, match=r"shape \(2, 3\) does not broadcast to \(3, 2\)"):
            x.broadcast_to(3, 2)
        with pytest.raises(ValueError, match="axis 3 does not exist"):
            x.expand_dims(3)

    @FEW
    @given(data=st.data(), shape=SHAPES)
    def test_pad_against_numpy(self, data: Any, shape: Any) -> None:
        widths = [data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape]
        a = numbers(shape)
        expected = np.pad(a, widths, constant_values=7.0) if shape else a
        np.testing.assert_array_equal(Tensor(a).pad(widths, 7.0).data, expected)

    def test_pad_refusals(self) -> None:
        x = zeros((2, 3))
        with pytest.raises(ValueError, match="2 pairs"):
            x.pad([(1, 1)])
        with pytest.raises(ValueError, match="2 pairs"):
            x.pad([(1, 1, 1), (0, 0, 0)])
        with pytest.raises(ValueError, match="at least 0 is expected, found -1"):
            x.pad([(0, -1), (0, 0)])
        with pytest.raises(TypeError, match="do not fit a tensor of dtype int64"):
            Tensor([1]).pad([(1, 1)], 0.5)

    @FEW
    @given(
        height=st.integers(1, 7),
        width=st.integers(1, 7),
        kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        swapped=st.booleans(),
    )
    def test_windows_by_their_formula(
        self, height: int, width: int, kernel: Any, stride: Any, dilation: Any, swapped: bool
    ) -> None:
        a = numbers((2, 2, width, height)).swapaxes(2, 3) if swapped else numbers((2, 2, height, width))
        span = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        if span[0] > height or span[1] > width:
            with pytest.raises(ValueError, match="does not fit images"):
                Tensor(a).windows(kernel, stride, dilation)
            return
        result = Tensor(a).windows(kernel, stride, dilation)
        rows, columns = (height - span[0]) // stride[0] + 1, (width - span[1]) // stride[1] + 1
        assert result.shape == (2, 2, rows, columns, *kernel)
        for i in range(rows):
            for j in range(columns):
                for p in range(kernel[0]):
                    for q in range(kernel[1]):
                        y, x = i * stride[0] + p * dilation[0], j * stride[1] + q * dilation[1]
                        np.testing.assert_array_equal(result.data[:, :, i, j, p, q], a[:, :, y, x])

    def test_windows_take_one_int_for_both_and_are_read_only(self) -> None:
        view = ones((1, 1, 4, 4)).windows(2, stride=2)
        assert view.shape == (1, 1, 2, 2, 2, 2)
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1.0

    def test_windows_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"expects the shape \(N, C, H, W\), found \(3, 3\)"):
            zeros((3, 3)).windows(2)
        with pytest.raises(ValueError, match="at least 1 is expected, found 0"):
            zeros((1, 1, 3, 3)).windows(2, stride=0)
        with pytest.raises(ValueError, match="kernel is one int or a pair"):
            zeros((1, 1, 3, 3)).windows((1, 2, 3))


class TestIndexing:
    @pytest.mark.parametrize(
        "index",
        [
            0,
            -1,
            slice(1, None),
            (slice(None), 2),
            (..., 0),
            None,
            (0, None, slice(None, None, -1)),
            [1, 0, 1],
            ([0, 1], [2, 3]),
            (slice(None), [0, 0, 3]),
            np.array([True, False]),
            (np.array([[0], [1]]), np.array([0, 2])),
            (),
            [],
        ],
    )
    def test_as_numpy(self, index: Any) -> None:
        a = numbers((2, 4, 3))
        np.testing.assert_array_equal(Tensor(a)[index].data, a[index])

    def test_tensors_as_indices(self) -> None:
        a = numbers((3, 4))
        x = Tensor(a)
        np.testing.assert_array_equal(x[Tensor([2, 0])].data, a[[2, 0]])
        np.testing.assert_array_equal(x[x > 0].data, a[a > 0])
        np.testing.assert_array_equal(x[arange(3), Tensor([1, 0, 3])].data, a[[0, 1, 2], [1, 0, 3]])

    def test_index_arrays_are_copied_for_the_record(self, notes: Notes) -> None:
        index = np.array([0, 1])
        zeros(3)[index]
        index[0] = 2
        assert notes.seen[0][3]["index"].tolist() == [0, 1]

    def test_bad_indices(self) -> None:
        with pytest.raises(IndexError):
            zeros(3)[3]
        with pytest.raises(TypeError, match="ints or bools, found dtype float32"):
            zeros(3)[Tensor([0.0])]

    def test_writing_in_place(self) -> None:
        x = zeros((2, 3))
        x[0, 1] = 5
        x[1] = Tensor([1.0, 2.0, 3.0])
        x[:, 2] = np.array([9.0, 9.0])
        x[x == 0.0] = -1.0
        assert x.tolist() == [[-1.0, 5.0, 9.0], [1.0, 2.0, 9.0]]
        assert x.version == 4

    def test_views_share_their_numbers(self) -> None:
        x = zeros((2, 3))
        x[0][1] = 5.0
        x.T[2, 1] = 6.0
        assert x.tolist() == [[0.0, 5.0, 0.0], [0.0, 0.0, 6.0]]

    def test_writing_that_would_lose_something_is_refused(self, notes: Notes) -> None:
        computed = zeros(3).exp()
        with pytest.raises(RuntimeError, match="falsify the record"):
            computed[0] = 1.0
        with pytest.raises(RuntimeError, match="the record would be lost"):
            zeros(3)[0] = computed[0]
        with pytest.raises(TypeError, match="do not fit a tensor of dtype int64"):
            Tensor([1, 2])[0] = 1.5
        with pytest.raises(TypeError, match="do not fit a tensor of dtype bool"):
            Tensor([True])[0] = 1


class TestJoining:
    def test_concatenate_and_stack(self) -> None:
        a, b = numbers((2, 3), 1), numbers((2, 3), 2)
        for axis in (0, 1, -1):
            np.testing.assert_array_equal(
                concatenate([Tensor(a), Tensor(b)], axis).data, np.concatenate([a, b], axis)
            )
        for axis in (0, 1, 2, -1):
            np.testing.assert_array_equal(stack([Tensor(a), Tensor(b)], axis).data, np.stack([a, b], axis))
        assert concatenate([zeros((1, 3)), zeros((4, 3))]).shape == (5, 3)
        assert concatenate([ones(1), ones(1, dtype="int64")]).dtype == np.float32
        assert concatenate([Tensor([True]), Tensor([False])]).dtype == bool

    def test_refusals(self) -> None:
        for join in (concatenate, stack):
            with pytest.raises(ValueError, match="at least one tensor"):
                join([])
            with pytest.raises(TypeError, match="sequence of tensors, found one of ndarray"):
                join([zeros(2), np.zeros(2)])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="shapes differ outside axis 0"):
            concatenate([zeros((2, 3)), zeros((2, 4))])
        with pytest.raises(ValueError, match="shapes differ outside axis 0"):
            concatenate([zeros((2, 3)), zeros(2)])
        with pytest.raises(ValueError, match="stack expects equal shapes"):
            stack([zeros(2), zeros(3)])

    def test_where(self) -> None:
        a, b = numbers((3, 4), 1), numbers((4,), 2)
        x, y = Tensor(a), Tensor(b)
        np.testing.assert_array_equal(where(x > 0, x, y).data, np.where(a > 0, a, b))
        np.testing.assert_array_equal(where(a > 0, 1.0, y).data, np.where(a > 0, 1.0, b))
        condition = Tensor([True, False])
        assert where(condition, 1.0, 0).dtype == np.float32
        assert where(condition, 1, 0).tolist() == [1, 0]
        assert where(condition, Tensor([1, 2]), 0.5).tolist() == [1.0, 0.5]
        assert where(condition, condition, ~condition).dtype == bool
        assert where(condition, zeros(2), 1.0).dtype == np.float32
        with pytest.raises(TypeError, match="condition of dtype bool, found int64"):
            where(Tensor([1]), 1.0, 0.0)
        with pytest.raises(TypeError, match="chooses among numbers"):
            where(condition, "a", 0.0)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="where: shapes"):
            where(condition, zeros(3), 0.0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Tensor(1.0, dtype="abc"), TypeError, "a dtype is expected, such as np.float32, found 'abc'"),
        (lambda: zeros(2, dtype=3), TypeError, "a dtype is expected, such as np.float32, found 3"),
        (
            lambda: eye(2, dtype=complex),
            TypeError,
            "a tensor holds bool, int or float16/32/64 numbers, found dtype complex128",
        ),
        (lambda: ones(3).clip("a", 1.0), TypeError, "clip's limit must be a number, found 'a'"),
        (lambda: ones(3).clip([0.0], 1.0), TypeError, "clip's limit must be a number, found [0.0]"),
        (lambda: ones(3).pad(1), ValueError, "pad expects 1 pairs (before, after), one per axis, found 1"),
        (
            lambda: ones(3).pad((1, 1)),
            ValueError,
            "pad expects pairs (before, after), one per axis, found (1, 1)",
        ),
        (lambda: ones(3).pad(((1, 1),), None), TypeError, "pad's value must be a number, found None"),
        (lambda: arange("3"), TypeError, "arange's argument must be a number, found '3'"),
        (lambda: arange(0, math.inf), ValueError, "arange expects finite numbers, found inf"),
        (lambda: arange(0, 3, math.nan), ValueError, "arange expects finite numbers, found nan"),
        (lambda: linspace(math.inf, 1.0, 3), ValueError, "linspace expects finite numbers, found inf"),
        (lambda: linspace(0.0, 1j, 3), TypeError, "linspace's argument must be a number, found 1j"),
        (lambda: zeros_like([1.0]), TypeError, "zeros_like expects a Tensor, found list"),
        (lambda: ones_like(None), TypeError, "ones_like expects a Tensor, found NoneType"),
        (lambda: concatenate(None), TypeError, "concatenate expects a sequence of tensors, found NoneType"),
        (
            lambda: ones((2, 3)).transpose(np.array([0, 0])),
            ValueError,
            "an axis is named twice in [0, 0]",
        ),
        (lambda: stack(3), TypeError, "stack expects a sequence of tensors, found int"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_axes_may_come_as_an_array() -> None:
    x = rand((2, 3, 4), 0)
    np.testing.assert_array_equal(x.transpose(np.array([2, 0, 1])).numpy(), x.numpy().transpose(2, 0, 1))
    assert x.transpose(None).shape == x.transpose().shape == (4, 3, 2)
