"""Unit tests of core.spatial: values against the formulas written as loops, statistics, and every refusal."""

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinytorch.core.layers import Layer, Parameter
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D, conv_output_size
from tinytorch.core.tensor import Tensor, set_recorder

FEW = settings(max_examples=40, derandomize=True, deadline=None)


def numbers(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def conv_by_loops(
    x: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: Any, padding: Any, dilation: Any
) -> np.ndarray:
    """The definition: a patch of the zero-padded image at every place, times the kernel, summed."""
    (sh, sw), (ph, pw), (dh, dw) = pair(stride), pair(padding), pair(dilation)
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    kh, kw = weight.shape[2:]
    rows = range(0, x.shape[2] - dh * (kh - 1), sh)
    columns = range(0, x.shape[3] - dw * (kw - 1), sw)
    y = np.zeros((x.shape[0], weight.shape[0], len(rows), len(columns)))
    for (i, r), (j, c) in itertools.product(enumerate(rows), enumerate(columns)):
        patch = x[:, :, r : r + dh * (kh - 1) + 1 : dh, c : c + dw * (kw - 1) + 1 : dw]
        y[:, :, i, j] = np.einsum("ncuv,ocuv->no", patch, weight) + bias
    return y


def pool_by_loops(
    x: np.ndarray, reduce: Any, kernel: Any, stride: Any, padding: Any, fill: float
) -> np.ndarray:
    (kh, kw), (sh, sw), (ph, pw) = pair(kernel), pair(stride), pair(padding)
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=fill)
    rows, columns = range(0, x.shape[2] - kh + 1, sh), range(0, x.shape[3] - kw + 1, sw)
    y = np.zeros((*x.shape[:2], len(rows), len(columns)))
    for (i, r), (j, c) in itertools.product(enumerate(rows), enumerate(columns)):
        y[:, :, i, j] = reduce(x[:, :, r : r + kh, c : c + kw], axis=(2, 3))
    return y


@pytest.fixture(autouse=True)
def no_recorder() -> Iterator[None]:
    previous = set_recorder(None)
    yield
    set_recorder(previous)


class TestOutputSize:
    @FEW
    @given(
        size=st.integers(1, 20),
        kernel=st.integers(1, 6),
        stride=st.integers(1, 4),
        padding=st.integers(0, 3),
        dilation=st.integers(1, 3),
    )
    def test_counts_the_places_where_a_window_fits(
        self, size: int, kernel: int, stride: int, padding: int, dilation: int
    ) -> None:
        span = dilation * (kernel - 1) + 1
        starts = [s for s in range(0, size + 2 * padding, stride) if s + span <= size + 2 * padding]
        assume(starts)
        assert conv_output_size(size, kernel, stride, padding, dilation) == len(starts)

    def test_a_window_that_does_not_fit_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="spans 5 does not fit 2 pixels with a padding of 1"):
            conv_output_size(2, 3, padding=1, dilation=2)

    @pytest.mark.parametrize(
        "options", [{"stride": 0}, {"padding": -1}, {"dilation": 0}, {"kernel": 0}, {"size": 0}]
    )
    def test_too_small_numbers_are_named(self, options: dict[str, int]) -> None:
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be at least"):
            conv_output_size(**{"size": 5, "kernel": 3, **options})

    def test_only_ints(self) -> None:
        with pytest.raises(TypeError, match=r"kernel must be an int, found 3\.0"):
            conv_output_size(5, 3.0)  # type: ignore[arg-type]


