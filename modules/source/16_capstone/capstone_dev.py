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
# # Module 16: Capstone
#
# Every part has been built and tested alone. Now two whole machines are made of them:
#
# | | reads | answers | looks at its input through |
# |---|---|---|---|
# | a **character-level transformer** | a text | which character comes next | attention (module 07) |
# | an **image classifier** | an image | which class it shows | convolutions (module 06) |
#
# Nothing here is new mathematics. No derivative is written down, no weight is moved by hand, and no loop over
# batches appears. If the earlier modules are right, these two networks are a page of code each:
#
#     text --CharacterVocabulary--> tokens --CharacterWindows--> DataLoader --+
#                                                                             +--> Trainer --> a model that
#     images, labels ----------------TensorDataset-----------> DataLoader ----+              predicts
#
# What is new are the questions that come up when parts become a product. What does the model refuse, and
# does it say why? Which part of the data may it be judged on? How is a *text* made of a table of
# probabilities? And what do we know about a network whose loss went down?

# %%
#| default_exp core.capstone

# %%
#| export
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.activations import ReLU, softmax
from tinytorch.core.attention import Embedding, TransformerBlock, causal_mask
from tinytorch.core.autograd import no_grad
from tinytorch.core.dataloader import DataLoader, Dataset
from tinytorch.core.dense import Sequential
from tinytorch.core.layers import Dropout, Layer, LayerNorm, Linear, Parameter
from tinytorch.core.optimizers import AdamW, CosineLR
from tinytorch.core.spatial import BatchNorm2D, Conv2D, Flatten, MaxPool2D
from tinytorch.core.tensor import Tensor, concatenate
from tinytorch.core.training import CrossEntropyLoss, EarlyStopping, Trainer, accuracy

# %% [markdown]
# # Part one: a transformer that writes
#
# ## 1. From characters to numbers
#
# Networks compute with numbers, so each character gets one: its place in a list of all characters, the
# **vocabulary**. Real systems cut texts into longer pieces, with vocabularies of 50,000 and more (Radford et
# al., *Language Models are Unsupervised Multitask Learners*, 2019, section 2.2: the model known as GPT-2).
# With characters the list is short, nothing has to be learned to make it, and the network must find out by
# itself that there are words.
#
#     "abba"   ->   vocabulary "ab"   ->   [0, 1, 1, 0]   ->   "abba"
#
# Two decisions:
#
# - **The list is sorted.** The order of a Python `set` differs from one run to the next, and with it a saved
#   model would read every text as a secret code the next day.
# - **A character that is not in the list is refused**, with its place. To skip it, or to replace it by a
#   question mark, would hide that the model reads something else than what the user wrote.


# %%
#| export
def _natural(owner: str, name: str, value: object, least: int = 1) -> int:
    """Return `value` as an int if it is a whole number of at least `least`; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{owner}: {name} must be an int, found {value!r}")
    if value < least:
        raise ValueError(f"{owner}: {name} must be at least {least}, found {value}")
    return int(value)


def _within(owner: str, name: str, value: object, low: float, high: float) -> float:
    """Return `value` as a float if it is a number with low <= value < high; otherwise raise."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{owner}: {name} must be a number, found {value!r}")
    if not low <= value < high:
        bound = "finite" if high == math.inf else f"below {high}"
        raise ValueError(f"{owner}: {name} must be at least {low} and {bound}, found {value}")
    try:
        return float(value)
    except OverflowError as error:  # a whole number of Python may be larger than any float
        raise ValueError(f"{owner}: {name} must be a number that a float can hold, found {value}") from error


def _generator(owner: str, rng: object) -> np.random.Generator:
    """Return a generator from a generator, a seed of at least 0, or None."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    return np.random.default_rng(_natural(owner, "rng", rng, least=0))


def _checked_tokens(owner: str, tokens: object, count: int, ndim: int) -> npt.NDArray[np.integer[Any]]:
    """Return the array of a tensor of integers from 0 to `count` - 1 with `ndim` axes; otherwise raise."""
    if not isinstance(tokens, Tensor):
        raise TypeError(f"{owner} expects tokens as a Tensor, found {type(tokens).__name__}")
    if tokens.dtype.kind not in "iu":
        raise TypeError(f"{owner} expects tokens of an integer dtype, found {tokens.dtype}")
    if tokens.ndim != ndim:
        raise ValueError(
            f"{owner} expects tokens of shape {('(T,)', '(N, T)')[ndim - 1]}, found {tokens.shape}"
        )
    array = tokens.data
    if array.size and not 0 <= array.min() <= array.max() < count:
        raise ValueError(
            f"{owner} expects tokens from 0 to {count - 1}, found {array.min()} to {array.max()}"
        )
    return array


class CharacterVocabulary:
    """The characters that a model knows, each with a number: its place in the sorted list of all.

    Args:
        text: Any text; every character in it becomes known.

    Attributes:
        characters: All known characters, each once, in order of their code points. The character with number
            i is `characters[i]`.

    Raises:
        TypeError: If `text` is not a str.
        ValueError: If it is empty.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"CharacterVocabulary expects a str, found {type(text).__name__}")
        if not text:
            raise ValueError("CharacterVocabulary expects at least one character, found an empty text")
        self.characters = "".join(sorted(set(text)))
        self._numbers = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def __contains__(self, character: object) -> bool:
        return character in self._numbers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharacterVocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"CharacterVocabulary({self.characters!r})"

    def encode(self, text: str) -> Tensor:
        """Return the numbers of the characters of a text.

        Args:
            text: Known characters only; may be empty.

        Returns:
            An int64 tensor of shape (len(text),).

        Raises:
            TypeError: If `text` is not a str.
            ValueError: If a character is not known.
        """
        if not isinstance(text, str):
            raise TypeError(f"encode expects a str, found {type(text).__name__}")
        for place, character in enumerate(text):
            if character not in self._numbers:
                raise ValueError(
                    f"encode expects characters of the vocabulary {self.characters!r}, found {character!r} "
                    f"(U+{ord(character):04X}) at place {place}"
                )
        return Tensor(np.array([self._numbers[character] for character in text], dtype=np.int64))

    def decode(self, tokens: Tensor) -> str:
        """Return the text that the numbers stand for; the opposite of `encode`.

        Args:
            tokens: Integers of shape (T,), each from 0 to len(vocabulary) - 1.

        Raises:
            TypeError: If the tokens are no tensor of integers.
            ValueError: If they have another shape, or one is not in the vocabulary.
        """
        array = _checked_tokens("decode", tokens, len(self), ndim=1)
        return "".join([self.characters[number] for number in array])


