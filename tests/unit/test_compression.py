"""Unit tests of the compression module."""

import math
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.compression import (
    QuantizedArray,
    QuantizedLinear,
    apply_masks,
    compression_report,
    dequantize_state,
    distillation_loss,
    magnitude_masks,
    measured_sparsity,
    pack_sparse,
    prune_neurons,
    quantize,
    quantize_linears,
    quantize_state,
    sparsity_schedule,
    state_bytes,
    storage_bytes,
)
from tinytorch.core.layers import Layer, LayerNorm, Linear
from tinytorch.core.tensor import Tensor, set_recorder

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=50)


class Net(Layer):
    """Linear maps in a list, with a normalisation between them."""

    def __init__(self, *widths: int, rng: int = 0) -> None:
        generator = np.random.default_rng(rng)
        pairs = pairwise(widths)
        self.linears = [Linear(inputs, outputs, rng=generator) for inputs, outputs in pairs]
        self.norm = LayerNorm(widths[1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.linears[0](x))
        for linear in self.linears[1:]:
            x = linear(x.maximum(0.0))
        return x


def random_array(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class TestStorage:
    @REPEATABLE
    @given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.sampled_from([np.float32, np.int8]))
    def test_packed_array_comes_back_and_has_the_counted_size(
        self, rows: int, columns: int, density: float, dtype: Any
    ) -> None:
        rng = np.random.default_rng(0)
        array = (rng.integers(1, 9, (rows, columns)) * (rng.random((rows, columns)) < density)).astype(dtype)
        packed = pack_sparse(array)
        np.testing.assert_array_equal(packed.unpack(), array)
        assert packed.unpack().dtype == array.dtype
        counted = storage_bytes(array.shape, int((array != 0).sum()), array.itemsize)
        assert packed.nbytes == counted["bitmask"]

    def test_numbers_worked_out_by_hand(self) -> None:
        assert storage_bytes((64, 32), 1024, 4) == {"dense": 8192, "bitmask": 4352, "csr": 5380}
        assert storage_bytes((2, 300), 10, 1) == {"dense": 600, "bitmask": 85, "csr": 42}
        assert storage_bytes((), 1, 4)["dense"] == 4
        assert storage_bytes((3, 0), 0, 4) == {"dense": 0, "bitmask": 0, "csr": 4}

    def test_impossible_counts(self) -> None:
        with pytest.raises(ValueError, match="0 to 6 nonzeros"):
            storage_bytes((2, 3), 7, 4)
        with pytest.raises(TypeError, match="found list"):
            pack_sparse([1.0])  # type: ignore[arg-type]


class TestMagnitudePruning:
    @REPEATABLE
    @given(st.floats(0, 0.99), st.sampled_from(["global", "layer"]))
    def test_sparsity_is_met_and_only_small_weights_go(self, sparsity: float, scope: Any) -> None:
        net = Net(7, 5, 3)
        masks = magnitude_masks(net, sparsity, scope)
        assert set(masks) == {"linears.0.weight", "linears.1.weight"}
        weights = {name: np.abs(dict(net.named_parameters())[name].data) for name in masks}
        groups = [list(masks)] if scope == "global" else [[name] for name in masks]
        for group in groups:
            mask = np.concatenate([masks[name].ravel() for name in group])
            weight = np.concatenate([weights[name].ravel() for name in group])
            assert int((~mask).sum()) == round(sparsity * mask.size)
            assert weight[~mask].max(initial=0.0) <= weight[mask].min(initial=np.inf)

    def test_scopes_differ_for_layers_of_different_size(self) -> None:
        net = Net(10, 10, 10)
        net.linears[1].weight.data = net.linears[1].weight.data * 100.0
        kept = magnitude_masks(net, 0.5, "global")
        assert not kept["linears.0.weight"].all()
        assert kept["linears.1.weight"].mean() > 0.95
        kept = magnitude_masks(net, 0.5, "layer")
        assert kept["linears.1.weight"].mean() == 0.5

    def test_ties_are_broken_by_position(self) -> None:
        net = Linear(2, 2)
        net.weight.data = np.ones((2, 2))
        assert magnitude_masks(net, 0.5)["weight"].tolist() == [[False, False], [True, True]]

    def test_names_choose_the_parameters(self) -> None:
        masks = magnitude_masks(Net(4, 4, 2), 0.5, names=["linears.1.weight"])
        assert list(masks) == ["linears.1.weight"]

    def test_masks_are_applied_and_measured(self) -> None:
        net = Net(8, 6, 4)
        before = net.state_dict()
        masks = magnitude_masks(net, 0.75, "layer")
        apply_masks(net, masks)
        after = net.state_dict()
        for name, mask in masks.items():
            np.testing.assert_array_equal(after[name], np.where(mask, before[name], 0))
        np.testing.assert_array_equal(after["linears.0.bias"], before["linears.0.bias"])
        assert after["linears.0.weight"].dtype == np.float32
        assert measured_sparsity(net)["linears.0.weight"] == 0.75

    def test_a_wrong_mask_changes_nothing(self) -> None:
        net = Linear(2, 2, rng=0)
        before = net.state_dict()
        bad: list[tuple[dict[str, Any], type[Exception], str]] = [
            (
                {"weight": np.zeros((2, 2), bool), "x": np.zeros(1, bool)},
                ValueError,
                "no parameter named 'x'",
            ),
            (
                {"weight": np.zeros((2, 2), bool), "bias": np.zeros(3, bool)},
                ValueError,
                r"shape \(2,\), found",
            ),
            ({"weight": np.zeros((2, 2))}, TypeError, "array of booleans"),
        ]
        for masks, error, message in bad:
            with pytest.raises(error, match=message):
                apply_masks(net, masks)
        np.testing.assert_array_equal(net.state_dict()["weight"], before["weight"])

    @pytest.mark.parametrize("sparsity", [-0.1, 1.0, math.nan])
    def test_sparsity_out_of_range(self, sparsity: float) -> None:
        with pytest.raises(ValueError, match="at least 0 and below 1"):
            magnitude_masks(Net(2, 2), sparsity)

    def test_other_mistakes_are_named(self) -> None:
        with pytest.raises(ValueError, match="'global' or 'layer', found 'all'"):
            magnitude_masks(Net(2, 2), 0.5, "all")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"no parameters named \['weights'\]"):
            magnitude_masks(Net(2, 2), 0.5, names=["weights"])
        with pytest.raises(ValueError, match="nothing to prune"):
            magnitude_masks(LayerNorm(3), 0.5)
        broken = Linear(2, 2)
        broken.weight[0, 0] = math.nan
        with pytest.raises(ValueError, match="weight holds NaN"):
            magnitude_masks(broken, 0.5)

    def test_schedule_follows_the_cubic_curve(self) -> None:
        values = [sparsity_schedule(t, 10, 0.9, 0.1) for t in range(12)]
        assert values[0] == pytest.approx(0.1)
        assert values[5] == pytest.approx(0.9 - 0.8 * 0.125)
        assert values[10] == values[11] == 0.9
        assert all(a <= b for a, b in pairwise(values))
        with pytest.raises(ValueError, match="initial <= final"):
            sparsity_schedule(0, 1, 0.2, 0.5)
        with pytest.raises(ValueError, match="steps at least 1"):
            sparsity_schedule(0, 0, 0.5)


