"""The layers of spatial agree with PyTorch, forward and backward, and so do the running statistics."""

from typing import Any

import numpy as np
import pytest

from tests.reference.twins import DTYPES, assert_same, compare, filled, numbers, same_pairs, torch, twins
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, MaxPool2D

THEIR_DTYPE = {np.float32: torch.float32, np.float64: torch.float64}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (3, {}),
        (1, {"stride": 2}),
        (3, {"stride": 2, "padding": 1}),
        (2, {"dilation": 3, "bias": False}),
        ((3, 2), {"stride": (1, 2), "padding": (2, 1), "dilation": (2, 1)}),
        ((7, 8), {}),
    ],
    ids=str,
)
def test_conv2d(kernel: Any, options: dict[str, Any], dtype: Any) -> None:
    ours = Conv2D(2, 3, kernel, rng=0, dtype=dtype, **options)
    theirs = torch.nn.Conv2d(2, 3, kernel, dtype=THEIR_DTYPE[dtype], **options)
    filled(ours.parameters())
    x, y = twins(numbers(1, 2, 2, 7, 8), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y), *same_pairs(ours, theirs)], dtype)


WINDOWS = [
    (2, {}),
    (3, {"stride": 1}),
    (2, {"stride": 3}),
    (3, {"stride": 2, "padding": 1}),
    ((2, 3), {"stride": (1, 2), "padding": (1, 0)}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "options"), WINDOWS, ids=str)
def test_max_pooling(kernel: Any, options: dict[str, Any], dtype: Any) -> None:
    ours, theirs = MaxPool2D(kernel, **options), torch.nn.MaxPool2d(kernel, **options)
    x, y = twins(numbers(1, 2, 3, 7, 8), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count_include_pad", [True, False])
@pytest.mark.parametrize(("kernel", "options"), WINDOWS, ids=str)
def test_average_pooling(kernel: Any, options: dict[str, Any], count_include_pad: bool, dtype: Any) -> None:
    ours = AvgPool2D(kernel, **options, count_include_pad=count_include_pad)
    theirs = torch.nn.AvgPool2d(kernel, **options, count_include_pad=count_include_pad)
    x, y = twins(numbers(1, 2, 3, 7, 8), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_batch_norm_in_training_and_in_use(momentum: float, affine: bool, dtype: Any) -> None:
    """Three batches move the running statistics; then these take the place of the batch's own."""
    ours = BatchNorm2D(3, momentum=momentum, affine=affine, dtype=dtype)
    theirs = torch.nn.BatchNorm2d(3, momentum=momentum, affine=affine, dtype=THEIR_DTYPE[dtype])
    filled(ours.parameters())
    pairs = same_pairs(ours, theirs)
    for seed in range(3):
        ours.zero_grad()
        theirs.zero_grad()
        x, y = twins(seed + 2.0 * numbers(seed, 2, 3, 4, 5), dtype)
        compare(lambda x=x: ours(x), lambda y=y: theirs(y), [(x, y), *pairs], dtype)
        assert_same(ours.running_mean, theirs.running_mean, dtype)
        assert_same(ours.running_var, theirs.running_var, dtype)
    ours.eval().zero_grad()
    theirs.eval().zero_grad()
    x, y = twins(numbers(9, 2, 3, 4, 5), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y), *pairs], dtype)
    assert_same(ours.running_mean, theirs.running_mean, dtype)
