"""Guards the boundary tensor | layers | spatial | autograd | kernels: kernels do what the layers do."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.activations import relu
from tinytorch.core.autograd import grad, register_gradient
from tinytorch.core.kernels import (
    KERNEL_GRADIENTS,
    blocked_matmul,
    compare_kernels,
    conv2d_im2col,
    im2col,
    linear_relu,
    loop_matmul,
    softmax_cross_entropy,
)
from tinytorch.core.layers import Linear
from tinytorch.core.spatial import AvgPool2D, Conv2D, MaxPool2D, conv_output_size
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=40)


def images(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape))


def with_random_bias(layer: Any) -> Any:
    layer.bias.data = np.random.default_rng(7).normal(size=layer.bias.shape)
    return layer


def assert_close(found: Tensor, expected: Tensor) -> None:
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


@pytest.fixture(scope="module", autouse=True)
def kernel_gradients() -> None:
    """Tell autograd the kernels' rules, as the module says one should."""
    for name, rule in KERNEL_GRADIENTS.items():
        register_gradient(name, rule, replace=True)


PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
BORDERS = st.tuples(st.integers(0, 2), st.integers(0, 2))


@REPEATABLE
@given(kernel=PAIRS, stride=PAIRS, padding=BORDERS, dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_im2col_and_the_layer_convolve_alike(kernel: Any, stride: Any, padding: Any, dilation: Any) -> None:
    conv = with_random_bias(Conv2D(2, 3, kernel, stride, padding, dilation, rng=1, dtype=np.float64))
    x = images(2, 2, 7, 6)
    assert_close(conv2d_im2col(x, conv.weight, conv.bias, stride, padding, dilation), conv(x))


def test_without_a_bias() -> None:
    conv, x = Conv2D(2, 3, 3, bias=False, rng=1, dtype=np.float64), images(2, 2, 5, 5)
    assert_close(conv2d_im2col(x, conv.weight), conv(x))


def test_both_refuse_a_window_that_does_not_fit() -> None:
    conv, x = Conv2D(2, 3, 4, rng=1, dtype=np.float64), images(1, 2, 3, 3)
    with pytest.raises(ValueError, match="does not fit"):
        conv(x)
    with pytest.raises(ValueError, match="does not fit"):
        conv2d_im2col(x, conv.weight, conv.bias)


@REPEATABLE
@given(
    size=st.integers(3, 9), stride=st.integers(1, 3), padding=st.integers(0, 2), dilation=st.integers(1, 2)
)
def test_there_is_a_row_for_each_output_pixel(size: int, stride: int, padding: int, dilation: int) -> None:
    if dilation * (2 - 1) + 1 > size + 2 * padding:
        return
    side = conv_output_size(size, 2, stride, padding, dilation)
    assert im2col(images(1, 3, size, size), 2, stride, padding, dilation).shape == (1, side * side, 12)


@pytest.mark.parametrize(("pool", "reduce"), [(MaxPool2D, "max"), (AvgPool2D, "mean")])
def test_pooling_reduces_the_rows_of_im2col(pool: Any, reduce: str) -> None:
    x = images(2, 3, 6, 8)
    rows = im2col(x, (2, 3), stride=(2, 1))
    pooled = getattr(rows.reshape(2, 3 * 6, 3, 6), reduce)(axis=-1)  # windows, channels, places in a window
    expected = pooled.swapaxes(1, 2).reshape(2, 3, 3, 6)
    assert_close(pool((2, 3), stride=(2, 1))(x), expected)


@pytest.mark.parametrize("block", [1, 3, 64])
def test_blocked_products_make_a_linear_layer(block: int) -> None:
    linear = with_random_bias(Linear(7, 5, rng=1, dtype=np.float64))
    x = images(4, 7)
    assert_close(blocked_matmul(x, linear.weight, block) + linear.bias, linear(x))
    assert_close(loop_matmul(x, linear.weight) + linear.bias, linear(x))


def test_a_convolution_by_blocked_products() -> None:
    conv, x = Conv2D(2, 3, 3, bias=False, rng=1, dtype=np.float64), images(1, 2, 6, 6)
    product = blocked_matmul(im2col(x, 3)[0], conv.weight.reshape(3, 18).T, block=5)
    assert_close(product.T.reshape(1, 3, 4, 4), conv(x))


@pytest.mark.parametrize("leading", [(4,), (2, 3)])
def test_the_fused_kernel_is_a_layer_and_its_activation(leading: tuple[int, ...]) -> None:
    linear = with_random_bias(Linear(7, 5, rng=1, dtype=np.float64))
    x = images(*leading, 7)
    assert_close(linear_relu(x, linear.weight, linear.bias), relu(linear(x)))


def test_the_fused_loss_is_the_loss() -> None:
    scores, labels = images(6, 4), Tensor([0, 3, 1, 1, 2, 0])
    assert_close(softmax_cross_entropy(scores, labels), CrossEntropyLoss()(scores, labels))


def slopes(output: Tensor, inputs: list[Tensor]) -> list[Any]:
    weights = np.random.default_rng(9).normal(size=output.shape)
    return [part.numpy() for part in grad((output * weights).sum(), inputs)]


def test_gradients_through_a_convolution_by_kernels_are_those_of_the_layer() -> None:
    conv = with_random_bias(Conv2D(2, 3, (3, 2), stride=(2, 1), padding=1, rng=1, dtype=np.float64))
    x = Tensor(images(2, 2, 6, 5).numpy(), requires_grad=True)
    inputs = [x, conv.weight, conv.bias]
    by_kernels = conv2d_im2col(x, conv.weight, conv.bias, stride=(2, 1), padding=1)
    for found, expected in zip(slopes(by_kernels, inputs), slopes(conv(x), inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)
        assert found.any()


def test_gradients_through_the_fused_kernels_are_those_of_the_layers() -> None:
    linear = with_random_bias(Linear(5, 4, rng=1, dtype=np.float64))
    x = Tensor(images(6, 5).numpy(), requires_grad=True)
    labels, inputs = Tensor([0, 3, 1, 1, 2, 0]), [x, linear.weight, linear.bias]
    fused = softmax_cross_entropy(linear_relu(x, linear.weight, linear.bias), labels)
    plain = CrossEntropyLoss()(relu(linear(x)), labels)
    for found, expected in zip(grad(fused, inputs), grad(plain, inputs), strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-12)


def test_a_comparison_accepts_layer_and_kernel_and_finds_a_forgotten_bias() -> None:
    conv, x = with_random_bias(Conv2D(2, 3, 3, rng=1, dtype=np.float64)), images(2, 2, 6, 6)
    kernels = {"layer": lambda: conv(x), "im2col": lambda: conv2d_im2col(x, conv.weight, conv.bias)}
    assert list(compare_kernels(kernels, rounds=1, round_seconds=0.0)) == ["layer", "im2col"]
    kernels["no bias"] = lambda: conv2d_im2col(x, conv.weight)
    with pytest.raises(ValueError, match="no bias differs from layer by"):
        compare_kernels(kernels, rounds=1)