# %%
vocabulary = CharacterVocabulary("abba")
assert vocabulary.characters == "ab"
assert vocabulary.encode("abba").tolist() == [0, 1, 1, 0]
assert vocabulary.decode(Tensor([0, 1, 1, 0])) == "abba"
try:
    vocabulary.encode("abc")
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("a character that the model has never seen must be refused")
assert message == "encode expects characters of the vocabulary 'ab', found 'c' (U+0063) at place 2"

# %% [markdown]
# ## 2. Windows: what the network learns from
#
# A text is its own teacher: the right answer to "what comes after this?" stands one place further on. So an
# example is a window of $T$ characters, and its target is the same window shifted by one:
#
#     text      t h e   c a t         T = 4
#     input     t h e _
#     target    h e _ c               after "t" comes "h", after "th" comes "e", after "the" comes "_", ...
#
# Thanks to the causal mask that is not one exercise but $T$ of them (module 07). The length $T$ is called the
# *context*: further back the network cannot look.
#
# **Judging fairly.** Neighbouring windows share all characters but one. If windows were divided at random, as
# `random_split` does, practically every validation window would have been learned by heart under another
# number, and the validation loss would be wonderful and worthless. So the *text* is cut first, in one place:
# the beginning is for training, the end for validation.


# %%
#| export
def split_text(text: str, validation: float = 0.1) -> tuple[str, str]:
    """Cut a text in one place, so that no window of the end shares a character with one of the beginning.

    Args:
        text: What to cut.
        validation: The share of the characters in the second part, above 0 and below 1; rounded.

    Returns:
        The beginning, for training, and the end, for validation.

    Raises:
        TypeError: If `text` is not a str, or the share is not a number.
        ValueError: If the share is out of range, or a part would be empty.
    """
    if not isinstance(text, str):
        raise TypeError(f"split_text expects a str, found {type(text).__name__}")
    end = round(len(text) * _within("split_text", "validation", validation, 0.0, 1.0))
    if not 0 < end < len(text):
        raise ValueError(
            f"split_text: both parts need at least one character, found {len(text) - end} and {end}"
        )
    return text[:-end], text[-end:]


class CharacterWindows(Dataset):
    """Every window of a text as an example: the input, and the target, which is one character ahead.

    Args:
        tokens: Integers of shape (length,), as `CharacterVocabulary.encode` gives them.
        context: The number of characters in a window, T.
        stride: How many characters the next window begins after the one before. 1: all windows; `context`:
            windows that do not overlap, so that every character is predicted once.

    Attributes:
        tokens: As given.
        context: As given.
        stride: As given.

    Raises:
        TypeError: If the tokens are no tensor of integers, or a number is not an int.
        ValueError: If the text is too short for a window and the character after it, or a number is below 1.
    """

    def __init__(self, tokens: Tensor, context: int, stride: int = 1) -> None:
        array = _checked_tokens("CharacterWindows", tokens, 2**63, ndim=1)
        self.context = _natural("CharacterWindows", "context", context)
        self.stride = _natural("CharacterWindows", "stride", stride)
        if array.size <= self.context:
            raise ValueError(
                f"CharacterWindows: a context of {context} needs at least {self.context + 1} characters, "
                f"found {array.size}"
            )
        self.tokens = tokens

    def __len__(self) -> int:
        return (len(self.tokens) - self.context - 1) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
            raise TypeError(f"CharacterWindows are indexed with an int, found {type(index).__name__}")
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} windows, found index {index}")
        start = int(index) % len(self) * self.stride
        window = self.tokens[start : start + self.context + 1]
        return window[:-1], window[1:]

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> tuple[Tensor, Tensor]:
        """Return windows as one batch: inputs and targets, both of shape (len(indices), context).

        Raises:
            TypeError: If the indices are no ints.
            ValueError: If they are not in one row.
            IndexError: If an index is not from 0 to len - 1.
        """
        found = np.asarray(indices)
        if found.ndim != 1:
            raise ValueError(f"indices of shape (n,) expected, found {found.shape}")
        if found.size and found.dtype.kind not in "iu":
            raise TypeError(f"indices of an integer dtype expected, found {found.dtype}")
        starts = found.astype(np.int64)
        if starts.size and not 0 <= starts.min() <= starts.max() < len(self):
            raise IndexError(
                f"indices from 0 to {len(self) - 1} expected, found {starts.min()} to {starts.max()}"
            )
        places = starts[:, None] * self.stride + np.arange(self.context)
        return self.tokens[places], self.tokens[places + 1]


# %%
cat = CharacterVocabulary("the_cat")
windows = CharacterWindows(cat.encode("the_cat"), context=4)
assert len(windows) == 3
assert [cat.decode(part) for part in windows[0]] == ["the_", "he_c"]
assert [cat.decode(part) for part in windows[-1]] == ["e_ca", "_cat"]
inputs, targets = windows.batch([0, 2])
assert [cat.decode(row) for row in targets] == ["he_c", "_cat"]
assert len(CharacterWindows(cat.encode("the_cat"), context=3, stride=3)) == 2
assert split_text("abcdefghij", 0.2) == ("abcdefgh", "ij")

