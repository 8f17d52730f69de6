# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 14: Benchmarking
#
# "The new version is 8% faster." Is it? Run the *old* version twice, and one of the two runs is 8% faster
# than the other. A number from a clock is an observation with an error, like a number from a voltmeter, and
# without its error it says nothing.
#
# This module builds a small laboratory with three instruments:
#
# | question | instrument |
# |---|---|
# | How long does it take, and how sure are we? | `Timer`, `ConfidenceInterval` |
# | How much work is it? | `model_cost`: FLOPs and bytes, layer by layer |
# | Could it be faster on this machine? | `Roofline` |
#
# The first measures, the second counts, and the third compares measurement and count. All write **reports**
# that can be read in a terminal or pasted into a page (Markdown).
#
# One rule stands above all of them: **say what was not shown.** If the data do not tell two versions apart,
# the report says "no difference shown". If the work of a layer cannot be counted, the report says "unknown",
# and not zero.

# %%
#| default_exp core.benchmarking

# %%
#| export
import copy
import math
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinytorch.core.kernels import compare_kernels
from tinytorch.core.layers import Layer
from tinytorch.core.tensor import Primitive, Recorder, Tensor, set_recorder

_Array = npt.NDArray[Any]
_Style = Literal["plain", "markdown"]

# %%
import itertools

from tinytorch.core.activations import GELU, ReLU
from tinytorch.core.attention import TransformerBlock
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.kernels import linear_relu
from tinytorch.core.layers import Linear
from tinytorch.core.spatial import Conv2D, Flatten, MaxPool2D

# %% [markdown]
# ## 1. Numbers that people read
#
# First the paper to write on. `0.000012345` is hard to read and claims five digits that are not there;
# `12.3 us` is better. And columns of numbers belong into a table, in one of two styles.


# %%
#| export
_PREFIXES = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "u"),
    (1e-9, "n"),
)


def format_quantity(value: float, unit: str = "") -> str:
    """Return a number with three significant digits and a decimal prefix: 0.0123 s is "12.3 ms".

    Args:
        value: The quantity in its plain unit. k is 1000, also for bytes.
        unit: Name of the unit, such as "s", "B" or "FLOP/s".

    Returns:
        The text; u stands for micro. Zero and numbers that are not finite have no prefix.

    Raises:
        TypeError: If `value` is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"a quantity must be a number, found {value!r}")
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    rounded = float(f"{value:.3g}")  # first, so that 999.9 becomes 1.00 k and not 1000
    scale, prefix = next((pair for pair in _PREFIXES if abs(rounded) >= pair[0]), _PREFIXES[-1])
    shown = rounded / scale
    decimals = 0 if abs(shown) >= 100 else 1 if abs(shown) >= 10 else 2
    if isinstance(value, (int, np.integer)) and scale == 1.0:
        decimals = 0  # a count of 12 is 12, not 12.0
    return f"{shown:.{decimals}f} {prefix}{unit}".rstrip()


def text_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    style: _Style = "plain",
    left: Collection[int] = (0,),
) -> str:
    """Return a table as text.

    Args:
        headers: One per column, at least one.
        rows: The cells, one per column in each row.
        style: "plain" for a terminal, "markdown" for a page.
        left: Numbers of the columns that are aligned to the left; the others are aligned to the right.

    Returns:
        Lines without a newline at the end.

    Raises:
        ValueError: If there is no column, a row has another length, or the style is unknown.
    """
    if style not in ("plain", "markdown"):
        raise ValueError(f"style must be 'plain' or 'markdown', found {style!r}")
    lines = [[_cell(text, style) for text in row] for row in (headers, *rows)]
    if not headers or any(len(line) != len(headers) for line in lines):
        raise ValueError(f"every row needs {len(headers)} (at least 1) cells, found {list(map(len, lines))}")
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    rules = [
        "-" * width if style == "plain" or i in left else "-" * (width - 1) + ":"
        for i, width in enumerate(widths)
    ]
    padded = [
        [
            text.ljust(width) if i in left else text.rjust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        for line in (lines[0], rules, *lines[1:])
    ]
    if style == "markdown":
        return "\n".join(f"| {' | '.join(line)} |" for line in padded)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def _cell(text: str, style: _Style) -> str:
    """Return a cell that stays within its column: one line, and in Markdown no bare bar."""
    line = " ".join(str(text).split())
    return line.replace("|", "\\|") if style == "markdown" else line


# %%
assert format_quantity(0.0123, "s") == "12.3 ms"
assert format_quantity(999.9, "FLOP") == "1.00 kFLOP"
assert format_quantity(42) == "42"
print(text_table(["name", "time"], [["a", "1.00 ms"], ["long name", "12.0 us"]]))

# %% [markdown]
# ## 2. Noise
#
# Times are not spread evenly around the truth. Interrupts, other programs and clock changes can only make a
# run *slower*, so the distribution has a hard left edge and a long right tail:
#
#     runs   #
#            ##
#            ####
#            ######
#            ########  ##        #                 #
#          --------------------------------------------> time
#            fastest  median  mean                 an interrupt
#
# The mean runs after the tail. So we report
#
# - the **median**: half of the rounds were faster. One wild round does not move it;
# - the **interquartile range** (IQR): the width of the middle half, as the measure of spread;
# - the **minimum**: the nearest to an undisturbed run. It only ever falls when one measures longer, so two
#   minima can be compared only if they come from equally many rounds.
#
# **How sure is the median?** If we measured again, it would come out a little different. How different? We
# cannot repeat the day, but we can imitate it: draw $n$ rounds *from our own $n$ rounds, with replacement*,
# and take the median of those. Do that 2000 times. The middle 95% of the 2000 medians are the *bootstrap
# percentile interval* (Efron, *Bootstrap Methods: Another Look at the Jackknife*, Annals of Statistics 7,
# 1979; Efron & Tibshirani, *An Introduction to the Bootstrap*, 1993, chapter 13). It needs no formula for the
# distribution, which is just as well, as nobody has one.
#
# **How few rounds are too few?** The resampled medians never leave the range of the data. That range holds
# the true median unless all $n$ rounds fall on the same side of it, which happens with probability
# $2 \cdot 2^{-n}$. So no interval from $n$ rounds can be right more often than
#
# $$1 - 2^{1-n}: \qquad n = 5:\ 93.8\%, \qquad n = 6:\ 96.9\%.$$
#
# For 95% at least 6 rounds are needed, and with fewer we refuse. (30 is a good number.)
#
# **Comparing two.** What we want to know is the ratio of two medians. A tempting shortcut is to see whether
# two intervals overlap. It is too timid, and wrong if both were disturbed together. Better: draw *rounds*,
# and from each drawn round take both times. Rounds in which the machine was slow are slow for both, and the
# slowness cancels in the ratio.
#
# And then the verdict. If the interval of the ratio contains 1, the data are compatible with "no difference",
# and that is what we say: **no difference shown**. It does not mean that there is none.


# %%
#| export
@dataclass(frozen=True)
class ConfidenceInterval:
    """Where a quantity lies, in all likelihood.

    Attributes:
        low: Lower end.
        high: Upper end.
        level: How often such an interval holds the true value, between 0 and 1.
    """

    low: float
    high: float
    level: float

    def contains(self, value: float) -> bool:
        """Return whether a value lies in the interval, ends included."""
        return self.low <= value <= self.high


def _checked_times(name: str, seconds: Sequence[float] | _Array) -> npt.NDArray[np.float64]:
    """Return times as an array after a check that they are positive, finite numbers in one row."""
    times = np.asarray(seconds, dtype=np.float64)
    if times.ndim != 1 or times.size == 0:
        raise ValueError(f"{name} must be a row of at least one time, found shape {times.shape}")
    bad = times[~((times > 0) & np.isfinite(times))]
    if bad.size:
        raise ValueError(f"{name} must be positive numbers of seconds, found {bad[0]}")
    return times


def _check_bootstrap(rounds: int, level: float, resamples: int) -> None:
    """Raise a ValueError unless an interval of this level can be had from so many rounds."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be between 0 and 1, found {level}")
    if resamples < 100:
        raise ValueError(f"resamples must be at least 100, found {resamples}")
    if 1.0 - 2.0 ** (1 - rounds) < level:
        needed = math.ceil(1.0 - math.log2(1.0 - level))
        raise ValueError(f"at least {needed} rounds are needed for a level of {level}, found {rounds}")


