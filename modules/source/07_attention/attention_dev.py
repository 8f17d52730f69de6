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
# # Module 07: Attention
#
# "The trophy does not fit into the suitcase because **it** is too big." What is too big? To know, one has to
# look back at *trophy*, many words away, and not at *suitcase*, which is nearer. A convolution looks at
# neighbours only. What we need is a layer in which every word decides **by content** where to look.
#
# That layer is *attention* (Bahdanau, Cho & Bengio, ICLR 2015; in today's form Vaswani et al., *Attention Is
# All You Need*, NeurIPS 2017). Each position asks a question, all positions offer an answer, and what comes
# back is a mixture of the answers, weighted by how well they match. It is a dictionary with soft look-up:
#
#     dictionary      the key that equals the query            -> its value
#     attention       every key, as far as it fits the query   -> a weighted mean of all values
#
# We build it from the inside out, up to the block that all transformers repeat:
#
# | | computes |
# |---|---|
# | `attention_weights`, `scaled_dot_product_attention` | the soft look-up |
# | `causal_mask` | who may look where in a text that is still being written |
# | `MultiHeadAttention` | several look-ups side by side, with learned questions |
# | `Embedding` | a learned vector for each token |
# | `sinusoidal_encoding`, `PositionalEncoding` | a pattern that tells positions apart |
# | `FeedForward`, `TransformerBlock` | attention plus a small network, ready to be stacked |
#
# A batch of sequences has the shape **(N, T, E)** everywhere: examples, positions ("time"), features.

# %%
#| default_exp core.attention

# %%
#| export
import math

import numpy as np
import numpy.typing as npt

from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.tensor import Tensor, randn, where

# %%
from tinytorch.core.tensor import get_recorder, set_recorder

# %% [markdown]
# ## 1. Scaled dot-product attention
#
# How well does a key fit a query? The simplest measure of likeness of two vectors is their dot product. For
# $T_q$ queries and $T_k$ keys, all the dot products are one matrix product. A softmax turns each row of
# scores into weights that are positive and sum to 1, and a second matrix product mixes the values
# (Vaswani et al., 2017, eq. 1):
#
# $$\operatorname{attention}(Q, K, V) =
#   \operatorname{softmax}\!\left(\frac{Q K^\top}{\sqrt d}\right) V$$
#
#     query (..., Tq, D)    key (..., Tk, D)    value (..., Tk, Dv)
#     weights (..., Tq, Tk), each row sums to 1             result (..., Tq, Dv)
#
# **Why divide by** $\sqrt d$? If the elements of $q$ and $k$ are independent with mean 0 and variance 1,
# their dot product is a sum of $d$ products and has variance $d$. For $d = 64$ typical scores are $\pm 8$;
# between two keys that means factors of $e^{16}$, so one weight is 1 and all others are 0. There the softmax
# is flat, and no gradient comes through. Divided by $\sqrt d$ the scores have variance 1 for any $d$.
#
#     q = [1, 0],   keys [1, 0], [0, 1],   d = 2
#     scores  [1, 0] / 1.414 = [0.707, 0]      weights  [2.028, 1] / 3.028 = [0.670, 0.330]
#
# **Masks.** Not everybody may look everywhere. A mask is a tensor of booleans, and here **True means "may
# look"**. (Others mark what is *forbidden*. When attention seems to do the opposite of what you want, look
# at this first.) The weights of masked keys are exactly 0.
#
# Many implementations *add* $-10^9$ to masked scores. That is no good in `float16`, whose largest number is
# 65504. And a row in which everything is masked then gets weights as if nothing were, while an added
# $-\infty$ would give NaN. Such rows are common: when sequences are padded to one length, the padding itself
# may have nobody to look at. Our decision: **a query that may look nowhere gets weights 0, and the result
# 0**. No gradient flows from it either.
#
# As $\operatorname{softmax}(s) = \operatorname{softmax}(s - c)$ for any $c$, we subtract the largest score
# that is not masked, so that no exponential overflows. The result does not depend on $c$, so $c$ needs no
# gradient, and is *detached*.
#
# One warning: 0 times NaN is NaN. What is masked still takes part in the second matrix product, with weight
# 0. So fill padding with zeros, not with NaN.