# %% [markdown]
# ## 3. The model
#
# A stack of transformer blocks in which every position looks only back (a *decoder*: Vaswani et al., 2017,
# without their encoder; Radford et al., *Improving Language Understanding by Generative Pre-Training*, 2018):
#
# $$\begin{aligned}
#   x &= \text{table}[\text{tokens}] + \text{positions}[0 \dots T-1] && (N, T, E) \\
#   x &\leftarrow \operatorname{block}_l(x, \text{causal mask}), \quad l = 1 \dots L && (N, T, E) \\
#   \text{scores} &= \operatorname{norm}(x)\, \text{table}^\top && (N, T, V)
# \end{aligned}$$
#
# Choices that we take over from GPT-2 (Radford et al., 2019, section 2.3, and 2018, section 4.1):
#
# - **Positions are learned**, one vector for each of the $T$ places, instead of sines and cosines. Nothing is
#   known about places beyond the context; the model refuses such inputs.
# - **One table, used twice** ("weight tying", Press & Wolf, EACL 2017): a character's vector is also what the
#   end of the network is compared with. The table gets gradients from both uses, and autograd adds them up
#   without being told.
# - **Small numbers at the start**, normal with deviation 0.02. After the last normalisation a score is a sum
#   of $E$ products of a number of size 1 and one of size 0.02. For $E = 64$ that is about
#   $0.02 \sqrt{64} = 0.16$: nearly equal scores, so the first loss is $\log V$, the honest loss of knowing
#   nothing. With the table's usual deviation of 1, the scores would have the size 8. The network would start
#   with strong and baseless opinions, and spend its first hundred steps on giving them up.
# - **Smaller corrections in deeper stacks.** $L$ blocks add $2L$ corrections to one stream, and the variance
#   of the sum grows with their number. So the last linear map of each correction starts with weights divided
#   by $\sqrt{2L}$.
#
# How many numbers are there to learn? In a block, attention has four maps of $E^2 + E$, the small network
# $8E^2 + 5E$, the norms $4E$:
#
# $$(V + T)\,E + L\,(12 E^2 + 13 E) + 2E$$
#
#     V = 20, T = 16, E = 32, L = 2:     36 * 32 + 2 * (12,288 + 416) + 64 = 26,624


# %%
#| export
@dataclass(frozen=True)
class TransformerConfig:
    """The sizes of a character-level transformer.

    Args:
        tokens: The number of characters in the vocabulary, V.
        context: The longest text that it looks at, T.
        features: The length of the vectors, E.
        heads: Attention heads in each block; divides `features`.
        depth: The number of blocks, L.
        dropout: The probability that an element of a correction is dropped while training.

    Raises:
        TypeError: If a size is not an int, or `dropout` not a number.
        ValueError: If a size is below 1, `heads` does not divide `features`, or `dropout` is out of range.
    """

    tokens: int
    context: int = 32
    features: int = 64
    heads: int = 4
    depth: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("tokens", "context", "features", "heads", "depth"):
            _natural("TransformerConfig", name, getattr(self, name))
        if self.features % self.heads:
            raise ValueError(
                f"TransformerConfig: heads must divide features, found {self.heads} heads for "
                f"{self.features} features"
            )
        _within("TransformerConfig", "dropout", self.dropout, 0.0, 1.0)


_INITIAL_DEVIATION = 0.02  # Radford et al., 2018, section 4.1


def _scale(parameter: Parameter, factor: float) -> None:
    """Multiply a parameter, keeping its dtype."""
    parameter.data = parameter.data * parameter.dtype.type(factor)


