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
# # Module 10: Optimizers
#
# Autograd tells us, for every weight, which way is uphill. This module decides how to go down: how far a
# step reaches, whether it remembers the steps before, and whether all weights take steps of one size.
#
# | name | idea | source |
# |---|---|---|
# | `SGD` | a step against the gradient, if wanted with momentum | Polyak 1964; Sutskever et al. 2013 |
# | `Adam` | a step size of its own for every weight | Kingma & Ba 2015 |
# | `AdamW` | Adam with a weight decay that works | Loshchilov & Hutter 2019 |
# | `StepLR`, `ExponentialLR`, `CosineLR` | step sizes that shrink during training | see section 5 |
# | `clip_gradients` | an upper limit for a gradient | Pascanu, Mikolov & Bengio 2013 |
#
# The update rules are short, five lines at most. What deserves care is around them: every weight exactly
# once, no step with a gradient that is missing or not a number, and a state that can be saved and resumed
# so that no bit differs. Details like where $\varepsilon$ stands follow PyTorch, so that numbers from
# elsewhere can be compared.

# %%
#| default_exp core.optimizers

# %%
#| export
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.autograd import backward
from tinytorch.core.tensor import Tensor

# %% [markdown]
# ## 1. Before a step: checks
#
# A step with a bad gradient does not fail. It writes NaN into a weight, the next forward pass spreads it
# over all outputs, and the next backward pass over all weights. An hour later somebody sees `loss: nan` and
# has no idea where it came from. So we look *before* we write, at all gradients of all weights, and
# refuse the whole step:
#
# - **Missing**: a weight without a gradient took no part in computing the loss. Either `backward` was
#   forgotten, or a part of the network hangs in the air. (Some frameworks skip such a weight without a
#   word.)
# - **Not finite**: NaN or infinity. The usual causes are a step size that is too large, `log(0)`, or
#   $0/0$.
#
# And before the first step, at the list of weights: a weight that occurs twice would take every step
# twice, and an empty list would learn nothing at all.


# %%
#| export
_Array = npt.NDArray[Any]


def _checked_parameters(parameters: Iterable[Tensor]) -> list[Tensor]:
    """Return the parameters as a list, after checking that each can be learned and occurs once."""
    if isinstance(parameters, Tensor):
        raise TypeError("a collection of parameters is expected, found one Tensor: write [parameter]")
    if not isinstance(parameters, Iterable):
        raise TypeError(f"a collection of parameters is expected, found {type(parameters).__name__}")
    found = list(parameters)
    if not found:
        raise ValueError("at least one parameter is expected, found none")
    seen: dict[int, int] = {}
    for position, parameter in enumerate(found):
        if not isinstance(parameter, Tensor):
            raise TypeError(f"parameter {position}: a Tensor is expected, found {type(parameter).__name__}")
        if not parameter.requires_grad:
            raise ValueError(f"parameter {position}, shape {parameter.shape}, is not marked requires_grad")
        first = seen.setdefault(id(parameter), position)
        if first != position:
            raise ValueError(f"parameters {first} and {position} are the same tensor: name each once")
    return found


def _checked_gradients(parameters: Sequence[Tensor]) -> list[_Array]:
    """Return the gradients' arrays, or raise if one is missing, misshapen or not finite."""
    missing = [position for position, parameter in enumerate(parameters) if parameter.grad is None]
    if missing:
        shapes = ", ".join(f"{position} of shape {parameters[position].shape}" for position in missing)
        raise RuntimeError(
            f"no gradient for parameter {shapes}: call backward() on a loss that depends on it, or give the "
            "optimizer only the parameters that are learned"
        )
    gradients = []
    for position, parameter in enumerate(parameters):
        if not isinstance(parameter.grad, Tensor):
            found = type(parameter.grad).__name__
            raise TypeError(f"parameter {position}: a gradient is a Tensor, found {found}")
        gradient = parameter.grad.data
        if gradient.shape != parameter.shape:
            raise ValueError(
                f"parameter {position}: a gradient of shape {parameter.shape} is expected, "
                f"found shape {gradient.shape}"
            )
        # One fast pass: a finite sum of squares has finite terms. Another may be an overflow, so look again.
        if not (math.isfinite(np.vdot(gradient, gradient)) or np.isfinite(gradient).all()):
            raise ValueError(
                f"the gradient of parameter {position}, shape {parameter.shape}, holds "
                f"{np.isnan(gradient).sum()} NaN and {np.isinf(gradient).sum()} infinite values of "
                f"{gradient.size}: nothing was changed; try a smaller learning rate"
            )
        gradients.append(gradient)
    return gradients


