"""Guards the boundary tensor | layers | dense | spatial | autograd: features of images go into dense layers."""

from typing import Any

import numpy as np
import pytest

from tinytorch.core.autograd import grad, no_grad
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Linear
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D, conv_output_size
from tinytorch.core.tensor import Tensor


def images(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def classifier() -> Sequential:
    side = conv_output_size(conv_output_size(9, 3, stride=2, padding=1), 2, stride=2)
    return Sequential(
        Conv2D(2, 4, 3, stride=2, padding=1, bias=False, rng=0),
        BatchNorm2D(4),
        MaxPool2D(2),
        Flatten(),
        MLP([4 * side * side, 8, 3], rng=1),
    )


def test_the_width_of_the_first_dense_layer_is_the_one_worked_out() -> None:
    assert classifier()(images(5, 2, 9, 9)).shape == (5, 3)
    with pytest.raises(ValueError, match=r"Linear expects an input of shape \(\.\.\., 16\), found \(5, 36\)"):
        classifier()(images(5, 2, 13, 13))


def test_a_convolution_over_the_whole_image_is_a_dense_layer() -> None:
    """Weights (O, C, H, W), flattened, are the transposed weight of a Linear, forward and backward."""
    conv, linear = Conv2D(2, 3, (4, 5), rng=0), Linear(2 * 4 * 5, 3, rng=1)
    assert conv.bias is not None
    assert linear.bias is not None
    conv.bias.data = linear.bias.data = np.array([1.0, -2.0, 3.0], dtype=np.float32)
    linear.weight.data = conv.weight.data.reshape(3, -1).T
    x = images(6, 2, 4, 5)
    by_conv, by_linear = Sequential(conv, Flatten())(x), Sequential(Flatten(), linear)(x)
    np.testing.assert_allclose(by_conv.data, by_linear.data, rtol=1e-5, atol=1e-5)
    conv_weight, conv_bias = grad((by_conv * by_conv).sum(), [conv.weight, conv.bias])
    dense_weight, dense_bias = grad((by_linear * by_linear).sum(), [linear.weight, linear.bias])
    np.testing.assert_allclose(conv_weight.data.reshape(3, -1).T, dense_weight.data, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(conv_bias.data, dense_bias.data, rtol=1e-4, atol=1e-4)


def test_a_convolution_of_one_pixel_is_a_dense_layer_at_every_pixel() -> None:
    conv, linear = Conv2D(3, 4, 1, rng=0, bias=False), Linear(3, 4, bias=False)
    linear.weight.data = conv.weight.data[:, :, 0, 0].T
    x = images(2, 3, 5, 6)
    at_pixels = linear(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(conv(x).data, at_pixels.data, rtol=1e-5, atol=1e-6)


def test_every_parameter_of_the_chain_gets_a_gradient() -> None:
    net = classifier()
    (net(images(5, 2, 9, 9)) ** 2).mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert np.abs(parameter.grad.data).max() > 0, name
        assert parameter.grad.dtype == np.float32


@pytest.mark.parametrize("pool", [AvgPool2D((4, 5)), MaxPool2D((4, 5))], ids=repr)
def test_global_pooling_takes_images_of_every_content_to_one_vector(pool: Any) -> None:
    """Shifted round, an image has other pixels and the same vector, so also the same scores."""
    net = Sequential(pool, Flatten(), MLP([3, 6, 2], rng=0))
    x = images(2, 3, 4, 5)
    shifted = Tensor(np.roll(x.data, (1, 2), axis=(2, 3)))
    np.testing.assert_allclose(net(x).data, net(shifted).data, rtol=1e-4, atol=1e-6)


def test_statistics_travel_with_the_state_through_the_whole_chain() -> None:
    """Trained on one batch, a network in use gives each image scores that do not depend on the others."""
    one, twin = classifier(), classifier()
    for seed in range(3):
        one(images(8, 2, 9, 9, seed=seed) + 2.0)
    twin.load_state_dict(one.state_dict())
    x = images(4, 2, 9, 9, seed=5)
    with no_grad():
        whole = one.eval()(x).data
        alone = [twin.eval()(x[i : i + 1]).data for i in range(4)]
    np.testing.assert_allclose(whole, np.concatenate(alone), rtol=1e-4, atol=1e-6)
    fresh = classifier().eval()(x).data
    assert np.abs(fresh - whole).max() > 0.01
