# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Module 11: Training
#
# All parts are on the table: layers that compute, a loader that feeds them, gradients, optimizers. This
# module puts them together. It answers four questions:
#
# | question | answer |
# |---|---|
# | How wrong is the network, as one number that has a gradient? | a **loss** |
# | How good is it, in terms that a person understands? | a **metric** |
# | In what order does everything happen, and when do we stop? | the **Trainer** |
# | What if the machine is switched off in the middle? | **checkpoints** |
#
# The loop itself is ten lines. What makes the difference between a script and a tool is the rest: a loss
# that does not overflow, an average that is an average, an evaluation that leaves no traces, and a
# resumed training that goes on as if nothing had happened, to the last bit.

# %%
#| default_exp core.training

# %%
#| export
import json
import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tinytorch.core.dataloader import DataLoader
from tinytorch.core.layers import Layer
from tinytorch.core.optimizers import Optimizer, Schedule, clip_gradients
from tinytorch.core.tensor import Tensor

# %% [markdown]
# ## 1. The squared error
#
# For numbers (prices, temperatures) the common loss is the *mean squared error*
#
# $$L = \frac1n \sum_i (\hat y_i - y_i)^2 .$$
#
# Why squares? If the measured $y$ is the true value plus normally distributed noise, the most probable
# network is the one with the smallest sum of squares (C. Bishop, *Pattern Recognition and Machine Learning*,
# 2006, section 1.2.5).
#
# A loss computes one value per example, and a *reduction* makes one number of them: `"mean"` (the usual
# one: the step size then does not depend on the batch size), `"sum"`, or `"none"` to see them all.
#
# **The most expensive bug in regression:** predictions of shape `(32, 1)` and targets of shape `(32,)`.
# Their difference broadcasts to `(32, 32)`, every prediction is compared with every target, and the
# network learns to predict the mean. Nothing fails. So shapes must agree exactly.


# %%
#| export
_Array = npt.NDArray[Any]
_Reduction = Literal["mean", "sum", "none"]
_REDUCTIONS = ("mean", "sum", "none")


