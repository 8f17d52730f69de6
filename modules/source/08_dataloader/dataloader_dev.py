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
# # Module 08: Data loading
#
# A training loop wants its food in a very particular form: small *batches* of examples, in a new random
# order on every pass, as tensors. Data come in every other form: one big array, a folder of files, a
# table with gaps. This module stands between the two.
#
# Why batches at all? The gradient of the loss over all $n$ examples is a mean, and the mean over a
# random batch of $b$ of them is an unbiased estimate of it. The error of that estimate shrinks with
# $1/\sqrt b$ while its cost grows with $b$: four times the work for half the error. So many cheap, noisy
# steps beat few exact ones (Bottou, Curtis & Nocedal, *Optimization Methods for Large-Scale Machine
# Learning*, SIAM Review 60, 2018, section 3).
#
# The pieces:
#
# | name | what it is |
# |---|---|
# | `Dataset` | anything with a length and an `[index]` |
# | `TensorDataset` | a dataset over tensors that lie in memory |
# | `Subset`, `random_split` | parts of a dataset: training, validation, test |
# | `collate` | makes one batch of a list of examples |
# | `DataLoader` | goes over a dataset in batches, shuffled if wanted |
# | `Normalizer` | brings features to mean 0 and variance 1, and back |
#
# Nearly all mistakes in this part of a program are *silent*: the model trains, only worse. So each piece
# checks what it is given, and says what it found.

# %%
#| default_exp core.dataloader

# %%
#| export
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tinytorch.core.tensor import Tensor
from tinytorch.core.tensor import stack

# %% [markdown]
# ## 1. From examples to a batch
#
# An *example* is what the network learns from at one time: an image and its label, say. It may be a
# tensor, a number, or a tuple or dictionary of them. *Collating* turns a list of examples into one batch
# of the same structure, whose tensors have a new first axis:
#
#     examples   [(image (8, 8), label ()), (image (8, 8), label ()), ...]     32 of them
#     batch       (images (32, 8, 8), labels (32,))
#
# It is the transposition of a table: a list of rows becomes a row of columns. Python has a neat idiom for
# that, `zip(*rows)`.
#
# This only works if all examples have one shape. Sentences do not; for those one writes a `collate` of
# one's own that pads them to equal length (exercise 2). The message below says so, since "all input
# arrays must have the same shape", deep inside NumPy, does not.


# %%
#| export
def collate(examples: Sequence[Any]) -> Any:
    """Make one batch of a list of examples.

    Args:
        examples: At least one example; all with the same structure. An example is a tensor, a NumPy array,
            a number, or a tuple, list or mapping of examples.

    Returns:
        The structure of one example, with every leaf a tensor of shape (len(examples), *shape of the leaf).
        Lists become tuples.

    Raises:
        ValueError: If there are no examples, or their structures or shapes differ.
        TypeError: If a leaf is not a number, an array or a tensor, or the examples are no sequence.
    """
    if not isinstance(examples, Sequence):
        raise TypeError(f"collate expects a sequence of examples, found {type(examples).__name__}")
    if not examples:
        raise ValueError("collate expects at least one example, found none")
    first = examples[0]
    if isinstance(first, Mapping):
        _check_structure(examples, Mapping, set(first), "the keys")
        return {key: collate([example[key] for example in examples]) for key in first}
    if isinstance(first, (tuple, list)):
        _check_structure(examples, (tuple, list), len(first), "the number of fields")
        return tuple([collate(field) for field in zip(*examples, strict=True)])
    leaves = [_leaf(example) for example in examples]
    shapes = {leaf.shape for leaf in leaves}
    if len(shapes) > 1:
        raise ValueError(
            f"the examples of a batch must have one shape, found {sorted(shapes)}: "
            "pad them, or give the loader a collate function of your own"
        )
    return stack(leaves)


