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
# # Module 03: Activations
#
# Stack two linear maps and you get a linear map: $(x W_1) W_2 = x (W_1 W_2)$. A hundred linear layers
# can do no more than one. What makes depth worth anything is a bend between the layers, a nonlinear
# function applied to every element: the *activation*.
#
# This module has seven. Five bend element by element (ReLU, LeakyReLU, Sigmoid, Tanh, GELU), and two
# turn a row of scores into probabilities (Softmax, LogSoftmax). Each comes in two forms: a plain
# function (`relu(x)`) and a callable object (`ReLU()`), which remembers its settings and can be handed
# to a network as a part.
#
# Two promises are kept throughout:
#
# 1. **Everything is composed of the tensor's operations.** Nowhere do we reach for `.data`. A recorder
#    at the tensor's door therefore sees every step, and module 09 can differentiate all of it without a
#    single extra rule.
# 2. **Large inputs are harmless.** The textbook formulas overflow in `float32` as soon as
#    $e^x > 3.4 \cdot 10^{38}$, which is already so at $x = 89$. We rearrange each formula so that neither
#    its value *nor any intermediate that a gradient will use* overflows.

# %%
#| default_exp core.activations

# %%
#| export
import math
from dataclasses import dataclass
from numbers import Real
from typing import Literal

from tinytorch.core.tensor import Tensor, where

# %%
import warnings

import numpy as np

warnings.simplefilter("error")  # an overflow anywhere below stops this notebook

# %% [markdown]
# All functions take tensors and nothing else. A NumPy array would be computed just as well, but its
# result would have no record. The earlier the mistake is named, the better.