# %%
#| export
def _checked_vectors(owner: str, name: str, x: object, ndim: int | None = None) -> Tensor:
    """Return `x` if it is a tensor of float vectors along an axis of positions; otherwise raise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{owner}: {name} must be a Tensor, found {type(x).__name__}")
    if x.dtype.kind != "f":
        raise TypeError(f"{owner}: {name} must hold floats, found dtype {x.dtype}")
    if x.ndim < 2 or (ndim is not None and x.ndim != ndim):
        wanted = "(N, T, E)" if ndim == 3 else "(..., T, E)"
        raise ValueError(f"{owner}: {name} must have the shape {wanted}, found {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"{owner}: {name} must not be empty, found shape {x.shape}")
    return x


def _checked_mask(owner: str, mask: object, shape: tuple[int, ...]) -> Tensor:
    """Return a mask as a bool tensor if it broadcasts to `shape`; otherwise raise."""
    found = mask if isinstance(mask, Tensor) else Tensor(mask)
    if found.dtype != np.bool_:
        raise TypeError(f"{owner}: a mask holds bools (True = may look), found dtype {found.dtype}")
    try:
        fits = np.broadcast_shapes(found.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"{owner}: a mask of shape {found.shape} does not broadcast to the scores' {shape}")
    return found if found.ndim else found.reshape(1)


def attention_weights(
    query: Tensor, key: Tensor, mask: Tensor | npt.NDArray[np.bool_] | None = None
) -> Tensor:
    """Return how much each query looks at each key (Vaswani et al., 2017, eq. 1, without the values).

    Args:
        query: Floats of shape (..., Tq, D).
        key: Floats of shape (..., Tk, D); leading axes broadcast.
        mask: Bools that broadcast to (..., Tq, Tk); True where a query may look at a key. None: everywhere.

    Returns:
        Weights of shape (..., Tq, Tk): rows sum to 1, masked places are exactly 0. The row of a query that
        may look nowhere is all 0.

    Raises:
        TypeError: If query or key is no float tensor, or the mask does not hold bools.
        ValueError: If shapes do not fit or something is empty.
    """
    owner = "attention"
    queries, keys = _checked_vectors(owner, "query", query), _checked_vectors(owner, "key", key)
    width = queries.shape[-1]
    if keys.shape[-1] != width:
        raise ValueError(
            f"{owner}: query and key must have equally many features, found {queries.shape} and {keys.shape}"
        )
    scores = (queries * (1.0 / math.sqrt(width))) @ keys.swapaxes(-1, -2)
    if mask is None:
        exponentials = (scores - scores.detach().max(axis=-1, keepdims=True)).exp()
        return exponentials / exponentials.sum(axis=-1, keepdims=True)
    allowed = _checked_mask(owner, mask, scores.shape)
    largest = where(allowed, scores.detach(), -math.inf).max(axis=-1, keepdims=True)
    largest = where(largest == -math.inf, 0.0, largest)
    exponentials = where(allowed, (where(allowed, scores, largest) - largest).exp(), 0.0)
    nowhere = ~allowed.max(axis=-1, keepdims=True)  # such a row is divided by 1 instead of 0
    return exponentials / (exponentials.sum(axis=-1, keepdims=True) + nowhere.astype(scores.dtype))


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | npt.NDArray[np.bool_] | None = None
) -> Tensor:
    """Look up each query among the keys and mix the values accordingly (Vaswani et al., 2017, eq. 1).

    Args:
        query: Floats of shape (..., Tq, D).
        key: Floats of shape (..., Tk, D); leading axes broadcast.
        value: Floats of shape (..., Tk, Dv).
        mask: Bools that broadcast to (..., Tq, Tk); True where a query may look at a key. None: everywhere.

    Returns:
        A tensor of shape (..., Tq, Dv); zeros for a query that may look nowhere.

    Raises:
        TypeError: If query, key or value is no float tensor, or the mask does not hold bools.
        ValueError: If shapes do not fit or something is empty.
    """
    values = _checked_vectors("attention", "value", value)
    weights = attention_weights(query, key, mask)
    if values.shape[-2] != weights.shape[-1]:
        raise ValueError(
            f"attention: there must be one value per key, found {values.shape[-2]} values "
            f"and {weights.shape[-1]} keys"
        )
    return weights @ values


# %%
query = Tensor([[1.0, 0.0]])
key = Tensor([[1.0, 0.0], [0.0, 1.0]])
weights = attention_weights(query, key)
assert np.allclose(weights.numpy(), [[0.670, 0.330]], atol=1e-3)
value = Tensor([[10.0, 0.0, 0.0], [0.0, 10.0, 0.0]])
assert np.allclose(scaled_dot_product_attention(query, key, value).numpy(), [[6.70, 3.30, 0.0]], atol=1e-2)

# Masks: the first query may look at the second key only, the second query nowhere.
mask = Tensor([[False, True], [False, False]])
two = Tensor([[1.0, 0.0], [1.0, 0.0]])
assert attention_weights(two, key, mask).tolist() == [[0.0, 1.0], [0.0, 0.0]]
assert scaled_dot_product_attention(two, key, value, mask).tolist() == [[0.0, 10.0, 0.0], [0.0, 0.0, 0.0]]

huge = Tensor([[1e18, 0.0]])
assert attention_weights(huge, key * 1e18).tolist() == [[1.0, 0.0]]  # no overflow

# %% [markdown]
# The argument for $\sqrt d$ can be watched: without it, the largest weight creeps towards 1 as the vectors
# grow longer. (Multiplying the query by $\sqrt d$ undoes the division.)

# %%
generator = np.random.default_rng(0)
for width in (4, 64, 1024):
    queries, keys = (Tensor(generator.normal(size=(200, width))) for _ in range(2))
    scaled = attention_weights(queries, keys).max(axis=-1).mean().item()
    unscaled = attention_weights(queries * math.sqrt(width), keys).max(axis=-1).mean().item()
    assert scaled < 0.1
assert unscaled > 0.75  # at width 1024 nearly all weight lies on one key

try:
    attention_weights(query, key, Tensor([[1, 0]]))
except TypeError as error:
    message = str(error)
else:
    raise AssertionError("a mask of integers must be refused")
assert "True = may look" in message

# %% [markdown]
# ## 2. The causal mask
#
# A language model predicts the next word. While it learns, the whole text lies before it, and the easiest way
# to predict the next word is to look at it. So position $i$ may look at positions $j \le i$ only:
#
#     causal_mask(4)        True  False False False
#                           True  True  False False
#                           True  True  True  False
#                           True  True  True  True
#
# Thanks to the mask one pass over a text of $T$ words gives $T$ exercises in prediction at once. With more
# keys than queries (earlier words were computed before and kept) the **last** query is aligned with the last
# key:
#
#     causal_mask(2, 4)     True  True  True  False
#                           True  True  True  True
#
# Masks combine with `&`, for instance with one that hides padding: `causal_mask(T) & real` where `real` has
# the shape (N, 1, T).


# %%
#| export
def _whole(name: str, value: object, smallest: int = 1) -> int:
    """Return `value` as an int if it is a whole number of at least `smallest`; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an int, found {value!r}")
    if value < smallest:
        raise ValueError(f"{name} must be at least {smallest}, found {value}")
    return int(value)


