"""Central differences, with which every file of this folder compares the recorded gradients.

They share no code with `autograd`: all they do is to move numbers and to run the computation again.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

STEP = 2.0**-10  # a power of two: numbers on a coarse grid are moved without rounding, even in float32
TOLERANCE = 1e-6
FLOOR = 1e-3  # gradients below count as this large: of one that is 0 no error is relative


def central_differences(compute: Callable[[], Any], tensor: Any, weights: np.ndarray) -> np.ndarray:
    """Differentiate sum(weights * compute()) with respect to a tensor, by differences over five points.

    (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / 12h has an error of order h^4 (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 25.3.6), some 1e-12 here. With one pair of points it would
    be 1e-9 at best, too much for small gradients. Kinks must be further away than 2h = 0.002.
    """
    result = np.zeros(tensor.shape)
    for place in np.ndindex(tensor.shape):
        value = tensor.data[place]

        def moved_by(step: float, place: Any = place, value: Any = value) -> np.ndarray:
            tensor.data[place] = value + step
            return compute().data.astype(np.float64)

        near = moved_by(STEP) - moved_by(-STEP)
        far = moved_by(2 * STEP) - moved_by(-2 * STEP)
        tensor.data[place] = value
        result[place] = np.sum(weights * (8 * near - far)) / (12 * STEP)
    return result


def check_agreement(compute: Callable[[], Any], tensors: Sequence[Any]) -> None:
    """Assert that `backward` finds what central differences find, for every element of every tensor.

    The error is |found - expected| / max(|expected|, 0.001), and must be below 1e-6.

    Args:
        compute: Computes a tensor of any shape from `tensors`, the same one whenever it is called.
        tensors: Leaves marked `requires_grad`, of floats.
    """
    for tensor in tensors:
        tensor.zero_grad()
    output = compute()
    weights = np.random.default_rng(0).uniform(0.5, 1.5, output.shape)  # equal ones would hide mistakes
    output.backward(weights)
    for position, tensor in enumerate(tensors):
        assert tensor.grad is not None, f"input {position} of shape {tensor.shape} got no gradient"
        found, expected = tensor.grad.data, central_differences(compute, tensor, weights)
        assert found.shape == tensor.shape
        assert found.dtype == tensor.dtype
        error = np.abs(found - expected) / np.maximum(np.abs(expected), FLOOR)
        assert (error < TOLERANCE).all(), f"input {position}: {found} found, {expected} expected"


@pytest.fixture(scope="session")
def agree() -> Callable[[Callable[[], Any], Sequence[Any]], None]:
    """`check_agreement`; for hypothesis it must not be made anew for each test."""
    return check_agreement