class TestConv2D:
    @pytest.mark.parametrize("stride", [1, 2, (2, 1)])
    @pytest.mark.parametrize("padding", [0, 2, (1, 0)])
    @pytest.mark.parametrize("dilation", [1, (1, 2)])
    @pytest.mark.parametrize("kernel", [1, 3, (2, 3)])
    def test_agrees_with_the_definition(self, kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
        conv = Conv2D(3, 4, kernel, stride, padding, dilation, rng=1, dtype=np.float64)
        conv.bias.data = numbers(4, seed=2)
        x = numbers(2, 3, 7, 6)
        expected = conv_by_loops(x, conv.weight.data, conv.bias.data, stride, padding, dilation)
        found = conv(Tensor(x))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.data, expected, rtol=1e-12, atol=1e-12)

    @FEW
    @given(
        lengths=st.tuples(*[st.integers(1, 3)] * 3),
        size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
        kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
        padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
        dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    )
    def test_any_geometry(
        self, lengths: Any, size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any
    ) -> None:
        n, c, o = lengths
        assume(
            all(s + 2 * p > d * (k - 1) for s, p, d, k in zip(size, padding, dilation, kernel, strict=True))
        )
        conv = Conv2D(c, o, kernel, stride, padding, dilation, rng=0, dtype=np.float64)
        x = numbers(n, c, *size)
        found = conv(Tensor(x))
        sides = zip(size, kernel, stride, padding, dilation, strict=True)
        assert found.shape == (n, o, *(conv_output_size(*side) for side in sides))
        expected = conv_by_loops(x, conv.weight.data, np.zeros(o), stride, padding, dilation)
        np.testing.assert_allclose(found.data, expected, rtol=1e-10, atol=1e-12)

    def test_the_kernel_is_not_turned_round(self) -> None:
        conv = Conv2D(1, 1, (1, 2), bias=False)
        conv.weight.data = np.array([[[[1.0, 10.0]]]])
        assert conv(Tensor([[[[1.0, 2.0, 3.0]]]])).tolist() == [[[[21.0, 32.0]]]]

    def test_a_1x1_kernel_is_a_linear_map_of_channels(self) -> None:
        conv = Conv2D(3, 5, 1, rng=0, dtype=np.float64)
        x = numbers(2, 3, 4, 4)
        expected = np.einsum("nchw,oc->nohw", x, conv.weight.data[:, :, 0, 0])
        np.testing.assert_allclose(conv(Tensor(x)).data, expected, rtol=1e-12)

    def test_a_kernel_as_large_as_the_image_is_a_dot_product(self) -> None:
        conv = Conv2D(2, 3, (4, 5), rng=0, dtype=np.float64)
        x = numbers(2, 2, 4, 5)
        expected = x.reshape(2, -1) @ conv.weight.data.reshape(3, -1).T
        np.testing.assert_allclose(conv(Tensor(x)).data[:, :, 0, 0], expected, rtol=1e-12)

    def test_a_shifted_image_gives_a_shifted_output(self) -> None:
        conv = Conv2D(1, 2, 3, rng=0, dtype=np.float64)
        x = np.zeros((1, 1, 9, 9))
        x[:, :, 2:5, 2:5] = numbers(3, 3)
        shifted = np.roll(x, (2, 1), axis=(2, 3))
        first, second = conv(Tensor(x)).data, conv(Tensor(shifted)).data
        np.testing.assert_allclose(second[:, :, 2:, 1:], first[:, :, :-2, :-1], atol=1e-14)

    def test_views_as_input(self) -> None:
        conv = Conv2D(3, 2, 3, rng=0, dtype=np.float64)
        x = numbers(2, 6, 7, 3)  # (N, H, W, C)
        expected = conv(Tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2))))
        np.testing.assert_allclose(conv(Tensor(x).transpose(0, 3, 1, 2)).data, expected.data, rtol=1e-12)

    def test_initial_weights_follow_he(self) -> None:
        conv = Conv2D(32, 256, (3, 5), rng=0)
        weights = conv.weight.data
        assert weights.std() == pytest.approx(math.sqrt(2.0 / (32 * 15)), rel=0.01)
        assert abs(weights.mean()) < 1e-3
        assert not conv.bias.data.any()

    def test_the_signal_keeps_its_scale_through_relu_layers(self) -> None:
        generator = np.random.default_rng(0)
        x = Tensor(generator.normal(size=(4, 16, 12, 12)).astype(np.float32))
        for _ in range(6):
            x = (
                Conv2D(16, 16, 3, padding=0, rng=generator)(x)
                .maximum(0.0)
                .pad(((0, 0), (0, 0), (1, 1), (1, 1)))
            )
        energy = float((x.data[:, :, 1:-1, 1:-1] ** 2).mean())
        assert 0.1 < energy < 10.0

    def test_seeds_and_generators(self) -> None:
        assert np.array_equal(Conv2D(2, 3, 3, rng=7).weight.data, Conv2D(2, 3, 3, rng=7).weight.data)
        generator = np.random.default_rng(7)
        first, second = Conv2D(2, 3, 3, rng=generator), Conv2D(2, 3, 3, rng=generator)
        assert not np.array_equal(first.weight.data, second.weight.data)

    def test_parameters(self) -> None:
        conv = Conv2D(2, 3, (4, 5))
        assert {name: p.shape for name, p in conv.named_parameters()} == {
            "weight": (3, 2, 4, 5),
            "bias": (3,),
        }
        assert all(isinstance(p, Parameter) and p.requires_grad for p in conv.parameters())
        assert [name for name, _ in Conv2D(2, 3, 3, bias=False).named_parameters()] == ["weight"]

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_dtype_is_kept(self, dtype: str) -> None:
        assert Conv2D(1, 1, 3, padding=1, dtype=dtype)(Tensor(np.ones((1, 1, 4, 4), dtype))).dtype == dtype

    def test_the_input_is_left_alone(self) -> None:
        x = numbers(1, 1, 5, 5)
        image = Tensor(x)
        Conv2D(1, 1, 3, padding=1, rng=0)(image)
        assert np.array_equal(image.data, x)

    def test_repr(self) -> None:
        assert repr(Conv2D(1, 2, 3)) == "Conv2D(1, 2, kernel_size=(3, 3))"
        described = repr(Conv2D(1, 2, 3, stride=2, padding=(1, 0), dilation=2, bias=False))
        assert described == (
            "Conv2D(1, 2, kernel_size=(3, 3), stride=(2, 2), padding=(1, 0), dilation=(2, 2), bias=False)"
        )


