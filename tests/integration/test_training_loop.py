"""Guards the boundary from tensor, layers and dense to dataloader, autograd, optimizers and training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinytorch.core.autograd import grad
from tinytorch.core.dataloader import DataLoader, Normalizer, TensorDataset, random_split
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Dropout, LayerNorm, Linear
from tinytorch.core.optimizers import SGD, Adam, AdamW, CosineLR, clip_gradients
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import (
    BCEWithLogits,
    CrossEntropyLoss,
    EarlyStopping,
    MSELoss,
    Trainer,
    accuracy,
    confusion_matrix,
    load_checkpoint,
    mean_absolute_error,
    save_checkpoint,
)


def rings(count: int) -> TensorDataset:
    """Points in the plane, class 0 near the origin and class 1 on a ring around it: no line divides them."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, count)
    radius = np.where(labels == 0, 0.5, 2.0) + rng.normal(0.0, 0.15, count)
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    points = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).astype(np.float32)
    return TensorDataset(Tensor(points), Tensor(labels))


def loaders() -> tuple[DataLoader, DataLoader]:
    training, validation = random_split(rings(200), [160, 40], rng=1)
    return DataLoader(training, 32, shuffle=True, rng=2), DataLoader(validation, 32)


def new_trainer() -> Trainer:
    """A trainer in which everything that a checkpoint can forget is in use."""
    net = Sequential(Linear(2, 16, rng=3), LayerNorm(16), Dropout(0.1, rng=4), MLP([16, 16, 2], rng=5))
    optimizer = AdamW(net.parameters(), lr=0.02)
    return Trainer(
        net,
        CrossEntropyLoss(),
        optimizer,
        schedule=CosineLR(optimizer, total=100, warmup=5),
        schedule_every="batch",
        metrics={"accuracy": accuracy},
        max_norm=5.0,
        early_stopping=EarlyStopping(patience=20),
    )


def trained(trainer: Trainer, epochs: int) -> Trainer:
    training, validation = loaders()
    trainer.fit(training, epochs, validation=validation)
    return trainer


def test_a_tiny_network_learns_what_no_line_divides() -> None:
    trainer = trained(new_trainer(), 20)
    first, last = trainer.history[0], trainer.history[-1]
    assert last["loss"] < 0.1
    assert last["loss"] < 0.2 * first["loss"]
    assert last["validation_accuracy"] >= 0.95
    inputs, labels = rings(200).batch(list(range(200)))
    counts = confusion_matrix(trainer.model.eval()(inputs), labels, 2)
    assert counts.sum() == 200
    assert np.trace(counts) >= 190


@pytest.mark.parametrize("epochs_before", [1, 3])
def test_resumed_training_is_uninterrupted_training_to_the_last_bit(
    tmp_path: Path, epochs_before: int
) -> None:
    whole = trained(new_trainer(), 5)
    save_checkpoint(tmp_path / "training.npz", trained(new_trainer(), epochs_before))
    resumed = new_trainer()
    load_checkpoint(tmp_path / "training.npz", resumed)
    trained(resumed, 5 - epochs_before)
    assert resumed.history == whole.history
    for part in ("model", "optimizer", "schedule"):
        expected, found = getattr(whole, part).state_dict(), getattr(resumed, part).state_dict()
        assert expected.keys() == found.keys()
        assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, lr=0.05, momentum=0.9),
        lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True),
        lambda p: Adam(p, lr=0.02),
    ],
    ids=["momentum", "nesterov", "adam"],
)
def test_regression_finds_the_coefficients(make: Any) -> None:
    rng = np.random.default_rng(0)
    raw = Tensor(rng.normal([5.0, -100.0], [2.0, 30.0], size=(128, 2)).astype(np.float32))
    x = Normalizer().fit_transform(raw)
    y = x @ Tensor([[1.5], [-0.5]]) + 0.25
    net = Linear(2, 1, rng=0)
    trainer = Trainer(net, MSELoss(), make(net.parameters()), metrics={"mae": mean_absolute_error})
    history = trainer.fit(DataLoader(TensorDataset(x, y), 32, shuffle=True, rng=0), 60)
    assert history[-1]["mae"] < 0.02
    assert net.bias is not None
    np.testing.assert_allclose(net.weight.numpy(), [[1.5], [-0.5]], atol=0.03)
    np.testing.assert_allclose(net.bias.numpy(), [0.25], atol=0.03)


def test_a_trainers_step_is_the_gradient_of_autograd_clipped() -> None:
    net = MLP([2, 4, 1], rng=0)
    x, labels = rings(16).batch(list(range(16)))
    targets = labels.reshape(16, 1)
    before = net.state_dict()
    expected = grad(BCEWithLogits()(net(x), targets), net.parameters())
    norm = float(np.sqrt(sum(float(np.sum(g.numpy() ** 2)) for g in expected)))
    trainer = Trainer(net, BCEWithLogits(), SGD(net.parameters(), lr=1.0), max_norm=norm / 2)
    trainer.fit(DataLoader(TensorDataset(x, targets), 16), 1)
    for (name, parameter), gradient in zip(net.named_parameters(), expected, strict=True):
        moved = before[name] - parameter.numpy()
        np.testing.assert_allclose(moved, 0.5 * gradient.numpy(), rtol=1e-3, atol=1e-6)
    assert clip_gradients(net.parameters(), max_norm=1e9) == pytest.approx(norm / 2, rel=1e-3)


def test_a_part_that_the_optimizer_does_not_hold_stays_frozen() -> None:
    net = Sequential(Linear(2, 8, rng=0), Linear(8, 2, rng=1))
    before = net.state_dict()
    trainer = Trainer(net, CrossEntropyLoss(), SGD(net[1].parameters(), lr=0.1))
    trainer.fit(loaders()[0], 1)
    changed = {name for name, array in net.state_dict().items() if not np.array_equal(array, before[name])}
    names = [name for name, _ in net.named_parameters()]
    assert changed == set(names[2:])