def causal_mask(queries: int, keys: int | None = None) -> Tensor:
    """Return the mask with which nobody looks into the future: True on and below the diagonal.

    Args:
        queries: Number of queries, Tq.
        keys: Number of keys, Tk, at least `queries`; by default the same. The last query may see all keys.

    Returns:
        A bool tensor of shape (Tq, Tk).

    Raises:
        TypeError: If a number is not an int.
        ValueError: If `queries` is not positive, or `keys` is smaller than `queries`.
    """
    rows = _whole("queries", queries)
    columns = rows if keys is None else _whole("keys", keys)
    if columns < rows:
        raise ValueError(f"causal_mask needs at least as many keys as queries, found {columns} and {rows}")
    return Tensor(np.tri(rows, columns, columns - rows, dtype=np.bool_))


# %%
assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
assert causal_mask(2, 4).tolist() == [[True, True, True, False], [True, True, True, True]]
real = Tensor([[True, True, False]]).reshape(1, 1, 3)  # the third word is padding
assert (causal_mask(3) & real).tolist()[0][2] == [True, True, False]

# %% [markdown]
# ## 3. Multi-head attention
#
# So far nothing is learned. In a real layer, queries, keys and values are *linear maps* of the features: each
# position learns what to ask, what to offer as a key, and what to hand over.
#
# And one weighted mean is not much. A verb wants to know its subject *and* its object, and a mean of the two
# is neither. So the features are cut into $h$ slices, the **heads**, and each head looks up on its own
# (Vaswani et al., 2017, section 3.2.2):
#
# $$\begin{aligned}
#   \operatorname{head}_i &= \operatorname{attention}(X W^Q_i,\; Y W^K_i,\; Z W^V_i), \qquad
#   W^{Q,K,V}_i \in \mathbb R^{E \times E/h} \\
#   \operatorname{multihead}(X, Y, Z) &= [\operatorname{head}_1, \dots, \operatorname{head}_h]\, W^O
# \end{aligned}$$
#
# The last map $W^O$ mixes what the heads have found. As every head is $h$ times narrower, all together cost
# as much as one wide head.
#
# In the code, the $h$ small matrices lie side by side in one $E \times E$ matrix, and cutting into heads is a
# change of shape:
#
#     (N, T, E)  --Linear-->  (N, T, E)  --reshape-->  (N, T, h, E/h)  --transpose-->  (N, h, T, E/h)
#
# The heads become a batch axis, and the matrix products run over all of them at once. A common mistake is to
# reshape straight to (N, h, T, E/h). The shape is right, but the heads then get pieces of *positions* instead
# of pieces of *features*, and the network learns badly without any error.
#
# If all three inputs are the same, this is **self-attention**. If keys and values come from another sequence,
# such as the sentence to be translated, it is **cross-attention**.


