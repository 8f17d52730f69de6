"""Where TinyTorch and PyTorch differ on purpose, and where they agree though they need not.

At a kink there is no derivative, and a library must choose. TinyTorch always takes the middle: elements that
are equal share a gradient. Everywhere else the two are the same function under other conventions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.reference.twins import numbers, torch, twins
from tinytorch.core.activations import leaky_relu, relu
from tinytorch.core.attention import MultiHeadAttention, scaled_dot_product_attention
from tinytorch.core.layers import Linear
from tinytorch.core.spatial import MaxPool2D
from tinytorch.core.tensor import Tensor


def slopes(
    ours: Callable[[Tensor], Tensor], theirs: Callable[[Any], Any], array: np.ndarray
) -> tuple[Any, Any]:
    """The gradients of the sums of two functions."""
    x, y = twins(array)
    ours(x).sum().backward()
    theirs(y).sum().backward()
    assert x.grad is not None
    return x.grad.tolist(), y.grad.tolist()


def test_relu_at_zero_has_slope_one_half_here_and_0_there() -> None:
    assert slopes(relu, torch.relu, np.zeros(1)) == ([0.5], [0.0])


def test_equal_maxima_of_a_window_share_the_gradient_here_and_the_first_takes_it_there() -> None:
    found = slopes(MaxPool2D(2), torch.nn.MaxPool2d(2), np.ones((1, 1, 2, 2)))
    assert found == ([[[[0.25, 0.25], [0.25, 0.25]]]], [[[[1.0, 0.0], [0.0, 0.0]]]])


def test_equal_maxima_along_an_axis_share_the_gradient_here_and_one_takes_it_there() -> None:
    ours, theirs = slopes(lambda x: x.max(axis=0), lambda y: y.max(dim=0).values, np.ones(2))
    assert ours == [0.5, 0.5]
    assert sorted(theirs) == [0.0, 1.0]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda x: x.maximum(Tensor([1.0, 1.0], dtype=np.float64)),
            lambda y: torch.maximum(y, torch.ones_like(y)),
        ),
        (lambda x: x.max(axis=0), lambda y: torch.amax(y, dim=0)),
        (lambda x: x.max(), lambda y: y.max()),
        (lambda x: x.clip(0.0, 1.0), lambda y: y.clamp(0.0, 1.0)),
        (lambda x: (x - 1.0).abs(), lambda y: (y - 1.0).abs()),
        (lambda x: leaky_relu(x - 1.0, 0.2), lambda y: torch.nn.functional.leaky_relu(y - 1.0, 0.2)),
    ],
    ids=["maximum", "amax", "max of all", "clip at its limit", "abs at 0", "leaky_relu at 0"],
)
def test_these_kinks_are_the_same(ours: Any, theirs: Any) -> None:
    mine, others = slopes(ours, theirs, np.ones(2))
    assert mine == others


def test_variance_divides_by_the_number_here_and_by_one_less_there() -> None:
    x, y = twins(numbers(0, 5))
    assert x.var().item() == pytest.approx(y.var(correction=0).item(), rel=1e-12)
    assert x.var(ddof=1).item() == pytest.approx(y.var().item(), rel=1e-12)


def test_weights_of_linear_are_transposed() -> None:
    assert Linear(2, 3).weight.shape == (2, 3)
    assert tuple(torch.nn.Linear(2, 3).weight.shape) == (3, 2)


def test_a_mask_says_who_may_look_here_and_who_may_not_there() -> None:
    """That is, in their MultiheadAttention; their scaled_dot_product_attention has our convention."""
    layer = MultiHeadAttention(2, 1, rng=0, dtype=np.float64)
    theirs = torch.nn.MultiheadAttention(2, 1, batch_first=True, dtype=torch.float64)
    first_only = np.array([[True, False]])
    x, y = twins(numbers(0, 1, 2, 2))
    assert x.grad is None
    layer(x[:, :1], x, x, first_only)[0, 0].sum().backward()
    theirs(y[:, :1].detach(), y, y, attn_mask=torch.from_numpy(first_only))[0].sum().backward()
    assert x.grad is not None
    assert x.grad.data[0, 1].tolist() == [0.0, 0.0]
    assert y.grad[0, 0].tolist() == [0.0, 0.0]


def test_a_query_that_may_look_nowhere_gets_zeros() -> None:
    """Their layer gives NaN, the softmax of nothing; their function zeros, as ours."""
    q, k, v = (Tensor(numbers(seed, 1, 2)) for seed in range(3))
    nowhere = np.array([[False]])
    assert scaled_dot_product_attention(q, k, v, nowhere).tolist() == [[0.0, 0.0]]
    theirs = torch.nn.MultiheadAttention(2, 1, batch_first=True, dtype=torch.float64)
    y = torch.ones(1, 1, 2, dtype=torch.float64)
    assert torch.isnan(theirs(y, y, y, attn_mask=torch.tensor([[True]]))[0]).all()
