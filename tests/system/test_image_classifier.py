"""The capstone's image classifier learns to read handwritten digits: configuration, training, prediction."""

from collections.abc import Callable

import numpy as np

from tinytorch.core.capstone import ClassifierConfig, FitSettings, ImageClassifier, fit_model
from tinytorch.core.dataloader import TensorDataset, random_split
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import accuracy, confusion_matrix

Digits = tuple[TensorDataset, TensorDataset]


def test_it_reads_digits_that_it_has_not_seen(digits: Digits, processor_seconds: Callable[[], float]) -> None:
    training, test = digits
    learned, validation = random_split(training, [0.9, 0.1], rng=0)
    model = ImageClassifier(ClassifierConfig((1, 8, 8), classes=10, dropout=0.1), rng=0)
    trainer = fit_model(model, learned, validation, FitSettings(epochs=10, lr=1e-2, patience=4))
    assert processor_seconds() < 60.0
    assert trainer.history[-1]["loss"] < 0.1 * trainer.history[0]["loss"]

    images, labels = test.tensors
    found = model.predict(images)
    assert accuracy(found, labels) >= 0.95
    counts = confusion_matrix(found, labels, 10)
    assert (np.diag(counts) / counts.sum(axis=1)).min() >= 0.85  # no digit is given up

    chances = model.predict_proba(images).numpy()
    right = found.numpy() == labels.numpy()
    assert chances.max(axis=1)[right].mean() > chances.max(axis=1)[~right].mean()  # it doubts where it errs


def test_images_of_another_size_are_refused(digits: Digits) -> None:
    model = ImageClassifier(ClassifierConfig((1, 8, 8), classes=10), rng=0)
    image = digits[1].tensors[0][:1]
    try:
        model.predict(Tensor(np.pad(image.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))))
    except ValueError as error:
        message = str(error)
    else:
        raise AssertionError("an image of 10 x 10 pixels must be refused")
    assert message == "ImageClassifier expects images of shape (N, 1, 8, 8), found (1, 1, 10, 10)"
