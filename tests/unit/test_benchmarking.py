"""Unit tests of the benchmarking module: a clock moved by hand, and counts done by hand."""

import itertools
import math
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import GELU, LeakyReLU, LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from tinytorch.core.attention import Embedding, MultiHeadAttention, causal_mask
from tinytorch.core.benchmarking import (
    STANDARD_FLOP_RULES,
    Comparison,
    ConfidenceInterval,
    FlopRules,
    Measurement,
    ModelCost,
    Roofline,
    Timer,
    format_quantity,
    measure_roofline,
    measured_peak_bytes,
    median_interval,
    model_cost,
    ratio_interval,
    text_table,
)
from tinytorch.core.compression import quantize_linears
from tinytorch.core.dense import Sequential
from tinytorch.core.kernels import (
    KERNEL_GRADIENTS,
    blocked_matmul,
    col2im,
    im2col,
    linear_relu,
    loop_matmul,
    softmax_cross_entropy,
)
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import PRIMITIVES, Primitive, Tensor, apply, get_recorder, set_recorder

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=25)


def tensor(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


class HandMovedClock:
    """Stands still unless a task moves it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.log: list[str] = []

    def __call__(self) -> float:
        return self.now

    def task(self, name: str, *seconds: float) -> Callable[[], str]:
        """Return a function whose calls take the given times, over and over."""
        times = itertools.cycle(seconds)

        def run() -> str:
            self.log.append(name)
            self.now += next(times)
            return name

        return run


@pytest.fixture
def clock() -> HandMovedClock:
    return HandMovedClock()


@pytest.fixture(autouse=True)
def same_recorder_after_the_test() -> Iterator[None]:
    before = get_recorder()
    yield
    assert get_recorder() is before


class TestFormatQuantity:
    @pytest.mark.parametrize(
        ("value", "unit", "text"),
        [
            (0.0123, "s", "12.3 ms"),
            (1.5e-6, "s", "1.50 us"),
            (2.5e-8, "s", "25.0 ns"),
            (3e-12, "s", "0.00 ns"),
            (1.0, "s", "1.00 s"),
            (999.4, "B", "999 B"),
            (999.9, "B", "1.00 kB"),
            (9.999e-4, "s", "1.00 ms"),
            (123456789, "FLOP", "123 MFLOP"),
            (2e13, "", "20.0 T"),
            (42, "", "42"),
            (7, "B", "7 B"),
            (0, "B", "0 B"),
            (0.0, "", "0"),
            (-0.5, "s", "-500 ms"),
            (math.inf, "s", "inf s"),
            (np.float32(2.0), "s", "2.00 s"),
        ],
    )
    def test_values(self, value: float, unit: str, text: str) -> None:
        assert format_quantity(value, unit) == text

    @REPEATABLE
    @given(st.floats(1e-9, 9e14))
    def test_reads_back_to_three_digits(self, value: float) -> None:
        number, _, prefix = format_quantity(value).partition(" ")
        scale = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}[prefix]
        assert float(number) * scale == pytest.approx(value, rel=5.1e-3)

    @pytest.mark.parametrize("value", ["1", None, True])
    def test_only_numbers(self, value: Any) -> None:
        with pytest.raises(TypeError, match=r"a quantity must be a number, found"):
            format_quantity(value)


class TestTextTable:
    def test_plain(self) -> None:
        table = text_table(["name", "n"], [["a", "1"], ["long name", "1000"]])
        assert table == "name          n\n---------  ----\na             1\nlong name  1000"

    def test_markdown(self) -> None:
        table = text_table(["name", "n", "why"], [["a|b", "1", "x\ny"]], style="markdown", left=(0, 2))
        assert table == "| name |   n | why |\n| ---- | --: | --- |\n| a\\|b |   1 | x y |"

    def test_no_rows(self) -> None:
        assert text_table(["name"], []) == "name\n----"

    def test_mistakes_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"every row needs 2 \(at least 1\) cells, found \[2, 1\]"):
            text_table(["a", "b"], [["1"]])
        with pytest.raises(ValueError, match="every row needs 0"):
            text_table([], [])
        with pytest.raises(ValueError, match="'plain' or 'markdown', found 'html'"):
            text_table(["a"], [], style="html")  # type: ignore[arg-type]


class TestIntervals:
    def test_the_interval_of_equal_times_is_a_point(self) -> None:
        assert median_interval([2.0] * 8) == ConfidenceInterval(2.0, 2.0, 0.95)
        assert ratio_interval([3.0] * 8, [2.0] * 8) == ConfidenceInterval(1.5, 1.5, 0.95)

    def test_ends_belong_to_the_interval(self) -> None:
        interval = ConfidenceInterval(0.9, 1.0, 0.95)
        assert interval.contains(1.0)
        assert interval.contains(0.9)
        assert not interval.contains(1.0001)
        assert not interval.contains(0.8999)

    def test_the_exact_bootstrap_distribution_of_seven(self) -> None:
        # P(resampled median <= j-th smallest) = P(at least 4 of 7 draws are among the j smallest).
        def below(j: int) -> float:
            return sum(math.comb(7, k) * (j / 7) ** k * (1 - j / 7) ** (7 - k) for k in range(4, 8))

        times = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
        for level in (0.5, 0.8, 0.95):
            low = next(j for j in range(1, 8) if below(j) >= (1 - level) / 2)
            high = next(j for j in range(1, 8) if below(j) >= (1 + level) / 2)
            found = median_interval(times, level, resamples=20_000, seed=1)
            assert (found.low, found.high) == (low, high)

    def test_it_holds_the_true_median_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        times = 1.0 + rng.exponential(size=(400, 25))
        hits = [
            median_interval(row, 0.9, 500, seed).contains(1.0 + math.log(2.0))
            for seed, row in enumerate(times)
        ]
        assert 0.86 <= np.mean(hits) <= 0.96

    def test_no_difference_is_found_as_rarely_as_it_says(self) -> None:
        rng = np.random.default_rng(1)
        one, other = 1.0 + rng.exponential(size=(2, 400, 25))
        alarms = [
            not ratio_interval(a, b, 0.9, 500, seed).contains(1.0)
            for seed, (a, b) in enumerate(zip(one, other, strict=True))
        ]
        assert 0.02 <= np.mean(alarms) <= 0.12

    def test_the_seed_decides(self) -> None:
        times = np.random.default_rng(0).uniform(1.0, 2.0, 30)
        assert median_interval(times, seed=3) == median_interval(times, seed=3)
        found = {median_interval(times, resamples=100, seed=seed) for seed in range(10)}
        assert len(found) > 1

    def test_a_higher_level_is_wider(self) -> None:
        times = np.random.default_rng(0).uniform(1.0, 2.0, 30)
        narrow, wide = median_interval(times, 0.5), median_interval(times, 0.99)
        assert wide.low < narrow.low < np.median(times) < narrow.high < wide.high
        assert wide.level == 0.99

    def test_rounds_are_drawn_as_pairs(self) -> None:
        drift = np.linspace(1.0, 3.0, 21)
        assert ratio_interval(1.5 * drift, drift).low == pytest.approx(1.5)
        assert ratio_interval(1.5 * drift, drift).high == pytest.approx(1.5)
        broken = ratio_interval(1.5 * drift[::-1], drift)  # the same times, wrongly paired
        assert broken.low < 1.3 < 1.7 < broken.high

    @REPEATABLE
    @given(st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=20), st.floats(0.01, 100.0))
    def test_a_change_of_unit_changes_nothing(self, times: list[float], scale: float) -> None:
        one, scaled = median_interval(times), median_interval([scale * time for time in times])
        assert scaled.low == pytest.approx(scale * one.low, rel=1e-9)
        assert scaled.high == pytest.approx(scale * one.high, rel=1e-9)
        assert min(times) <= one.low <= one.high <= max(times)

    @pytest.mark.parametrize(("level", "needed"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
    def test_too_few_rounds_are_refused(self, level: float, needed: int) -> None:
        median_interval([1.0] * needed, level)
        with pytest.raises(
            ValueError,
            match=f"at least {needed} rounds are needed for a level of {level}, found {needed - 1}",
        ):
            median_interval([1.0] * (needed - 1), level)

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            ([], r"a row of at least one time, found shape \(0,\)"),
            ([[1.0]], r"found shape \(1, 1\)"),
            ([1.0] * 6 + [0.0], "positive numbers of seconds, found 0.0"),
            ([1.0] * 6 + [-1.0], "found -1.0"),
            ([1.0] * 6 + [math.nan], "found nan"),
            ([1.0] * 6 + [math.inf], "found inf"),
        ],
    )
    def test_what_is_no_time_is_refused(self, times: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            median_interval(times)
        with pytest.raises(ValueError, match=message):
            Measurement(times)

    def test_other_mistakes_are_named(self) -> None:
        with pytest.raises(ValueError, match="equally many rounds are expected, found 6 and 7"):
            ratio_interval([1.0] * 6, [1.0] * 7)
        with pytest.raises(ValueError, match="level must be between 0 and 1, found 1"):
            median_interval([1.0] * 6, 1)
        with pytest.raises(ValueError, match="resamples must be at least 100, found 99"):
            median_interval([1.0] * 6, resamples=99)


class TestMeasurement:
    def test_statistics(self) -> None:
        found = Measurement((4.0, 1.0, 2.0, 100.0, 3.0))
        assert (found.median, found.minimum, found.interquartile_range) == (3.0, 1.0, 2.0)
        assert Measurement((1.0, 2.0)).median == 1.5

    def test_throughput_is_by_the_median(self) -> None:
        found = Measurement((0.25, 0.5, 9.0))
        assert found.throughput(32) == 64.0
        assert found.throughput() == 2.0
        assert found.throughput(0) == 0.0
        for amount in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="amount must be a number of at least 0"):
                found.throughput(amount)

    def test_interval_is_that_of_the_median(self) -> None:
        times = tuple(np.random.default_rng(0).uniform(1.0, 2.0, 30))
        assert Measurement(times).interval(0.9, seed=4) == median_interval(times, 0.9, seed=4)

    def test_calls_are_counted_from_one(self) -> None:
        with pytest.raises(ValueError, match="calls must be at least 1, found 0"):
            Measurement((1.0,), calls=0)


class TestTimer:
    def test_warm_up_calls_are_made_and_not_counted(self, clock: HandMovedClock) -> None:
        slow_at_first = itertools.chain([50.0, 20.0], itertools.repeat(1.0))

        def function() -> None:
            clock.log.append("f")
            clock.now += next(slow_at_first)

        found = Timer(rounds=4, warmup=2, clock=clock).measure(function)
        assert found == Measurement((1.0,) * 4, calls=1)
        assert len(clock.log) == 2 + 1 + 4

    def test_without_warm_up_the_first_call_only_finds_the_number_of_calls(
        self, clock: HandMovedClock
    ) -> None:
        Timer(rounds=2, warmup=0, clock=clock).measure(clock.task("f", 1.0))
        assert len(clock.log) == 1 + 2

    @pytest.mark.parametrize(
        ("each", "calls"), [(1.0, 1), (0.5, 2), (0.25, 4), (0.1875, 8), (0.0078125, 128)]
    )
    def test_short_calls_are_made_in_batches(self, clock: HandMovedClock, each: float, calls: int) -> None:
        found = Timer(rounds=3, warmup=0, round_seconds=1.0, clock=clock).measure(clock.task("f", each))
        assert (found.calls, found.seconds) == (calls, (each,) * 3)
        assert len(clock.log) == (2 * calls - 1) + 3 * calls

    def test_zero_round_seconds_means_single_calls(self, clock: HandMovedClock) -> None:
        assert Timer(rounds=2, round_seconds=0.0, clock=clock).measure(clock.task("f", 1e-6)).calls == 1

    def test_a_round_is_the_mean_of_its_calls(self, clock: HandMovedClock) -> None:
        found = Timer(rounds=2, warmup=0, round_seconds=2.5, clock=clock).measure(clock.task("f", 1.0, 2.0))
        assert (found.calls, found.seconds) == (2, (1.5, 1.5))

    def test_turns_go_back_and_forth(self, clock: HandMovedClock) -> None:
        tasks = {name: clock.task(name, 1.0) for name in "abc"}
        Timer(rounds=6, warmup=2, clock=clock).compare(tasks)
        assert "".join(clock.log) == "aabbcc" + "abc" + "abccba" * 3

    def test_each_function_has_its_own_times_and_calls(self, clock: HandMovedClock) -> None:
        tasks = {"slow": clock.task("slow", 2.0), "fast": clock.task("fast", 0.25)}
        found = Timer(rounds=6, round_seconds=1.0, clock=clock).compare(tasks).measurements
        assert found["slow"] == Measurement((2.0,) * 6, 1)
        assert found["fast"] == Measurement((0.25,) * 6, 4)

    def test_level_and_seed_go_into_the_comparison(self, clock: HandMovedClock) -> None:
        found = Timer(rounds=8, clock=clock).compare({"a": clock.task("a", 1.0)}, level=0.9, seed=5)
        assert (found.level, found.seed, found.baseline) == (0.9, 5, "a")

    def test_a_clock_that_stands_still_is_noticed(self) -> None:
        with pytest.raises(ValueError, match="the clock did not move during 1048576 calls"):
            Timer(clock=lambda: 7.0).measure(int)

    def test_a_clock_that_goes_back_is_noticed(self) -> None:
        readings = itertools.count(0.0, -1.0)
        with pytest.raises(ValueError, match=r"the clock went back by 1\.0 seconds"):
            Timer(clock=lambda: next(readings)).measure(int)

    def test_results_are_compared_first_if_wanted(self, clock: HandMovedClock) -> None:
        functions = {"right": lambda: np.ones(3), "wrong": lambda: np.array([1.0, 1.0, 1.1])}
        with pytest.raises(ValueError, match=r"wrong differs from right by 0\.1"):
            Timer(rounds=6, clock=clock).compare(functions, tolerance=1e-3)
        readings = itertools.count(0.0)
        timer = Timer(rounds=6, clock=lambda: float(next(readings)))
        assert timer.compare(functions, tolerance=0.2).ratio("wrong") == 1.0

    def test_mistakes_are_named(self, clock: HandMovedClock) -> None:
        with pytest.raises(ValueError, match="at least one function is needed, found none"):
            Timer(clock=clock).compare({})
        with pytest.raises(TypeError, match="'b' must be a function without arguments, found 3"):
            Timer(clock=clock).compare({"b": 3})  # type: ignore[dict-item]
        with pytest.raises(ValueError, match="at least 6 rounds are needed"):
            Timer(rounds=5, clock=clock).compare({"a": clock.task("a", 1.0)})
        assert not clock.log  # before anything was run
        with pytest.raises(ValueError, match="rounds must be at least 1, found 0"):
            Timer(rounds=0)
        with pytest.raises(ValueError, match="warmup must be at least 0, found -1"):
            Timer(warmup=-1)
        with pytest.raises(TypeError, match=r"rounds must be an int, found 2\.0"):
            Timer(rounds=2.0)  # type: ignore[arg-type]
        for seconds in (-1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="round_seconds must be a number of at least 0"):
                Timer(round_seconds=seconds)

    def test_the_real_clock_moves(self) -> None:
        found = Timer(rounds=3, round_seconds=1e-4).measure(lambda: sum(range(50)))
        assert found.calls > 1
        assert found.minimum > 0.0


def compared(*ratios: float, spread: float = 0.0) -> Comparison:
    """Measurements whose medians have the given ratios to the first one."""
    noise = 1.0 + spread * np.random.default_rng(0).uniform(-1.0, 1.0, (1 + len(ratios), 21))
    names = ["base", *(f"v{i}" for i in range(len(ratios)))]
    times = np.array([1.0, *ratios])[:, None] * noise
    return Comparison({name: Measurement(tuple(row)) for name, row in zip(names, times, strict=True)})


class TestComparison:
    def test_verdicts(self) -> None:
        found = compared(0.5, 2.0, 1.0)
        assert [found.verdict(name) for name in found.measurements] == [
            "baseline",
            "faster",
            "slower",
            "no difference shown",
        ]
        assert [found.ratio(name) for name in found.measurements] == [1.0, 0.5, 2.0, 1.0]

    def test_a_difference_below_the_noise_is_not_shown(self) -> None:
        noisy, quiet = compared(1.02, spread=0.3), compared(1.02, spread=0.001)
        assert noisy.interval("v0").contains(1.0)
        assert noisy.verdict("v0") == "no difference shown"
        assert quiet.verdict("v0") == "slower"

    def test_level_and_seed_are_used(self) -> None:
        found = compared(1.1, spread=0.2).measurements
        for level, seed in ((0.5, 0), (0.99, 3)):
            expected = ratio_interval(found["v0"].seconds, found["base"].seconds, level, seed=seed)
            assert Comparison(found, level, seed).interval("v0") == expected

    def test_tables(self) -> None:
        assert compared(0.5, 1.0).table().splitlines() == [
            "name  median  IQR  fastest  ratio    95% interval  verdict",
            "----  ------  ---  -------  -----  --------------  -------------------",
            "base  1.00 s  0 s   1.00 s                         baseline",
            "v0    500 ms  0 s   500 ms  0.500  0.500 to 0.500  faster",
            "v1    1.00 s  0 s   1.00 s  1.000  1.000 to 1.000  no difference shown",
        ]
        lines = compared(0.5).table("markdown").splitlines()
        assert lines[1] == "| ---- | -----: | --: | ------: | ----: | -------------: | -------- |"
        assert lines[3].startswith("| v0   | 500 ms |")

    def test_mistakes_are_named(self) -> None:
        with pytest.raises(ValueError, match=r"no measurement named 'x': there are \['base', 'v0'\]"):
            compared(1.0).verdict("x")
        with pytest.raises(ValueError, match=r"equally many rounds are expected, found {'a': 1, 'b': 2}"):
            Comparison({"a": Measurement((1.0,)), "b": Measurement((1.0, 1.0))})
        with pytest.raises(ValueError, match=r"are expected, found \{\}"):
            Comparison({})
        with pytest.raises(ValueError, match="at least 6 rounds"):
            Comparison({"a": Measurement((1.0,))}).verdict("a")


def own(cost: ModelCost, name: str = "") -> Any:
    """Return the entry of a layer."""
    return next(layer for layer in cost.layers if layer.name == name)


LAYERS: list[tuple[str, Callable[..., Any], tuple[int, ...], int]] = [
    ("linear", Linear(3, 5), (4, 3), 2 * 4 * 3 * 5 + 4 * 5),
    ("linear, no bias", Linear(3, 5, bias=False), (2, 4, 3), 2 * 8 * 3 * 5),
    ("quantized linear", quantize_linears(Linear(3, 5)), (4, 3), 2 * 4 * 3 * 5 + 2 * 4 * 5),
    ("conv", Conv2D(2, 3, (3, 2)), (4, 2, 6, 5), 4 * 3 * (4 * 4) * (2 * 2 * 3 * 2 + 1)),
    (
        "conv, stride",
        Conv2D(2, 3, 3, stride=2, padding=1, bias=False),
        (4, 2, 7, 5),
        4 * 3 * (4 * 3) * 2 * 2 * 9,
    ),
    ("conv, dilation", Conv2D(1, 2, 3, dilation=2, bias=False), (1, 1, 7, 7), 2 * (3 * 3) * 2 * 9),
    ("max pool", MaxPool2D(2), (2, 3, 6, 8), 2 * 3 * (3 * 4) * 3),
    ("max pool, overlapping", MaxPool2D(3, stride=1), (1, 1, 5, 5), 9 * 8),
    ("avg pool", AvgPool2D((2, 3)), (2, 3, 4, 6), 2 * 3 * (2 * 2) * 6),
    ("layer norm", LayerNorm(6), (2, 5, 6), 10 * (7 * 6 + 2)),
    ("layer norm, plain", LayerNorm(6, affine=False), (10, 6), 10 * (5 * 6 + 2)),
    ("batch norm, training", BatchNorm2D(3), (2, 3, 4, 5), 7 * 2 * 3 * 20 + 3 * 3),
    ("batch norm, in use", BatchNorm2D(3).eval(), (2, 3, 4, 5), 3 * 2 * 3 * 20 + 3 * 3),
    ("dropout, in use", Dropout(0.5).eval(), (3, 4), 0),
    ("dropout, training", Dropout(0.5, rng=0), (3, 4), 12 + 12),
    ("flatten", Flatten(), (2, 3, 4), 0),
    ("relu", ReLU(), (3, 4), 12),
    ("leaky relu", LeakyReLU(), (3, 4), 12),
    ("sigmoid", Sigmoid(), (3, 4), 4 * 12),
    ("tanh", Tanh(), (3, 4), 12),
    ("gelu", GELU(), (3, 4), 7 * 12),
    ("softmax", Softmax(), (3, 4), 3 * (5 * 4 - 2)),
    ("log softmax", LogSoftmax(), (3, 4), 3 * (5 * 4 - 2 + 1)),
]


class TestFlops:
    @pytest.mark.parametrize(
        ("layer", "shape", "flops"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS]
    )
    def test_hand_counts(self, layer: Callable[..., Any], shape: tuple[int, ...], flops: int) -> None:
        assert model_cost(layer, tensor(*shape)).flops == flops

    @REPEATABLE
    @given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3))
    def test_self_attention(self, n: int, t: int, heads: int, width: int) -> None:
        e = heads * width
        cost = model_cost(MultiHeadAttention(e, heads, rng=0), tensor(n, t, e))
        assert own(cost).flops == 4 * n * t * t * e + n * t * e + n * heads * t * (5 * t - 2)
        for name in ("query", "key", "value", "output"):
            assert own(cost, name).flops == 2 * n * t * e * e + n * t * e
        assert cost.flops == 8 * n * t * e * e + 5 * n * t * e + 4 * n * t * t * e + n * heads * t * (
            5 * t - 2
        )

    def test_a_mask_is_passed_on_and_booleans_are_free(self) -> None:
        layer, x = MultiHeadAttention(4, 2, rng=0), tensor(1, 3, 4)
        plain, masked = model_cost(layer, x), model_cost(layer, x, mask=causal_mask(3))
        assert (
            masked.flops == plain.flops + 6
        )  # the divisor of each row and head: plus 1 if it may look nowhere

    @pytest.mark.parametrize(
        ("function", "shapes", "flops"),
        [
            (loop_matmul, [(2, 3), (3, 4)], 2 * 2 * 3 * 4),
            (lambda a, b: blocked_matmul(a, b, 2), [(2, 3), (3, 4)], 2 * 2 * 3 * 4),
            (linear_relu, [(2, 3), (3, 4), (4,)], 2 * 2 * 3 * 4 + 2 * 8),
            (lambda x: im2col(x, 2), [(1, 2, 3, 3)], 0),
            (lambda c: col2im(c, (1, 1, 3, 3), 2), [(1, 4, 4)], 16),
            (lambda z: softmax_cross_entropy(z, Tensor([1, 0, 2, 1, 0])), [(5, 3)], 5 * (4 * 3 + 1)),
            (lambda a, b: a @ b, [(3,), (3,)], 6),
            (lambda a: a**2, [(3,)], 3),
            (lambda a: a.clip(0.0, 1.0), [(3,)], 6),
            (lambda a: a.sum(), [(3, 4)], 11),
            (lambda a: -a.max(axis=0), [(3, 4)], 8 + 4),
            (lambda a: a.mean(axis=1), [(3, 4)], 12),
        ],
    )
    def test_operations(
        self, function: Callable[..., Tensor], shapes: Sequence[tuple[int, ...]], flops: int
    ) -> None:
        assert model_cost(function, *(tensor(*shape) for shape in shapes)).flops == flops

    def test_integers_are_free(self) -> None:
        assert model_cost(lambda x: x * 2 + x.sum(), Tensor([[1, 2], [3, 4]])).flops == 0

    def test_there_is_a_rule_for_every_operation(self) -> None:
        assert set(STANDARD_FLOP_RULES.operations) == set(PRIMITIVES) | set(KERNEL_GRADIENTS)

    def test_a_layer_that_is_called_twice_counts_twice_but_holds_its_parameters_once(self) -> None:
        shared = Linear(4, 4, rng=0)
        cost = model_cost(Sequential(shared, ReLU(), shared), tensor(2, 4))
        assert own(cost, "0").calls == 2
        assert own(cost, "0").flops == 2 * (2 * 2 * 16 + 8)
        assert cost.flops == 2 * (2 * 2 * 16 + 8) + 8
        assert cost.parameters == 20

    def test_the_size_of_the_batch_counts(self) -> None:
        one, ten = (model_cost(Linear(3, 5), tensor(n, 3)).flops for n in (1, 10))
        assert ten == 10 * one


class Detour(Layer):
    """Computes with NumPy alone."""

    def forward(self, x: Tensor) -> Tensor:
        return Tensor(np.fft.fft(x.numpy()).real.astype(np.float32))


class Detours(Detour):
    """Inherits the way it computes."""


class OwnWay(Detour):
    """Has a way of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2.0


CUBE = Primitive("cube", lambda x: x * x * x)


class TestUnknown:
    def test_an_operation_without_a_rule(self) -> None:
        net = Sequential(Linear(3, 4, rng=0), lambda x: apply(CUBE, x))
        cost = model_cost(net, tensor(2, 3))
        assert cost.unknown == {"": ("no rule for the operation 'cube'",)}
        assert own(cost).flops is None
        assert own(cost).intensity is None
        assert own(cost, "0").flops == 56
        assert cost.known_flops == 56
        with pytest.raises(
            ValueError, match=r"not all known \(\(model\): no rule for the operation 'cube'\): add a rule"
        ):
            _ = cost.flops
        with pytest.raises(ValueError, match="not all known"):
            _ = cost.intensity

    def test_a_result_from_nowhere_is_charged_to_the_layer_that_made_it(self) -> None:
        cost = model_cost(Sequential(Sequential(Detour()), Linear(3, 4, rng=0)), tensor(2, 3))
        assert cost.unknown == {"0.0": ("the result was not computed by tensor operations",)}

    def test_a_result_that_is_no_tensor(self) -> None:
        assert list(model_cost(lambda x: x.numpy(), tensor(3)).unknown) == [""]

    @pytest.mark.parametrize(
        "model",
        [
            lambda x: x,
            lambda x: x.reshape(-1).detach(),
            lambda x: {"a": (x + 1.0, [x])},
            Sequential(),
            Embedding(5, 2, rng=0),
        ],
    )
    def test_known_results_raise_no_alarm(self, model: Callable[..., Any]) -> None:
        x = Tensor([[1, 2]]) if isinstance(model, Embedding) else tensor(2, 3)
        assert model_cost(model, x).unknown == {}

    def test_a_parameter_is_no_result_from_nowhere(self) -> None:
        class Constant(Layer):
            def __init__(self) -> None:
                self.value = Parameter([1.0, 2.0])

            def forward(self, x: Tensor) -> Tensor:
                return self.value

        assert model_cost(Constant(), tensor(2)).flops == 0

    def test_a_rule_for_an_operation(self) -> None:
        rules = STANDARD_FLOP_RULES.with_operation("cube", lambda inputs, output, params: 2 * output.size)
        assert model_cost(lambda x: apply(CUBE, x), tensor(2, 3), rules=rules).flops == 12
        assert "cube" not in STANDARD_FLOP_RULES.operations
        assert model_cost(lambda x: apply(CUBE, x), tensor(2, 3)).unknown

    def test_a_rule_for_a_layer_covers_all_that_happens_in_it(self) -> None:
        rules = STANDARD_FLOP_RULES.with_layer(
            Sequential, lambda layer, inputs, output: 1000 + inputs[0].size + output.size
        )
        net = Sequential(Detour(), Linear(3, 4, rng=0), lambda x: apply(CUBE, x))
        cost = model_cost(net, tensor(2, 3), rules=rules)
        assert cost.flops == 1000 + 6 + 8
        assert [layer.flops for layer in cost.layers] == [1014, 0, 0]

    def test_a_rule_in_a_ruled_layer_is_not_added(self) -> None:
        rules = STANDARD_FLOP_RULES.with_layer(Sequential, lambda *_: 100).with_layer(Linear, lambda *_: 7)
        assert model_cost(Sequential(Linear(3, 4)), tensor(2, 3), rules=rules).flops == 100
        assert model_cost(Linear(3, 4), tensor(2, 3), rules=rules).flops == 7

    def test_a_rule_holds_for_subclasses_that_compute_alike(self) -> None:
        rules = STANDARD_FLOP_RULES.with_layer(Detour, lambda layer, inputs, output: 5)
        assert model_cost(Detours(), tensor(3), rules=rules).flops == 5
        assert rules.layer_rule(OwnWay()) is None
        assert Detour not in STANDARD_FLOP_RULES.layers

    def test_rules_cannot_be_changed(self) -> None:
        with pytest.raises(TypeError):
            STANDARD_FLOP_RULES.operations["add"] = lambda *_: 0  # type: ignore[index]
        with pytest.raises(AttributeError):
            STANDARD_FLOP_RULES.layers = {}  # type: ignore[misc]

    def test_bad_rules_are_named(self) -> None:
        with pytest.raises(
            TypeError, match="the rule for cube must be a function that returns FLOPs, found 3"
        ):
            STANDARD_FLOP_RULES.with_operation("cube", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a class of layers is expected, found <class 'int'>"):
            STANDARD_FLOP_RULES.with_layer(int, lambda *_: 0)
        for returned, error, message in (
            (-1, ValueError, "at least 0, found -1"),
            (1.5, TypeError, r"an int, found 1\.5"),
        ):
            rules = STANDARD_FLOP_RULES.with_operation("add", lambda *_, returned=returned: returned)
            with pytest.raises(error, match=f"FLOPs by the rule for add must be {message}"):
                model_cost(lambda x: x + x, tensor(2), rules=rules)

    def test_rules_from_nothing(self) -> None:
        assert model_cost(lambda x: x + x, tensor(2), rules=FlopRules({})).unknown


class TestTheModelIsLeftAlone:
    def test_running_means_random_numbers_and_parameters(self) -> None:
        norm, dropout = BatchNorm2D(2), Dropout(0.5, rng=0)
        net, twin = Sequential(norm, dropout), Sequential(BatchNorm2D(2), Dropout(0.5, rng=0))
        x = tensor(2, 2, 3, 3)
        means = norm.running_mean
        model_cost(net, x)
        assert norm.running_mean is means
        np.testing.assert_array_equal(net(x).numpy(), twin(x).numpy())
        assert "forward" not in vars(norm)

    def test_nothing_is_recorded_and_the_old_recorder_comes_back(self) -> None:
        net = Linear(3, 4, rng=0)
        net(tensor(2, 3))
        before = get_recorder()
        model_cost(net, tensor(2, 3))
        assert get_recorder() is before
        with pytest.raises(ValueError, match=r"expects an input of shape"):
            model_cost(net, tensor(2, 4))
        assert get_recorder() is before

    def test_a_backward_pass_is_refused(self) -> None:
        with pytest.raises(RuntimeError, match=r"a call of backward\(\) in it"):
            model_cost(lambda x: (x * x).sum().backward(), tensor(3))

    def test_other_threads_are_not_counted_and_keep_their_recorder(self) -> None:
        heard = []

        class Listener:
            def record(self, primitive: Primitive, inputs: Any, output: Any, params: Any) -> None:
                heard.append(primitive.name)

            def backward(self, tensor: Any, gradient: Any) -> None:
                raise NotImplementedError

        def model(x: Tensor) -> Tensor:
            other = threading.Thread(target=lambda: x.exp())
            other.start()
            other.join()
            return x + 1.0

        previous = set_recorder(Listener())
        try:
            assert model_cost(model, tensor(5)).flops == 5
        finally:
            set_recorder(previous)
        assert heard == ["exp"]

    @pytest.mark.parametrize("model", [Linear, 3, None])
    def test_what_is_no_model(self, model: Any) -> None:
        with pytest.raises(TypeError, match="a layer or function is expected, found"):
            model_cost(model, tensor(2))


class TestBytes:
    def test_parameters_and_buffers_lie_with_the_layer_that_holds_them(self) -> None:
        class Odd(Layer):
            def __init__(self) -> None:
                self.weights = [Parameter(np.zeros(3)), Parameter(np.zeros((2, 2)))]
                self.inner = BatchNorm2D(4, dtype=np.float64)

            def forward(self, x: Tensor) -> Tensor:
                return x

        cost = model_cost(Odd(), tensor(1))
        assert (own(cost).parameters, own(cost).parameter_bytes, own(cost).buffer_bytes) == (7, 56, 0)
        inner = own(cost, "inner")
        assert (inner.parameters, inner.parameter_bytes, inner.buffer_bytes, inner.calls) == (8, 64, 64, 0)
        assert (cost.parameters, cost.parameter_bytes, cost.buffer_bytes) == (15, 120, 64)
        assert "never called: inner" in cost.table()

    def test_activations_are_new_arrays(self) -> None:
        def model(x: Tensor) -> Tensor:
            a = x + x  # 6 floats
            b = a.reshape(3, 2).T  # views
            return b.sum(axis=0)  # 3 floats

        cost = model_cost(model, tensor(2, 3))
        assert cost.activation_bytes == 4 * (6 + 3)
        assert cost.bytes_moved == 4 * ((6 + 6 + 6) + (6 + 3))
        assert cost.intensity == pytest.approx((6 + 3) / 108)

    def test_a_window_view_counts_what_is_stored(self) -> None:
        cost = model_cost(lambda x: x.windows(2).reshape(-1), tensor(1, 1, 3, 3))
        assert cost.activation_bytes == 4 * 16
        assert cost.bytes_moved == 4 * (9 + 16)
        assert cost.flops == 0

    def test_a_slice_counts_what_is_read(self) -> None:
        assert model_cost(lambda x: x[:2].exp(), tensor(100)).bytes_moved == 4 * (2 + 2)

    def test_a_broadcast_view_counts_what_is_stored(self) -> None:
        cost = model_cost(lambda x: x.broadcast_to((50, 4)).exp(), tensor(4))
        assert cost.bytes_moved == 4 * (4 + 200)

    def test_the_dtype_counts(self) -> None:
        net = Linear(3, 5, dtype=np.float64, bias=False)
        cost = model_cost(net, tensor(2, 3, dtype=np.float64))
        assert (cost.parameter_bytes, cost.activation_bytes, cost.bytes_moved) == (120, 80, 8 * (6 + 15 + 10))

    def test_the_peak_is_what_lives_at_once(self) -> None:
        def chain(x: Tensor) -> Tensor:
            for _ in range(10):
                x = x.tanh()
            return x

        def keeper(x: Tensor) -> list[Tensor]:
            kept = [x.tanh()]
            for _ in range(9):
                kept.append(kept[-1].tanh())
            return kept

        assert model_cost(chain, tensor(100)).peak_bytes == 800
        assert model_cost(keeper, tensor(100)).peak_bytes == 4000
        assert model_cost(chain, tensor(100)).activation_bytes == 4000

    def test_a_view_keeps_its_array_alive(self) -> None:
        def model(x: Tensor) -> Tensor:
            view = x.exp()[:1]  # 400 bytes stay
            y = x.sin()
            return view + y.sum() + y[:1]

        assert (
            model_cost(model, tensor(100)).peak_bytes == 400 + 400 + 4 + 4
        )  # the sum and what is added to it

    def test_measured_bytes_are_those_of_numpy(self) -> None:
        size = 1_000_000
        assert measured_peak_bytes(lambda: np.zeros(size)) == pytest.approx(8 * size, rel=0.01)
        assert measured_peak_bytes(lambda: np.add(*[np.zeros(size), np.ones(size)])) == pytest.approx(
            24 * size, rel=0.01
        )
        kept = np.ones(size)  # was there before
        assert measured_peak_bytes(lambda: kept.sum()) < 0.01 * size

    def test_a_trace_that_runs_already_goes_on_and_what_it_saw_does_not_count(self) -> None:
        tracemalloc.start()
        try:
            kept, gone = np.ones(1_000_000), np.ones(5_000_000)
            del gone
            found = measured_peak_bytes(lambda: np.zeros(100_000))
            assert tracemalloc.is_tracing()
        finally:
            tracemalloc.stop()
        assert found == pytest.approx(800_000, rel=0.05)
        assert kept.any()
        measured_peak_bytes(int)
        assert not tracemalloc.is_tracing()

    def test_the_first_call_does_not_count(self) -> None:
        cache: list[Any] = []

        def function() -> None:
            if not cache:
                cache.append(np.zeros(1_000_000))

        assert measured_peak_bytes(function) < 100_000

    def test_only_functions_can_be_measured(self) -> None:
        with pytest.raises(TypeError, match="a function without arguments is expected, found 3"):
            measured_peak_bytes(3)  # type: ignore[arg-type]

    def test_no_bytes_no_intensity(self) -> None:
        with pytest.raises(ValueError, match="moved no bytes"):
            _ = model_cost(lambda x: x, tensor(2)).intensity


class TestCostTable:
    def test_plain(self) -> None:
        net = Sequential(Linear(3, 4, rng=0), Detour())
        assert model_cost(net, tensor(2, 3)).table().splitlines() == [
            "name     layer       output  parameters        FLOPs  moved  FLOP/B  activations",
            "-------  ----------  ------  ----------  -----------  -----  ------  -----------",
            "(model)  Sequential  (2, 4)           0            0    0 B                  0 B",
            "0        Linear      (2, 4)          16           56  184 B    0.30         64 B",
            "1        Detour      (2, 4)           0      unknown    0 B                  0 B",
            "sum                                  16  at least 56  184 B                 64 B",
            "peak of the activations: 64 B",
            "unknown in 1: the result was not computed by tensor operations",
        ]

    def test_markdown(self) -> None:
        lines = model_cost(Linear(3, 4, rng=0), tensor(2, 3)).table("markdown").splitlines()
        assert lines[0].startswith("| name    | layer  | output |")
        assert lines[-3].startswith("| sum ")
        assert lines[-2:] == ["", "peak of the activations: 64 B"]
        with pytest.raises(ValueError, match="found 'csv'"):
            model_cost(Linear(3, 4), tensor(2, 3)).table("csv")  # type: ignore[arg-type]

    def test_functions_have_their_name(self) -> None:
        def my_model(x: Tensor) -> Tensor:
            return x + x

        assert own(model_cost(my_model, tensor(2))).kind == "my_model"
        assert own(model_cost(ReLU(), tensor(2))).kind == "ReLU"


class TestRoofline:
    def test_both_sides_of_the_ridge(self) -> None:
        machine = Roofline(peak_flops=100.0, bandwidth=20.0)
        assert machine.ridge == 5.0
        assert [machine.attainable(intensity) for intensity in (0.0, 1.0, 5.0, 50.0)] == [
            0.0,
            20.0,
            100.0,
            100.0,
        ]
        assert [machine.bound(intensity) for intensity in (4.99, 5.0)] == ["memory", "arithmetic"]
        assert [machine.seconds(200.0, 20.0), machine.seconds(100.0, 60.0)] == [2.0, 3.0]

    @REPEATABLE
    @given(st.floats(1.0, 1e12), st.floats(1.0, 1e12), st.floats(1.0, 1e12), st.floats(1.0, 1e12))
    def test_time_and_speed_say_the_same(
        self, peak: float, bandwidth: float, flops: float, moved: float
    ) -> None:
        machine = Roofline(peak, bandwidth)
        assert flops / machine.seconds(flops, moved) == pytest.approx(machine.attainable(flops / moved))

    def test_measured_with_a_clock_of_even_steps(self) -> None:
        readings = itertools.count(0.0, 0.5)
        timer = Timer(rounds=3, round_seconds=0.5, clock=lambda: next(readings))
        found = measure_roofline(timer, size=8, elements=1000, dtype=np.float64)
        assert found == Roofline(2 * 8**3 / 0.5, 2 * 8000 / 0.5)
        assert measure_roofline(timer, 8, 1000).bandwidth == 2 * 4000 / 0.5

    def test_the_fastest_round_counts(self) -> None:
        steps = itertools.cycle(
            [0.0, 4.0, 0.0, 1.0, 0.0, 2.0, 0.0, 8.0]
        )  # each pair is one reading before, one after
        timer = Timer(rounds=3, warmup=0, round_seconds=0.0, clock=lambda: next(steps))
        assert measure_roofline(timer, 1, 1) == Roofline(2 / 1.0, 8 / 1.0)

    def test_mistakes_are_named(self) -> None:
        for value in (0.0, -1.0, math.nan, math.inf):
            with pytest.raises(ValueError, match="peak_flops must be a positive number"):
                Roofline(value, 1.0)
            with pytest.raises(ValueError, match="bandwidth must be a positive number"):
                Roofline(1.0, value)
        machine = Roofline(1.0, 1.0)
        for value in (-1.0, math.nan):
            with pytest.raises(ValueError, match="an intensity must be at least 0"):
                machine.attainable(value)
            with pytest.raises(ValueError, match="FLOPs and bytes must be at least 0"):
                machine.seconds(1.0, value)
        with pytest.raises(TypeError, match="needs a float dtype, found int64"):
            measure_roofline(Timer(rounds=1), dtype=np.int64)
        with pytest.raises(ValueError, match="size must be at least 1, found 0"):
            measure_roofline(Timer(rounds=1), size=0)
