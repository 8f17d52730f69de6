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
# # Module 13: Kernels
#
# A *kernel* is the small piece of code in which a program spends nearly all of its time: the inside of the
# matrix product, of the convolution, of the softmax. The mathematics is settled; what can still be chosen is
# the **order** in which numbers are fetched, combined and stored. That order can change the time by a factor
# of a thousand, without changing a single formula.
#
# Why should it matter so much? Because arithmetic is cheap and memory is far away. Roughly, for a current
# processor:
#
# | where a number lies | time until it arrives |
# |---|---|
# | register | 0.3 ns |
# | first-level cache, 32 to 64 KB | 1 ns |
# | second-level cache, about 1 MB | 4 ns |
# | main memory | 80 ns |
#
# In the 80 ns of one trip to main memory a core could do a thousand multiplications. Three classical ideas
# follow, and this module builds each of them:
#
# 1. **Blocking**: finish all the work on a small piece of the data while it lies in the cache.
# 2. **Rearranging**: bring a problem (convolution) into the form of another (matrix product) for which the
#    best kernel of the world exists.
# 3. **Fusing**: do several steps in one pass, so that intermediate results never travel to memory.
#
# **What to expect.** We write Python on top of NumPy, and NumPy's matrix product calls BLAS, decades of
# hand-tuned machine code. An idea that wins in C can lose here. So every section ends with a measurement, and
# the text says who won. A kernel that is called "optimised" and never measured is a rumour.

# %%
#| default_exp core.kernels

# %%
#| export
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tinytorch.core.tensor import Primitive
from tinytorch.core.tensor import Tensor
from tinytorch.core.tensor import apply

_Array = npt.NDArray[Any]
_Pair = tuple[int, int]

# %% [markdown]
# ## 1. Measuring
#
# First the ruler. Times on a real machine are noisy, and always in one direction: other programs, interrupts
# and clock changes make a run *slower*, never faster. A few rules make comparisons fair:
#
# - **Check before timing.** A wrong result may be computed as fast as you like. All variants must agree.
# - **Repeat short calls.** A clock read costs 50 ns; time a batch of calls that lasts at least a millisecond.
# - **Interleave.** Measure A, B, A, B, ... and not A, A, B, B: if the machine slows down in between, both
#   suffer.
# - **Take the median**, not the mean, which one bad interruption spoils. We also keep the fastest round.
# - **Warm up.** The first call pays for cold caches and is not counted.
#
# `compare_kernels` does all this for functions without arguments. Module 14 builds a whole laboratory around
# the same rules.


# %%
#| export
@dataclass(frozen=True)
class KernelTime:
    """How long one call of a kernel takes.

    Attributes:
        median: Seconds per call, median over the rounds.
        fastest: Seconds per call in the fastest round.
        ratio: `median` divided by that of the first kernel in the comparison: below 1 is faster.
    """

    median: float
    fastest: float
    ratio: float


def compare_kernels(
    kernels: Mapping[str, Callable[[], Any]],
    rounds: int = 7,
    tolerance: float = 1e-4,
    round_seconds: float = 1e-3,
) -> dict[str, KernelTime]:
    """Measure several kernels that compute the same thing, after a check that they do.

    Args:
        kernels: Functions without arguments by name, each returning a tensor or an array. The first one is
            the reference for results and ratios.
        rounds: How often each is measured, at least 1; the kernels take turns.
        tolerance: Largest difference accepted between results, relative to the largest reference value.
        round_seconds: A round repeats the call until about this much time has passed.

    Returns:
        The times by name, in the given order.

    Raises:
        ValueError: If there are no kernels, `rounds` is below 1, or a result differs from the first one.
        TypeError: If the kernels are no functions by name, or `rounds` no int.
    """
    if not isinstance(kernels, Mapping) or not all(callable(kernel) for kernel in kernels.values()):
        raise TypeError(f"kernels is a mapping from names to functions, found {kernels!r}")
    if isinstance(rounds, bool) or not isinstance(rounds, (int, np.integer)):
        raise TypeError(f"rounds is an int, found {rounds!r}")
    if not kernels or rounds < 1:
        raise ValueError(f"at least one kernel and one round are needed, found {len(kernels)} and {rounds}")
    _check_agreement(kernels, tolerance)
    calls = {name: _calls_per_round(kernel, round_seconds) for name, kernel in kernels.items()}
    seconds: dict[str, list[float]] = {name: [] for name in kernels}
    for _ in range(rounds):
        for name, kernel in kernels.items():
            seconds[name].append(_seconds(kernel, calls[name]) / calls[name])
    medians = {name: float(np.median(found)) for name, found in seconds.items()}
    reference = medians[next(iter(medians))]
    return {
        name: KernelTime(medians[name], min(found), medians[name] / reference)
        for name, found in seconds.items()
    }


