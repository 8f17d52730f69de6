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
# # Module 06: Spatial layers
#
# A `Linear` layer that looks at a photograph of 224 by 224 pixels in three colours has 150,528 inputs. With
# only 1,000 outputs that makes 150 million weights, and still the layer does not know that two pixels are
# neighbours: shuffle the pixels of all images in the same way, and it learns just as well.
#
# Images have structure, and two assumptions use it (LeCun et al., *Gradient-Based Learning Applied to
# Document Recognition*, Proc. IEEE 86, 1998):
#
# 1. **Locality.** An edge is seen in a small patch. So an output looks at a few neighbouring pixels only.
# 2. **Equal treatment of places.** What detects an edge on the left detects one on the right. So all places
#    share the same weights.
#
# The result is the *convolution*. It turns the 150 million weights into 27 per output channel.
#
# | | computes, for images of shape (N, C, H, W) | adjustable numbers |
# |---|---|---|
# | `Conv2D` | weighted sums of small windows | the weights of the window, a bias |
# | `MaxPool2D`, `AvgPool2D` | the largest element, or the mean, of each window | none |
# | `BatchNorm2D` | its input with mean 0 and variance 1 in each channel | a gain and a shift |
# | `Flatten` | rows for a `Linear` layer | none |
#
# Everywhere in this module a batch of images has the shape **(N, C, H, W)**: examples, channels, rows,
# columns. Many image files are read as (H, W, C), so the most common mistake is the order of the axes:
# `x.transpose(0, 3, 1, 2)` puts it right, and `reshape` would only scramble the pixels.

# %%
#| default_exp core.spatial

# %%
#| export
import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.layers import Layer, Parameter
from tinytorch.core.tensor import Tensor, ones, randn, zeros

# %%
import itertools

from tinytorch.core.tensor import get_recorder, set_recorder

# %% [markdown]
# ## 1. Checks that all layers here share
#
# A wrong image is best refused at the door, with a message that names the axes. Integers are refused too:
# pixels from 0 to 255 should be converted on purpose, usually as `images.astype(np.float32) / 255`.


# %%
#| export
_Pair = tuple[int, int]


def _whole(name: str, value: object, smallest: int) -> int:
    """Return `value` as an int if it is a whole number of at least `smallest`; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value}")
    return int(value)


def _whole_pair(name: str, value: int | Sequence[int], smallest: int) -> _Pair:
    """Return an int, or a sequence of two, as a pair (rows, columns)."""
    if isinstance(value, str) or not isinstance(value, Sequence):
        one = _whole(name, value, smallest)
        return one, one
    if len(value) != 2:
        raise ValueError(f"{name} must be an int or a pair (rows, columns), found {value!r}")
    return _whole(name, value[0], smallest), _whole(name, value[1], smallest)


def _checked_images(layer: str, x: object, channels: int | None = None) -> tuple[Tensor, int, int, int, int]:
    """Return a batch of images and its four lengths, or raise an error that names the layer."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer} expects a Tensor, found {type(x).__name__}: wrap the data in Tensor(...)")
    if x.dtype.kind != "f":
        raise TypeError(f"{layer} expects float images, found dtype {x.dtype}: use astype(np.float32)")
    if x.ndim != 4:
        cure = "; expand_dims(0) makes one image a batch" if x.ndim == 3 else ""
        raise ValueError(f"{layer} expects the shape (N, C, H, W), found {x.shape}{cure}")
    if 0 in x.shape:
        raise ValueError(f"{layer} expects at least one image, channel and pixel, found {x.shape}")
    n, c, h, w = x.shape
    if channels is not None and c != channels:
        cure = "; transpose(0, 3, 1, 2) turns (N, H, W, C) round" if w == channels else ""
        raise ValueError(f"{layer} expects {channels} channels (axis 1), found {c} in {x.shape}{cure}")
    return x, n, c, h, w


