"""A multi-layer perceptron learns to read handwritten digits: data, model, training, prediction."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import no_grad
from tinytorch.core.dataloader import DataLoader, Normalizer, TensorDataset
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.optimizers import AdamW, CosineLR
from tinytorch.core.spatial import Flatten
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import (
    CrossEntropyLoss,
    Trainer,
    accuracy,
    confusion_matrix,
    load_checkpoint,
    save_checkpoint,
)

Digits = tuple[TensorDataset, TensorDataset]
EPOCHS = 25
STEPS = EPOCHS * 45  # batches of 32 of 1,437 images


def new_trainer() -> Trainer:
    """A trainer of 64-64-32-10 with dropout; all that is random in it comes from the seed 0."""
    network = Sequential(Flatten(), MLP([64, 64, 32, 10], activation=ReLU(), dropout=0.1, rng=0))
    optimizer = AdamW(network.parameters(), lr=3e-3)
    return Trainer(
        network,
        CrossEntropyLoss(),
        optimizer,
        schedule=CosineLR(optimizer, total=STEPS, warmup=20),
        schedule_every="batch",
        metrics={"accuracy": accuracy},
    )


def normalized(digits: Digits) -> Digits:
    """Both parts, shifted and scaled by what the training part alone says."""
    (images, labels), (unseen, answers) = (part.tensors for part in digits)
    normalizer = Normalizer().fit(images)
    return (
        TensorDataset(normalizer.transform(images), labels),
        TensorDataset(normalizer.transform(unseen), answers),
    )


def trained(training: TensorDataset, epochs: int) -> Trainer:
    loader = DataLoader(training, batch_size=32, shuffle=True, rng=0)
    trainer = new_trainer()
    trainer.fit(loader, epochs)
    return trainer


def scores(trainer: Trainer, images: Tensor) -> Tensor:
    with no_grad():
        found: Tensor = trainer.model.eval()(images)
    return found


def test_the_mlp_reads_95_percent_of_unseen_digits_within_a_minute_of_one_core(
    digits: Digits, processor_seconds: Callable[[], float]
) -> None:
    training, test = normalized(digits)
    trainer = trained(training, EPOCHS)
    assert processor_seconds() < 60.0

    found = scores(trainer, test.tensors[0])
    assert accuracy(found, test.tensors[1]) >= 0.95
    assert trainer.evaluate(DataLoader(test, batch_size=100))["accuracy"] == accuracy(found, test.tensors[1])
    counts = confusion_matrix(found, test.tensors[1], 10)
    recall = np.diag(counts) / counts.sum(axis=1)
    assert recall.min() >= 0.8  # no digit is given up for the sake of the others
    first, last = trainer.history[0], trainer.history[-1]
    assert last["loss"] < 0.1 * first["loss"]


def test_one_seed_makes_one_network_and_a_file_carries_it(digits: Digits, tmp_path: Path) -> None:
    training, test = normalized(digits)
    first, second = trained(training, 2), trained(training, 2)
    expected = scores(first, test.tensors[0]).numpy()
    np.testing.assert_array_equal(scores(second, test.tensors[0]).numpy(), expected)

    save_checkpoint(tmp_path / "digits.npz", first)
    fresh = new_trainer()
    assert not np.array_equal(scores(fresh, test.tensors[0]).numpy(), expected)
    load_checkpoint(tmp_path / "digits.npz", fresh)
    np.testing.assert_array_equal(scores(fresh, test.tensors[0]).numpy(), expected)


def test_labels_that_mean_nothing_teach_nothing(digits: Digits) -> None:
    """The accuracy above comes from the images: with shuffled labels it is that of guessing."""
    training, test = normalized(digits)
    labels = np.random.default_rng(1).permutation(training.tensors[1].numpy())
    trainer = trained(TensorDataset(training.tensors[0], Tensor(labels)), 3)
    assert accuracy(scores(trainer, test.tensors[0]), test.tensors[1]) < 0.3