def _check_structure(examples: Sequence[Any], kind: Any, expected: Any, meaning: str) -> None:
    """Raise a ValueError unless all examples have the same fields."""
    for position, example in enumerate(examples):
        if not isinstance(example, kind):
            raise ValueError(
                f"the examples of a batch must have one structure: example 0 is of type "
                f"{type(examples[0]).__name__}, example {position} of type {type(example).__name__}"
            )
        found = set(example) if isinstance(example, Mapping) else len(example)
        if found != expected:
            raise ValueError(
                f"the examples of a batch must agree in {meaning}: expected {expected}, "
                f"found {found} in example {position}"
            )


def _leaf(value: object) -> Tensor:
    """Return a number, array or tensor as a tensor."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (bool, int, float, np.generic, np.ndarray)):
        return Tensor(value)
    raise TypeError(f"an example is made of tensors, arrays and numbers, found {type(value).__name__}")


# %%
images, labels = collate([(Tensor([1.0, 2.0]), 0), (Tensor([3.0, 4.0]), 1), (Tensor([5.0, 6.0]), 0)])
assert images.tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
assert labels.tolist() == [0, 1, 0]
assert collate([{"x": 1.0}, {"x": 2.0}])["x"].tolist() == [1.0, 2.0]
try:
    collate([Tensor([1.0]), Tensor([1.0, 2.0])])
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("examples of different lengths cannot be stacked")
assert "pad them" in message

# %% [markdown]
# ## 2. Datasets
#
# A dataset answers two questions: *how many* examples, and *which is number i*? That is all a loader
# needs, be the examples in memory, on disk, or computed as they are asked for. Write a subclass with
# `__len__` and `__getitem__`, and everything in this module works with it.
#
# A third method, `batch(indices)`, is there for speed. By default it asks for the examples one by one and
# collates them. A dataset that can do better may override it: `TensorDataset` picks 32 rows of an array
# with one indexing operation instead of 32 followed by a `stack`, which is some twenty times faster.
#
# **Tensors side by side.** `TensorDataset(images, labels)` pairs the rows of several tensors: example $i$
# is `(images[i], labels[i])`. The worst mistake with paired arrays is that they are not pairs: one was
# filtered and the other not. Unequal lengths betray that, so they are refused.


# %%
#| export
class Dataset(ABC):
    """A collection of examples with a length and an index. Subclasses write `__len__` and `__getitem__`."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of examples."""

    @abstractmethod
    def __getitem__(self, index: int) -> Any:
        """Return one example: a tensor, an array, a number, or a tuple or mapping of them.

        Raises:
            IndexError: If there is no example `index`.
        """

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Any:
        """Return the examples at the given indices as one batch; see `collate`."""
        return collate([self[int(index)] for index in indices])


def _check_dataset(name: str, dataset: object) -> None:
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"{name} expects a Dataset, found {type(dataset).__name__}: wrap tensors in TensorDataset(...)"
        )


class TensorDataset(Dataset):
    """Rows of tensors that belong together: example i is the tuple of their rows i.

    Args:
        *tensors: At least one tensor (or NumPy array), each with a first axis of the same length.

    Attributes:
        tensors: The tensors, as a tuple.

    Raises:
        TypeError: If an argument is neither a tensor nor an array.
        ValueError: If there are no tensors, no rows, or unequal numbers of rows.
    """

    def __init__(self, *tensors: Tensor | npt.NDArray[Any]) -> None:
        if not tensors:
            raise ValueError("TensorDataset expects at least one tensor, found none")
        for tensor in tensors:
            if not isinstance(tensor, (Tensor, np.ndarray)):
                raise TypeError(f"TensorDataset expects tensors or arrays, found {type(tensor).__name__}")
            if tensor.ndim == 0:
                raise ValueError("TensorDataset expects tensors with an axis of examples, found shape ()")
        lengths = [tensor.shape[0] for tensor in tensors]
        if len(set(lengths)) > 1:
            raise ValueError(f"all tensors of a dataset need the same number of rows, found {lengths}")
        if lengths[0] == 0:
            raise ValueError(f"a dataset needs at least one example, found shape {tensors[0].shape}")
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(t) for t in tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row = _checked_index(index, len(self))
        return tuple(tensor[row] for tensor in self.tensors)

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> tuple[Tensor, ...]:
        """Return the rows at the given indices, one tensor of shape (len(indices), ...) for each tensor."""
        rows = _checked_indices(indices, len(self))
        return tuple(tensor[rows] for tensor in self.tensors)