def _checked_number(name: str, value: object, low: float, high: float = math.inf) -> float:
    """Return `value` as a float if it lies in low <= value < high."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} is a number, found {value!r}")
    if not low <= value < high:
        wanted = f"at least {low:g}" if high == math.inf else f"at least {low:g} and below {high:g}"
        raise ValueError(f"{name} must be finite and {wanted}, found {value}")
    return float(value)


def _checked_positive(name: str, value: object) -> float:
    """Return `value` as a float if it is finite and above 0."""
    number = _checked_number(name, value, 0.0)
    if number == 0.0:
        raise ValueError(f"{name} must be above 0, found {value}")
    return number


# %%
weight = Tensor([1.0, 2.0], requires_grad=True)
weight.grad = Tensor([0.5, float("nan")])
try:
    _checked_gradients([weight])
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a NaN must be refused")
assert "1 NaN and 0 infinite values of 2" in message

# %% [markdown]
# ## 2. What all optimizers share
#
# One training step is three lines:
#
#     optimizer.zero_grad()       forget the gradients of the last step (they would add up)
#     loss.backward()             compute new ones
#     optimizer.step()            change the weights
#
# To forget the first line is perhaps the most frequent mistake in this trade: the gradients of all steps so
# far pile up, and the network "learns" ever faster in ever older directions. `minimize(loss)` does all
# three, in the right order.
#
# An optimizer keeps *slots*: arrays of a weight's shape in which it remembers something, one dictionary
# per weight. A subclass says which slots it needs, and how new values come from old ones; the base class does
# the rest.
#
# **The state.** Imagine training is interrupted after 1000 steps and resumed from the saved weights
# alone. Momentum starts at zero again, Adam forgets its step sizes: the loss jumps. So `state_dict` gives
# everything that the next step depends on: the number of steps, all settings and all slots. It is
# a flat dictionary of arrays, which `np.savez` stores as it is. As in module 04, `load_state_dict` looks at
# everything before it writes anything.
#
# Weights of `float16` are updated in `float32` and rounded at the end: Adam's $\varepsilon = 10^{-8}$ is 0
# in half precision.


# %%
#| export
class Optimizer(ABC):
    """Changes parameters so that a loss gets smaller. Subclasses define `_updated` and their slots.

    Args:
        parameters: The tensors to learn: at least one, each once, each marked `requires_grad`.
        lr: The learning rate, above 0.
        weight_decay: How strongly weights are pulled to 0, at least 0.

    Attributes:
        parameters: The tensors, as a list.
        steps: How many steps were taken.
        weight_decay: As given.

    Raises:
        TypeError: If a parameter is no tensor or a setting is no number.
        ValueError: If there are no parameters, one is unfit or occurs twice, or a setting is out of range.
    """

    _settings: tuple[str, ...] = ("weight_decay",)

    def __init__(self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        self.parameters = _checked_parameters(parameters)
        self._lr = _checked_positive("lr", lr)
        self.weight_decay = _checked_number("weight_decay", weight_decay, 0.0)
        self.steps = 0
        self._slots: list[dict[str, _Array]] = [
            {name: np.zeros(parameter.shape, _working_dtype(parameter)) for name in self._slot_names()}
            for parameter in self.parameters
        ]

    @property
    def lr(self) -> float:
        """The learning rate of the next step; schedules assign it. At least 0.

        Raises:
            TypeError: If something else than a number is assigned.
            ValueError: If a negative or infinite number or NaN is assigned.
        """
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = _checked_number("lr", value, 0.0)

    def _slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays that are kept for each parameter."""
        return ()

    @abstractmethod
    def _updated(self, values: _Array, gradient: _Array, slots: dict[str, _Array]) -> _Array:
        """Return a parameter's new values in a new array, and change its slots in place.

        Neither `values` nor `gradient` may be written into: they are the parameter's own, not copies.
        """

    def step(self) -> None:
        """Change every parameter by one step. Nothing changes if a gradient is unfit.

        Raises:
            RuntimeError: If a parameter has no gradient.
            ValueError: If a gradient has the wrong shape or holds NaN or infinite values.
        """
        gradients = _checked_gradients(self.parameters)
        self.steps += 1
        for parameter, gradient, slots in zip(self.parameters, gradients, self._slots, strict=True):
            dtype = _working_dtype(parameter)
            values = parameter.data.astype(dtype, copy=False)
            parameter.data = self._updated(values, gradient.astype(dtype, copy=False), slots)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters:
            parameter.zero_grad()

    def minimize(self, loss: Tensor, max_norm: float | None = None) -> float:
        """Take one whole training step: forget old gradients, run `backward`, clip if wanted, step.

        Args:
            loss: A tensor with one element, computed from the parameters.
            max_norm: If given, gradients are clipped to this global norm; see `clip_gradients`.

        Returns:
            The value of the loss before the step.

        Raises:
            RuntimeError: If the loss does not depend on all parameters.
            ValueError: If a gradient holds NaN or infinite values; also as `backward`.
        """
        self.zero_grad()
        backward(loss)
        if max_norm is not None:
            clip_gradients(self.parameters, max_norm=max_norm)
        self.step()
        return float(loss.item())

    def state_dict(self) -> dict[str, _Array]:
        """Return copies of everything the next step depends on, besides the parameters, by name."""
        state = {
            "kind": np.array(type(self).__name__),
            "steps": np.array(self.steps),
            "lr": np.array(self.lr),
        }
        for name in self._settings:
            state[name] = np.array(getattr(self, name))
        for position, slots in enumerate(self._slots):
            for name, array in slots.items():
                state[f"{name}.{position}"] = array.copy()
        return state

    def load_state_dict(self, state: Mapping[str, _Array]) -> None:
        """Take over a state, so that the next step is the one that the other optimizer would have taken.

        Args:
            state: Arrays by name, as from `state_dict`.

        Raises:
            ValueError: If the state is of another kind of optimizer, or names or shapes disagree. The message
                lists all disagreements, and nothing was changed.
        """
        expected = self.state_dict()
        found = _checked_state(state)
        problems = _state_problems(expected, found)
        if problems:
            raise ValueError("\n  ".join([f"the state does not fit {type(self).__name__}:", *problems]))
        self.lr = float(found["lr"])
        self.steps = int(found["steps"])
        for name in self._settings:
            setattr(self, name, found[name].item())
        for position, slots in enumerate(self._slots):
            for name, array in slots.items():
                slots[name] = found[f"{name}.{position}"].astype(array.dtype)  # astype copies

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in ("lr", *self._settings))
        return f"{type(self).__name__}({len(self.parameters)} parameters, {settings}, steps={self.steps})"