# %%
#| export
class MultiHeadAttention(Layer):
    """Several attentions side by side, over learned maps of the inputs (Vaswani et al., 2017, 3.2.2).

    Args:
        features: Length E of the feature axis of inputs and output.
        heads: Number of heads; divides `features`.
        bias: Whether the linear maps have biases.
        rng: A NumPy generator or a seed for the initial weights; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        query, key, value, output: The four linear maps, each from E to E features.

    Raises:
        ValueError: If a number is not positive, or `heads` does not divide `features`.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        bias: bool = True,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.features = _whole("features", features)
        self.heads = _whole("heads", heads)
        if self.features % self.heads:
            raise ValueError(f"heads must divide features, found {heads} heads for {features} features")
        generator = np.random.default_rng(rng)
        self.query = Linear(features, features, bias, generator, dtype)
        self.key = Linear(features, features, bias, generator, dtype)
        self.value = Linear(features, features, bias, generator, dtype)
        self.output = Linear(features, features, bias, generator, dtype)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | npt.NDArray[np.bool_] | None = None,
    ) -> Tensor:
        """Look up the queries among the keys.

        Args:
            query: Floats of shape (N, Tq, E).
            key: Floats of shape (N, Tk, E); by default the query (self-attention).
            value: Floats of shape (N, Tk, E); by default the key.
            mask: Bools, True where a query may look at a key: of shape (Tq, Tk) for all examples and heads,
                (N, Tq, Tk) for all heads, or (N, heads, Tq, Tk); lengths of 1 broadcast. None: everywhere.

        Returns:
            A tensor of shape (N, Tq, E). A query that may look nowhere gets the output map's bias.

        Raises:
            TypeError: If an input is no float tensor, or the mask does not hold bools.
            ValueError: If shapes do not fit or something is empty.
        """
        key = query if key is None else key
        value = key if value is None else value
        for name, x in (("query", query), ("key", key), ("value", value)):
            shape = _checked_vectors("MultiHeadAttention", name, x, ndim=3).shape
            if shape[-1] != self.features:
                raise ValueError(
                    f"MultiHeadAttention: {name} must have {self.features} features, found {shape}"
                )
            if shape[0] != query.shape[0]:
                raise ValueError(
                    f"MultiHeadAttention: {name} must have {query.shape[0]} examples, found {shape}"
                )
        if key.shape[1] != value.shape[1]:
            raise ValueError(
                f"MultiHeadAttention: one value per key is needed, found {key.shape} and {value.shape}"
            )
        if mask is not None:
            shape = (query.shape[0], self.heads, query.shape[1], key.shape[1])
            mask = mask if isinstance(mask, Tensor) else Tensor(mask)
            if mask.ndim == 3:  # one mask per example, the same for all heads
                mask = mask.expand_dims(1)
            mask = _checked_mask("MultiHeadAttention", mask, shape)
        found = scaled_dot_product_attention(
            self._split(self.query(query)), self._split(self.key(key)), self._split(self.value(value)), mask
        )
        return self.output(found.swapaxes(1, 2).reshape(query.shape))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """Cut the features into heads: (N, T, E) becomes (N, heads, T, E / heads)."""
        n, positions, features = x.shape
        return x.reshape(n, positions, self.heads, features // self.heads).swapaxes(1, 2)

    def _describe(self) -> str:
        bias = ", bias=False" if self.query.bias is None else ""
        return f"{self.features}, heads={self.heads}{bias}"


# %%
attention = MultiHeadAttention(8, heads=2, rng=0, dtype=np.float64)
words = Tensor(generator.normal(size=(3, 5, 8)))
assert attention(words).shape == (3, 5, 8)
assert len(attention.parameters()) == 8
other = Tensor(generator.normal(size=(3, 7, 8)))
assert attention(words, other).shape == (3, 5, 8)  # cross-attention

# The heads one by one, from slices of the big matrices:
maps = attention.query, attention.key, attention.value
parts = []
for head in (slice(0, 4), slice(4, 8)):
    q, k, v = (words @ m.weight[:, head] + m.bias[head] for m in maps)
    parts.append(scaled_dot_product_attention(q, k, v).numpy())
expected = np.concatenate(parts, axis=-1) @ attention.output.weight.numpy() + attention.output.bias.numpy()
assert np.allclose(attention(words).numpy(), expected)

# With a causal mask, the past does not change when the future does:
changed = words.numpy()
changed[:, 3:] = 100.0
before = attention(words, mask=causal_mask(5)).numpy()
after = attention(Tensor(changed), mask=causal_mask(5)).numpy()
assert np.array_equal(before[:, :3], after[:, :3])
assert not np.allclose(before[:, 3:], after[:, 3:])

# %% [markdown]
# ## 4. Embeddings
#
# Words are not vectors but numbers in a list of words: "cat" is *token* 17. An embedding gives each token a
# vector of its own, row 17 of a table, and the table is learned. That is nothing but indexing:
# `table[tokens]`. On the way back, a row that was read several times collects the sum of its gradients; rows
# that were not read get none.
#
# The table starts with normal numbers of variance 1, on the same scale as the positional patterns below.
#
# A negative token would be valid for Python, which counts from the end, and silently be the wrong word.
# So it is refused.


# %%
#| export
class Embedding(Layer):
    """A table with a learned vector for every token.

    Args:
        tokens: Number of different tokens; they are 0 to tokens - 1.
        features: Length of each vector.
        rng: A NumPy generator or a seed for the initial table; None for a different one every time.
        dtype: A float dtype for the table.

    Attributes:
        weight: The table, of shape (tokens, features), at first standard normal.

    Raises:
        ValueError: If a number is not positive.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        tokens: int,
        features: int,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        self.tokens = _whole("tokens", tokens)
        self.features = _whole("features", features)
        self.weight = Parameter(randn((self.tokens, self.features), rng, dtype))

    def forward(self, tokens: Tensor | npt.NDArray[np.integer]) -> Tensor:
        """Look the tokens up.

        Args:
            tokens: Integers of any shape.

        Returns:
            A tensor of shape (*tokens.shape, features).

        Raises:
            TypeError: If the tokens are not integers.
            ValueError: If a token is not in the table.
        """
        indices = tokens if isinstance(tokens, Tensor) else Tensor(tokens)
        if indices.dtype.kind not in "iu":
            raise TypeError(f"Embedding expects integer tokens, found dtype {indices.dtype}")
        wrong = np.argwhere((indices.data < 0) | (indices.data >= self.tokens))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise ValueError(
                f"Embedding knows the tokens 0 to {self.tokens - 1}, found {indices.data[place]} at {place}"
            )
        return self.weight[indices]

    def _describe(self) -> str:
        return f"{self.tokens}, {self.features}"