def _check_agreement(kernels: Mapping[str, Callable[[], Any]], tolerance: float) -> None:
    """Raise a ValueError unless all kernels return what the first one does."""
    results = {name: _result_array(kernel()) for name, kernel in kernels.items()}
    first, expected = next(iter(results.items()))
    limit = tolerance * max(1e-30, float(np.abs(expected).max(initial=0.0)))
    for name, result in results.items():
        if result.shape != expected.shape:
            raise ValueError(f"{name} returns shape {result.shape}, but {first} {expected.shape}")
        difference = float(np.abs(result - expected).max(initial=0.0))
        if not difference <= limit:
            raise ValueError(f"{name} differs from {first} by {difference:.3g}, more than {limit:.3g}")


def _result_array(result: Any) -> npt.NDArray[np.float64]:
    """Return a kernel's result as a float64 array."""
    return np.asarray(result.data if isinstance(result, Tensor) else result, dtype=np.float64)


def _calls_per_round(kernel: Callable[[], Any], round_seconds: float) -> int:
    """Return how many calls last about `round_seconds`."""
    once = min(_seconds(kernel, 1), _seconds(kernel, 1))
    return max(1, math.ceil(round_seconds / max(once, 1e-7)))


def _seconds(kernel: Callable[[], Any], calls: int) -> float:
    """Return the time of so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        kernel()
    return time.perf_counter() - start


def _listed(times: Mapping[str, KernelTime]) -> str:
    """Return the medians in one line."""
    return ", ".join(f"{name} {1e6 * kernel.median:.0f} us" for name, kernel in times.items())


# %%
numbers = np.arange(1000.0)
times = compare_kernels(
    {"loop": lambda: np.array([x * 2.0 for x in numbers]), "numpy": lambda: numbers * 2.0}, rounds=3
)
assert set(times) == {"loop", "numpy"}
assert times["loop"].ratio == 1.0
try:
    compare_kernels({"right": lambda: np.ones(3), "wrong": lambda: np.array([1.0, 1.0, 1.1])})
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a wrong result must be found before anything is timed")
assert "wrong differs from right by 0.1" in message

# %% [markdown]
# ## 2. Blocked matrix multiplication
#
# The product $C = AB$ of two $n \times n$ matrices needs $2n^3$ operations on only $3n^2$ numbers. Each
# number is used $n$ times: if it could be kept near, memory would hardly matter. But the plain triple loop
#
# ```text
#   for i: for j: for p:  C[i, j] += A[i, p] * B[p, j]
# ```
#
# walks through *all* of $B$ for each row of $A$. When $B$ is larger than the cache, the number fetched a
# moment ago has been thrown out when it is needed again, and about $n^3$ numbers travel from memory.
#
# The cure is to cut the matrices into tiles of $t \times t$ and to multiply tiles:
#
#     A = | A11 A12 |     B = | B11 B12 |      C11 = A11 B11 + A12 B21,   and so on
#         | A21 A22 |         | B21 B22 |
#
# A product of tiles reads $2t^2$ numbers and does $2t^3$ operations with them. There are $(n/t)^3$ such
# products, so
#
# $$\text{numbers read} = 2 t^2 \left(\frac{n}{t}\right)^3 = \frac{2 n^3}{t},$$
#
# $t$ times less than before (Golub & Van Loan, *Matrix Computations*, 4th ed. 2013, section 1.5; Lam,
# Rothberg & Wolf, *The Cache Performance and Optimizations of Blocked Algorithms*, ASPLOS 1991). The tile
# should be as large as possible while three tiles fit into the cache: $3 t^2 b \le$ cache size. For 48 KB and
# `float32` ($b = 4$) that is $t \le 64$.
#
# We write three kernels: the triple loop in pure Python, the blocked one (Python loops over tiles, NumPy
# inside), and for comparison `a @ b`. All go through the tensor's door, `apply`, as primitives of their own.


# %%
#| export
def _matmul_loops_forward(a: _Array, b: _Array) -> _Array:
    rows, columns = a.tolist(), b.T.tolist()
    product = [
        [math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in rows
    ]
    return np.array(product, dtype=a.dtype).reshape(a.shape[0], b.shape[1])


def _blocked_matmul_forward(a: _Array, b: _Array, block: int) -> _Array:
    product = np.zeros((a.shape[0], b.shape[1]), dtype=a.dtype)
    for i in range(0, a.shape[0], block):
        for j in range(0, b.shape[1], block):
            tile = product[i : i + block, j : j + block]  # a view: adding to it changes the product
            for p in range(0, a.shape[1], block):
                tile += a[i : i + block, p : p + block] @ b[p : p + block, j : j + block]
    return product


_MATMUL_LOOPS = Primitive("matmul_loops", _matmul_loops_forward)
_BLOCKED_MATMUL = Primitive("blocked_matmul", _blocked_matmul_forward)


def loop_matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiply two matrices with loops in pure Python: for comparison, not for use.

    Args:
        a: Floats of shape (m, k).
        b: Floats of shape (k, n) and the same dtype.

    Returns:
        The product, shape (m, n).

    Raises:
        TypeError: If an argument is not a float tensor, or the dtypes differ.
        ValueError: If the shapes do not fit.
    """
    _check_matrices("loop_matmul", a, b)
    return apply(_MATMUL_LOOPS, a, b)