def _checked_state(state: Mapping[str, _Array]) -> dict[str, _Array]:
    """Return a saved state's values as arrays."""
    if not isinstance(state, Mapping):
        raise TypeError(f"a state is a mapping from names to arrays, found {type(state).__name__}")
    return {name: np.asarray(value) for name, value in state.items()}


def _working_dtype(parameter: Tensor) -> np.dtype[Any]:
    """Return the dtype in which a parameter is updated: its own, but at least float32."""
    return np.promote_types(parameter.dtype, np.float32)


def _state_problems(expected: Mapping[str, _Array], found: Mapping[str, _Array]) -> list[str]:
    """Return a line for everything in which a saved state differs from what is expected."""
    if "kind" in found and str(found["kind"]) != str(expected["kind"]):
        return [f"kind: {expected['kind']} expected, found {found['kind']}"]
    problems = []
    missing = [name for name in expected if name not in found]
    unexpected = [name for name in found if name not in expected]
    if missing:
        problems.append(f"missing: {', '.join(missing)}")
    if unexpected:
        problems.append(f"unexpected: {', '.join(unexpected)}")
    for name, wanted in expected.items():
        if name == "kind" or name not in found:
            continue
        value = found[name]
        if value.shape != wanted.shape:
            problems.append(f"{name}: shape {wanted.shape} expected, found {value.shape}")
        elif value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            problems.append(f"{name}: finite numbers expected, found {value.dtype} {value.ravel()[:3]}")
        elif name in ("lr", "steps", "base_lr") and value < 0:
            problems.append(f"{name}: a number of at least 0 expected, found {value}")
    return problems