def _resampled_medians(columns: _Array, resamples: int, seed: int) -> _Array:
    """Return the medians of rows drawn with replacement, shape (resamples, columns)."""
    rounds = len(columns)
    draws = np.random.default_rng(seed).integers(0, rounds, size=(resamples, rounds))
    medians: _Array = np.median(columns[draws], axis=1)
    return medians


def _percentile_interval(values: _Array, level: float) -> ConfidenceInterval:
    """Return the middle part of resampled values (Efron & Tibshirani, 1993, section 13.3)."""
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return ConfidenceInterval(float(low), float(high), level)


def median_interval(
    seconds: Sequence[float] | _Array, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> ConfidenceInterval:
    """Return the bootstrap percentile interval of a median (Efron & Tibshirani, 1993, chapter 13).

    Args:
        seconds: Times of the rounds, in seconds, positive.
        level: How often the interval shall hold the true median.
        resamples: How often rounds are drawn with replacement, at least 100.
        seed: Seed of the draws; the same seed gives the same interval.

    Raises:
        ValueError: If a time is not positive, a number is out of range, or there are too few rounds for
            the level.
    """
    times = _checked_times("seconds", seconds)
    _check_bootstrap(len(times), level, resamples)
    return _percentile_interval(_resampled_medians(times[:, None], resamples, seed)[:, 0], level)


def ratio_interval(
    seconds: Sequence[float] | _Array,
    baseline: Sequence[float] | _Array,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> ConfidenceInterval:
    """Return the bootstrap interval of median(seconds) / median(baseline), drawing rounds as pairs.

    Args:
        seconds: Times of the rounds, in seconds, positive.
        baseline: Times of the baseline in the same rounds: place i of both was measured side by side.
        level: How often the interval shall hold the true ratio.
        resamples: How often rounds are drawn with replacement, at least 100.
        seed: Seed of the draws; the same seed gives the same interval.

    Raises:
        ValueError: If a time is not positive, the numbers of rounds differ, a number is out of range, or
            there are too few rounds for the level.
    """
    times, others = _checked_times("seconds", seconds), _checked_times("baseline", baseline)
    if len(times) != len(others):
        raise ValueError(f"equally many rounds are expected, found {len(times)} and {len(others)}")
    _check_bootstrap(len(times), level, resamples)
    medians = _resampled_medians(np.stack([times, others], axis=1), resamples, seed)
    return _percentile_interval(medians[:, 0] / medians[:, 1], level)


# %%
generator = np.random.default_rng(0)
noise = generator.exponential(1e-4, size=40)  # only ever slower
interval = median_interval(1e-3 + noise)
assert interval.contains(1e-3 + 1e-4 * math.log(2.0))  # the true median of an exponential distribution
assert interval == median_interval(1e-3 + noise)  # the same seed, the same interval
assert not ratio_interval(1.1e-3 + noise, 1e-3 + noise).contains(1.0)

try:
    median_interval([1.0, 1.1, 1.2, 1.0, 1.1])
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("five rounds are too few for 95%")
assert message == "at least 6 rounds are needed for a level of 0.95, found 5"

# %% [markdown]
# Why pairs? Let the machine become slower and slower while we measure: a drift of a factor of two. The two
# medians become unsure, but the ratio does not.

# %%
drift = np.linspace(1e-3, 2e-3, 40)
one, other = drift * generator.uniform(1.0, 1.02, 40), 1.05 * drift * generator.uniform(1.0, 1.02, 40)
alone, paired = median_interval(one), ratio_interval(other, one)
assert alone.high / alone.low > 1.15  # each by itself: known to 15% at best
assert 1.03 < paired.low < 1.05 < paired.high < 1.07  # the ratio: known to 4%

# %% [markdown]
# ## 3. The timer
#
# A good clock is not enough; it has to be read at the right moments.
#
# - **Warm up.** The first calls pay for cold caches, lazy imports and memory that the system has yet to
#   hand over. They are made, and not counted.
# - **Batch short calls.** Reading the clock costs some 50 ns, and its steps may be as large. A call of 200 ns
#   cannot be timed alone. So a round repeats the call until the round lasts about a millisecond, and divides.
#   The number of calls is found by doubling, as `timeit` of the standard library does it.
# - **Interleave.** To compare A and B, do not measure all of A, then all of B. Take turns, so that every
#   round has both. Even then B always comes *after* A, and inherits the caches that A left. So every second
#   round goes backwards: A B, B A, A B, ... (a "counterbalanced" order).
#
# **Check before timing** was the first rule of module 13. With a `tolerance`, `compare` makes that check (by
# `compare_kernels`) before it starts.
#
# The clock is an argument. That is for the tests: with a clock that we move by hand, everything the timer
# does is exactly predictable, and no test has to wait or to hope.


# %%
#| export
@dataclass(frozen=True)
class Measurement:
    """The times of one function.

    Attributes:
        seconds: Seconds per call, one number per round, positive.
        calls: Calls in each round.

    Raises:
        ValueError: If there are no rounds, a time is not positive, or `calls` is below 1.
    """

    seconds: tuple[float, ...]
    calls: int = 1

    def __post_init__(self) -> None:
        _checked_times("seconds", self.seconds)
        _whole("calls", self.calls, 1)

    @property
    def median(self) -> float:
        """Seconds per call in the middle of the rounds."""
        return float(np.median(self.seconds))

    @property
    def minimum(self) -> float:
        """Seconds per call in the fastest round."""
        return min(self.seconds)

    @property
    def interquartile_range(self) -> float:
        """Width of the middle half of the rounds, in seconds per call (linear interpolation)."""
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(high - low)

    def interval(self, level: float = 0.95, seed: int = 0) -> ConfidenceInterval:
        """Return the bootstrap interval of the median, in seconds; see `median_interval`."""
        return median_interval(self.seconds, level, seed=seed)

    def throughput(self, amount: float = 1.0) -> float:
        """Return how much is done per second.

        Args:
            amount: What one call does: examples of a batch, FLOPs, bytes.

        Raises:
            ValueError: If the amount is negative or not finite.
        """
        if not 0.0 <= amount < math.inf:
            raise ValueError(f"amount must be a number of at least 0, found {amount}")
        return amount / self.median


def _whole(name: str, value: object, smallest: int) -> int:
    """Return `value` as an int of at least `smallest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value}")
    return int(value)


@dataclass(frozen=True)
class Comparison:
    """The times of several functions, measured in turns. The first one is the baseline.

    Attributes:
        measurements: Measurements by name, all with equally many rounds.
        level: Level of the confidence intervals.
        seed: Seed of the bootstrap.

    Raises:
        ValueError: If there is nothing to compare, or the numbers of rounds differ.
    """

    measurements: Mapping[str, Measurement]
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        rounds = {name: len(found.seconds) for name, found in self.measurements.items()}
        if not rounds or len(set(rounds.values())) > 1:
            raise ValueError(f"measurements with equally many rounds are expected, found {rounds}")

    @property
    def baseline(self) -> str:
        """Name of the function that all others are compared with."""
        return next(iter(self.measurements))

    def ratio(self, name: str) -> float:
        """Return the median divided by that of the baseline: below 1 is faster.

        Raises:
            ValueError: If there is no function of this name.
        """
        return self._found(name).median / self._found(self.baseline).median

    def interval(self, name: str) -> ConfidenceInterval:
        """Return the bootstrap interval of the ratio; see `ratio_interval`.

        Raises:
            ValueError: If there is no function of this name, or there are too few rounds for the level.
        """
        reference = self._found(self.baseline).seconds
        return ratio_interval(self._found(name).seconds, reference, self.level, seed=self.seed)

    def verdict(self, name: str) -> str:
        """Return "baseline", "faster", "slower", or "no difference shown" if the interval contains 1.

        Raises:
            ValueError: As for `interval`.
        """
        interval = self.interval(name)
        if name == self.baseline:
            return "baseline"
        if interval.contains(1.0):
            return "no difference shown"
        return "faster" if interval.high < 1.0 else "slower"

    def table(self, style: _Style = "plain") -> str:
        """Return the report.

        Args:
            style: "plain" or "markdown".

        Raises:
            ValueError: If the style is unknown, or there are too few rounds for the level.
        """
        share = f"{100 * self.level:g}% interval"
        headers = ["name", "median", "IQR", "fastest", "ratio", share, "verdict"]
        return text_table(headers, [self._row(name) for name in self.measurements], style, left=(0, 6))

    def _row(self, name: str) -> list[str]:
        found, interval = self._found(name), self.interval(name)
        times = (found.median, found.interquartile_range, found.minimum)
        compared = ["", ""]
        if name != self.baseline:
            compared = [f"{self.ratio(name):.3f}", f"{interval.low:.3f} to {interval.high:.3f}"]
        return [name, *(format_quantity(seconds, "s") for seconds in times), *compared, self.verdict(name)]

    def _found(self, name: str) -> Measurement:
        if name not in self.measurements:
            raise ValueError(f"no measurement named {name!r}: there are {list(self.measurements)}")
        return self.measurements[name]


_MOST_CALLS = 2**20  # of the shortest calls these last 30 ms: enough for any clock that moves


@dataclass(frozen=True)
class Timer:
    """Measures functions without arguments: warmed up, in batches, in turns.

    Attributes:
        rounds: Rounds that are counted, at least 1; a comparison needs at least 6 for a level of 95%.
        warmup: Calls of each function before anything is timed, at least 0.
        round_seconds: A round repeats the call until at least this much time passes; positive, or 0 for
            single calls.
        clock: Returns the time in seconds; it must never go back.

    Raises:
        ValueError: If a number is out of range.
        TypeError: If `rounds` or `warmup` is not an int.
    """

    rounds: int = 30
    warmup: int = 2
    round_seconds: float = 1e-3
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        _whole("rounds", self.rounds, 1)
        _whole("warmup", self.warmup, 0)
        if not 0.0 <= self.round_seconds < math.inf:
            raise ValueError(f"round_seconds must be a number of at least 0, found {self.round_seconds}")

    def measure(self, function: Callable[[], Any]) -> Measurement:
        """Measure one function.

        Raises:
            TypeError: If it cannot be called.
            ValueError: If the clock does not move, or goes back.
        """
        return self._measured({"function": function})["function"]

    def compare(
        self,
        functions: Mapping[str, Callable[[], Any]],
        level: float = 0.95,
        seed: int = 0,
        tolerance: float | None = None,
    ) -> Comparison:
        """Measure several functions in turns, every second round in reverse order.

        Args:
            functions: Functions by name; the first one is the baseline.
            level: Level of the confidence intervals.
            seed: Seed of the bootstrap.
            tolerance: If given, all must first return the same tensor or array: the largest difference
                accepted, relative to the baseline's largest value.

        Raises:
            TypeError: If a function cannot be called.
            ValueError: If there are no functions, too few rounds for the level, results differ, or the
                clock does not move or goes back.
        """
        if not functions:
            raise ValueError("at least one function is needed, found none")
        _check_bootstrap(self.rounds, level, 2000)
        if tolerance is not None:
            compare_kernels(functions, rounds=1, tolerance=tolerance, round_seconds=0.0)
        return Comparison(MappingProxyType(self._measured(functions)), level, seed)

    def _measured(self, functions: Mapping[str, Callable[[], Any]]) -> dict[str, Measurement]:
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(f"{name!r} must be a function without arguments, found {function!r}")
            for _ in range(self.warmup):
                function()
        calls = {name: self._calls_per_round(function) for name, function in functions.items()}
        seconds: dict[str, list[float]] = {name: [] for name in functions}
        for number in range(self.rounds):
            turn = list(functions.items())
            for name, function in reversed(turn) if number % 2 else turn:
                seconds[name].append(self._elapsed(function, calls[name]) / calls[name])
        return {name: Measurement(tuple(found), calls[name]) for name, found in seconds.items()}

    def _calls_per_round(self, function: Callable[[], Any]) -> int:
        """Return the first power of two with which a round is long enough."""
        calls = 1
        while (elapsed := self._elapsed(function, calls)) < self.round_seconds and calls < _MOST_CALLS:
            calls *= 2
        if elapsed <= 0.0:
            raise ValueError(f"the clock did not move during {calls} calls: a finer clock is needed")
        return calls

    def _elapsed(self, function: Callable[[], Any], calls: int) -> float:
        """Return the time of so many calls."""
        repeats = range(calls)
        start = self.clock()
        for _ in repeats:
            function()
        elapsed = self.clock() - start
        if elapsed < 0.0:
            raise ValueError(f"the clock went back by {-elapsed} seconds: use one that never does")
        return elapsed


# %% [markdown]
# With a clock that stands still unless a function moves it, we know what must come out.


# %%
class HandMovedClock:
    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def task(self, name, seconds):
        """Return a function whose calls take the given times, over and over."""
        times = itertools.cycle(seconds)

        def run():
            self.log.append(name)
            self.now += next(times)

        return run


clock = HandMovedClock()
timer = Timer(rounds=8, warmup=1, round_seconds=0.5, clock=clock)
comparison = timer.compare({"old": clock.task("old", [1.0]), "new": clock.task("new", [0.75])})
assert clock.log[:4] == ["old", "new", "old", "new"]  # warm-up, then the number of calls
assert clock.log[4:12] == ["old", "new", "new", "old"] * 2  # turns, back and forth
assert comparison.ratio("new") == 0.75
assert comparison.verdict("new") == "faster"

short = Timer(rounds=3, round_seconds=0.5, clock=clock).measure(clock.task("short", [0.0625]))
assert (short.calls, short.median) == (8, 0.0625)  # 8 calls fill half a second

# %% [markdown]
# And with the real clock. The first comparison is one of a function with itself. The second, module 13's
# fused kernel.

# %%
x, w, b = (Tensor(generator.normal(size=shape), dtype=np.float32) for shape in ((64, 32), (32, 64), 64))
three_steps = lambda: (x @ w + b).maximum(0.0)  # noqa: E731
kernels = {"three steps": three_steps, "again": three_steps, "fused": lambda: linear_relu(x, w, b)}
print(Timer(rounds=15).compare(kernels, tolerance=1e-5).table())

# %% [markdown]
# On the machine where this was written, with 30 rounds:
#
# | name        |  median |    IQR | fastest | ratio |   95% interval | verdict             |
# | ----------- | ------: | -----: | ------: | ----: | -------------: | ------------------- |
# | three steps | 22.1 us | 815 ns | 21.6 us |       |                | baseline            |
# | again       | 22.3 us | 463 ns | 21.6 us | 1.009 | 0.990 to 1.019 | no difference shown |
# | fused       | 17.7 us | 880 ns | 16.6 us | 0.801 | 0.775 to 0.825 | faster              |
#
# A word of warning. Each verdict at 95% is wrong once in twenty times. Compare twenty versions that are all
# the same, and one of them will look "faster". If you try many things, raise the level: for $k$ comparisons,
# $1 - 0.05/k$ keeps the chance of *any* false alarm at 5% (Bonferroni's correction).
#
# ## 4. Counting work
#
# A time belongs to a machine. The *amount of work* belongs to the model, and can be counted. Two things
# count: arithmetic, in **FLOPs** (floating-point operations), and traffic with memory, in bytes.
#
# **The convention.** Papers disagree by a factor of two, since some count a multiplication with the addition
# that follows ("multiply-accumulate") as one. Here:
#
# | | FLOPs |
# |---|---|
# | an addition, subtraction, multiplication, division | 1 |
# | a multiply-add in a matrix product | **2** |
# | `exp`, `log`, `sqrt`, `tanh`, `erf`, `sin`, `cos`, a power | 1 (though they cost more) |
# | `maximum`, `minimum`, absolute value, change of sign | 1 |
# | sum or maximum of $n$ numbers into $m$ | $n - m$ |
# | moving, selecting, reshaping, padding, converting | 0 |
# | anything on integers or booleans | 0 |
#
# A product of $(m, k)$ and $(k, n)$ matrices has $2mkn$. From this follows everything else:
#
# | layer | input | FLOPs |
# |---|---|---|
# | Linear, $I \to O$ | $N$ rows | $2NIO + NO$ |
# | Conv2D, $C \to O$, $K_h \times K_w$ | $N$ images, $P$ output pixels each | $2NOPCK_hK_w + NOP$ |
# | MaxPool2D, $K_h \times K_w$ | $M$ outputs | $M(K_hK_w - 1)$ |
# | AvgPool2D | $M$ outputs | $MK_hK_w$ |
# | LayerNorm, $E$ features | $N$ rows | $N(7E + 2)$ |
# | BatchNorm2D in use, $C$ channels | $M$ numbers | $3M + 3C$ |
# | self-attention, $E$ features, $h$ heads | $N$ texts of $T$ | $8NTE^2 + 5NTE + 4NT^2E + NhT(5T - 2)$ |
#
# **How to count.** One could write such a formula for every layer, and then for the ReLU between two layers,
# the sum around a block, the layer that somebody writes tomorrow. Whatever the formulas forget is silently
# zero. But all our arithmetic goes through *one door*, `apply`, and whoever stands there sees each operation
# with the shapes of its arrays. So we put a recorder at the door, send one real input through the model, and
# count what passes. Rules are needed for some thirty *operations* only, and layers need none.
#
# To know *which layer* is at work, the `forward` of each layer is wrapped: on a copy of the model, so that
# the model itself, its running means and its random generators stay as they are. What a layer does by itself
# is written on its own account, and what the layers inside it do on theirs. So all accounts together are the
# whole, and nothing is counted twice.
#
# **What can go wrong,** and must not pass for zero:
#
# - An operation without a rule: its layer is listed as *unknown*, with the name of the operation.
# - A layer that goes round the door, computing with NumPy and wrapping the result: its result comes from
#   nowhere, and we notice. (A detour in the *middle* of a layer, whose result is then added to something by
#   a tensor operation, cannot be told from a constant. Look at the layer.)
#
# The cure is a rule: for an operation by its name, or for a class of layers. Rules are an immutable value,
# `FlopRules`. `with_operation` and `with_layer` return a *new* one, and the old one stays as it is: nobody
# can change the count of somebody else.


# %%
#| export
_OperationRule = Callable[[Sequence[_Array], _Array, Mapping[str, Any]], int]
_LayerRule = Callable[[Any, tuple[Any, ...], Any], int]


def _no_flops(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return 0


def _one_per_output(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return output.size


def _two_per_output(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return 2 * output.size


def _one_per_merged(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return inputs[0].size - output.size


def _one_per_input(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return inputs[0].size


def _product_flops(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return 2 * output.size * inputs[0].shape[-1]


def _linear_relu_flops(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    return _product_flops(inputs, output, params) + 2 * output.size  # the bias, the maximum


def _cross_entropy_flops(inputs: Sequence[_Array], output: _Array, params: Mapping[str, Any]) -> int:
    # Per row of C scores: maximum C - 1, shift C, exp C, sum C - 1, log 1, minus the picked one 1, mean 1.
    rows, classes = inputs[0].shape
    return rows * (4 * classes + 1)


_OPERATIONS_BY_RULE: tuple[tuple[_OperationRule, str], ...] = (
    (_one_per_output, "add subtract multiply divide power negative absolute maximum minimum"),
    (_one_per_output, "exp log sqrt tanh erf sin cos"),
    (_two_per_output, "clip"),
    (_one_per_merged, "sum max min"),
    (_product_flops, "matmul matmul_loops blocked_matmul"),
    (_no_flops, "where transpose reshape broadcast_to getitem pad concatenate stack windows astype im2col"),
    (_one_per_input, "col2im"),
    (_linear_relu_flops, "linear_relu"),
    (_cross_entropy_flops, "softmax_cross_entropy"),
)


@dataclass(frozen=True)
class FlopRules:
    """How FLOPs are counted: 2 for a multiply-add, 1 for any other operation on floats, 0 for moving data.

    Attributes:
        operations: For the name of a primitive, a function of its input arrays, its output array and its
            params that returns the FLOPs. Only called if the output holds floats.
        layers: For a class of layers, a function of the layer, the inputs of a call and its output that
            returns the FLOPs of the whole call, of the layers inside included. It holds for subclasses,
            too, as long as they do not define a `forward` of their own.
    """

    operations: Mapping[str, _OperationRule]
    layers: Mapping[type, _LayerRule] = field(default_factory=lambda: MappingProxyType({}))

    def with_operation(self, name: str, rule: _OperationRule) -> "FlopRules":
        """Return new rules with one more (or another one) for the primitive of this name.

        Raises:
            TypeError: If the rule cannot be called.
        """
        _check_rule(name, rule)
        return FlopRules(MappingProxyType({**self.operations, name: rule}), self.layers)

    def with_layer(self, kind: type, rule: _LayerRule) -> "FlopRules":
        """Return new rules with one more (or another one) for a class of layers.

        Raises:
            TypeError: If `kind` is not a class of layers, or the rule cannot be called.
        """
        if not isinstance(kind, type) or not issubclass(kind, Layer):
            raise TypeError(f"a class of layers is expected, found {kind!r}")
        _check_rule(kind.__name__, rule)
        return FlopRules(self.operations, MappingProxyType({**self.layers, kind: rule}))

    def layer_rule(self, layer: Layer) -> _LayerRule | None:
        """Return the rule for a layer, or None: then its operations are counted one by one."""
        forward = type(layer).forward
        kinds = (kind for kind in type(layer).__mro__ if kind in self.layers)
        return next((self.layers[kind] for kind in kinds if kind.forward is forward), None)  # type: ignore[attr-defined]


def _check_rule(name: str, rule: object) -> None:
    """Raise a TypeError unless the rule can be called."""
    if not callable(rule):
        raise TypeError(f"the rule for {name} must be a function that returns FLOPs, found {rule!r}")


STANDARD_FLOP_RULES = FlopRules(
    MappingProxyType({name: rule for rule, names in _OPERATIONS_BY_RULE for name in names.split()})
)

# %% [markdown]
# **Bytes.** For every layer we count four kinds:
#
# - *parameters* and *buffers*: what the layer holds, whether it works or not;
# - *activations*: every new array that its operations make. In training a recorder keeps (nearly) all of
#   them until the backward pass has used them. A *view*, such as most reshapes, is no new array;
# - *bytes moved*: each operation reads its inputs and writes its output, each stored byte once. This is what
#   NumPy's operations, which run one after the other, move at the very least.
#
# For the model as a whole comes the *peak*: in use nobody keeps the activations, an array is freed as soon
# as nobody needs it, and what counts is the largest sum at any moment. We follow it by weak references: they
# tell us when an array dies.
#
#     training   a + b + c + d             all are kept
#     use        max(a + b, b + c, c + d)  only neighbours are alive together
#
# `measured_peak_bytes` measures the same in another way, by asking Python's allocator (`tracemalloc`). It
# sees temporary arrays within an operation, too. Where both agree, we may believe either.


# %%
#| export
@dataclass(frozen=True)
class LayerCost:
    """What one layer holds, and what it does by itself in a pass; layers inside it have costs of their own.

    Attributes:
        name: Path from the model, "" for the model itself.
        kind: Name of the class or function.
        calls: How often it was called.
        output_shape: Shape of the (first) tensor that the last call returned; None if there was none.
        known_flops: FLOPs that could be counted.
        unknown: Why the count is not complete; empty if it is.
        parameters: Number of learned numbers, shared ones counted once.
        parameter_bytes: Bytes of the parameters.
        buffer_bytes: Bytes of the buffers.
        activation_bytes: Bytes of the new arrays that the operations made.
        bytes_moved: Bytes that the operations read and wrote.
    """

    name: str
    kind: str
    calls: int
    output_shape: tuple[int, ...] | None
    known_flops: int
    unknown: tuple[str, ...]
    parameters: int
    parameter_bytes: int
    buffer_bytes: int
    activation_bytes: int
    bytes_moved: int

    @property
    def flops(self) -> int | None:
        """The FLOPs, or None if they are not (all) known."""
        return None if self.unknown else self.known_flops

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte moved; None if the FLOPs are unknown or nothing was moved."""
        if self.flops is None or self.bytes_moved == 0:
            return None
        return self.flops / self.bytes_moved


@dataclass(frozen=True)
class ModelCost:
    """What a forward pass of a model costs.

    Attributes:
        layers: One entry for every layer, parents first, the model itself at the top.
        peak_bytes: Largest sum of activations alive at any moment of the pass, if nobody keeps them;
            without parameters, buffers and inputs.
    """

    layers: tuple[LayerCost, ...]
    peak_bytes: int

    @property
    def known_flops(self) -> int:
        """FLOPs that could be counted: all of them if `unknown` is empty."""
        return sum(layer.known_flops for layer in self.layers)

    @property
    def unknown(self) -> dict[str, tuple[str, ...]]:
        """For every layer whose count is not complete, by name, the reasons."""
        return {layer.name: layer.unknown for layer in self.layers if layer.unknown}

    @property
    def flops(self) -> int:
        """FLOPs of the pass.

        Raises:
            ValueError: If the count of a layer is not complete; `known_flops` is what could be counted.
        """
        if self.unknown:
            reasons = "; ".join(
                f"{name or '(model)'}: {', '.join(why)}" for name, why in self.unknown.items()
            )
            raise ValueError(f"the FLOPs are not all known ({reasons}): add a rule to FlopRules")
        return self.known_flops

    @property
    def parameters(self) -> int:
        """Number of learned numbers."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the parameters."""
        return sum(layer.parameter_bytes for layer in self.layers)

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the buffers."""
        return sum(layer.buffer_bytes for layer in self.layers)

    @property
    def activation_bytes(self) -> int:
        """Bytes of all arrays that the pass made."""
        return sum(layer.activation_bytes for layer in self.layers)

    @property
    def bytes_moved(self) -> int:
        """Bytes that the operations of the pass read and wrote."""
        return sum(layer.bytes_moved for layer in self.layers)

    @property
    def intensity(self) -> float:
        """FLOPs per byte moved ("operational intensity": Williams, Waterman & Patterson, 2009).

        Raises:
            ValueError: If the FLOPs are not all known, or nothing was moved.
        """
        if self.bytes_moved == 0:
            raise ValueError("the pass moved no bytes, so that it has no intensity")
        return self.flops / self.bytes_moved

    def table(self, style: _Style = "plain") -> str:
        """Return the report: a line per layer, the whole, the peak, and what is unknown and why.

        Args:
            style: "plain" or "markdown".

        Raises:
            ValueError: If the style is unknown.
        """
        headers = ["name", "layer", "output", "parameters", "FLOPs", "moved", "FLOP/B", "activations"]
        table = text_table(headers, [*map(_cost_row, self.layers), self._sum_row()], style, left=(0, 1, 2))
        notes = [f"peak of the activations: {format_quantity(self.peak_bytes, 'B')}"]
        for name, reasons in self.unknown.items():
            notes.append(f"unknown in {name or '(model)'}: {', '.join(reasons)}")
        notes += [f"never called: {layer.name}" for layer in self.layers if not layer.calls]
        separator = "\n\n" if style == "markdown" else "\n"
        return separator.join([table, *notes])

    def _sum_row(self) -> list[str]:
        flops = format_quantity(self.known_flops)
        return [
            "sum",
            "",
            "",
            format_quantity(self.parameters),
            f"at least {flops}" if self.unknown else flops,
            format_quantity(self.bytes_moved, "B"),
            f"{self.intensity:.2f}" if self.bytes_moved and not self.unknown else "",
            format_quantity(self.activation_bytes, "B"),
        ]


def _cost_row(layer: LayerCost) -> list[str]:
    """Return the cells of a layer."""
    return [
        layer.name or "(model)",
        layer.kind,
        "" if layer.output_shape is None else str(layer.output_shape),
        format_quantity(layer.parameters),
        "unknown" if layer.flops is None else format_quantity(layer.flops),
        format_quantity(layer.bytes_moved, "B"),
        "" if layer.intensity is None else f"{layer.intensity:.2f}",
        format_quantity(layer.activation_bytes, "B"),
    ]


# %% [markdown]
# Now the recorder itself. It keeps a stack of the layers at work; the innermost one pays. It also keeps weak
# references to all arrays whose origin it knows: results of operations, parameters, inputs. By them it tells
# views from new arrays, notices results that come from nowhere, and follows the living bytes.
#
# An array may be a view of a view of an array. The one at the bottom, which has the memory, is its *owner*.


# %%
#| export
def _owner(array: _Array) -> _Array:
    """Return the array that has the memory of a (view of a) view."""
    while True:
        base: Any = array.base
        if not isinstance(base, np.ndarray):
            base = getattr(base, "base", None)  # NumPy's strided views put an object in between
        if not isinstance(base, np.ndarray):
            return array
        array = base


def _tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors in a layer's input or output."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _tensors_in(part)


@dataclass
class _Account:
    """What a layer has done so far."""

    calls: int = 0
    flops: int = 0
    moved: int = 0
    activations: int = 0
    output_shape: tuple[int, ...] | None = None
    unknown: dict[str, None] = field(default_factory=dict)  # an ordered set


class _CostRecorder:
    """Stands at the tensor's door and writes every operation on the account of the innermost layer."""

    def __init__(self, rules: FlopRules) -> None:
        self.rules = rules
        self.accounts: dict[str, _Account] = {}
        self.peak = 0
        self._previous: Recorder | None = None
        self._thread = threading.get_ident()
        self._stack: list[str] = []
        self._covered = 0  # how many layers with a rule of their own are at work
        self._alive = 0
        self._origins: dict[int, weakref.ref[_Array]] = {}

    def __enter__(self) -> "_CostRecorder":
        self._previous = set_recorder(self)
        return self

    def __exit__(self, *exception: object) -> None:
        set_recorder(self._previous)

    def record(
        self, primitive: Primitive, inputs: tuple[Tensor, ...], output: Tensor, params: Mapping[str, Any]
    ) -> None:
        """Count an operation. Those of other threads are none of our business and are passed on."""
        if threading.get_ident() != self._thread:
            if self._previous is not None:
                self._previous.record(primitive, inputs, output, params)
            return
        account, arrays = self.accounts[self._stack[-1]], [tensor.data for tensor in inputs]
        self._count_flops(account, primitive.name, arrays, output.data, params)
        result = _owner(output.data)
        if not any(result is _owner(array) for array in arrays):  # otherwise it is a view
            account.activations += result.nbytes
            account.moved += sum(min(array.nbytes, _owner(array).nbytes) for array in arrays)
            account.moved += output.data.nbytes
            self.know(output.data, result.nbytes)

    def backward(self, tensor: Tensor, gradient: Any) -> None:
        """Refuse: only forward passes are counted."""
        raise RuntimeError("model_cost counts a forward pass, and found a call of backward() in it")

    def _count_flops(
        self, account: _Account, name: str, arrays: list[_Array], output: _Array, params: Mapping[str, Any]
    ) -> None:
        if self._covered or output.dtype.kind != "f":
            return
        rule = self.rules.operations.get(name)
        if rule is None:
            account.unknown[f"no rule for the operation {name!r}"] = None
        else:
            account.flops += _checked_flops(name, rule(arrays, output, params))

    def know(self, array: _Array, made: int = 0) -> None:
        """Remember where an array comes from; `made` bytes live until its owner dies."""
        owner = _owner(array)
        key = id(owner)
        if key in self._origins:
            return

        def forget(_: object) -> None:
            del self._origins[key]
            self._alive -= made

        self._origins[key] = weakref.ref(owner, forget)
        self._alive += made
        self.peak = max(self.peak, self._alive)

    def call(
        self, name: str, layer: object, forward: Callable[..., Any], inputs: tuple[Any, ...], options: Any
    ) -> Any:
        """Call a layer on its own account."""
        rule = self.rules.layer_rule(layer) if isinstance(layer, Layer) else None
        account = self.accounts[name]
        self._stack.append(name)
        self._covered += rule is not None
        try:
            output = forward(*inputs, **options)
        finally:
            self._stack.pop()
            self._covered -= rule is not None
        account.calls += 1
        if rule is not None and not self._covered:
            account.flops += _checked_flops(type(layer).__name__, rule(layer, inputs, output))
        self._look_at(account, output, covered=rule is not None or self._covered > 0)
        return output

    def _look_at(self, account: _Account, output: object, covered: bool) -> None:
        """Note the shape of a result, and whether it came through the door."""
        tensors = list(_tensors_in(output))
        account.output_shape = tensors[0].shape if tensors else None
        passed = bool(tensors) and all(id(_owner(tensor.data)) in self._origins for tensor in tensors)
        if not passed and not covered:
            account.unknown["the result was not computed by tensor operations"] = None
        for tensor in tensors:
            self.know(tensor.data)  # named once, where it was made, and not by every layer around


def _checked_flops(name: str, flops: object) -> int:
    """Return what a rule has returned, if that is a count."""
    return _whole(f"FLOPs by the rule for {name}", flops, 0)


def model_cost(
    model: Callable[..., Any], *inputs: Any, rules: FlopRules = STANDARD_FLOP_RULES, **options: Any
) -> ModelCost:
    """Count FLOPs and bytes of a forward pass, layer by layer.

    One real pass is made, with a copy of the model: the model itself is not changed. It runs as it is,
    training or not, so call `eval()` first to count its use.

    Args:
        model: A layer, or a function of tensors, which counts as one layer.
        *inputs: What the model is called with; the size of the batch counts.
        rules: How FLOPs are counted.
        **options: Further arguments by name, such as a mask.

    Returns:
        The cost, with an entry for every layer. What a layer does by itself is on its own entry.

    Raises:
        TypeError: If the model cannot be called, or a rule returns no whole number.
        ValueError: If a rule returns a negative number.
        RuntimeError: If the model calls `backward`.
    """
    if isinstance(model, type) or not callable(model):
        raise TypeError(f"a layer or function is expected, found {model!r}")
    recorder = _CostRecorder(rules)
    twin = copy.deepcopy(model)
    layers: dict[str, object] = dict(twin.named_layers()) if isinstance(twin, Layer) else {"": twin}
    for name, layer in layers.items():
        recorder.accounts[name] = _Account()
        if isinstance(layer, Layer):
            _watch(recorder, name, layer)
    holdings = _holdings(twin, list(layers)) if isinstance(twin, Layer) else {}
    for array in [array for held in holdings.values() for kind in held for array in kind]:
        recorder.know(array)
    for tensor in _tensors_in([inputs, options]):
        recorder.know(tensor.data)
    with recorder:
        if isinstance(twin, Layer):
            twin(*inputs, **options)
        else:
            recorder.call("", twin, twin, inputs, options)
    costs = (
        _layer_cost(name, layers[name], account, holdings.get(name, ([], [])))
        for name, account in recorder.accounts.items()
    )
    return ModelCost(tuple(costs), recorder.peak)


def _watch(recorder: _CostRecorder, name: str, layer: Layer) -> None:
    """Send every call of a layer through the recorder."""
    forward = layer.forward

    def watched(*inputs: Any, **options: Any) -> Any:
        return recorder.call(name, layer, forward, inputs, options)

    layer.forward = watched  # type: ignore[method-assign]  # an attribute of this one copy


def _holdings(model: Layer, names: list[str]) -> dict[str, tuple[list[_Array], list[_Array]]]:
    """Return the arrays of parameters and buffers by the name of the layer that holds them."""
    held: dict[str, tuple[list[_Array], list[_Array]]] = {name: ([], []) for name in names}
    named = [(path, parameter.data, 0) for path, parameter in model.named_parameters()]
    named += [(path, buffer, 1) for path, buffer in model.named_buffers()]
    for path, array, kind in named:
        while path not in held:  # from "blocks.0.weight" up to the layer "blocks.0"
            path = path.rpartition(".")[0]
        held[path][kind].append(array)
    return held


def _layer_cost(
    name: str, layer: object, account: _Account, held: tuple[list[_Array], list[_Array]]
) -> LayerCost:
    """Return the account of a layer as a value."""
    parameters, buffers = held
    kind = (
        type(layer).__name__ if isinstance(layer, Layer) else getattr(layer, "__name__", type(layer).__name__)
    )
    return LayerCost(
        name=name,
        kind=kind,
        calls=account.calls,
        output_shape=account.output_shape,
        known_flops=account.flops,
        unknown=tuple(account.unknown),
        parameters=sum(array.size for array in parameters),
        parameter_bytes=sum(array.nbytes for array in parameters),
        buffer_bytes=sum(array.nbytes for array in buffers),
        activation_bytes=account.activations,
        bytes_moved=account.moved,
    )


def measured_peak_bytes(function: Callable[[], Any]) -> int:
    """Return how many bytes more than before were allocated at the worst moment of a call.

    Asked of Python's allocator (`tracemalloc`), which also knows NumPy's arrays, temporary ones included,
    and of course other objects: a few kilobytes are noise.

    Args:
        function: A function without arguments. It is called once before, so that what it allocates for
            good the first time does not count.

    Raises:
        TypeError: If it cannot be called.
    """
    if not callable(function):
        raise TypeError(f"a function without arguments is expected, found {function!r}")
    function()
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not was_tracing:
            tracemalloc.stop()


# %% [markdown]
# A network small enough to count by hand: 8 rows through `MLP([4, 3, 2])`.
#
#     linears.0   2*8*4*3 + 8*3 = 216 FLOPs     4*3 + 3 = 15 parameters
#     ReLU        8*3           =  24           on the account of the MLP, whose forward calls it
#     linears.1   2*8*3*2 + 8*2 = 112           3*2 + 2 =  8 parameters

# %%
mlp = MLP([4, 3, 2], rng=0)
rows = Tensor(np.ones((8, 4)), dtype=np.float32)
cost = model_cost(mlp, rows)
by_name = {layer.name: layer for layer in cost.layers}
assert by_name["linears.0"].flops == 216
assert by_name["linears.1"].flops == 112
assert by_name[""].flops == 24
assert (cost.flops, cost.parameters, cost.parameter_bytes) == (352, 23, 92)

# Product, sum with the bias and ReLU make an array each: three times (8, 3), then twice (8, 2).
assert cost.activation_bytes == 4 * (3 * 24 + 2 * 16)
print(cost.table())

# %% [markdown]
# The usual formula for a transformer block with $E$ features, and $4E$ inside: the linear maps have
# $4E^2 + 8E^2 = 12E^2$ weights, each used for one multiply-add per position, and attention adds $4T^2E$. All
# else is small:

# %%
block = TransformerBlock(64, heads=4, rng=0).eval()
text = Tensor(generator.normal(size=(2, 32, 64)), dtype=np.float32)
counted = model_cost(block, text).flops
products = 2 * (2 * 32 * 12 * 64**2 + 4 * 32**2 * 64)  # two texts
assert products < counted < 1.05 * products

# %% [markdown]
# Training costs about three times as much: the backward pass has two matrix products for every one of the
# forward pass, one for the gradient of the input and one for that of the weights. With $2$ FLOPs per weight
# and position forward, this gives the well-known "6 FLOPs per parameter and token" (Kaplan et al., *Scaling
# Laws for Neural Language Models*, 2020, section 2.1).
#
# Now a layer that goes round the door. Its count is unknown, and the whole has no count either, until we
# say what it costs.


# %%
class Smooth(Layer):
    """A running mean of three neighbours, by NumPy alone."""

    def forward(self, x):
        a = x.numpy()
        return Tensor((a[:, :-2] + a[:, 1:-1] + a[:, 2:]) / 3.0)


net = Sequential(Linear(4, 6, rng=0), Smooth())
cost = model_cost(net, rows)
assert cost.unknown == {"1": ("the result was not computed by tensor operations",)}
try:
    print(cost.flops)
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("what is unknown is not zero")
assert message.startswith("the FLOPs are not all known (1: the result")

rules = STANDARD_FLOP_RULES.with_layer(Smooth, lambda layer, inputs, output: 3 * output.size)
assert model_cost(net, rows, rules=rules).flops == (2 * 8 * 4 * 6 + 8 * 6) + 3 * 8 * 4
assert Smooth not in STANDARD_FLOP_RULES.layers  # nobody else is affected

# %% [markdown]
# And the memory, counted and measured:

# %%
convnet = Sequential(
    Conv2D(1, 8, 3, padding=1, rng=0), ReLU(), MaxPool2D(2), Conv2D(8, 16, 3, padding=1, rng=1), GELU(),
    MaxPool2D(2), Flatten(), Linear(784, 10, rng=2),
)  # fmt: skip
digits = Tensor(generator.normal(size=(16, 1, 28, 28)), dtype=np.float32)
cost = model_cost(convnet, digits)
assert cost.peak_bytes < cost.activation_bytes / 2
print(cost.table())
print("measured:", format_quantity(measured_peak_bytes(lambda: convnet(digits)), "B"))

# %% [markdown]
# ## 5. The roofline
#
# Is 5 GFLOP/s good? That depends on what the machine *could* do, and two limits hold at once. It cannot
# compute faster than its arithmetic units, $P$ FLOP/s. And it cannot compute faster than numbers arrive: with
# $B$ bytes per second from memory, and $I$ FLOPs for each byte (the *intensity*), there are at most $I B$
# FLOP/s. Together (Williams, Waterman & Patterson, *Roofline: An Insightful Visual Performance Model for
# Multicore Architectures*, Communications of the ACM 52, 2009):
#
# $$\text{attainable FLOP/s} = \min(P,\; I \cdot B)$$
#
#     FLOP/s |            ____________________  P: bound by arithmetic
#            |          /
#            |        /   I * B: bound by memory
#            |      /
#            +----------|-----------------------> I, FLOPs per byte
#                     P / B, the ridge
#
# Left of the ridge faster arithmetic is of no use; one has to move less (fuse, block, use a narrower dtype).
# Right of it moving less is of no use.
#
#     an addition of two float32 arrays     1 FLOP, 12 bytes: I = 0.08
#     a product of n x n matrices           2 n^3 FLOPs, 12 n^2 bytes: I = n / 6
#
# `measure_roofline` finds the two numbers of your machine by doing what each is about: a large matrix
# product, and the copy of a large array (as in STREAM: McCalpin, *Memory Bandwidth and Machine Balance*,
# 1995), which reads and writes. We take the *fastest* round, as the question is what the machine can do, not
# what it usually does.


# %%
#| export
@dataclass(frozen=True)
class Roofline:
    """What a machine can do (Williams, Waterman & Patterson, 2009).

    Attributes:
        peak_flops: FLOP/s of its arithmetic units, positive.
        bandwidth: Bytes per second to and from memory, positive.

    Raises:
        ValueError: If a number is not positive and finite.
    """

    peak_flops: float
    bandwidth: float

    def __post_init__(self) -> None:
        for name in ("peak_flops", "bandwidth"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a positive number, found {getattr(self, name)}")

    @property
    def ridge(self) -> float:
        """The intensity, in FLOPs per byte, from which on arithmetic is the limit."""
        return self.peak_flops / self.bandwidth

    def attainable(self, intensity: float) -> float:
        """Return the most FLOP/s at an intensity in FLOPs per byte: min(peak, intensity * bandwidth).

        Raises:
            ValueError: If the intensity is negative or not a number.
        """
        if not intensity >= 0.0:
            raise ValueError(f"an intensity must be at least 0, found {intensity}")
        return min(self.peak_flops, intensity * self.bandwidth)

    def bound(self, intensity: float) -> Literal["memory", "arithmetic"]:
        """Return what limits the speed at an intensity.

        Raises:
            ValueError: If the intensity is negative or not a number.
        """
        return "memory" if self.attainable(intensity) < self.peak_flops else "arithmetic"

    def seconds(self, flops: float, bytes_moved: float) -> float:
        """Return the least time for so much work, in seconds.

        Raises:
            ValueError: If an amount is negative or not a number.
        """
        if not (flops >= 0.0 and bytes_moved >= 0.0):
            raise ValueError(f"FLOPs and bytes must be at least 0, found {flops} and {bytes_moved}")
        return max(flops / self.peak_flops, bytes_moved / self.bandwidth)


def measure_roofline(
    timer: Timer, size: int = 512, elements: int = 4_000_000, dtype: npt.DTypeLike = np.float32
) -> Roofline:
    """Measure what this machine can do, as NumPy is built here and with the threads that it uses.

    Args:
        timer: Measures; the fastest round counts.
        size: Rows and columns of the matrices that are multiplied, for the peak.
        elements: Length of the array that is copied, for the bandwidth; it should not fit into a cache.
        dtype: A float dtype.

    Raises:
        TypeError: If `dtype` is no float dtype, or a number not an int.
        ValueError: If a number is below 1.
    """
    found = np.dtype(dtype)
    if found.kind != "f":
        raise TypeError(f"measure_roofline needs a float dtype, found {found}")
    size, elements = _whole("size", size, 1), _whole("elements", elements, 1)
    a, product = np.ones((size, size), found), np.empty((size, size), found)
    source, target = np.ones(elements, found), np.empty(elements, found)
    multiplied = timer.measure(lambda: np.matmul(a, a, out=product))
    copied = timer.measure(lambda: np.copyto(target, source))
    return Roofline(2 * size**3 / multiplied.minimum, 2 * source.nbytes / copied.minimum)


# %%
machine = Roofline(peak_flops=100e9, bandwidth=20e9)
assert machine.ridge == 5.0
assert round(machine.attainable(1 / 12)) == 1_666_666_667  # an addition of arrays gets 2% of the peak
assert machine.attainable(512 / 6) == 100e9
assert [machine.bound(intensity) for intensity in (0.1, 5.0, 80.0)] == ["memory", "arithmetic", "arithmetic"]
assert machine.seconds(100e9, 40e9) == 2.0

# %% [markdown]
# All three instruments together. How near does the convolutional network from above come to its roof?

# %%
machine = measure_roofline(Timer(rounds=5), size=256, elements=2_000_000)
cost = model_cost(convnet, digits)
found = Timer(rounds=10).measure(lambda: convnet(digits))
print(
    "peak",
    format_quantity(machine.peak_flops, "FLOP/s"),
    "bandwidth",
    format_quantity(machine.bandwidth, "B/s"),
)
print("intensity", round(cost.intensity, 2), "bound by", machine.bound(cost.intensity))
print("at least", format_quantity(machine.seconds(cost.flops, cost.bytes_moved), "s"))
print("measured", format_quantity(found.median, "s"), "or", format_quantity(found.throughput(16), "images/s"))
print("speed", format_quantity(found.throughput(cost.flops), "FLOP/s"))

# %% [markdown]
# On the machine where this was written, one core: peak 90 GFLOP/s, bandwidth 22 GB/s, so the ridge lies at 4
# FLOPs per byte, and the network, at 0.95, on its left. The roof allows 0.48 ms; measured were 4.2 ms. Where
# is the rest? A roofline is a *bound*, and three things keep us below it. im2col and pooling read windows in
# small steps, not in one sweep as the copy does. `erf` is one FLOP by our convention and takes as long as
# many. And each of some forty operations has its overhead in Python, a microsecond or more.
#
# The table shows where to start: `MaxPool2D` has hardly any FLOPs, and moves a megabyte.
#
# ## Summary
#
# - A time without its error is a rumour. Report median, IQR and a confidence interval; compare by the ratio,
#   measured in turns, and accept "no difference shown".
# - Warm up, batch, interleave, go back and forth, check the results first.
# - FLOPs are counted at the door, 2 for a multiply-add; what cannot be counted is *unknown*.
# - Memory: parameters, activations (training keeps them), the peak (use does not).
# - Most layers of small networks lie left of the ridge: they wait for memory, not for arithmetic.
#
# ## Exercises
#
# 1. Compare a function with itself a hundred times, with different seeds. How often is a difference "shown"?
#    What if all rounds of the one are measured before all of the other?
# 2. Disturb a measurement on purpose (start a large computation in another terminal halfway). How do mean,
#    median, minimum and the ratio react?
# 3. Count the FLOPs of `conv2d_im2col` against `Conv2D` for the same images. Why are they equal, and why do
#    the bytes differ?
# 4. Give `FlopRules` a convention in which `exp` costs 20 FLOPs. How much more does a transformer block have?
# 5. The peak of a network can be lowered by smaller batches, at no loss in use. Plot peak and images per
#    second against the size of the batch. Where is the best compromise on your machine?
# 6. Find the layer of `convnet` that is farthest below its roof, and say why.