# %%
embedding = Embedding(10, 4, rng=0)
sentence = Tensor([[1, 2, 1]])
vectors = embedding(sentence)
assert vectors.shape == (1, 3, 4)
assert np.array_equal(vectors.numpy()[0, 0], vectors.numpy()[0, 2])  # the same token, the same vector
try:
    embedding(Tensor([[1, 10]]))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a token that is not in the table must be refused")
assert message == "Embedding knows the tokens 0 to 9, found 10 at (0, 1)"

# %% [markdown]
# ## 5. Where am I?
#
# Attention is blind to order. Shuffle the words, and the results are shuffled in the same way, otherwise
# unchanged: "dog bites man" and "man bites dog" are the same to it.

# %%
shuffle = [3, 0, 4, 1, 2]
assert np.allclose(attention(words[:, shuffle]).numpy(), attention(words).numpy()[:, shuffle])

# %% [markdown]
# So the position has to be written into the features. Vaswani et al. (2017, section 3.5) add a pattern of
# waves of different lengths to the vectors:
#
# $$P_{t,\,2i} = \sin\frac{t}{10000^{2i/E}}, \qquad P_{t,\,2i+1} = \cos\frac{t}{10000^{2i/E}},
#   \qquad i = 0, \dots, \tfrac E2 - 1 .$$
#
# Think of a clock. The first pair of features is the second hand, which turns fast; the last is an hour hand
# that hardly moves. Together they tell the time. And a step of $k$ positions turns each hand by a fixed
# angle, $\omega k$, wherever one starts:
#
# $$\begin{pmatrix}\sin\omega(t + k)\\ \cos\omega(t + k)\end{pmatrix} =
#   \begin{pmatrix}\cos\omega k & \sin\omega k\\ -\sin\omega k & \cos\omega k\end{pmatrix}
#   \begin{pmatrix}\sin\omega t\\ \cos\omega t\end{pmatrix}$$
#
# So "three words back" is a linear map of the pattern, the same one everywhere, and a linear map is what
# queries and keys can learn.
#
#     E = 4     t = 0:  [0, 1, 0, 1]        t = 1:  [sin 1, cos 1, sin 0.01, cos 0.01]
#
# The pattern is computed in `float64`. In `float32`, the sine of a large angle has lost digits.