class TestStructuredPruning:
    @pytest.mark.parametrize("order", [1, 2])
    def test_keeps_the_strongest_neurons(self, order: Any) -> None:
        first, second = Linear(5, 8, rng=0), Linear(8, 3, rng=1)
        first.bias.data = random_array(8, seed=2)  # type: ignore[union-attr]
        small_first, small_second, kept = prune_neurons(first, second, 3, order)
        columns = np.vstack([first.weight.data, first.bias.data])  # type: ignore[union-attr]
        strength = (np.abs(columns) ** order).sum(axis=0)
        assert sorted(kept) == sorted(np.argsort(strength)[-3:])
        assert kept.tolist() == sorted(kept.tolist())
        np.testing.assert_array_equal(small_first.weight.data, first.weight.data[:, kept])
        np.testing.assert_array_equal(small_second.weight.data, second.weight.data[kept])
        np.testing.assert_array_equal(small_second.bias.data, second.bias.data)  # type: ignore[union-attr]

    def test_result_equals_the_large_network_with_silent_neurons(self) -> None:
        first, second = Linear(4, 6, rng=0), Linear(6, 2, rng=1)
        small_first, small_second, kept = prune_neurons(first, second, 4)
        x = Tensor(random_array(7, 4))
        hidden = np.maximum(first(x).numpy(), 0)
        hidden[:, [j for j in range(6) if j not in kept]] = 0
        expected = hidden @ second.weight.data
        np.testing.assert_allclose(small_second(small_first(x).maximum(0.0)).numpy(), expected, atol=1e-6)

    def test_the_bias_counts(self) -> None:
        first, second = Linear(2, 2), Linear(2, 1)
        first.weight.data = np.array([[1.0, 0.0], [1.0, 0.0]])
        first.bias.data = np.array([0.0, 5.0])  # type: ignore[union-attr]
        assert prune_neurons(first, second, 1)[2].tolist() == [1]

    def test_layers_without_bias_and_nothing_removed(self) -> None:
        first, second = Linear(3, 4, bias=False, rng=0), Linear(4, 2, bias=False, rng=1)
        small_first, small_second, kept = prune_neurons(first, second, 4)
        assert small_first.bias is None
        assert small_second.bias is None
        assert kept.tolist() == [0, 1, 2, 3]
        small_first.weight.data[:] = 0.0
        assert first.weight.data.any()  # the given layer is another one

    def test_mistakes_are_named(self) -> None:
        with pytest.raises(ValueError, match="4 outputs and 5 inputs"):
            prune_neurons(Linear(3, 4), Linear(5, 2), 2)
        with pytest.raises(ValueError, match="keep must be from 1 to 4, found 0"):
            prune_neurons(Linear(3, 4), Linear(4, 2), 0)
        with pytest.raises(ValueError, match="order must be 1 or 2"):
            prune_neurons(Linear(3, 4), Linear(4, 2), 2, order=3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="two Linear layers, found LayerNorm"):
            prune_neurons(LayerNorm(4), Linear(4, 2), 2)  # type: ignore[arg-type]