def _check_reduction(reduction: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is one of {', '.join(_REDUCTIONS)}, found {reduction!r}")


def _reduced(losses: Tensor, reduction: str) -> Tensor:
    """Return the mean, the sum, or the losses as they are."""
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def _check_floats(name: str, what: str, x: object) -> None:
    """Raise unless `x` is a tensor of floats that is not empty."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} expects {what} as a Tensor, found {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(f"{name} expects {what} of a float dtype, found {x.dtype}")
    if x.size == 0:
        raise ValueError(f"{name} expects at least one example, found {what} of shape {x.shape}")
    _check_no_nan(name, what, x)


def _check_no_nan(name: str, what: str, x: Tensor) -> None:
    """Raise a ValueError if NaN stands among the numbers: every sum with it would be NaN, too."""
    missing = np.isnan(x.data)
    if missing.any():
        raise ValueError(
            f"{name} expects {what} without NaN, found {missing.sum()} among {x.size}: look for NaN in the "
            "data, or try a smaller learning rate or clipping"
        )


def _check_number(name: str, value: object) -> None:
    """Raise a TypeError unless `value` is a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, found {value!r}")


def _check_targets(name: str, predictions: Tensor, targets: object) -> None:
    """Raise unless `targets` is a tensor with the shape of the predictions."""
    if not isinstance(targets, Tensor):
        raise TypeError(f"{name} expects targets as a Tensor, found {type(targets).__name__}")
    if targets.shape != predictions.shape:
        raise ValueError(
            f"{name} expects predictions and targets of one shape, found {predictions.shape} and "
            f"{targets.shape}: reshape one of them"
        )


@dataclass(frozen=True)
class MSELoss:
    """The squared error (prediction - target)^2 (Bishop, 2006, section 1.2.5).

    Args:
        reduction: "mean", "sum", or "none" for one value per element.

    Raises:
        ValueError: If the reduction is another one.
    """

    reduction: _Reduction = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self.reduction)

    def __call__(self, predictions: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            predictions: Floats of any shape.
            targets: Numbers of the same shape.

        Returns:
            A single number, or with "none" a tensor of that shape.

        Raises:
            TypeError: If an argument is no tensor, or the predictions are no floats.
            ValueError: If the shapes differ or are empty, or a number is NaN.
        """
        _check_floats("MSELoss", "predictions", predictions)
        _check_targets("MSELoss", predictions, targets)
        _check_no_nan("MSELoss", "targets", targets)
        difference = predictions - targets
        return _reduced(difference * difference, self.reduction)


# %%
guess = Tensor([1.0, 2.0, 4.0], requires_grad=True)
loss = MSELoss()(guess, Tensor([1.0, 3.0, 2.0]))
assert abs(loss.item() - 5.0 / 3.0) < 1e-6
loss.backward()
assert np.allclose(guess.grad.numpy(), [0.0, -2.0 / 3.0, 4.0 / 3.0])  # 2 (prediction - target) / n

try:
    MSELoss()(Tensor([[1.0], [2.0]]), Tensor([1.0, 2.0]))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("shapes that broadcast are not good enough")
assert "(2, 1) and (2,)" in message

# %% [markdown]
# ## 2. Cross-entropy
#
# For classes the network gives one score per class, a *logit* $z_c$, and softmax makes probabilities of
# them. The loss is the negative logarithm of the probability of the right class $y$ (Bishop, 2006,
# section 4.3.4):
#
# $$L = -\log \frac{e^{z_y}}{\sum_c e^{z_c}} = -z_y + \log \sum_c e^{z_c} .$$
#
# Certain and right costs 0; certain and wrong costs without limit. Guessing among $C$ classes costs
# $\log C$, which is what the first printed loss should be: 2.30 for ten digits.
#
# Computed as it stands, this overflows: $e^{89}$ exceeds `float32`. And computing the softmax first and
# then its logarithm fails at the other end, for a tiny probability becomes 0 and $\log 0 = -\infty$. The
# cure is one line of algebra, the **log-sum-exp trick**. For any $m$
#
# $$\log \sum_c e^{z_c} = m + \log \sum_c e^{z_c - m},$$
#
# and with $m = \max_c z_c$ the largest exponential is $e^0 = 1$. In the loss, the $m$ in front and the one in
# $-z_y = -(z_y - m) - m$ cancel: subtract $m$ from all logits once, and forget it. As the result does not
# depend on $m$, no gradient needs to flow through it, and the gradient comes out as probability minus truth,
#
# $$\frac{\partial L}{\partial z_c} = \operatorname{softmax}(z)_c - [c = y] .$$
#
#     z = [2, 0, 0], y = 0:   L = -2 + log(e^2 + 1 + 1) = -2 + 2.2395 = 0.2395
#
# So: give this loss *logits*, not probabilities. A softmax at the end of the network would be applied
# twice; the network still learns, slowly and badly.
#
# **Label smoothing** (Szegedy et al., *Rethinking the Inception Architecture*, CVPR 2016, section 7) mixes
# the truth with a uniform distribution, so that the logits have no reason to grow for ever.


# %%
#| export
def _checked_labels(name: str, labels: object, shape: tuple[int, ...], classes: int) -> _Array:
    """Return the labels' array after checking dtype, shape and range."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"{name} expects labels as a Tensor, found {type(labels).__name__}")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"{name} expects labels of an integer dtype, found {labels.dtype}")
    if labels.shape != shape:
        raise ValueError(f"{name} expects labels of shape {shape}, found {labels.shape}")
    if labels.size == 0:
        raise ValueError(f"{name} expects at least one example, found labels of shape {labels.shape}")
    low, high = int(labels.data.min()), int(labels.data.max())
    if low < 0 or high >= classes:
        raise ValueError(f"{name} expects labels from 0 to {classes - 1}, found {low} to {high}")
    return labels.data


@dataclass(frozen=True)
class CrossEntropyLoss:
    """The negative log-probability of the right class, computed from logits (Bishop, 2006, section 4.3.4).

    Args:
        reduction: "mean", "sum", or "none" for one value per example.
        label_smoothing: The share of the truth that is spread over all classes (Szegedy et al., 2016), at
            least 0 and below 1.

    Raises:
        ValueError: If an argument is out of range.
    """

    reduction: _Reduction = "mean"
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _check_reduction(self.reduction)
        _check_number("label_smoothing", self.label_smoothing)
        if not 0.0 <= self.label_smoothing < 1.0:
            raise ValueError(f"label_smoothing must be at least 0 and below 1, found {self.label_smoothing}")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: Scores before softmax, shape (..., classes).
            labels: The right classes, integers from 0 to classes - 1, shape (...).

        Returns:
            A single number, or with "none" a tensor of shape (...).

        Raises:
            TypeError: If an argument is no tensor, logits are no floats, or labels no integers.
            ValueError: If shapes do not fit, there are no examples, a logit is NaN, or a label is unknown.
        """
        _check_floats("CrossEntropyLoss", "logits", logits)
        if logits.ndim == 0:
            raise ValueError("CrossEntropyLoss expects logits of shape (..., classes), found ()")
        classes = logits.shape[-1]
        right = _checked_labels("CrossEntropyLoss", labels, logits.shape[:-1], classes).reshape(-1)
        rows = logits if logits.ndim == 2 else logits.reshape(-1, classes)
        shifted = rows - rows.detach().max(axis=-1, keepdims=True)
        total = shifted.exp().sum(axis=-1).log()
        losses = total - shifted[np.arange(right.size), right]
        if self.label_smoothing:
            spread = total - shifted.mean(axis=-1)
            losses = losses * (1.0 - self.label_smoothing) + spread * self.label_smoothing
        return _reduced(losses.reshape(*labels.shape) if labels.ndim != 1 else losses, self.reduction)


# %%
logits = Tensor([[2.0, 0.0, 0.0]], requires_grad=True)
loss = CrossEntropyLoss()(logits, Tensor([0]))
assert abs(loss.item() - 0.2395) < 1e-4
loss.backward()
probabilities = np.exp([2.0, 0.0, 0.0]) / np.exp([2.0, 0.0, 0.0]).sum()
assert np.allclose(logits.grad.numpy(), [probabilities - [1.0, 0.0, 0.0]])

huge = Tensor([[1000.0, 0.0], [-1000.0, 0.0]])
assert CrossEntropyLoss("none")(huge, Tensor([0, 0])).tolist() == [0.0, 1000.0]
assert abs(CrossEntropyLoss()(Tensor(np.zeros((4, 10))), Tensor([0, 3, 5, 9])).item() - math.log(10)) < 1e-12
try:
    CrossEntropyLoss()(logits, Tensor([3]))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("there is no class 3 of 3")
assert message == "CrossEntropyLoss expects labels from 0 to 2, found 3 to 3"

# %% [markdown]
# ## 3. Yes or no
#
# For yes-no questions one logit is enough: $p = \sigma(z) = 1 / (1 + e^{-z})$, and the loss for a target
# $t$ is $-t \log p - (1 - t) \log(1 - p)$. Several questions may be asked at once about an example, and the
# answers need not exclude each other. Inserting $\sigma$ and simplifying gives
#
# $$L = \max(z, 0) - z\,t + \log\left(1 + e^{-|z|}\right) .$$
#
# The exponent is never positive, so nothing overflows. This is log-sum-exp for the two logits $z$ and 0.
#
#     z = 0: log 2 = 0.693 for any t.     z = 3, t = 1: 3 - 3 + log(1 + e^-3) = 0.0486


# %%
#| export
@dataclass(frozen=True)
class BCEWithLogits:
    """The binary cross-entropy, computed from logits (Bishop, 2006, section 4.3.2).

    Args:
        reduction: "mean", "sum", or "none" for one value per element.

    Raises:
        ValueError: If the reduction is another one.
    """

    reduction: _Reduction = "mean"

    def __post_init__(self) -> None:
        _check_reduction(self.reduction)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: Scores before the sigmoid, of any shape.
            targets: The truth, from 0 (no) to 1 (yes), of the same shape: floats, integers or booleans.

        Returns:
            A single number, or with "none" a tensor of that shape.

        Raises:
            TypeError: If an argument is no tensor, or the logits are no floats.
            ValueError: If the shapes differ or are empty, a logit is NaN, or a target is not from 0 to 1.
        """
        _check_floats("BCEWithLogits", "logits", logits)
        _check_targets("BCEWithLogits", logits, targets)
        low, high = targets.data.min(), targets.data.max()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"BCEWithLogits expects targets from 0 to 1, found {low} to {high}")
        truth = targets.astype(logits.dtype)
        losses = logits.maximum(0.0) - logits * truth + ((-logits.abs()).exp() + 1.0).log()
        return _reduced(losses, self.reduction)


