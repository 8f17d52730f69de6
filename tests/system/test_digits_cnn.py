"""A convolutional network learns to read handwritten digits: data, model, training, prediction."""

from collections.abc import Callable

import numpy as np

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import no_grad
from tinytorch.core.dataloader import DataLoader, TensorDataset
from tinytorch.core.dense import Sequential
from tinytorch.core.layers import Linear
from tinytorch.core.optimizers import Adam, CosineLR
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.training import CrossEntropyLoss, Trainer, accuracy

Digits = tuple[TensorDataset, TensorDataset]
EPOCHS = 12


def new_network() -> Sequential:
    """Two convolutions, of 16 and 32 channels, each normalised and pooled, then one linear layer."""
    rng = np.random.default_rng(0)
    return Sequential(
        Conv2D(1, 16, 3, padding=1, bias=False, rng=rng),
        BatchNorm2D(16),
        ReLU(),
        MaxPool2D(2),
        Conv2D(16, 32, 3, padding=1, bias=False, rng=rng),
        BatchNorm2D(32),
        ReLU(),
        AvgPool2D(2),
        Flatten(),
        Linear(128, 10, rng=rng),
    )


def trained(network: Sequential, training: TensorDataset, epochs: int) -> Trainer:
    loader = DataLoader(training, batch_size=32, shuffle=True, rng=0)
    optimizer = Adam(network.parameters(), lr=5e-3)
    schedule = CosineLR(optimizer, total=epochs * len(loader), warmup=20)
    trainer = Trainer(network, CrossEntropyLoss(), optimizer, schedule, "batch", {"accuracy": accuracy})
    trainer.fit(loader, epochs)
    return trainer


def test_the_network_reads_95_percent_of_unseen_digits_within_a_minute_of_one_core(
    digits: Digits, processor_seconds: Callable[[], float]
) -> None:
    training, test = digits
    network = new_network()
    trainer = trained(network, training, EPOCHS)
    assert processor_seconds() < 60.0

    found = trainer.evaluate(DataLoader(test, batch_size=60))
    assert found["accuracy"] >= 0.95
    assert found["loss"] < 0.25
    assert trainer.history[-1]["accuracy"] >= 0.99

    # In use, an image's scores do not depend on what else is in its batch.
    images = test.tensors[0]
    network.eval()
    with no_grad():
        together = network(images).numpy()
        alone = np.concatenate([network(images[place : place + 1]).numpy() for place in range(20)])
    np.testing.assert_allclose(alone, together[:20], rtol=1e-4, atol=1e-4)

    # Normalisation works with what was noted during training, all of which a state carries over.
    copy = new_network().eval()
    copy.load_state_dict(network.state_dict())
    with no_grad():
        np.testing.assert_array_equal(copy(images).numpy(), together)