def blocked_matmul(a: Tensor, b: Tensor, block: int = 64) -> Tensor:
    """Multiply two matrices tile by tile (Golub & Van Loan, Matrix Computations, 4th ed., section 1.5).

    Args:
        a: Floats of shape (m, k).
        b: Floats of shape (k, n) and the same dtype.
        block: Rows and columns of a tile, at least 1. Tiles at the border may be smaller.

    Returns:
        The product, shape (m, n).

    Raises:
        TypeError: If an argument is not a float tensor, the dtypes differ, or `block` is not an int.
        ValueError: If the shapes do not fit, or `block` is below 1.
    """
    _check_matrices("blocked_matmul", a, b)
    return apply(_BLOCKED_MATMUL, a, b, block=_whole(block, "block", 1))


def _check_floats(name: str, *tensors: object) -> None:
    """Raise a TypeError unless all are float tensors of one dtype."""
    dtypes = []
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} expects Tensors, found {type(tensor).__name__}")
        dtypes.append(tensor.dtype)
    if dtypes[0].kind != "f" or len(set(dtypes)) > 1:
        raise TypeError(f"{name} expects floats of one dtype, found {', '.join(map(str, dtypes))}")


def _check_matrices(name: str, a: Tensor, b: Tensor) -> None:
    """Raise unless `a` and `b` are float matrices that can be multiplied."""
    _check_floats(name, a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"{name} expects shapes (m, k) and (k, n), found {a.shape} and {b.shape}")