# %%
logits = Tensor([0.0, 3.0, -500.0], requires_grad=True)
losses = BCEWithLogits("none")(logits, Tensor([True, True, False]))
assert np.allclose(losses.numpy(), [0.6931, 0.0486, 0.0], atol=1e-4)
losses.sum().backward()
assert np.allclose(logits.grad.numpy(), [-0.5, 1.0 / (1.0 + np.exp(-3.0)) - 1.0, 0.0])  # p - t

# %% [markdown]
# ## 4. Metrics
#
# A loss is made for gradients. People ask other things: how many were right? by how many degrees are we
# off? Metrics give plain Python numbers and no gradients.
#
# Accuracy hides a lot. If 99 of 100 mails are no spam, "never spam" is 99% accurate. The **confusion
# matrix** shows it: row = the truth, column = what was predicted, each cell a count.
#
#                     predicted 0   predicted 1
#     truly 0              99            0
#     truly 1               1            0           <- not one was found


# %%
#| export
def _predicted_classes(
    name: str, predictions: object, labels: object, classes: int | None
) -> tuple[Any, Any]:
    """Return predicted and true labels as flat integer arrays, both from 0 to classes - 1."""
    if not isinstance(predictions, Tensor):
        raise TypeError(f"{name} expects predictions as a Tensor, found {type(predictions).__name__}")
    if predictions.dtype.kind == "f":
        if predictions.ndim == 0 or predictions.shape[-1] == 0:
            raise ValueError(f"{name} expects scores of shape (..., classes), found {predictions.shape}")
        if np.isnan(predictions.data).any():
            raise ValueError(f"{name} expects scores, found NaN among them")
        width = predictions.shape[-1]
        if classes is not None and classes != width:
            raise ValueError(f"{name} expects scores for {classes} classes, found {width}")
        truth = _checked_labels(name, labels, predictions.shape[:-1], width)
        return np.argmax(predictions.data, axis=-1).ravel(), truth.ravel()
    limit = np.iinfo(np.int64).max if classes is None else classes
    found = _checked_labels(name, predictions, predictions.shape, limit)
    truth = _checked_labels(name, labels, predictions.shape, limit)
    return found.ravel(), truth.ravel()


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Return the share of examples whose class was predicted correctly.

    Args:
        predictions: Float scores of shape (..., classes), of which the largest counts, or integer labels of
            shape (...).
        labels: The right classes, integers of shape (...).

    Returns:
        A number from 0 to 1.

    Raises:
        TypeError: If an argument is no tensor, or the labels are no integers.
        ValueError: If shapes do not fit, there are no examples, scores are NaN, or a label is out of range.
    """
    found, truth = _predicted_classes("accuracy", predictions, labels, None)
    return float(np.mean(found == truth))


def mean_absolute_error(predictions: Tensor, targets: Tensor) -> float:
    """Return the mean of |prediction - target|, in the unit of the targets.

    Args:
        predictions: Floats of any shape.
        targets: Numbers of the same shape.

    Raises:
        TypeError: If an argument is no tensor, or the predictions are no floats.
        ValueError: If the shapes differ or are empty, or a number is NaN.
    """
    _check_floats("mean_absolute_error", "predictions", predictions)
    _check_targets("mean_absolute_error", predictions, targets)
    _check_no_nan("mean_absolute_error", "targets", targets)
    return float(np.mean(np.abs(predictions.data.astype(np.float64) - targets.data)))


def confusion_matrix(predictions: Tensor, labels: Tensor, classes: int) -> npt.NDArray[np.int64]:
    """Count how often each class was taken for each other class.

    Args:
        predictions: As for `accuracy`.
        labels: As for `accuracy`.
        classes: The number of classes, at least 1.

    Returns:
        Counts of shape (classes, classes): row = the right class, column = the predicted one.

    Raises:
        TypeError: As `accuracy`; also if `classes` is no int.
        ValueError: As `accuracy`; also if `classes` is below 1.
    """
    if isinstance(classes, bool) or not isinstance(classes, (int, np.integer)):
        raise TypeError(f"classes is an int, found {classes!r}")
    if classes < 1:
        raise ValueError(f"confusion_matrix expects at least one class, found {classes}")
    found, truth = _predicted_classes("confusion_matrix", predictions, labels, classes)
    pairs = truth.astype(np.int64) * classes + found.astype(np.int64)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


# %%
scores = Tensor([[3.0, 1.0], [0.0, 2.0], [5.0, 4.0], [1.0, 0.0]])
truth = Tensor([0, 1, 1, 0])
assert accuracy(scores, truth) == 0.75
assert confusion_matrix(scores, truth, 2).tolist() == [[2, 0], [1, 1]]
assert confusion_matrix(Tensor([0, 1, 0, 0]), truth, 2).tolist() == [[2, 0], [1, 1]]
assert mean_absolute_error(Tensor([1.0, 5.0]), Tensor([2, 3])) == 1.5

# %% [markdown]
# ## 5. When to stop
#
# The training loss goes on falling; the validation loss falls, then rises, when the network begins to learn
# the training examples by heart. *Early stopping* (L. Prechelt, *Early Stopping, but when?*, 1998) keeps
# the weights of the best epoch, and stops when there was no better one for `patience` epochs.
#
#     validation loss   0.9  0.6  0.5  0.52  0.51  0.55        patience = 3
#                                  ^ best           ^ stop, go back to the best weights


# %%
#| export
class EarlyStopping:
    """Notes the best epoch and says when there was none better for a while (Prechelt, 1998).

    Args:
        patience: After how many epochs without improvement to stop, at least 1.
        min_delta: By how much a loss must be below the best to count as an improvement, at least 0.

    Attributes:
        best_loss: The smallest validation loss so far; infinite at first.
        best_epoch: The epoch in which it was found, or None.
        best_state: The model's state at that time, or None.
        waited: The number of epochs since.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If `patience` is no int or `min_delta` no number.
    """

    def __init__(self, patience: int, min_delta: float = 0.0) -> None:
        if isinstance(patience, bool) or not isinstance(patience, (int, np.integer)):
            raise TypeError(f"patience is a number of epochs, found {patience!r}")
        if patience < 1:
            raise ValueError(f"patience must be at least 1, found {patience}")
        _check_number("min_delta", min_delta)
        if not 0.0 <= min_delta < math.inf:
            raise ValueError(f"min_delta must be finite and at least 0, found {min_delta}")
        self.patience = int(patience)
        self.min_delta = float(min_delta)
        self.best_loss = math.inf
        self.best_epoch: int | None = None
        self.best_state: dict[str, _Array] | None = None
        self.waited = 0

    def update(self, epoch: int, loss: float, model: Layer) -> bool:
        """Note the validation loss after an epoch; return whether it is time to stop."""
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.waited = loss, epoch, 0
            self.best_state = model.state_dict()
        else:
            self.waited += 1
        return self.waited >= self.patience


# %%
watch = EarlyStopping(patience=3)
verdicts = [
    watch.update(epoch, loss, Layer()) for epoch, loss in enumerate([0.9, 0.6, 0.5, 0.52, 0.51, 0.55])
]
assert verdicts == [False, False, False, False, False, True]
assert (watch.best_epoch, watch.best_loss) == (2, 0.5)

# %% [markdown]
# ## 6. The loop
#
# ```text
#   for each epoch:
#       training mode                                  Dropout drops
#       for each batch, in this epoch's order:
#           predictions = model(inputs)
#           loss = loss_function(predictions, targets)
#           forget old gradients, loss.backward(), clip, optimizer.step()
#       evaluation mode: loss and metrics on the validation data
#       schedule.step(), write a line of history, ask the callbacks, stop early?
# ```
#
# Decisions that are easy to get wrong:
#
# - **Averages are weighted by examples.** The last batch is often smaller. The mean of batch means would
#   count its examples more.
# - **Evaluation leaves no traces.** Modes are put back as they were, layer by layer (a frozen part stays
#   frozen), and the loader's epoch counter too.
# - **The epoch's number decides the order.** The trainer assigns `loader.epoch`, so epoch 7 has the same
#   batches whether the six before were run today or last week.
# - **A loss that is not finite stops everything**, with the epoch and the batch, and before any weight
#   is touched.
# - **The optimizer must hold the model's own parameters.** After `model = Net()` in a notebook, an
#   old optimizer goes on training the old network, and the new one learns nothing. We compare.
#
# The training loss of the history is measured *while* the weights change, and with dropout on. That
# is why it may be larger than the validation loss in the first epochs.
#
# A **callback** is any function of the trainer; it is called after every epoch, and may return True to stop.
# Three lines make a progress printer, a logger, or a limit on the time.


# %%
#| export
_LossFunction = Callable[[Tensor, Tensor], Tensor]
_Metric = Callable[[Tensor, Tensor], float]


class Trainer:
    """Trains a model: the loop over epochs and batches, with validation, early stopping and history.

    Args:
        model: What is trained.
        loss: Computes a single number from predictions and targets, the mean over the batch.
        optimizer: Holds parameters of the model.
        schedule: Sets the optimizer's learning rate, or None.
        schedule_every: Whether the schedule steps after every "epoch" or every "batch".
        metrics: Functions of predictions and targets, by name; means over the batch.
        max_norm: Clip gradients to this global norm, or None.
        early_stopping: Watches the validation loss, or None.
        callbacks: Called with the trainer after every epoch; one that returns True ends the training.

    Attributes:
        epoch: The number of epochs trained.
        history: One dictionary per epoch: epoch, lr, loss, the metrics, and validation_... of these.
        stopped: Whether early stopping has ended the training and put back the best weights.

    Raises:
        TypeError: If the model is no Layer, the optimizer no Optimizer, or what is to be called no function.
        ValueError: If optimizer or schedule belong to something else, or `schedule_every` is unknown.
    """

    def __init__(
        self,
        model: Layer,
        loss: _LossFunction,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        schedule_every: Literal["epoch", "batch"] = "epoch",
        metrics: Mapping[str, _Metric] | None = None,
        max_norm: float | None = None,
        early_stopping: EarlyStopping | None = None,
        callbacks: "Sequence[Callable[[Trainer], bool | None]]" = (),
    ) -> None:
        _check_parts(model, optimizer, schedule, schedule_every)
        _check_functions(loss, metrics, callbacks)
        if early_stopping is not None and not isinstance(early_stopping, EarlyStopping):
            raise TypeError(f"early_stopping is an EarlyStopping, found {type(early_stopping).__name__}")
        self.model = model
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.schedule_every = schedule_every
        self.metrics = dict(metrics or {})
        self.max_norm = max_norm
        self.early_stopping = early_stopping
        self.callbacks = list(callbacks)
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.stopped = False
        self._seed: int | None = None  # of the last training loader's random order
        self._expected_seed: int | None = None  # from a checkpoint, for the next call of fit

    def fit(
        self, loader: DataLoader, epochs: int, validation: DataLoader | None = None
    ) -> list[dict[str, float]]:
        """Train for a number of further epochs.

        Args:
            loader: Gives pairs (inputs, targets); its `epoch` is set to the trainer's.
            epochs: How many epochs to train now, at least 1; fewer if something stops the training.
            validation: What to evaluate on after each epoch, or None.

        Returns:
            The whole history.

        Raises:
            ValueError: If a loss is not finite, batches are no pairs, `epochs` is below 1, early stopping
                lacks validation data, or a resumed training gets a loader with another random order.
            TypeError: If a loader is no DataLoader, or `epochs` no int.
            RuntimeError: If early stopping has ended the training before.
        """
        _check_loader(loader)
        if validation is not None:
            _check_loader(validation)
        if isinstance(epochs, bool) or not isinstance(epochs, (int, np.integer)):
            raise TypeError(f"epochs is an int, found {epochs!r}")
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, found {epochs}")
        if self.early_stopping is not None and validation is None:
            raise ValueError("early stopping watches the validation loss: give fit a validation loader")
        if self.stopped:
            raise RuntimeError(f"early stopping has ended this training in epoch {self.epoch - 1}")
        self._check_order(loader)
        for _ in range(epochs):
            if self._run_epoch(loader, validation):
                break
        return self.history

    def evaluate(self, loader: DataLoader) -> dict[str, float]:
        """Measure loss and metrics in evaluation mode, as means over all examples; nothing is changed.

        Args:
            loader: Gives pairs (inputs, targets).

        Returns:
            The loss and the metrics by name.

        Raises:
            ValueError: If batches are no pairs, or as the loss and the metrics.
            TypeError: If `loader` is no DataLoader.
        """
        _check_loader(loader)
        modes = [(layer, layer.training) for _, layer in self.model.named_layers()]
        epoch = loader.epoch
        means = _Means()
        try:
            self.model.eval()
            for inputs, targets in _pairs(loader):
                predictions = self.model(inputs)
                loss = float(self.loss(predictions, targets).item())
                means.add(len(targets), loss, self._measured(predictions, targets))
        finally:
            loader.epoch = epoch
            for layer, training in modes:
                layer.training = training
        return means.result()

    def _run_epoch(self, loader: DataLoader, validation: DataLoader | None) -> bool:
        """Train one epoch, write a line of history; return whether to stop."""
        line: dict[str, float] = {"epoch": self.epoch, "lr": self.optimizer.lr}
        line.update(self._train(loader))
        if validation is not None:
            found = self.evaluate(validation)
            line.update({f"validation_{name}": value for name, value in found.items()})
        if self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step()
        self.history.append(line)
        self.epoch += 1
        watch = self.early_stopping
        if watch is not None and watch.update(self.epoch - 1, line["validation_loss"], self.model):
            self.stopped = True
            if watch.best_state is not None:
                self.model.load_state_dict(watch.best_state)
        wishes = [callback(self) for callback in self.callbacks]
        return self.stopped or any(wish is True for wish in wishes)

    def _train(self, loader: DataLoader) -> dict[str, float]:
        """Take an optimizer step for every batch of an epoch; return the means of loss and metrics."""
        self.model.train()
        loader.epoch = self.epoch
        parameters = self.model.parameters()  # also those that the optimizer does not hold
        means = _Means()
        for number, (inputs, targets) in enumerate(_pairs(loader)):
            predictions = self.model(inputs)
            loss = self._loss_of(number, predictions, targets)
            value = float(loss.item())
            if not math.isfinite(value):
                raise ValueError(
                    f"the loss is {value} in epoch {self.epoch}, batch {number}: try a smaller learning "
                    "rate or clipping, and look for NaN in the data"
                )
            for parameter in parameters:
                parameter.zero_grad()
            loss.backward()
            if self.max_norm is not None:
                clip_gradients(self.optimizer.parameters, max_norm=self.max_norm)
            self.optimizer.step()
            if self.schedule is not None and self.schedule_every == "batch":
                self.schedule.step()
            means.add(len(targets), value, self._measured(predictions, targets))
        return means.result()

    def _loss_of(self, number: int, predictions: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of a training batch; an error says which batch it was."""
        try:
            loss = self.loss(predictions, targets)
        except ValueError as error:
            error.add_note(f"This was in epoch {self.epoch}, batch {number}.")
            raise
        if not isinstance(loss, Tensor):
            raise TypeError(f"a loss function returns a Tensor, found {type(loss).__name__}")
        return loss

    def _measured(self, predictions: Tensor, targets: Tensor) -> dict[str, float]:
        return {name: float(metric(predictions, targets)) for name, metric in self.metrics.items()}

    def _check_order(self, loader: DataLoader) -> None:
        """Raise if a resumed training would see its examples in another order."""
        seed = loader.seed if loader.shuffle else None
        if self._expected_seed is not None and seed != self._expected_seed:
            raise ValueError(
                f"the checkpoint was made with a shuffled loader of seed {self._expected_seed}, found "
                f"{'one that does not shuffle' if seed is None else f'seed {seed}'}: pass DataLoader(..., "
                f"shuffle=True, rng={self._expected_seed})"
            )
        self._seed, self._expected_seed = seed, None

    def __repr__(self) -> str:
        return f"Trainer({type(self.model).__name__}, {self.optimizer!r}, epoch={self.epoch})"


