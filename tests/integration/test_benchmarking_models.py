"""Guards the boundary from dense, spatial, attention, autograd and compression to benchmarking."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinytorch.core.activations import GELU, ReLU
from tinytorch.core.attention import Embedding, FeedForward, PositionalEncoding, TransformerBlock, causal_mask
from tinytorch.core.autograd import no_grad
from tinytorch.core.benchmarking import (
    STANDARD_FLOP_RULES,
    ModelCost,
    Roofline,
    Timer,
    measured_peak_bytes,
    model_cost,
)
from tinytorch.core.compression import quantize_linears
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.kernels import conv2d_im2col
from tinytorch.core.layers import Layer, LayerNorm, Linear
from tinytorch.core.spatial import AvgPool2D, BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor


def examples(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal(shape), dtype=np.float32)


def flops_by_layer(cost: ModelCost) -> dict[str, int | None]:
    return {layer.name: layer.flops for layer in cost.layers}


def state_bytes_of(model: Layer) -> int:
    return sum(array.nbytes for array in model.state_dict().values())


def convolutional_network() -> Sequential:
    return Sequential(
        Conv2D(1, 4, 3, padding=1, bias=False, rng=0),
        BatchNorm2D(4),
        ReLU(),
        MaxPool2D(2),
        Conv2D(4, 8, 3, rng=1),
        AvgPool2D(2, stride=1),
        Flatten(),
        Linear(8 * 5 * 5, 10, rng=2),
    ).eval()


class LanguageModel(Layer):
    """Two transformer blocks; the embedding's table serves at the end once more."""

    def __init__(self) -> None:
        self.embedding = Embedding(11, 8, rng=0)
        self.position = PositionalEncoding(8)
        self.blocks = [TransformerBlock(8, heads=2, rng=seed) for seed in (1, 2)]
        self.norm = LayerNorm(8)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.position(self.embedding(tokens))
        for block in self.blocks:
            x = block(x, causal_mask(tokens.shape[1]))
        return self.norm(x) @ self.embedding.weight.T


def test_an_mlp() -> None:
    mlp = MLP([784, 128, 64, 10], dropout=0.2, rng=0).eval()
    cost = model_cost(mlp, examples(32, 784))
    assert flops_by_layer(cost) == {
        "": 32 * (128 + 64),  # ReLU
        "linears.0": 32 * (2 * 784 * 128 + 128),
        "linears.1": 32 * (2 * 128 * 64 + 64),
        "linears.2": 32 * (2 * 64 * 10 + 10),
        "dropout": 0,
    }
    assert cost.parameters == 109_386
    assert cost.parameter_bytes == 4 * 109_386 == state_bytes_of(mlp)
    # The product, the sum with the bias, and in hidden layers the ReLU are arrays of their own.
    assert cost.activation_bytes == 4 * 32 * (3 * 128 + 3 * 64 + 2 * 10)
    assert next(layer.calls for layer in cost.layers if layer.name == "dropout") == 2


def test_dropout_costs_only_in_training() -> None:
    mlp = MLP([6, 5, 2], dropout=0.5, rng=0)
    in_training, in_use = model_cost(mlp, examples(3, 6)), model_cost(mlp.eval(), examples(3, 6))
    assert in_training.flops - in_use.flops == 2 * 3 * 5  # the mask over 1 - p; times the input


def test_a_convolutional_network() -> None:
    net = convolutional_network()
    n = 16
    cost = model_cost(net, examples(n, 1, 16, 16))
    assert flops_by_layer(cost) == {
        "": n * 4 * 16 * 16,  # ReLU
        "0": n * 4 * (16 * 16) * (2 * 9),
        "1": 3 * n * 4 * 16 * 16 + 3 * 4,
        "3": n * 4 * (8 * 8) * 3,
        "4": n * 8 * (6 * 6) * (2 * 4 * 9 + 1),
        "5": n * 8 * (5 * 5) * 4,
        "6": 0,
        "7": n * (2 * 200 * 10 + 10),
    }
    assert cost.parameters == 4 * 9 + 8 + 8 * 4 * 9 + 8 + 200 * 10 + 10
    assert cost.buffer_bytes == 4 * (4 + 4)
    assert cost.parameter_bytes + cost.buffer_bytes == state_bytes_of(net)
    shapes = {layer.name: layer.output_shape for layer in cost.layers}
    assert (shapes["0"], shapes["4"], shapes["5"], shapes[""]) == (
        (n, 4, 16, 16),
        (n, 8, 6, 6),
        (n, 8, 5, 5),
        (n, 10),
    )


@pytest.mark.parametrize("masked", [False, True])
def test_a_transformer_block(masked: bool) -> None:
    n, t, e, heads = 3, 10, 8, 2
    block = TransformerBlock(e, heads, rng=0).eval()
    cost = model_cost(block, examples(n, t, e), mask=causal_mask(t) if masked else None)
    rows, scores = n * t, n * heads * t * t
    linear = rows * (2 * e * e + e)
    # Scaled queries, the two products, and a softmax of 5 FLOPs per score less 2 per row; a mask adds one per
    # row to the divisor.
    attention = rows * e + 2 * (2 * n * t * t * e) + 5 * scores - 2 * n * heads * t + masked * n * heads * t
    assert flops_by_layer(cost) == {
        "": 2 * rows * e,  # the two sums around the parts
        "attention_norm": rows * (7 * e + 2),
        "attention": attention,
        "attention.query": linear,
        "attention.key": linear,
        "attention.value": linear,
        "attention.output": linear,
        "feed_forward_norm": rows * (7 * e + 2),
        "feed_forward": rows * 4 * e * 5,  # GELU: two products, a quotient's root, erf, a sum, a product
        "feed_forward.widen": rows * (2 * e * 4 * e + 4 * e),
        "feed_forward.narrow": rows * (2 * e * 4 * e + e),
        "dropout": 0,
    }
    assert cost.parameter_bytes == state_bytes_of(block) == 4 * (4 * (e * e + e) + 4 * e + 8 * e * e + 5 * e)


