"""Gives the system tests their data, and a clock that one core cannot cheat."""

from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from tinytorch.core.dataloader import TensorDataset
from tinytorch.core.tensor import Tensor

DATA = Path(__file__).parent / "data"
TRAINING, TEST = 1437, 360  # four fifths and one fifth


@pytest.fixture(scope="session")
def digits() -> tuple[TensorDataset, TensorDataset]:
    """Handwritten digits for training (1,437) and for the test (360); see data/README.md.

    Images are float32 of shape (N, 1, 8, 8) from 0 to 1, labels are the digits. The split is a random one from a
    fixed seed, so every writer is in both parts: it measures unseen images, not unseen hands.
    """
    table = np.loadtxt(DATA / "digits.csv.gz", delimiter=",", dtype=np.int64)
    assert table.shape == (TRAINING + TEST, 65)
    table = table[np.random.default_rng(0).permutation(len(table))]
    images = (table[:, :64] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    parts = slice(TRAINING), slice(TRAINING, None)
    training, test = (TensorDataset(Tensor(images[part]), Tensor(table[part, 64])) for part in parts)
    return training, test


@pytest.fixture
def processor_seconds() -> Callable[[], float]:
    """The processor time since the start of the test, summed over all cores: one core alone needs no more.

    Unlike the time on the wall, it does not count what other programs do meanwhile.
    """
    start = process_time()
    return lambda: process_time() - start