def _check_parts(model: object, optimizer: object, schedule: object, schedule_every: str) -> None:
    """Raise unless the parts of a trainer are of the right kinds and belong together."""
    if not isinstance(model, Layer):
        raise TypeError(f"a trainer expects a Layer as model, found {type(model).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"a trainer expects an Optimizer, found {type(optimizer).__name__}")
    own = {id(parameter) for parameter in model.parameters()}
    strange = sum(id(parameter) not in own for parameter in optimizer.parameters)
    if strange:
        raise ValueError(
            f"{strange} of the optimizer's {len(optimizer.parameters)} parameters do not belong to the "
            "model: make the optimizer from model.parameters(), after the model"
        )
    if schedule is not None and getattr(schedule, "optimizer", None) is not optimizer:
        raise ValueError("the schedule must be made for the trainer's optimizer, found another")
    if schedule_every not in ("epoch", "batch"):
        raise ValueError(f"schedule_every is epoch or batch, found {schedule_every!r}")


def _check_functions(loss: object, metrics: object, callbacks: object) -> None:
    """Raise a TypeError unless what the trainer is to call can be called."""
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics is a mapping from names to functions, found {type(metrics).__name__}")
    if not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks is a sequence of functions, found {type(callbacks).__name__}")
    named = {"loss": loss, **(metrics or {}), **{f"callback {i}": one for i, one in enumerate(callbacks)}}
    for name, function in named.items():
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"{name} must be a function or an object to call, found {function!r}")


