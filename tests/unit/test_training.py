"""Unit tests of the training module."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.dataloader import DataLoader, TensorDataset
from tinytorch.core.layers import Dropout, Layer, Linear
from tinytorch.core.optimizers import SGD, Adam, CosineLR, ExponentialLR
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

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)
LOSSES: list[Any] = [MSELoss, CrossEntropyLoss, BCEWithLogits]


def arguments(loss: Any) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(5, 3)), requires_grad=True)
    if loss is CrossEntropyLoss:
        return x, Tensor(rng.integers(0, 3, size=5))
    return x, Tensor(rng.random(size=(5, 3)))


class TestLosses:
    @pytest.mark.parametrize("loss", LOSSES)
    def test_reductions(self, loss: Any) -> None:
        x, y = arguments(loss)
        each = loss("none")(x, y)
        assert each.shape == y.shape
        assert loss("sum")(x, y).item() == pytest.approx(each.numpy().sum())
        assert loss()(x, y).item() == pytest.approx(each.numpy().mean())
        with pytest.raises(ValueError, match="mean, sum, none, found 'max'"):
            loss("max")

    @pytest.mark.parametrize("loss", LOSSES)
    def test_gradients_are_prediction_minus_truth(self, loss: Any) -> None:
        x, y = arguments(loss)
        loss("sum")(x, y).backward()
        values, target = x.numpy(), y.numpy()
        if loss is MSELoss:
            expected = 2 * (values - target)
        elif loss is BCEWithLogits:
            expected = 1 / (1 + np.exp(-values)) - target
        else:
            expected = np.exp(values) / np.exp(values).sum(1, keepdims=True) - np.eye(3)[target]
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-10)

    @pytest.mark.parametrize("loss", LOSSES)
    def test_bad_predictions(self, loss: Any) -> None:
        _, y = arguments(loss)
        with pytest.raises(TypeError, match="as a Tensor, found list"):
            loss()([1.0], y)
        with pytest.raises(TypeError, match="of a float dtype, found int64"):
            loss()(Tensor([[1, 2, 3]]), y)
        with pytest.raises(ValueError, match="at least one example"):
            loss()(Tensor(np.zeros((0, 3))), y)

    @pytest.mark.parametrize("loss", [MSELoss(), BCEWithLogits(), mean_absolute_error])
    def test_shapes_that_only_broadcast_are_refused(self, loss: Any) -> None:
        with pytest.raises(ValueError, match=r"one shape, found \(2, 1\) and \(2,\)"):
            loss(Tensor([[0.0], [1.0]]), Tensor([0.0, 1.0]))
        with pytest.raises(TypeError, match="targets as a Tensor, found ndarray"):
            loss(Tensor([0.0, 1.0]), np.zeros(2))


class TestCrossEntropy:
    @REPEATABLE
    @given(st.integers(1, 6), st.integers(1, 5), st.sampled_from([0.0, 0.1]), st.integers(0, 99))
    def test_is_the_formula(self, n: int, classes: int, smoothing: float, seed: int) -> None:
        rng = np.random.default_rng(seed)
        z, y = rng.normal(0, 3, (n, classes)), rng.integers(0, classes, n)
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        truth = (1 - smoothing) * np.eye(classes)[y] + smoothing / classes
        found = CrossEntropyLoss("none", smoothing)(Tensor(z), Tensor(y))
        np.testing.assert_allclose(found.numpy(), -(truth * log_p).sum(1), atol=1e-12)

    def test_more_axes(self) -> None:
        rng = np.random.default_rng(0)
        z, y = rng.normal(size=(2, 4, 3)), rng.integers(0, 3, (2, 4))
        wide = CrossEntropyLoss("none")(Tensor(z), Tensor(y))
        flat = CrossEntropyLoss("none")(Tensor(z.reshape(8, 3)), Tensor(y.reshape(8)))
        assert wide.shape == (2, 4)
        assert wide.numpy().ravel().tolist() == flat.tolist()
        assert CrossEntropyLoss("none")(Tensor([0.0, 0.0]), Tensor(1)).shape == ()

    def test_extreme_logits(self) -> None:
        z = Tensor([[1e4, 0.0], [-1e4, 0.0], [-math.inf, 0.0]], requires_grad=True)
        losses = CrossEntropyLoss("none")(z, Tensor([0, 0, 1]))
        assert losses.tolist() == [0.0, 1e4, 0.0]
        losses.sum().backward()
        assert z.grad is not None
        assert z.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0], [0.0, 0.0]]

    @pytest.mark.parametrize(
        ("labels", "error", "text"),
        [
            (Tensor([0, 3]), ValueError, "labels from 0 to 2, found 0 to 3"),
            (Tensor([-1, 1]), ValueError, "labels from 0 to 2, found -1 to 1"),
            (Tensor([0.0, 1.0]), TypeError, "integer dtype, found float32"),
            (Tensor([0]), ValueError, r"labels of shape \(2,\), found \(1,\)"),
            ([0, 1], TypeError, "labels as a Tensor, found list"),
        ],
    )
    def test_bad_labels(self, labels: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            CrossEntropyLoss()(Tensor(np.zeros((2, 3))), labels)

    def test_bad_settings(self) -> None:
        with pytest.raises(ValueError, match="label_smoothing must be"):
            CrossEntropyLoss(label_smoothing=1.0)
        with pytest.raises(ValueError, match=r"shape \(..., classes\), found \(\)"):
            CrossEntropyLoss()(Tensor(1.0), Tensor(0))


class TestBinaryCrossEntropy:
    def test_is_the_formula(self) -> None:
        rng = np.random.default_rng(1)
        z, t = rng.normal(0, 3, (4, 2)), rng.random((4, 2))
        p = 1 / (1 + np.exp(-z))
        expected = -(t * np.log(p) + (1 - t) * np.log(1 - p))
        np.testing.assert_allclose(BCEWithLogits("none")(Tensor(z), Tensor(t)).numpy(), expected, rtol=1e-9)

    def test_extreme_logits_and_boolean_targets(self) -> None:
        z = Tensor([1e4, -1e4, 1e4, -1e4, 0.0], requires_grad=True)
        losses = BCEWithLogits("none")(z, Tensor([True, False, False, True, True]))
        np.testing.assert_allclose(losses.numpy(), [0, 0, 1e4, 1e4, math.log(2)], rtol=1e-6)
        assert losses.dtype == np.float32
        losses.sum().backward()
        assert z.grad is not None
        assert z.grad.tolist() == [0.0, 0.0, 1.0, -1.0, -0.5]

    @pytest.mark.parametrize("bad", [1.5, -0.1, math.nan])
    def test_targets_out_of_range(self, bad: float) -> None:
        with pytest.raises(ValueError, match="targets from 0 to 1, found"):
            BCEWithLogits()(Tensor([0.0]), Tensor([bad]))


class TestMetrics:
    @REPEATABLE
    @given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 99))
    def test_against_loops(self, n: int, classes: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        scores, labels = rng.normal(size=(n, classes)), rng.integers(0, classes, n)
        counts = np.zeros((classes, classes), dtype=np.int64)
        for row, label in zip(scores, labels, strict=True):
            counts[label, list(row).index(max(row))] += 1
        found = confusion_matrix(Tensor(scores), Tensor(labels), classes)
        np.testing.assert_array_equal(found, counts)
        assert found.dtype == np.int64
        assert accuracy(Tensor(scores), Tensor(labels)) == pytest.approx(np.trace(counts) / n)
        predicted = Tensor(scores.argmax(1))
        np.testing.assert_array_equal(confusion_matrix(predicted, Tensor(labels), classes), counts)
        assert accuracy(predicted, Tensor(labels)) == pytest.approx(np.trace(counts) / n)

    def test_mean_absolute_error(self) -> None:
        assert mean_absolute_error(Tensor([[1.0, -2.0]]), Tensor([[0, 0]])) == 1.5

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="found NaN among them"):
            accuracy(Tensor([[math.nan, 1.0]]), Tensor([0]))
        with pytest.raises(ValueError, match=r"labels of shape \(1,\), found \(2,\)"):
            accuracy(Tensor([[0.0, 1.0]]), Tensor([0, 1]))
        with pytest.raises(ValueError, match="labels from 0 to 1, found 0 to 2"):
            confusion_matrix(Tensor([0, 2]), Tensor([0, 1]), 2)
        with pytest.raises(ValueError, match="scores for 3 classes, found 2"):
            confusion_matrix(Tensor([[0.0, 1.0]]), Tensor([0]), 3)
        with pytest.raises(ValueError, match="at least one class, found 0"):
            confusion_matrix(Tensor([0]), Tensor([0]), 0)
        with pytest.raises(TypeError, match="predictions as a Tensor, found list"):
            accuracy([0], Tensor([0]))  # type: ignore[arg-type]


class Net(Layer):
    """A network with everything that has a state: weights, a buffer, a random generator."""

    def __init__(self) -> None:
        self.first = Linear(3, 8, rng=1)
        self.drop = Dropout(0.2, rng=2)
        self.last = Linear(8, 1, rng=3)
        self.register_buffer("calls", np.array(0))

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1
        return self.last(self.drop(self.first(x).tanh()))


def line(count: int, seed: int) -> TensorDataset:
    """Examples of a linear function with three inputs."""
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)
    return TensorDataset(Tensor(x), Tensor(x @ np.array([[1.0], [-2.0], [0.5]], dtype=np.float32)))


def loaders() -> tuple[DataLoader, DataLoader]:
    return DataLoader(line(70, 0), 16, shuffle=True, rng=5), DataLoader(line(20, 1), 16)


def new_trainer(**options: Any) -> Trainer:
    net = Net()
    optimizer = Adam(net.parameters(), lr=0.02)
    options = {"loss": MSELoss(), "metrics": {"mae": mean_absolute_error}, **options}
    return Trainer(net, optimizer=optimizer, **options)


class TestTrainer:
    def test_learns_and_writes_history(self) -> None:
        training, validation = loaders()
        trainer = new_trainer()
        history = trainer.fit(training, 8, validation=validation)
        assert [entry["epoch"] for entry in history] == list(range(8))
        assert set(history[0]) == {"epoch", "lr", "loss", "mae", "validation_loss", "validation_mae"}
        assert history[-1]["loss"] < 0.3 * history[0]["loss"]
        assert history[-1]["validation_loss"] < 0.3 * history[0]["validation_loss"]
        assert repr(trainer).startswith("Trainer(Net, Adam(4 parameters")

    def test_one_epoch_is_the_loop_written_out(self) -> None:
        net, twin = Linear(3, 1, rng=0), Linear(3, 1, rng=0)
        training, _ = loaders()
        trainer = Trainer(net, MSELoss(), SGD(net.parameters(), lr=0.1))
        trainer.fit(training, 1)
        optimizer = SGD(twin.parameters(), lr=0.1)
        total = 0.0
        training.epoch = 0
        for x, y in training:
            total += len(x) * optimizer.minimize(MSELoss()(twin(x), y))
        assert net.weight.tolist() == twin.weight.tolist()
        assert trainer.history[0]["loss"] == pytest.approx(total / 70)  # 16, 16, 16, 16 and 6 examples

    def test_evaluation_weighs_by_examples_and_leaves_no_traces(self) -> None:
        trainer = new_trainer()
        _, validation = loaders()
        trainer.model.first.training = False
        before = trainer.model.state_dict()
        found = trainer.evaluate(validation)
        assert [layer.training for _, layer in trainer.model.named_layers()] == [True, False, True, True]
        assert validation.epoch == 0
        after = trainer.model.state_dict()
        assert all(np.array_equal(before[name], after[name]) for name in before if name != "calls")
        x, y = validation.dataset.batch(list(range(20)))
        trainer.model.eval()
        assert found["loss"] == pytest.approx(MSELoss()(trainer.model(x), y).item(), rel=1e-5)

    def test_modes_are_put_back_after_a_failure(self) -> None:
        trainer = new_trainer()
        with pytest.raises(ValueError, match=r"a batch is a pair \(inputs, targets\), found 1 fields"):
            trainer.evaluate(DataLoader(TensorDataset(Tensor([1.0]))))
        assert trainer.model.training

    @pytest.mark.parametrize(("every", "steps"), [("epoch", 2), ("batch", 10)])
    def test_schedule(self, every: Any, steps: int) -> None:
        net = Net()
        optimizer = SGD(net.parameters(), lr=0.1)
        schedule = ExponentialLR(optimizer, gamma=0.9)
        trainer = Trainer(net, MSELoss(), optimizer, schedule=schedule, schedule_every=every)
        trainer.fit(loaders()[0], 2)
        assert schedule.steps == steps
        assert trainer.history[1]["lr"] == pytest.approx(0.1 * 0.9 ** (steps // 2))

    def test_early_stopping_puts_the_best_weights_back(self) -> None:
        training, validation = loaders()
        states: list[Any] = []
        trainer = new_trainer(
            early_stopping=EarlyStopping(patience=2),
            callbacks=[lambda t: states.append(t.model.state_dict())],
        )
        trainer.optimizer.lr = 0.5  # far too large: the loss goes up and down
        history = trainer.fit(training, 40, validation=validation)
        watch = trainer.early_stopping
        assert watch is not None
        losses = [entry["validation_loss"] for entry in history]
        assert trainer.stopped
        assert len(history) < 40
        assert watch.best_epoch == int(np.argmin(losses)) == len(history) - 3
        best = states[watch.best_epoch]
        assert all(np.array_equal(best[name], now) for name, now in trainer.model.state_dict().items())
        with pytest.raises(RuntimeError, match="early stopping has ended this training in epoch"):
            trainer.fit(training, 1, validation=validation)

    def test_min_delta(self) -> None:
        watch = EarlyStopping(patience=2, min_delta=0.1)
        assert [watch.update(i, x, Net()) for i, x in enumerate([1.0, 0.95, 0.85, 0.8, math.nan])] == [
            False, False, False, False, True,
        ]  # fmt: skip
        assert watch.best_epoch == 2

    def test_a_callback_may_stop(self) -> None:
        trainer = new_trainer(callbacks=[lambda t: t.epoch == 3])
        assert len(trainer.fit(loaders()[0], 10)) == 3
        assert len(trainer.fit(loaders()[0], 1)) == 4

    def test_a_loss_that_is_not_finite_stops_before_any_step(self) -> None:
        trainer = new_trainer(metrics={})
        before = trainer.model.last.weight.tolist()
        bad = DataLoader(TensorDataset(Tensor([[1.0, 2.0, math.nan]]), Tensor([[1.0]])))
        with pytest.raises(ValueError, match="MSELoss expects predictions without NaN") as caught:
            trainer.fit(bad, 1)
        assert caught.value.__notes__ == ["This was in epoch 0, batch 0."]
        endless = DataLoader(TensorDataset(Tensor([[1.0, 2.0, 3.0]]), Tensor([[1e30]])))
        with (
            np.errstate(over="ignore"),
            pytest.raises(ValueError, match="the loss is inf in epoch 0, batch 0"),
        ):
            trainer.fit(endless, 1)
        assert trainer.model.last.weight.tolist() == before

    def test_clips(self) -> None:
        net = Linear(3, 1, rng=0)
        start = net.state_dict()
        trainer = Trainer(net, MSELoss(), SGD(net.parameters(), lr=1.0), max_norm=1e-3)
        trainer.fit(DataLoader(line(70, 0), 70), 1)
        moved = sum(float(np.sum((net.state_dict()[name] - start[name]) ** 2)) for name in start)
        assert math.sqrt(moved) == pytest.approx(1e-3, rel=1e-2)

    @pytest.mark.parametrize(
        ("make", "error", "text"),
        [
            (
                lambda n, o: Trainer(Net(), MSELoss(), o),
                ValueError,
                "4 of the optimizer's 4 parameters do not belong",
            ),
            (lambda n, o: Trainer(len, MSELoss(), o), TypeError, "a Layer as model, found builtin"),
            (lambda n, o: Trainer(n, MSELoss(), "sgd"), TypeError, "an Optimizer, found str"),
            (
                lambda n, o: Trainer(n, MSELoss(), o, ExponentialLR(SGD(n.parameters(), lr=1.0), 0.5)),
                ValueError,
                "made for the trainer's optimizer",
            ),
            (lambda n, o: Trainer(n, MSELoss(), o, None, "day"), ValueError, "epoch or batch, found 'day'"),
            (lambda n, o: EarlyStopping(0), ValueError, "patience must be at least 1"),
            (lambda n, o: EarlyStopping(1.5), TypeError, "number of epochs, found 1.5"),
            (lambda n, o: EarlyStopping(1, -1.0), ValueError, "min_delta must be"),
            (lambda n, o: Trainer(n, MSELoss(), o).fit(loaders()[0], 0), ValueError, "epochs must be"),
            (
                lambda n, o: Trainer(n, MSELoss(), o, early_stopping=EarlyStopping(1)).fit(loaders()[0], 1),
                ValueError,
                "give fit a validation loader",
            ),
        ],
    )
    def test_refusals(self, make: Callable[..., Any], error: type[Exception], text: str) -> None:
        net = Net()
        with pytest.raises(error, match=text):
            make(net, SGD(net.parameters(), lr=0.1))


def full_trainer() -> Trainer:
    trainer = new_trainer(early_stopping=EarlyStopping(patience=50), max_norm=1.0)
    trainer.schedule = CosineLR(trainer.optimizer, total=25, warmup=3)
    trainer.schedule_every = "batch"
    return trainer


def run(trainer: Trainer, epochs: int) -> Trainer:
    training, validation = loaders()
    trainer.fit(training, epochs, validation=validation)
    return trainer


def assert_same(first: Trainer, second: Trainer) -> None:
    assert first.history == second.history
    for part in ("model", "optimizer", "schedule"):
        ours, theirs = getattr(first, part).state_dict(), getattr(second, part).state_dict()
        assert ours.keys() == theirs.keys()
        for name, array in ours.items():
            assert array.tobytes() == theirs[name].tobytes(), name


class TestCheckpoints:
    def test_resumed_training_is_the_same_to_the_last_bit(self, tmp_path: Path) -> None:
        whole = run(full_trainer(), 5)
        save_checkpoint(tmp_path / "c.npz", run(full_trainer(), 2))
        resumed = full_trainer()
        load_checkpoint(tmp_path / "c.npz", resumed)
        assert resumed.epoch == 2
        assert_same(run(resumed, 3), whole)
        assert resumed.early_stopping is not None
        assert whole.early_stopping is not None
        assert resumed.early_stopping.best_epoch == whole.early_stopping.best_epoch
        assert resumed.early_stopping.best_loss == whole.early_stopping.best_loss
        assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]

    def test_an_untrained_trainer_makes_the_round_trip(self, tmp_path: Path) -> None:
        save_checkpoint(str(tmp_path / "c.npz"), full_trainer())
        trainer = run(full_trainer(), 1)
        load_checkpoint(str(tmp_path / "c.npz"), trainer)
        assert (trainer.epoch, trainer.history) == (0, [])
        assert trainer.early_stopping is not None
        assert trainer.early_stopping.best_loss == math.inf
        assert_same(run(trainer, 2), run(full_trainer(), 2))

    def test_no_pickle_inside(self, tmp_path: Path) -> None:
        save_checkpoint(tmp_path / "c.npz", run(full_trainer(), 1))
        with np.load(tmp_path / "c.npz", allow_pickle=False) as stored:
            assert all(stored[name].dtype.kind != "O" for name in stored.files)
            assert "model/first.weight" in stored.files

    def test_a_checkpoint_that_does_not_fit_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "c.npz"
        net = Net()
        other = Trainer(net, MSELoss(), SGD(net.parameters(), lr=0.1), early_stopping=EarlyStopping(50))
        other.schedule = CosineLR(other.optimizer, total=25)
        save_checkpoint(path, run(other, 1))
        trainer, twin = run(full_trainer(), 1), run(full_trainer(), 1)
        with pytest.raises(ValueError, match=r"does not fit this trainer: .*Adam") as caught:
            load_checkpoint(path, trainer)
        assert "kind: Adam expected, found SGD" in str(caught.value)
        assert_same(run(trainer, 2), run(twin, 2))  # the model's part fitted, and was taken back

    def test_missing_parts_are_named(self, tmp_path: Path) -> None:
        path = tmp_path / "c.npz"
        save_checkpoint(path, new_trainer())
        with pytest.raises(ValueError, match="schedule: the trainer has True, the checkpoint none"):
            load_checkpoint(path, full_trainer())
        net = Linear(3, 1)
        with pytest.raises(ValueError, match="random generators"):
            load_checkpoint(path, Trainer(net, MSELoss(), Adam(net.parameters())))

    def test_another_order_of_examples_is_refused(self, tmp_path: Path) -> None:
        save_checkpoint(tmp_path / "c.npz", run(full_trainer(), 1))
        trainer = new_trainer(early_stopping=EarlyStopping(50))
        trainer.schedule = CosineLR(trainer.optimizer, total=25)
        load_checkpoint(tmp_path / "c.npz", trainer)
        validation = loaders()[1]
        with pytest.raises(ValueError, match="loader of seed 5, found seed 6"):
            trainer.fit(DataLoader(line(70, 0), 16, shuffle=True, rng=6), 1, validation=validation)
        with pytest.raises(ValueError, match="found one that does not shuffle"):
            trainer.fit(validation, 1, validation=validation)

    @pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04 damaged"])
    def test_files_that_are_no_checkpoints(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "c.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no checkpoint"):
            load_checkpoint(path, new_trainer())
        np.savez(path, weights=np.zeros(3))
        with pytest.raises(ValueError, match="is no checkpoint: KeyError"):
            load_checkpoint(path, new_trainer())
        with pytest.raises(FileNotFoundError):
            load_checkpoint(tmp_path / "missing.npz", new_trainer())

    def test_a_failed_write_keeps_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "c.npz"
        trainer = run(full_trainer(), 1)
        save_checkpoint(path, trainer)
        before = path.read_bytes()
        trainer.history.append({"loss": object()})  # type: ignore[dict-item]
        with pytest.raises(TypeError):
            save_checkpoint(path, trainer)
        assert path.read_bytes() == before
        assert [file.name for file in tmp_path.iterdir()] == ["c.npz"]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: MSELoss()(Tensor([1.0, math.nan]), Tensor([1.0, 2.0])),
            ValueError,
            "MSELoss expects predictions without NaN, found 1 among 2: look for NaN in the data",
        ),
        (
            lambda: MSELoss()(Tensor([1.0, 2.0]), Tensor([math.nan, math.nan])),
            ValueError,
            "MSELoss expects targets without NaN, found 2 among 2",
        ),
        (
            lambda: CrossEntropyLoss()(Tensor([[math.nan, 0.0]]), Tensor([0])),
            ValueError,
            "CrossEntropyLoss expects logits without NaN, found 1 among 2",
        ),
        (
            lambda: BCEWithLogits()(Tensor([math.nan]), Tensor([1.0])),
            ValueError,
            "BCEWithLogits expects logits without NaN, found 1 among 1",
        ),
        (
            lambda: mean_absolute_error(Tensor([math.nan]), Tensor([1.0])),
            ValueError,
            "mean_absolute_error expects predictions without NaN, found 1 among 1",
        ),
        (
            lambda: mean_absolute_error(Tensor([1.0]), Tensor([math.nan])),
            ValueError,
            "mean_absolute_error expects targets without NaN, found 1 among 1",
        ),
        (
            lambda: CrossEntropyLoss(label_smoothing=None),
            TypeError,
            "label_smoothing must be a number, found None",
        ),
        (
            lambda: confusion_matrix(Tensor([0]), Tensor([0]), None),
            TypeError,
            "classes is an int, found None",
        ),
        (lambda: EarlyStopping(2, None), TypeError, "min_delta must be a number, found None"),
        (
            lambda: new_trainer(loss=None),
            TypeError,
            "loss must be a function or an object to call, found None",
        ),
        (
            lambda: new_trainer(loss=MSELoss),
            TypeError,
            "loss must be a function or an object to call, found <class",
        ),
        (
            lambda: new_trainer(metrics=[accuracy]),
            TypeError,
            "metrics is a mapping from names to functions, found list",
        ),
        (
            lambda: new_trainer(metrics={"accuracy": None}),
            TypeError,
            "accuracy must be a function or an object to call, found None",
        ),
        (
            lambda: new_trainer(callbacks=None),
            TypeError,
            "callbacks is a sequence of functions, found NoneType",
        ),
        (
            lambda: new_trainer(callbacks=["stop"]),
            TypeError,
            "callback 0 must be a function or an object to call, found 'stop'",
        ),
        (lambda: new_trainer(early_stopping=3), TypeError, "early_stopping is an EarlyStopping, found int"),
        (lambda: new_trainer().fit(None, 1), TypeError, "a DataLoader is expected, found NoneType"),
        (
            lambda: new_trainer().fit(loaders()[0], 1, validation=3),
            TypeError,
            "a DataLoader is expected, found int",
        ),
        (lambda: new_trainer().fit(loaders()[0], None), TypeError, "epochs is an int, found None"),
        (lambda: new_trainer().fit(loaders()[0], 1.5), TypeError, "epochs is an int, found 1.5"),
        (lambda: new_trainer().evaluate([1]), TypeError, "a DataLoader is expected, found list"),
        (
            lambda: new_trainer(loss=lambda p, t: 3.0).fit(loaders()[0], 1),
            TypeError,
            "a loss function returns a Tensor, found float",
        ),
        (lambda: save_checkpoint("x.npz", None), TypeError, "a Trainer is expected, found NoneType"),
        (lambda: load_checkpoint("x.npz", None), TypeError, "a Trainer is expected, found NoneType"),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_minus_infinity_is_a_legitimate_score() -> None:
    assert CrossEntropyLoss()(Tensor([[0.0, -math.inf]]), Tensor([0])).item() == 0.0
