"""Compares a training step of the digits MLP with the same step written by hand in plain NumPy.

Needs the repository installed (pip install -e .): OPENBLAS_NUM_THREADS=1 python benchmarks/training_step.py
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.dense import MLP
from tinytorch.core.optimizers import SGD, Adam, Optimizer
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss

Array = npt.NDArray[Any]
Lap = Callable[[str], None]
SIZES = (64, 64, 32, 10)
PARTS = ("forward", "loss", "backward", "optimizer")
BATCH_SIZES = (1, 32, 128, 512)
LIMIT = 4.0


class Watch:
    """Seconds by the part of a step that they were spent in."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = perf_counter()

    def __call__(self, part: str) -> None:
        """Note that a part ends now, and the next begins."""
        now = perf_counter()
        self.laps[part] = now - self._last
        self._last = now

    @property
    def total(self) -> float:
        return sum(self.laps.values())


class OurStep:
    """The step as a user of the package writes it."""

    def __init__(self, optimizer: str) -> None:
        self.network = MLP(SIZES, rng=0)
        parameters = self.network.parameters()
        self.optimizer: Optimizer = (
            Adam(parameters, lr=1e-3) if optimizer == "adam" else SGD(parameters, lr=1e-2, momentum=0.9)
        )
        self.loss = CrossEntropyLoss()

    def __call__(self, images: Array, labels: Array, lap: Lap) -> float:
        x, y = Tensor(images), Tensor(labels)
        scores = self.network(x)
        lap("forward")
        loss = self.loss(scores, y)
        value = float(loss.item())
        lap("loss")
        self.optimizer.zero_grad()
        loss.backward()
        lap("backward")
        self.optimizer.step()
        lap("optimizer")
        return value


class HandStep:
    """The same step by hand: the derivatives worked out on paper, no checks, nothing recorded."""

    def __init__(self, optimizer: str) -> None:
        self.weights = [linear.weight.numpy() for linear in MLP(SIZES, rng=0).linears]
        self.biases = [np.zeros(size, np.float32) for size in SIZES[1:]]
        self.parameters = self.weights + self.biases
        self.first = [np.zeros_like(part) for part in self.parameters]
        self.second = [np.zeros_like(part) for part in self.parameters]
        self.steps = 0
        self.update = self._adam if optimizer == "adam" else self._momentum

    def __call__(self, images: Array, labels: Array, lap: Lap) -> float:
        inputs = [images]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            inputs.append(np.maximum(inputs[-1] @ weight + bias, 0))
        scores = inputs[-1] @ self.weights[-1] + self.biases[-1]
        lap("forward")
        rows = np.arange(len(labels))
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        value = -float(np.log(probabilities[rows, labels]).mean())
        lap("loss")
        delta = probabilities
        delta[rows, labels] -= 1
        delta /= len(labels)
        for_weights, for_biases = [], []
        for weight, x in zip(self.weights[::-1], inputs[::-1], strict=True):
            for_weights.append(x.T @ delta)
            for_biases.append(delta.sum(axis=0))
            if x is not images:
                delta = (delta @ weight.T) * (x > 0)
        lap("backward")
        self.update(for_weights[::-1] + for_biases[::-1])
        lap("optimizer")
        return value

    def _momentum(self, gradients: list[Array]) -> None:
        for parameter, velocity, gradient in zip(self.parameters, self.first, gradients, strict=True):
            velocity *= 0.9
            velocity += gradient
            parameter -= 1e-2 * velocity

    def _adam(self, gradients: list[Array]) -> None:
        self.steps += 1
        for parameter, first, second, gradient in zip(
            self.parameters, self.first, self.second, gradients, strict=True
        ):
            first *= 0.9
            first += 0.1 * gradient
            second *= 0.999
            second += 0.001 * gradient * gradient
            mean = first / (1 - 0.9**self.steps)
            square = second / (1 - 0.999**self.steps)
            parameter -= 1e-3 * mean / (np.sqrt(square) + 1e-8)


@dataclass(frozen=True)
class Comparison:
    """Median seconds of one step, by part, of ours and of the one by hand, and the median of their ratios."""

    ours: dict[str, float]
    by_hand: dict[str, float]
    ratio: float

    def __str__(self) -> str:
        total, hand = sum(self.ours.values()), sum(self.by_hand.values())
        shares = sorted(self.ours, key=lambda part: self.by_hand[part] - self.ours[part])
        where = ", ".join(f"{part} {1e6 * (self.ours[part] - self.by_hand[part]):+.0f}" for part in shares)
        return f"{1e6 * total:8.0f} {1e6 * hand:8.0f} {self.ratio:7.2f}   {where}"


def compare(optimizer: str, batch: int, rounds: int, warm_up: int = 20) -> Comparison:
    """Time both steps in turns on the same batches, so that whatever else the machine does meets both.

    Args:
        optimizer: "sgd" (with momentum) or "adam".
        batch: Images per step.
        rounds: How many steps of each count.
        warm_up: How many steps of each come first; in these the losses are compared.

    Raises:
        AssertionError: If the two do not compute the same.
    """
    rng = np.random.default_rng(0)
    images = rng.random((batch, SIZES[0]), np.float32)
    labels = rng.integers(0, SIZES[-1], batch)
    ours, by_hand = OurStep(optimizer), HandStep(optimizer)
    for _ in range(warm_up):
        np.testing.assert_allclose(
            ours(images, labels, Watch()), by_hand(images, labels, Watch()), rtol=1e-3, atol=1e-5
        )
    laps: dict[str, list[Watch]] = {"ours": [], "by hand": []}
    for number in range(rounds):
        turn = [("ours", ours), ("by hand", by_hand)]
        for name, step in turn if number % 2 else reversed(turn):
            watch = Watch()
            step(images, labels, watch)
            laps[name].append(watch)
    ratios = [a.total / b.total for a, b in zip(laps["ours"], laps["by hand"], strict=True)]
    medians = {
        name: {part: median(watch.laps[part] for watch in watches) for part in PARTS}
        for name, watches in laps.items()
    }
    return Comparison(medians["ours"], medians["by hand"], median(ratios))


def main() -> int:
    """Print the table; the exit status is 1 if a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=500, help="steps of each kind per line (default 500)")
    rounds = parser.parse_args().rounds
    print(f"MLP {'-'.join(map(str, SIZES))}, float32, {rounds} interleaved steps a line, medians in µs")
    print("optimizer batch     ours  by hand   ratio   where the difference is spent")
    worst = 0.0
    for optimizer in ("sgd", "adam"):
        for batch in BATCH_SIZES:
            found = compare(optimizer, batch, rounds)
            worst = max(worst, found.ratio)
            print(f"{optimizer:9} {batch:5} {found}")
    print(f"the largest ratio is {worst:.2f}, the limit {LIMIT:.0f}")
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