def _check_loader(loader: object) -> None:
    if not isinstance(loader, DataLoader):
        raise TypeError(f"a DataLoader is expected, found {type(loader).__name__}")


def _check_trainer(trainer: object) -> None:
    if not isinstance(trainer, Trainer):
        raise TypeError(f"a Trainer is expected, found {type(trainer).__name__}")


def _pairs(loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the loader's batches, each checked to be a pair of inputs and targets."""
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            count = f"{len(batch)} fields" if isinstance(batch, (tuple, list)) else type(batch).__name__
            raise ValueError(f"a batch is a pair (inputs, targets), found {count}")
        yield batch[0], batch[1]


class _Means:
    """Means over examples of what was measured on batches of different sizes."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, float] = {}

    def add(self, count: int, loss: float, measured: Mapping[str, float]) -> None:
        """Add the means over a batch of `count` examples."""
        self._count += count
        for name, value in {"loss": loss, **measured}.items():
            self._sums[name] = self._sums.get(name, 0.0) + count * value

    def result(self) -> dict[str, float]:
        """Return the means over all examples, by name."""
        return {name: total / self._count for name, total in self._sums.items()}


# %% [markdown]
# ## 7. Checkpoints
#
# What does the next step depend on? If one piece is forgotten, the resumed training is another one:
#
# | piece | what happens without it |
# |---|---|
# | parameters and buffers | everything is lost |
# | the optimizer's slots and step count | the loss jumps: no momentum, Adam's corrections start anew |
# | the schedule's position | the learning rate jumps |
# | the epoch's number and the loader's seed | examples come in another order |
# | the random generators of Dropout | other units are dropped |
# | early stopping's memory, the history | a worse "best" epoch; a plot with a gap |
#
# Arrays go into one `.npz` file, and the rest as JSON text into the same file, so that the two cannot be
# separated. No `pickle`: to unpickle a file is to run whatever program its author put there.
#
# Two more habits of people who have lost a week of computing. The file is written under a temporary name
# and then *renamed*, which is atomic: a crash in the middle of writing leaves the old checkpoint in
# place. And if a checkpoint does not fit, the trainer is left as it was.


# %%
#| export
_FORMAT = 1


def save_checkpoint(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Write everything that the trainer's next epoch depends on into one file. Call it between epochs.

    Args:
        path: The file, conventionally *.npz; an existing one is replaced, atomically.
        trainer: Whose model, optimizer, schedule, generators, early stopping and history are saved.

    Raises:
        OSError: If the file cannot be written.
        TypeError: If `trainer` is no Trainer.
    """
    _check_trainer(trainer)
    arrays, facts = _snapshot(trainer)
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays, **{"state.json": np.array(json.dumps(facts, default=np.ndarray.tolist))})
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike[str], trainer: Trainer) -> None:
    """Bring a trainer to the state in which another one was saved; training goes on bit for bit the same.

    Args:
        path: A file from `save_checkpoint`.
        trainer: Made with a model, optimizer, schedule and early stopping of the same kinds.

    Raises:
        ValueError: If the file is no checkpoint or does not fit; then the trainer is as it was.
        OSError: If the file cannot be read.
        TypeError: If `trainer` is no Trainer.
    """
    _check_trainer(trainer)
    arrays, facts = _read(path)
    before = _snapshot(trainer)
    try:
        _restore(trainer, arrays, facts)
    except (ValueError, KeyError, TypeError) as error:
        _restore(trainer, *before)
        raise ValueError(f"the checkpoint {os.fspath(path)} does not fit this trainer: {error}") from error
    trainer._expected_seed = facts["seed"]


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, _Array], dict[str, Any]]:
    """Return the arrays and the facts of a checkpoint file."""
    try:
        # Opened here, so that the file is closed even if NumPy fails on a damaged archive.
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        facts = json.loads(str(arrays.pop("state.json")))
        found = facts["format"]
    except (ValueError, KeyError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{os.fspath(path)} is no checkpoint: {type(error).__name__}: {error}") from error
    if found != _FORMAT:
        raise ValueError(f"{os.fspath(path)}: checkpoint format {_FORMAT} expected, found {found}")
    return arrays, facts


def _generators(model: Layer) -> dict[str, np.random.Generator]:
    """Return the random generators that the layers of a model hold as attributes, by name."""
    return {
        f"{path}.{name}": value
        for path, layer in model.named_layers()
        for name, value in vars(layer).items()
        if isinstance(value, np.random.Generator)
    }


def _snapshot(trainer: Trainer) -> tuple[dict[str, _Array], dict[str, Any]]:
    """Return the trainer's state: arrays by name, and facts that JSON can hold."""
    watch = trainer.early_stopping
    parts: dict[str, Mapping[str, _Array]] = {
        "model": trainer.model.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "schedule": {} if trainer.schedule is None else trainer.schedule.state_dict(),
        "best": (watch.best_state or {}) if watch is not None else {},
    }
    arrays = {f"{part}/{name}": array for part, state in parts.items() for name, array in state.items()}
    generators = _generators(trainer.model)
    facts = {
        "format": _FORMAT,
        "epoch": trainer.epoch,
        "history": [dict(line) for line in trainer.history],
        "stopped": trainer.stopped,
        "seed": trainer._seed,
        "generators": {name: generator.bit_generator.state for name, generator in generators.items()},
        "early_stopping": None if watch is None else [watch.best_loss, watch.best_epoch, watch.waited],
    }
    return arrays, facts


def _restore(trainer: Trainer, arrays: Mapping[str, _Array], facts: Mapping[str, Any]) -> None:
    """Write a state into the trainer; the opposite of `_snapshot`."""

    def part(wanted: str) -> dict[str, _Array]:
        prefix = f"{wanted}/"
        return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}

    generators = _generators(trainer.model)
    _check_same("random generators", set(generators), set(facts["generators"]))
    _check_same("schedule", trainer.schedule is not None, bool(part("schedule")))
    watch = trainer.early_stopping
    _check_same("early stopping", watch is not None, facts["early_stopping"] is not None)
    trainer.model.load_state_dict(part("model"))
    trainer.optimizer.load_state_dict(part("optimizer"))
    if trainer.schedule is not None:
        rate = trainer.optimizer.lr
        trainer.schedule.load_state_dict(part("schedule"))
        trainer.optimizer.lr = rate
    for name, generator in generators.items():
        generator.bit_generator.state = facts["generators"][name]
    if watch is not None:
        watch.best_loss, watch.best_epoch, watch.waited = facts["early_stopping"]
        watch.best_state = part("best") if watch.best_epoch is not None else None
    trainer.epoch = facts["epoch"]
    trainer.history = [dict(line) for line in facts["history"]]
    trainer.stopped = facts["stopped"]
    trainer._seed = facts["seed"]