class TestQuantize:
    @REPEATABLE
    @given(
        st.integers(1, 12),
        st.integers(1, 12),
        st.sampled_from(["symmetric", "affine"]),
        st.sampled_from([None, 0, 1, -1]),
        st.floats(-30, 30),
        st.floats(-20, 20),
    )
    def test_error_is_at_most_half_a_step(
        self, rows: int, columns: int, scheme: Any, axis: int | None, exponent: float, shift: float
    ) -> None:
        array = (np.random.default_rng(0).normal(size=(rows, columns)) + shift) * 10.0**exponent
        quantized = quantize(array, scheme, axis)
        error = np.abs(quantized.dequantize() - array)
        assert (error <= quantized.scale * 0.5001).all()
        assert quantized.values.dtype == np.int8
        expected = {None: (), 0: (rows, 1), 1: (1, columns), -1: (1, columns)}[axis]
        assert quantized.scale.shape == expected

    def test_symmetric_against_the_formula(self) -> None:
        array = random_array(50)
        quantized = quantize(array)
        scale = np.abs(array).max() / 127
        assert quantized.scale == pytest.approx(scale)
        np.testing.assert_array_equal(quantized.values, np.rint(array / np.float32(scale)))
        assert quantized.zero_point is None
        assert np.abs(quantized.values).max() == 127

    def test_affine_uses_the_whole_range(self) -> None:
        quantized = quantize(np.linspace(2.0, 10.0, 100), "affine")
        assert quantized.zero_point == -128  # the range was extended to 0
        assert quantized.values.max() == 127
        quantized = quantize(np.linspace(-1.0, 3.0, 256), "affine")
        assert (quantized.values.min(), quantized.values.max()) == (-128, 127)

    @pytest.mark.parametrize("scheme", ["symmetric", "affine"])
    @pytest.mark.parametrize("axis", [None, 0, 1])
    def test_zero_stays_exactly_zero(self, scheme: Any, axis: int | None) -> None:
        array = random_array(9, 7) + 0.3
        array[::2, 1:4] = 0.0
        restored = quantize(array, scheme, axis).dequantize()
        assert (restored[::2, 1:4] == 0.0).all()

    @pytest.mark.parametrize("scheme", ["symmetric", "affine"])
    def test_all_zeros_and_tiny_values(self, scheme: Any) -> None:
        assert quantize(np.zeros((2, 3)), scheme).dequantize().tolist() == [[0.0] * 3] * 2
        tiny = np.array([1e-44, -1e-44], np.float32)
        assert np.abs(quantize(tiny, scheme).dequantize()).max() < 1e-37

    def test_error_spreads_as_the_text_says(self) -> None:
        array = np.random.default_rng(0).uniform(-1, 1, 100_000)
        quantized = quantize(array)
        rms = np.sqrt(np.mean((quantized.dequantize() - array) ** 2))
        assert rms == pytest.approx(float(quantized.scale) / math.sqrt(12), rel=0.02)

    def test_channels_do_not_disturb_each_other(self) -> None:
        array = random_array(20, 3)
        other = array.copy()
        other[:, 2] *= 1000.0
        one, two = quantize(array, axis=1), quantize(other, axis=1)
        np.testing.assert_array_equal(one.dequantize()[:, :2], two.dequantize()[:, :2])

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_every_float_dtype(self, dtype: Any) -> None:
        restored = quantize(random_array(30).astype(dtype)).dequantize()
        assert restored.dtype == np.float32
        np.testing.assert_allclose(restored, random_array(30), atol=0.02)

    def test_bytes_count_values_scale_and_zero_point(self) -> None:
        array = np.abs(random_array(16, 8)) + 1.0
        assert quantize(array).nbytes == 16 * 8 + 4
        assert quantize(array, axis=1).nbytes == 16 * 8 + 8 * 4
        assert quantize(array, "affine", axis=1).nbytes == 16 * 8 + 8 * 4 + 8
        array[:, :4] = 0.0
        assert quantize(array, axis=1).nbytes == 16 * 8 // 8 + 64 + 8 * 4
        assert quantize(array, "affine").nbytes == 16 * 8 // 8 + 64 + 4 + 1

    @pytest.mark.parametrize(
        ("array", "options", "error", "message"),
        [
            ([1.0], {}, TypeError, "array of floats, found list"),
            (np.array([1]), {}, TypeError, "found int64"),
            (np.zeros((0, 2)), {}, ValueError, r"at least one element, found shape \(0, 2\)"),
            (np.array([np.nan]), {}, ValueError, "finite values"),
            (np.array([np.inf]), {}, ValueError, "finite values"),
            (np.array([1e39]), {}, ValueError, "range of float32"),
            (np.ones(2), {"scheme": "log"}, ValueError, "'symmetric' or 'affine', found 'log'"),
            (np.ones(2), {"axis": 1}, ValueError, r"axis 1 does not exist in shape \(2,\)"),
        ],
    )
    def test_mistakes_are_named(
        self, array: Any, options: dict[str, Any], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            quantize(array, **options)


class TestQuantizedLinear:
    @pytest.mark.parametrize("scheme", ["symmetric", "affine"])
    @pytest.mark.parametrize("per_channel", [True, False])
    @pytest.mark.parametrize("bias", [True, False])
    def test_computes_with_the_rounded_weight(self, scheme: Any, per_channel: bool, bias: bool) -> None:
        linear = Linear(12, 5, bias=bias, rng=0)
        if linear.bias is not None:
            linear.bias.data = random_array(5, seed=3)
        weight = quantize(linear.weight.data, scheme, 1 if per_channel else None).dequantize()
        shift = 0.0 if linear.bias is None else linear.bias.data
        x = random_array(3, 4, 12)
        result = QuantizedLinear(linear, scheme, per_channel)(Tensor(x))
        np.testing.assert_allclose(result.numpy(), x @ weight + shift, atol=1e-5)
        assert result.dtype == np.float32

    def test_state_round_trip(self) -> None:
        one, other = (QuantizedLinear(Linear(6, 4, rng=seed)) for seed in (0, 1))
        other.load_state_dict(one.state_dict())
        x = Tensor(random_array(2, 6))
        assert other(x).tolist() == one(x).tolist()
        assert one.state_dict()["values"].dtype == np.int8
        assert one.parameters() == []

    def test_bad_inputs(self) -> None:
        layer = QuantizedLinear(Linear(6, 4))
        with pytest.raises(ValueError, match=r"shape \(\.\.\., 6\), found \(2, 5\)"):
            layer(Tensor(np.zeros((2, 5))))
        with pytest.raises(TypeError, match="expects a Tensor, found ndarray"):
            layer(np.zeros((2, 6)))
        with pytest.raises(TypeError, match="expects a Linear layer, found LayerNorm"):
            QuantizedLinear(LayerNorm(3))  # type: ignore[arg-type]

    def test_whole_network_is_copied_and_exchanged(self) -> None:
        net = Net(8, 16, 16, 3)
        before = net.state_dict()
        small = quantize_linears(net)
        assert [type(layer) for layer in small.linears] == [QuantizedLinear] * 3  # type: ignore[attr-defined]
        assert [type(layer) for layer in net.linears] == [Linear] * 3
        x = Tensor(random_array(10, 8))
        np.testing.assert_allclose(small(x).numpy(), net(x).numpy(), atol=0.06)
        assert (small(x).argmax(axis=1) == net(x).argmax(axis=1)).sum().item() >= 9
        small.norm.weight.data[:] = 0.0  # type: ignore[attr-defined]
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(array, before[name])

    def test_single_and_shared_layers(self) -> None:
        assert isinstance(quantize_linears(Linear(2, 2)), QuantizedLinear)
        net = Net(4, 4, 4)
        net.linears[1] = net.linears[0]
        small = quantize_linears(net)
        assert small.linears[0] is small.linears[1]  # type: ignore[attr-defined]

    def test_nothing_to_exchange(self) -> None:
        with pytest.raises(ValueError, match="no Linear layer"):
            quantize_linears(LayerNorm(3))


class TestStates:
    def test_weights_are_quantized_and_the_rest_is_kept(self) -> None:
        state = Net(6, 5, 4).state_dict()
        state["steps"] = np.array([[3]])
        compressed = quantize_state(state)
        kinds = {name: isinstance(value, QuantizedArray) for name, value in compressed.items()}
        assert kinds == {name: name.endswith("s.0.weight") or name.endswith("s.1.weight") for name in state}
        restored = dequantize_state(compressed)
        for name, array in state.items():
            np.testing.assert_allclose(restored[name], array, atol=0.01)
        Net(6, 5, 4).load_state_dict({name: a for name, a in restored.items() if name != "steps"})

    def test_channels_of_matrices_and_kernels(self) -> None:
        state = {"matrix": random_array(4, 6), "kernels": random_array(5, 2, 3, 3)}
        per_channel, whole = quantize_state(state), quantize_state(state, per_channel=False)
        shapes = {name: value.scale.shape for name, value in per_channel.items()}  # type: ignore[union-attr]
        assert shapes == {"matrix": (1, 6), "kernels": (5, 1, 1, 1)}
        assert whole["matrix"].scale.shape == ()  # type: ignore[union-attr]

    def test_bytes(self) -> None:
        state: dict[str, Any] = {"a": np.zeros((8, 8), np.float32), "b": np.ones(3, np.float32)}
        assert state_bytes(state, sparse=False) == 256 + 12
        assert state_bytes(state) == 8 + 12
        state["a"] = quantize(np.ones((8, 8)))
        assert state_bytes(state) == state_bytes(state, sparse=False) == 64 + 4 + 12

    def test_report_against_numpy(self) -> None:
        net = Net(20, 10, 5)
        before = net.state_dict()
        apply_masks(net, magnitude_masks(net, 0.6))
        after = quantize_state(net.state_dict())
        report = compression_report(before, after)
        restored = dequantize_state(after)
        difference = np.concatenate([(restored[name] - before[name]).ravel() for name in before])
        assert report.largest_error == pytest.approx(np.abs(difference).max(), rel=1e-5)
        assert report.rms_error == pytest.approx(np.sqrt(np.mean(difference**2)), rel=1e-5)
        assert report.bytes_before == sum(array.nbytes for array in before.values())
        assert report.ratio == report.bytes_after / report.bytes_before
        assert f"{report.bytes_after} bytes" in str(report)

    def test_a_digits_network_shrinks_to_less_than_a_third(self) -> None:
        net = Net(64, 32, 10)
        before = net.state_dict()
        quantized = compression_report(before, quantize_state(before))
        apply_masks(net, magnitude_masks(net, 0.5))
        both = compression_report(before, quantize_state(net.state_dict()))
        assert both.ratio < 0.22 < quantized.ratio < 0.3
        assert quantized.largest_error < 0.005

    def test_states_that_do_not_fit(self) -> None:
        with pytest.raises(ValueError, match=r"differ in the names \['a', 'b'\]"):
            compression_report({"a": np.ones(2)}, {"b": np.ones(2)})
        with pytest.raises(ValueError, match=r"a: shape \(2,\) expected, found \(3,\)"):
            compression_report({"a": np.ones(2)}, {"a": np.ones(3)})
        with pytest.raises(ValueError, match="at least one element"):
            compression_report({}, {})


class Marker:
    """A recorder that marks what depends on tensors with requires_grad."""

    def record(self, primitive: Any, inputs: Any, output: Any, params: Any) -> None:
        if any(tensor.requires_grad or tensor.origin for tensor in inputs):
            output.origin = primitive.name

    def backward(self, tensor: Any, gradient: Any) -> None:
        raise NotImplementedError


def softmax(scores: Any) -> Any:
    exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


class TestDistillation:
    student = np.random.default_rng(0).normal(size=(6, 4)) * 3
    teacher = np.random.default_rng(1).normal(size=(6, 4)) * 3
    labels = np.array([0, 3, 1, 2, 2, 0])

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
    @pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
    def test_against_numpy(self, temperature: float, alpha: float) -> None:
        p, q = softmax(self.teacher / temperature), softmax(self.student / temperature)
        divergence = (p * np.log(p / q)).sum(axis=1).mean()
        entropy = -np.log(softmax(self.student)[np.arange(6), self.labels]).mean()
        loss = distillation_loss(
            Tensor(self.student), Tensor(self.teacher), Tensor(self.labels), temperature, alpha
        )
        assert loss.shape == ()
        assert loss.item() == pytest.approx(alpha * temperature**2 * divergence + (1 - alpha) * entropy)

    def test_slope_is_the_one_in_the_text(self) -> None:
        temperature, step = 3.0, 1e-5
        slopes = np.zeros_like(self.student)
        for place in np.ndindex(self.student.shape):
            values = []
            for sign in (1, -1):
                moved = self.student.copy()
                moved[place] += sign * step
                values.append(
                    distillation_loss(Tensor(moved), Tensor(self.teacher), None, temperature, 1.0).item()
                )
            slopes[place] = (values[0] - values[1]) / (2 * step)
        p, q = softmax(self.teacher / temperature), softmax(self.student / temperature)
        np.testing.assert_allclose(slopes, temperature * (q - p) / 6, atol=1e-8)

    def test_recorded_for_the_student_and_not_for_the_teacher(self) -> None:
        previous = set_recorder(Marker())
        try:
            learning = Tensor(self.student, requires_grad=True)
            knowing = Tensor(self.teacher, requires_grad=True)
            labels = Tensor(self.labels)
            assert distillation_loss(learning, Tensor(self.teacher), labels).origin is not None
            assert distillation_loss(Tensor(self.student), knowing, labels).origin is None
        finally:
            set_recorder(previous)

    def test_large_scores_do_not_overflow(self) -> None:
        student, teacher = Tensor([[1e4, -1e4]]), Tensor([[-1e4, 1e4]])
        loss = distillation_loss(student, teacher, Tensor([0]), temperature=1.0)
        assert loss.item() == pytest.approx(1e4)
        assert distillation_loss(student, student, alpha=1.0).item() == 0.0

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"temperature": 0.0}, ValueError, "temperature must be a positive number, found 0.0"),
            ({"temperature": math.inf}, ValueError, "positive number"),
            ({"alpha": 1.5}, ValueError, "alpha must be from 0 to 1"),
            ({"labels": None}, ValueError, "labels are needed"),
            ({"labels": Tensor([0.0] * 6)}, TypeError, "int Tensor, found float32"),
            ({"labels": np.zeros(6, int)}, TypeError, "found ndarray"),
            ({"labels": Tensor([0, 1])}, ValueError, r"shape \(6,\) expected, found \(2,\)"),
            ({"labels": Tensor([0, 1, 2, 3, 4, 0])}, ValueError, "from 0 to 3 expected, found 0 to 4"),
            ({"labels": Tensor([0, 1, 2, 3, -1, 0])}, ValueError, "found -1 to 3"),
            ({"teacher_scores": Tensor(np.ones((6, 3)))}, ValueError, r"found \(6, 4\) and \(6, 3\)"),
            ({"teacher_scores": Tensor(np.full((6, 4), np.nan))}, ValueError, "must be finite"),
            ({"student_scores": Tensor([[1, 2]])}, TypeError, "student_scores must be a float Tensor"),
            ({"teacher_scores": np.ones((6, 4))}, TypeError, "teacher_scores must be a float Tensor"),
        ],
    )
    def test_mistakes_are_named(self, changes: dict[str, Any], error: type[Exception], message: str) -> None:
        arguments: dict[str, Any] = {
            "student_scores": Tensor(self.student),
            "teacher_scores": Tensor(self.teacher),
            "labels": Tensor(self.labels),
        }
        with pytest.raises(error, match=message):
            distillation_loss(**{**arguments, **changes})

    def test_empty_batch(self) -> None:
        empty = Tensor(np.zeros((0, 3)))
        with pytest.raises(ValueError, match="without empty axes"):
            distillation_loss(empty, empty, alpha=1.0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: storage_bytes(3, 0, 1),
            TypeError,
            "storage_bytes expects ints and a shape of ints, found 3, 0 and 1",
        ),
        (
            lambda: storage_bytes((2, 2), 1, math.nan),
            TypeError,
            "storage_bytes expects ints and a shape of ints, found (2, 2), 1 and nan",
        ),
        (lambda: magnitude_masks(None, 0.5), TypeError, "magnitude_masks expects a Layer, found NoneType"),
        (lambda: magnitude_masks(Linear(2, 2), None), TypeError, "sparsity must be a number, found None"),
        (
            lambda: magnitude_masks(Linear(2, 2), 0.5, names="weight"),
            TypeError,
            "names is a collection of parameters' names, found 'weight'",
        ),
        (lambda: apply_masks(None, {}), TypeError, "apply_masks expects a Layer, found NoneType"),
        (
            lambda: apply_masks(Linear(2, 2), None),
            TypeError,
            "masks is a mapping from names to arrays, found NoneType",
        ),
        (lambda: measured_sparsity(3), TypeError, "measured_sparsity expects a Layer, found int"),
        (
            lambda: sparsity_schedule(math.nan, 2, 0.5),
            ValueError,
            "step must be at least 0 and steps at least 1, found nan and 2",
        ),
        (lambda: sparsity_schedule(1, 2, None), TypeError, "final must be a number, found None"),
        (lambda: prune_neurons(Linear(2, 2), Linear(2, 2), 1.0), TypeError, "keep is an int, found 1.0"),
        (
            lambda: prune_neurons(poisoned(), Linear(2, 2), 1),
            ValueError,
            "neurons cannot be ranked: the first layer holds NaN",
        ),
        (lambda: quantize(np.ones((2, 2)), axis="rows"), TypeError, "axis is an int or None, found 'rows'"),
        (lambda: quantize_linears(None), TypeError, "quantize_linears expects a Layer, found NoneType"),
        (
            lambda: quantize_state(None),
            TypeError,
            "a state is a mapping from names to arrays, found NoneType",
        ),
        (
            lambda: quantize_state({"weight": Tensor([1.0])}),
            TypeError,
            "'weight': ndarray expected, found Tensor",
        ),
        (
            lambda: dequantize_state({"weight": [1.0]}),
            TypeError,
            "'weight': ndarray or QuantizedArray expected, found list",
        ),
        (
            lambda: state_bytes({"weight": None}),
            TypeError,
            "'weight': ndarray or QuantizedArray expected, found NoneType",
        ),
        (lambda: compression_report({"a": 1.0}, {"a": 1.0}), TypeError, "'a': ndarray expected, found float"),
        (
            lambda: distillation_loss(Tensor([[math.nan, 1.0]]), Tensor([[0.0, 1.0]]), Tensor([0])),
            ValueError,
            "student_scores must not be NaN",
        ),
        (
            lambda: distillation_loss(Tensor([[0.0]]), Tensor([[0.0]]), Tensor([0]), temperature=None),
            TypeError,
            "temperature must be a number, found None",
        ),
        (
            lambda: distillation_loss(Tensor([[0.0]]), Tensor([[0.0]]), Tensor([0]), alpha="half"),
            TypeError,
            "alpha must be a number, found 'half'",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def poisoned() -> Linear:
    layer = Linear(2, 2, rng=0)
    layer.weight.data = np.array([[1.0, math.nan], [1.0, 1.0]], np.float32)
    return layer
