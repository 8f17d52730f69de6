"""Unit tests of the optimizers module."""

import io
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.optimizers import (
    SGD,
    Adam,
    AdamW,
    CosineLR,
    ExponentialLR,
    Optimizer,
    Schedule,
    StepLR,
    clip_gradients,
)
from tinytorch.core.tensor import Tensor

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)

MAKERS: dict[str, Callable[[list[Tensor]], Optimizer]] = {
    "plain": lambda p: SGD(p, lr=0.05),
    "decayed": lambda p: SGD(p, lr=0.05, weight_decay=0.1),
    "momentum": lambda p: SGD(p, lr=0.05, momentum=0.9, weight_decay=0.1),
    "nesterov": lambda p: SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
    "adamw": lambda p: AdamW(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1),
}


def reference(name: str, start: Any, gradients: list[Any]) -> Any:
    """The documented formulas of torch.optim, in float64, for the settings of MAKERS."""
    w = np.array(start, dtype=np.float64)
    lr, mu, decay = 0.05, 0.9, 0.0 if name == "plain" else 0.1
    buffer: Any = None
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t, gradient in enumerate(gradients, 1):
        g = np.array(gradient, dtype=np.float64)
        if name == "adamw":
            w = w - lr * decay * w
        else:
            g = g + decay * w
        if name in ("plain", "decayed"):
            w = w - lr * g
        elif name in ("momentum", "nesterov"):
            buffer = g if buffer is None else mu * buffer + g
            w = w - lr * (g + mu * buffer if name == "nesterov" else buffer)
        else:
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g**2
            denominator = np.sqrt(v) / math.sqrt(1 - 0.95**t) + 1e-3
            w = w - lr / (1 - 0.8**t) * m / denominator
    return w


def weight(*values: float, dtype: Any = np.float32) -> Tensor:
    return Tensor(list(values), dtype, requires_grad=True)


def bowl(*weights: Tensor) -> Tensor:
    total = Tensor(0.0)
    for number, w in enumerate(weights, 1):
        total = total + ((w - float(number)) ** 2).sum()
    return total