def _check_same(name: str, expected: object, found: object) -> None:
    """Raise a ValueError unless the trainer and the checkpoint agree about something."""
    if expected != found:
        raise ValueError(f"{name}: the trainer has {expected or 'none'}, the checkpoint {found or 'none'}")


# %% [markdown]
# ## 8. All together
#
# Points of three classes in the plane, each a round cloud, and a small network with dropout. First an
# uninterrupted training, then one that is "switched off" after two epochs and resumed from the file by
# new objects.

# %%
import tempfile

from tinytorch.core.dataloader import TensorDataset, random_split
from tinytorch.core.layers import Dropout, Linear
from tinytorch.core.optimizers import AdamW, CosineLR

generator = np.random.default_rng(0)
classes = generator.integers(0, 3, size=240)
centres = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
points = (centres[classes] + generator.normal(0.0, 0.5, size=(240, 2))).astype(np.float32)
training_part, validation_part = random_split(
    TensorDataset(Tensor(points), Tensor(classes)), [200, 40], rng=0
)


class Net(Layer):
    def __init__(self):
        self.first = Linear(2, 16, rng=1)
        self.drop = Dropout(0.1, rng=2)
        self.last = Linear(16, 3, rng=3)

    def forward(self, x):
        return self.last(self.drop(self.first(x).tanh()))


