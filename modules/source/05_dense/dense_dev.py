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
# # Module 05: Dense networks
#
# One linear layer draws one straight line. Put a bend after it and another layer behind, and the line can
# turn corners. With enough hidden units, a network of two linear layers comes as close as you like to any
# continuous function on a bounded region (Cybenko, 1989; Hornik, Stinchcombe & White, 1989).
#
# This module puts layers together:
#
# | you write | and get |
# |---|---|
# | `Sequential(a, b, c)` | the function $x \mapsto c(b(a(x)))$, as a layer |
# | `MLP([784, 128, 10])` | linear layers of these widths with an activation in between |
# | `xavier_uniform(weight)`, `kaiming_normal(weight)`, ... | initial values that suit the activation |
#
# MLP stands for *multi-layer perceptron*; *dense* says that every unit sees all units of the layer before.
#
# The module does not import the activations: an activation is just *some function from tensor to tensor*,
# so it is handed in as an argument. What you do not import cannot break you.

# %%
#| default_exp core.dense

# %%
#| export
import math
from collections.abc import Callable, Iterator, Sequence
from numbers import Real
from typing import Any, Literal, overload

import numpy as np

from tinytorch.core.tensor import Tensor
from tinytorch.core.layers import Dropout, Layer, Linear, Parameter

# %% [markdown]
# ## 1. Sequential
#
# Most networks are, for the most part, a chain: the output of one step is the input of the next.
# `Sequential` is that chain. A step is a layer or any other function from tensor to tensor, such as an
# activation.
#
#     net = Sequential(Linear(4, 8), relu, Linear(8, 2))
#
#     len(net)              3
#     net[0]                the first Linear
#     net[:2]               a Sequential of the first two steps; it shares their parameters
#     net.state_dict()      keys 0.weight, 0.bias, 2.weight, 2.bias
#
# The number in a key is the step's position, so nested chains give `1.0.weight` and so on. Steps that are not
# layers have no state, yet they count as positions: a saved state fits only a chain of the same form.


# %%
#| export
class Sequential(Layer):
    """A chain of steps: the output of each is the input of the next.

    Args:
        *steps: Layers, or other functions from tensor to tensor. No steps make the identity.

    Raises:
        TypeError: If a step cannot be called, or is a class instead of an object of it.
    """

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        for position, step in enumerate(steps):
            if isinstance(step, type):
                raise TypeError(f"step {position} is the class {step.__name__}: write {step.__name__}(...)")
            if not callable(step):
                raise TypeError(f"step {position} must be a layer or a function, found {type(step).__name__}")
        self._steps = tuple(steps)

    def _members(self) -> Iterator[tuple[str, Parameter | Layer]]:
        for position, step in enumerate(self._steps):
            if isinstance(step, Layer):
                yield str(position), step

    def forward(self, x: Tensor) -> Tensor:
        """Pass `x` through all steps.

        Args:
            x: What the first step expects.

        Returns:
            What the last step returns.
        """
        for step in self._steps:
            x = step(x)
        return x

    def __len__(self) -> int:
        return len(self._steps)

    def __bool__(self) -> bool:
        return True  # else `if network:` would be false for an empty chain

    def __iter__(self) -> Iterator[Callable[[Tensor], Tensor]]:
        return iter(self._steps)

    @overload
    def __getitem__(self, index: int) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> "Sequential": ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return Sequential(*self._steps[index])
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"a step is named by an int or a slice, found {index!r}")
        try:
            return self._steps[index]
        except IndexError:
            raise IndexError(f"step {index} does not exist: the chain has {len(self)} steps") from None

    def _describe(self) -> str:
        return ", ".join(_step_name(step) for step in self._steps)


def _step_name(step: object) -> str:
    """Return how a step is shown: functions by their name, everything else by its repr."""
    return str(getattr(step, "__name__", repr(step)))


# %%
def double(x):
    return x * 2.0


