"""Unit tests of the kernels module."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.kernels import (
    KERNEL_GRADIENTS,
    KernelTime,
    blocked_matmul,
    col2im,
    compare_kernels,
    conv2d_im2col,
    im2col,
    linear_relu,
    loop_matmul,
    softmax_cross_entropy,
)
from tinytorch.core.tensor import Tensor, set_recorder

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)


def random_tensor(*shape: int, seed: int = 0, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


@dataclass
class Note:
    """What a gradient rule reads of an operation."""

    arrays: list[np.ndarray[Any, Any]]
    needs: list[bool]
    output: np.ndarray[Any, Any]
    params: Mapping[str, Any]


class Notes:
    """A recorder that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, tuple[Tensor, ...], Tensor, Any]] = []

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        self.heard.append((primitive.name, inputs, output, params))

    def backward(self, tensor: Any, gradient: Any) -> None:
        raise NotImplementedError


@pytest.fixture
def notes() -> Iterator[Notes]:
    listener = Notes()
    previous = set_recorder(listener)
    yield listener
    set_recorder(previous)


class TestCompareKernels:
    def test_times_are_measured_and_ratios_refer_to_the_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = 100.0

        def lasting(*durations: float) -> Callable[[], Any]:
            remaining = list(durations)

            def kernel() -> Any:
                nonlocal clock
                clock += remaining.pop(0) if len(remaining) > 1 else remaining[0]
                return np.ones(3)

            return kernel

        monkeypatch.setattr("tinytorch.core.kernels.time", SimpleNamespace(perf_counter=lambda: clock))
        warming = [1.0] * 3  # one call for the check, two to find the number of calls in a round
        times = compare_kernels(
            {"slow": lasting(*warming, 4.0, 9.0, 5.0), "quick": lasting(*warming, 2.0, 3.0, 2.5)}, rounds=3
        )
        assert list(times) == ["slow", "quick"]
        assert times["slow"] == KernelTime(median=5.0, fastest=4.0, ratio=1.0)
        assert times["quick"] == KernelTime(median=2.5, fastest=2.0, ratio=0.5)
        times = compare_kernels({"short": lasting(1e-5)}, rounds=1, round_seconds=1e-3)
        assert times["short"].median == pytest.approx(1e-5)

    def test_kernels_take_turns(self) -> None:
        calls: list[str] = []

        def named(name: str) -> Callable[[], Any]:
            def kernel() -> Any:
                calls.append(name)
                return np.zeros(1)

            return kernel

        compare_kernels({"a": named("a"), "b": named("b")}, rounds=3, round_seconds=0.0)
        assert calls[:2] == ["a", "b"]  # the check
        assert calls[-6:] == ["a", "b"] * 3

    def test_wrong_results_are_found(self) -> None:
        with pytest.raises(ValueError, match=r"b differs from a by 0\.01, more than 0\.0001"):
            compare_kernels({"a": lambda: np.ones(2), "b": lambda: np.array([1.0, 1.01])})
        with pytest.raises(ValueError, match=r"b returns shape \(3,\), but a \(2,\)"):
            compare_kernels({"a": lambda: np.ones(2), "b": lambda: np.ones(3)})
        with pytest.raises(ValueError, match="b differs from a by nan"):
            compare_kernels({"a": lambda: np.ones(2), "b": lambda: np.array([1.0, np.nan])})

    def test_the_tolerance_is_relative(self) -> None:
        close = {"a": lambda: np.array([1e6]), "b": lambda: np.array([1e6 + 10])}
        assert set(compare_kernels(close, rounds=1, round_seconds=0.0)) == {"a", "b"}
        with pytest.raises(ValueError, match="differs"):
            compare_kernels(close, tolerance=1e-6)

    def test_nothing_to_compare(self) -> None:
        with pytest.raises(ValueError, match="at least one kernel and one round"):
            compare_kernels({})
        with pytest.raises(ValueError, match="found 1 and 0"):
            compare_kernels({"a": lambda: np.ones(1)}, rounds=0)