def _whole(value: object, name: str, smallest: int) -> int:
    """Return `value` as an int of at least `smallest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value}")
    return int(value)


# %%
generator = np.random.default_rng(0)
left = Tensor(generator.normal(size=(40, 50)), dtype=np.float32)
right = Tensor(generator.normal(size=(50, 30)), dtype=np.float32)
assert np.allclose(loop_matmul(left, right).numpy(), (left @ right).numpy(), atol=1e-5)
assert np.allclose(blocked_matmul(left, right, block=16).numpy(), (left @ right).numpy(), atol=1e-5)

times = compare_kernels(
    {
        "a @ b": lambda: left @ right,
        "blocked (16)": lambda: blocked_matmul(left, right, block=16),
        "loops": lambda: loop_matmul(left, right),
    },
    rounds=3,
)
print(_listed(times))

# %% [markdown]
# **Who won?** On the machine where this was written, one core, `float32`:
#
# | $n$ | `a @ b` | tiles of 16 | of 64 | of 256 | loops in Python |
# |---|---|---|---|---|---|
# | 64 | 0.010 ms | 0.22 ms | 0.012 ms | | 24 ms |
# | 512 | 3.3 ms | 195 ms | 8.0 ms | 3.9 ms | about 12 s (estimated) |
# | 1024 | 24 ms | 880 ms | 45 ms | 29 ms | |
#
# The plain product wins, at every size and with every tile. Our blocking cannot help, for two reasons. BLAS
# **already blocks**, on three levels, with tiles matched to each cache and to the registers (Goto & van de
# Geijn, *Anatomy of High-Performance Matrix Multiplication*, ACM TOMS 34, 2008). And every tile costs a
# few microseconds in Python and NumPy, plus a temporary for the product that is added to the tile; with
# small tiles these overheads are nearly everything. The blocked kernel does beat the triple loop, by more
# than a thousand, but hardly because of the cache: it has left Python's interpreter behind.
#
# So `blocked_matmul` is here to be understood. The lesson for daily work: **hand the largest possible piece
# to BLAS, in one call.**
#
# ## 3. Convolution as a matrix product
#
# A convolution slides a small kernel over an image; at every position it multiplies a window with the kernel
# and adds up. Seen this way it is a dot product for each window and each output channel. Put all windows as
# rows into one matrix, all kernels as columns into another, and *one* matrix product does everything
# (Chellapilla, Puri & Simard, *High Performance Convolutional Neural Networks for Document Processing*,
# 2006). The rearrangement is called **im2col**:
#
#     image  0 1 2      windows of 2 by 2, one per row:     0 1 3 4
#            3 4 5                                          1 2 4 5
#            6 7 8                                          3 4 6 7
#                                                           4 5 7 8
#
# With images $(N, C, H, W)$ and $O$ kernels of $K_h \times K_w$, the shapes are
#
#     columns  (N, OH * OW, C * KH * KW)   @   weight (C * KH * KW, O)   ->   (N, OH * OW, O)
#
# $$O_h = \left\lfloor \frac{H + 2 p_h - d_h (K_h - 1) - 1}{s_h} \right\rfloor + 1$$
#
# with padding $p$, stride $s$ and dilation $d$ (Dumoulin & Visin, *A guide to convolution arithmetic for deep
# learning*, 2016).
#
# The price: a pixel appears in up to $K_h K_w$ windows, so `columns` takes nine times the memory of the
# images for a 3 by 3 kernel. Writing that is nothing beside the arithmetic if there are many output
# channels, and a waste if there are few.
#
# **col2im** is the way back. It is *not* the inverse: where windows overlap, it **adds** their contributions.
# That makes it the *transpose* of im2col as a linear map, and so the rule for its gradient:
#
# $$\langle \operatorname{im2col}(x),\, y \rangle = \langle x,\, \operatorname{col2im}(y) \rangle
#   \quad\text{for all } x, y.$$
#
# Applied to ones, it counts in how many windows each pixel lies:
#
#     1 2 1
#     2 4 2       the pixel in the middle is in all four windows
#     1 2 1
#
# For fixed $(u, v)$ within the kernel, different windows touch different pixels. So col2im needs a Python
# loop over the $K_h K_w$ places of the kernel only, and adds a whole strided slice each time.


# %%
#| export
def _im2col_forward(images: _Array, kernel: _Pair, stride: _Pair, padding: _Pair, dilation: _Pair) -> _Array:
    if padding != (0, 0):
        images = np.pad(images, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(images, spans, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    n, c, rows, columns, kh, kw = windows.shape
    arranged = np.array(windows.transpose(0, 2, 3, 1, 4, 5), order="C")  # the one place where numbers move
    return arranged.reshape(n, rows * columns, c * kh * kw)


def _col2im_forward(
    columns: _Array, shape: tuple[int, ...], kernel: _Pair, stride: _Pair, padding: _Pair, dilation: _Pair
) -> _Array:
    n, c, h, w = shape
    rows, cols = _output_size((h, w), kernel, stride, padding, dilation)
    windows = columns.reshape(n, rows, cols, c, *kernel).transpose(0, 3, 1, 2, 4, 5)
    padded = np.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), dtype=columns.dtype)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            top, left = u * dilation[0], v * dilation[1]
            below, right = top + stride[0] * (rows - 1) + 1, left + stride[1] * (cols - 1) + 1
            padded[:, :, top : below : stride[0], left : right : stride[1]] += windows[..., u, v]
    return padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def _output_size(size: _Pair, kernel: _Pair, stride: _Pair, padding: _Pair, dilation: _Pair) -> _Pair:
    """Return rows and columns of a convolution's output (Dumoulin & Visin, 2016)."""
    height, width = (
        (length + 2 * p - d * (k - 1) - 1) // s + 1
        for length, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )
    return height, width


_IM2COL = Primitive("im2col", _im2col_forward)
_COL2IM = Primitive("col2im", _col2im_forward)