class TestConv2DErrors:
    def test_one_image_without_a_batch(self) -> None:
        with pytest.raises(ValueError, match=r"\(N, C, H, W\), found \(3, 8, 8\); expand_dims\(0\)"):
            Conv2D(3, 4, 3)(Tensor(numbers(3, 8, 8)))

    @pytest.mark.parametrize("shape", [(), (8,), (2, 3), (1, 2, 3, 4, 5)])
    def test_wrong_rank(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"expects the shape \(N, C, H, W\)"):
            Conv2D(3, 4, 3)(Tensor(np.zeros(shape)))

    def test_wrong_channels(self) -> None:
        with pytest.raises(ValueError, match=r"expects 3 channels \(axis 1\), found 1 in \(2, 1, 8, 8\)$"):
            Conv2D(3, 4, 3)(Tensor(numbers(2, 1, 8, 8)))

    def test_channels_last_get_a_hint(self) -> None:
        with pytest.raises(ValueError, match=r"found 8 in \(2, 8, 8, 3\); transpose\(0, 3, 1, 2\)"):
            Conv2D(3, 4, 3)(Tensor(numbers(2, 8, 8, 3)))

    @pytest.mark.parametrize("shape", [(0, 3, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
    def test_nothing_to_see(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match="at least one image, channel and pixel"):
            Conv2D(3, 4, 3)(Tensor(np.zeros(shape)))

    def test_kernel_larger_than_the_padded_image(self) -> None:
        message = r"Conv2D: a window that spans 5 x 5 does not fit images of 2 x 8 \(with padding 4 x 10\)"
        with pytest.raises(ValueError, match=message):
            Conv2D(1, 1, 5, padding=1)(Tensor(numbers(1, 1, 2, 8)))

    def test_a_dilated_kernel_spans_more(self) -> None:
        with pytest.raises(ValueError, match="spans 5 x 3"):
            Conv2D(1, 1, 3, dilation=(2, 1))(Tensor(numbers(1, 1, 4, 4)))

    def test_integers_and_arrays(self) -> None:
        with pytest.raises(TypeError, match="expects float images, found dtype uint8"):
            Conv2D(1, 1, 1)(Tensor(np.zeros((1, 1, 2, 2), np.uint8)))
        with pytest.raises(TypeError, match="expects a Tensor, found ndarray"):
            Conv2D(1, 1, 1)(np.zeros((1, 1, 2, 2)))

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"in_channels": 0}, "in_channels must be at least 1"),
            ({"out_channels": -1}, "out_channels must be at least 1"),
            ({"kernel_size": 0}, "kernel_size must be at least 1"),
            ({"kernel_size": (3, 0)}, "kernel_size must be at least 1"),
            ({"kernel_size": (3, 3, 3)}, "kernel_size must be an int or a pair"),
            ({"stride": 0}, "stride must be at least 1"),
            ({"padding": -1}, "padding must be at least 0"),
            ({"dilation": 0}, "dilation must be at least 1"),
        ],
    )
    def test_bad_settings(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Conv2D(**{"in_channels": 1, "out_channels": 1, "kernel_size": 3, **options})

    @pytest.mark.parametrize("options", [{"kernel_size": 1.5}, {"padding": "same"}, {"stride": True}])
    def test_settings_of_wrong_type(self, options: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match="must be an int"):
            Conv2D(**{"in_channels": 1, "out_channels": 1, "kernel_size": 3, **options})

    def test_integer_parameters(self) -> None:
        with pytest.raises(TypeError, match="float"):
            Conv2D(1, 1, 3, dtype=np.int64)


class TestPooling:
    GEOMETRIES = ((2, None, 0), (3, 1, 1), ((2, 3), (1, 2), 0), (3, 2, (1, 0)), (1, 2, 0))

    @pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
    def test_max_agrees_with_the_definition(self, kernel: Any, stride: Any, padding: Any) -> None:
        x = numbers(2, 3, 7, 6) - 5.0  # negative: a padded zero would win
        expected = pool_by_loops(x, np.max, kernel, kernel if stride is None else stride, padding, -np.inf)
        np.testing.assert_array_equal(MaxPool2D(kernel, stride, padding)(Tensor(x)).data, expected)

    @pytest.mark.parametrize(("kernel", "stride", "padding"), GEOMETRIES)
    def test_mean_agrees_with_the_definition(self, kernel: Any, stride: Any, padding: Any) -> None:
        x = numbers(2, 3, 7, 6)
        steps = kernel if stride is None else stride
        expected = pool_by_loops(x, np.mean, kernel, steps, padding, 0.0)
        np.testing.assert_allclose(AvgPool2D(kernel, stride, padding)(Tensor(x)).data, expected, rtol=1e-12)
        expected = pool_by_loops(x, np.nanmean, kernel, steps, padding, np.nan)
        found = AvgPool2D(kernel, stride, padding, count_include_pad=False)(Tensor(x))
        np.testing.assert_allclose(found.data, expected, rtol=1e-12)

    def test_rows_that_fit_no_window_are_left_out(self) -> None:
        x = numbers(1, 1, 5, 5)
        np.testing.assert_array_equal(
            MaxPool2D(2)(Tensor(x)).data, MaxPool2D(2)(Tensor(x[:, :, :4, :4])).data
        )

    def test_nan_wins(self) -> None:
        x = np.zeros((1, 1, 2, 4))
        x[0, 0, 1, 3] = np.nan
        assert np.isnan(MaxPool2D(2)(Tensor(x)).data).tolist() == [[[[False, True]]]]

    @pytest.mark.parametrize(
        "pool", [MaxPool2D(2), AvgPool2D(2), AvgPool2D(3, 1, 1, count_include_pad=False)]
    )
    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_dtype_is_kept(self, pool: Layer, dtype: str) -> None:
        assert pool(Tensor(np.ones((1, 1, 4, 4), dtype))).dtype == dtype

    @pytest.mark.parametrize("kind", [MaxPool2D, AvgPool2D])
    def test_nothing_to_learn(self, kind: Any) -> None:
        assert kind(2).parameters() == []
        assert kind(2).state_dict() == {}

    @pytest.mark.parametrize("kind", [MaxPool2D, AvgPool2D])
    def test_refusals_name_the_layer(self, kind: Any) -> None:
        name = kind.__name__
        with pytest.raises(ValueError, match=rf"{name} expects the shape \(N, C, H, W\), found \(4, 4\)"):
            kind(2)(Tensor(numbers(4, 4)))
        with pytest.raises(
            ValueError, match=f"{name}: a window that spans 5 x 5 does not fit images of 4 x 4"
        ):
            kind(5)(Tensor(numbers(1, 1, 4, 4)))
        with pytest.raises(TypeError, match=f"{name} expects float images, found dtype int64"):
            kind(2)(Tensor(np.ones((1, 1, 4, 4), np.int64)))
        with pytest.raises(ValueError, match=r"at most half of the window \(3, 3\), found \(2, 2\)"):
            kind(3, padding=2)
        with pytest.raises(ValueError, match="stride must be at least 1"):
            kind(3, stride=0)

    def test_repr(self) -> None:
        assert repr(MaxPool2D(3, 2, 1)) == "MaxPool2D(kernel_size=(3, 3), stride=(2, 2), padding=(1, 1))"
        assert repr(AvgPool2D(2)) == "AvgPool2D(kernel_size=(2, 2), stride=(2, 2))"


class TestBatchNorm2D:
    def test_training_agrees_with_the_paper(self) -> None:
        norm = BatchNorm2D(3, eps=1e-3, dtype=np.float64)
        norm.weight.data, norm.bias.data = numbers(3, seed=1), numbers(3, seed=2)
        x = numbers(4, 3, 5, 6) * 3.0 + 7.0
        mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
        gain, shift = norm.weight.data.reshape(1, 3, 1, 1), norm.bias.data.reshape(1, 3, 1, 1)
        expected = gain * (x - mean) / np.sqrt(variance + 1e-3) + shift
        np.testing.assert_allclose(norm(Tensor(x)).data, expected, rtol=1e-10, atol=1e-12)

    def test_running_estimates_use_the_unbiased_variance(self) -> None:
        norm = BatchNorm2D(2, momentum=0.25, dtype=np.float64)
        first, second = numbers(3, 2, 2, 2), numbers(5, 2, 1, 3, seed=1) + 4.0
        norm(Tensor(first))
        norm(Tensor(second))
        mean = 0.75 * (0.25 * first.mean((0, 2, 3))) + 0.25 * second.mean((0, 2, 3))
        variance = 0.75 * (0.75 + 0.25 * first.var((0, 2, 3), ddof=1)) + 0.25 * second.var((0, 2, 3), ddof=1)
        np.testing.assert_allclose(norm.running_mean, mean, rtol=1e-12)
        np.testing.assert_allclose(norm.running_var, variance, rtol=1e-12)

    def test_in_use_the_estimates_are_constants(self) -> None:
        norm = BatchNorm2D(2, dtype=np.float64)
        norm(Tensor(numbers(4, 2, 3, 3) * 2.0 + 1.0))
        norm.eval()
        state = norm.state_dict()
        x = numbers(3, 2, 4, 4, seed=5)
        together = norm(Tensor(x)).data
        alone = np.concatenate([norm(Tensor(x[i : i + 1])).data for i in range(3)])
        np.testing.assert_array_equal(together, alone)
        mean, variance = norm.running_mean.reshape(1, 2, 1, 1), norm.running_var.reshape(1, 2, 1, 1)
        np.testing.assert_allclose(together, (x - mean) / np.sqrt(variance + 1e-5), rtol=1e-12)
        assert all(np.array_equal(state[name], value) for name, value in norm.state_dict().items())

    def test_in_training_the_batch_decides(self) -> None:
        norm = BatchNorm2D(1, dtype=np.float64)
        x = numbers(4, 1, 3, 3)
        np.testing.assert_allclose(norm(Tensor(100.0 * x + 50.0)).data, norm(Tensor(x)).data, atol=1e-4)

    def test_large_offsets_do_not_cancel(self) -> None:
        x = (np.arange(8) % 2 + 10000.0).astype(np.float32).reshape(8, 1, 1, 1)
        found = BatchNorm2D(1)(Tensor(x)).data
        np.testing.assert_allclose(np.abs(found), 1.0, atol=1e-3)

    def test_a_constant_channel_gives_the_shift(self) -> None:
        norm = BatchNorm2D(1)
        norm.bias.data = np.array([3.0])
        assert np.array_equal(
            norm(Tensor(np.full((2, 1, 2, 2), 5.0, np.float32))).data, np.full((2, 1, 2, 2), 3.0)
        )

    def test_one_number_per_channel_is_an_error_in_training_only(self) -> None:
        norm = BatchNorm2D(2)
        lonely = Tensor(np.ones((1, 2, 1, 1), np.float32))
        with pytest.raises(ValueError, match=r"more than one number per channel, found shape \(1, 2, 1, 1\)"):
            norm(lonely)
        assert norm.eval()(lonely).shape == (1, 2, 1, 1)

    @pytest.mark.parametrize("poison", [np.nan, np.inf])
    @pytest.mark.filterwarnings("ignore:invalid value")
    def test_numbers_that_are_not_finite_leave_the_estimates_alone(self, poison: float) -> None:
        norm = BatchNorm2D(3)
        norm(Tensor(numbers(2, 3, 2, 2, dtype="float32")))
        before = norm.state_dict()
        x = numbers(2, 3, 2, 2, dtype="float32")
        x[1, 2, 0, 0] = poison
        with pytest.raises(ValueError, match=r"not finite in channels \[2\]"):
            norm(Tensor(x))
        assert all(np.array_equal(before[name], value) for name, value in norm.state_dict().items())

    def test_buffers_are_state_and_not_parameters(self) -> None:
        norm = BatchNorm2D(4)
        assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
        assert [name for name, _ in norm.named_buffers()] == ["running_mean", "running_var"]
        norm(Tensor(numbers(2, 4, 3, 3, dtype="float32")))
        other = BatchNorm2D(4)
        other.load_state_dict(norm.state_dict())
        x = Tensor(numbers(2, 4, 3, 3, seed=3, dtype="float32"))
        assert np.array_equal(norm.eval()(x).data, other.eval()(x).data)

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("affine", [True, False])
    def test_dtypes(self, dtype: str, affine: bool) -> None:
        norm = BatchNorm2D(2, affine=affine, dtype=dtype)
        x = Tensor(numbers(2, 2, 3, 3, dtype=dtype))
        assert norm(x).dtype == dtype
        assert norm.eval()(x).dtype == dtype
        assert norm.running_mean.dtype == norm.running_var.dtype == dtype

    def test_without_gain_and_shift(self) -> None:
        norm = BatchNorm2D(2, affine=False, dtype=np.float64)
        x = numbers(3, 2, 4, 4)
        assert norm.parameters() == []
        np.testing.assert_allclose(norm(Tensor(x)).data, BatchNorm2D(2, dtype=np.float64)(Tensor(x)).data)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"channels": 0}, "channels must be at least 1"),
            ({"eps": 0.0}, "eps must be a positive number"),
            ({"eps": math.nan}, "eps must be a positive number"),
            ({"momentum": 1.5}, "momentum must be between 0 and 1"),
            ({"momentum": -0.1}, "momentum must be between 0 and 1"),
        ],
    )
    def test_bad_settings(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            BatchNorm2D(**{"channels": 2, **options})

    def test_refusals_name_the_layer(self) -> None:
        with pytest.raises(ValueError, match=r"BatchNorm2D expects 2 channels \(axis 1\), found 3"):
            BatchNorm2D(2)(Tensor(numbers(1, 3, 4, 4)))
        with pytest.raises(ValueError, match="BatchNorm2D expects at least one image"):
            BatchNorm2D(2)(Tensor(np.zeros((0, 2, 4, 4))))
        with pytest.raises(TypeError, match="float dtype, found int64"):
            BatchNorm2D(2, dtype=np.int64)

    def test_repr(self) -> None:
        assert repr(BatchNorm2D(2, affine=False)) == "BatchNorm2D(2, eps=1e-05, momentum=0.1, affine=False)"


class TestFlatten:
    @FEW
    @given(shape=st.lists(st.integers(1, 3), min_size=2, max_size=5), start=st.integers(0, 1))
    def test_order_and_shape(self, shape: list[int], start: int) -> None:
        x = numbers(*shape)
        np.testing.assert_array_equal(Flatten(start)(Tensor(x)).data, x.reshape(*shape[:start], -1))

    def test_an_empty_batch_stays_empty(self) -> None:
        assert Flatten()(Tensor(np.zeros((0, 2, 3)))).shape == (0, 6)

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"Flatten expects more than 1 axes, found shape \(3,\)"):
            Flatten()(Tensor(np.zeros(3)))
        with pytest.raises(TypeError, match="Flatten expects a Tensor, found list"):
            Flatten()([1.0])
        with pytest.raises(ValueError, match="start must be at least 0"):
            Flatten(-1)


