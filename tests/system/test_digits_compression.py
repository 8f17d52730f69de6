"""A network that reads handwritten digits is pruned and quantised, and still reads them."""

import numpy as np
import pytest

from tinytorch.core.activations import ReLU
from tinytorch.core.autograd import no_grad
from tinytorch.core.compression import (
    PackedArray,
    QuantizedArray,
    apply_masks,
    compression_report,
    dequantize_state,
    magnitude_masks,
    measured_sparsity,
    pack_sparse,
    quantize_linears,
    quantize_state,
    sparsity_schedule,
    state_bytes,
)
from tinytorch.core.dataloader import DataLoader, TensorDataset
from tinytorch.core.dense import MLP, Sequential
from tinytorch.core.layers import Layer
from tinytorch.core.optimizers import Adam
from tinytorch.core.spatial import Flatten
from tinytorch.core.training import CrossEntropyLoss, Trainer, accuracy

Digits = tuple[TensorDataset, TensorDataset]
SPARSITY = 0.6
PRUNING_EPOCHS = 8


def new_network() -> Sequential:
    return Sequential(Flatten(), MLP([64, 64, 32, 10], activation=ReLU(), rng=0))


def measured(network: Layer, test: TensorDataset) -> float:
    images, labels = test.tensors
    with no_grad():
        return accuracy(network.eval()(images), labels)


def copied(network: Layer) -> Sequential:
    copy = new_network()
    copy.load_state_dict(network.state_dict())
    return copy


def train_and_prune(network: Layer, training: TensorDataset) -> None:
    """Go on training while more and more weights are removed, then some more with the rest."""
    loader = DataLoader(training, batch_size=32, shuffle=True, rng=1)
    optimizer, loss = Adam(network.parameters(), lr=1e-3), CrossEntropyLoss()
    network.train()
    for epoch in range(2 * PRUNING_EPOCHS):
        masks = magnitude_masks(network, sparsity_schedule(epoch + 1, PRUNING_EPOCHS, SPARSITY))
        apply_masks(network, masks)
        for images, labels in loader:
            optimizer.zero_grad()
            loss(network(images), labels).backward()
            optimizer.step()
            apply_masks(network, masks)


@pytest.fixture(scope="module")
def dense_network(digits: Digits) -> Sequential:
    network = new_network()
    trainer = Trainer(network, CrossEntropyLoss(), Adam(network.parameters(), lr=3e-3))
    trainer.fit(DataLoader(digits[0], batch_size=32, shuffle=True, rng=0), 15)
    return network


@pytest.fixture(scope="module")
def pruned_network(dense_network: Sequential, digits: Digits) -> Sequential:
    network = copied(dense_network)
    train_and_prune(network, digits[0])
    return network


def test_a_third_of_the_size_costs_less_than_two_points(
    digits: Digits, dense_network: Sequential, pruned_network: Sequential
) -> None:
    before = dense_network.state_dict()
    after = quantize_state(pruned_network.state_dict())
    restored = new_network()
    restored.load_state_dict(dequantize_state(after))

    assert measured(dense_network, digits[1]) >= 0.95
    assert measured(restored, digits[1]) > measured(dense_network, digits[1]) - 0.02
    report = compression_report(before, after)
    assert report.bytes_before == sum(array.nbytes for array in before.values())
    assert report.ratio <= 1 / 3


def test_the_promised_size_is_that_of_arrays_from_which_the_network_can_be_rebuilt(
    digits: Digits, pruned_network: Sequential
) -> None:
    after = quantize_state(pruned_network.state_dict())
    packed: dict[str, PackedArray] = {}
    rest: dict[str, np.ndarray] = {}  # type: ignore[type-arg]
    for name, value in after.items():
        if isinstance(value, QuantizedArray):
            assert value.zero_point is None
            packed[name], rest[name] = pack_sparse(value.values), value.scale
        else:
            rest[name] = value
    size = sum(part.nbytes for part in packed.values()) + sum(part.nbytes for part in rest.values())
    assert state_bytes(after) <= size <= 1.1 * state_bytes(after)  # some are smaller yet in another format

    state = {name: packed[name].unpack() * part if name in packed else part for name, part in rest.items()}
    rebuilt = new_network()
    rebuilt.load_state_dict(state)
    for name, array in dequantize_state(after).items():
        np.testing.assert_array_equal(rebuilt.state_dict()[name], array)
    assert measured(rebuilt, digits[1]) >= 0.94


def test_the_removed_weights_are_gone_and_were_the_right_ones(
    digits: Digits, dense_network: Sequential, pruned_network: Sequential
) -> None:
    weights = {name: part for name, part in pruned_network.named_parameters() if part.ndim == 2}
    zeros = sum(measured_sparsity(pruned_network)[name] * part.size for name, part in weights.items())
    assert zeros >= round(SPARSITY * sum(part.size for part in weights.values())) - 1e-6

    at_random, rng = copied(dense_network), np.random.default_rng(2)
    apply_masks(at_random, {name: rng.random(part.shape) >= SPARSITY for name, part in weights.items()})
    assert measured(at_random, digits[1]) < measured(pruned_network, digits[1]) - 0.1


def test_the_network_of_integers_reads_what_the_pruned_one_reads(
    digits: Digits, pruned_network: Sequential
) -> None:
    integers = quantize_linears(pruned_network)
    assert abs(measured(integers, digits[1]) - measured(pruned_network, digits[1])) <= 0.01
    dtypes = {name: array.dtype for name, array in integers.state_dict().items() if name.endswith("values")}
    assert len(dtypes) == 3
    assert set(dtypes.values()) == {np.dtype(np.int8)}