# %% [markdown]
# ## 2. How many windows fit
#
# Slide a window of $k$ places along a row of $L$ pixels. Three numbers say how:
#
# - the *padding* $p$: pixels added at each end, so that the border is seen as often as the middle;
# - the *stride* $s$: steps from one window to the next;
# - the *dilation* $d$: steps between the places within the window, which then spans $d(k - 1) + 1$ pixels.
#
# The first window starts at 0 and the last one must end before $L + 2p$, so the number of windows is
# (Dumoulin & Visin, *A guide to convolution arithmetic for deep learning*, arXiv:1603.07285, 2016)
#
# $$O = \left\lfloor \frac{L + 2p - d(k - 1) - 1}{s} \right\rfloor + 1 .$$
#
#     L = 5, k = 3, p = 0, s = 1    [0 1 2] [1 2 3] [2 3 4]             O = 3
#     L = 5, k = 3, p = 1, s = 1    [. 0 1] [0 1 2] ... [3 4 .]         O = 5: the size is kept
#     L = 5, k = 3, p = 1, s = 2    [. 0 1] [1 2 3] [3 4 .]             O = 3
#     L = 5, k = 3, p = 0, d = 2    [0 2 4]                             O = 1
#
# For stride 1 and an odd $k$ the padding $p = d(k-1)/2$ keeps the size. The floor has a consequence that is
# easily missed: with stride 2 and $L = 6$, $k = 3$, $p = 0$, the last pixel is in no window at all.