class TestRecord:
    """Every step passes the door, so that whoever records can differentiate it."""

    @pytest.mark.parametrize(
        "layer",
        [
            Conv2D(2, 3, 3, padding=1, rng=0),
            MaxPool2D(2, padding=1),
            AvgPool2D(2),
            AvgPool2D(2, padding=1, count_include_pad=False),
            BatchNorm2D(2),
            BatchNorm2D(2).eval(),
            Flatten(),
        ],
        ids=repr,
    )
    def test_a_chain_of_records_leads_from_the_output_to_the_input_and_all_parameters(
        self, layer: Layer
    ) -> None:
        made_from: dict[int, tuple[Tensor, ...]] = {}
        kept: list[Tensor] = []  # alive, so that no id is used twice

        class Notes:
            def record(self, primitive: Any, inputs: Any, output: Tensor, params: Any) -> None:
                made_from[id(output)] = inputs
                kept.append(output)

            def backward(self, tensor: Any, gradient: Any) -> None:
                raise NotImplementedError

        set_recorder(Notes())
        x = Tensor(numbers(2, 2, 4, 4, dtype="float32"))
        waiting, reached = [layer(x)], set()
        while waiting:
            tensor = waiting.pop()
            reached.add(id(tensor))
            waiting.extend(made_from.get(id(tensor), ()))
        assert id(x) in reached
        assert {id(parameter) for parameter in layer.parameters()} <= reached


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: BatchNorm2D(2, eps=None), TypeError, "eps must be a number, found None"),
        (lambda: BatchNorm2D(2, momentum="slow"), TypeError, "momentum must be a number, found 'slow'"),
        (
            lambda: BatchNorm2D(2, dtype="abc"),
            TypeError,
            "a dtype is expected, such as np.float32, found 'abc'",
        ),
        (lambda: BatchNorm2D(2, dtype=int), TypeError, "BatchNorm2D needs a float dtype, found int64"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
