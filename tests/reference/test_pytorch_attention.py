"""Attention agrees with PyTorch, forward and backward, with every kind of mask.

The masks are the opposite of those of `torch.nn.MultiheadAttention`: True says that a query may look.
"""

from typing import Any

import numpy as np
import pytest

from tests.reference.twins import (
    DTYPES,
    Pair,
    compare,
    copy_into,
    filled,
    linear_pairs,
    numbers,
    same_pairs,
    torch,
    twins,
)
from tinytorch.core.attention import (
    MultiHeadAttention,
    TransformerBlock,
    causal_mask,
    scaled_dot_product_attention,
)

THEIR_DTYPE = {np.float32: torch.float32, np.float64: torch.float64}
SOME = np.array([[True, False, True, True], [False, True, False, False], [True, True, True, True]])


def heads_pairs(ours: MultiHeadAttention, theirs: Any) -> list[Pair]:
    """Copy the four maps into PyTorch's attention, which stacks three of them, and pair the gradients."""
    maps = (ours.query, ours.key, ours.value)
    width = ours.features
    copy_into(theirs.in_proj_weight, np.concatenate([part.weight.data.T for part in maps]))
    pairs = linear_pairs(ours.output, theirs.out_proj)
    for number, part in enumerate(maps):
        rows = slice(number * width, (number + 1) * width)
        pairs.append(
            (
                lambda part=part: part.weight.grad.data.T,
                lambda rows=rows: theirs.in_proj_weight.grad.numpy()[rows],
            )
        )
        if part.bias is not None:
            copy_into(theirs.in_proj_bias[rows], part.bias.data)
            pairs.append((part.bias, lambda rows=rows: theirs.in_proj_bias.grad.numpy()[rows]))
    return pairs


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", [None, SOME, np.stack([SOME, ~SOME | np.eye(3, 4, dtype=bool)])[:, None]])
def test_scaled_dot_product(mask: Any, dtype: Any) -> None:
    inputs = [
        twins(numbers(seed, 2, 3, *shape), dtype) for seed, shape in enumerate([(3, 4), (4, 4), (4, 5)])
    ]
    ours, theirs = zip(*inputs, strict=True)
    compare(
        lambda: scaled_dot_product_attention(*ours, mask),
        lambda: torch.nn.functional.scaled_dot_product_attention(
            *theirs, attn_mask=None if mask is None else torch.from_numpy(mask)
        ),
        inputs,
        dtype,
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
def test_self_attention_with_a_causal_mask(bias: bool, dtype: Any) -> None:
    ours = MultiHeadAttention(6, 2, bias=bias, dtype=dtype)
    theirs = torch.nn.MultiheadAttention(6, 2, bias=bias, batch_first=True, dtype=THEIR_DTYPE[dtype])
    filled(ours.parameters())
    pairs = heads_pairs(ours, theirs)
    x, y = twins(numbers(1, 3, 5, 6), dtype)
    mask = causal_mask(5)
    hidden = torch.from_numpy(~mask.data)
    compare(lambda: ours(x, mask=mask), lambda: theirs(y, y, y, attn_mask=hidden)[0], [(x, y), *pairs], dtype)


@pytest.mark.parametrize("per_head", [False, True])
def test_attention_to_another_sequence(per_head: bool) -> None:
    ours = MultiHeadAttention(6, 3, dtype=np.float64)
    theirs = torch.nn.MultiheadAttention(6, 3, batch_first=True, dtype=torch.float64)
    filled(ours.parameters())
    pairs = heads_pairs(ours, theirs)
    inputs = [twins(numbers(seed, 2, length, 6)) for seed, length in enumerate([3, 4, 4])]
    query, key, value = (mine for mine, _ in inputs)
    mask = np.random.default_rng(0).random((2, 3, 3, 4)) < 0.6 if per_head else SOME
    mask = mask | np.eye(3, 4, dtype=bool)  # no query is left without a key
    hidden = torch.from_numpy(~mask.reshape(6, 3, 4) if per_head else ~mask)
    compare(
        lambda: ours(query, key, value, mask),
        lambda: theirs(*(other for _, other in inputs), attn_mask=hidden)[0],
        [*inputs, *pairs],
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_transformer_block(dtype: Any) -> None:
    """PyTorch's encoder layer is the same block if it normalises first and has GELU between its maps."""
    ours = TransformerBlock(6, 2, hidden=7, dtype=dtype)
    theirs = torch.nn.TransformerEncoderLayer(
        6, 2, 7, dropout=0.0, activation="gelu", batch_first=True, norm_first=True, dtype=THEIR_DTYPE[dtype]
    )
    filled(ours.parameters())
    pairs = [
        *same_pairs(ours.attention_norm, theirs.norm1),
        *heads_pairs(ours.attention, theirs.self_attn),
        *same_pairs(ours.feed_forward_norm, theirs.norm2),
        *linear_pairs(ours.feed_forward.widen, theirs.linear1),
        *linear_pairs(ours.feed_forward.narrow, theirs.linear2),
    ]
    x, y = twins(numbers(1, 2, 4, 6), dtype)
    mask = causal_mask(4)
    hidden = torch.from_numpy(~mask.data)
    compare(lambda: ours(x, mask), lambda: theirs(y, src_mask=hidden), [(x, y), *pairs], dtype)