# %%
#| export
def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Return how many windows fit along one axis (Dumoulin & Visin, arXiv:1603.07285, 2016).

    Args:
        size: Length of the axis, in pixels.
        kernel: Places in a window.
        stride: Steps from one window to the next.
        padding: Pixels added at each end.
        dilation: Steps between the places within a window.

    Returns:
        The length of the output: (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1.

    Raises:
        TypeError: If a number is not an int.
        ValueError: If a number is too small, or not even one window fits.
    """
    length = _whole("size", size, 1) + 2 * _whole("padding", padding, 0)
    span = _whole("dilation", dilation, 1) * (_whole("kernel", kernel, 1) - 1) + 1
    if span > length:
        raise ValueError(f"a window that spans {span} does not fit {size} pixels with a padding of {padding}")
    return (length - span) // _whole("stride", stride, 1) + 1


def _check_fit(layer: str, size: _Pair, kernel: _Pair, padding: _Pair, dilation: _Pair) -> None:
    """Raise a ValueError that names the layer unless at least one window fits the padded images."""
    padded = (size[0] + 2 * padding[0], size[1] + 2 * padding[1])
    span = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    if span[0] > padded[0] or span[1] > padded[1]:
        raise ValueError(
            f"{layer}: a window that spans {span[0]} x {span[1]} does not fit images of "
            f"{size[0]} x {size[1]} (with padding {padded[0]} x {padded[1]})"
        )


def _padded(x: Tensor, padding: _Pair, value: float = 0.0) -> Tensor:
    """Return the images with a border of `padding` rows and columns."""
    if padding == (0, 0):
        return x
    rows, columns = padding
    return x.pad(((0, 0), (0, 0), (rows, rows), (columns, columns)), value)


# %%
assert conv_output_size(5, 3) == 3
assert conv_output_size(5, 3, padding=1) == 5
assert conv_output_size(5, 3, stride=2, padding=1) == 3
assert conv_output_size(5, 3, dilation=2) == 1
try:
    conv_output_size(4, 3, dilation=2)
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a window larger than the image must be refused")
assert message == "a window that spans 5 does not fit 4 pixels with a padding of 0"

# %% [markdown]
# ## 3. Convolution
#
# Each output channel $o$ has its own small stack of weights, one slice per input channel, and its value at a
# place is the weighted sum of the window there:
#
# $$y[n, o, i, j] = b[o] + \sum_{c} \sum_{u=0}^{k_h - 1} \sum_{v=0}^{k_w - 1}
#   w[o, c, u, v]\; x[n, c,\; i s_h + u d_h - p_h,\; j s_w + v d_w - p_w]$$
#
# where $x$ is 0 outside the image.
#
#     x (N, C, H, W)    weight (O, C, KH, KW)    bias (O,)    y (N, O, OH, OW)
#
# Is this a convolution? A mathematician's convolution turns the kernel round first,
# $\sum_u w[u]\, x[i - u]$, so that it commutes. Ours does not and is properly called **cross-correlation**
# (Goodfellow, Bengio & Courville, *Deep Learning*, 2016, section 9.1). As the weights are learned, it makes
# no difference: the network would learn the turned kernel instead. But it does matter when you bring a kernel
# from a textbook on signal processing. Turn it first.
#
#     x = [1, 2, 3, 4]    w = [1, 0, -1]
#     cross-correlation:  [1 - 3, 2 - 4] = [-2, -2]       convolution proper: [2, 2]
#
# **How to compute it.** Seven nested loops, says the formula. A matrix product, says *im2col* (Chellapilla,
# Puri & Simard, *High Performance Convolutional Neural Networks for Document Processing*, 2006): write every
# window as a column, and the weights of every output channel as a row. Then all the sums are one product, and
# matrix products are what machines do best.
#
#     pad          (N, C, H + 2p, W + 2p)
#     windows      (N, C, OH, OW, KH, KW)     a view; nothing is moved
#     transpose    (N, C, KH, KW, OH, OW)     what belongs to one window goes to the front
#     reshape      (N, C*KH*KW, OH*OW)        one column per window; here the numbers are copied
#     matmul       (O, C*KH*KW) @ that  =  (N, O, OH*OW)
#     reshape      (N, O, OH, OW)
#
# The price is memory: for a 3 by 3 kernel every pixel is written nine times. A common mistake here is to
# reshape without the transpose. The shapes fit, and the columns are a wild mixture of windows.
#
# **Where do the weights start?** Each output is a sum of $n = C k_h k_w$ products ("fan in"). A ReLU between
# two layers throws half of the energy away. To keep the scale of the signal through many layers, the weights
# need twice the usual variance (He, Zhang, Ren & Sun, *Delving Deep into Rectifiers*, ICCV 2015, eq. 10):
#
# $$w \sim \mathcal N\!\left(0,\ \frac{2}{n}\right), \qquad b = 0 .$$


# %%
#| export
class Conv2D(Layer):
    """Weighted sums of the windows of images: a cross-correlation, as always in deep learning.

    Computed as one matrix product (im2col: Chellapilla, Puri & Simard, 2006). Weights start normal with
    variance 2 / (in_channels * KH * KW) (He et al., Delving Deep into Rectifiers, 2015), the bias at 0.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Rows and columns of a window; one int for both.
        stride: Steps from one window to the next.
        padding: Rows and columns of zeros added on each side.
        dilation: Steps between the places within a window.
        bias: Whether there is a bias; a BatchNorm2D that follows would cancel it.
        rng: A NumPy generator or a seed for the initial weights; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        weight: Shape (out_channels, in_channels, KH, KW).
        bias: Shape (out_channels,), or None.

    Raises:
        ValueError: If a number is too small, or a pair has not two elements.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.in_channels = _whole("in_channels", in_channels, 1)
        self.out_channels = _whole("out_channels", out_channels, 1)
        self.kernel_size = _whole_pair("kernel_size", kernel_size, 1)
        self.stride = _whole_pair("stride", stride, 1)
        self.padding = _whole_pair("padding", padding, 0)
        self.dilation = _whole_pair("dilation", dilation, 1)
        deviation = math.sqrt(2.0 / (self.in_channels * self.kernel_size[0] * self.kernel_size[1]))
        shape = (self.out_channels, self.in_channels, *self.kernel_size)
        self.weight = Parameter(randn(shape, rng, dtype) * deviation)
        self.bias = Parameter(zeros(self.out_channels, dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the weighted sums.

        Args:
            x: Float images of shape (N, in_channels, H, W).

        Returns:
            A tensor of shape (N, out_channels, OH, OW); see `conv_output_size`.

        Raises:
            TypeError: If `x` is not a tensor of floats.
            ValueError: If it has another shape, is empty, or is smaller than the window.
        """
        images, n, channels, h, w = _checked_images("Conv2D", x, self.in_channels)
        _check_fit("Conv2D", (h, w), self.kernel_size, self.padding, self.dilation)
        views = _padded(images, self.padding).windows(self.kernel_size, self.stride, self.dilation)
        _, _, rows, columns, kernel_rows, kernel_columns = views.shape
        taps = channels * kernel_rows * kernel_columns
        patches = views.transpose(0, 1, 4, 5, 2, 3).reshape(n, taps, rows * columns)
        sums = self.weight.reshape(self.out_channels, taps) @ patches
        if self.bias is not None:
            sums = sums + self.bias.reshape(self.out_channels, 1)
        return sums.reshape(n, self.out_channels, rows, columns)

    def _describe(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        options = (("stride", (1, 1)), ("padding", (0, 0)), ("dilation", (1, 1)))
        parts += [f"{name}={getattr(self, name)}" for name, usual in options if getattr(self, name) != usual]
        return ", ".join([*parts, "bias=False"] if self.bias is None else parts)


# %%
row = Tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
conv = Conv2D(1, 1, (1, 3))
conv.weight.data = np.array([[[[1.0, 0.0, -1.0]]]])
assert conv(row).tolist() == [[[[-2.0, -2.0]]]]  # the kernel is not turned round

# %% [markdown]
# The test of an optimised computation is the formula itself, with all its loops: slow, and obviously right.


# %%
def by_the_formula(x, weight, bias, stride, padding, dilation):
    n, channels, h, w = x.shape
    outputs, _, kh, kw = weight.shape
    rows = conv_output_size(h, kh, stride, padding, dilation)
    columns = conv_output_size(w, kw, stride, padding, dilation)
    y = np.zeros((n, outputs, rows, columns))
    for b, o, i, j in np.ndindex(y.shape):
        total = bias[o]
        for c, u, v in np.ndindex(channels, kh, kw):
            r, s = i * stride + u * dilation - padding, j * stride + v * dilation - padding
            if 0 <= r < h and 0 <= s < w:
                total += weight[o, c, u, v] * x[b, c, r, s]
        y[b, o, i, j] = total
    return y


generator = np.random.default_rng(0)
images = generator.normal(size=(2, 3, 6, 5))
for stride, padding, dilation in itertools.product((1, 2), (0, 1, 2), (1, 2)):
    conv = Conv2D(3, 4, (3, 2), stride, padding, dilation, rng=1, dtype=np.float64)
    conv.bias.data = generator.normal(size=4)
    expected = by_the_formula(images, conv.weight.data, conv.bias.data, stride, padding, dilation)
    assert np.allclose(conv(Tensor(images)).data, expected)

deep = Conv2D(64, 128, 3, bias=False, rng=0)
assert abs(deep.weight.var().item() * 64 * 9 - 2.0) < 0.02
assert repr(deep) == "Conv2D(64, 128, kernel_size=(3, 3), bias=False)"

# %% [markdown]
# What does a kernel *see*? Sobel's kernel subtracts what is left from what is right: it answers where the
# brightness changes from left to right, and nowhere else. And it answers in the same way wherever the edge
# is. Shift the input by two pixels, and the output shifts by two pixels: that property is called
# *translation equivariance*.

# %%
sobel = Conv2D(1, 1, 3, bias=False)
sobel.weight.data = np.array([[[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]]])
edge = np.zeros((1, 1, 5, 10), dtype=np.float32)
edge[:, :, :, 4:] = 1.0  # dark on the left, bright from column 4 on
answer = sobel(Tensor(edge)).numpy()
assert answer[0, 0, 0].tolist() == [0.0, 0.0, 4.0, 4.0, 0.0, 0.0, 0.0, 0.0]

moved = np.zeros_like(edge)
moved[:, :, :, 6:] = 1.0
assert np.array_equal(sobel(Tensor(moved)).numpy()[..., 2:], answer[..., :-2])

try:
    Conv2D(3, 8, 3)(Tensor(np.zeros((2, 32, 32, 3), dtype=np.float32)))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("channels on the wrong axis must be refused")
assert message.startswith("Conv2D expects 3 channels (axis 1), found 32 in (2, 32, 32, 3)")

# %% [markdown]
# ## 4. Pooling
#
# To tell a cat from a dog one need not know in which pixel the ear begins. *Pooling* makes the images smaller
# and forgets exact places: of each window it keeps the largest element ("there is an ear here somewhere") or
# the mean. There is nothing to learn, and every channel is treated alone.
#
#     x = [[1, 2, 5, 6],        max, 2 by 2: [[4, 8],        mean: [[2.5, 6.5],
#          [3, 4, 7, 8],                      [1, 9]]               [0.5, 4.5]]
#          [0, 1, 0, 9],
#          [1, 0, 9, 0]]
#
# By default the stride equals the window, so that windows do not overlap. Two details at the border:
#
# - The maximum is padded with $-\infty$, never with 0: among negative numbers a 0 would win.
# - The mean of a window that sticks out counts the padded zeros (as PyTorch does by default), which darkens
#   the border. With `count_include_pad=False` only the true pixels count.
#
# Padding may be at most half of the window, or some windows would lie wholly outside.
#
# The windows are one more view. We put the places of a window on the *first* axis before reducing over it:
# then NumPy compares whole images at a time instead of four numbers, which is ten times faster.


# %%
#| export
class _Pool2D(Layer):
    """What the pooling layers share: windows over each channel alone."""

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None:
        self.kernel_size = _whole_pair("kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else _whole_pair("stride", stride, 1)
        self.padding = _whole_pair("padding", padding, 0)
        if any(2 * width > places for width, places in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding may be at most half of the window {self.kernel_size}, found {self.padding}"
            )

    def _windows(self, x: Tensor, fill: float) -> Tensor:
        """Return the windows of checked images, in the shape (KH * KW, N, C, OH, OW)."""
        views = _padded(x, self.padding, fill).windows(self.kernel_size, self.stride)
        return views.transpose(4, 5, 0, 1, 2, 3).reshape(-1, *views.shape[:4])

    def _checked(self, x: object) -> Tensor:
        """Return `x` if it is a batch of images that the window fits."""
        images, _, _, h, w = _checked_images(type(self).__name__, x)
        _check_fit(type(self).__name__, (h, w), self.kernel_size, self.padding, (1, 1))
        return images

    def _describe(self) -> str:
        padding = f", padding={self.padding}" if self.padding != (0, 0) else ""
        return f"kernel_size={self.kernel_size}, stride={self.stride}{padding}"


class MaxPool2D(_Pool2D):
    """The largest element of each window, in each channel alone.

    Where several elements are equally large, they share the gradient.

    Args:
        kernel_size: Rows and columns of a window; one int for both.
        stride: Steps from one window to the next; by default the size of the window.
        padding: Rows and columns of minus infinity added on each side, at most half of the window.

    Raises:
        ValueError: If a number is too small, a pair has not two elements, or the padding is too large.
        TypeError: If a number is not an int.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Take the maxima.

        Args:
            x: Float images of shape (N, C, H, W).

        Returns:
            A tensor of shape (N, C, OH, OW); see `conv_output_size`. NaN wins.

        Raises:
            TypeError: If `x` is not a tensor of floats.
            ValueError: If it has another shape, is empty, or is smaller than the window.
        """
        return self._windows(self._checked(x), -math.inf).max(axis=0)


class AvgPool2D(_Pool2D):
    """The mean of each window, in each channel alone.

    Args:
        kernel_size: Rows and columns of a window; one int for both.
        stride: Steps from one window to the next; by default the size of the window.
        padding: Rows and columns of zeros added on each side, at most half of the window.
        count_include_pad: Whether the padded zeros count as pixels.

    Raises:
        ValueError: If a number is too small, a pair has not two elements, or the padding is too large.
        TypeError: If a number is not an int.
    """

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """Take the means.

        Args:
            x: Float images of shape (N, C, H, W).

        Returns:
            A tensor of shape (N, C, OH, OW); see `conv_output_size`.

        Raises:
            TypeError: If `x` is not a tensor of floats.
            ValueError: If it has another shape, is empty, or is smaller than the window.
        """
        images = self._checked(x)
        windows = self._windows(images, 0.0)
        if self.count_include_pad or self.padding == (0, 0):
            return windows.mean(axis=0)
        pixels = self._windows(ones((1, 1, *images.shape[2:]), images.dtype), 0.0).sum(axis=0)
        return windows.sum(axis=0) / pixels


# %%
x = Tensor([[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0], [0.0, 1.0, 0.0, 9.0], [1.0, 0.0, 9.0, 0.0]])
x = x.reshape(1, 1, 4, 4)
assert MaxPool2D(2)(x).tolist() == [[[[4.0, 8.0], [1.0, 9.0]]]]
assert AvgPool2D(2)(x).tolist() == [[[[2.5, 6.5], [0.5, 4.5]]]]
assert MaxPool2D(3, stride=1)(x).shape == (1, 1, 2, 2)
assert MaxPool2D(2, padding=1)(-x).tolist()[0][0][0] == [-1.0, -2.0, -6.0]  # no zero has won

bright = Tensor(np.ones((1, 1, 2, 2)))
assert AvgPool2D(2, padding=1)(bright).tolist() == [[[[0.25, 0.25], [0.25, 0.25]]]]
assert AvgPool2D(2, padding=1, count_include_pad=False)(bright).tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]
assert repr(MaxPool2D(2)) == "MaxPool2D(kernel_size=(2, 2), stride=(2, 2))"

# %% [markdown]
# ## 5. Batch normalisation
#
# When the first layer of a deep network changes, the inputs of all others change with it. *Batch
# normalisation* (Ioffe & Szegedy, *Batch Normalization*, ICML 2015) fixes mean and variance of every channel,
# whatever the layers before are doing. Networks then train with far larger steps.
#
# **While training** (their Algorithm 1), mean and variance of channel $c$ are taken over the batch and all
# pixels, $m = N H W$ numbers:
#
# $$\mu_c = \frac1m \sum_{n,i,j} x_{ncij}, \qquad
#   \sigma^2_c = \frac1m \sum_{n,i,j} (x_{ncij} - \mu_c)^2, \qquad
#   y_{ncij} = \gamma_c \frac{x_{ncij} - \mu_c}{\sqrt{\sigma_c^2 + \varepsilon}} + \beta_c$$
#
# The mean and the variance depend on $x$, so gradients flow through them as well. We need not do anything
# for that, as both are made of tensor operations.
#
# **In use** (Algorithm 2), the answer for one image must not depend on which other images happen to be in the
# batch. So the layer keeps running estimates while training, and uses them later as constants:
#
# $$\bar\mu \leftarrow (1 - \alpha)\,\bar\mu + \alpha\,\mu, \qquad
#   \bar\sigma^2 \leftarrow (1 - \alpha)\,\bar\sigma^2 + \alpha\, \frac{m}{m - 1}\,\sigma^2,
#   \qquad \alpha = 0.1 .$$
#
# Here the variance is the **unbiased** one, as it estimates the variance of all images from a sample. The
# normalisation itself uses the biased one. PyTorch does the same, including the meaning of "momentum": it is
# the weight $\alpha$ of the *new* value. (Other frameworks call $1 - \alpha$ the momentum.)
#
#     channel values 1, 3 (m = 2):   mean 2,  biased variance 1,  y = [-1, 1],  unbiased variance 2
#     running mean   0.9 * 0 + 0.1 * 2 = 0.2        running variance   0.9 * 1 + 0.1 * 2 = 1.1
#
# The estimates are *buffers*: saved with the layer, but no optimizer moves them. Three decisions:
#
# - One number per channel has no variance: while training, $m = 1$ is an error.
# - A single NaN in a batch would poison the running estimates for ever, and show up much later, in use. So a
#   batch whose statistics are not finite is an error, and leaves the estimates alone.
# - A convolution before a batch normalisation needs no bias: the mean is subtracted anyway.
#
# The usual mistakes: to forget `eval()`, so that predictions depend on the batch; and to forget `train()`
# afterwards, so that the estimates stand still.


# %%
#| export
class BatchNorm2D(Layer):
    """Normalise every channel to mean 0 and variance 1, then scale and shift (Ioffe & Szegedy, 2015).

    While training, mean and (biased) variance come from the batch, and the running estimates are updated, the
    variance in its unbiased form. In use, the running estimates take their place.

    Args:
        channels: Channels of the images.
        eps: What is added to the variance inside the root, above 0.
        momentum: Weight of the newest batch in the running estimates, between 0 and 1.
        affine: Whether there are a learned gain and shift.
        dtype: A float dtype for the parameters and buffers.

    Attributes:
        weight: The gain, of shape (channels,), at first 1; None without `affine`.
        bias: The shift, of shape (channels,), at first 0; None without `affine`.
        running_mean: Buffer of shape (channels,), at first 0.
        running_var: Buffer of shape (channels,), at first 1.

    Raises:
        ValueError: If `channels` or `eps` is not positive, or `momentum` is out of range.
        TypeError: If `channels` is not an int, `eps` or `momentum` no number, or `dtype` no float dtype.
    """

    running_mean: npt.NDArray[Any]
    running_var: npt.NDArray[Any]

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        found = zeros(0, dtype).dtype
        if found.kind != "f":
            raise TypeError(f"BatchNorm2D needs a float dtype, found {found}")
        for name, value in (("eps", eps), ("momentum", momentum)):
            if not isinstance(value, Real):
                raise TypeError(f"{name} must be a number, found {value!r}")
        if not 0.0 < eps < math.inf:
            raise ValueError(f"eps must be a positive number, found {eps}")
        if not 0.0 <= momentum <= 1.0:
            raise ValueError(f"momentum must be between 0 and 1, found {momentum}")
        self.channels = _whole("channels", channels, 1)
        self.eps = float(eps)
        self.momentum = float(momentum)
        self.weight = Parameter(ones(self.channels, dtype)) if affine else None
        self.bias = Parameter(zeros(self.channels, dtype)) if affine else None
        self.register_buffer("running_mean", np.zeros(self.channels, dtype))
        self.register_buffer("running_var", np.ones(self.channels, dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the images; while training, also update the running estimates.

        Args:
            x: Float images of shape (N, channels, H, W).

        Returns:
            A tensor of the same shape.

        Raises:
            TypeError: If `x` is not a tensor of floats.
            ValueError: If it has another shape or is empty; while training also if there is only one number
                per channel, or the mean or variance is not finite.
        """
        images, _, _, _, _ = _checked_images("BatchNorm2D", x, self.channels)
        column = (1, self.channels, 1, 1)
        if self.training:
            mean, variance = self._batch_statistics(images)
        else:
            mean, variance = (
                Tensor(self.running_mean.reshape(column)),
                Tensor(self.running_var.reshape(column)),
            )
        deviation = (variance + self.eps).sqrt()
        if self.weight is None or self.bias is None:
            return (images - mean) / deviation
        return (images - mean) * (self.weight.reshape(column) / deviation) + self.bias.reshape(column)

    def _batch_statistics(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and biased variance of each channel, (1, C, 1, 1), and update the running estimates."""
        count = images.size // self.channels
        if count == 1:
            raise ValueError(
                "BatchNorm2D in training needs more than one number per channel, found shape "
                f"{images.shape}: use a larger batch, or call eval()"
            )
        mean = images.mean(axis=(0, 2, 3), keepdims=True)
        centred = images - mean
        variance = (centred * centred).mean(axis=(0, 2, 3), keepdims=True)
        bad = np.flatnonzero(~np.isfinite(mean.data + variance.data))
        if bad.size:
            raise ValueError(
                f"BatchNorm2D: mean or variance of the batch is not finite in channels {bad.tolist()}"
            )
        self.running_mean = self._blend(self.running_mean, mean.data)
        self.running_var = self._blend(self.running_var, variance.data * (count / (count - 1)))
        return mean, variance

    def _blend(self, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return a running estimate that has moved towards a new value; the old array is left alone."""
        blended = (1.0 - self.momentum) * old + self.momentum * new.reshape(-1)
        return blended.astype(old.dtype, copy=False)

    def _describe(self) -> str:
        affine = ", affine=False" if self.weight is None else ""
        return f"{self.channels}, eps={self.eps}, momentum={self.momentum}{affine}"


# %% [markdown]
# Why does `_blend` make a new array instead of writing into the old one? Because a buffer that was handed out
# (in a record, in a comparison before and after) should keep its values.

# %%
norm = BatchNorm2D(1)
pair = Tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
assert np.allclose(norm(pair).numpy().ravel(), [-1.0, 1.0], atol=1e-4)
assert np.allclose(norm.running_mean, 0.2)
assert np.allclose(norm.running_var, 1.1)
norm.eval()
assert np.allclose(norm(pair).numpy().ravel(), [0.8 / 1.1**0.5, 2.8 / 1.1**0.5], atol=1e-4)
assert np.allclose(norm.running_mean, 0.2)  # in use, nothing is updated

norm = BatchNorm2D(3)
batch = generator.normal(5.0, 2.0, size=(8, 3, 4, 4)).astype(np.float32)
y = norm(Tensor(batch))
assert np.allclose(y.mean(axis=(0, 2, 3)).numpy(), 0.0, atol=1e-5)
assert np.allclose(y.var(axis=(0, 2, 3)).numpy(), 1.0, atol=1e-4)
for _ in range(100):
    norm(Tensor(batch))
assert np.allclose(norm.running_mean, batch.mean(axis=(0, 2, 3)), atol=1e-2)
assert np.allclose(norm.running_var, batch.var(axis=(0, 2, 3), ddof=1), atol=1e-2)
assert sorted(norm.state_dict()) == ["bias", "running_mean", "running_var", "weight"]

before = norm.running_mean
batch[0, 1, 0, 0] = np.nan
try:
    norm(Tensor(batch))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a NaN must not reach the running estimates")
assert message.endswith("not finite in channels [1]")
assert norm.running_mean is before

# %% [markdown]
# ## 6. Flatten
#
# Between the last image and the first `Linear` layer stands a change of shape: (N, C, H, W) becomes
# (N, C*H*W). The batch axis stays. A common mistake is `reshape(-1)`, which also merges the examples.


# %%
#| export
class Flatten(Layer):
    """Make the axes from `start` on into one.

    Args:
        start: The first axis to be merged; 1 keeps the batch axis.

    Raises:
        ValueError: If `start` is negative.
        TypeError: If `start` is not an int.
    """

    def __init__(self, start: int = 1) -> None:
        self.start = _whole("start", start, 0)

    def forward(self, x: Tensor) -> Tensor:
        """Merge the axes.

        Args:
            x: A tensor with more than `start` axes.

        Returns:
            A tensor with `start + 1` axes and the same elements in the same order.

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If it has too few axes.
        """
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Flatten expects a Tensor, found {type(x).__name__}: wrap the data in Tensor(...)"
            )
        if x.ndim <= self.start:
            raise ValueError(f"Flatten expects more than {self.start} axes, found shape {x.shape}")
        return x.flatten(self.start)

    def _describe(self) -> str:
        return f"start={self.start}"


# %%
assert Flatten()(Tensor(np.zeros((2, 3, 4, 5)))).shape == (2, 60)
assert Flatten(0)(Tensor(np.zeros((2, 3)))).shape == (6,)

# %% [markdown]
# ## 7. A small network
#
# The classic arrangement: convolutions and pooling in turn, the images becoming smaller and the channels
# more, and at the end a plain vector per image. For digits of 28 by 28 pixels:
#
#     (N, 1, 28, 28)   Conv2D(1, 8, 3, padding=1)     (N, 8, 28, 28)        80 numbers to learn
#                      BatchNorm2D(8)                 (N, 8, 28, 28)        16
#                      MaxPool2D(2)                   (N, 8, 14, 14)
#                      Conv2D(8, 16, 3, padding=1)    (N, 16, 14, 14)    1,168
#                      MaxPool2D(2)                   (N, 16, 7, 7)
#                      Flatten()                      (N, 784)
#
# Every layer is a composition of primitives. A recorder at the tensor's door sees all of them, so the whole
# network can be differentiated, although nobody here knows what a derivative is.


# %%
class Digits(Layer):
    def __init__(self, rng):
        self.first = Conv2D(1, 8, 3, padding=1, rng=rng)
        self.norm = BatchNorm2D(8)
        self.second = Conv2D(8, 16, 3, padding=1, rng=rng)
        self.pool = MaxPool2D(2)
        self.flatten = Flatten()

    def forward(self, x):
        x = self.pool(self.norm(self.first(x)).maximum(0.0))
        return self.flatten(self.pool(self.second(x).maximum(0.0)))


network = Digits(np.random.default_rng(0))
assert network(Tensor(np.zeros((5, 1, 28, 28), dtype=np.float32))).shape == (5, 784)
assert sum(parameter.size for parameter in network.parameters()) == 80 + 16 + 1168


class Listener:
    def __init__(self):
        self.names = []

    def record(self, primitive, inputs, output, params):
        self.names.append(primitive.name)

    def backward(self, tensor, gradient):
        raise NotImplementedError


listener, previous = Listener(), get_recorder()
set_recorder(listener)
network.first(Tensor(np.zeros((1, 1, 8, 8), dtype=np.float32)))
set_recorder(previous)
assert listener.names[:4] == ["pad", "windows", "transpose", "reshape"]
assert "matmul" in listener.names

# %% [markdown]
# ## Summary
#
# - A convolution is a linear layer that looks at small windows and uses the same weights everywhere: few
#   parameters, and a shifted input gives a shifted output.
# - It is really a cross-correlation, computed as one matrix product over a view of windows.
# - The output has $\lfloor (L + 2p - d(k-1) - 1)/s \rfloor + 1$ places along each axis.
# - Pooling makes images smaller; batch normalisation keeps their numbers in scale, and behaves differently in
#   training and in use.
#
# ## Exercises
#
# 1. Two 3 by 3 convolutions in a row see 5 by 5 pixels. How many weights do they need for 64 channels, and
#    how many does one 5 by 5 convolution? What else is gained?
# 2. In use, a batch normalisation is an affine map per channel. Fold it into the convolution before it: which
#    weight and bias does the one layer need that computes the same as both?
# 3. *Depthwise* convolution treats every channel alone (Howard et al., *MobileNets*, 2017). Write it with
#    `windows`, a multiplication and a sum. How many multiplications does it save?
# 4. A dilation of 2 gives a 3 by 3 kernel the view of a 5 by 5 one. Stack three such layers and draw which
#    input pixels reach one output. What is odd about the picture?
# 5. The mean over all pixels, $(N, C, H, W) \to (N, C)$, is called *global average pooling*. Write it. Why
#    can a network that ends with it take images of any size?
