"""Guards the boundary tensor | activations | layers | dense | compression: smaller dense nets, and how far they are off."""

import numpy as np
import pytest

from tinytorch.core.activations import ReLU
from tinytorch.core.compression import (
    QuantizedLinear,
    apply_masks,
    compression_report,
    dequantize_state,
    magnitude_masks,
    measured_sparsity,
    prune_neurons,
    quantize_linears,
    quantize_state,
    state_bytes,
)
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Layer, LayerNorm, Linear
from tinytorch.core.tensor import Tensor

SIZES = [32, 64, 48, 10]


def network(seed: int = 0) -> Sequential:
    return Sequential(LayerNorm(32), MLP(SIZES, activation=ReLU(), rng=seed))


def examples(count: int = 200) -> Tensor:
    return Tensor(np.random.default_rng(1).standard_normal((count, 32)), dtype=np.float32)


def error(plain: Layer, other: Layer) -> float:
    """Root mean square of the difference in scores, in units of the plain net's scores."""
    expected, found = plain(examples()).numpy(), other(examples()).numpy()
    return float(np.sqrt(np.mean((found - expected) ** 2)) / np.sqrt(np.mean(expected**2)))


def pruned(sparsity: float, **options: object) -> Sequential:
    net = network()
    apply_masks(net, magnitude_masks(net, sparsity, **options))  # type: ignore[arg-type]
    return net


def test_pruning_removes_the_share_that_was_asked_for() -> None:
    for scope in ("global", "layer"):
        net = pruned(0.75, scope=scope)
        weights = {name: a for name, a in net.state_dict().items() if a.ndim == 2}
        zeros = sum(int((array == 0).sum()) for array in weights.values())
        assert zeros == pytest.approx(0.75 * sum(array.size for array in weights.values()), abs=2)
        shares = [measured_sparsity(net)[name] for name in weights]
        assert (max(shares) - min(shares) < 0.01) is (scope == "layer")
        assert all(measured_sparsity(net)[name] == 0.0 for name in ("0.weight",))  # the normalisation's gain


def test_more_pruning_is_smaller_and_further_off() -> None:
    plain = network()
    nets = [pruned(sparsity) for sparsity in (0.2, 0.5, 0.8)]
    errors = [error(plain, net) for net in nets]
    sizes = [state_bytes(net.state_dict()) for net in nets]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)
    assert errors[0] < 0.2
    assert errors[2] > 3 * errors[0]
    assert sizes[2] < 0.3 * state_bytes(plain.state_dict())


def test_a_mask_is_chosen_by_magnitude_not_by_chance() -> None:
    plain, net = network(), network()
    rng = np.random.default_rng(0)
    masks = {
        name: rng.permuted(mask.ravel()).reshape(mask.shape)
        for name, mask in magnitude_masks(net, 0.5).items()
    }
    apply_masks(net, masks)
    assert error(plain, pruned(0.5)) < 0.6 * error(plain, net)


@pytest.mark.parametrize("scheme", ["symmetric", "affine"])
@pytest.mark.parametrize("per_channel", [True, False])
def test_a_quantised_net_is_a_quarter_and_hardly_off(scheme: str, per_channel: bool) -> None:
    plain = network()
    small = quantize_linears(plain, scheme, per_channel)  # type: ignore[arg-type]
    assert [type(linear) for linear in small[1].linears] == [QuantizedLinear] * 3
    assert [type(linear) for linear in plain[1].linears] == [Linear] * 3
    assert 0.0 < error(plain, small) < 0.02
    report = compression_report(plain.state_dict(), quantize_state(plain.state_dict(), scheme, per_channel))  # type: ignore[arg-type]
    assert 0.2 < report.ratio < 0.33
    assert sum(array.nbytes for array in small.state_dict().values()) < 0.33 * report.bytes_before


def test_a_layers_error_is_within_half_a_step_for_each_input() -> None:
    linear = Linear(32, 16, rng=0)
    small = QuantizedLinear(linear)
    x = examples()
    off = np.abs(small(x).numpy() - linear(x).numpy())
    bound = np.abs(x.numpy()).sum(axis=1, keepdims=True) * small.scale / 2
    assert (off <= bound * 1.001 + 1e-5).all()
    assert off.max() > 0.05 * bound.max()  # the bound is not beside the point


def test_scales_of_their_own_protect_small_outputs_from_large_ones() -> None:
    net = Sequential(MLP([32, 8, 4], rng=0))
    last = net[0].linears[1]
    last.weight.data = last.weight.data * np.array([1e-3, 1.0, 1.0, 100.0], np.float32)
    own, shared = quantize_linears(net), quantize_linears(net, per_channel=False)
    expected = net(examples()).numpy()[:, 0]
    off = [np.abs(small(examples()).numpy()[:, 0] - expected).max() for small in (own, shared)]
    assert off[0] < 0.05 * np.abs(expected).max()
    assert off[1] > 10 * off[0]


def test_a_state_in_eight_bits_and_layers_of_eight_bits_agree() -> None:
    plain, twin = network(), network(5)
    twin.load_state_dict(dequantize_state(quantize_state(plain.state_dict())))
    layers = quantize_linears(plain)
    np.testing.assert_allclose(twin(examples()).numpy(), layers(examples()).numpy(), rtol=1e-4, atol=1e-4)


def test_pruned_and_quantised_keeps_its_zeros() -> None:
    plain, net = network(), pruned(0.5)
    state = quantize_state(net.state_dict())
    report = compression_report(plain.state_dict(), state)
    assert report.ratio < 0.23
    twin = network(5)
    twin.load_state_dict(dequantize_state(state))
    for name, share in measured_sparsity(net).items():
        assert measured_sparsity(twin)[name] >= share
    assert abs(error(plain, twin) - error(plain, net)) < 0.01  # rounding adds next to nothing


def test_dead_neurons_are_removed_without_a_trace() -> None:
    mlp = MLP(SIZES, activation=ReLU(), rng=0)
    first, second, third = mlp.linears
    dead = np.arange(0, 64, 4)
    first.weight.data[:, dead] = 0.0
    smaller, behind, kept = prune_neurons(first, second, keep=48)
    assert sorted(set(range(64)) - set(kept.tolist())) == dead.tolist()
    net = Sequential(smaller, ReLU(), behind, ReLU(), third)
    np.testing.assert_allclose(net(examples()).numpy(), mlp(examples()).numpy(), rtol=1e-4, atol=1e-5)
    counts = [sum(p.size for p in layer.parameters()) for layer in (mlp, net)]
    assert counts[0] - counts[1] == 16 * (32 + 1) + 16 * 48


def test_weak_neurons_cost_less_than_strong_ones() -> None:
    mlp = MLP([32, 64, 10], activation=ReLU(), rng=0)
    first, second = mlp.linears
    first.weight.data = first.weight.data * np.linspace(0.05, 1.0, 64, dtype=np.float32)
    smaller, behind, kept = prune_neurons(first, second, keep=48)
    assert kept.min() >= 8
    weak_removed = Sequential(smaller, ReLU(), behind)
    strong_removed = Sequential(MLP([32, 64, 10], activation=ReLU(), rng=1))
    strong_removed[0].load_state_dict(mlp.state_dict())
    strong_removed[0].linears[0].weight.data[:, 48:] = 0.0
    assert error(mlp, weak_removed) < 0.3
    assert error(mlp, weak_removed) < 0.5 * error(mlp, strong_removed)