def _checked_index(index: object, length: int) -> int:
    """Return `index` as an int from 0 to `length` - 1; a negative one counts from the end."""
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)):
        raise TypeError(f"a dataset is indexed with an int, found {type(index).__name__}")
    if not -length <= index < length:
        raise IndexError(f"index {index} is outside of a dataset with {length} examples")
    return int(index) % length


def _checked_indices(indices: Any, length: int) -> npt.NDArray[np.int64]:
    """Return `indices` as a one-dimensional int64 array of indices from 0 to `length` - 1."""
    array = np.asarray(indices.data if isinstance(indices, Tensor) else indices)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"a non-empty list of indices is expected, found shape {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"indices are ints, found dtype {array.dtype}")
    if array.min() < 0 or array.max() >= length:
        raise IndexError(f"indices from 0 to {length - 1} are expected, found {array.min()} to {array.max()}")
    return array.astype(np.int64)


# %%
points = TensorDataset(Tensor([[0.0, 0.5], [1.0, 1.5], [2.0, 2.5]]), Tensor([10, 11, 12]))
assert len(points) == 3
coordinates, target = points[-1]
assert (coordinates.tolist(), target.item()) == ([2.0, 2.5], 12)
assert points.batch([2, 0])[1].tolist() == [12, 10]


class Squares(Dataset):
    """Examples that are computed when they are asked for."""

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return float(index), float(index) ** 2


assert Squares().batch([1, 4])[1].tolist() == [1.0, 16.0]

try:
    TensorDataset(Tensor([1.0, 2.0]), Tensor([0]))
except ValueError as error:
    message = str(error)
else:
    raise AssertionError("rows without a partner must be refused")
assert "[2, 1]" in message

# %% [markdown]
# ## 3. Parts of a dataset
#
# A model is judged on examples it has never seen. So before anything else, the data are divided:
#
# | part | used for | looked at |
# |---|---|---|
# | training | computing gradients | all the time |
# | validation | choosing sizes, learning rates, when to stop | often |
# | test | the final number that is reported | once |
#
# A `Subset` is a dataset plus a list of indices; nothing is copied. `random_split` shuffles all indices
# once and cuts the list. Without the shuffle, a dataset sorted by label would put all nines into the
# test part.
#
# Parts are given as numbers of examples, or as fractions of the whole. Fractions rarely give whole
# numbers, so we round down and give the examples left over to the parts that lost most by rounding (the
# *largest remainder* method, known from elections). Then the sizes always add up:
#
#     11 examples, fractions 0.5, 0.25, 0.25:  exactly 5.5, 2.75, 2.75  ->  5, 2, 2  ->  5, 3, 3
#
# **The same seed, the same split.** If validation examples of yesterday are training examples today, the
# validation score is worthless and nothing tells you. So pass a seed here even where you pass none
# elsewhere.