def im2col(
    images: Tensor,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Write every window of a batch of images into a row (Chellapilla, Puri & Simard, 2006).

    Args:
        images: Floats of shape (N, C, H, W).
        kernel: Rows and columns of a window; one int for both.
        stride: Steps from one window to the next.
        padding: Zeros added on each side.
        dilation: Steps between the places within a window.

    Returns:
        Shape (N, OH * OW, C * KH * KW).

    Raises:
        TypeError: If `images` is not a float tensor, or a number not an int.
        ValueError: If the shape is another, a number is out of range, or the window exceeds the image.
    """
    _check_floats("im2col", images)
    steps = _checked_steps(images.shape, kernel, stride, padding, dilation)
    return apply(_IM2COL, images, **steps)


def col2im(
    columns: Tensor,
    shape: Sequence[int],
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Add rows of windows back into images: the transpose, not the inverse, of `im2col`.

    Args:
        columns: Floats of shape (N, OH * OW, C * KH * KW).
        shape: Shape (N, C, H, W) of the images.
        kernel: As for `im2col`, and so are the others.
        stride: Steps from one window to the next.
        padding: Zeros that were added on each side; what falls there is dropped.
        dilation: Steps between the places within a window.

    Returns:
        Shape (N, C, H, W): at each pixel the sum over all windows that it lies in.

    Raises:
        TypeError: If `columns` is not a float tensor, or a number not an int.
        ValueError: If the shapes do not fit each other, or a number is out of range.
    """
    _check_floats("col2im", columns)
    lengths = tuple(_whole(length, "a length in shape", 0) for length in shape)
    steps = _checked_steps(lengths, kernel, stride, padding, dilation)
    rows, cols = _output_size((lengths[2], lengths[3]), **steps)
    expected = (lengths[0], rows * cols, lengths[1] * steps["kernel"][0] * steps["kernel"][1])
    if columns.shape != expected:
        raise ValueError(f"col2im expects columns of shape {expected}, found {columns.shape}")
    return apply(_COL2IM, columns, shape=lengths, **steps)


def conv2d_im2col(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Tensor:
    """Convolve images with kernels by one matrix product (Chellapilla, Puri & Simard, 2006).

    Like all of deep learning, this does not flip the kernel; mathematicians call it cross-correlation.

    Args:
        images: Floats of shape (N, C, H, W).
        weight: Kernels, floats of shape (O, C, KH, KW) and the same dtype.
        bias: One number per kernel, shape (O,), or None.
        stride: Steps from one window to the next.
        padding: Zeros added on each side.
        dilation: Steps between the places within a window.

    Returns:
        Shape (N, O, OH, OW).

    Raises:
        TypeError: If an argument is not a float tensor, dtypes differ, or a number is not an int.
        ValueError: If shapes do not fit each other, or a number is out of range.
    """
    _check_floats("conv2d_im2col", images, weight, *([] if bias is None else [bias]))
    if weight.ndim != 4 or images.ndim != 4 or weight.shape[1] != images.shape[1]:
        raise ValueError(
            f"conv2d_im2col expects images (N, C, H, W) and weight (O, C, KH, KW), "
            f"found {images.shape} and {weight.shape}"
        )
    count, kernel = weight.shape[0], weight.shape[2:]
    if bias is not None and bias.shape != (count,):
        raise ValueError(f"conv2d_im2col expects a bias of shape ({count},), found {bias.shape}")
    steps = _checked_steps(images.shape, kernel, stride, padding, dilation)
    rows, columns = _output_size((images.shape[2], images.shape[3]), **steps)
    products = apply(_IM2COL, images, **steps) @ weight.reshape(count, math.prod(weight.shape[1:])).T
    if bias is not None:
        products = products + bias
    return products.swapaxes(1, 2).reshape(images.shape[0], count, rows, columns)


def _pair_of(value: int | Sequence[int], name: str, smallest: int) -> _Pair:
    """Return an int or a pair of ints as a pair (rows, columns)."""
    pair = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(pair) != 2:
        raise ValueError(f"{name} must be one int or a pair (rows, columns), found {value!r}")
    return _whole(pair[0], name, smallest), _whole(pair[1], name, smallest)


def _checked_steps(
    shape: Sequence[int],
    kernel: int | Sequence[int],
    stride: int | Sequence[int],
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
) -> dict[str, _Pair]:
    """Return the params of im2col as pairs, after a check that at least one window fits."""
    if len(shape) != 4:
        raise ValueError(f"images of shape (N, C, H, W) expected, found {tuple(shape)}")
    steps = {
        "kernel": _pair_of(kernel, "kernel", 1),
        "stride": _pair_of(stride, "stride", 1),
        "padding": _pair_of(padding, "padding", 0),
        "dilation": _pair_of(dilation, "dilation", 1),
    }
    if min(_output_size((shape[2], shape[3]), **steps)) < 1:
        raise ValueError(
            f"a window of {steps['kernel']} with dilation {steps['dilation']} does not fit images of "
            f"{tuple(shape[2:])} with padding {steps['padding']}"
        )
    return steps


# %%
image = Tensor(np.arange(9.0)).reshape(1, 1, 3, 3)
assert im2col(image, 2).tolist() == [[[0, 1, 3, 4], [1, 2, 4, 5], [3, 4, 6, 7], [4, 5, 7, 8]]]
overlap = col2im(Tensor(np.ones((1, 4, 4))), (1, 1, 3, 3), 2)
assert overlap.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]

x = Tensor(generator.normal(size=(2, 3, 9, 8)))
options = {"kernel": (3, 2), "stride": (2, 1), "padding": 1, "dilation": (1, 2)}
rows = im2col(x, **options)
y = Tensor(generator.normal(size=rows.shape))
there, back = (rows * y).sum().item(), (x * col2im(y, x.shape, **options)).sum().item()
assert abs(there - back) < 1e-9  # the one is the transpose of the other

# %% [markdown]
# For comparison, here is convolution without im2col: for each place in the kernel, shift the whole image and
# multiply by that place's weights. It needs no large intermediate, but $K_h K_w$ smaller products.


# %%
def shifted_convolution(images, weight):
    rows, columns = images.shape[2] - weight.shape[2] + 1, images.shape[3] - weight.shape[3] + 1
    channels_last = images.transpose(0, 2, 3, 1)
    total = 0.0
    for u in range(weight.shape[2]):
        for v in range(weight.shape[3]):
            total = total + channels_last[:, u : u + rows, v : v + columns] @ weight[:, :, u, v].T
    return total.transpose(0, 3, 1, 2)


images = Tensor(generator.normal(size=(4, 8, 16, 16)), dtype=np.float32)
kernels = Tensor(generator.normal(size=(16, 8, 3, 3)), dtype=np.float32)
times = compare_kernels(
    {
        "im2col": lambda: conv2d_im2col(images, kernels),
        "shifted": lambda: shifted_convolution(images, kernels),
    },
    rounds=3,
)
print(_listed(times))

# %% [markdown]
# **Who won?** It depends on the shapes (same machine, one core, milliseconds):
#
# | images $(N, C, H, W)$ | kernels | im2col | shifted | why |
# |---|---|---|---|---|
# | (32, 1, 28, 28) | 8 | 0.6 | 2.6 | with one channel the shifted products are far too thin |
# | (32, 16, 28, 28) | 32 | 11 | 7 | writing the large matrix costs more than multiplying |
# | (8, 64, 28, 28) | 64 | 12 | 10 | about equal |
# | (4, 256, 14, 14) | 256 | 14 | 24 | one large product is what BLAS does best |
#
# So im2col is no universal winner either, and real libraries hold several kernels and choose by the shape.
#
# ## 4. Fusion
#
# `(x @ w + b).maximum(0.0)` reads as one thought, but NumPy carries it out in three passes, each writing a
# new array which the next one reads:
#
#     x @ w        write 1
#     ... + b      read 1, write 2
#     ... max 0    read 2, write 3
#
# Additions and comparisons are so quick that their time *is* the time of this traffic: they are bound by
# memory, not by arithmetic (Williams, Waterman & Patterson, *Roofline*, Communications of the ACM 52, 2009).
# A fused kernel does the last two steps in place, on the array that the product has just written. One
# allocation instead of three.
#
# In a compiled language one would go further and add bias and bend while the tile still lies in a register.
# NumPy gives no access to that; in place is as close as we get.
#
# ### Softmax and cross-entropy together
#
# The loss of a classifier for scores $z$ and label $y$ is
#
# $$L = -\log \operatorname{softmax}(z)_y = m + \log \sum_j e^{z_j - m} - z_y, \qquad m = \max_j z_j.$$
#
# Composed of tensor operations this takes about nine passes. Fused, it takes one temporary array, used over
# and over. The fusion also simplifies the *derivative*, where all factors cancel (Bishop, *Pattern
# Recognition and Machine Learning*, 2006, eq. 4.109):
#
# $$\frac{\partial L}{\partial z_j} = \operatorname{softmax}(z)_j - [j = y].$$
#
# ### Who differentiates them?
#
# A fused kernel is one operation, with a name of its own. A recorder at the door hears
# "linear_relu", not "matmul, add, maximum", so it needs one rule more for it. The rules stand in
# `KERNEL_GRADIENTS`, in the form in which `autograd` takes them, and this module need not know autograd:
#
# ```text
#   from tinytorch.core.autograd import register_gradient
#   from tinytorch.core.kernels import KERNEL_GRADIENTS
#
#   for name, rule in KERNEL_GRADIENTS.items():
#       register_gradient(name, rule)
# ```
#
# Without that, these kernels serve for prediction, and a backward pass through one ends with a message that
# names the missing rule. At the corner of the ReLU, where the sum is exactly 0, our rule takes the slope 0.


# %%
#| export
def _linear_relu_forward(x: _Array, weight: _Array, bias: _Array) -> _Array:
    result: _Array = np.matmul(x, weight)
    result += bias
    np.maximum(result, 0, out=result)
    return result


def _softmax_cross_entropy_forward(scores: _Array, labels: _Array) -> Any:
    work = scores - scores.max(axis=1, keepdims=True)
    picked = work[np.arange(len(labels)), labels]
    np.exp(work, out=work)
    return (np.log(work.sum(axis=1)) - picked).mean()


_LINEAR_RELU = Primitive("linear_relu", _linear_relu_forward)
_SOFTMAX_CROSS_ENTROPY = Primitive("softmax_cross_entropy", _softmax_cross_entropy_forward)


def linear_relu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Compute max(x @ weight + bias, 0) with one new array instead of three.

    Args:
        x: Floats of shape (..., inputs), at least two axes.
        weight: Floats of shape (inputs, outputs) and the same dtype.
        bias: Floats of shape (outputs,) and the same dtype.

    Returns:
        Shape (..., outputs).

    Raises:
        TypeError: If an argument is not a float tensor, or the dtypes differ.
        ValueError: If the shapes do not fit.
    """
    _check_floats("linear_relu", x, weight, bias)
    if x.ndim < 2 or weight.ndim != 2 or x.shape[-1] != weight.shape[0] or bias.shape != weight.shape[1:]:
        raise ValueError(
            f"linear_relu expects shapes (..., inputs), (inputs, outputs) and (outputs,), "
            f"found {x.shape}, {weight.shape} and {bias.shape}"
        )
    return apply(_LINEAR_RELU, x, weight, bias)


def softmax_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of labels under softmax, in one operation (Bishop, 2006, section 4.3.4).

    Args:
        scores: Floats of shape (batch, classes).
        labels: True classes, ints of shape (batch,).

    Returns:
        A tensor without axes.

    Raises:
        TypeError: If scores are not a float tensor, or labels not an int tensor.
        ValueError: If shapes do not fit, the batch is empty, scores hold NaN, or a label is out of range.
    """
    _check_floats("softmax_cross_entropy", scores)
    if not isinstance(labels, Tensor) or labels.dtype.kind not in "iu":
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be an int Tensor, found {found}")
    if scores.ndim != 2 or scores.size == 0 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"softmax_cross_entropy expects shapes (batch, classes) and (batch,) without empty axes, "
            f"found {scores.shape} and {labels.shape}"
        )
    if np.isnan(scores.data).any():
        raise ValueError("scores must be numbers, found NaN")
    places = labels.data.astype(np.int64)
    if places.min() < 0 or places.max() >= scores.shape[1]:
        raise ValueError(
            f"labels from 0 to {scores.shape[1] - 1} expected, found {places.min()} to {places.max()}"
        )
    return apply(_SOFTMAX_CROSS_ENTROPY, scores, labels=places)