# %%
#| export
def _checked_tensor(name: str, x: object) -> Tensor:
    """Return `x` if it is a tensor; otherwise raise a TypeError that names the function."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} expects a Tensor, found {type(x).__name__}: wrap the data in Tensor(...)")
    return x


# %% [markdown]
# ## 1. ReLU and LeakyReLU
#
# The *rectified linear unit* passes what is positive and stops the rest (Nair & Hinton, *Rectified
# Linear Units Improve Restricted Boltzmann Machines*, ICML 2010):
#
# $$\operatorname{relu}(x) = \max(x, 0), \qquad
#   \operatorname{relu}'(x) = \begin{cases} 1 & x > 0 \\ 0 & x < 0 \end{cases}$$
#
#     x       -2.0  -0.5   0.0   1.5
#     relu(x)  0.0   0.0   0.0   1.5
#
# Why is something so simple so good? Its slope is exactly 1 where it is active, so a gradient passes
# through many layers without shrinking. The slope at 0 does not exist; whichever value the derivative
# rule of `maximum` takes there does no harm, as it lies between 0 and 1.
#
# The price: a unit that is negative for *every* example gets no gradient and never recovers. It is
# "dead". *Leaky* ReLU (Maas, Hannun & Ng, *Rectifier Nonlinearities Improve Neural Network Acoustic
# Models*, ICML 2013) leaves a small slope $a$ on the negative side:
#
# $$\operatorname{leaky}(x) = \begin{cases} x & x > 0 \\ a x & \text{otherwise} \end{cases}$$
#
# A common mistake is to write ReLU as `x * (x > 0)`. It looks the same, but $-\infty \cdot 0$ is NaN.


# %%
#| export
def relu(x: Tensor) -> Tensor:
    """Return max(x, 0) for every element (Nair & Hinton, 2010). NaN stays NaN.

    Args:
        x: A tensor of any shape.

    Returns:
        A tensor of the same shape and dtype.

    Raises:
        TypeError: If `x` is not a tensor.
    """
    return _checked_tensor("relu", x).maximum(0.0)


def _check_slope(slope: object) -> None:
    if not isinstance(slope, Real):
        raise TypeError(f"negative_slope must be a number, found {slope!r}")
    if not math.isfinite(slope):
        raise ValueError(f"negative_slope must be a finite number, found {slope}")


def leaky_relu(x: Tensor, negative_slope: float = 0.01) -> Tensor:
    """Return x where it is positive and `negative_slope * x` elsewhere (Maas, Hannun & Ng, 2013).

    Args:
        x: A tensor of any shape.
        negative_slope: The slope for negative elements, a finite number.

    Returns:
        A float tensor of the same shape. NaN stays NaN.

    Raises:
        TypeError: If `x` is not a tensor, or the slope not a number.
        ValueError: If the slope is not finite.
    """
    _check_slope(negative_slope)
    source = _checked_tensor("leaky_relu", x)
    return where(source > 0, source, source * float(negative_slope))


@dataclass(frozen=True, slots=True)
class ReLU:
    """Callable form of `relu`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `relu` to a tensor of any shape."""
        return relu(x)


@dataclass(frozen=True, slots=True)
class LeakyReLU:
    """Callable form of `leaky_relu`.

    Attributes:
        negative_slope: The slope for negative elements, a finite number.

    Raises:
        ValueError: If the slope is not finite.
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        _check_slope(self.negative_slope)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `leaky_relu` to a tensor of any shape."""
        return leaky_relu(x, self.negative_slope)


# %%
x = Tensor([-2.0, -0.5, 0.0, 1.5])
assert relu(x).tolist() == [0.0, 0.0, 0.0, 1.5]
assert np.allclose(leaky_relu(x, 0.1).numpy(), [-0.2, -0.05, 0.0, 1.5])
assert ReLU()(Tensor([-np.inf, np.inf])).tolist() == [0.0, np.inf]
assert repr(LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"

# %% [markdown]
# ## 2. Tanh and Sigmoid
#
# Both squash the real line into an interval: the hyperbolic tangent into $(-1, 1)$, the logistic
# *sigmoid* into $(0, 1)$, where its value can be read as a probability:
#
# $$\sigma(x) = \frac{1}{1 + e^{-x}}, \qquad \sigma'(x) = \sigma(x)\,(1 - \sigma(x)) \le \tfrac14.$$
#
# Typed in as it stands, the formula overflows for $x = -100$: $e^{100}$ does not fit into `float32`.
# NumPy warns, the value $1 / \infty = 0$ happens to be right, and the *gradient* becomes
# $\infty / \infty^2$, which is NaN. The identity (Bishop, *Pattern Recognition and Machine Learning*, 2006,
# eq. 3.100)
#
# $$\sigma(x) = \tfrac12\left(\tanh\left(\tfrac{x}{2}\right) + 1\right)$$
#
# saves us: `tanh` is bounded and so is its derivative $1 - \tanh^2$.
#
#     x = -100:   tanh(-50) = -1     sigma = 0.5 * (-1 + 1) = 0       no overflow anywhere
#
# The price is paid in the far left tail. Below about $x = -17$, `float32` cannot tell $\tanh$ from $-1$,
# so the result is 0 instead of $4 \cdot 10^{-8}$. As a probability that is fine. Its *logarithm* would be
# $-\infty$, so never take `log(sigmoid(x))`; a loss should start from the scores (see LogSoftmax below).
#
# Why did ReLU replace these two inside deep networks? Their slopes vanish for large $|x|$, and a
# product of many slopes $\le \frac14$ soon is nothing at all. They are at home at the end of a network and as
# gates.


# %%
#| export
def sigmoid(x: Tensor) -> Tensor:
    """Return the logistic function 1 / (1 + exp(-x)) of every element, without overflow.

    Computed as (tanh(x / 2) + 1) / 2 (Bishop, Pattern Recognition and Machine Learning, eq. 3.100).

    Args:
        x: A tensor of any shape.

    Returns:
        A float tensor of the same shape with values in [0, 1].

    Raises:
        TypeError: If `x` is not a tensor.
    """
    return ((_checked_tensor("sigmoid", x) * 0.5).tanh() + 1.0) * 0.5


def tanh(x: Tensor) -> Tensor:
    """Return the hyperbolic tangent of every element.

    Args:
        x: A tensor of any shape.

    Returns:
        A float tensor of the same shape with values in [-1, 1].

    Raises:
        TypeError: If `x` is not a tensor.
    """
    return _checked_tensor("tanh", x).tanh()


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """Callable form of `sigmoid`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `sigmoid` to a tensor of any shape."""
        return sigmoid(x)


@dataclass(frozen=True, slots=True)
class Tanh:
    """Callable form of `tanh`."""

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `tanh` to a tensor of any shape."""
        return tanh(x)