# %%
#| export
def _wave_table(length: int, features: int) -> npt.NDArray[np.float64]:
    """Return the sinusoidal pattern as an array of shape (length, features)."""
    frequencies = 10000.0 ** (-np.arange(0, features, 2) / features)
    angles = np.arange(length)[:, None] * frequencies
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, features)


def _even(features: object) -> int:
    """Return a positive, even number of features; raise otherwise."""
    number = _whole("features", features)
    if number % 2:
        raise ValueError(f"features must be even, as sines and cosines come in pairs, found {number}")
    return number


def sinusoidal_encoding(length: int, features: int, dtype: npt.DTypeLike = np.float32) -> Tensor:
    """Return a pattern that tells positions apart (Vaswani et al., 2017, section 3.5).

    Args:
        length: Number of positions T.
        features: Length E of each vector; even.
        dtype: A float dtype.

    Returns:
        A tensor of shape (T, E): sines in the even columns, cosines in the odd ones.

    Raises:
        ValueError: If a number is not positive, or `features` is odd.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """
    if np.dtype(dtype).kind != "f":
        raise TypeError(f"sinusoidal_encoding needs a float dtype, found {np.dtype(dtype)}")
    return Tensor(_wave_table(_whole("length", length), _even(features)), dtype)


class PositionalEncoding(Layer):
    """Add the sinusoidal pattern to the features (Vaswani et al., 2017, section 3.5). Nothing is learned.

    Args:
        features: Length E of the feature axis; even.
        max_length: The longest sequence that may come.

    Raises:
        ValueError: If a number is not positive, or `features` is odd.
        TypeError: If a number is not an int.
    """

    def __init__(self, features: int, max_length: int = 1024) -> None:
        self.features = _even(features)
        self.max_length = _whole("max_length", max_length)
        self._table = _wave_table(self.max_length, self.features)

    def forward(self, x: Tensor) -> Tensor:
        """Add the pattern of positions 0 to T - 1.

        Args:
            x: Floats of shape (..., T, features).

        Returns:
            A tensor of the same shape and dtype.

        Raises:
            TypeError: If `x` is no float tensor.
            ValueError: If it has another number of features, or is too long or empty.
        """
        length, features = _checked_vectors("PositionalEncoding", "input", x).shape[-2:]
        if features != self.features:
            raise ValueError(f"PositionalEncoding: {self.features} features expected, found {x.shape}")
        if length > self.max_length:
            raise ValueError(
                f"PositionalEncoding: at most {self.max_length} positions expected, found {length}"
            )
        return x + self._table[:length].astype(x.dtype)

    def _describe(self) -> str:
        return f"{self.features}, max_length={self.max_length}"


# %%
pattern = sinusoidal_encoding(50, 16, np.float64)
assert pattern[0].tolist() == [0.0, 1.0] * 8
assert np.allclose(sinusoidal_encoding(2, 4)[1].numpy(), [0.84147, 0.54030, 0.0099998, 0.99995])

# Three steps back is one and the same linear map at every position:
step, *_ = np.linalg.lstsq(pattern.numpy()[3:], pattern.numpy()[:-3], rcond=None)
assert np.allclose(pattern.numpy()[3:] @ step, pattern.numpy()[:-3])

