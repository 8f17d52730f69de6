"""Unit tests of core.attention: values against independent formulas, masks, causality, and every refusal."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.attention import (
    Embedding,
    FeedForward,
    MultiHeadAttention,
    PositionalEncoding,
    TransformerBlock,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
    sinusoidal_encoding,
)
from tinytorch.core.layers import Layer
from tinytorch.core.tensor import Tensor, set_recorder

FEW = settings(max_examples=40, derandomize=True, deadline=None)


def numbers(*shape: int, seed: int = 0, dtype: str = "float64") -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def row_by_row(q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Attention of matrices by the definition, one query at a time, over the keys it may look at."""
    result = np.zeros((len(q), v.shape[1]))
    for i, query in enumerate(q):
        seen = np.flatnonzero(np.ones(len(k)) if mask is None else mask[i])
        factors = [math.exp(float(query @ k[j]) / math.sqrt(q.shape[1])) for j in seen]
        for factor, j in zip(factors, seen, strict=True):
            result[i] += factor / math.fsum(factors) * v[j]
    return result


def linear(layer: Any, x: np.ndarray) -> np.ndarray:
    return x @ layer.weight.data + (0.0 if layer.bias is None else layer.bias.data)


def normal(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * np.vectorize(lambda z: 0.5 * (1.0 + math.erf(z / math.sqrt(2.0))))(x)


def multihead(
    layer: MultiHeadAttention, q: np.ndarray, k: np.ndarray, v: np.ndarray, mask: Any = None
) -> np.ndarray:
    """Multi-head attention of batches, example by example and head by head; mask (N, heads, Tq, Tk)."""
    width = layer.features // layer.heads
    queries, keys, values = linear(layer.query, q), linear(layer.key, k), linear(layer.value, v)
    found = np.zeros(q.shape)
    for n, h in np.ndindex(len(q), layer.heads):
        part = slice(h * width, (h + 1) * width)
        found[n, :, part] = row_by_row(
            queries[n, :, part], keys[n, :, part], values[n, :, part], None if mask is None else mask[n, h]
        )
    return linear(layer.output, found)


@pytest.fixture(autouse=True)
def no_recorder() -> Iterator[None]:
    previous = set_recorder(None)
    yield
    set_recorder(previous)


class TestScaledDotProductAttention:
    @FEW
    @given(
        lengths=st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4)),
        density=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
        seed=st.integers(0, 100),
    )
    def test_agrees_with_the_definition(self, lengths: Any, density: float, seed: int) -> None:
        tq, tk, d, dv = lengths
        q, k, v = numbers(tq, d, seed=seed), numbers(tk, d, seed=seed + 1), numbers(tk, dv, seed=seed + 2)
        found = scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(v))
        np.testing.assert_allclose(found.data, row_by_row(q, k, v), rtol=1e-10, atol=1e-12)
        mask = np.random.default_rng(seed).random((tq, tk)) < density
        found = scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(v), Tensor(mask))
        np.testing.assert_allclose(found.data, row_by_row(q, k, v, mask), rtol=1e-10, atol=1e-12)

    def test_leading_axes_are_a_batch_and_broadcast(self) -> None:
        q, k, v = numbers(2, 3, 4, 5), numbers(3, 6, 5, seed=1), numbers(1, 1, 6, 2, seed=2)
        found = scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(v)).data
        assert found.shape == (2, 3, 4, 2)
        for i, j in np.ndindex(2, 3):
            np.testing.assert_allclose(found[i, j], row_by_row(q[i, j], k[j], v[0, 0]), rtol=1e-10)

    def test_weights_sum_to_one_or_zero(self) -> None:
        q, k = Tensor(numbers(2, 5, 3)), Tensor(numbers(2, 4, 3, seed=1))
        np.testing.assert_allclose(attention_weights(q, k).data.sum(-1), 1.0)
        mask = np.random.default_rng(0).random((2, 5, 4)) < 0.4
        mask[0, 1] = False
        weights = attention_weights(q, k, mask).data
        assert not weights[~mask].any()
        assert (weights[mask] > 0.0).all()
        np.testing.assert_allclose(weights.sum(-1), mask.any(-1))

    def test_a_query_that_may_look_nowhere_gets_zeros(self) -> None:
        q, k, v = Tensor(numbers(2, 3)), Tensor(numbers(4, 3)), Tensor(numbers(4, 2) + 10.0)
        mask = np.array([[False] * 4, [True] * 4])
        found = scaled_dot_product_attention(q, k, v, mask).data
        assert found[0].tolist() == [0.0, 0.0]
        assert (found[1] > 5.0).all()

    def test_true_means_may_look(self) -> None:
        q, k, v = Tensor(numbers(1, 3)), Tensor(numbers(2, 3)), Tensor([[1.0], [2.0]])
        assert scaled_dot_product_attention(q, k, v, np.array([[False, True]])).item() == 2.0

    def test_a_mask_of_true_changes_nothing(self) -> None:
        q, k = Tensor(numbers(3, 2)), Tensor(numbers(4, 2))
        expected = attention_weights(q, k).data
        for mask in (np.ones((3, 4), bool), np.ones((1, 4), bool), np.ones((3, 1), bool), np.array(True)):
            np.testing.assert_allclose(attention_weights(q, k, mask).data, expected, rtol=1e-14)

    def test_masked_keys_do_not_matter(self) -> None:
        q, k, v = numbers(3, 4), numbers(5, 4, seed=1), numbers(5, 2, seed=2)
        mask = np.array([True, True, False, True, False])
        found = scaled_dot_product_attention(Tensor(q), Tensor(k), Tensor(v), mask).data
        np.testing.assert_allclose(found, row_by_row(q, k[mask], v[mask]), rtol=1e-12)

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_large_scores_do_not_overflow(self, dtype: str) -> None:
        q, k = Tensor(np.full((1, 4), 100.0, dtype)), Tensor(np.array([[100.0] * 4, [-100.0] * 4], dtype))
        for mask in (None, np.array([[True, True]])):
            weights = attention_weights(q, k, mask)
            assert weights.dtype == dtype
            assert weights.tolist() == [[1.0, 0.0]]
        assert attention_weights(q, k, np.array([[False, True]])).tolist() == [[0.0, 1.0]]
        assert attention_weights(q, k, np.array([[False, False]])).tolist() == [[0.0, 0.0]]

    def test_nan_is_not_hidden(self) -> None:
        q = numbers(2, 3)
        q[0, 0] = np.nan
        for mask in (None, np.ones((2, 4), bool)):
            found = attention_weights(Tensor(q), Tensor(numbers(4, 3)), mask).data
            assert np.isnan(found[0]).all()
            assert np.isfinite(found[1]).all()

    def test_shapes_that_do_not_fit(self) -> None:
        def t(*shape: int) -> Tensor:
            return Tensor(np.zeros(shape))

        with pytest.raises(ValueError, match=r"equally many features, found \(2, 3\) and \(4, 5\)"):
            scaled_dot_product_attention(t(2, 3), t(4, 5), t(4, 3))
        with pytest.raises(ValueError, match="one value per key, found 5 values and 4 keys"):
            scaled_dot_product_attention(t(2, 3), t(4, 3), t(5, 3))
        with pytest.raises(ValueError, match=r"query must have the shape \(\.\.\., T, E\), found \(3,\)"):
            scaled_dot_product_attention(t(3), t(4, 3), t(4, 3))
        with pytest.raises(ValueError, match=r"key must not be empty, found shape \(0, 3\)"):
            attention_weights(t(2, 3), t(0, 3))

    @pytest.mark.parametrize("shape", [(4, 2), (3,), (1, 2, 4), (2, 1, 4)])
    def test_masks_that_do_not_fit(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"does not broadcast to the scores' \(2, 4\)"):
            attention_weights(Tensor(numbers(2, 3)), Tensor(numbers(4, 3)), np.ones(shape, bool))

    def test_wrong_types(self) -> None:
        q = Tensor(numbers(2, 3))
        with pytest.raises(TypeError, match="query must be a Tensor, found ndarray"):
            attention_weights(q.data, q)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="key must hold floats, found dtype int64"):
            attention_weights(q, Tensor([[1, 2, 3]]))
        with pytest.raises(TypeError, match="value must be a Tensor, found list"):
            scaled_dot_product_attention(q, q, [[1.0]])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=r"bools \(True = may look\), found dtype float32"):
            attention_weights(q, q, Tensor([[0.0, -1e9], [0.0, 0.0]]))


