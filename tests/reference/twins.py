"""The same numbers as tensors of TinyTorch and of PyTorch, and the comparison of what becomes of them.

Without PyTorch, the tests that import this file are skipped, unless the environment says REQUIRE_PYTORCH=1,
as `tests/run_checks.py` does: then they fail.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from tinytorch.core.autograd import backward
from tinytorch.core.layers import Linear
from tinytorch.core.tensor import Tensor

if os.environ.get("REQUIRE_PYTORCH") == "1":
    import torch
else:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

TOLERANCE = {np.float64: 1e-10, np.float32: 1e-5}
DTYPES = list(TOLERANCE)
Pair = tuple[Any, Any]  # ours and theirs: tensors, or functions that return the gradients as arrays


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def twins(array: np.ndarray, dtype: Any = np.float64) -> tuple[Tensor, Any]:
    """Two leaves that hold the same numbers."""
    values = array.astype(dtype)
    return Tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)


def copy_into(theirs: Any, ours: Any) -> None:
    """Overwrite a parameter of PyTorch with an array of TinyTorch's numbers."""
    with torch.no_grad():
        theirs.copy_(torch.from_numpy(np.ascontiguousarray(ours)))


def filled(parameters: Iterable[Any], seed: int = 0) -> None:
    """Give TinyTorch's parameters numbers other than the 0 and 1 that many start from."""
    rng = np.random.default_rng(seed)
    for parameter in parameters:
        parameter.data = (0.5 * rng.normal(size=parameter.shape)).astype(parameter.dtype)


def linear_pairs(ours: Linear, theirs: Any) -> list[Pair]:
    """Copy a Linear into one of PyTorch, which keeps the transposed weight, and pair the gradients."""
    copy_into(theirs.weight, ours.weight.data.T)
    pairs: list[Pair] = [(lambda: ours.weight.grad.data.T, lambda: theirs.weight.grad.numpy())]
    if ours.bias is not None:
        copy_into(theirs.bias, ours.bias.data)
        pairs.append((ours.bias, theirs.bias))
    return pairs


def same_pairs(ours: Any, theirs: Any, names: Iterable[str] = ("weight", "bias")) -> list[Pair]:
    """Copy parameters that have one shape in both libraries, and pair them."""
    found = [
        (getattr(ours, name), getattr(theirs, name)) for name in names if getattr(ours, name) is not None
    ]
    for mine, other in found:
        copy_into(other, mine.data)
    return found


def gradient(part: Any) -> np.ndarray:
    """The gradient of a tensor of either library, or what a function returns."""
    if isinstance(part, Tensor):
        assert part.grad is not None
        return part.grad.data
    if callable(part) and not isinstance(part, torch.Tensor):
        return part()
    return part.grad.numpy()


def assert_same(ours: Any, theirs: Any, dtype: Any = np.float64) -> None:
    """Assert that two arrays agree to the tolerance of their dtype, relative and absolute."""
    found = ours.data if isinstance(ours, Tensor) else np.asarray(ours)
    expected = theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else np.asarray(theirs)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def compare(
    ours: Callable[[], Tensor], theirs: Callable[[], Any], pairs: Iterable[Pair], dtype: Any = np.float64
) -> None:
    """Assert that two computations agree, forward and, with one gradient for both, backward.

    Args:
        ours: Computes a tensor of TinyTorch.
        theirs: Computes the same with PyTorch.
        pairs: The leaves of both whose gradients must agree.
        dtype: That of all numbers.
    """
    found, expected = ours(), theirs()
    assert_same(found, expected, dtype)
    seed = numbers(99, *found.shape).astype(dtype)
    backward(found, seed)
    expected.backward(torch.from_numpy(seed))
    for mine, other in pairs:
        assert_same(gradient(mine), gradient(other), dtype)