# %% [markdown]
# ## 3. Gradient descent, with momentum
#
# The plain rule follows the gradient $g_t$ at step size $\eta$, the *learning rate*:
#
# $$w_{t+1} = w_t - \eta\, g_t .$$
#
# How large may $\eta$ be? Take the simplest valley, $L = \frac{a}{2} w^2$ with $g = a w$. Then
# $w_{t+1} = (1 - \eta a)\, w_t$, which shrinks only for $\eta < 2/a$. In a real loss, $a$ differs from
# direction to direction, a hundred along one and 1 along another. The steep direction dictates a small
# $\eta$, and along the flat one we crawl.
#
# **Momentum** (B. T. Polyak, *Some methods of speeding up the convergence of iteration methods*, USSR
# Computational Mathematics and Mathematical Physics 4, 1964) lets the step be a heavy ball. Along the
# valley all gradients agree and add up; across it they alternate and cancel:
#
# $$v_t = \mu\, v_{t-1} + g_t, \qquad w_{t+1} = w_t - \eta\, v_t .$$
#
# With a constant gradient the speed tends to $g (1 + \mu + \mu^2 + \dots) = g / (1 - \mu)$: ten times the
# plain step for $\mu = 0.9$. So whoever turns momentum on should turn $\eta$ down.
#
# **Nesterov's** variant looks at the slope where the ball is about to be. In the form of Sutskever,
# Martens, Dahl & Hinton (*On the importance of initialization and momentum in deep learning*, ICML 2013),
# rewritten in terms of the gradient that we have:
#
# $$w_{t+1} = w_t - \eta\, (g_t + \mu\, v_t) .$$
#
# **Weight decay** $\lambda$ adds $\frac{\lambda}{2} \lVert w \rVert^2$ to the loss, hence $\lambda w$ to
# the gradient: weights that earn nothing fade away.
#
#     w = 1, g = 0.5 every time, η = 0.1, μ = 0.9
#     step 1   v = 0.5              w = 1 - 0.05     = 0.95
#     step 2   v = 0.45 + 0.5       w = 0.95 - 0.095 = 0.855