class TestMatmul:
    @REPEATABLE
    @given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 20), st.integers(1, 25))
    def test_against_numpy(self, m: int, k: int, n: int, block: int) -> None:
        a, b = random_tensor(m, k), random_tensor(k, n, seed=1)
        expected = a.numpy() @ b.numpy()
        np.testing.assert_allclose(blocked_matmul(a, b, block).numpy(), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(loop_matmul(a, b).numpy(), expected, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("kernel", [blocked_matmul, loop_matmul])
    def test_empty_axes(self, kernel: Any) -> None:
        assert kernel(random_tensor(2, 0), random_tensor(0, 3)).tolist() == [[0.0] * 3] * 2
        assert kernel(random_tensor(0, 2), random_tensor(2, 3)).shape == (0, 3)

    @pytest.mark.parametrize("kernel", [blocked_matmul, loop_matmul])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_dtype_is_kept_and_inputs_are_not_changed(self, kernel: Any, dtype: Any) -> None:
        a, b = random_tensor(3, 4, dtype=dtype), random_tensor(4, 2, dtype=dtype)
        before = a.tolist(), b.tolist()
        assert kernel(a, b).dtype == dtype
        assert (a.tolist(), b.tolist()) == before

    @pytest.mark.parametrize("kernel", [blocked_matmul, loop_matmul])
    def test_mistakes_are_named(self, kernel: Any) -> None:
        name = kernel.__name__
        with pytest.raises(ValueError, match=rf"{name} expects shapes .* found \(2, 3\) and \(4, 2\)"):
            kernel(random_tensor(2, 3), random_tensor(4, 2))
        with pytest.raises(ValueError, match=r"found \(3,\) and \(3, 2\)"):
            kernel(random_tensor(3), random_tensor(3, 2))
        with pytest.raises(TypeError, match="expects Tensors, found ndarray"):
            kernel(np.ones((2, 2)), random_tensor(2, 2))
        with pytest.raises(TypeError, match="floats of one dtype, found float32, float64"):
            kernel(random_tensor(2, 2, dtype=np.float32), random_tensor(2, 2))
        with pytest.raises(TypeError, match="floats of one dtype, found int64"):
            kernel(Tensor([[1]]), Tensor([[1]]))

    def test_block_must_be_a_positive_int(self) -> None:
        a = random_tensor(2, 2)
        with pytest.raises(ValueError, match="block must be at least 1, found 0"):
            blocked_matmul(a, a, 0)
        with pytest.raises(TypeError, match=r"block must be an int, found 2\.0"):
            blocked_matmul(a, a, 2.0)  # type: ignore[arg-type]


GEOMETRIES = [
    {"kernel": 1},
    {"kernel": 3, "padding": 1},
    {"kernel": (2, 3), "stride": (2, 1)},
    {"kernel": (3, 2), "stride": 2, "padding": (1, 2), "dilation": (2, 1)},
    {"kernel": (7, 6)},
]


def windows_by_loops(x: np.ndarray[Any, Any], options: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Every window, one pixel after the other."""
    pairs = {name: value if isinstance(value, tuple) else (value, value) for name, value in options.items()}
    (kh, kw), (sh, sw) = pairs["kernel"], pairs.get("stride", (1, 1))
    (ph, pw), (dh, dw) = pairs.get("padding", (0, 0)), pairs.get("dilation", (1, 1))
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    rows = []
    for i in range(0, x.shape[2] - dh * (kh - 1), sh):
        for j in range(0, x.shape[3] - dw * (kw - 1), sw):
            window = x[:, :, i : i + dh * (kh - 1) + 1 : dh, j : j + dw * (kw - 1) + 1 : dw]
            rows.append(window.reshape(x.shape[0], -1))
    return np.stack(rows, axis=1)


class TestIm2col:
    @pytest.mark.parametrize("options", GEOMETRIES)
    def test_against_loops(self, options: dict[str, Any]) -> None:
        x = random_tensor(2, 3, 7, 6)
        np.testing.assert_array_equal(im2col(x, **options).numpy(), windows_by_loops(x.numpy(), options))

    @pytest.mark.parametrize("options", GEOMETRIES)
    def test_col2im_is_the_transpose(self, options: dict[str, Any]) -> None:
        x = random_tensor(2, 3, 7, 6)
        rows = im2col(x, **options)
        y = random_tensor(*rows.shape, seed=1)
        back = col2im(y, x.shape, **options)
        assert back.shape == x.shape
        assert (rows * y).sum().item() == pytest.approx((x * back).sum().item())

    def test_without_overlap_col2im_is_the_inverse(self) -> None:
        x = random_tensor(2, 3, 6, 4)
        np.testing.assert_array_equal(col2im(im2col(x, 2, stride=2), x.shape, 2, stride=2).numpy(), x.numpy())

    def test_result_does_not_share_memory(self) -> None:
        x = random_tensor(1, 1, 2, 2)
        rows = im2col(x, 1)
        rows.data[:] = 0.0
        assert x.data.all()

    def test_mistakes_are_named(self) -> None:
        x = random_tensor(1, 2, 4, 4)
        with pytest.raises(ValueError, match=r"images of shape \(N, C, H, W\) expected, found \(4, 4\)"):
            im2col(random_tensor(4, 4), 2)
        with pytest.raises(ValueError, match=r"window of \(5, 5\).* does not fit images of \(4, 4\)"):
            im2col(x, 5)
        with pytest.raises(ValueError, match=r"dilation \(3, 3\)"):
            im2col(x, 3, dilation=3)
        with pytest.raises(ValueError, match="stride must be at least 1, found 0"):
            im2col(x, 2, stride=0)
        with pytest.raises(ValueError, match="padding must be at least 0, found -1"):
            im2col(x, 2, padding=-1)
        with pytest.raises(ValueError, match="kernel must be one int or a pair"):
            im2col(x, (2, 2, 2))
        with pytest.raises(TypeError, match=r"kernel must be an int, found 2\.0"):
            im2col(x, 2.0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="floats of one dtype, found int64"):
            im2col(Tensor(np.zeros((1, 1, 3, 3), int)), 2)
        with pytest.raises(ValueError, match=r"columns of shape \(1, 9, 8\), found \(1, 9, 4\)"):
            col2im(random_tensor(1, 9, 4), (1, 2, 4, 4), 2)
        with pytest.raises(ValueError, match=r"images of shape \(N, C, H, W\)"):
            col2im(random_tensor(1, 9, 4), (4, 4), 2)


class TestConvolution:
    @pytest.mark.parametrize("options", GEOMETRIES)
    @pytest.mark.parametrize("with_bias", [True, False])
    def test_against_loops(self, options: dict[str, Any], with_bias: bool) -> None:
        x = random_tensor(2, 3, 7, 6)
        size = options["kernel"] if isinstance(options["kernel"], tuple) else (options["kernel"],) * 2
        weight = random_tensor(4, 3, *size, seed=1)
        bias = random_tensor(4, seed=2) if with_bias else None
        others = {name: value for name, value in options.items() if name != "kernel"}
        result = conv2d_im2col(x, weight, bias, **others).numpy()
        windows = windows_by_loops(x.numpy(), options)
        expected = np.einsum("nlk,ok->nol", windows, weight.numpy().reshape(4, -1))
        if bias is not None:
            expected += bias.numpy()[:, None]
        assert result.shape[:2] == (2, 4)
        np.testing.assert_allclose(result.reshape(expected.shape), expected, atol=1e-12)

    def test_the_kernel_is_not_flipped(self) -> None:
        x, weight = Tensor([[[[1.0, 2.0, 4.0]]]]), Tensor([[[[1.0, 10.0]]]])
        assert conv2d_im2col(x, weight).tolist() == [[[[21.0, 42.0]]]]

    def test_everything_goes_through_the_door(self, notes: Notes) -> None:
        conv2d_im2col(random_tensor(1, 2, 4, 4), random_tensor(3, 2, 2, 2), random_tensor(3))
        names = [name for name, *_ in notes.heard]
        assert names == ["im2col", "reshape", "transpose", "matmul", "add", "transpose", "reshape"]

    def test_mistakes_are_named(self) -> None:
        x = random_tensor(1, 2, 4, 4)
        with pytest.raises(ValueError, match=r"found \(1, 2, 4, 4\) and \(3, 1, 2, 2\)"):
            conv2d_im2col(x, random_tensor(3, 1, 2, 2))
        with pytest.raises(ValueError, match=r"bias of shape \(3,\), found \(2,\)"):
            conv2d_im2col(x, random_tensor(3, 2, 2, 2), random_tensor(2))
        with pytest.raises(ValueError, match="does not fit"):
            conv2d_im2col(x, random_tensor(3, 2, 5, 5))
        with pytest.raises(TypeError, match="floats of one dtype"):
            conv2d_im2col(x, random_tensor(3, 2, 2, 2, dtype=np.float32))


class TestFusedKernels:
    @REPEATABLE
    @given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 6), st.integers(1, 6))
    def test_linear_relu_against_numpy(self, leading: list[int], inputs: int, outputs: int) -> None:
        x, w = random_tensor(*leading, inputs), random_tensor(inputs, outputs, seed=1)
        b = random_tensor(outputs, seed=2)
        expected = np.maximum(x.numpy() @ w.numpy() + b.numpy(), 0)
        np.testing.assert_allclose(linear_relu(x, w, b).numpy(), expected, atol=1e-12)

    def test_linear_relu_is_one_operation(self, notes: Notes) -> None:
        linear_relu(random_tensor(2, 3), random_tensor(3, 4), random_tensor(4))
        assert [name for name, *_ in notes.heard] == ["linear_relu"]

    @pytest.mark.parametrize(
        "shapes", [((2, 3), (4, 5), (5,)), ((2, 3), (3, 5), (4,)), ((3,), (3, 5), (5,)), ((2, 3), (3,), (3,))]
    )
    def test_linear_relu_shapes(self, shapes: Any) -> None:
        with pytest.raises(ValueError, match=r"\(inputs, outputs\) and \(outputs,\), found"):
            linear_relu(*(random_tensor(*shape) for shape in shapes))

    @REPEATABLE
    @given(st.integers(1, 8), st.integers(1, 6))
    def test_cross_entropy_against_numpy(self, batch: int, classes: int) -> None:
        z = random_tensor(batch, classes).numpy() * 5
        labels = np.random.default_rng(1).integers(0, classes, batch)
        probabilities = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        expected = -np.log(probabilities[np.arange(batch), labels]).mean()
        assert softmax_cross_entropy(Tensor(z), Tensor(labels)).item() == pytest.approx(expected, abs=1e-12)

    def test_cross_entropy_of_large_and_impossible_scores(self) -> None:
        assert softmax_cross_entropy(Tensor([[1e30, 0.0]]), Tensor([1])).item() == pytest.approx(1e30)
        assert softmax_cross_entropy(Tensor([[0.0, -math.inf]]), Tensor([0])).item() == 0.0

    def test_cross_entropy_is_one_operation_and_changes_nothing(self, notes: Notes) -> None:
        scores, labels = random_tensor(3, 2, dtype=np.float32), Tensor([0, 1, 1])
        before = scores.tolist()
        loss = softmax_cross_entropy(scores, labels)
        assert [name for name, *_ in notes.heard] == ["softmax_cross_entropy"]
        assert (loss.shape, loss.dtype) == ((), np.float32)
        assert scores.tolist() == before

    @pytest.mark.parametrize(
        ("scores", "labels", "error", "message"),
        [
            (Tensor([[1.0, 2.0]]), Tensor([2]), ValueError, "labels from 0 to 1 expected, found 2 to 2"),
            (Tensor([[1.0, 2.0]]), Tensor([-1]), ValueError, "found -1 to -1"),
            (Tensor([[1.0, 2.0]]), Tensor([0, 1]), ValueError, r"found \(1, 2\) and \(2,\)"),
            (Tensor([1.0, 2.0]), Tensor([0, 1]), ValueError, r"found \(2,\) and \(2,\)"),
            (Tensor(np.zeros((0, 2))), Tensor(np.zeros(0, int)), ValueError, "without empty axes"),
            (Tensor([[1.0, math.nan]]), Tensor([0]), ValueError, "found NaN"),
            (Tensor([[1.0, 2.0]]), Tensor([0.0]), TypeError, "int Tensor, found float32"),
            (Tensor([[1.0, 2.0]]), [0], TypeError, "int Tensor, found list"),
            (Tensor([[1, 2]]), Tensor([0]), TypeError, "floats of one dtype, found int64"),
        ],
    )
    def test_cross_entropy_mistakes(
        self, scores: Any, labels: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            softmax_cross_entropy(scores, labels)


OPERATIONS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]]]] = {
    "matmul_loops": (loop_matmul, [(3, 4), (4, 2)]),
    "blocked_matmul": (lambda a, b: blocked_matmul(a, b, 2), [(3, 4), (4, 5)]),
    "im2col": (lambda x: im2col(x, (2, 3), stride=(2, 1), padding=1, dilation=(1, 2)), [(2, 2, 5, 4)]),
    "col2im": (lambda c: col2im(c, (2, 1, 3, 3), 2, padding=(1, 0)), [(2, 8, 4)]),
    "linear_relu": (linear_relu, [(2, 3, 4), (4, 3), (3,)]),
    "softmax_cross_entropy": (lambda z: softmax_cross_entropy(z, Tensor([2, 0, 2, 1])), [(4, 3)]),
}


class TestGradientRules:
    def test_every_primitive_has_a_rule(self) -> None:
        assert set(KERNEL_GRADIENTS) == set(OPERATIONS)

    @pytest.mark.parametrize("name", sorted(OPERATIONS))
    def test_against_central_differences(self, name: str, notes: Notes) -> None:
        operation, shapes = OPERATIONS[name]
        inputs = [random_tensor(*shape, seed=seed) for seed, shape in enumerate(shapes)]
        output = operation(*inputs)
        heard, noted, _, params = notes.heard[-1]
        assert heard == name
        weights = np.random.default_rng(9).normal(size=output.shape)
        note = Note([tensor.data for tensor in noted], [True] * len(inputs), output.data, params)
        gradients = [part for part in KERNEL_GRADIENTS[name](weights, note) if part is not None]
        assert len(gradients) == len(inputs)
        step = 1e-6
        for position, tensor in enumerate(inputs):
            for place in np.ndindex(tensor.shape):
                values = []
                for sign in (1, -1):
                    moved = [Tensor(other.numpy()) for other in inputs]
                    moved[position].data[place] += sign * step
                    values.append((operation(*moved).numpy() * weights).sum())
                slope = (values[0] - values[1]) / (2 * step)
                assert gradients[position][place] == pytest.approx(slope, abs=1e-7)
            assert gradients[position].shape == tensor.shape

    @pytest.mark.parametrize("name", ["matmul_loops", "blocked_matmul", "linear_relu"])
    def test_what_nobody_needs_is_not_computed(self, name: str, notes: Notes) -> None:
        operation, shapes = OPERATIONS[name]
        output = operation(*(random_tensor(*shape) for shape in shapes))
        _, noted, _, params = notes.heard[-1]
        note = Note([tensor.data for tensor in noted], [False] * len(shapes), output.data, params)
        assert list(KERNEL_GRADIENTS[name](np.ones(output.shape), note)) == [None] * len(shapes)

    def test_the_slope_at_the_corner_is_zero(self) -> None:
        inputs = [np.ones((1, 1)), np.ones((1, 1)), -np.ones(1)]
        note = Note(inputs, [True] * 3, np.zeros((1, 1)), {})
        parts = KERNEL_GRADIENTS["linear_relu"](np.ones((1, 1)), note)
        assert [part.tolist() for part in parts if part is not None] == [[[0.0]], [[0.0]], [0.0]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: compare_kernels([]), TypeError, "kernels is a mapping from names to functions, found []"),
        (
            lambda: compare_kernels({"slow": None}),
            TypeError,
            "kernels is a mapping from names to functions, found {'slow': None}",
        ),
        (
            lambda: compare_kernels({"one": lambda: np.ones(1)}, rounds=1.5),
            TypeError,
            "rounds is an int, found 1.5",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
