"""Guards the boundary from dataloader to layers, optimizers and training: batches of unequal size, seeded order."""

from typing import Any

import numpy as np
import pytest

from tinytorch.core.dataloader import DataLoader, Normalizer, Subset, TensorDataset
from tinytorch.core.layers import Linear
from tinytorch.core.optimizers import SGD
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, MSELoss, Trainer, accuracy


def regression(count: int) -> TensorDataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, 3))
    return TensorDataset(x, x @ np.array([[1.0], [-2.0], [0.5]]) + 0.25)


def trainer(lr: float = 0.05) -> Trainer:
    net = Linear(3, 1, rng=0, dtype=np.float64)
    return Trainer(net, MSELoss(), SGD(net.parameters(), lr=lr))


def weights(found: Trainer) -> Any:
    return np.concatenate([parameter.data.ravel() for parameter in found.model.parameters()])


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10, 64])
def test_what_is_measured_does_not_depend_on_the_size_of_the_batches(batch_size: int) -> None:
    """Ten examples in batches of 3 leave one that holds 1: a mean of means would count it three times."""
    found = trainer().evaluate(DataLoader(regression(10), batch_size))
    whole = trainer().evaluate(DataLoader(regression(10), 10))
    assert found["loss"] == pytest.approx(whole["loss"], rel=1e-12)


def test_an_epoch_sees_every_example_once_in_the_order_of_the_seed() -> None:
    seen: list[np.ndarray] = []

    class Watching(Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.data.copy())
            return super().forward(x)

    data = regression(10)
    net = Watching(3, 1, rng=0, dtype=np.float64)
    loader = DataLoader(data, 4, shuffle=True, rng=3)
    Trainer(net, MSELoss(), SGD(net.parameters(), lr=0.01)).fit(loader, 2)
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    everything = data.batch(list(range(10)))[0].data
    for epoch in range(2):
        rows = np.concatenate(seen[3 * epoch : 3 * epoch + 3])
        np.testing.assert_array_equal(rows, everything[loader.order(epoch)])
    assert not np.array_equal(loader.order(0), loader.order(1))


def test_one_epoch_of_whole_batches_is_gradient_descent_by_hand() -> None:
    data = regression(12)
    found = trainer(lr=0.1)
    weight, bias = (parameter.numpy() for parameter in found.model.parameters())
    found.fit(DataLoader(data, 5, drop_last=True), 1)
    x, y = (tensor.data for tensor in data.batch(list(range(12))))
    for rows in (slice(0, 5), slice(5, 10)):  # the last two examples are dropped
        error = x[rows] @ weight + bias - y[rows]
        weight = weight - 0.1 * 2 / 5 * x[rows].T @ error
        bias = bias - 0.1 * 2 / 5 * error.sum(axis=0)
    np.testing.assert_allclose(weights(found), np.concatenate([weight.ravel(), bias]), rtol=1e-12)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    def trained(seed: int) -> Any:
        found = trainer()
        found.fit(DataLoader(regression(10), 3, shuffle=True, rng=seed), 3)
        return weights(found)

    np.testing.assert_array_equal(trained(1), trained(1))
    assert not np.array_equal(trained(1), trained(2))


def test_integer_labels_of_a_dataset_are_what_cross_entropy_and_accuracy_want() -> None:
    labels = np.arange(9) % 3
    data = TensorDataset(3.0 * np.eye(3)[labels], labels)
    net = Linear(3, 3, rng=0, dtype=np.float64)
    optimizer = SGD(net.parameters(), lr=1.0)
    found = Trainer(net, CrossEntropyLoss(), optimizer, metrics={"accuracy": accuracy})
    history = found.fit(DataLoader(data, 4), 20)
    assert history[-1]["accuracy"] == 1.0
    assert found.evaluate(DataLoader(Subset(data, [0, 4]), 1))["accuracy"] == 1.0


def test_features_of_very_different_size_are_learned_only_when_normalised() -> None:
    """Fitted on the training part alone; the same shift and scale serve for what comes later."""
    rng = np.random.default_rng(0)
    raw = rng.normal([0.0, 1000.0], [1.0, 300.0], size=(60, 2))
    target = Tensor(raw @ np.array([[1.0], [0.01]]))
    normalizer = Normalizer().fit(Tensor(raw[:40]))
    net = Linear(2, 1, rng=0, dtype=np.float64)
    found = Trainer(net, MSELoss(), SGD(net.parameters(), lr=0.1))
    parts = [
        DataLoader(TensorDataset(normalizer.transform(Tensor(raw[rows])), target[rows]), 20)
        for rows in (slice(0, 40), slice(40, 60))
    ]
    assert found.fit(parts[0], 100, validation=parts[1])[-1]["validation_loss"] < 1e-6
    unscaled = Linear(2, 1, rng=0, dtype=np.float64)
    diverging = Trainer(unscaled, MSELoss(), SGD(unscaled.parameters(), lr=0.1))
    with np.errstate(over="ignore", invalid="ignore"), pytest.raises(ValueError, match="the loss is"):
        diverging.fit(DataLoader(TensorDataset(raw, target), 20), 100)


def test_a_dataset_of_the_wrong_kind_is_refused_before_a_weight_changes() -> None:
    found = trainer()
    before = weights(found)
    three = TensorDataset(np.zeros((4, 3)), np.zeros((4, 1)), np.zeros(4))
    with pytest.raises(ValueError, match=r"a batch is a pair \(inputs, targets\), found 3 fields"):
        found.fit(DataLoader(three, 2), 1)
    flat = TensorDataset(np.zeros((4, 3)), np.zeros(4))
    with pytest.raises(ValueError, match=r"one shape, found \(2, 1\) and \(2,\)"):
        found.fit(DataLoader(flat, 2), 1)
    np.testing.assert_array_equal(weights(found), before)