# %%
x = Tensor(generator.normal(size=(256, 64)), dtype=np.float32)
w = Tensor(generator.normal(size=(64, 128)), dtype=np.float32)
b = Tensor(generator.normal(size=128), dtype=np.float32)
times = compare_kernels(
    {"three steps": lambda: (x @ w + b).maximum(0.0), "fused": lambda: linear_relu(x, w, b)}, rounds=3
)
assert linear_relu(x, w, b).shape == (256, 128)
print(_listed(times))

# %%
scores = Tensor(generator.normal(size=(256, 10)), dtype=np.float32)
labels = Tensor(generator.integers(0, 10, size=256))


def composed_cross_entropy():
    shifted = scores - scores.max(axis=1, keepdims=True)
    logarithms = shifted - shifted.exp().sum(axis=1, keepdims=True).log()
    return -logarithms[np.arange(256), labels].mean()


times = compare_kernels(
    {"composed": composed_cross_entropy, "fused": lambda: softmax_cross_entropy(scores, labels)}, rounds=3
)
assert abs(softmax_cross_entropy(Tensor([[0.0, 0.0]]), Tensor([1])).item() - np.log(2.0)) < 1e-6
assert softmax_cross_entropy(Tensor([[1e4, -1e4]]), Tensor([0])).item() == 0.0  # no overflow
print(_listed(times))