# With positions, order matters:
placed = PositionalEncoding(8)
assert not np.allclose(
    attention(placed(words[:, shuffle])).numpy(), attention(placed(words)).numpy()[:, shuffle]
)

# %% [markdown]
# ## 6. The transformer block
#
# Attention moves information *between* positions, but it only takes means. To compute something from what
# was collected, a small network follows, the same one at each position (Vaswani et al., 2017, section 3.3),
# here with the activation GELU, $x\,\Phi(x)$, where $\Phi$ is the distribution function of the standard
# normal distribution (Hendrycks & Gimpel, arXiv:1606.08415, 2016):
#
# $$\operatorname{ff}(x) = \operatorname{gelu}(x W_1 + b_1)\, W_2 + b_2, \qquad
#   \operatorname{gelu}(x) = \frac x2 \left(1 + \operatorname{erf}\frac{x}{\sqrt 2}\right)$$
#
# It is usually four times as wide inside, and holds two thirds of a transformer's weights.
#
# Two things make it possible to stack dozens of blocks. **Residual connections** (He et al., *Deep Residual
# Learning*, CVPR 2016): each part computes a *correction*, $x + f(x)$, so that gradients have a straight way
# through the sum. And **layer normalisation**, which keeps the scale. Where to put it? Vaswani et al.
# normalise after the sum, which blocks the straight way; deep stacks then need a careful "warm-up". Before
# the part ("pre-norm") the way stays free (Xiong et al., *On Layer Normalization in the Transformer
# Architecture*, ICML 2020), and that is what we do:
#
# $$\begin{aligned}
#   x &\leftarrow x + \operatorname{attention}(\operatorname{norm}_1(x)) \\
#   x &\leftarrow x + \operatorname{ff}(\operatorname{norm}_2(x))
# \end{aligned}$$
#
# Dropout, if wanted, acts on each correction before it is added (Vaswani et al., 2017, section 5.4). At the
# very end of a stack of pre-norm blocks one more `LayerNorm` is needed, since nothing normalises the sum.


# %%
#| export
def _gelu(x: Tensor) -> Tensor:
    """Return x times the standard normal distribution function of x (Hendrycks & Gimpel, 2016)."""
    return x * 0.5 * ((x * math.sqrt(0.5)).erf() + 1.0)


class FeedForward(Layer):
    """Two linear maps with GELU between them, at each position alone (Vaswani et al., 2017, section 3.3).

    Args:
        features: Length E of the last axis of input and output.
        hidden: Length of the last axis in between; by default 4 * features.
        rng: A NumPy generator or a seed for the initial weights; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        widen: The linear map from E to `hidden` features.
        narrow: The linear map back.

    Raises:
        ValueError: If a number is not positive.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        features: int,
        hidden: int | None = None,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        width = 4 * _whole("features", features) if hidden is None else _whole("hidden", hidden)
        generator = np.random.default_rng(rng)
        self.widen = Linear(features, width, rng=generator, dtype=dtype)
        self.narrow = Linear(width, features, rng=generator, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the network at each position.

        Args:
            x: Floats of shape (..., features).

        Returns:
            A tensor of the same shape.

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If its last axis has another length.
        """
        return self.narrow(_gelu(self.widen(x)))  # type: ignore[no-any-return]


class TransformerBlock(Layer):
    """Self-attention and a feed-forward network, each as a correction to its normalised input ("pre-norm").

    Source: Vaswani et al., 2017, with the order of Xiong et al., 2020.

    Args:
        features: Length E of the feature axis.
        heads: Number of attention heads; divides `features`.
        hidden: Width of the feed-forward network; by default 4 * features.
        dropout: Probability that an element of a correction is dropped while training.
        rng: A NumPy generator or a seed for initial weights and dropout; None for different ones every time.
        dtype: A float dtype for the parameters.

    Raises:
        ValueError: If a number is out of range, or `heads` does not divide `features`.
        TypeError: If a number is not an int, or `dtype` is no float dtype.
    """

    def __init__(
        self,
        features: int,
        heads: int,
        hidden: int | None = None,
        dropout: float = 0.0,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        generator = np.random.default_rng(rng)
        self.attention_norm = LayerNorm(features, dtype=dtype)
        self.attention = MultiHeadAttention(features, heads, rng=generator, dtype=dtype)
        self.feed_forward_norm = LayerNorm(features, dtype=dtype)
        self.feed_forward = FeedForward(features, hidden, generator, dtype)
        self.dropout = Dropout(dropout, generator)

    def forward(self, x: Tensor, mask: Tensor | npt.NDArray[np.bool_] | None = None) -> Tensor:
        """Compute the block.

        Args:
            x: Floats of shape (N, T, features).
            mask: Bools, True where a position may look; shapes as for `MultiHeadAttention`.

        Returns:
            A tensor of the same shape.

        Raises:
            TypeError: If `x` is no float tensor, or the mask does not hold bools.
            ValueError: If shapes do not fit or `x` is empty.
        """
        _checked_vectors("TransformerBlock", "input", x, ndim=3)
        x = x + self.dropout(self.attention(self.attention_norm(x), mask=mask))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))  # type: ignore[no-any-return]