def new_trainer():
    net = Net()
    optimizer = AdamW(net.parameters(), lr=0.02)
    return Trainer(
        net,
        CrossEntropyLoss(),
        optimizer,
        schedule=CosineLR(optimizer, total=5),
        metrics={"accuracy": accuracy},
        max_norm=5.0,
        early_stopping=EarlyStopping(patience=3),
    )


def loaders():
    return DataLoader(training_part, 32, shuffle=True, rng=4), DataLoader(validation_part, 32)


def fit(trainer, epochs):
    training, validation = loaders()
    return trainer.fit(training, epochs, validation=validation)


whole = new_trainer()
history = fit(whole, 5)
assert history[-1]["loss"] < 0.5 * history[0]["loss"]
assert history[-1]["validation_accuracy"] > 0.9

# %%
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "training.npz"
    interrupted = new_trainer()
    fit(interrupted, 2)
    save_checkpoint(file, interrupted)
    del interrupted

    resumed = new_trainer()
    load_checkpoint(file, resumed)
fit(resumed, 3)
assert resumed.history == whole.history
for name, array in whole.model.state_dict().items():
    assert array.tobytes() == resumed.model.state_dict()[name].tobytes()

# %% [markdown]
# ## Summary
#
# - Losses take logits and are written so that no exponential overflows; their gradients come out as
#   "prediction minus truth".
# - Shapes must agree exactly: a broadcast in a loss is a bug.
# - Accuracy alone deceives; look at the confusion matrix.
# - Averages are weighted by examples, evaluation leaves no traces, a loss that is not finite stops.
# - A checkpoint holds *everything* the next step depends on, generators included, or it is none.
#
# ## Exercises
#
# 1. Derive the gradient of `BCEWithLogits` from its formula, also at $z = 0$, where both $\max(z, 0)$ and
#    $|z|$ have a kink. Which subgradients did module 09 choose, and do they add up to $\sigma(0) - t$?
# 2. The *Huber loss* (1964) is quadratic for small errors and linear for large ones. Write it with `where`,
#    and train on data with a few absurd targets. Compare with `MSELoss`.
# 3. Give `CrossEntropyLoss` weights for the classes. What is the right mean then, over examples or over
#    weights?
# 4. Write a callback that saves a checkpoint every five epochs and keeps the last three files. What would go
#    wrong if it ran in the middle of an epoch?
# 5. Compute precision, recall and F1 from a confusion matrix. What should they be for a class that never
#    occurs?