# %%
#| export
class SGD(Optimizer):
    """Stochastic gradient descent with momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013).

    v = momentum * v + g;  w = w - lr * v  (Nesterov: w = w - lr * (g + momentum * v)), where weight decay
    adds weight_decay * w to g.

    Args:
        parameters: The tensors to learn.
        lr: The learning rate, above 0.
        momentum: The share of the last step's velocity that is kept, at least 0 and below 1.
        nesterov: Whether to use Nesterov's variant; needs momentum.
        weight_decay: The factor of the weights that is added to the gradient, at least 0.

    Raises:
        TypeError: If a parameter is no tensor or a setting is no number.
        ValueError: If a parameter is unfit or a setting is out of range.
    """

    _settings = ("weight_decay", "momentum", "nesterov")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.momentum = _checked_number("momentum", momentum, 0.0, 1.0)
        self.nesterov = bool(nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs a momentum above 0, found 0")
        super().__init__(parameters, lr, weight_decay)

    def _slot_names(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def _updated(self, values: _Array, gradient: _Array, slots: dict[str, _Array]) -> _Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * values
        if not self.momentum:
            return values - self.lr * gradient
        velocity = slots["velocity"]
        velocity *= self.momentum
        velocity += gradient
        return values - self.lr * (gradient + self.momentum * velocity if self.nesterov else velocity)


# %%
weight = Tensor(1.0, requires_grad=True)
sgd = SGD([weight], lr=0.1, momentum=0.9)
for expected in (0.95, 0.855):
    sgd.minimize(0.5 * weight)  # its gradient is 0.5
    assert abs(weight.item() - expected) < 1e-6


def steps_until_flat(**settings):
    """Count the steps down a valley that is 100 times steeper in one direction than in the other."""
    place = Tensor([1.0, 1.0], requires_grad=True)
    optimizer = SGD([place], **settings)
    while abs(place.data).max() > 1e-3:
        optimizer.minimize((place**2 * Tensor([50.0, 0.5])).sum())
    return optimizer.steps


assert steps_until_flat(lr=0.019) > 300
assert steps_until_flat(lr=0.019, momentum=0.8) < 100

# %% [markdown]
# ## 4. Adam
#
# Some weights see large gradients in every step, others a small one now and then (the embedding of a rare
# word). One learning rate cannot suit both. *Adam* (D. P. Kingma and J. Ba, *Adam: A Method for Stochastic
# Optimization*, ICLR 2015, algorithm 1) divides each weight's step by the size that its gradients usually
# have. It keeps running means of the gradient and of its square:
#
# $$m_t = \beta_1 m_{t-1} + (1 - \beta_1)\, g_t, \qquad v_t = \beta_2 v_{t-1} + (1 - \beta_2)\, g_t^2 .$$
#
# Both start at 0 and are too small at first. If all gradients are equal to $g$, then
# $m_t = (1 - \beta_1^t)\, g$; dividing by that factor repairs it:
#
# $$\hat m_t = \frac{m_t}{1 - \beta_1^t}, \qquad \hat v_t = \frac{v_t}{1 - \beta_2^t}, \qquad
#   w_{t+1} = w_t - \eta\, \frac{\hat m_t}{\sqrt{\hat v_t} + \varepsilon} .$$
#
# In the very first step $\hat m = g$ and $\sqrt{\hat v} = |g|$: every weight moves by $\eta$ in the
# direction of the sign, no matter how large its gradient is. So $\eta$ is about the distance per step, which
# is why 0.001 works for so many networks.
#
# $\varepsilon$ stands *outside* the root. Inside, $10^{-8}$ would act like $10^{-4}$.
#
# **AdamW.** If weight decay is added to the gradient, Adam divides it by $\sqrt{\hat v}$ too, and weights
# with large gradients are decayed least, which nobody wanted. Loshchilov and Hutter (*Decoupled Weight Decay
# Regularization*, ICLR 2019, algorithm 2) shrink the weight directly and leave the gradient alone:
#
# $$w \leftarrow (1 - \eta \lambda)\, w \quad\text{and then Adam's step.}$$


# %%
#| export
class Adam(Optimizer):
    """Adam (Kingma & Ba, ICLR 2015, algorithm 1); weight decay is added to the gradient.

    Args:
        parameters: The tensors to learn.
        lr: The learning rate, above 0: about how far a weight moves per step.
        betas: How much of the running means of gradient and squared gradient is kept per step; both at least
            0 and below 1.
        eps: What is added to the root in the denominator, above 0.
        weight_decay: The factor of the weights that is added to the gradient, at least 0.

    Raises:
        TypeError: If a parameter is no tensor or a setting is no number.
        ValueError: If a parameter is unfit or a setting is out of range.
    """

    _settings = ("weight_decay", "beta1", "beta2", "eps")

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas are two numbers, found {betas!r}")
        self.beta1 = _checked_number("beta1", betas[0], 0.0, 1.0)
        self.beta2 = _checked_number("beta2", betas[1], 0.0, 1.0)
        self.eps = _checked_positive("eps", eps)
        super().__init__(parameters, lr, weight_decay)

    def _slot_names(self) -> tuple[str, ...]:
        return ("mean", "square")

    def _updated(self, values: _Array, gradient: _Array, slots: dict[str, _Array]) -> _Array:
        if self.weight_decay:
            gradient = gradient + self.weight_decay * values
        return values - self._adam_step(gradient, slots)

    def _adam_step(self, gradient: _Array, slots: dict[str, _Array]) -> _Array:
        """Update the running means and return what is to be subtracted from the parameter."""
        mean, square = slots["mean"], slots["square"]
        mean *= self.beta1
        mean += (1.0 - self.beta1) * gradient
        square *= self.beta2
        square += (1.0 - self.beta2) * gradient * gradient
        mean_hat = mean / (1.0 - self.beta1**self.steps)
        square_hat = square / (1.0 - self.beta2**self.steps)
        step: _Array = self.lr * mean_hat / (np.sqrt(square_hat) + self.eps)
        return step


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter, ICLR 2019, algorithm 2).

    Args:
        parameters: The tensors to learn.
        lr: The learning rate, above 0.
        betas: As for `Adam`.
        eps: As for `Adam`.
        weight_decay: Every step first multiplies the weights by 1 - lr * weight_decay.

    Raises:
        TypeError: If a parameter is no tensor or a setting is no number.
        ValueError: If a parameter is unfit or a setting is out of range.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay)

    def _updated(self, values: _Array, gradient: _Array, slots: dict[str, _Array]) -> _Array:
        return values * (1.0 - self.lr * self.weight_decay) - self._adam_step(gradient, slots)


# %%
# The first step has the length lr for every weight, whatever its gradient.
weights = Tensor([1.0, 1.0, 1.0], requires_grad=True)
Adam([weights], lr=0.01).minimize((weights * Tensor([1000.0, 1.0, -0.001])).sum())
assert np.allclose(weights.numpy(), [0.99, 0.99, 1.01], atol=1e-6)

# With a gradient of 0 only the decay acts: 1 - 0.1 * 0.5.
still = Tensor([1.0], requires_grad=True)
AdamW([still], lr=0.1, weight_decay=0.5).minimize((still * 0.0).sum())
assert np.allclose(still.numpy(), [0.95])

# %% [markdown]
# Resuming is exact: an optimizer that takes over weights and state goes on as the first would have.