class TestCausalMask:
    @FEW
    @given(queries=st.integers(1, 6), more=st.integers(0, 4))
    def test_the_last_query_sees_the_last_key(self, queries: int, more: int) -> None:
        mask = causal_mask(queries, queries + more).data
        assert mask.dtype == bool
        for i, j in np.ndindex(queries, queries + more):
            assert mask[i, j] == (j <= i + more)

    def test_square_by_default(self) -> None:
        assert np.array_equal(causal_mask(4).data, np.tril(np.ones((4, 4), bool)))

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="at least as many keys as queries, found 2 and 3"):
            causal_mask(3, 2)
        with pytest.raises(ValueError, match="queries must be at least 1, found 0"):
            causal_mask(0)
        with pytest.raises(TypeError, match=r"keys must be an int, found 2\.0"):
            causal_mask(1, 2.0)  # type: ignore[arg-type]


class TestMultiHeadAttention:
    @pytest.mark.parametrize("heads", [1, 2, 6])
    @pytest.mark.parametrize("bias", [True, False])
    def test_agrees_with_the_definition(self, heads: int, bias: bool) -> None:
        layer = MultiHeadAttention(6, heads, bias, rng=0, dtype=np.float64)
        for part in (layer.query, layer.key, layer.value, layer.output):
            if part.bias is not None:
                part.bias.data = numbers(6, seed=3)
        q, k, v = numbers(2, 3, 6), numbers(2, 5, 6, seed=1), numbers(2, 5, 6, seed=2)
        np.testing.assert_allclose(layer(Tensor(q)).data, multihead(layer, q, q, q), rtol=1e-10)
        np.testing.assert_allclose(layer(Tensor(q), Tensor(k)).data, multihead(layer, q, k, k), rtol=1e-10)
        np.testing.assert_allclose(
            layer(Tensor(q), Tensor(k), Tensor(v)).data, multihead(layer, q, k, v), rtol=1e-10
        )

    @pytest.mark.parametrize(
        "shape", [(3, 5), (5,), (1, 3, 5), (2, 3, 5), (2, 1, 5), (2, 1, 3, 5), (2, 2, 3, 5)]
    )
    def test_masks_of_every_shape(self, shape: tuple[int, ...]) -> None:
        layer = MultiHeadAttention(4, 2, rng=0, dtype=np.float64)
        q, k = numbers(2, 3, 4), numbers(2, 5, 4, seed=1)
        mask = np.random.default_rng(4).random(shape) < 0.6
        per_example = mask[:, None] if mask.ndim == 3 else mask
        full = np.broadcast_to(per_example, (2, 2, 3, 5))
        expected = multihead(layer, q, k, k, full)
        np.testing.assert_allclose(
            layer(Tensor(q), Tensor(k), mask=mask).data, expected, rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(
            layer(Tensor(q), Tensor(k), mask=Tensor(mask)).data, expected, rtol=1e-10, atol=1e-12
        )

    def test_looking_nowhere_gives_the_output_bias(self) -> None:
        layer = MultiHeadAttention(4, 2, rng=0, dtype=np.float64)
        layer.output.bias.data = numbers(4, seed=1)
        found = layer(Tensor(numbers(1, 3, 4)), mask=np.zeros((3, 3), bool)).data
        np.testing.assert_allclose(found, np.broadcast_to(layer.output.bias.data, (1, 3, 4)), atol=1e-14)

    def test_the_future_does_not_reach_the_past(self) -> None:
        layer = MultiHeadAttention(4, 2, rng=0, dtype=np.float64)
        x = numbers(1, 6, 4)
        before = layer(Tensor(x), mask=causal_mask(6)).data
        x[:, 4:] += 100.0
        after = layer(Tensor(x), mask=causal_mask(6)).data
        assert np.array_equal(before[:, :4], after[:, :4])
        assert not np.isclose(before[:, 4:], after[:, 4:]).any()

    def test_one_query_at_a_time_gives_the_same(self) -> None:
        layer = MultiHeadAttention(4, 2, rng=0, dtype=np.float64)
        x = numbers(2, 5, 4)
        together = layer(Tensor(x), mask=causal_mask(5)).data
        for t in range(5):
            past = Tensor(x[:, : t + 1])
            step = layer(Tensor(x[:, t : t + 1]), past, mask=causal_mask(1, t + 1)).data
            np.testing.assert_allclose(step[:, 0], together[:, t], rtol=1e-10)

    def test_blind_to_order(self) -> None:
        layer = MultiHeadAttention(6, 3, rng=0, dtype=np.float64)
        x, order = numbers(2, 5, 6), [4, 2, 0, 1, 3]
        np.testing.assert_allclose(
            layer(Tensor(x[:, order])).data, layer(Tensor(x)).data[:, order], rtol=1e-10
        )

    def test_parameters(self) -> None:
        layer = MultiHeadAttention(6, 3)
        names = [
            f"{part}.{kind}" for part in ("query", "key", "value", "output") for kind in ("weight", "bias")
        ]
        assert [name for name, _ in layer.named_parameters()] == names
        weights = [layer.query, layer.key, layer.value, layer.output]
        assert len({part.weight.data.tobytes() for part in weights}) == 4  # no two start alike

    def test_a_seed_repeats_the_weights(self) -> None:
        first, second = MultiHeadAttention(4, 2, rng=5), MultiHeadAttention(4, 2, rng=5)
        assert all(
            np.array_equal(a.data, b.data)
            for a, b in zip(first.parameters(), second.parameters(), strict=True)
        )

    def test_float32_stays(self) -> None:
        x = Tensor(numbers(1, 3, 4, dtype="float32"))
        assert MultiHeadAttention(4, 2)(x, mask=causal_mask(3)).dtype == np.float32

    def test_refusals(self) -> None:
        layer = MultiHeadAttention(4, 2)
        x = Tensor(numbers(2, 3, 4))
        with pytest.raises(ValueError, match="heads must divide features, found 3 heads for 4 features"):
            MultiHeadAttention(4, 3)
        with pytest.raises(ValueError, match="heads must be at least 1"):
            MultiHeadAttention(4, 0)
        with pytest.raises(ValueError, match=r"query must have the shape \(N, T, E\), found \(3, 4\)"):
            layer(x[0])
        with pytest.raises(ValueError, match=r"key must have 4 features, found \(2, 3, 5\)"):
            layer(x, Tensor(numbers(2, 3, 5)))
        with pytest.raises(ValueError, match=r"key must have 2 examples, found \(1, 3, 4\)"):
            layer(x, Tensor(numbers(1, 3, 4)))
        with pytest.raises(
            ValueError, match=r"one value per key is needed, found \(2, 3, 4\) and \(2, 5, 4\)"
        ):
            layer(x, x, Tensor(numbers(2, 5, 4)))
        with pytest.raises(ValueError, match=r"mask of shape \(4, 4\) does not broadcast"):
            layer(x, mask=causal_mask(4))
        with pytest.raises(TypeError, match="True = may look"):
            layer(x, mask=np.ones((3, 3)))
        with pytest.raises(TypeError, match="query must be a Tensor, found ndarray"):
            layer(x.data)

    def test_repr(self) -> None:
        assert repr(MultiHeadAttention(4, 2, bias=False)) == "MultiHeadAttention(4, heads=2, bias=False)"


class TestEmbedding:
    @pytest.mark.parametrize("shape", [(), (4,), (2, 3), (0,), (2, 1, 2)])
    def test_rows_of_the_table(self, shape: tuple[int, ...]) -> None:
        layer = Embedding(7, 3, rng=0)
        tokens = np.random.default_rng(1).integers(0, 7, shape)
        expected = layer.weight.data[tokens]
        assert expected.shape == (*shape, 3)
        np.testing.assert_array_equal(layer(tokens).data, expected)
        np.testing.assert_array_equal(layer(Tensor(tokens)).data, expected)

    def test_initial_table(self) -> None:
        table = Embedding(500, 40, rng=0).weight.data
        assert table.dtype == np.float32
        assert table.std() == pytest.approx(1.0, abs=0.02)

    @pytest.mark.parametrize(
        ("tokens", "message"),
        [
            ([[0, 5]], r"tokens 0 to 4, found 5 at \(0, 1\)"),
            ([-1], r"found -1 at \(0,\)"),
            (5, r"found 5 at \(\)"),
        ],
    )
    def test_tokens_that_are_not_in_the_table(self, tokens: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Embedding(5, 2)(Tensor(tokens))

    @pytest.mark.parametrize("tokens", [[1.0], [True]])
    def test_tokens_are_integers(self, tokens: Any) -> None:
        with pytest.raises(TypeError, match="expects integer tokens, found dtype"):
            Embedding(5, 2)(Tensor(tokens))

    def test_bad_settings(self) -> None:
        with pytest.raises(ValueError, match="tokens must be at least 1"):
            Embedding(0, 2)
        with pytest.raises(TypeError, match="features must be an int"):
            Embedding(2, 2.5)  # type: ignore[arg-type]


class TestPositions:
    @FEW
    @given(length=st.integers(1, 40), half=st.integers(1, 8))
    def test_agrees_with_the_paper(self, length: int, half: int) -> None:
        found = sinusoidal_encoding(length, 2 * half, np.float64).data
        assert found.shape == (length, 2 * half)
        for t, i in np.ndindex(length, half):
            angle = t / 10000 ** (2 * i / (2 * half))
            assert found[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-12)
            assert found[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-12)

    def test_float32_is_the_rounded_float64(self) -> None:
        exact = sinusoidal_encoding(5000, 8, np.float64).data
        found = sinusoidal_encoding(5000, 8)
        assert found.dtype == np.float32
        assert np.array_equal(found.data, exact.astype(np.float32))

    def test_no_two_positions_are_alike(self) -> None:
        pattern = sinusoidal_encoding(200, 16, np.float64).data
        distances = np.linalg.norm(pattern[:, None] - pattern[None], axis=-1)
        assert distances[~np.eye(200, dtype=bool)].min() > 0.1

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_the_layer_adds_the_pattern(self, dtype: str) -> None:
        x = Tensor(np.ones((2, 5, 4), dtype))
        found = PositionalEncoding(4, max_length=5)(x)
        assert found.dtype == dtype
        np.testing.assert_allclose(found.data[1], 1.0 + sinusoidal_encoding(5, 4).data, atol=2e-3)

    def test_nothing_is_learned_or_saved(self) -> None:
        assert PositionalEncoding(4).parameters() == []
        assert PositionalEncoding(4).state_dict() == {}

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match=r"features must be even.*found 3"):
            sinusoidal_encoding(4, 3)
        with pytest.raises(ValueError, match="length must be at least 1"):
            sinusoidal_encoding(0, 4)
        with pytest.raises(TypeError, match="float dtype, found int64"):
            sinusoidal_encoding(4, 4, np.int64)
        with pytest.raises(ValueError, match="at most 3 positions expected, found 5"):
            PositionalEncoding(4, max_length=3)(Tensor(np.ones((1, 5, 4))))
        with pytest.raises(ValueError, match=r"4 features expected, found \(1, 5, 6\)"):
            PositionalEncoding(4)(Tensor(np.ones((1, 5, 6))))
        with pytest.raises(TypeError, match="must hold floats"):
            PositionalEncoding(4)(Tensor(np.ones((1, 5, 4), int)))


class TestTransformerBlock:
    def test_feed_forward_agrees_with_the_definition(self) -> None:
        layer = FeedForward(4, 7, rng=0, dtype=np.float64)
        x = numbers(2, 3, 4)
        expected = linear(layer.narrow, gelu(linear(layer.widen, x)))
        np.testing.assert_allclose(layer(Tensor(x)).data, expected, rtol=1e-10, atol=1e-12)
        assert FeedForward(4).widen.out_features == 16

    def test_the_block_agrees_with_the_definition(self) -> None:
        block = TransformerBlock(6, 2, hidden=5, rng=0, dtype=np.float64)
        x = numbers(2, 4, 6) * 3.0 + 1.0
        mask = np.broadcast_to(np.tril(np.ones((4, 4), bool)), (2, 2, 4, 4))
        y = normal(x)
        middle = x + multihead(block.attention, y, y, y, mask)
        inner = gelu(linear(block.feed_forward.widen, normal(middle)))
        expected = middle + linear(block.feed_forward.narrow, inner)
        np.testing.assert_allclose(block(Tensor(x), causal_mask(4)).data, expected, rtol=1e-9)

    def test_without_corrections_it_is_the_identity(self) -> None:
        block = TransformerBlock(4, 2, rng=0)
        for last in (block.attention.output, block.feed_forward.narrow):
            last.weight.data = np.zeros(last.weight.shape, np.float32)
        x = numbers(2, 3, 4, dtype="float32")
        assert np.array_equal(block(Tensor(x)).data, x)

    def test_dropout_only_while_training(self) -> None:
        block = TransformerBlock(4, 2, dropout=0.5, rng=0)
        plain = TransformerBlock(4, 2, rng=0)
        x = Tensor(numbers(2, 3, 4, dtype="float32"))
        assert not np.array_equal(block(x).data, block(x).data)
        assert np.array_equal(block.eval()(x).data, plain(x).data)

    def test_the_state_of_one_block_fits_another(self) -> None:
        first, second = TransformerBlock(4, 2, rng=0), TransformerBlock(4, 2, rng=1)
        x = Tensor(numbers(2, 3, 4, dtype="float32"))
        assert not np.array_equal(first(x).data, second(x).data)
        second.load_state_dict(first.state_dict())
        assert np.array_equal(first(x).data, second(x).data)

    def test_number_of_parameters(self) -> None:
        block = TransformerBlock(8, 2)
        assert sum(p.size for p in block.parameters()) == 4 * (64 + 8) + (8 * 32 + 32) + (32 * 8 + 8) + 4 * 8

    def test_refusals(self) -> None:
        with pytest.raises(ValueError, match="heads must divide features"):
            TransformerBlock(5, 2)
        with pytest.raises(ValueError, match="hidden must be at least 1"):
            TransformerBlock(4, 2, hidden=0)
        with pytest.raises(ValueError, match="probability p"):
            TransformerBlock(4, 2, dropout=1.0)
        with pytest.raises(ValueError, match=r"TransformerBlock: input must have the shape \(N, T, E\)"):
            TransformerBlock(4, 2)(Tensor(numbers(3, 4)))


class TestRecord:
    """Every step passes the door, so that whoever records can differentiate it."""

    @pytest.mark.parametrize(
        ("layer", "options"),
        [
            (MultiHeadAttention(4, 2, rng=0), {}),
            (MultiHeadAttention(4, 2, rng=0), {"mask": causal_mask(3)}),
            (PositionalEncoding(4), {}),
            (FeedForward(4, rng=0), {}),
            (TransformerBlock(4, 2, dropout=0.5, rng=0), {"mask": causal_mask(3)}),
        ],
        ids=["attention", "masked attention", "positions", "feed-forward", "block"],
    )
    def test_records_lead_from_the_output_to_the_input_and_all_parameters(
        self, layer: Layer, options: Any
    ) -> None:
        x = Tensor(numbers(2, 3, 4, dtype="float32"))
        reached = self._origins(lambda: layer(x, **options))
        assert id(x) in reached
        assert {id(parameter) for parameter in layer.parameters()} <= reached

    def test_embedding(self) -> None:
        layer = Embedding(5, 2)
        assert id(layer.weight) in self._origins(lambda: layer(Tensor([1, 2])))

    def _origins(self, compute: Any) -> set[int]:
        """Return the ids of all tensors that a result was computed from, as the recorder saw it."""
        made_from: dict[int, tuple[Tensor, ...]] = {}
        kept: list[Tensor] = []  # alive, so that no id is used twice

        class Notes:
            def record(self, primitive: Any, inputs: Any, output: Tensor, params: Any) -> None:
                made_from[id(output)] = inputs
                kept.append(output)

            def backward(self, tensor: Any, gradient: Any) -> None:
                raise NotImplementedError

        set_recorder(Notes())
        waiting, reached = [compute()], set()
        while waiting:
            tensor = waiting.pop()
            if id(tensor) not in reached:
                reached.add(id(tensor))
                waiting.extend(made_from.get(id(tensor), ()))
        return reached