class TestSteps:
    @pytest.mark.parametrize("name", MAKERS)
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_five_steps_agree_with_the_formulas(self, name: str, dtype: Any) -> None:
        rng = np.random.default_rng(3)
        starts = [rng.normal(size=(3, 2)).astype(dtype), rng.normal(size=()).astype(dtype)]
        gradients = [[rng.normal(size=s.shape).astype(dtype) for s in starts] for _ in range(5)]
        weights = [Tensor(s, requires_grad=True) for s in starts]
        optimizer = MAKERS[name](weights)
        for step in gradients:
            for w, g in zip(weights, step, strict=True):
                w.grad = Tensor(g)
            optimizer.step()
        assert optimizer.steps == 5
        for position, w in enumerate(weights):
            expected = reference(name, starts[position], [step[position] for step in gradients])
            np.testing.assert_allclose(w.numpy(), expected, rtol=1e-5, atol=1e-6)
            assert w.dtype == dtype

    @pytest.mark.parametrize("name", MAKERS)
    def test_every_optimizer_goes_downhill(self, name: str) -> None:
        weights = [weight(5.0, -3.0), weight(0.0)]
        optimizer = MAKERS[name](weights)
        losses = [optimizer.minimize(bowl(*weights)) for _ in range(60)]
        assert losses[0] == pytest.approx(36.0)
        assert losses[-1] < 0.2 * losses[0]

    def test_known_numbers(self) -> None:
        w = weight(1.0)
        optimizer = SGD([w], lr=0.1, momentum=0.5)
        for expected in (0.8, 0.5, 0.15):  # velocities 2, 3, 3.5
            w.grad = Tensor([2.0])
            optimizer.step()
            assert w.item() == pytest.approx(expected)

    @REPEATABLE
    @given(st.floats(1e-3, 1e3), st.floats(1e-4, 1.0))
    def test_adams_first_step_has_length_lr(self, slope: float, lr: float) -> None:
        w = weight(0.0, 0.0, dtype=np.float64)
        w.grad = Tensor(np.array([slope, -slope]))
        Adam([w], lr=lr).step()
        np.testing.assert_allclose(w.numpy(), [-lr, lr], rtol=1e-4)

    def test_adam_and_adamw_differ_only_in_the_decay(self) -> None:
        first, second = weight(1.0, -2.0), weight(1.0, -2.0)
        for optimizer, w in (
            (Adam([first], weight_decay=0.0), first),
            (AdamW([second], weight_decay=0.0), second),
        ):
            for _ in range(3):
                optimizer.minimize(bowl(w))
        assert first.tolist() == second.tolist()

    def test_half_precision_is_updated_in_float32(self) -> None:
        w = weight(1.0, dtype=np.float16)
        w.grad = Tensor([0.0], np.float16)
        optimizer = Adam([w])
        optimizer.step()  # 0 / (0 + eps), and eps is 0 in float16
        assert w.tolist() == [1.0]
        assert w.dtype == np.float16
        assert optimizer.state_dict()["square.0"].dtype == np.float32

    def test_a_step_does_not_write_into_arrays_that_others_hold(self) -> None:
        w = weight(1.0, 2.0)
        seen = w.detach()
        SGD([w], lr=0.1).minimize(w.sum())
        assert seen.tolist() == [1.0, 2.0]

    def test_minimize_forgets_old_gradients_and_clips(self) -> None:
        w = weight(0.0, 0.0)
        w.grad = Tensor([100.0, 100.0])
        optimizer = SGD([w], lr=1.0)
        assert optimizer.minimize((w * Tensor([3.0, 4.0])).sum(), max_norm=1.0) == 0.0
        np.testing.assert_allclose(w.numpy(), [-0.6, -0.8], atol=1e-6)
        optimizer.zero_grad()
        assert w.grad is None