# %% [markdown]
# **Who won?** The fused kernels, by little (same machine, microseconds):
#
# | | plain | fused |
# |---|---|---|
# | linear + ReLU, 32 rows, 64 to 32 | 10 | 8 |
# | linear + ReLU, 1024 rows, 256 to 512 | 3490 | 3370 |
# | linear + ReLU, 8192 rows, 16 to 512 | 9080 | 8310 |
# | cross-entropy, 32 rows, 10 classes | 27 | 21 |
# | cross-entropy, 2048 rows, 1000 classes | 3260 | 3060 |
#
# For small arrays the gain is in the calls that were saved. For large ones the product (or the exponentials)
# takes nearly all the time, and two passes less are worth a few percent. The gain is largest where little
# arithmetic meets much data: 16 inputs and 512 outputs. In a compiled kernel, which keeps the intermediate
# results in registers, the same fusion pays far more. What is always saved here is *memory*: in training, a
# recorder keeps each intermediate array, and fused kernels have none.
#
# ### The rules
#
# A rule gets the gradient of the output and the note that was taken of the operation: the arrays of its
# inputs, its output, its params, and for each input whether anybody `needs` its gradient. It returns one
# gradient per input. The form of the note is described here as a *protocol*: whatever has these four
# attributes will do, so this module need not import autograd to be understood by it.
#
# For the matrix product $\bar A = \bar C B^\top$ and $\bar B = A^\top \bar C$ (Giles, *Collected matrix
# derivative results*, 2008, section 2.2.1); im2col and col2im are each other's rule; the ReLU lets the
# gradient pass where the output is positive.