# %%
def bowl(place):
    return ((place - Tensor([3.0, -1.0])) ** 2 * Tensor([1.0, 10.0])).sum()


place = Tensor([0.0, 0.0], requires_grad=True)
adam = Adam([place], lr=0.1)
for _ in range(5):
    adam.minimize(bowl(place))

place_again = Tensor(place.numpy(), requires_grad=True)
adam_again = Adam([place_again], lr=7.0)
adam_again.load_state_dict(adam.state_dict())
for _ in range(5):
    adam.minimize(bowl(place))
    adam_again.minimize(bowl(place_again))
assert place.numpy().tobytes() == place_again.numpy().tobytes()

# %% [markdown]
# ## 5. Learning-rate schedules
#
# Large steps travel far, small steps settle. Near a minimum the noise of the batches kicks the weights
# about, at a distance proportional to $\eta$; to come closer, $\eta$ has to shrink (Robbins & Monro, *A
# Stochastic Approximation Method*, 1951). With $\eta_0$ the optimizer's learning rate and $t$ the number of
# calls of `schedule.step()`:
#
# | schedule | $\eta_t$ |
# |---|---|
# | `StepLR` | $\eta_0\, \gamma^{\lfloor t / s \rfloor}$: a stair, once per $s$ |
# | `ExponentialLR` | $\eta_0\, \gamma^{t}$ |
# | `CosineLR` | $\eta_{\min} + \frac12 (\eta_0 - \eta_{\min}) (1 + \cos \pi p)$, $p$ from 0 to 1 |
#
# The cosine is from Loshchilov & Hutter (*SGDR*, ICLR 2017): slow at both ends, fast in the middle. Before
# it there may be a *warm-up* (Goyal et al., *Accurate, Large Minibatch SGD*, 2017, section 2.2): in the
# first steps the weights are random and Adam's running means rest on few gradients, so steps start small
# and grow linearly, $\eta_t = \eta_0 (t + 1) / W$ for $t < W$.
#
#     η0 = 0.8, total = 6, warm-up = 2:   t   0    1    2    3     4    5     6    7
#                                        η_t  0.4  0.8  0.8  0.683 0.4  0.117 0    0
#
# Whether a "step" is a batch or an epoch is up to the caller. Each rate is computed from $t$ directly, not
# by multiplying the last rate, so nothing accumulates. A mistake to avoid: calling `step` before the
# optimizer's first step, so that the first rate is never used.


# %%
#| export
class Schedule(ABC):
    """Sets an optimizer's learning rate as a function of the number of steps. Subclasses define `rate`.

    Args:
        optimizer: Whose learning rate is set, from now on; the present one is the base rate.

    Attributes:
        optimizer: As given.
        base_lr: The optimizer's learning rate at the beginning.
        steps: How often `step` was called.

    Raises:
        TypeError: If `optimizer` is not an Optimizer.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"a schedule expects an Optimizer, found {type(optimizer).__name__}")
        self.optimizer = optimizer
        self.base_lr = optimizer.lr
        self.steps = 0
        optimizer.lr = self.rate(0)

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate after `step` calls of `step()`."""

    def step(self) -> None:
        """Go on by one, and set the optimizer's learning rate."""
        self.steps += 1
        self.optimizer.lr = self.rate(self.steps)

    def state_dict(self) -> dict[str, _Array]:
        """Return the number of steps and the base rate; the schedule's settings are not part of it."""
        return {
            "kind": np.array(type(self).__name__),
            "steps": np.array(self.steps),
            "base_lr": np.array(self.base_lr),
        }

    def load_state_dict(self, state: Mapping[str, _Array]) -> None:
        """Go to the place where the other schedule was, and set the optimizer's learning rate.

        Raises:
            ValueError: If the state is of another kind of schedule, or lacks something.
        """
        found = _checked_state(state)
        problems = _state_problems(self.state_dict(), found)
        if problems:
            raise ValueError("\n  ".join([f"the state does not fit {type(self).__name__}:", *problems]))
        self.steps = int(found["steps"])
        self.base_lr = float(found["base_lr"])
        self.optimizer.lr = self.rate(self.steps)