class TestRefusals:
    def test_missing_gradients_are_named_and_nothing_moves(self) -> None:
        used, unused = weight(1.0), weight(1.0, 2.0)
        optimizer = SGD([used, unused], lr=0.1)
        with pytest.raises(RuntimeError, match=r"no gradient for parameter 1 of shape \(2,\): call backward"):
            optimizer.minimize(used.sum())
        assert used.tolist() == [1.0]
        assert optimizer.steps == 0

    @pytest.mark.parametrize(
        ("bad", "text"), [(np.nan, "1 NaN and 0 infinite"), (-np.inf, "0 NaN and 1 infinite")]
    )
    def test_gradients_that_are_not_finite(self, bad: float, text: str) -> None:
        first, second = weight(1.0), weight(1.0, 2.0)
        optimizer = Adam([first, second])
        first.grad, second.grad = Tensor([1.0]), Tensor([1.0, bad])
        with pytest.raises(ValueError, match=rf"gradient of parameter 1, shape \(2,\), holds {text}"):
            optimizer.step()
        assert first.tolist() == [1.0]
        assert not optimizer.state_dict()["mean.0"].any()
        assert optimizer.steps == 0

    def test_a_gradient_of_another_shape(self) -> None:
        w = weight(1.0, 2.0)
        w.grad = Tensor([1.0])
        with pytest.raises(ValueError, match=r"gradient of shape \(2,\) is expected, found shape \(1,\)"):
            SGD([w], lr=0.1).step()

    @pytest.mark.parametrize(
        ("make", "error", "text"),
        [
            (lambda w: SGD([w], lr=0.0), ValueError, "lr must be above 0, found 0.0"),
            (lambda w: SGD([w], lr=-1.0), ValueError, "lr must be finite and at least 0, found -1.0"),
            (lambda w: SGD([w], lr=math.nan), ValueError, "lr must be finite"),
            (lambda w: SGD([w], lr=math.inf), ValueError, "lr must be finite"),
            (lambda w: SGD([w], lr="fast"), TypeError, "lr is a number, found 'fast'"),
            (lambda w: SGD([w], lr=0.1, momentum=1.0), ValueError, "momentum .* below 1, found 1.0"),
            (lambda w: SGD([w], lr=0.1, nesterov=True), ValueError, "nesterov needs a momentum above 0"),
            (lambda w: SGD([w], lr=0.1, weight_decay=-0.1), ValueError, "weight_decay must be"),
            (lambda w: Adam([w], betas=(0.9, 1.0)), ValueError, "beta2 .* below 1, found 1.0"),
            (lambda w: Adam([w], betas=0.9), ValueError, "betas are two numbers, found 0.9"),
            (lambda w: Adam([w], eps=0.0), ValueError, "eps must be above 0"),
            (lambda w: SGD([], lr=0.1), ValueError, "at least one parameter is expected"),
            (lambda w: SGD(w, lr=0.1), TypeError, "found one Tensor"),
            (lambda w: SGD([w, w], lr=0.1), ValueError, "parameters 0 and 1 are the same tensor"),
            (lambda w: SGD([w.data], lr=0.1), TypeError, "a Tensor is expected, found ndarray"),
            (lambda w: SGD([w.detach()], lr=0.1), ValueError, r"shape \(1,\), is not marked requires_grad"),
        ],
    )
    def test_bad_settings(self, make: Callable[[Tensor], object], error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            make(weight(1.0))

    def test_lr_is_checked_when_assigned(self) -> None:
        optimizer = SGD([weight(1.0)], lr=0.1)
        optimizer.lr = 0
        assert optimizer.lr == 0.0
        with pytest.raises(ValueError, match="lr must be finite and at least 0, found nan"):
            optimizer.lr = math.nan


class TestState:
    @pytest.mark.parametrize("name", MAKERS)
    def test_resumes_bit_for_bit_through_a_file(self, name: str) -> None:
        weights = [weight(5.0, -3.0), weight(0.1)]
        optimizer = MAKERS[name](weights)
        schedule = ExponentialLR(optimizer, gamma=0.9)

        def train(optimizer: Optimizer, schedule: Schedule, weights: list[Tensor]) -> None:
            for _ in range(4):
                optimizer.minimize(bowl(*weights))
                schedule.step()

        train(optimizer, schedule, weights)
        file = io.BytesIO()
        np.savez(file, **optimizer.state_dict())
        file.seek(0)
        again = [Tensor(w.numpy(), requires_grad=True) for w in weights]
        resumed = MAKERS[name](again)
        resumed_schedule = ExponentialLR(resumed, gamma=0.9)
        resumed_schedule.load_state_dict(schedule.state_dict())
        with np.load(file) as stored:
            resumed.load_state_dict(stored)
        assert repr(resumed) == repr(optimizer)
        train(optimizer, schedule, weights)
        train(resumed, resumed_schedule, again)
        for w, copy in zip(weights, again, strict=True):
            assert w.numpy().tobytes() == copy.numpy().tobytes()
        for key, value in optimizer.state_dict().items():
            assert value.tobytes() == resumed.state_dict()[key].tobytes()

    def test_a_state_is_a_copy(self) -> None:
        w = weight(1.0)
        optimizer = SGD([w], lr=0.1, momentum=0.9)
        state = optimizer.state_dict()
        optimizer.minimize(bowl(w))
        assert state["velocity.0"].tolist() == [0.0]
        optimizer.load_state_dict(state)
        optimizer.minimize(bowl(w))
        assert state["velocity.0"].tolist() == [0.0]

    def test_a_state_that_does_not_fit_is_refused_whole(self) -> None:
        optimizer = SGD([weight(1.0)], lr=0.1, momentum=0.9)
        state = SGD([weight(1.0, 2.0)], lr=0.5, momentum=0.9).state_dict()
        del state["nesterov"]
        state["velocity.1"] = np.zeros(1)
        with pytest.raises(ValueError, match="does not fit SGD") as caught:
            optimizer.load_state_dict(state)
        assert str(caught.value).splitlines()[1:] == [
            "  missing: nesterov",
            "  unexpected: velocity.1",
            "  velocity.0: shape (1,) expected, found (2,)",
        ]
        assert optimizer.lr == 0.1

    def test_another_kind_or_bad_numbers(self) -> None:
        adam = Adam([weight(1.0)])
        with pytest.raises(ValueError, match="kind: Adam expected, found AdamW"):
            adam.load_state_dict(AdamW([weight(1.0)]).state_dict())
        with pytest.raises(ValueError, match=r"mean\.0: finite numbers expected"):
            adam.load_state_dict({**adam.state_dict(), "mean.0": np.array([np.nan])})
        with pytest.raises(ValueError, match=r"lr: a number of at least 0 expected, found -1\.0"):
            adam.load_state_dict({**adam.state_dict(), "lr": np.array(-1.0)})


class TestSchedules:
    def test_step_and_exponential(self) -> None:
        stairs = StepLR(SGD([weight(1.0)], lr=0.8), every=3, gamma=0.5)
        rates = []
        for _ in range(7):
            rates.append(stairs.optimizer.lr)
            stairs.step()
        np.testing.assert_allclose(rates, [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2])
        falling = ExponentialLR(SGD([weight(1.0)], lr=0.8), gamma=0.9)
        for _ in range(5):
            falling.step()
        assert falling.optimizer.lr == pytest.approx(0.8 * 0.9**5)

    @REPEATABLE
    @given(st.integers(2, 50), st.data())
    def test_cosine_with_warm_up(self, total: int, data: st.DataObject) -> None:
        warmup = data.draw(st.integers(0, total - 1))
        schedule = CosineLR(SGD([weight(1.0)], lr=2.0), total=total, warmup=warmup, min_lr=0.5)
        rates = [schedule.rate(step) for step in range(total + 3)]
        np.testing.assert_allclose(rates[:warmup], 2.0 * np.arange(1, warmup + 1) / max(warmup, 1))
        t = np.arange(total - warmup)
        expected = 0.5 + 0.75 * (1 + np.cos(np.pi * t / (total - warmup)))
        np.testing.assert_allclose(rates[warmup:total], expected)
        np.testing.assert_allclose(rates[total:], 0.5)

    def test_the_first_rate_is_set_at_once(self) -> None:
        optimizer = SGD([weight(1.0)], lr=1.0)
        schedule = CosineLR(optimizer, total=10, warmup=4)
        assert optimizer.lr == 0.25
        schedule.load_state_dict({**schedule.state_dict(), "steps": np.array(3)})
        assert optimizer.lr == 1.0

    @pytest.mark.parametrize(
        ("make", "error", "text"),
        [
            (lambda o: StepLR(o, every=0), ValueError, "every must be at least 1, found 0"),
            (lambda o: StepLR(o, every=1.5), TypeError, "every is an int, found 1.5"),
            (lambda o: ExponentialLR(o, gamma=1.1), ValueError, "gamma must be at most 1"),
            (lambda o: ExponentialLR(o, gamma=0.0), ValueError, "gamma must be above 0"),
            (lambda o: CosineLR(o, total=3, warmup=3), ValueError, "warmup must be below total=3, found 3"),
            (lambda o: CosineLR(o, total=3, min_lr=2.0), ValueError, "min_lr must be at most"),
            (lambda o: StepLR("sgd", every=1), TypeError, "expects an Optimizer, found str"),
        ],
    )
    def test_bad_settings(
        self, make: Callable[[Optimizer], object], error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text):
            make(SGD([weight(1.0)], lr=1.0))

    def test_the_state_of_another_schedule_is_refused(self) -> None:
        optimizer = SGD([weight(1.0)], lr=1.0)
        stairs = StepLR(optimizer, every=2)
        with pytest.raises(ValueError, match="kind: StepLR expected, found ExponentialLR"):
            stairs.load_state_dict(ExponentialLR(optimizer, gamma=0.5).state_dict())


class TestClipping:
    def weights(self) -> list[Tensor]:
        weights = [weight(0.0, 0.0), weight(0.0)]
        weights[0].grad, weights[1].grad = Tensor([3.0, 0.0]), Tensor([-4.0])
        return weights

    def gradients(self, weights: list[Tensor]) -> list[list[float]]:
        return [w.grad.tolist() for w in weights if w.grad is not None]

    def test_by_norm(self) -> None:
        weights = self.weights()
        assert clip_gradients(weights, max_norm=2.5) == pytest.approx(5.0)
        np.testing.assert_allclose(np.concatenate(self.gradients(weights)), [1.5, 0.0, -2.0], atol=1e-5)
        assert clip_gradients(weights, max_norm=2.5) == pytest.approx(2.5, rel=1e-5)

    def test_small_gradients_stay_as_they_are(self) -> None:
        weights = self.weights()
        clip_gradients(weights, max_norm=10.0)
        assert self.gradients(weights) == [[3.0, 0.0], [-4.0]]
        weights[0].grad, weights[1].grad = Tensor([0.0, 0.0]), Tensor([0.0])
        assert clip_gradients(weights, max_norm=1.0) == 0.0

    def test_by_value(self) -> None:
        weights = self.weights()
        assert clip_gradients(weights, max_value=2.0) == pytest.approx(5.0)
        assert self.gradients(weights) == [[2.0, 0.0], [-2.0]]

    def test_the_norm_does_not_overflow(self) -> None:
        w = weight(0.0, 0.0, dtype=np.float64)
        w.grad = Tensor(np.array([3e200, 4e200]))
        assert clip_gradients(iter([w]), max_norm=1.0) == pytest.approx(5e200)
        assert w.grad is not None
        np.testing.assert_allclose(w.grad.numpy(), [0.6, 0.8])

    @pytest.mark.parametrize(
        ("limits", "text"),
        [
            ({}, "either max_norm or max_value"),
            ({"max_norm": 1.0, "max_value": 1.0}, "either"),
            ({"max_norm": 0.0}, "max_norm must be above 0"),
            ({"max_value": -1.0}, "max_value must be finite"),
        ],
    )
    def test_bad_limits(self, limits: dict[str, float], text: str) -> None:
        with pytest.raises(ValueError, match=text):
            clip_gradients(self.weights(), **limits)

    def test_bad_gradients(self) -> None:
        weights = self.weights()
        weights[0].grad = Tensor([np.nan, 1.0])
        with pytest.raises(ValueError, match="gradient of parameter 0"):
            clip_gradients(weights, max_norm=1.0)
        weights[0].zero_grad()
        with pytest.raises(RuntimeError, match="no gradient for parameter 0"):
            clip_gradients(weights, max_norm=1.0)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: SGD(None, lr=0.1), TypeError, "a collection of parameters is expected, found NoneType"),
        (
            lambda: SGD([Tensor([1.0], requires_grad=True)], lr=0.1).load_state_dict(None),
            TypeError,
            "a state is a mapping from names to arrays, found NoneType",
        ),
        (
            lambda: StepLR(SGD([Tensor([1.0], requires_grad=True)], lr=0.1), 1).load_state_dict([]),
            TypeError,
            "a state is a mapping from names to arrays, found list",
        ),
        (
            lambda: clip_gradients(3, max_norm=1.0),
            TypeError,
            "a collection of parameters is expected, found int",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()


def test_a_gradient_that_is_no_tensor_is_refused() -> None:
    parameter: Any = Tensor([1.0, 2.0], requires_grad=True)
    parameter.grad = np.ones(2, np.float32)
    with pytest.raises(TypeError, match="parameter 0: a gradient is a Tensor, found ndarray"):
        Adam([parameter], lr=0.1).step()
    assert parameter.tolist() == [1.0, 2.0]