# %%
#| export
class _Note(Protocol):
    """What a rule reads of a recorded operation."""

    @property
    def arrays(self) -> Sequence[_Array]:
        """The arrays of the inputs."""

    @property
    def needs(self) -> Sequence[bool]:
        """For each input, whether its gradient is of any use."""

    output: _Array
    params: Mapping[str, Any]


_Rule = Callable[[_Array, _Note], Sequence[_Array | None]]


def _matmul_rule(gradient: _Array, note: _Note) -> Sequence[_Array | None]:
    (a, b), (left, right) = note.arrays, note.needs
    return gradient @ b.T if left else None, a.T @ gradient if right else None


def _im2col_rule(gradient: _Array, note: _Note) -> Sequence[_Array | None]:
    return (_col2im_forward(gradient, shape=note.arrays[0].shape, **note.params),)


def _col2im_rule(gradient: _Array, note: _Note) -> Sequence[_Array | None]:
    steps = {name: value for name, value in note.params.items() if name != "shape"}
    return (_im2col_forward(gradient, **steps),)


def _linear_relu_rule(gradient: _Array, note: _Note) -> Sequence[_Array | None]:
    x, weight, _ = note.arrays
    passed = gradient * (note.output > 0)
    rows = passed.reshape(-1, passed.shape[-1])
    return (
        passed @ weight.T if note.needs[0] else None,
        x.reshape(-1, x.shape[-1]).T @ rows if note.needs[1] else None,
        rows.sum(axis=0) if note.needs[2] else None,
    )


def _softmax_cross_entropy_rule(gradient: _Array, note: _Note) -> Sequence[_Array | None]:
    scores, labels = note.arrays[0], note.params["labels"]
    slope = np.exp(scores - scores.max(axis=1, keepdims=True))
    slope /= slope.sum(axis=1, keepdims=True)
    slope[np.arange(len(labels)), labels] -= 1
    slope *= gradient / len(labels)
    return (slope,)


KERNEL_GRADIENTS: Mapping[str, _Rule] = MappingProxyType(
    {
        "matmul_loops": _matmul_rule,
        "blocked_matmul": _matmul_rule,
        "im2col": _im2col_rule,
        "col2im": _col2im_rule,
        "linear_relu": _linear_relu_rule,
        "softmax_cross_entropy": _softmax_cross_entropy_rule,
    }
)

# %% [markdown]
# A rule is tested against the definition of the derivative, by central differences. Here for the loss; the
# unit tests do it for all of them.

# %%
from types import SimpleNamespace

z, label = generator.normal(size=(2, 3)), np.array([2, 0])
note = SimpleNamespace(arrays=[z], needs=[True], output=None, params={"labels": label})
(exact,) = KERNEL_GRADIENTS["softmax_cross_entropy"](np.array(1.0), note)
for place in np.ndindex(z.shape):
    step = np.zeros_like(z)
    step[place] = 1e-5
    ahead = softmax_cross_entropy(Tensor(z + step), Tensor(label)).item()
    behind = softmax_cross_entropy(Tensor(z - step), Tensor(label)).item()
    assert abs((ahead - behind) / 2e-5 - exact[place]) < 1e-8

# %% [markdown]
# ## Summary
#
# | kernel | idea | against the plain one, here |
# |---|---|---|
# | `blocked_matmul` | reuse while it is in the cache | slower: BLAS blocks already |
# | `conv2d_im2col` | one large product | depends on the shapes; nine times the memory |
# | `linear_relu` | no intermediate arrays | 2 to 20% faster, a third of the memory |
# | `softmax_cross_entropy` | no intermediate arrays, a simple gradient | 2 to 20% faster |
#
# - Memory traffic, not arithmetic, sets the speed of most operations.
# - Check first, then measure, interleaved, and look at the median.
# - New primitives go through `apply`; whoever wants their gradients registers the rules.
#
# ## Exercises
#
# 1. Measure `blocked_matmul` for $n = 512$ and blocks from 8 to 512. Where is the minimum, and what is the
#    overhead of one tile, in microseconds?
# 2. How many bytes does `im2col` write for a batch of 32 images of 64 channels, 56 by 56, with a 3 by 3
#    kernel? Convolve image by image in a loop instead. Is it slower?
# 3. The *online softmax* (Milakov & Gimelshein, 2018) keeps a running maximum $m$ and a running sum, and
#    multiplies the sum by $e^{m_{old} - m_{new}}$ when the maximum grows. Write it so that it sees each score
#    once, in blocks of 64. (It is the heart of FlashAttention.)
# 4. Fuse `x * w + b` followed by tanh, with its rule, and check the rule by central differences.
# 5. Repeat the comparisons with `float64`. Which ratios change, and why about twofold?
