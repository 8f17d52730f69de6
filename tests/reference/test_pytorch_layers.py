"""Activations and the layers of layers and attention's table agree with PyTorch, forward and backward."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.reference.twins import DTYPES, compare, filled, linear_pairs, numbers, same_pairs, torch, twins
from tinytorch.core import activations
from tinytorch.core.attention import Embedding
from tinytorch.core.layers import LayerNorm, Linear
from tinytorch.core.tensor import Tensor

functional = torch.nn.functional

ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Any], Any]]] = {
    "relu": (activations.relu, functional.relu),
    "leaky_relu": (lambda x: activations.leaky_relu(x, 0.2), lambda x: functional.leaky_relu(x, 0.2)),
    "leaky_relu by default": (activations.LeakyReLU(), torch.nn.LeakyReLU()),
    "sigmoid": (activations.sigmoid, torch.sigmoid),
    "tanh": (activations.tanh, torch.tanh),
    "gelu": (activations.gelu, functional.gelu),
    "gelu by tanh": (activations.GELU("tanh"), torch.nn.GELU("tanh")),
    "softmax": (activations.softmax, lambda x: functional.softmax(x, dim=-1)),
    "softmax, other axis": (activations.Softmax(axis=1), torch.nn.Softmax(dim=1)),
    "log_softmax": (activations.log_softmax, lambda x: functional.log_softmax(x, dim=-1)),
    "log_softmax, other axis": (activations.LogSoftmax(axis=0), torch.nn.LogSoftmax(dim=0)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["usual", "large"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, scale: float, dtype: Any) -> None:
    ours, theirs = ACTIVATIONS[name]
    x, y = twins(scale * numbers(0, 3, 4, 5), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("leading", [(), (6,), (2, 3)], ids=str)
def test_linear(leading: tuple[int, ...], bias: bool, dtype: Any) -> None:
    ours = Linear(4, 5, bias=bias, rng=0, dtype=dtype)
    theirs = torch.nn.Linear(4, 5, bias=bias, dtype=torch.from_numpy(np.empty(0, dtype)).dtype)
    filled(ours.parameters())
    x, y = twins(numbers(1, *leading, 4), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y), *linear_pairs(ours, theirs)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5,), (4, 5)], ids=str)
def test_layer_norm(shape: tuple[int, ...], affine: bool, dtype: Any) -> None:
    ours = LayerNorm(shape, affine=affine, dtype=dtype)
    theirs = torch.nn.LayerNorm(
        shape, elementwise_affine=affine, dtype=torch.from_numpy(np.empty(0, dtype)).dtype
    )
    filled(ours.parameters())
    x, y = twins(3.0 + 2.0 * numbers(1, 3, 4, 5), dtype)
    compare(lambda: ours(x), lambda: theirs(y), [(x, y), *same_pairs(ours, theirs)], dtype)


def test_embedding() -> None:
    ours, theirs = Embedding(5, 3, rng=0, dtype=np.float64), torch.nn.Embedding(5, 3, dtype=torch.float64)
    pairs = same_pairs(ours, theirs, ["weight"])
    tokens = np.array([[0, 4, 4], [2, 0, 4]])
    compare(lambda: ours(tokens), lambda: theirs(torch.from_numpy(tokens)), pairs)