class CharacterTransformer(Layer):
    """A decoder-only transformer: for every place of a text, a score for each character that may come next.

    Source: Vaswani et al., Attention Is All You Need, 2017, in the form of Radford et al., 2018 and 2019,
    with tied tables (Press & Wolf, 2017).

    Args:
        config: The sizes.
        rng: A NumPy generator or a seed for initial weights and dropout; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        config: As given.
        embedding: The table of characters, of shape (V, E); it serves as the output matrix, too.
        position: The table of places, of shape (T, E).
        blocks: The transformer blocks.
        norm: The normalisation after the last block.

    Raises:
        TypeError: If `config` is not a TransformerConfig, `dtype` is no float dtype, or `rng` is neither a
            generator nor an int.
        ValueError: If `rng` is a negative seed.
    """

    def __init__(
        self,
        config: TransformerConfig,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        if not isinstance(config, TransformerConfig):
            raise TypeError(
                f"CharacterTransformer expects a TransformerConfig, found {type(config).__name__}"
            )
        generator = _generator("CharacterTransformer", rng)
        self.config = config
        self.embedding = Embedding(config.tokens, config.features, generator, dtype)
        self.position = Embedding(config.context, config.features, generator, dtype)
        self.dropout = Dropout(config.dropout, generator)
        self.blocks = [
            TransformerBlock(
                config.features, config.heads, dropout=config.dropout, rng=generator, dtype=dtype
            )
            for _ in range(config.depth)
        ]
        self.norm = LayerNorm(config.features, dtype=dtype)
        for table in (self.embedding, self.position):
            _scale(table.weight, _INITIAL_DEVIATION)
        for block in self.blocks:
            for last in (block.attention.output, block.feed_forward.narrow):
                _scale(last.weight, 1.0 / math.sqrt(2 * config.depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """Score the next character after every place.

        Args:
            tokens: Integers of shape (N, T), T at least 1 and at most `config.context`.

        Returns:
            Scores before softmax (logits), of shape (N, T, V). Those at place t depend on the characters at
            places 0 to t alone.

        Raises:
            TypeError: If the tokens are no tensor of integers.
            ValueError: If the shape does not fit, or a token is not in the vocabulary.
        """
        array = _checked_tokens("CharacterTransformer", tokens, self.config.tokens, ndim=2)
        length = array.shape[1]
        if not 1 <= length <= self.config.context or not len(array):
            raise ValueError(
                f"CharacterTransformer expects at least one text of 1 to {self.config.context} characters, "
                f"found shape {array.shape}"
            )
        x = self.dropout(self.embedding(tokens) + self.position(np.arange(length)))
        mask = causal_mask(length)
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x) @ self.embedding.weight.T  # type: ignore[no-any-return]

    def _describe(self) -> str:
        return repr(self.config)


# %%
model = CharacterTransformer(TransformerConfig(tokens=20, context=16, features=32, depth=2), rng=0)
assert sum(parameter.size for parameter in model.parameters()) == 26_624
text = Tensor(np.random.default_rng(0).integers(0, 20, (8, 16)))
scores = model(text)
assert scores.shape == (8, 16, 20)
assert abs(CrossEntropyLoss()(scores, text).item() - math.log(20)) < 0.1

# %% [markdown]
# **Is it causal?** This is the property on which everything rests: with a leak from the future the training
# loss would fall to nearly nothing, and the model would write rubbish, since in use there is no future to
# look at. It is easily tested: change a character, and no score *before* it may change.

# %%
exact = CharacterTransformer(TransformerConfig(tokens=20, context=16, features=32), rng=0, dtype=np.float64)
changed = text.numpy()
changed[:, 10] = (changed[:, 10] + 1) % 20
before, after = exact(text).numpy(), exact(Tensor(changed)).numpy()
assert np.abs(before[:, :10] - after[:, :10]).max() < 1e-12
assert (np.abs(before[:, 10:] - after[:, 10:]).max(axis=(0, 2)) > 1e-6).all()  # all others do change

# %% [markdown]
# ## 4. How surprised is it?
#
# The mean cross-entropy is the mean of $-\log p(\text{right character})$, in *nats*. Its exponential is
# called **perplexity** (Jelinek, Mercer, Bahl & Baker, 1977; Jurafsky & Martin, *Speech and Language
# Processing*, chapter on n-gram models):
#
# $$\text{perplexity} = \exp\Big( -\frac1n \sum_{i=1}^n \log p(c_i \mid c_1 \dots c_{i-1}) \Big)$$
#
# It can be read as a number of choices: a model of perplexity 8 is as unsure as somebody who guesses among 8
# equally likely characters. Guessing among all $V$ characters gives $V$, and perfect foresight 1.
#
#     probabilities of the right characters  1/2, 1/8:   exp((log 2 + log 8) / 2) = sqrt(16) = 4
#
# Evaluation must leave no traces: it runs without recording, in evaluation mode (no dropout), and afterwards
# each layer is in the mode in which it was before.


# %%
#| export
@contextmanager
def _in_use(model: Layer) -> Iterator[None]:
    """Evaluate in the `with` block: nothing is recorded, and afterwards every layer's mode is as before."""
    modes = [(layer, layer.training) for _, layer in model.named_layers()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for layer, training in modes:
            layer.training = training


def perplexity(model: Layer, windows: Dataset, batch_size: int = 64) -> float:
    """Return exp of the mean cross-entropy per character, in evaluation mode (Jelinek et al., 1977).

    Args:
        model: Gives scores of shape (N, T, V) for tokens of shape (N, T).
        windows: Pairs of inputs and targets, as from `CharacterWindows`. With a stride equal to the context
            every character counts once.
        batch_size: Windows that are computed at a time; without influence on the result but for rounding.

    Returns:
        A number of at least 1: among how many equally likely characters a guess would be as uncertain.
        Infinite if it exceeds the largest float.

    Raises:
        TypeError: If `model` is no Layer, or `windows` no Dataset of pairs.
        ValueError: If there are no windows, the model's scores are NaN or have another shape, or `batch_size`
            is below 1.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"perplexity expects a Layer as model, found {type(model).__name__}")
    total, count = 0.0, 0
    with _in_use(model):
        for batch in DataLoader(windows, batch_size):
            if not isinstance(batch, tuple) or len(batch) != 2:
                raise TypeError("perplexity expects windows as pairs (inputs, targets), found others")
            inputs, targets = batch
            losses = CrossEntropyLoss("none")(model(inputs), targets)
            total += float(losses.data.sum(dtype=np.float64))
            count += targets.size
    mean = total / count
    if math.isnan(mean):  # a score of +inf, or nothing but -inf: not a large loss, but none
        raise ValueError("perplexity expects scores that softmax can turn into probabilities, found NaN")
    return math.exp(mean) if mean < math.log(np.finfo(np.float64).max) else math.inf


# %%
class Oracle(Layer):
    """Gives the right character the probabilities 1/2 and 1/8 in turn, among 9 characters."""

    def forward(self, tokens):
        right = np.where(np.arange(tokens.shape[1]) % 2 == 0, 1 / 2, 1 / 8)
        table = np.empty((*tokens.shape, 9))
        table[:] = ((1 - right) / 8)[:, None]
        rows, columns = np.indices(tokens.shape)
        table[rows, columns, (tokens.numpy() + 1) % 9] = right
        return Tensor(np.log(table))


counting = CharacterWindows(Tensor(np.arange(13) % 9), context=4, stride=4)
assert abs(perplexity(Oracle(), counting) - 4.0) < 1e-9

# %% [markdown]
# ## 5. Writing
#
# The model gives a score for every character. A text is made by *drawing* the next character, appending it,
# and asking again. (Always taking the most probable one leads round in circles: "the the the".) Two knobs
# change the distribution from which we draw:
#
# - **Temperature** $\tau$ (the word comes from Boltzmann's distribution; Ackley, Hinton & Sejnowski, 1985):
#   $p_c \propto e^{z_c / \tau}$. Cold ($\tau < 1$) prefers what is probable anyway, hot ($\tau > 1$) is bold.
#   In the limit $\tau = 0$ the most probable character is always taken; of several, the first.
# - **Top-k** (Fan, Lewis & Dauphin, *Hierarchical Neural Story Generation*, ACL 2018): only the $k$ best
#   characters take part. Each of the others is improbable, but together they are not, and one slip in
#   twenty characters spoils a text.
#
# ```text
#     scores [2, 1, 0]      tau = 1               0.665  0.245  0.090
#                           tau = 0.5             0.867  0.117  0.016
#                           tau = 1, k = 2        0.731  0.269  0
# ```
#
# Drawing is random, so it needs a seed: the same model, prompt and seed give the same text.
#
# The text soon grows longer than the context. Then only its last $T$ characters are shown to the model.


# %%
#| export
def next_token_probabilities(
    scores: npt.NDArray[np.floating[Any]], temperature: float = 1.0, top_k: int | None = None
) -> npt.NDArray[np.float64]:
    """Return the distribution from which the next token is drawn.

    Sources: Ackley, Hinton & Sejnowski, 1985 (temperature); Fan, Lewis & Dauphin, 2018 (top-k).

    Args:
        scores: One score (logit) per token, shape (V,).
        temperature: What the scores are divided by, at least 0; 0 puts everything on the largest score.
        top_k: How many of the largest scores take part, at least 1; None for all. Of equal scores, the first
            ones count as larger.

    Returns:
        Probabilities of shape (V,) with the sum 1.

    Raises:
        TypeError: If the scores or `temperature` are no numbers, or `top_k` is not an int.
        ValueError: If there are no scores, one is NaN or +inf, all are -inf, or a setting is out of range.
    """
    owner = "next_token_probabilities"
    try:
        found = np.asarray(scores)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{owner} expects scores of shape (V,), found {scores!r}") from error
    if found.size and found.dtype.kind not in "iuf":
        raise TypeError(f"{owner} expects scores that are numbers, found dtype {found.dtype}")
    values = found.astype(np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{owner} expects scores of shape (V,), found {values.shape}")
    if not np.isfinite(values.max()):  # the maximum is NaN if any score is
        raise ValueError(f"{owner} expects finite scores, found {values.max()} as the largest")
    heat = _within(owner, "temperature", temperature, 0.0, math.inf)
    most = values.size if top_k is None else _natural(owner, "top_k", top_k)
    best_first = np.argsort(-values, kind="stable")
    kept = best_first[: 1 if heat == 0.0 else most]
    probabilities = np.zeros(values.size)
    with np.errstate(over="ignore"):  # a tiny temperature: -inf, whose exponential is 0
        probabilities[kept] = np.exp((values[kept] - values.max()) / (heat or 1.0))
    return probabilities / probabilities.sum()


def generate_text(
    model: CharacterTransformer,
    vocabulary: CharacterVocabulary,
    prompt: str,
    length: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    rng: np.random.Generator | int | None = None,
) -> str:
    """Let a model continue a text, one character after the other.

    Args:
        model: Scores the next character. It is asked in evaluation mode, and left as it was.
        vocabulary: The one with which the model was trained.
        prompt: The beginning, at least one character; the model sees at most its last `context` ones.
        length: How many characters to add, at least 0.
        temperature: See `next_token_probabilities`.
        top_k: See `next_token_probabilities`.
        rng: A NumPy generator or a seed for the drawing; None for a different text every time.

    Returns:
        The prompt and its continuation.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the prompt is empty or has unknown characters, the vocabulary does not fit the model,
            or a number is out of range.
    """
    if not isinstance(model, CharacterTransformer):
        raise TypeError(f"generate_text expects a CharacterTransformer, found {type(model).__name__}")
    if not isinstance(vocabulary, CharacterVocabulary):
        raise TypeError(f"generate_text expects a CharacterVocabulary, found {type(vocabulary).__name__}")
    if len(vocabulary) != model.config.tokens:
        raise ValueError(
            f"generate_text: the model knows {model.config.tokens} characters, found a vocabulary of "
            f"{len(vocabulary)}"
        )
    count = _natural("generate_text", "length", length, least=0)
    tokens: list[int] = vocabulary.encode(prompt).tolist()
    if not tokens:
        raise ValueError("generate_text expects a prompt of at least one character, found an empty text")
    next_token_probabilities(np.zeros(1), temperature, top_k)  # the settings, also if nothing is to be added
    generator = _generator("generate_text", rng)
    with _in_use(model):
        for _ in range(count):
            seen = Tensor([tokens[-model.config.context :]])
            chances = next_token_probabilities(model(seen).data[0, -1], temperature, top_k)
            tokens.append(int(generator.choice(len(chances), p=chances)))
    return vocabulary.decode(Tensor(tokens))


# %%
three = np.array([2.0, 1.0, 0.0])
assert np.allclose(next_token_probabilities(three), [0.665, 0.245, 0.090], atol=1e-3)
assert np.allclose(next_token_probabilities(three, temperature=0.5), [0.867, 0.117, 0.016], atol=1e-3)
assert np.allclose(next_token_probabilities(three, top_k=2), [0.731, 0.269, 0.0], atol=1e-3)
assert next_token_probabilities(three, temperature=0.0).tolist() == [1.0, 0.0, 0.0]
assert next_token_probabilities(three, temperature=1e-320).tolist() == [1.0, 0.0, 0.0]

letters = CharacterVocabulary("abcdefghijklmnopqrst")
babble = generate_text(model, letters, "abc", 30, rng=1)
assert len(babble) == 33
assert babble.startswith("abc")
assert babble == generate_text(model, letters, "abc", 30, rng=1)  # the same seed, the same text
assert babble != generate_text(model, letters, "abc", 30, rng=2)

# %% [markdown]
# ## 6. The training, for both networks
#
# The loop is module 11's `Trainer`. What remains is to choose, and these choices fit most small networks:
#
# - **AdamW** (module 10): little tuning, and a weight decay that is really one.
# - **A warm-up, then half a cosine** (module 10): Adam's first steps rest on the gradients of a few batches,
#   so they should be small; and a small rate at the end settles what the noise has stirred up.
# - **Clipping at norm 1** (module 10): one odd batch cannot throw the weights far away.
# - **Early stopping** (module 11): a small data set is soon learned by heart.
# - **A seed** (module 08): the same order of examples in every run.
#
# The schedule counts *batches*, and must know in advance how many there will be: `epochs` times the loader's
# length.
#
# A trap: the `Trainer` puts the best weights back only if it *stopped early*. A training that used all its
# epochs ends with the weights of the last one, although the best may be two epochs back. Whoever asks for
# early stopping wants the best, so `fit_model` restores them in both cases.


# %%
#| export
@dataclass(frozen=True)
class FitSettings:
    """How to train: AdamW, a warm-up and a cosine, clipped gradients, early stopping if wanted.

    Args:
        epochs: The largest number of passes over the training data.
        batch_size: Examples per step.
        lr: The highest learning rate, reached after the warm-up; above 0.
        min_lr: The learning rate at the end, at most `lr`.
        warmup: The share of all steps in which the rate rises from near 0, at least 0 and below 1.
        weight_decay: As for `AdamW`.
        max_norm: Gradients are clipped to this global norm; above 0.
        patience: Stop after so many epochs without a better validation loss, and use the best weights; None
            to train all epochs and use the last weights.
        seed: Decides the order of the examples.

    Raises:
        TypeError: If a number is of the wrong kind.
        ValueError: If a number is out of range.
    """

    epochs: int = 10
    batch_size: int = 32
    lr: float = 3e-3
    min_lr: float = 0.0
    warmup: float = 0.1
    weight_decay: float = 0.01
    max_norm: float = 1.0
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        owner = "FitSettings"
        for name in ("epochs", "batch_size"):
            _natural(owner, name, getattr(self, name))
        if self.patience is not None:
            _natural(owner, "patience", self.patience)
        _natural(owner, "seed", self.seed, least=0)
        _within(owner, "warmup", self.warmup, 0.0, 1.0)
        for name in ("lr", "min_lr", "weight_decay", "max_norm"):
            _within(owner, name, getattr(self, name), 0.0, math.inf)
        for name in ("lr", "max_norm"):
            if getattr(self, name) == 0.0:
                raise ValueError(f"{owner}: {name} must be above 0, found 0")
        if self.min_lr > self.lr:
            raise ValueError(f"{owner}: min_lr must be at most lr = {self.lr}, found {self.min_lr}")


def fit_model(
    model: Layer,
    training: Dataset,
    validation: Dataset | None = None,
    settings: FitSettings | None = None,
    callbacks: Sequence[Callable[[Trainer], bool | None]] = (),
) -> Trainer:
    """Train a model to predict classes, with cross-entropy.

    Args:
        model: Gives scores of shape (..., classes).
        training: Pairs of inputs and integer labels of shape (...).
        validation: Such pairs, to be measured after every epoch; needed for early stopping.
        settings: How to train; by default `FitSettings()`.
        callbacks: As for `Trainer`.

    Returns:
        The trainer. Its `history` has per epoch the loss and the accuracy, and those of the validation. The
        model is in evaluation mode, with `patience` with the weights of the epoch of lowest validation loss.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `patience` is given without validation data, or a loss is not finite.
    """
    chosen = FitSettings() if settings is None else settings
    if not isinstance(chosen, FitSettings):
        raise TypeError(f"fit_model expects FitSettings, found {type(chosen).__name__}")
    if chosen.patience is not None and validation is None:
        raise ValueError(
            f"fit_model: a patience of {chosen.patience} epochs needs validation data, found none"
        )
    loader = DataLoader(training, chosen.batch_size, shuffle=True, rng=chosen.seed)
    judge = None if validation is None else DataLoader(validation, chosen.batch_size)
    trainer = _new_trainer(model, chosen, len(loader), callbacks)
    trainer.fit(loader, chosen.epochs, validation=judge)
    watch = trainer.early_stopping
    if watch is not None and watch.best_state is not None:
        model.load_state_dict(watch.best_state)
    model.eval()
    return trainer


def _new_trainer(
    model: Layer, settings: FitSettings, batches: int, callbacks: Sequence[Callable[[Trainer], bool | None]]
) -> Trainer:
    """Return a trainer for epochs of so many batches."""
    if not isinstance(model, Layer):
        raise TypeError(f"fit_model expects a Layer as model, found {type(model).__name__}")
    optimizer = AdamW(model.parameters(), settings.lr, weight_decay=settings.weight_decay)
    steps = settings.epochs * batches
    schedule = CosineLR(optimizer, steps, warmup=int(steps * settings.warmup), min_lr=settings.min_lr)
    metrics: Mapping[str, Callable[[Tensor, Tensor], float]] = {"accuracy": accuracy}
    return Trainer(
        model,
        CrossEntropyLoss(),
        optimizer,
        schedule=schedule,
        schedule_every="batch",
        metrics=metrics,
        max_norm=settings.max_norm,
        early_stopping=None if settings.patience is None else EarlyStopping(settings.patience),
        callbacks=callbacks,
    )


# %% [markdown]
# And now a text. A nursery rhyme repeats itself so much that a tiny network learns it in a few seconds.

# %%
LINES = [
    "the priest all shaven and shorn, that married ",
    "the man all tattered and torn, that kissed ",
    "the maiden all forlorn, that milked ",
    "the cow with the crumpled horn, that tossed ",
    "the dog, that worried ",
    "the cat, that killed ",
    "the rat, that ate ",
    "the malt, that lay in ",
    "the house that Jack built.\n",
]
RHYME = "".join("This is " + "".join(LINES[first:]) for first in range(len(LINES) - 1, -1, -1))

words = CharacterVocabulary(RHYME)
sizes = TransformerConfig(len(words), context=16, features=32, heads=2, depth=1)
writer = CharacterTransformer(sizes, rng=0)
rhyme_windows = CharacterWindows(words.encode(RHYME), sizes.context, stride=2)
ignorant = perplexity(writer, rhyme_windows)
trainer = fit_model(writer, rhyme_windows, settings=FitSettings(epochs=8, batch_size=16, lr=1e-2))

assert abs(ignorant - len(words)) < 3.0  # at first it guesses among all characters
assert perplexity(writer, rhyme_windows) < 1.6  # now, hardly a question is left
assert trainer.history[-1]["loss"] < 0.2 * math.log(len(words))
assert "that Jack built" in generate_text(writer, words, "This is the house ", 40, temperature=0.0)

# %% [markdown]
# Has it understood anything? A low *training* loss says that it knows this text, and no more. Only a text
# that was held out can tell, which is why `split_text` comes first in any serious run. The system test of
# this module does that, with Shakespeare's sonnets.
#
# # Part two: a network that sees
#
# ## 7. The image classifier
#
# The plan is a classic (LeCun, Bottou, Bengio & Haffner, *Gradient-Based Learning Applied to
# Document Recognition*, Proceedings of the IEEE, 1998, section II): stages of convolution and subsampling, in
# which the images become smaller and the channels more, and at the end a small network over what is left. We
# use today's parts: ReLU, max-pooling, and batch normalisation after every convolution (Ioffe & Szegedy,
# 2015), whose shift makes the convolution's own bias superfluous.
#
#     (N, 1, 8, 8)    stage: Conv2D(1, 8, 3, padding=1)  BatchNorm2D  ReLU  MaxPool2D(2)     (N, 8, 4, 4)
#                     stage: Conv2D(8, 16, 3, padding=1)  BatchNorm2D  ReLU  MaxPool2D(2)    (N, 16, 2, 2)
#                     Flatten                                                                (N, 64)
#                     Linear(64, 32)  ReLU  Dropout  Linear(32, classes)                     (N, classes)
#
# Each stage halves rows and columns, rounding down. The length of the flattened vector follows from that, and
# is computed, not asked for; an image that would shrink to nothing is refused when the network is made, not
# when it is used.
#
# Numbers to learn, for `classes` = 3: stages 72 + 16 and 1152 + 32, head 2080 and 99; together 3,451.
#
# `forward` gives scores, since the loss wants scores. People want probabilities and classes: `predict_proba`
# and `predict`. These switch to evaluation mode for the time of the call. This matters more here than
# anywhere else: in training mode, batch normalisation makes the answer for one image depend on the other
# images of its batch.


# %%
#| export
@dataclass(frozen=True)
class ClassifierConfig:
    """The sizes of an image classifier.

    Args:
        image: Channels, rows and columns of an image, (C, H, W).
        classes: The number of classes.
        channels: The output channels of each stage; every stage halves rows and columns.
        kernel_size: Rows and columns of the convolutions' windows; odd.
        hidden: The width of the layer before the last.
        dropout: The probability that a hidden unit is dropped while training.

    Raises:
        TypeError: If a size is not an int, or `dropout` not a number.
        ValueError: If a size is below 1, there are no stages, or the images are too small for them.
    """

    image: tuple[int, int, int]
    classes: int
    channels: tuple[int, ...] = (8, 16)
    kernel_size: int = 3
    hidden: int = 32
    dropout: float = 0.0

    def __post_init__(self) -> None:
        owner = "ClassifierConfig"
        for name, count in (("image", 3), ("channels", None)):
            sizes = getattr(self, name)
            if not isinstance(sizes, (tuple, list)) or (len(sizes) != count if count else not sizes):
                wanted = "(channels, rows, columns)" if count else "a size for at least one stage"
                raise ValueError(f"{owner}: {name} must be {wanted}, found {sizes!r}")
            object.__setattr__(self, name, tuple([_natural(owner, name, size) for size in sizes]))
        for name in ("classes", "kernel_size", "hidden"):
            _natural(owner, name, getattr(self, name))
        if self.kernel_size % 2 == 0:
            raise ValueError(f"{owner}: kernel_size must be odd, found {self.kernel_size}")
        _within(owner, "dropout", self.dropout, 0.0, 1.0)
        if min(self.image[1:]) < 2 ** len(self.channels):
            raise ValueError(
                f"{owner}: {len(self.channels)} stages need images of at least {2 ** len(self.channels)} "
                f"rows and columns, found {self.image}"
            )

    @property
    def flat_features(self) -> int:
        """The number of elements that are left of an image after the last stage."""
        _, rows, columns = self.image
        halvings = 2 ** len(self.channels)  # halving n times with rounding is one division with rounding
        return self.channels[-1] * (rows // halvings) * (columns // halvings)


class ImageClassifier(Layer):
    """A small convolutional network (LeCun et al., 1998, with batch normalisation: Ioffe & Szegedy, 2015).

    Args:
        config: The sizes.
        rng: A NumPy generator or a seed for initial weights and dropout; None for different ones every time.
        dtype: A float dtype for the parameters.

    Attributes:
        config: As given.
        stages: Convolution, normalisation, ReLU and pooling, once per entry of `config.channels`.
        head: From the flattened images to scores.

    Raises:
        TypeError: If `config` is not a ClassifierConfig, `dtype` is no float dtype, or `rng` is neither a
            generator nor an int.
        ValueError: If `rng` is a negative seed.
    """

    def __init__(
        self,
        config: ClassifierConfig,
        rng: np.random.Generator | int | None = None,
        dtype: npt.DTypeLike = np.float32,
    ) -> None:
        if not isinstance(config, ClassifierConfig):
            raise TypeError(f"ImageClassifier expects a ClassifierConfig, found {type(config).__name__}")
        generator = _generator("ImageClassifier", rng)
        self.config = config
        steps: list[Callable[[Tensor], Tensor]] = []
        inputs, kernel = config.image[0], config.kernel_size
        for outputs in config.channels:
            steps += [
                Conv2D(inputs, outputs, kernel, padding=kernel // 2, bias=False, rng=generator, dtype=dtype),
                BatchNorm2D(outputs, dtype=dtype),
                ReLU(),
                MaxPool2D(2),
            ]
            inputs = outputs
        self.stages = Sequential(*steps)
        self.head = Sequential(
            Flatten(),
            Linear(config.flat_features, config.hidden, rng=generator, dtype=dtype),
            ReLU(),
            Dropout(config.dropout, generator),
            Linear(config.hidden, config.classes, rng=generator, dtype=dtype),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Score the classes.

        Args:
            images: Floats of shape (N, C, H, W), with C, H and W as in `config.image`.

        Returns:
            Scores before softmax (logits), of shape (N, classes).

        Raises:
            TypeError: If the images are no tensor of floats.
            ValueError: If they have another shape, or there are none.
        """
        self._check(images)
        return self.head(self.stages(images))  # type: ignore[no-any-return]

    def predict_proba(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Return the probability of each class, in evaluation mode; the layers' modes stay as they are.

        Args:
            images: As for `forward`.
            batch_size: Images that are computed at a time; without influence on the result but for rounding.

        Returns:
            A tensor of shape (N, classes); rows have the sum 1.

        Raises:
            TypeError: As `forward`; also if `batch_size` is not an int.
            ValueError: As `forward`; also if `batch_size` is below 1, or a probability is NaN: then an image
                holds NaN, infinite or far too large values, or the weights do.
        """
        self._check(images)
        step = _natural("predict_proba", "batch_size", batch_size)
        with _in_use(self):
            parts = [softmax(self(images[start : start + step])) for start in range(0, len(images), step)]
        result = concatenate(parts)
        spoilt = np.isnan(result.data).any(axis=1)
        if spoilt.any():  # argmax would call them class 0
            raise ValueError(
                f"predict_proba expects images of finite scores, found NaN for {int(spoilt.sum())} of "
                f"{len(spoilt)}, first for image {int(spoilt.argmax())}"
            )
        return result

    def predict(self, images: Tensor, batch_size: int = 256) -> Tensor:
        """Return the most probable class of each image; of equally probable ones, the first.

        Args:
            images: As for `forward`.
            batch_size: As for `predict_proba`.

        Returns:
            An int64 tensor of shape (N,).

        Raises:
            TypeError: As `predict_proba`.
            ValueError: As `predict_proba`.
        """
        return self.predict_proba(images, batch_size).argmax(axis=-1)

    def _check(self, images: object) -> None:
        """Raise unless `images` are float images of the network's size."""
        if not isinstance(images, Tensor):
            raise TypeError(f"ImageClassifier expects images as a Tensor, found {type(images).__name__}")
        if images.dtype.kind != "f":
            raise TypeError(f"ImageClassifier expects images of a float dtype, found {images.dtype}")
        if images.ndim != 4 or images.shape[1:] != self.config.image or not len(images):
            expected = ", ".join(map(str, self.config.image))
            raise ValueError(f"ImageClassifier expects images of shape (N, {expected}), found {images.shape}")

    def _describe(self) -> str:
        return repr(self.config)


# %%
net = ImageClassifier(ClassifierConfig(image=(1, 8, 8), classes=3), rng=0)
assert sum(parameter.size for parameter in net.parameters()) == 72 + 16 + 1152 + 32 + 2080 + 99 == 3_451
assert net(Tensor(np.zeros((5, 1, 8, 8), dtype=np.float32))).shape == (5, 3)
assert ClassifierConfig(image=(3, 31, 17), classes=2, channels=(4, 6)).flat_features == 6 * 7 * 4
try:
    ClassifierConfig(image=(1, 7, 8), classes=3, channels=(8, 16, 32))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("seven rows cannot be halved three times")
assert message.endswith("3 stages need images of at least 8 rows and columns, found (1, 7, 8)")

# %% [markdown]
# ## 8. Three kinds of stripes
#
# A test that looks easy and is not: stripes that run across, down, or diagonally, at random places, under
# noise. Every single pixel is as often bright as dark in all three classes, so no pixel alone says anything.
# A network must look at neighbours, which is what a convolution does.

# %%
from tinytorch.core.dataloader import TensorDataset, random_split


def stripes(count, rng):
    """Images (count, 1, 8, 8) of stripes four pixels apart, and their classes: across, down, diagonal."""
    generator = np.random.default_rng(rng)
    classes = generator.integers(0, 3, count)
    rows, columns = np.indices((8, 8))
    ramps = np.stack([rows, columns, rows + columns])[classes]
    places = generator.integers(0, 4, (count, 1, 1))
    images = ((ramps + places) % 4 < 2) + generator.normal(0.0, 0.5, (count, 8, 8))
    return TensorDataset(Tensor(images[:, None].astype(np.float32)), Tensor(classes))


learned, held_out = random_split(stripes(400, rng=0), [320, 80], rng=1)
settings = FitSettings(epochs=8, lr=1e-2, patience=3)
trainer = fit_model(net, learned, held_out, settings)

images, classes = stripes(200, rng=2).tensors  # images that played no part at all
assert accuracy(net.predict(images), classes) > 0.95
sums = net.predict_proba(images).sum(axis=-1).numpy()
assert np.allclose(sums, 1.0, atol=1e-5)

# The answer for one image does not depend on its company:
alone = net.predict_proba(images[:1]).numpy()
assert np.allclose(alone, net.predict_proba(images).numpy()[:1], atol=1e-5)

# %% [markdown]
# ## Summary
#
# - Two networks out of parts that were tested alone: no new operation, no new gradient.
# - A vocabulary must be the same tomorrow, and a character that is not in it is refused.
# - Cut the text before making windows; random windows leak.
# - Start with scores near zero: then the first loss is $\log V$, and any other number points to a fault.
# - A causal model can be *tested*: change the future, and compare the past.
# - Perplexity is the number of equally likely choices. Temperature and top-k shape the drawing, a seed fixes
#   it.
# - Whoever predicts switches to evaluation mode, and back.
#
# ## Exercises
#
# 1. Take the mask out of `CharacterTransformer`. What happens to the training loss, and what to the text
#    that is written? Which of the tests above notices?
# 2. Write a *bigram* model: a table of counts of pairs of characters, nothing more. What is its perplexity
#    on a held-out text? Above it, a transformer has learned nothing worth its multiplications.
# 3. Writing computes the keys and values of all earlier characters again for every new one. Keep them instead
#    (exercise 2 of module 07). By which factor does it become faster for a context of 64?
# 4. Measure the validation perplexity with a stride of 1, but count only the last character of each window.
#    Why is it lower than with windows that do not overlap?
# 5. Prune the classifier with module 12. How many of its weights can go before one image in a hundred changes
#    its class?
# 6. Leave the classifier in training mode and call it directly, without `predict`. Give it one image alone,
#    then together with 99 others. Explain the difference.