# %%
#| export
class Subset(Dataset):
    """Some examples of a dataset, in a given order.

    Args:
        dataset: The dataset they come from.
        indices: At least one index into it; an index may occur several times.

    Attributes:
        dataset: The dataset they come from.
        indices: The indices, an int64 array of shape (length,).

    Raises:
        ValueError: If there are no indices.
        TypeError: If the indices are not ints, or `dataset` is not a Dataset.
        IndexError: If an index lies outside of the dataset.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        _check_dataset("Subset", dataset)
        self.dataset = dataset
        self.indices = _checked_indices(indices, len(dataset))

    def __len__(self) -> int:
        return self.indices.size

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[_checked_index(index, len(self))])]

    def batch(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Any:
        """Return the examples at the given indices of this subset as one batch."""
        return self.dataset.batch(self.indices[_checked_indices(indices, len(self))])


def random_split(
    dataset: Dataset, parts: Sequence[float], rng: np.random.Generator | int | None = None
) -> list[Subset]:
    """Divide a dataset at random into disjoint parts that together hold every example once.

    Args:
        dataset: What to divide.
        parts: The sizes, either all ints whose sum is the number of examples, or all floats (fractions)
            whose sum is 1. Fractions are rounded by largest remainder.
        rng: A NumPy generator, or a seed for a new one; None for a split that differs every time.

    Returns:
        One subset per part, in the order of `parts`.

    Raises:
        ValueError: If the sizes do not add up, or a part would be empty.
        TypeError: If a size is not a number, or `dataset` is not a Dataset.
    """
    _check_dataset("random_split", dataset)
    sizes = _part_sizes(parts, len(dataset))
    order = np.random.default_rng(rng).permutation(len(dataset))
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends.tolist(), strict=True)]


def _part_sizes(parts: Sequence[float], total: int) -> list[int]:
    """Return the number of examples in each part of a dataset of `total` examples."""
    if not isinstance(parts, Sequence):
        raise TypeError(f"parts is a sequence of sizes, found {parts!r}")
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (int, float, np.integer, np.floating)):
            raise TypeError(f"the size of a part is an int or a fraction, found {part!r}")
    if all(isinstance(part, (int, np.integer)) for part in parts):
        sizes = [int(part) for part in parts]
        if sum(sizes) != total:
            raise ValueError(f"parts must add up to the {total} examples, found {sizes}: {sum(sizes)}")
    else:
        if not math.isclose(sum(parts), 1.0, abs_tol=1e-9) or min(parts) < 0.0:
            raise ValueError(f"fractions must be positive and add up to 1, found {list(parts)}")
        exact = [total * part for part in parts]
        sizes = [math.floor(size + 1e-9) for size in exact]
        by_loss = sorted(range(len(sizes)), key=lambda place: sizes[place] - exact[place])
        for place in by_loss[: total - sum(sizes)]:
            sizes[place] += 1
    if not sizes or min(sizes) < 1:
        raise ValueError(f"every part needs at least one example, found sizes {sizes} of {total} examples")
    return sizes


# %%
eleven = TensorDataset(Tensor(list(range(11))))
assert _part_sizes([0.5, 0.25, 0.25], 11) == [5, 3, 3]
training, validation = random_split(eleven, [8, 3], rng=0)
assert sorted([*training.indices, *validation.indices]) == list(range(11))
assert random_split(eleven, [8, 3], rng=0)[0].indices.tolist() == training.indices.tolist()
assert len(random_split(training, [0.75, 0.25], rng=1)[1]) == 2  # a part can be divided again

# %% [markdown]
# ## 4. The loader
#
# A `DataLoader` turns a dataset into a stream of batches. One pass over all examples is an *epoch*:
#
# ```text
#   for epoch in range(10):
#       for images, labels in loader:      # a new order in every epoch
#           ...
# ```
#
# **Why shuffle?** If the examples come in a fixed order, the batches are the same in each epoch, and
# their errors never average out. If they come sorted by label, the network learns "everything is a 0",
# then "everything is a 1", and forgets. Drawing *without* replacement (a permutation) sees every example
# once per epoch.
#
# **Different in each epoch, and still reproducible.** The obvious ways fail one of the two: with a
# generator made anew from the seed, each epoch has the same order; with one generator that goes on, the
# order of epoch 7 depends on whether all earlier epochs were run, so an experiment cannot be resumed in
# the middle. Our order is a function of *two* numbers, seed and epoch:
#
#     order(epoch) = default_rng([seed, epoch]).permutation(n)
#
# NumPy mixes the two into one state so that neighbouring numbers give unrelated streams (M. E. O'Neill,
# *Developing a seed_seq Alternative*, 2015, on which `SeedSequence` is built). To resume at epoch 7, set
# `loader.epoch = 7`.
#
# **The last batch.** With $n$ examples and batches of $b$, the last batch has only $n \bmod b$ examples
# (if that is not 0). With `drop_last=True` it is left out:
#
# | | number of batches | |
# |---|---|---|
# | keep it | $\lceil n / b \rceil$ | for evaluation: every example must count |
# | drop it | $\lfloor n / b \rfloor$ | for training: a tiny batch is noisy |
#
# Common mistakes: shuffling the training data but not in each epoch; dropping the last batch when
# *evaluating*; averaging the losses of batches of unequal size without weights.


# %%
#| export
class DataLoader:
    """Goes over a dataset in batches. Each `for` loop over it is one epoch.

    The order of an epoch depends on the seed and the epoch's number alone, so it can be repeated, and a
    loop that was left early has no influence on the next.

    Args:
        dataset: The examples.
        batch_size: Examples per batch, at least 1.
        shuffle: Whether every epoch has a random order of its own.
        drop_last: Whether to leave out the last batch if it is smaller than the others.
        rng: A seed, or a NumPy generator from which one is drawn; None for one that differs every time.
        collate: Makes a batch of a list of examples; None for `Dataset.batch`.

    Attributes:
        dataset: The examples.
        batch_size: Examples per batch.
        epoch: The number of the next epoch. Assign it to resume at, or to repeat, an epoch.
        seed: What the random orders are made from.

    Raises:
        ValueError: If the dataset is empty, `batch_size` is below 1, or there would be no batch.
        TypeError: If `dataset` is not a Dataset, `batch_size` not an int, or `collate` no function.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 32,
        shuffle: bool = False,
        drop_last: bool = False,
        rng: np.random.Generator | int | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        _check_dataset("DataLoader", dataset)
        if collate is not None and not callable(collate):
            raise TypeError(f"collate must be a function, found {type(collate).__name__}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)):
            raise TypeError(f"batch_size is an int, found {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, found {batch_size}")
        if len(dataset) == 0:
            raise ValueError("DataLoader expects at least one example, found an empty dataset")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(
                f"with drop_last, {len(dataset)} examples give no batch of {batch_size}: "
                "use a smaller batch_size or keep the last batch"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.seed = _seed_from(rng)
        self.epoch = 0
        self._collate = collate

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        count = len(self.dataset)
        return count // self.batch_size if self.drop_last else -(-count // self.batch_size)

    def order(self, epoch: int) -> npt.NDArray[np.int64]:
        """Return the indices of all examples in the order of an epoch, shape (examples,).

        Raises:
            TypeError: If `epoch` is not an int.
            ValueError: If it is below 0.
        """
        if isinstance(epoch, bool) or not isinstance(epoch, (int, np.integer)):
            raise TypeError(f"an epoch is a number from 0, found {epoch!r}")
        if epoch < 0:
            raise ValueError(f"an epoch is a number from 0, found {epoch}")
        count = len(self.dataset)
        if not self.shuffle:
            return np.arange(count, dtype=np.int64)
        return np.random.default_rng([self.seed, epoch]).permutation(count).astype(np.int64, copy=False)

    def __iter__(self) -> Iterator[Any]:
        order = self.order(self.epoch)
        self.epoch += 1
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return (self._batch(order[start : start + self.batch_size]) for start in starts)

    def _batch(self, indices: npt.NDArray[np.int64]) -> Any:
        if self._collate is None:
            return self.dataset.batch(indices)
        return self._collate([self.dataset[int(index)] for index in indices])

    def __repr__(self) -> str:
        return (
            f"DataLoader({len(self.dataset)} examples, batch_size={self.batch_size}, shuffle={self.shuffle}, "
            f"drop_last={self.drop_last}, seed={self.seed})"
        )


def _seed_from(rng: np.random.Generator | int | None) -> int:
    """Return a seed: the given one, one drawn from a generator, or one from the operating system."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"a seed is a non-negative int, found {rng}")
        return int(rng)
    return int(np.random.default_rng(rng).integers(2**63))


# %%
loader = DataLoader(eleven, batch_size=4, shuffle=True, rng=7)
first_epoch = [batch.tolist() for (batch,) in loader]
second_epoch = [batch.tolist() for (batch,) in loader]
assert [len(batch) for batch in first_epoch] == [4, 4, 3]
assert first_epoch != second_epoch
for batches in (first_epoch, second_epoch):  # every example once
    assert sorted(number for batch in batches for number in batch) == list(range(11))

loader.epoch = 0  # repeat the first epoch
assert [batch.tolist() for (batch,) in loader] == first_epoch
again = DataLoader(eleven, batch_size=4, shuffle=True, rng=7)
assert [batch.tolist() for (batch,) in again] == first_epoch

assert len(DataLoader(eleven, batch_size=4, drop_last=True)) == 2
assert [batch.tolist() for (batch,) in DataLoader(eleven, batch_size=6)] == [
    [0, 1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10],
]

# %% [markdown]
# Sequences of different lengths need a collate function of their own. Here is one that pads with zeros
# and returns the true lengths too, so that a model can ignore the padding:


# %%
class Words(Dataset):
    """Three words as sequences of letter numbers."""

    words = ([3, 1, 20], [4, 15, 7, 19], [1, 14])

    def __len__(self):
        return len(self.words)

    def __getitem__(self, index):
        return Tensor(self.words[index])


def padded(examples):
    longest = max(len(example) for example in examples)
    rows = [example.pad([(0, longest - len(example))], value=0) for example in examples]
    return stack(rows), Tensor([len(example) for example in examples])


((letters, true_lengths),) = DataLoader(Words(), batch_size=3, collate=padded)
assert letters.tolist() == [[3, 1, 20, 0], [4, 15, 7, 19], [1, 14, 0, 0]]
assert true_lengths.tolist() == [3, 4, 2]

# %% [markdown]
# ## 5. Normalisation
#
# Suppose one feature is a person's height in metres (1.5 to 2.0), another the income in euros (20,000 to
# 90,000). A step along the gradient that is right for the one is absurd for the other: the loss is a long
# narrow valley, and gradient descent zigzags between its walls. *Standardising* brings all features to
# one scale (LeCun, Bottou, Orr & Müller, *Efficient BackProp*, 1998, section 4.3):
#
# $$z = \frac{x - \mu}{\sigma}, \qquad \mu = \frac1n \sum_i x_i, \qquad
#   \sigma^2 = \frac1n \sum_i (x_i - \mu)^2, \qquad x = z\,\sigma + \mu.$$
#
# Three points where programs go wrong:
#
# 1. **Fit on the training part only.** Mean and variance of the test examples are knowledge about the
#    test. This is why `fit` and `transform` are two methods: fit once, transform all parts with the same
#    numbers.
# 2. **Constant features** have $\sigma = 0$, and $0 / 0$ is NaN in every example. (The corner pixels of
#    scanned digits are always white.) For these we divide by 1 instead: the feature becomes 0. "Constant"
#    is tested as *largest = smallest*. Testing $\sigma = 0$ would miss some: in floating point the mean of
#    ten times 0.1 is not exactly 0.1, and dividing that tiny rounding error by its own size gives 1.
# 3. **Which axes?** For a table of shape $(n, f)$ each of the $f$ columns has its own mean: reduce axis
#    0. For images $(N, C, H, W)$ one usually takes one mean per channel: reduce axes 0, 2 and 3.
#
# The statistics are computed in `float64`: summing a million `float32` numbers one loses digits that the
# division by a small $\sigma$ would make visible.


# %%
#| export
class Normalizer:
    """Shifts and scales features to mean 0 and variance 1 (LeCun et al., Efficient BackProp, 1998).

    Args:
        axis: The axes over which mean and variance are taken: 0 for a table (examples, features), (0, 2, 3)
            for images (N, C, H, W) with statistics per channel.

    Attributes:
        axis: The axes, as a tuple.
        mean: The means, with length 1 on the reduced axes; None before `fit`.
        scale: The standard deviations, of the same shape; 1 for constant features; None before `fit`.

    Raises:
        TypeError: If an axis is not an int, or there is none.
    """

    def __init__(self, axis: int | Sequence[int] = 0) -> None:
        self.axis = tuple(axis) if isinstance(axis, Sequence) else (axis,)
        if not self.axis or any(isinstance(one, bool) or not isinstance(one, int) for one in self.axis):
            raise TypeError(f"axis is an int or a sequence of ints, found {axis!r}")
        self.mean: Tensor | None = None
        self.scale: Tensor | None = None

    def fit(self, x: Tensor) -> "Normalizer":
        """Compute mean and scale from training data.

        Args:
            x: Numbers of any shape that has the axes. Integers count as float32.

        Returns:
            This normalizer.

        Raises:
            TypeError: If `x` is not a tensor.
            ValueError: If `x` is empty, lacks an axis, or holds NaN or infinite values.
        """
        values = _checked_features("fit", x)
        if any(not -values.ndim <= axis < values.ndim for axis in self.axis):
            raise ValueError(f"axes {self.axis} do not exist in data of shape {values.shape}")
        if values.size == 0:
            raise ValueError(f"fit expects finite values, found none, in shape {values.shape}")
        dtype = x.dtype if x.dtype.kind == "f" else np.dtype(np.float32)
        wide = values.astype(np.float64)
        smallest = wide.min(axis=self.axis, keepdims=True)
        constant = smallest == wide.max(axis=self.axis, keepdims=True)
        mean = np.where(constant, smallest, wide.mean(axis=self.axis, keepdims=True))
        scale = wide.std(axis=self.axis, keepdims=True).astype(dtype)
        self.mean = Tensor(mean.astype(dtype))
        self.scale = Tensor(np.where(constant | (scale == 0), dtype.type(1), scale))
        return self

    def transform(self, x: Tensor) -> Tensor:
        """Return (x - mean) / scale; gradients flow through it.

        Raises:
            RuntimeError: If nothing was fitted yet.
            TypeError: If `x` is not a tensor.
            ValueError: If `x` does not have the features that were fitted, or holds NaN or infinite values.
        """
        mean, scale = self._fitted("transform", x)
        return (x - mean) / scale

    def fit_transform(self, x: Tensor) -> Tensor:
        """Fit on `x`, then transform it; for the training part only."""
        return self.fit(x).transform(x)

    def inverse(self, x: Tensor) -> Tensor:
        """Return x * scale + mean: what `transform` made of it, in the original units.

        Raises:
            RuntimeError: If nothing was fitted yet.
            TypeError: If `x` is not a tensor.
            ValueError: If `x` does not have the features that were fitted, or holds NaN or infinite values.
        """
        mean, scale = self._fitted("inverse", x)
        return x * scale + mean

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of mean and scale, to be stored beside a model.

        Raises:
            RuntimeError: If nothing was fitted yet.
        """
        if self.mean is None or self.scale is None:
            raise RuntimeError("this normalizer has no statistics yet: call fit(training data) first")
        return {"mean": self.mean.numpy(), "scale": self.scale.numpy()}

    def load_state_dict(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take over the statistics that `state_dict` returned.

        Raises:
            ValueError: If mean or scale is missing, their shapes differ, or a value makes no sense.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"a state is a mapping from names to arrays, found {type(state).__name__}")
        if set(state) != {"mean", "scale"}:
            raise ValueError(f"a state has the keys mean and scale, found {sorted(state)}")
        mean, scale = np.asarray(state["mean"]), np.asarray(state["scale"])
        if mean.shape != scale.shape:
            raise ValueError(f"mean and scale must have one shape, found {mean.shape} and {scale.shape}")
        if mean.dtype.kind not in "iuf" or scale.dtype.kind not in "iuf":
            raise TypeError(f"mean and scale are numbers, found dtypes {mean.dtype} and {scale.dtype}")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(f"finite means and positive scales are expected, found {mean} and {scale}")
        self.mean, self.scale = Tensor(mean), Tensor(scale)

    def _fitted(self, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.mean is None or self.scale is None:
            raise RuntimeError("this normalizer has no statistics yet: call fit(training data) first")
        shape = _checked_features(name, x).shape
        reduced = {axis % self.mean.ndim for axis in self.axis}
        fits = len(shape) == self.mean.ndim and all(
            place in reduced or length == self.mean.shape[place] for place, length in enumerate(shape)
        )
        if not fits:
            wanted = tuple("any" if place in reduced else n for place, n in enumerate(self.mean.shape))
            raise ValueError(f"fitted on features of shape {wanted}, found {shape}")
        return self.mean, self.scale


def _checked_features(name: str, x: object) -> npt.NDArray[Any]:
    """Return the array of a tensor of finite numbers."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} expects a Tensor, found {type(x).__name__}")
    bad = x.size - int(np.isfinite(x.data).sum())
    if bad:
        raise ValueError(f"{name} expects finite values, found {bad} NaN or infinite of {x.size}")
    return x.data


# %%
table = Tensor([[1.5, 20000.0, 0.1], [1.7, 90000.0, 0.1], [1.9, 40000.0, 0.1]])
normalizer = Normalizer().fit(table)
z = normalizer.transform(table)
assert np.allclose(z.mean(axis=0).numpy(), 0.0, atol=1e-6)
assert np.allclose(z.var(axis=0).numpy(), [1.0, 1.0, 0.0], atol=1e-6)
assert z[:, 2].tolist() == [0.0, 0.0, 0.0]  # the constant feature
assert np.allclose(normalizer.inverse(z).numpy(), table.numpy())

pictures = Tensor(np.random.default_rng(0).integers(0, 256, size=(5, 3, 4, 4), dtype=np.uint8))
per_channel = Normalizer(axis=(0, 2, 3)).fit(pictures)
assert per_channel.mean.shape == (1, 3, 1, 1)
assert per_channel.transform(pictures[:2]).dtype == np.float32

# %% [markdown]
# ## Putting it together
#
# The order of the steps matters: divide, fit on the training part, transform everything, load.

# %%
generator = np.random.default_rng(0)
features = Tensor(generator.normal(5.0, 3.0, size=(100, 4)), dtype=np.float32)
classes = Tensor(generator.integers(0, 2, size=100))
train_part, test_part = random_split(TensorDataset(features, classes), [0.8, 0.2], rng=0)

scaler = Normalizer().fit(features[train_part.indices])
scaled = TensorDataset(scaler.transform(features), classes)
train_loader = DataLoader(Subset(scaled, train_part.indices), batch_size=16, shuffle=True, rng=0)
seen = 0
for inputs, targets in train_loader:
    assert inputs.shape == (16, 4)
    seen += len(targets)
assert seen == 80

# %% [markdown]
# ## Summary
#
# - A dataset has a length and an index. `batch` is where a dataset that knows a faster way can take it.
# - Split first, with a seed; normalise with the statistics of the training part alone.
# - The order of an epoch is a function of seed and epoch: always different, always repeatable.
# - A small last batch is kept for evaluation and may be dropped in training.
# - Constant features are divided by 1, not by 0.
#
# ## Exercises
#
# 1. Write a dataset that maps a function over another one, `Mapped(dataset, function)`. Which of the three
#    methods must it have? Use it to flip images at random.
# 2. Sort sentences by length before batching, so that `padded` above wastes less. How do you keep some
#    randomness?
# 3. Write a *stratified* split, in which every class has the same share in all parts.
# 4. With 5 classes of very unequal size, make each equally likely in a batch: use `Subset` with repeated
#    indices. What happens to the meaning of "epoch"?
# 5. Measure how long an epoch over a `TensorDataset` takes with `batch` and with `collate=collate`.
