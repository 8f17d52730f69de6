"""The losses agree with PyTorch, forward and backward, for usual and for extreme scores."""

from typing import Any

import numpy as np
import pytest

from tests.reference.twins import DTYPES, compare, numbers, torch, twins
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import BCEWithLogits, CrossEntropyLoss, MSELoss

REDUCTIONS = ["mean", "sum", "none"]
SCALES = [1.0, 100.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_mse(reduction: Any, dtype: Any) -> None:
    inputs = [twins(numbers(seed, 4, 3), dtype) for seed in range(2)]
    (x, y), (targets, their_targets) = inputs
    theirs = torch.nn.MSELoss(reduction=reduction)
    compare(lambda: MSELoss(reduction)(x, targets), lambda: theirs(y, their_targets), inputs, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy(reduction: Any, smoothing: float, scale: float, dtype: Any) -> None:
    labels = np.random.default_rng(0).integers(0, 5, 6)
    x, y = twins(scale * numbers(0, 6, 5), dtype)
    ours = CrossEntropyLoss(reduction, smoothing)
    theirs = torch.nn.CrossEntropyLoss(reduction=reduction, label_smoothing=smoothing)
    compare(lambda: ours(x, Tensor(labels)), lambda: theirs(y, torch.from_numpy(labels)), [(x, y)], dtype)


def test_cross_entropy_of_sequences() -> None:
    """PyTorch wants the classes in axis 1; here they stand last, whatever comes before."""
    labels = np.random.default_rng(0).integers(0, 5, (2, 3))
    x, y = twins(numbers(0, 2, 3, 5))
    theirs = torch.nn.CrossEntropyLoss()
    compare(
        lambda: CrossEntropyLoss()(x, Tensor(labels)),
        lambda: theirs(y.transpose(1, 2), torch.from_numpy(labels)),
        [(x, y)],
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction: Any, scale: float, dtype: Any) -> None:
    targets = np.random.default_rng(0).random((4, 3)).astype(dtype)
    x, y = twins(scale * numbers(0, 4, 3), dtype)
    theirs = torch.nn.BCEWithLogitsLoss(reduction=reduction)
    compare(
        lambda: BCEWithLogits(reduction)(x, Tensor(targets)),
        lambda: theirs(y, torch.from_numpy(targets)),
        [(x, y)],
        dtype,
    )