net = Sequential(Linear(4, 8, rng=0), double, Sequential(Linear(8, 2, rng=1)))
assert net(Tensor(np.ones((5, 4), dtype=np.float32))).shape == (5, 2)
assert len(net) == 3
assert net[1] is double
assert net[:1][0] is net[0]
assert list(net.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
assert repr(net) == "Sequential(Linear(4, 8), double, Sequential(Linear(8, 2)))"
assert Sequential()(net[0].weight) is net[0].weight

try:
    Sequential(Linear)
except TypeError as error:
    message = str(error)
else:
    raise AssertionError("a class is no step")
assert message == "step 0 is the class Linear: write Linear(...)"

# %% [markdown]
# ## 2. Initial values
#
# In module 04 a linear layer kept the variance of its *input*: weights of variance $1/n$. Two questions are
# left. What about the gradients, which pass through the transposed matrix, and what about the activation?
#
# Let the *fan-in* be the number of inputs that reach one output, and the *fan-out* the number of outputs that
# one input reaches. For a linear layer with weight (in, out) these are just the two lengths. For a
# convolution with weight (out, in, height, width) each is multiplied by the size of the kernel.
#
# **Xavier** (Glorot & Bengio, *Understanding the difficulty of training deep feedforward neural networks*,
# AISTATS 2010, eq. 12 and 16). The forward pass wants variance $1/n_\text{in}$, the backward pass
# $1/n_\text{out}$. The compromise, for activations that are nearly linear around 0, like tanh:
#
# $$\operatorname{Var}(W) = g^2\,\frac{2}{n_\text{in} + n_\text{out}}$$
#
# **Kaiming** (He, Zhang, Ren & Sun, *Delving Deep into Rectifiers*, ICCV 2015, eq. 10 and 15). ReLU sets half
# of its inputs to zero and so halves the mean square. The weights make up for it; with a leaky slope $a$
# on the negative side:
#
# $$\operatorname{Var}(W) = \frac{2}{(1 + a^2)\, n_\text{in}}$$
#
# Each comes as a normal distribution $N(0, v)$ and as the uniform one with the same variance $v$, on
# $[-\sqrt{3 v}, \sqrt{3 v}]$.
#
#     Linear(784, 128):   Xavier   v = 2 / (784 + 128) = 0.00219     uniform on +-0.0811
#                         Kaiming  v = 2 / 784         = 0.00255     uniform on +-0.0875
#
# Is that worth the trouble? In a network of 30 layers, a factor of $\sqrt{1/2}$ at each becomes
# $2^{-15} \approx 0.00003$: the signal is gone before training begins. The test cell below measures it.
#
# All functions overwrite the given parameter and return it. Pass *one* generator to all of them; the same
# seed twice gives two layers with the same weights.


# %%
#| export
def fan_in_and_out(shape: Sequence[int]) -> tuple[int, int]:
    """Return how many inputs reach one output, and how many outputs one input reaches.

    Args:
        shape: Shape of a weight: (in, out) for a linear map, (out, in, *kernel) for a convolution.

    Returns:
        Fan-in and fan-out.

    Raises:
        ValueError: If the shape has fewer than two axes, or one below length 1.
        TypeError: If it is not a sequence of ints.
    """
    if not isinstance(shape, Sequence) or not all(isinstance(length, (int, np.integer)) for length in shape):
        raise TypeError(f"a shape is a sequence of ints, found {shape!r}")
    lengths = tuple(shape)
    if len(lengths) < 2 or min(lengths) < 1:
        raise ValueError(
            f"fans need a weight with two or more axes, none below length 1, found shape {lengths}"
        )
    if len(lengths) == 2:
        return lengths[0], lengths[1]
    kernel = math.prod(lengths[2:])
    return lengths[1] * kernel, lengths[0] * kernel


def _check_parameter(parameter: object) -> None:
    """Raise a TypeError unless `parameter` is a tensor of floats."""
    if not isinstance(parameter, Tensor) or parameter.dtype.kind != "f":
        found = (
            f"a tensor of {parameter.dtype}" if isinstance(parameter, Tensor) else type(parameter).__name__
        )
        raise TypeError(f"a parameter (a float Tensor) is expected, found {found}")


def _check_number(name: str, value: object) -> None:
    """Raise a TypeError unless `value` is a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, found {value!r}")


def _fill_normal(weight: Parameter, deviation: float, rng: np.random.Generator | int | None) -> Parameter:
    """Overwrite a parameter with normal numbers of the given standard deviation."""
    drawn = np.random.default_rng(rng).standard_normal(weight.shape)
    weight.data = (drawn * deviation).astype(weight.dtype)
    return weight


def _fill_uniform(weight: Parameter, deviation: float, rng: np.random.Generator | int | None) -> Parameter:
    """Overwrite a parameter with uniform numbers of the given standard deviation."""
    bound = math.sqrt(3.0) * deviation
    weight.data = np.random.default_rng(rng).uniform(-bound, bound, weight.shape).astype(weight.dtype)
    return weight


def _xavier_deviation(weight: Parameter, gain: float) -> float:
    _check_parameter(weight)
    _check_number("gain", gain)
    if not 0.0 < gain < math.inf:
        raise ValueError(f"gain must be a positive number, found {gain}")
    return gain * math.sqrt(2.0 / sum(fan_in_and_out(weight.shape)))


def _kaiming_deviation(weight: Parameter, negative_slope: float, mode: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', found {mode!r}")
    _check_parameter(weight)
    _check_number("negative_slope", negative_slope)
    if not math.isfinite(negative_slope):
        raise ValueError(f"negative_slope must be a finite number, found {negative_slope}")
    fan = fan_in_and_out(weight.shape)[0 if mode == "fan_in" else 1]
    return math.sqrt(2.0 / ((1.0 + negative_slope**2) * fan))


def xavier_uniform(
    weight: Parameter, gain: float = 1.0, rng: np.random.Generator | int | None = None
) -> Parameter:
    """Overwrite a weight with uniform numbers of variance 2 gain^2 / (fan-in + fan-out).

    Glorot & Bengio, AISTATS 2010, eq. 16.

    Args:
        weight: The parameter, with two axes or more.
        gain: A factor for the deviation; 5/3 is usual before tanh.
        rng: A NumPy generator or a seed; None for different numbers every time.

    Returns:
        The same parameter.

    Raises:
        ValueError: If the weight has fewer than two axes or the gain is not positive.
        TypeError: If the weight is no float tensor or the gain no number.
    """
    return _fill_uniform(weight, _xavier_deviation(weight, gain), rng)


def xavier_normal(
    weight: Parameter, gain: float = 1.0, rng: np.random.Generator | int | None = None
) -> Parameter:
    """Overwrite a weight with normal numbers of variance 2 gain^2 / (fan-in + fan-out).

    Glorot & Bengio, AISTATS 2010, eq. 12. Arguments, result and errors as for `xavier_uniform`.
    """
    return _fill_normal(weight, _xavier_deviation(weight, gain), rng)


def kaiming_uniform(
    weight: Parameter,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    rng: np.random.Generator | int | None = None,
) -> Parameter:
    """Overwrite a weight with uniform numbers of variance 2 / ((1 + slope^2) fan).

    He, Zhang, Ren & Sun, ICCV 2015, eq. 15.

    Args:
        weight: The parameter, with two axes or more.
        negative_slope: Slope of the activation on the negative side; 0 for ReLU.
        mode: "fan_in" keeps the variance of the forward pass, "fan_out" that of the gradients.
        rng: A NumPy generator or a seed; None for different numbers every time.

    Returns:
        The same parameter.

    Raises:
        ValueError: If the weight has fewer than two axes, the slope is not finite, or the mode is unknown.
        TypeError: If the weight is no float tensor or the slope no number.
    """
    return _fill_uniform(weight, _kaiming_deviation(weight, negative_slope, mode), rng)


def kaiming_normal(
    weight: Parameter,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    rng: np.random.Generator | int | None = None,
) -> Parameter:
    """Overwrite a weight with normal numbers of variance 2 / ((1 + slope^2) fan).

    He, Zhang, Ren & Sun, ICCV 2015, eq. 10 and 15. Arguments, result and errors as for `kaiming_uniform`.
    """
    return _fill_normal(weight, _kaiming_deviation(weight, negative_slope, mode), rng)


def fill_constant(parameter: Parameter, value: float) -> Parameter:
    """Overwrite a parameter of any shape with one finite value, and return it.

    Raises:
        ValueError: If the value is not finite.
        TypeError: If the parameter is no float tensor or the value no number.
    """
    _check_parameter(parameter)
    _check_number("value", value)
    if not math.isfinite(value):
        raise ValueError(f"a parameter starts from finite numbers, found {value}")
    parameter.data = np.full(parameter.shape, value, dtype=parameter.dtype)
    return parameter


def fill_zeros(parameter: Parameter) -> Parameter:
    """Overwrite a parameter of any shape with zeros, and return it. Right for biases, fatal for weights."""
    return fill_constant(parameter, 0.0)


# %%
assert fan_in_and_out((784, 128)) == (784, 128)
assert fan_in_and_out((16, 3, 5, 5)) == (75, 400)

weight = Linear(784, 128).weight
assert abs(xavier_normal(weight, rng=0).var().item() * (784 + 128) / 2 - 1.0) < 0.02
assert abs(kaiming_normal(weight, rng=0).var().item() * 784 / 2 - 1.0) < 0.02
assert abs(xavier_uniform(weight, rng=0)).max().item() <= 0.0812
assert abs(kaiming_uniform(weight, rng=0)).max().item() <= 0.0875
assert fill_zeros(weight).max().item() == 0.0

# %% [markdown]
# The experiment with 30 layers: how large is the signal at the end, compared with the beginning?


# %%
def signal_after(layers, initialise):
    """Return the root of the mean square after a number of ReLU layers of 100 units."""
    rng = np.random.default_rng(0)
    signal = Tensor(rng.standard_normal((50, 100)), dtype=np.float32)
    for _ in range(layers):
        linear = Linear(100, 100)
        initialise(linear.weight, rng=rng)
        signal = linear(signal).maximum(0.0)
    return (signal * signal).mean().sqrt().item()


assert signal_after(30, xavier_normal) < 1e-3  # faded away
assert 0.1 < signal_after(30, kaiming_normal) < 10.0  # alive

# %% [markdown]
# ## 3. MLP
#
# A multi-layer perceptron is a list of widths. Between two linear layers comes the activation, and after the
# activation, if wanted, dropout. The last layer stays bare: its outputs are scores, and what is to become of
# them (a softmax, a loss, nothing) is the caller's business.
#
#     MLP([784, 128, 64, 10])
#
#     (batch, 784) -> Linear -> act -> (batch, 128) -> Linear -> act -> (batch, 64) -> Linear -> (batch, 10)
#
#     parameters: 784*128 + 128  +  128*64 + 64  +  64*10 + 10  =  109 386
#
# The default activation is $\max(x, 0)$, written with a tensor operation, and the default for the weights is
# Kaiming, made for it. Whoever hands in tanh should hand in `xavier_uniform` as well.
#
# The linear layers stand in a list of their own, so that the names in the state (`linears.0.weight`) do not
# depend on whether there is dropout.


# %%
#| export
def _rectified(x: Tensor) -> Tensor:
    """Return max(x, 0) for every element."""
    return x.maximum(0.0)


class MLP(Layer):
    """A multi-layer perceptron: linear layers with an activation, and perhaps dropout, in between.

    Args:
        sizes: Widths from input to output, at least two.
        activation: A function from tensor to tensor, or a layer; follows every linear layer but the last.
        dropout: Probability that a hidden unit is dropped while training, at least 0 and below 1.
        bias: Whether the linear layers have a bias (at first 0).
        initialise: Overwrites a weight, called as `initialise(weight, rng=generator)`.
        rng: A NumPy generator or a seed for weights and dropout; None for different ones every time.

    Attributes:
        sizes: The widths.
        linears: The linear layers, from input to output.

    Raises:
        ValueError: If there are fewer than two sizes, one is not positive, or `dropout` is out of range.
        TypeError: If the sizes are not a sequence of ints, or something that is to be called cannot be.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor] = _rectified,
        dropout: float = 0.0,
        bias: bool = True,
        initialise: Callable[..., object] = kaiming_normal,
        rng: np.random.Generator | int | None = None,
    ) -> None:
        if not isinstance(sizes, Sequence):
            raise TypeError(f"sizes must be a sequence of widths, found {sizes!r}")
        self.sizes = tuple(sizes)
        if len(self.sizes) < 2:
            raise ValueError(f"sizes needs at least an input and an output width, found {self.sizes}")
        if isinstance(activation, type):
            raise TypeError(f"activation is the class {activation.__name__}: write {activation.__name__}()")
        if not callable(initialise):
            raise TypeError(f"initialise must be a function, found {type(initialise).__name__}")
        if not callable(activation):
            raise TypeError(f"activation must be a function or a layer, found {type(activation).__name__}")
        generator = np.random.default_rng(rng)
        self.activation = activation
        self.linears = [
            Linear(before, after, bias=bias, rng=generator)
            for before, after in zip(self.sizes[:-1], self.sizes[1:], strict=True)
        ]
        for linear in self.linears:
            initialise(linear.weight, rng=generator)
        self.dropout = Dropout(dropout, rng=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the scores.

        Args:
            x: A tensor of shape (..., sizes[0]).

        Returns:
            A tensor of shape (..., sizes[-1]).

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If its last axis has another length.
        """
        for linear in self.linears[:-1]:
            x = self.dropout(self.activation(linear(x)))
        scores: Tensor = self.linears[-1](x)
        return scores

    def _describe(self) -> str:
        return ", ".join(str(size) for size in self.sizes)


# %%
mlp = MLP([784, 128, 64, 10], rng=0)
assert sum(parameter.size for parameter in mlp.parameters()) == 109_386
assert mlp(Tensor(np.zeros((3, 784), dtype=np.float32))).shape == (3, 10)
assert list(mlp.state_dict())[:2] == ["linears.0.weight", "linears.0.bias"]

twin = MLP([784, 128, 64, 10], rng=0)
x = Tensor(np.random.default_rng(1).standard_normal((3, 784)), dtype=np.float32)
assert np.array_equal(mlp(x).numpy(), twin(x).numpy())  # same seed, same network

# %% [markdown]
# The smallest problem that one linear layer cannot solve is *exclusive or*: 1 if exactly one of two inputs is
# 1. (Minsky & Papert, *Perceptrons*, 1969.) Two hidden units are enough, and the weights can be found by
# thinking: $\operatorname{xor}(a, b) = \operatorname{relu}(a + b) - 2 \operatorname{relu}(a + b - 1)$.

# %%
xor = MLP([2, 2, 1])
xor.linears[0].weight.data = np.ones((2, 2), dtype=np.float32)
xor.linears[0].bias.data = np.array([0.0, -1.0], dtype=np.float32)
xor.linears[1].weight.data = np.array([[1.0], [-2.0]], dtype=np.float32)
corners = Tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
assert xor(corners).tolist() == [[0.0], [1.0], [1.0], [0.0]]

# %% [markdown]
# ## Summary
#
# - `Sequential` chains layers and functions; positions are names.
# - Initial weights decide whether a signal survives the way through a deep network: Xavier for activations
#   that are linear around 0, Kaiming for the ReLU family.
# - An MLP is its list of widths. Activation and initialiser are arguments, not imports.
#
# ## Exercises
#
# 1. Repeat the experiment with 30 layers with `kaiming_uniform`, and with 300 layers. What changes?
# 2. Build a *residual* step, `x + f(x)`, that takes any layer `f`, and chain 30 of them.
# 3. How many hidden units does an MLP need for the parity of three bits? Find the weights by thinking.
# 4. Biases of exactly 0 and an input of exactly 0 put every ReLU onto its corner. When does that matter?