# %%
points = np.linspace(-8.0, 8.0, 101)
assert np.allclose(sigmoid(Tensor(points)).numpy(), 1.0 / (1.0 + np.exp(-points)))
assert np.allclose(tanh(Tensor(points)).numpy(), np.tanh(points))
assert sigmoid(Tensor([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]

# %% [markdown]
# ## 3. GELU
#
# ReLU multiplies its input by 0 or 1, depending on the sign. The *Gaussian error linear unit* (Hendrycks
# & Gimpel, *Gaussian Error Linear Units*, arXiv:1606.08415, 2016) multiplies it by the probability that a
# standard normal variable is smaller, which is a smooth version of the same idea:
#
# $$\operatorname{gelu}(x) = x\,\Phi(x) = \frac{x}{2}\left(1 + \operatorname{erf}\frac{x}{\sqrt2}\right).$$
#
#     x         -3.0      -1.0      0.0     1.0     3.0
#     gelu(x)   -0.0040   -0.1587   0.0     0.8413  2.9960
#
# Transformers use it almost everywhere. When `erf` was slow, the same paper's approximation became
# popular, and models trained with it must be run with it:
#
# $$\operatorname{gelu}(x) \approx \frac{x}{2}
#   \left(1 + \tanh\left(\sqrt{2/\pi}\,(x + 0.044715\,x^3)\right)\right).$$
#
# The two differ by at most 0.0005. The cube is a danger, though: in `float16` it overflows beyond $x = 40$.
# Both formulas have long been saturated by then: for $|x| \ge 10$ the bracket is exactly 0 or 2, in
# `float64` too. So inside the bracket (and only there) we cut $x$ off at $\pm 10$. The gradient through the
# cut is 0, and that is the right value: the slope of a saturated function.


# %%
#| export
_GELU_SATURATION = 10.0  # beyond, both brackets are exactly 0 or 2, even in float64
_GELU_FORMS = ("none", "tanh")


def _checked_gelu_form(approximate: str) -> None:
    """Raise a ValueError unless `approximate` names a form of GELU."""
    if approximate not in _GELU_FORMS:
        raise ValueError(f"approximate must be 'none' or 'tanh', found {approximate!r}")


def gelu(x: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """Return x times the standard normal distribution function of x (Hendrycks & Gimpel, 2016).

    Args:
        x: A tensor of any shape.
        approximate: "none" for the exact form with erf, "tanh" for the paper's approximation.

    Returns:
        A float tensor of the same shape.

    Raises:
        TypeError: If `x` is not a tensor.
        ValueError: If `approximate` is something else.
    """
    _checked_gelu_form(approximate)
    source = _checked_tensor("gelu", x)
    bounded = source.clip(-_GELU_SATURATION, _GELU_SATURATION)
    if approximate == "tanh":
        cubic = bounded + bounded * bounded * bounded * 0.044715
        bracket = (cubic * math.sqrt(2.0 / math.pi)).tanh() + 1.0
    else:
        bracket = (bounded * math.sqrt(0.5)).erf() + 1.0
    return source * 0.5 * bracket


@dataclass(frozen=True, slots=True)
class GELU:
    """Callable form of `gelu`.

    Attributes:
        approximate: "none" for the exact form with erf, "tanh" for the approximation.

    Raises:
        ValueError: If `approximate` is something else.
    """

    approximate: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        _checked_gelu_form(self.approximate)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `gelu` to a tensor of any shape."""
        return gelu(x, self.approximate)


# %%
assert np.allclose(
    gelu(Tensor([-3.0, -1.0, 0.0, 1.0, 3.0])).numpy(), [-0.0040, -0.1587, 0, 0.8413, 2.9960], atol=5e-5
)
difference = abs(gelu(Tensor(points)) - GELU("tanh")(Tensor(points))).max().item()
assert 1e-5 < difference < 5e-4
half = Tensor(np.array([-1e4, 1e4], dtype=np.float16))
assert gelu(half, "tanh").tolist() == [0.0, 1e4]

# %% [markdown]
# ## 4. Softmax and LogSoftmax
#
# A classifier ends with one score per class. *Softmax* turns scores into probabilities: positive numbers
# whose sum is 1 (Goodfellow, Bengio & Courville, *Deep Learning*, 2016, section 6.2.2.3):
#
# $$\operatorname{softmax}(x)_i = \frac{e^{x_i}}{\sum_j e^{x_j}}.$$
#
#     scores          1.0     2.0     3.0
#     exponentials    2.718   7.389   20.086      sum 30.193
#     probabilities   0.0900  0.2447  0.6652      sum 1
#
# A factor common to numerator and denominator cancels, so a constant may be subtracted from all scores.
# We take their maximum $m$: then the largest exponent is $e^0 = 1$, nothing overflows, and the denominator
# is at least 1 (Deep Learning, section 4.1). Since the result does not depend on $m$, no gradient flows
# through it: `detach` says so, and spares the work.
#
# A loss needs the *logarithm* of a probability. If `softmax` rounds to 0, its logarithm is $-\infty$. The
# formula for the logarithm itself has no such problem:
#
# $$\log \operatorname{softmax}(x)_i = (x_i - m) - \log \sum_j e^{x_j - m}.$$
#
# Common mistakes: `axis=0` for a batch of shape (batch, classes), which makes the *examples* compete with
# one another; and a softmax at the end of a network whose loss applies one itself. A score of $-\infty$ is
# legitimate and means "impossible" (attention masks use it), as long as each row has one finite score.


# %%
#| export
def _shifted(name: str, x: Tensor, axis: int) -> Tensor:
    """Return the scores minus their maximum along `axis`, which is a constant as far as gradients go."""
    source = _checked_tensor(name, x)
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise TypeError(f"{name} expects one axis, an int, found {axis!r}")
    if source.ndim == 0:
        raise ValueError(f"{name} needs at least one axis, found a tensor of shape ()")
    return source - source.max(axis=axis, keepdims=True).detach()


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Turn scores into probabilities along an axis (Goodfellow et al., Deep Learning, 6.2.2.3).

    Args:
        x: Scores, of any shape with at least one axis.
        axis: The axis along which the probabilities have the sum 1.

    Returns:
        A float tensor of the same shape with values in [0, 1].

    Raises:
        TypeError: If `x` is not a tensor or `axis` not an int.
        ValueError: If the axis does not exist or is empty.
    """
    exponentials = _shifted("softmax", x, axis).exp()
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return the logarithm of `softmax`, without the loss of small probabilities.

    Args:
        x: Scores, of any shape with at least one axis.
        axis: The axis along which the probabilities have the sum 1.

    Returns:
        A float tensor of the same shape with values of at most 0.

    Raises:
        TypeError: If `x` is not a tensor or `axis` not an int.
        ValueError: If the axis does not exist or is empty.
    """
    shifted = _shifted("log_softmax", x, axis)
    return shifted - shifted.exp().sum(axis=axis, keepdims=True).log()


@dataclass(frozen=True, slots=True)
class Softmax:
    """Callable form of `softmax`.

    Attributes:
        axis: The axis along which the probabilities have the sum 1.
    """

    axis: int = -1

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `softmax` to scores."""
        return softmax(x, self.axis)


@dataclass(frozen=True, slots=True)
class LogSoftmax:
    """Callable form of `log_softmax`.

    Attributes:
        axis: The axis along which the probabilities have the sum 1.
    """

    axis: int = -1

    def __call__(self, x: Tensor) -> Tensor:
        """Apply `log_softmax` to scores."""
        return log_softmax(x, self.axis)


# %%
scores = Tensor([1.0, 2.0, 3.0])
assert np.allclose(softmax(scores).numpy(), [0.0900, 0.2447, 0.6652], atol=5e-5)
assert np.allclose(softmax(scores + 100.0).numpy(), softmax(scores).numpy())
assert softmax(Tensor([-1e4, 1e4])).tolist() == [0.0, 1.0]
assert log_softmax(Tensor([-1e4, 1e4])).tolist() == [-2e4, 0.0]
assert softmax(Tensor([0.0, -np.inf, 0.0])).tolist() == [0.5, 0.0, 0.5]

batch = Tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
assert np.allclose(Softmax()(batch).sum(axis=1).numpy(), 1.0)
assert np.allclose(LogSoftmax(axis=0)(batch).exp().sum(axis=0).numpy(), 1.0)

# %% [markdown]
# The first promise can be watched. A recorder that writes down the names of the operations shows what the
# activations are made of:

# %%
from tinytorch.core.tensor import set_recorder


class Listener:
    """Writes down the name of every primitive it sees."""

    def __init__(self):
        self.names = []

    def record(self, primitive, inputs, output, params):
        self.names.append(primitive.name)

    def backward(self, tensor, gradient):
        raise NotImplementedError


listener = Listener()
previous = set_recorder(listener)
sigmoid(x)
log_softmax(x)
set_recorder(previous)
assert listener.names[:4] == ["multiply", "tanh", "add", "multiply"]
assert listener.names[4:] == ["max", "subtract", "exp", "sum", "log", "subtract"]

# %% [markdown]
# ## Summary
#
# | | formula | range | at home |
# |---|---|---|---|
# | ReLU | $\max(x, 0)$ | $[0, \infty)$ | hidden layers, the default |
# | LeakyReLU | $x$ or $a x$ | all | hidden layers, when units die |
# | Sigmoid | $\frac12(\tanh\frac x2 + 1)$ | $(0, 1)$ | gates, yes/no outputs |
# | Tanh | $\tanh x$ | $(-1, 1)$ | recurrent networks |
# | GELU | $x\,\Phi(x)$ | $> -0.17$ | transformers |
# | Softmax | $e^{x_i} / \sum_j e^{x_j}$ | $(0, 1)$, sum 1 | class probabilities, attention |
# | LogSoftmax | $x_i - \log\sum_j e^{x_j}$ | $\le 0$ | losses |
#
# ## Exercises
#
# 1. *Softplus* is $\log(1 + e^x)$, a smooth ReLU. Write it so that $x = \pm 10^4$ is harmless.
#    (Hint: $\max(x, 0) + \log(1 + e^{-|x|})$. Where does this lose precision?)
# 2. *SiLU* is $x\,\sigma(x)$ (Elfwing, Uchibe & Doya, 2018). Plot it against GELU.
# 3. Show that softmax of two scores is a sigmoid of their difference.
# 4. Divide the scores by a *temperature* before the softmax. What happens as it goes to 0, and to infinity?
