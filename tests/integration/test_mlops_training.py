"""Guards the boundary from dataloader, dense, optimizers and training to mlops: a trained model goes to work."""

from pathlib import Path

import numpy as np
import pytest

from tinytorch.core.activations import Tanh
from tinytorch.core.dataloader import DataLoader, Normalizer, TensorDataset, random_split
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear
from tinytorch.core.mlops import (
    AlertRule,
    DriftDetector,
    ModelFileError,
    ModelRegistry,
    RegistryError,
    ServiceMonitor,
    load_model,
    save_model,
)
from tinytorch.core.optimizers import AdamW
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, Trainer, accuracy, load_checkpoint, save_checkpoint

CONFIG = {
    "builder": "sequential",
    "steps": [
        {"builder": "mlp", "sizes": [2, 16, 16], "activation": {"builder": "tanh"}},
        {"builder": "layer_norm", "normalized_shape": 16},
        {"builder": "dropout", "p": 0.1},
        {"builder": "linear", "in_features": 16, "out_features": 2},
    ],
}


def points(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """Points in the plane (in centimetres) and whether they lie in the upper right or lower left quarter."""
    rng = np.random.default_rng(seed)
    x = rng.normal([0.0, 0.0], [20.0, 5.0], size=(count, 2)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(np.int64)


def new_trainer(seed: int = 0) -> Trainer:
    body = MLP([2, 16, 16], activation=Tanh(), rng=seed)
    model = Sequential(body, LayerNorm(16), Dropout(0.1, rng=seed), Linear(16, 2, rng=seed))
    return Trainer(
        model, CrossEntropyLoss(), AdamW(model.parameters(), lr=0.02), metrics={"accuracy": accuracy}
    )


def trained(epochs: int) -> tuple[Trainer, Normalizer]:
    x, labels = points(400, seed=0)
    normalizer = Normalizer()
    data = TensorDataset(normalizer.fit_transform(Tensor(x)), Tensor(labels))
    training, validation = random_split(data, [320, 80], rng=0)
    trainer = new_trainer()
    trainer.fit(DataLoader(training, 32, shuffle=True, rng=1), epochs, validation=DataLoader(validation, 32))
    return trainer, normalizer


@pytest.fixture(scope="module")
def weak_and_strong() -> tuple[Trainer, Trainer, Normalizer]:
    strong, normalizer = trained(25)
    return trained(1)[0], strong, normalizer


@pytest.fixture
def registry(tmp_path: Path, weak_and_strong: tuple[Trainer, Trainer, Normalizer]) -> ModelRegistry:
    """A registry with a weak model as version 1 and a strong one as version 2."""
    registry = ModelRegistry(tmp_path / "models")
    for trainer in weak_and_strong[:2]:
        metrics = {
            name: value for name, value in trainer.history[-1].items() if name.startswith("validation")
        }
        registry.register("quarters", trainer.model, CONFIG, metrics)
    return registry


def predictions(model: Layer, seed: int = 7) -> bytes:
    x, _ = points(100, seed)
    return model.eval()(Tensor(x / np.float32(10.0))).numpy().tobytes()


def test_what_is_loaded_predicts_to_the_last_bit_what_was_trained(
    registry: ModelRegistry, weak_and_strong: tuple[Trainer, Trainer, Normalizer]
) -> None:
    for number, trainer in enumerate(weak_and_strong[:2], start=1):
        model = ModelRegistry(registry.root).load("quarters", number)
        assert predictions(model) == predictions(trainer.model)
        assert type(model[0].activation) is Tanh
    assert predictions(registry.load("quarters", 1)) != predictions(registry.load("quarters", 2))


def test_metrics_tell_which_version_is_better(
    registry: ModelRegistry, weak_and_strong: tuple[Trainer, Trainer, Normalizer]
) -> None:
    best = max(registry.versions("quarters"), key=lambda version: version.metrics["validation_accuracy"])
    assert best.version == 2
    x, labels = points(300, seed=5)
    inputs = weak_and_strong[2].transform(Tensor(x))
    assert accuracy(registry.load("quarters", 2)(inputs), Tensor(labels)) > 0.9
    assert best.metrics["validation_loss"] == weak_and_strong[1].history[-1]["validation_loss"]


def test_promotion_and_rollback_change_the_model_that_is_served(
    registry: ModelRegistry, weak_and_strong: tuple[Trainer, Trainer, Normalizer]
) -> None:
    weak, strong = (predictions(trainer.model) for trainer in weak_and_strong[:2])
    with pytest.raises(RegistryError, match="no version of 'quarters' is in stage 'production'"):
        registry.load("quarters")
    for number, expected in ((2, strong), (1, weak)):
        registry.promote("quarters", number, "staging")
        registry.promote("quarters", number, "production")
        assert predictions(registry.load("quarters")) == expected
    registry.rollback("quarters", "version 1 was hardly trained")
    assert predictions(registry.load("quarters")) == strong
    assert registry.stages("quarters") == {1: "archived", 2: "production"}


def test_training_goes_on_from_a_loaded_model(registry: ModelRegistry) -> None:
    before = registry.versions("quarters")
    model = registry.load("quarters", 1)
    x, labels = points(320, seed=3)
    data = TensorDataset(Tensor(x / np.float32(10.0)), Tensor(labels))
    trainer = Trainer(model, CrossEntropyLoss(), AdamW(model.parameters(), lr=0.02))
    history = trainer.fit(DataLoader(data, 32, shuffle=True, rng=0), 5)
    assert history[-1]["loss"] < history[0]["loss"]
    assert registry.register("quarters", model, CONFIG).version == 3
    assert registry.versions("quarters")[:2] == before
    assert predictions(registry.load("quarters", 1)) != predictions(registry.load("quarters", 3))


def test_checkpoints_and_model_files_are_not_confused(tmp_path: Path) -> None:
    trainer = new_trainer()
    save_checkpoint(tmp_path / "checkpoint.npz", trainer)
    with pytest.raises(ModelFileError, match=r"'NAME\.npy' are expected, found 'model/"):
        load_model(tmp_path / "checkpoint.npz")
    save_model(tmp_path / "model.npz", trainer.model, CONFIG)
    with pytest.raises(ValueError, match="is no checkpoint"):
        load_checkpoint(tmp_path / "model.npz", trainer)


def test_inputs_in_another_unit_are_drift_and_cost_accuracy(
    registry: ModelRegistry, weak_and_strong: tuple[Trainer, Trainer, Normalizer]
) -> None:
    normalizer = weak_and_strong[2]
    detector = DriftDetector(normalizer.transform(Tensor(points(400, seed=0)[0])), names=["width", "height"])
    model = registry.load("quarters", 2)

    def served(x: np.ndarray) -> tuple[tuple[str, ...], float]:  # type: ignore[type-arg]
        inputs = normalizer.transform(Tensor(x))
        return detector.check(inputs).drifted, accuracy(model(inputs), Tensor(labels))

    x, labels = points(400, seed=8)
    drifted, usual = served(x)
    assert drifted == ()
    drifted, shifted = served(x + np.array([0.0, 8.0], np.float32))  # the ruler slipped
    assert drifted == ("height",)
    assert shifted < usual - 0.1
    assert served(x / np.array([2.54, 1.0], np.float32))[0] == ("width",)  # inches


def test_requests_that_the_model_refuses_raise_an_alert(registry: ModelRegistry) -> None:
    model = registry.load("quarters", 2)
    ticks = iter(range(1000))
    monitor = ServiceMonitor(
        rules=[AlertRule("error_rate", 0.2, min_requests=4)], clock=lambda: float(next(ticks))
    )
    for _ in range(3):
        with monitor.request():
            model(Tensor(np.zeros((4, 2), np.float32)))
    assert monitor.snapshot().alerts == ()
    with pytest.raises(ValueError, match=r"shape \(\.\.\., 2\)"), monitor.request():
        model(Tensor(np.zeros((4, 3), np.float32)))
    snapshot = monitor.snapshot()
    assert (snapshot.requests, snapshot.error_rate) == (4, 0.25)
    assert snapshot.alerts == ("error_rate is 0.25, above 0.2",)