def test_a_language_model_with_tied_weights() -> None:
    model = LanguageModel().eval()
    tokens = Tensor(np.random.default_rng(0).integers(0, 11, (3, 10)))
    cost = model_cost(model, tokens)
    costs = flops_by_layer(cost)
    assert costs[""] == 2 * 30 * 8 * 11  # the scores, by the embedding's table
    assert (costs["embedding"], costs["position"], costs["norm"]) == (0, 30 * 8, 30 * (7 * 8 + 2))
    block = model_cost(model.blocks[0], examples(3, 10, 8), mask=causal_mask(10)).flops
    in_blocks = sum(flops or 0 for name, flops in costs.items() if name.startswith("blocks."))
    assert in_blocks == 2 * block
    assert cost.flops == in_blocks + sum(flops or 0 for name, flops in costs.items() if "blocks" not in name)
    assert cost.parameter_bytes == state_bytes_of(model)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (MLP([784, 256, 256, 10], rng=0), (256, 784)),
        (convolutional_network(), (64, 1, 16, 16)),
        (TransformerBlock(64, heads=4, rng=0).eval(), (8, 64, 64)),
    ],
    ids=["mlp", "convolutional", "transformer"],
)
def test_counted_bytes_are_the_allocated_ones(model: Layer, shape: tuple[int, ...]) -> None:
    x = examples(*shape)
    cost = model_cost(model, x)
    with no_grad():
        in_use = measured_peak_bytes(lambda: model(x))
    in_training = measured_peak_bytes(lambda: model(x))  # autograd keeps what backward will need
    # What an operation needs for itself alone is not counted: erf, in blocks of float64, has most of it.
    assert cost.peak_bytes == pytest.approx(in_use, rel=0.2)
    assert cost.activation_bytes == pytest.approx(in_training, rel=0.15)
    assert in_training > 1.2 * in_use


def test_a_model_that_autograd_watches_is_counted_alike_and_keeps_no_graph() -> None:
    net, x = convolutional_network(), examples(2, 1, 16, 16)
    with no_grad():
        quiet = model_cost(net, x)
    assert model_cost(net, x) == quiet
    loss = (net(x) ** 2).sum()
    loss.backward()  # recording goes on as before
    assert net[0].weight.grad is not None
    assert model_cost(net, x) == quiet


def test_a_quantized_model_holds_fewer_bytes_and_computes_as_much() -> None:
    net = Sequential(Linear(64, 64, rng=0), ReLU(), Linear(64, 10, rng=1))
    small = quantize_linears(net)
    x = examples(4, 64)
    before, after = model_cost(net, x), model_cost(small, x)
    assert after.parameter_bytes + after.buffer_bytes < 0.4 * before.parameter_bytes
    assert after.flops == before.flops + 4 * 64 + 4 * 10  # the scale of each output


def test_two_ways_to_convolve_do_the_same_work() -> None:
    conv, x = Conv2D(3, 5, 3, stride=2, padding=1, rng=0), examples(2, 3, 9, 9)
    by_kernel = model_cost(
        lambda images: conv2d_im2col(images, conv.weight, conv.bias, stride=2, padding=1), x
    )
    assert model_cost(conv, x).flops == by_kernel.flops == 2 * 5 * 25 * (2 * 27 + 1)


def test_a_convention_of_ones_own() -> None:
    rules = STANDARD_FLOP_RULES.with_operation("erf", lambda inputs, output, params: 20 * output.size)
    net, x = FeedForward(4, rng=0), examples(3, 4)
    assert model_cost(net, x, rules=rules).flops - model_cost(net, x).flops == 19 * 3 * 16
    ruled = STANDARD_FLOP_RULES.with_layer(Linear, lambda layer, inputs, output: 1)
    assert model_cost(net, x, rules=ruled).flops == 2 + 3 * 16 * 5


def test_models_are_compared_in_turns() -> None:
    readings = itertools.count(0.0)
    timer = Timer(rounds=8, warmup=1, round_seconds=0.0, clock=lambda: next(readings))
    models: dict[str, Callable[[Tensor], Any]] = {
        "relu": MLP([8, 8, 2], rng=0),
        "gelu": MLP([8, 8, 2], GELU(), rng=0),
    }
    x = examples(4, 8)
    comparison = timer.compare({name: lambda model=model: model(x) for name, model in models.items()})
    assert comparison.verdict("gelu") == "no difference shown"  # by this clock all calls take a second
    assert comparison.measurements["relu"].throughput(4) == 4.0
    with pytest.raises(ValueError, match="gelu differs from relu by"):
        timer.compare({name: lambda model=model: model(x) for name, model in models.items()}, tolerance=1e-3)


def test_a_wide_layer_is_bound_by_arithmetic_and_a_thin_one_by_memory() -> None:
    machine = Roofline(peak_flops=100e9, bandwidth=20e9)
    wide, thin = (
        model_cost(Linear(512, 512, rng=0), examples(512, 512)),
        model_cost(Linear(512, 512, rng=0), examples(1, 512)),
    )
    assert machine.bound(wide.intensity) == "arithmetic"
    assert machine.bound(thin.intensity) == "memory"
    assert machine.seconds(thin.flops, thin.bytes_moved) == thin.bytes_moved / 20e9