def _checked_count(name: str, value: object, least: int) -> int:
    """Return `value` as an int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is an int, found {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, found {value}")
    return int(value)


def _checked_factor(value: object) -> float:
    """Return the factor gamma as a float if it is above 0 and at most 1."""
    factor = _checked_positive("gamma", value)
    if factor > 1.0:
        raise ValueError(f"gamma must be at most 1, found {value}: the rate would grow")
    return factor


class StepLR(Schedule):
    """Multiplies the learning rate by `gamma` once every `every` steps.

    Args:
        optimizer: Whose learning rate is set.
        every: The number of steps between two reductions, at least 1.
        gamma: The factor, above 0 and at most 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.
    """

    def __init__(self, optimizer: Optimizer, every: int, gamma: float = 0.1) -> None:
        self.every = _checked_count("every", every, 1)
        self.gamma = _checked_factor(gamma)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return base_lr * gamma ** (step // every)."""
        return self.base_lr * self.gamma ** (step // self.every)


class ExponentialLR(Schedule):
    """Multiplies the learning rate by `gamma` at every step.

    Args:
        optimizer: Whose learning rate is set.
        gamma: The factor, above 0 and at most 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If gamma is out of range.
    """

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = _checked_factor(gamma)
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return base_lr * gamma ** step."""
        return self.base_lr * self.gamma**step


class CosineLR(Schedule):
    """A linear warm-up (Goyal et al., 2017), then half a cosine (Loshchilov & Hutter, ICLR 2017).

    Args:
        optimizer: Whose learning rate is set.
        total: The number of steps, the warm-up included, after which the rate is `min_lr`, and stays there.
        warmup: The number of steps of the warm-up, at least 0 and below `total`.
        min_lr: The rate at the end, at least 0 and at most the optimizer's.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.
    """

    def __init__(self, optimizer: Optimizer, total: int, warmup: int = 0, min_lr: float = 0.0) -> None:
        self.total = _checked_count("total", total, 1)
        self.warmup = _checked_count("warmup", warmup, 0)
        self.min_lr = _checked_number("min_lr", min_lr, 0.0)
        if self.warmup >= self.total:
            raise ValueError(f"warmup must be below total={self.total}, found {self.warmup}")
        if isinstance(optimizer, Optimizer) and self.min_lr > optimizer.lr:
            raise ValueError(f"min_lr must be at most the learning rate {optimizer.lr}, found {self.min_lr}")
        super().__init__(optimizer)

    def rate(self, step: int) -> float:
        """Return the rate: base_lr * (step + 1) / warmup at first, then the cosine, then min_lr."""
        if step < self.warmup:
            return self.base_lr * (step + 1) / self.warmup
        progress = min(1.0, (step - self.warmup) / (self.total - self.warmup))
        return self.min_lr + 0.5 * (self.base_lr - self.min_lr) * (1.0 + math.cos(math.pi * progress))


# %%
schedule = CosineLR(SGD([place], lr=0.8), total=6, warmup=2)
rates = []
for _ in range(8):
    rates.append(schedule.optimizer.lr)
    schedule.step()
assert np.allclose(rates, [0.4, 0.8, 0.8, 0.683, 0.4, 0.117, 0.0, 0.0], atol=1e-3)

stairs = StepLR(SGD([place], lr=1.0), every=2, gamma=0.5)
assert [stairs.rate(step) for step in range(5)] == [1.0, 1.0, 0.5, 0.5, 0.25]

# %% [markdown]
# ## 6. Clipping gradients
#
# A loss can have cliffs: places where the gradient is a thousand times as large as a step before, common
# in recurrent networks and transformers. One such step throws the weights far away, and the work of an
# hour is gone. Pascanu, Mikolov & Bengio (*On the difficulty of training recurrent neural networks*, ICML
# 2013, algorithm 1) cut the gradient's length:
#
# $$g \leftarrow g \cdot \min\left(1, \frac{c}{\lVert g \rVert}\right), \qquad
#   \lVert g \rVert = \sqrt{\textstyle\sum_k \lVert g^{(k)} \rVert^2} .$$
#
# The norm is *global*, over all weights together, so the direction stays what it was. Clipping each
# element to $[-c, c]$ (`max_value`) is simpler and bends the direction.
#
#     gradients [3, 0] and [4]:  norm 5.   max_norm = 1    ->  [0.6, 0] and [0.8]
#                                          max_value = 1   ->  [1, 0]   and [1]
#
# Clip after `backward` and before `step`. The returned norm is worth a plot: a training that is about to
# blow up shows it there first.


# %%
#| export
def clip_gradients(
    parameters: Iterable[Tensor], max_norm: float | None = None, max_value: float | None = None
) -> float:
    """Limit gradients, either by their common norm or element by element (Pascanu et al., ICML 2013).

    Args:
        parameters: Tensors with gradients; each `.grad` is replaced by the clipped one.
        max_norm: The largest Euclidean norm of all gradients together. They are multiplied by
            max_norm / (norm + 1e-6) if that is below 1, as PyTorch does.
        max_value: The largest absolute value of an element. Give exactly one of the two.

    Returns:
        The global norm before clipping.

    Raises:
        TypeError: If a parameter is no tensor or a limit is no number.
        ValueError: If not exactly one limit is given, it is not positive, or a gradient is not finite.
        RuntimeError: If a gradient is missing.
    """
    if (max_norm is None) == (max_value is None):
        raise ValueError(f"give either max_norm or max_value, found {max_norm} and {max_value}")
    name, limit = ("max_norm", max_norm) if max_value is None else ("max_value", max_value)
    bound = _checked_positive(name, limit)
    tensors = _checked_parameters(parameters)
    gradients = _checked_gradients(tensors)
    norm = _global_norm(gradients)
    factor = bound / (norm + 1e-6)
    for tensor, gradient in zip(tensors, gradients, strict=True):
        if max_value is not None:
            tensor.grad = Tensor(np.clip(gradient, -bound, bound), gradient.dtype)
        elif factor < 1.0:
            tensor.grad = Tensor(gradient * factor, gradient.dtype)
    return norm


def _global_norm(gradients: Sequence[_Array]) -> float:
    """Return the Euclidean norm of all elements, divided by the largest first: no square overflows."""
    largest = max((float(np.abs(gradient).max(initial=0.0)) for gradient in gradients), default=0.0)
    if largest == 0.0:
        return 0.0
    total = sum(float(np.sum(np.square(gradient.astype(np.float64) / largest))) for gradient in gradients)
    return largest * math.sqrt(total)


# %%
first = Tensor([0.0, 0.0], requires_grad=True)
second = Tensor([0.0], requires_grad=True)
backward((first * Tensor([3.0, 0.0])).sum() + (second * 4.0).sum())
assert abs(clip_gradients([first, second], max_norm=1.0) - 5.0) < 1e-6
assert np.allclose(first.grad.numpy(), [0.6, 0.0])
assert np.allclose(second.grad.numpy(), [0.8])

# %% [markdown]
# ## 7. A race
#
# Rosenbrock's function (*The Computer Journal* 3, 1960), $(1 - x)^2 + 100 (y - x^2)^2$, is a bent valley
# whose floor is nearly flat: an old test track. The minimum is at $(1, 1)$. Everyone starts at
# $(-1.2, 1)$ and has 600 steps.


# %%
def rosenbrock(point):
    x, y = point[0], point[1]
    return (1.0 - x) ** 2 + 100.0 * (y - x**2) ** 2


final = {}
for name, make in {
    "plain": lambda parameters: SGD(parameters, lr=1e-3),
    "momentum": lambda parameters: SGD(parameters, lr=1e-3, momentum=0.9),
    "adam": lambda parameters: Adam(parameters, lr=0.05),
}.items():
    point = Tensor([-1.2, 1.0], requires_grad=True)
    racer = make([point])
    for _ in range(600):
        racer.minimize(rosenbrock(point), max_norm=100.0)
    final[name] = rosenbrock(point).item()
assert final["momentum"] < final["plain"]
assert final["adam"] < final["plain"]

# %% [markdown]
# ## Summary
#
# - Forget the old gradients, run backward, clip if needed, step: `minimize` keeps the order.
# - Momentum adds up what agrees and cancels what alternates. Adam gives each weight its own step size.
# - Weight decay belongs into the gradient for SGD, and beside it for Adam: use AdamW.
# - A schedule computes its rate from the number of steps; warm up, then shrink.
# - All gradients are checked before any weight is written.
# - Weights plus `state_dict` is everything: resumed training does not differ in a single bit.
#
# ## Exercises
#
# 1. For $L = \frac a2 w^2$, write momentum as a 2 by 2 matrix acting on $(w, v)$. For which $\mu$ do its
#    eigenvalues become complex? What does that look like in a plot of $w_t$?
# 2. Biases and gains of normalisations are often left out of weight decay. Do it with two optimizers. What
#    must a schedule do then?
# 3. Write *RMSprop* as a subclass with one slot. Which setting of Adam comes closest to it?
# 4. Adam keeps two arrays per weight. How much memory is that for a billion weights in `float32`? What
#    would be lost if the slots were `float16`?
# 5. Write a *gradient accumulation*: four batches of 8 that give exactly the step of one batch of 32. By
#    what must each loss be divided?
