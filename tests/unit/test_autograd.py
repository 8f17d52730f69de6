"""Unit tests of core.autograd: every rule against central differences, the walk back, and every refusal."""

import copy
import gc
import math
import re
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinytorch.core.autograd import (
    Operation,
    backward,
    check_gradients,
    grad,
    no_grad,
    numerical_gradient,
    register_gradient,
)
from tinytorch.core.tensor import (
    PRIMITIVES,
    Primitive,
    Tensor,
    apply,
    concatenate,
    get_recorder,
    ones,
    set_recorder,
    stack,
    where,
    zeros,
)

FEW = settings(max_examples=15, derandomize=True, deadline=None)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=1, max_side=3)
PAIRS = hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=3)


def numbers(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def positive(shape: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.3, 2.0, size=shape)


def distinct(shape: Any, seed: int = 0) -> np.ndarray:
    """Numbers at least 0.1 apart: differences never step over a kink."""
    size = math.prod(shape)
    return (np.random.default_rng(seed).permutation(size) - size / 2 + 0.25).reshape(shape) * 0.1


def differences(
    function: Callable[..., Tensor], arrays: Sequence[np.ndarray], r: np.ndarray
) -> list[np.ndarray]:
    """Central differences of sum(r * function), independent of the module's own."""
    results = []
    for position, array in enumerate(arrays):
        result = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            sides = []
            for step in (6e-6, -6e-6):
                moved = [np.array(a) for a in arrays]
                moved[position][place] += step
                sides.append(np.sum(r * function(*[Tensor(a) for a in moved]).data))
            result[place] = (sides[0] - sides[1]) / 12e-6
        results.append(result)
    return results


def check(function: Callable[..., Tensor], *arrays: np.ndarray) -> None:
    """Compare `.grad` after backward with central differences, relative error < 1e-6."""
    inputs = [Tensor(array, requires_grad=True) for array in arrays]
    output = function(*inputs)
    r = np.random.default_rng(99).uniform(0.5, 1.5, output.shape)
    output.backward(r)
    for tensor, expected in zip(inputs, differences(function, arrays, r), strict=True):
        assert tensor.grad is not None
        found = tensor.grad.data
        assert found.shape == expected.shape
        assert found.dtype == np.float64
        scale = np.maximum(1.0, np.abs(expected))
        assert np.all(np.abs(found - expected) / scale < 1e-6), (found, expected)


class TestRules:
    def test_every_primitive_of_tensor_has_one(self) -> None:
        for name in PRIMITIVES:
            with pytest.raises(ValueError, match=f"primitive '{name}' has a gradient rule already"):
                register_gradient(name, lambda gradient, operation: ())

    @pytest.mark.parametrize("name", ["exp", "log", "sqrt", "tanh", "erf", "sin", "cos", "abs", "__neg__"])
    @FEW
    @given(shape=SHAPES)
    def test_functions_of_one_element(self, name: str, shape: Any) -> None:
        data = positive(shape) if name in ("log", "sqrt") else distinct(shape)
        check(lambda x: getattr(x, name)(), data)

    @pytest.mark.parametrize("name", ["__add__", "__sub__", "__mul__", "__truediv__", "__pow__"])
    @FEW
    @given(shapes=PAIRS)
    def test_arithmetic_with_broadcasting(self, name: str, shapes: Any) -> None:
        a, b = (positive(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
        check(lambda x, y: getattr(x, name)(y), a, b)

    @pytest.mark.parametrize("name", ["maximum", "minimum"])
    @FEW
    @given(shapes=PAIRS)
    def test_maximum_and_minimum(self, name: str, shapes: Any) -> None:
        a, b = (distinct(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
        check(lambda x, y: getattr(x, name)(y), a, b + 0.03)

    @FEW
    @given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
    def test_where(self, shapes: Any) -> None:
        shape, *rest = shapes.input_shapes
        condition = Tensor(numbers(shape) > 0)
        a, b = (numbers(one, seed) for seed, one in enumerate(rest))
        check(lambda x, y: where(condition, x, y), a, b)

    @FEW
    @given(shapes=hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3))
    def test_matmul(self, shapes: Any) -> None:
        a, b = (numbers(shape, seed) for seed, shape in enumerate(shapes.input_shapes))
        check(lambda x, y: x @ y, a, b)

    @pytest.mark.parametrize(
        ("left", "right"),
        [((3,), (3,)), ((2, 3), (3, 4)), ((4, 2, 3), (3, 2)), ((2, 3), (4, 3, 2)), ((4, 1, 2, 3), (5, 3, 2))],
    )
    def test_matmul_shapes_that_matter(self, left: Any, right: Any) -> None:
        check(lambda x, y: x @ y, numbers(left, 1), numbers(right, 2))

    @pytest.mark.parametrize("name", ["sum", "mean", "var", "max", "min"])
    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), keepdims=st.booleans())
    def test_reductions(self, name: str, data: Any, shape: Any, keepdims: bool) -> None:
        axis = data.draw(
            st.none()
            | st.integers(-len(shape), len(shape) - 1)
            | hnp.valid_tuple_axes(len(shape), min_size=1)
        )
        check(lambda x: getattr(x, name)(axis=axis, keepdims=keepdims), distinct(shape))

    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=4, max_side=3))
    def test_transpose_and_reshape(self, data: Any, shape: Any) -> None:
        order = data.draw(st.permutations(range(len(shape))))
        check(lambda x: x.transpose(*order), numbers(shape))
        check(lambda x: x.reshape(-1, shape[-1]).flatten().expand_dims(0), numbers(shape))

    @FEW
    @given(shapes=PAIRS)
    def test_broadcast_to(self, shapes: Any) -> None:
        check(lambda x: x.broadcast_to(shapes.result_shape), numbers(shapes.input_shapes[0]))

    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    def test_pad(self, data: Any, shape: Any) -> None:
        widths = [data.draw(st.tuples(st.integers(0, 2), st.integers(0, 2))) for _ in shape]
        check(lambda x: x.pad(widths, 3.0), numbers(shape))

    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    def test_basic_indexing(self, data: Any, shape: Any) -> None:
        index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
        assume(np.zeros(shape)[index].size > 0)
        check(lambda x: x[index], numbers(shape))

    @FEW
    @given(data=st.data(), shape=hnp.array_shapes(min_dims=1, max_dims=3, max_side=3))
    def test_integer_indexing_with_repetitions(self, data: Any, shape: Any) -> None:
        index = data.draw(
            hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
        )
        check(lambda x: x[index], numbers(shape))

    @pytest.mark.parametrize(
        "index",
        [
            (slice(None), np.array([1, 1, 0])),
            (np.array([0, 1, 1]), np.array([2, 0, 0])),
            (np.array([[0], [1]]), slice(1, 3)),
            np.array([[True, False, True], [False, False, True]]),
            (0, np.array([True, False, True])),
            ([1, 1, 1],),
            (..., -1),
        ],
    )
    def test_other_indices(self, index: Any) -> None:
        check(lambda x: x[index], numbers((2, 3)))

    def test_a_row_that_is_read_twice_gets_both_gradients(self) -> None:
        table = zeros((4, 2), requires_grad=True)
        table[Tensor([1, 1, 3])].backward(np.array([[1.0, 2.0], [10.0, 20.0], [5.0, 5.0]]))
        assert table.grad is not None
        assert table.grad.tolist() == [[0, 0], [11, 22], [0, 0], [5, 5]]

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_joining(self, axis: int) -> None:
        a, b = numbers((2, 3), 1), numbers((2, 3), 2)
        check(lambda x, y: concatenate([x, y, x], axis), a, b)
        check(lambda x, y: stack([x, y, x], axis), a, b)

    def test_concatenate_of_unequal_lengths(self) -> None:
        check(lambda x, y: concatenate([x, y], 0), numbers((1, 2)), numbers((3, 2)))

    @FEW
    @given(
        size=st.tuples(st.integers(3, 6), st.integers(3, 6)),
        kernel=st.tuples(st.integers(1, 2), st.integers(1, 3)),
        stride=st.tuples(st.integers(1, 3), st.integers(1, 2)),
        dilation=st.tuples(st.integers(1, 2), st.just(1)),
    )
    def test_windows(self, size: Any, kernel: Any, stride: Any, dilation: Any) -> None:
        check(lambda x: x.windows(kernel, stride, dilation), numbers((1, 2, *size)))

    def test_windows_count_in_how_many_frames_a_pixel_appears(self) -> None:
        x = ones((1, 1, 3, 3), requires_grad=True)
        x.windows(2).sum().backward()
        assert x.grad is not None
        assert x.grad.data[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]

    def test_clip(self) -> None:
        check(lambda x: x.clip(-0.3, 0.4), distinct((3, 4)))
        check(lambda x: x.clip(low=0.1), distinct((3, 4)) + 0.03)
        x = Tensor([-1.0, 0.0, 0.5, 1.0, 2.0], requires_grad=True)
        x.clip(0, 1).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [0, 1, 1, 1, 0]

    def test_astype_returns_the_gradient_in_the_inputs_dtype(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        (x.astype("float64") * np.array([3.0, 4.0])).sum().backward()
        assert x.grad is not None
        assert x.grad.dtype == np.float32
        assert x.grad.tolist() == [3.0, 4.0]

    def test_ties_share_the_gradient(self) -> None:
        x = Tensor([[3.0, 1.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
        (highest,) = grad(x.max(axis=1), x, np.array([1.0, 3.0]))
        np.testing.assert_allclose(highest.data, [[0.5, 0, 0.5], [1, 1, 1]])
        (lowest,) = grad(x.min(), x)
        np.testing.assert_allclose(lowest.data, [[0, 1, 0], [0, 0, 0]])
        a, b = Tensor([1.0, 2.0, 3.0], requires_grad=True), Tensor([1.0, 3.0, 2.0], requires_grad=True)
        assert [part.tolist() for part in grad(a.maximum(b).sum(), [a, b])] == [[0.5, 0, 1], [0.5, 1, 0]]
        assert [part.tolist() for part in grad(a.minimum(b).sum(), [a, b])] == [[0.5, 1, 0], [0.5, 0, 1]]

    def test_corners_of_power(self) -> None:
        x = Tensor([0.0, 0.0, 0.0], requires_grad=True)
        exponent = Tensor([0.0, 1.0, 2.0], requires_grad=True)
        base_part, exponent_part = grad((x**exponent).sum(), [x, exponent])
        assert base_part.tolist() == [0.0, 1.0, 0.0]
        assert exponent_part.tolist()[1:] == [0.0, 0.0]
        for scalar in (2, 2.0, 3, 1, 0, -1, 0.5):
            check(lambda x, scalar=scalar: x**scalar, positive((3,)))
        check(lambda x: 2.0**x, numbers((3,)))
        check(lambda x: x**2, numbers((3,)))
        check(lambda x: x**3, numbers((3,)))

    def test_the_slope_of_abs_at_zero_is_zero(self) -> None:
        x = Tensor(0.0, requires_grad=True)
        abs(x).backward()
        assert x.grad is not None
        assert x.grad.item() == 0.0


OPERATIONS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a - b.mean(axis=0),
    lambda a, b: a / (b * b + 1.0),
    lambda a, b: a.tanh(),
    lambda a, b: (a @ b.T) @ b * 0.1,
    lambda a, b: a.sin() + b[::-1],
    lambda a, b: stack([a, b]).sum(axis=0),
    lambda a, b: concatenate([a[:, :1], b[:, 1:]], axis=1),
    lambda a, b: a.T.reshape(2, 3).erf(),
]


class TestWholeGraphs:
    @FEW
    @given(
        steps=st.lists(
            st.tuples(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=8
        )
    )
    def test_random_graphs(self, steps: Any) -> None:
        def run(x: Tensor, y: Tensor) -> Tensor:
            made = [x, y]
            for operation, left, right in steps:
                made.append(OPERATIONS[operation](made[-1 - left % len(made)], made[right % len(made)]))
            return (made[-1] * made[-2]).sum() + (x * y).sum()

        check(run, 0.5 * numbers((2, 3), 1), 0.5 * numbers((2, 3), 2))

    def test_a_value_used_twice_gets_both_contributions(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        (x * x + x + x + x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [5.0, 7.0]

    def test_a_diamond_is_walked_once(self) -> None:
        x = Tensor(1.0, requires_grad=True)
        y = x
        for _ in range(60):  # 2**60 paths
            y = y + y
        y.backward()
        assert x.grad is not None
        assert x.grad.item() == 2.0**60

    def test_gradients_accumulate_until_zeroed(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        (2 * x).sum().backward()
        first = x.grad
        (3 * x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [5.0, 5.0]
        assert first is not None
        assert first.tolist() == [2.0, 2.0]
        x.zero_grad()
        assert x.grad is None

    def test_gradients_do_not_share_memory(self) -> None:
        x, y = ones(3, requires_grad=True), ones(3, requires_grad=True)
        (x + y).sum().backward()
        assert x.grad is not None
        assert y.grad is not None
        x.grad.data *= 5
        assert y.grad.tolist() == [1, 1, 1]

    def test_only_marked_tensors_get_a_gradient(self) -> None:
        x, constant = ones(2, requires_grad=True), ones(2)
        hidden = x * constant
        (hidden * 2.0).sum().backward()
        assert constant.grad is None
        assert hidden.grad is None

    def test_a_marked_intermediate_result_gets_one_too(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        hidden = x * 3.0
        hidden.requires_grad = True
        (hidden * hidden).sum().backward()
        assert hidden.grad is not None
        assert x.grad is not None
        assert hidden.grad.tolist() == [6.0, 12.0]
        assert x.grad.tolist() == [18.0, 36.0]

    def test_backward_of_a_leaf(self) -> None:
        x = Tensor([1.0, 2.0], requires_grad=True)
        x.backward(np.array([3.0, 4.0]))
        assert x.grad is not None
        assert x.grad.tolist() == [3.0, 4.0]

    @pytest.mark.parametrize("gradient", [2.0, np.array(2.0), Tensor(2.0), Tensor([[2.0]]), 2])
    def test_ways_to_give_the_gradient_of_one_element(self, gradient: Any) -> None:
        x = Tensor([[3.0]], requires_grad=True)
        (x * x).backward(gradient)
        assert x.grad is not None
        assert x.grad.tolist() == [[12.0]]

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_gradients_have_the_dtype_of_their_tensor(self, dtype: str) -> None:
        x = ones((2, 3), dtype=dtype, requires_grad=True)
        scalar = ones((), dtype=dtype, requires_grad=True)
        y = ((x * scalar).mean(axis=0) ** 2 + x.max() * np.float64(0.5)).sum() / 3
        assert y.dtype == dtype
        y.backward()
        assert x.grad is not None
        assert scalar.grad is not None
        assert x.grad.dtype == dtype
        assert scalar.grad.dtype == dtype

    def test_precisions_may_be_mixed(self) -> None:
        weight = Tensor([1.0, 2.0], requires_grad=True)
        (Tensor(np.array([3.0, 4.0])) * weight).sum().backward()
        assert weight.grad is not None
        assert weight.grad.dtype == np.float32
        assert weight.grad.tolist() == [3.0, 4.0]

    def test_a_network_against_formulas_by_hand(self) -> None:
        x, w, b, v = numbers((5, 3), 1), numbers((3, 4), 2), numbers(4, 3), numbers((4, 2), 4)
        labels = np.array([0, 1, 1, 0, 1])
        tw, tb, tv = (Tensor(a, requires_grad=True) for a in (w, b, v))
        z = (Tensor(x) @ tw + tb).maximum(0.0) @ tv
        shifted = z - z.max(axis=1, keepdims=True)
        log_p = shifted - shifted.exp().sum(axis=1, keepdims=True).log()
        (-log_p[np.arange(5), labels].mean()).backward()

        hidden = np.maximum(x @ w + b, 0)
        scores = hidden @ v
        p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        dz = (p - np.eye(2)[labels]) / 5
        dh = (dz @ v.T) * (hidden > 0)
        for tensor, expected in ((tv, hidden.T @ dz), (tw, x.T @ dh), (tb, dh.sum(axis=0))):
            assert tensor.grad is not None
            np.testing.assert_allclose(tensor.grad.data, expected, rtol=1e-10, atol=1e-12)

    def test_integers_end_the_record(self) -> None:
        x = Tensor([1.7, 2.2], requires_grad=True)
        assert x.astype("int64").origin is None
        assert (x > 2).origin is None
        (x * x.astype("int64")).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [1.0, 2.0]


class TestDepth:
    def test_ten_thousand_operations(self) -> None:
        x = Tensor(np.array(1.0), requires_grad=True)
        y = x
        for _ in range(10_000):
            y = y * 1.0001
        y.backward()
        assert x.grad is not None
        assert x.grad.item() == pytest.approx(1.0001**10_000, rel=1e-9)

    def test_a_deep_graph_goes_away_without_a_backward_pass(self) -> None:
        x = ones((), requires_grad=True)
        y = x
        for _ in range(60_000):
            y = y + 1.0
        gone = weakref.ref(y)
        del y
        assert gone() is None

    def test_a_deep_graph_in_a_cycle_is_collected(self) -> None:
        x = ones((), requires_grad=True)
        y = x
        for _ in range(20_000):
            y = -y
        cycle: list[Any] = [y]
        cycle.append(cycle)
        gone = weakref.ref(y)
        del y, cycle
        gc.collect()
        assert gone() is None

    def test_a_deep_graph_can_be_copied(self) -> None:
        y = ones((), requires_grad=True)
        for _ in range(5_000):
            y = y + 1.0
        assert copy.deepcopy(y).item() == 5001.0


class TestLifetime:
    def test_a_second_backward_is_refused(self) -> None:
        x = ones(3, requires_grad=True)
        loss = (x * x).sum()
        loss.backward()
        with pytest.raises(RuntimeError, match=r"freed: compute the result again, or .*retain_graph=True"):
            loss.backward()
        assert x.grad is not None
        assert x.grad.tolist() == [2, 2, 2]

    def test_the_graph_can_be_retained(self) -> None:
        x = ones(3, requires_grad=True)
        loss = (x * x).sum()
        backward(loss, retain_graph=True)
        backward(loss, retain_graph=True)
        loss.backward()
        assert x.grad is not None
        assert x.grad.tolist() == [6, 6, 6]

    def test_a_shared_part_that_was_freed_is_noticed(self) -> None:
        x = ones(3, requires_grad=True)
        shared = x.exp()
        first, second = shared.sum(), (shared * 2.0).sum()
        first.backward()
        before = x.grad
        with pytest.raises(RuntimeError, match="freed"):
            second.backward()
        assert x.grad is before

    def test_intermediate_results_are_let_go(self) -> None:
        x = ones(3, requires_grad=True)
        hidden = x.exp()
        gone = weakref.ref(hidden)
        loss = hidden.sum()
        del hidden
        assert gone() is not None
        loss.backward()
        assert gone() is None

    def test_overwriting_what_was_recorded_is_noticed(self) -> None:
        x = ones(3, requires_grad=True)
        constant = ones(3)
        for overwrite in (
            lambda: x.__setitem__(0, 5.0),
            lambda: constant.__setitem__(0, 5.0),
            lambda: setattr(x, "data", np.zeros(3)),
        ):
            loss = (x * constant).sum()
            overwrite()
            with pytest.raises(RuntimeError, match="an input of 'multiply' was overwritten in place"):
                loss.backward()
        hidden = x.exp()
        hidden.data = hidden.data * 2.0
        with pytest.raises(RuntimeError, match="the result of 'exp' was overwritten in place"):
            hidden.sum().backward()
        assert x.grad is None

    def test_overwriting_between_steps_is_fine(self) -> None:
        x = ones(3, requires_grad=True)
        for _ in range(3):
            loss = (x * x).sum()
            loss.backward()
            assert x.grad is not None
            x.data -= 0.25 * x.grad.data
            x.zero_grad()
        np.testing.assert_allclose(x.data, 0.125)

    def test_recorded_results_cannot_be_written_into(self) -> None:
        y = ones(3, requires_grad=True) * 2.0
        with pytest.raises(RuntimeError, match="falsify the record"):
            y[0] = 1.0


class TestNoGrad:
    def test_nothing_is_recorded_inside(self) -> None:
        x = ones(3, requires_grad=True)
        with no_grad():
            y = x * 2.0
        assert y.origin is None
        assert (x * 2.0).origin is not None
        with pytest.raises(RuntimeError, match=r"computed inside no_grad\(\)"):
            y.sum().backward()

    def test_backward_inside_is_refused(self) -> None:
        loss = ones(3, requires_grad=True).sum()
        with no_grad(), pytest.raises(RuntimeError, match=r"backward inside no_grad\(\)"):
            loss.backward()
        loss.backward()

    def test_nesting_exceptions_and_decorators(self) -> None:
        x = ones(1, requires_grad=True)
        with no_grad():
            with no_grad():
                pass
            assert (x * 2).origin is None
        with pytest.raises(KeyError), no_grad():
            raise KeyError
        assert (x * 2).origin is not None

        @no_grad()
        def countdown(n: int) -> Tensor:
            return x * 2 if n == 0 else countdown(n - 1)

        assert countdown(3).origin is None
        assert countdown(1).origin is None
        assert (x * 2).origin is not None

    def test_other_threads_go_on_recording(self) -> None:
        x = ones(1, requires_grad=True)
        seen = []
        with no_grad():
            thread = threading.Thread(target=lambda: seen.append((x * 2).origin))
            thread.start()
            thread.join()
        assert isinstance(seen[0], Operation)


class TestGrad:
    def test_returns_and_touches_nothing(self) -> None:
        x, y = Tensor([2.0], requires_grad=True), Tensor([3.0], requires_grad=True)
        dx, dy = grad((x * x * y).sum(), [x, y])
        assert (dx.tolist(), dy.tolist()) == ([12.0], [4.0])
        assert x.grad is None
        assert y.grad is None

    def test_intermediate_results_and_the_output_itself(self) -> None:
        x = Tensor([2.0], requires_grad=True)
        hidden = x * 3.0
        loss = (hidden * hidden).sum()
        of_hidden, of_x, of_loss, again = grad(loss, (hidden, x, loss, hidden))
        assert (of_hidden.item(), of_x.item(), of_loss.item(), again.item()) == (12.0, 36.0, 1.0, 12.0)
        (own,) = grad(x, x, np.array([4.0]))
        assert own.tolist() == [4.0]

    def test_what_the_output_does_not_depend_on(self) -> None:
        x, other, unmarked = ones(2, requires_grad=True), ones(2, requires_grad=True), ones(2)
        loss = (x * unmarked).sum()
        with pytest.raises(ValueError, match="does not depend on input 1"):
            grad(loss, [x, other])
        with pytest.raises(ValueError, match="does not depend on input 0"):
            grad(loss, unmarked)
        assert grad(loss, x)[0].tolist() == [1.0, 1.0]  # a refused call uses nothing up

    def test_frees_the_graph_unless_told_otherwise(self) -> None:
        x = ones(2, requires_grad=True)
        loss = (x * x).sum()
        grad(loss, x, retain_graph=True)
        grad(loss, x)
        with pytest.raises(RuntimeError, match="freed"):
            grad(loss, x)


class TestRefusals:
    def test_not_a_float(self) -> None:
        with pytest.raises(TypeError, match="only float tensors have gradients, found dtype int64"):
            Tensor([1]).sum().backward()
        with pytest.raises(TypeError, match="a tensor is expected, found float"):
            backward(1.0)  # type: ignore[arg-type]

    def test_nothing_marked(self) -> None:
        with pytest.raises(RuntimeError, match="depends on nothing marked requires_grad"):
            (ones(2) * 2).sum().backward()
        with pytest.raises(RuntimeError, match=r"from detach\(\)"):
            ones(2, requires_grad=True).exp().detach().sum().backward()

    def test_several_elements_without_a_gradient(self) -> None:
        with pytest.raises(ValueError, match=r"shape \(2, 3\) has no single gradient: reduce it"):
            (ones((2, 3), requires_grad=True) * 2).backward()

    @pytest.mark.parametrize("gradient", [np.ones(3), 1.0, Tensor([[1.0, 1.0]])])
    def test_a_gradient_of_another_shape(self, gradient: Any) -> None:
        with pytest.raises(ValueError, match=r"a gradient of shape \(2,\) is expected, found shape"):
            (ones(2, requires_grad=True) * 2).backward(gradient)

    def test_a_gradient_that_is_no_number(self) -> None:
        with pytest.raises(TypeError, match="a gradient is made of numbers"):
            ones(1, requires_grad=True).sum().backward("one")  # type: ignore[arg-type]

    def test_the_record_of_somebody_else(self) -> None:
        y = ones(1, requires_grad=True) * 2
        y.origin = "somebody's"
        with pytest.raises(RuntimeError, match='another recorder: its origin is "somebody\'s"'):
            y.backward()


class TestNewPrimitives:
    def test_a_registered_rule_is_used(self) -> None:
        cube = Primitive("test_cube", lambda x: x**3)
        register_gradient("test_cube", lambda g, operation: (g * 3 * operation.arrays[0] ** 2,), replace=True)
        check(lambda x: apply(cube, x), numbers((2, 3)))

    def test_a_rule_sees_what_it_needs(self) -> None:
        seen: list[Any] = []

        def rule(gradient: np.ndarray, operation: Operation) -> Sequence[np.ndarray | None]:
            seen.append((operation.needs, dict(operation.params), operation.output.tolist(), repr(operation)))
            assert len(operation.arrays) == 2
            return gradient * operation.params["factor"], None

        scale = Primitive("test_scale", lambda a, b, factor: a * factor + b)
        register_gradient("test_scale", rule, replace=True)
        x = ones(2, requires_grad=True)
        y = apply(scale, x, ones(2), factor=3)
        y.sum().backward()
        needs, params, output, text = seen[0]
        assert (needs, params, output) == ([True, False], {"factor": 3}, [4.0, 4.0])
        assert text.startswith("Operation(test_scale, 2 inputs")
        assert "freed" in repr(y.origin)
        assert x.grad is not None
        assert x.grad.tolist() == [3.0, 3.0]

    @pytest.mark.parametrize(
        ("rule", "message"),
        [
            (
                lambda g, operation: (g.sum(axis=0),),
                r"gave a gradient of shape \(3,\) for an input of shape \(2, 3\)",
            ),
            (lambda g, operation: (g, g), "gave 2 gradients for 1 inputs"),
        ],
    )
    def test_wrong_rules_are_caught_and_nothing_is_delivered(self, rule: Any, message: str) -> None:
        register_gradient("test_wrong", rule, replace=True)
        x = ones((2, 3), requires_grad=True)
        loss = apply(Primitive("test_wrong", np.copy), x).sum()
        with pytest.raises(RuntimeError, match=message):
            loss.backward()
        assert x.grad is None

    def test_a_missing_rule(self) -> None:
        y = apply(Primitive("test_unknown", np.copy), ones(1, requires_grad=True))
        with pytest.raises(
            RuntimeError, match=r"no gradient rule for primitive 'test_unknown'.*register_gradient"
        ):
            y.backward()

    def test_a_rule_that_says_zero(self) -> None:
        register_gradient("test_zero", lambda g, operation: (None,), replace=True)
        x = ones(2, requires_grad=True)
        (apply(Primitive("test_zero", np.copy), x.exp()) + x).sum().backward()
        assert x.grad is not None
        assert x.grad.tolist() == [1.0, 1.0]


class TestChecking:
    def test_numerical_gradient(self) -> None:
        x = Tensor(numbers((2, 3)))
        before = x.tolist()
        (found,) = numerical_gradient(lambda x: x**3, [x])
        np.testing.assert_allclose(found, 3 * x.data**2, rtol=1e-8, atol=1e-9)
        (weighted,) = numerical_gradient(lambda x: x**3, [x], np.full((2, 3), 2.0))
        np.testing.assert_allclose(weighted, 6 * x.data**2, rtol=1e-8, atol=1e-9)
        assert x.tolist() == before

    def test_large_values_are_stepped_in_proportion(self) -> None:
        x = Tensor(np.array([1e8]))
        (found,) = numerical_gradient(lambda x: x * x, [x])
        assert found[0] == pytest.approx(2e8, rel=1e-8)

    def test_check_gradients_finds_agreement_and_touches_nothing(self) -> None:
        x = Tensor(numbers((2, 3)), requires_grad=True)
        w = Tensor(numbers((3, 2)), requires_grad=True)
        assert check_gradients(lambda x, w: (x @ w).tanh(), [x, w]) < 1e-8
        assert x.grad is None
        assert x.version == 0

    def test_a_weight_that_is_no_argument(self) -> None:
        x, w = Tensor(numbers(3)), Tensor(numbers(3), requires_grad=True)
        assert check_gradients(lambda _: (x * w).sin(), [w]) < 1e-8

    def test_check_gradients_finds_errors(self) -> None:
        register_gradient("test_off", lambda g, operation: (1.001 * g,), replace=True)
        x = Tensor(np.ones(2), requires_grad=True)
        with pytest.raises(AssertionError, match=r"input 0, element \(\d,\): the recorded gradient is"):
            check_gradients(lambda x: apply(Primitive("test_off", np.copy), x), [x])

    def test_nan_is_an_error(self) -> None:
        register_gradient("test_nan", lambda g, operation: (g * np.nan,), replace=True)
        x = Tensor(np.ones(2), requires_grad=True)
        with pytest.raises(AssertionError, match="the recorded gradient is nan"):
            check_gradients(lambda x: apply(Primitive("test_nan", np.copy), x), [x])

    def test_refusals(self) -> None:
        with pytest.raises(TypeError, match="input 0: a float64 tensor is expected, found float32"):
            check_gradients(lambda x: x, [ones(2, requires_grad=True)])
        with pytest.raises(ValueError, match="does not depend on input 0"):
            check_gradients(lambda x: ones(1, dtype="float64", requires_grad=True) * 2, [Tensor(np.ones(2))])


def test_importing_the_module_installs_the_recorder() -> None:
    recorder = get_recorder()
    assert recorder is not None
    x = ones(1, requires_grad=True)
    previous = set_recorder(None)
    try:
        assert (x * 2).origin is None
        with pytest.raises(RuntimeError, match=r"import tinytorch\.core\.autograd"):
            x.backward()
    finally:
        set_recorder(previous)
    assert (x * 2).origin is not None


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: register_gradient(None, lambda g, o: ()),
            TypeError,
            "register_gradient expects a name and a function, found None",
        ),
        (
            lambda: register_gradient("nameless", None),
            TypeError,
            "register_gradient expects a name and a function, found 'nameless' and None",
        ),
        (
            lambda: grad(ones(1, requires_grad=True) * 2.0, None),
            TypeError,
            "a tensor or a sequence of tensors is expected, found NoneType",
        ),
        (
            lambda: grad(ones(1, requires_grad=True) * 2.0, [3]),
            TypeError,
            "input 0: a tensor is expected, found int",
        ),
        (
            lambda: numerical_gradient(None, [ones(1, np.float64)]),
            TypeError,
            "a function from tensors to a tensor is expected, found NoneType",
        ),
        (
            lambda: numerical_gradient(lambda x: x, 3),
            TypeError,
            "a tensor or a sequence of tensors is expected, found int",
        ),
        (lambda: check_gradients(lambda x: x, ["x"]), TypeError, "input 0: a tensor is expected, found str"),
        (
            lambda: check_gradients(lambda x: 3.0, [ones(1, np.float64)]),
            TypeError,
            "the function must return a tensor, found float",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_gradients_by_differences_take_one_tensor_as_well() -> None:
    (found,) = numerical_gradient(lambda x: x * x, ones((2, 3), np.float64))  # type: ignore[arg-type]
    np.testing.assert_allclose(found, np.full((2, 3), 2.0), rtol=1e-9)