# %%
assert np.allclose(_gelu(Tensor([-1.0, 0.0, 1.0])).numpy(), [-0.1587, 0.0, 0.8413], atol=1e-4)

block = TransformerBlock(8, heads=2, dropout=0.5, rng=0)
x = Tensor(generator.normal(size=(3, 5, 8)).astype(np.float32))
assert block(x).shape == (3, 5, 8)
assert not np.array_equal(block(x).numpy(), block(x).numpy())  # dropout
block.eval()
assert np.array_equal(block(x).numpy(), block(x).numpy())
weights = sum(parameter.size for parameter in block.feed_forward.parameters())
assert 0.6 < weights / sum(parameter.size for parameter in block.parameters()) < 0.7

# %% [markdown]
# A complete language model, up to learning: tokens in, a score for every possible next token out. The table
# of the embedding serves at the end once more, as the output matrix ("weight tying", Press & Wolf,
# EACL 2017).


# %%
class LanguageModel(Layer):
    def __init__(self, tokens, features, heads, depth, rng):
        rng = np.random.default_rng(rng)
        self.embedding = Embedding(tokens, features, rng)
        self.position = PositionalEncoding(features)
        self.blocks = [TransformerBlock(features, heads, rng=rng) for _ in range(depth)]
        self.norm = LayerNorm(features)

    def forward(self, tokens):
        x = self.position(self.embedding(tokens))
        mask = causal_mask(tokens.shape[1])
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.embedding.weight.T


model = LanguageModel(tokens=20, features=16, heads=4, depth=2, rng=0).eval()
text = Tensor([[3, 1, 4, 1, 5, 9]])
scores = model(text).numpy()
assert scores.shape == (1, 6, 20)
assert np.allclose(model(text[:, :3]).numpy(), scores[:, :3], atol=1e-4)  # the future changes nothing


class Listener:
    def __init__(self):
        self.names = []

    def record(self, primitive, inputs, output, params):
        self.names.append(primitive.name)

    def backward(self, tensor, gradient):
        raise NotImplementedError


listener, previous = Listener(), get_recorder()
set_recorder(listener)
attention_weights(query, key)
set_recorder(previous)
assert listener.names == ["multiply", "transpose", "matmul", "max", "subtract", "exp", "sum", "divide"]

# %% [markdown]
# ## What it costs
#
# The table of weights has $T^2$ elements per head. A text twice as long needs four times the memory and
# four times the computation; that is the price for letting everybody look everywhere. For short texts the
# linear maps, $O(T E^2)$, cost more than the table, $O(T^2 E)$.
#
# ## Summary
#
# - Attention is a soft look-up: weights from matching queries with keys, a weighted mean of the values.
# - $1/\sqrt d$ keeps the softmax where it has a slope. True in a mask means "may look"; who may look nowhere
#   gets zeros.
# - Heads are a batch axis; they are cut from the *features*.
# - Attention does not know order; positions are added to the features.
# - A pre-norm block adds corrections to a stream that runs straight through.
#
# ## Exercises
#
# 1. Compute the attention of two queries and three keys by hand, then check it.
# 2. When a text is written word by word, the keys and values of earlier words do not change. Keep them, and
#    compute one new query per step with `causal_mask(1, T)`. Compare with the full computation.
# 3. Count the parameters of a model with 12 blocks of 768 features and 50,000 tokens.
# 4. Replace the sinusoids by a learned `Embedding` of positions. What happens beyond the longest training
#    text?
# 5. Give attention a *window*: position $i$ sees $i - w$ to $i$ only. Write the mask. How many such layers
#    does it take until a word can reach one that stands 1,000 positions later?
