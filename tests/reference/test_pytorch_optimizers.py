"""Five steps of each optimizer, gradient clipping and a whole network in training agree with PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.reference.twins import (
    DTYPES,
    assert_same,
    gradient,
    linear_pairs,
    numbers,
    same_pairs,
    torch,
    twins,
)
from tinytorch.core.activations import ReLU
from tinytorch.core.dense import Sequential
from tinytorch.core.layers import Linear
from tinytorch.core.optimizers import (
    SGD,
    Adam,
    AdamW,
    CosineLR,
    ExponentialLR,
    Optimizer,
    StepLR,
    clip_gradients,
)
from tinytorch.core.spatial import BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss

STEPS = 5
OPTIMIZERS: dict[str, tuple[type[Optimizer], Any, dict[str, Any]]] = {
    "SGD": (SGD, torch.optim.SGD, {"lr": 0.1}),
    "SGD, weight decay": (SGD, torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.2}),
    "momentum": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "momentum, weight decay": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.2}),
    "Nesterov": (SGD, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Nesterov, weight decay": (
        SGD,
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.2},
    ),
    "Adam": (Adam, torch.optim.Adam, {}),
    "Adam, weight decay": (Adam, torch.optim.Adam, {"lr": 0.05, "weight_decay": 0.2}),
    "Adam, other means": (Adam, torch.optim.Adam, {"lr": 0.05, "betas": (0.6, 0.7), "eps": 1e-3}),
    "AdamW": (AdamW, torch.optim.AdamW, {}),
    "AdamW, weight decay": (AdamW, torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.5}),
}


class Regression:
    """A curved problem in both libraries: the weights and bias behind a tanh."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.pairs = [twins(numbers(0, 4, 3), dtype), twins(numbers(1, 3), dtype)]
        self.ours, self.theirs = ([pair[side] for pair in self.pairs] for side in (0, 1))
        self.x, self.y = numbers(2, 8, 4).astype(dtype), numbers(3, 8, 3).astype(dtype)

    def differentiate(self) -> None:
        """Compute the gradients of both."""
        for mine, other in self.pairs:
            mine.grad = other.grad = None
        weight, bias = self.ours
        (((Tensor(self.x) @ weight + bias).tanh() - self.y) ** 2).mean().backward()
        weight, bias = self.theirs
        predicted = torch.tanh(torch.from_numpy(self.x) @ weight + bias)
        ((predicted - torch.from_numpy(self.y)) ** 2).mean().backward()

    def check(self) -> None:
        """Assert that gradients and parameters agree."""
        for mine, other in self.pairs:
            assert_same(gradient(mine), gradient(other), self.dtype)
            assert_same(mine, other, self.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_five_steps(name: str, dtype: Any) -> None:
    make_ours, make_theirs, options = OPTIMIZERS[name]
    problem = Regression(dtype)
    start = [mine.numpy() for mine in problem.ours]
    ours, theirs = make_ours(problem.ours, **options), make_theirs(problem.theirs, **options)
    for _ in range(STEPS):
        problem.differentiate()
        ours.step()
        theirs.step()
        problem.check()
    assert all(np.abs(mine.data - old).max() > 1e-3 for mine, old in zip(problem.ours, start, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_norm", [0.05, 1e6], ids=["clips", "does nothing"])
def test_five_steps_with_clipping_by_norm(max_norm: float, dtype: Any) -> None:
    problem = Regression(dtype)
    ours, theirs = SGD(problem.ours, lr=0.5), torch.optim.SGD(problem.theirs, lr=0.5)
    for _ in range(STEPS):
        problem.differentiate()
        norm = clip_gradients(problem.ours, max_norm=max_norm)
        expected = torch.nn.utils.clip_grad_norm_(problem.theirs, max_norm)
        assert norm == pytest.approx(expected.item(), rel=1e-6)
        ours.step()
        theirs.step()
        problem.check()


def test_clipping_by_value() -> None:
    problem = Regression(np.float64)
    problem.differentiate()
    clip_gradients(problem.ours, max_value=0.02)
    torch.nn.utils.clip_grad_value_(problem.theirs, 0.02)
    problem.check()
    assert max(np.abs(gradient(mine)).max() for mine in problem.ours) == 0.02


SCHEDULES: dict[str, tuple[Callable[[Optimizer], Any], Callable[[Any], Any]]] = {
    "StepLR": (lambda o: StepLR(o, 2, 0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5)),
    "ExponentialLR": (
        lambda o: ExponentialLR(o, 0.9),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
    ),
    "CosineLR": (
        lambda o: CosineLR(o, total=STEPS, min_lr=0.01),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, STEPS, 0.01),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name: str) -> None:
    problem = Regression(np.float64)
    ours, theirs = SGD(problem.ours, lr=0.1), torch.optim.SGD(problem.theirs, lr=0.1)
    schedule, their_schedule = (make(o) for make, o in zip(SCHEDULES[name], (ours, theirs), strict=True))
    for _ in range(STEPS):
        problem.differentiate()
        ours.step()
        theirs.step()
        problem.check()
        schedule.step()
        their_schedule.step()
        assert ours.lr == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)


def test_a_convolutional_network_learns_the_same() -> None:
    """Everything together: convolution, batch norm, pooling, dense layer, cross-entropy, clipping and AdamW."""
    nn = torch.nn
    ours = Sequential(
        Conv2D(1, 3, 3, padding=1, rng=0, dtype=np.float64),
        BatchNorm2D(3, dtype=np.float64),
        ReLU(),
        MaxPool2D(2),
        Flatten(),
        Linear(27, 4, rng=1, dtype=np.float64),
    )
    theirs = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(27, 4),
    ).double()
    pairs = [
        *same_pairs(ours[0], theirs[0]),
        *same_pairs(ours[1], theirs[1]),
        *linear_pairs(ours[5], theirs[5]),
    ]
    optimizer = AdamW(ours.parameters(), lr=0.01)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=0.01, weight_decay=0.01)
    images, labels = numbers(4, 8, 1, 6, 6), np.random.default_rng(5).integers(0, 4, 8)
    losses = []
    for _ in range(STEPS):
        losses.append(
            optimizer.minimize(CrossEntropyLoss()(ours(Tensor(images)), Tensor(labels)), max_norm=1.0)
        )
        their_optimizer.zero_grad()
        loss = nn.functional.cross_entropy(theirs(torch.from_numpy(images)), torch.from_numpy(labels))
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        their_optimizer.step()
        assert losses[-1] == pytest.approx(loss.item(), rel=1e-9)
        for mine, other in pairs:
            np.testing.assert_allclose(gradient(mine), gradient(other), rtol=1e-7, atol=1e-9)
    assert losses[-1] < losses[0]
    ours.eval()
    theirs.eval()
    np.testing.assert_allclose(
        ours(Tensor(images)).data, theirs(torch.from_numpy(images)).detach().numpy(), rtol=1e-7, atol=1e-9
    )
