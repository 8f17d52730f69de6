"""Guards the boundary setup | tensor: where setup says ready, tensors compute."""

import numpy as np

from tinytorch.core.setup import check_environment, environment_facts, parse_version
from tinytorch.core.tensor import PRIMITIVES, Tensor


def test_the_numpy_that_setup_reports_is_the_one_that_holds_the_tensors() -> None:
    numpy_found = environment_facts().numpy
    assert numpy_found is not None
    assert parse_version(numpy_found) == parse_version(np.__version__)
    assert type(Tensor([1.0]).data).__module__ == "numpy"


def test_nothing_blocks_and_the_primitives_are_there() -> None:
    assert not [str(verdict) for verdict in check_environment() if verdict.blocking]
    assert {"add", "matmul", "erf", "windows"} <= PRIMITIVES.keys()


def test_scalars_are_weak_under_the_numpy_that_setup_accepts() -> None:
    # NumPy 1.26, the oldest that setup accepts, and NumPy 2 disagree here; tensors must not.
    x = Tensor([1.0, 2.0])
    assert [(x * number).dtype for number in (2, 2.0, np.float64(2.0))] == [np.dtype(np.float32)] * 3
