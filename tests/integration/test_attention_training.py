"""Guards the boundary from tensor, layers and attention to dataloader, autograd, optimizers and training."""

import numpy as np
import pytest

from tinytorch.core.attention import (
    Embedding,
    PositionalEncoding,
    TransformerBlock,
    attention_weights,
    causal_mask,
)
from tinytorch.core.autograd import no_grad
from tinytorch.core.dataloader import DataLoader, TensorDataset
from tinytorch.core.layers import Layer, LayerNorm, Linear
from tinytorch.core.optimizers import AdamW, CosineLR
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, Trainer, accuracy

LENGTH, DIGITS = 6, 8


class Tagger(Layer):
    """A transformer of one block that answers with a digit at every place."""

    def __init__(self, causal: bool, positions: bool = True) -> None:
        rng = np.random.default_rng(0)
        self.embedding = Embedding(DIGITS, 32, rng)
        self.position = PositionalEncoding(32, LENGTH) if positions else None
        self.block = TransformerBlock(32, heads=2, hidden=64, rng=rng)
        self.norm = LayerNorm(32)
        self.output = Linear(32, DIGITS, rng=rng)
        self.causal = causal

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        if self.position is not None:
            x = self.position(x)
        x = self.block(x, causal_mask(tokens.shape[1]) if self.causal else None)
        return self.output(self.norm(x))


def sequences(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, DIGITS, (count, LENGTH))


def trained(model: Tagger, task: slice, epochs: int) -> Trainer:
    """Train a model to answer sequences with their elements in another order."""
    examples = sequences(600, 0)
    data = TensorDataset(Tensor(examples), Tensor(examples[:, task]))
    loader = DataLoader(data, 30, shuffle=True, rng=0)
    optimizer = AdamW(model.parameters(), lr=1e-2)
    trainer = Trainer(
        model,
        CrossEntropyLoss(),
        optimizer,
        schedule=CosineLR(optimizer, total=epochs * len(loader), warmup=10),
        schedule_every="batch",
        metrics={"accuracy": accuracy},
        max_norm=1.0,
    )
    trainer.fit(loader, epochs)
    return trainer


def right_by_place(model: Tagger, task: slice) -> np.ndarray:
    """The share of right answers at each place, for 500 sequences that were not learned."""
    unseen = sequences(500, 1)
    with no_grad():
        answers = model.eval()(Tensor(unseen)).numpy().argmax(axis=-1)
    return (answers == unseen[:, task]).mean(axis=0)


COPY, REVERSE = slice(None), slice(None, None, -1)


@pytest.mark.parametrize(("task", "epochs"), [(COPY, 3), (REVERSE, 10)], ids=["copy", "reverse"])
def test_a_tiny_transformer_learns_to(task: slice, epochs: int) -> None:
    model = Tagger(causal=False)
    trainer = trained(model, task, epochs)
    assert trainer.history[-1]["loss"] < 0.1 * trainer.history[0]["loss"]
    assert trainer.history[-1]["accuracy"] > 0.98
    assert right_by_place(model, task).min() > 0.97


def test_a_causal_mask_keeps_what_comes_later_from_being_learned() -> None:
    """Reversing needs, at place i, the digit at place 5 - i. Before the middle that is a later one."""
    model = Tagger(causal=True)
    trained(model, REVERSE, 10)
    right = right_by_place(model, REVERSE)
    assert right[3:].min() > 0.97
    assert right[:3].max() < 2.0 / DIGITS  # chance is 1 / 8


def test_without_positions_an_order_cannot_be_learned() -> None:
    model = Tagger(causal=False, positions=False)
    trained(model, REVERSE, 10)
    assert right_by_place(model, REVERSE).max() < 0.7


def test_the_trained_heads_look_at_the_mirrored_place() -> None:
    model = Tagger(causal=False)
    trained(model, REVERSE, 10)
    attention = model.block.attention
    with no_grad():
        x = model.position(model.embedding(Tensor(sequences(200, 2))))
        x = model.block.attention_norm(x)
        query, key = (
            part(x).reshape(200, LENGTH, 2, 16).swapaxes(1, 2) for part in (attention.query, attention.key)
        )
        weights = attention_weights(query, key).numpy().mean(axis=0)  # (heads, T, T)
    mirrored = weights[:, np.arange(LENGTH), np.arange(LENGTH)[::-1]].max(axis=0)
    assert (mirrored > 2.0 / LENGTH).all()  # without training, each place gets 1 / 6


def test_every_parameter_of_every_part_moves() -> None:
    model = Tagger(causal=True)
    before = model.state_dict()
    trained(model, REVERSE, 1)
    still = [name for name, array in model.state_dict().items() if np.array_equal(array, before[name])]
    assert still == []
