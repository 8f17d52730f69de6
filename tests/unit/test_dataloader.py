"""Unit tests of the data loading module."""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.dataloader import (
    DataLoader,
    Dataset,
    Normalizer,
    Subset,
    TensorDataset,
    collate,
    random_split,
)
from tinytorch.core.tensor import Tensor

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=60)


def numbered(count: int) -> TensorDataset:
    """A dataset whose example i is (i, [i, -i])."""
    numbers = np.arange(count)
    return TensorDataset(Tensor(numbers), Tensor(np.stack([numbers, -numbers], axis=1)))


class Counting(Dataset):
    """A dataset that only has the two required methods, and notes what it was asked for."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        self.asked.append(index)
        return {"number": index, "half": index / 2}


class TestCollate:
    def test_stacks_every_field_and_keeps_the_structure(self) -> None:
        rng = np.random.default_rng(0)
        images = rng.normal(size=(4, 2, 3)).astype(np.float32)
        batch = collate([(Tensor(image), {"label": i, "weight": 0.5}) for i, image in enumerate(images)])
        assert isinstance(batch, tuple)
        np.testing.assert_array_equal(batch[0].numpy(), images)
        assert batch[0].dtype == np.float32
        assert batch[1]["label"].tolist() == [0, 1, 2, 3]
        assert batch[1]["label"].dtype == np.int64
        assert batch[1]["weight"].dtype == np.float32

    def test_arrays_and_numpy_numbers_keep_their_dtype(self) -> None:
        assert collate([np.float64(1.0), np.float64(2.0)]).dtype == np.float64
        assert collate([np.zeros(2, np.uint8)] * 3).dtype == np.uint8

    @pytest.mark.parametrize(
        ("examples", "error", "message"),
        [
            ([], ValueError, "at least one example, found none"),
            (
                [Tensor([1.0]), Tensor([1.0, 2.0])],
                ValueError,
                r"one shape, found \[\(1,\), \(2,\)\].*pad them",
            ),
            ([(1, 2), (1, 2, 3)], ValueError, "number of fields: expected 2, found 3 in example 1"),
            ([{"a": 1}, {"b": 1}], ValueError, "agree in the keys"),
            ([(1,), 1], ValueError, "one structure.*tuple, example 1 of type int"),
            (["word", "other"], TypeError, "tensors, arrays and numbers, found str"),
        ],
    )
    def test_says_what_does_not_fit(self, examples: list[Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            collate(examples)


class TestDatasets:
    def test_dataset_is_abstract(self) -> None:
        with pytest.raises(TypeError, match="abstract"):
            Dataset()  # type: ignore[abstract]

    def test_rows_belong_together(self) -> None:
        dataset = numbered(5)
        number, pair = dataset[3]
        assert (number.item(), pair.tolist()) == (3, [3, -3])
        assert dataset[-1][0].item() == 4
        assert dataset[np.int64(2)][0].item() == 2
        assert [number.item() for number, _ in dataset] == [0, 1, 2, 3, 4]

    def test_fast_batch_equals_the_general_one(self) -> None:
        dataset = numbered(6)
        fast, slow = dataset.batch([4, 0, 4]), Dataset.batch(dataset, [4, 0, 4])
        for one, other in zip(fast, slow, strict=True):
            assert one.tolist() == other.tolist()
            assert one.dtype == other.dtype

    def test_accepts_arrays(self) -> None:
        dataset = TensorDataset(np.zeros((3, 2), np.float32))
        assert isinstance(dataset[0][0], Tensor)

    @pytest.mark.parametrize("index", [5, -6])
    def test_outside_is_an_index_error(self, index: int) -> None:
        with pytest.raises(IndexError, match=f"index {index} is outside of a dataset with 5"):
            numbered(5)[index]

    def test_index_of_another_type(self) -> None:
        with pytest.raises(TypeError, match="indexed with an int, found float"):
            numbered(5)[1.0]  # type: ignore[index]
        with pytest.raises(TypeError, match="found bool"):
            numbered(5)[True]

    @pytest.mark.parametrize(
        ("tensors", "error", "message"),
        [
            ((), ValueError, "at least one tensor"),
            ((Tensor([1.0, 2.0]), Tensor([1])), ValueError, r"same number of rows, found \[2, 1\]"),
            ((Tensor(np.zeros((0, 3))),), ValueError, r"at least one example, found shape \(0, 3\)"),
            ((Tensor(1.0),), ValueError, r"an axis of examples, found shape \(\)"),
            (([1.0, 2.0],), TypeError, "tensors or arrays, found list"),
        ],
    )
    def test_says_what_does_not_fit(
        self, tensors: tuple[Any, ...], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            TensorDataset(*tensors)


class TestSubset:
    def test_keeps_the_given_order_and_repetitions(self) -> None:
        part = Subset(numbered(10), [7, 2, 7])
        assert [number.item() for number, _ in part] == [7, 2, 7]
        assert part.batch([2, 1])[0].tolist() == [7, 2]
        assert Subset(part, [1])[0][0].item() == 2

    def test_works_with_a_dataset_without_batch_of_its_own(self) -> None:
        assert Subset(Counting(9), [8, 1]).batch([0, 1])["half"].tolist() == [4.0, 0.5]

    @pytest.mark.parametrize(
        ("indices", "error", "message"),
        [
            ([], ValueError, "non-empty list of indices"),
            ([[0, 1]], ValueError, r"found shape \(1, 2\)"),
            ([3], IndexError, "from 0 to 2 are expected, found 3 to 3"),
            ([-1], IndexError, "from 0 to 2"),
            ([0.5], TypeError, "ints, found dtype float64"),
            ([True, False, True], TypeError, "ints, found dtype bool"),
        ],
    )
    def test_says_what_does_not_fit(self, indices: list[Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            Subset(numbered(3), indices)


class TestRandomSplit:
    @REPEATABLE
    @given(st.integers(3, 200), st.integers(0, 99))
    def test_every_example_is_in_exactly_one_part(self, count: int, seed: int) -> None:
        parts = random_split(numbered(count), [count - 2, 1, 1], rng=seed)
        assert [len(part) for part in parts] == [count - 2, 1, 1]
        assert sorted(np.concatenate([part.indices for part in parts])) == list(range(count))

    @REPEATABLE
    @given(st.integers(20, 300), st.lists(st.integers(1, 9), min_size=1, max_size=5))
    def test_fractions_are_rounded_by_less_than_one(self, count: int, weights: list[int]) -> None:
        fractions = [weight / sum(weights) for weight in weights]
        if min(fractions) * count < 1:
            return
        sizes = [len(part) for part in random_split(numbered(count), fractions, rng=0)]
        assert sum(sizes) == count
        assert all(abs(size - count * fraction) < 1 for size, fraction in zip(sizes, fractions, strict=True))

    def test_whole_fractions_are_exact(self) -> None:
        assert [len(part) for part in random_split(numbered(100), [0.7, 0.2, 0.1], rng=0)] == [70, 20, 10]

    def test_same_seed_same_split(self) -> None:
        first, second, other = (random_split(numbered(50), [0.5, 0.5], rng=seed)[0] for seed in (3, 3, 4))
        np.testing.assert_array_equal(first.indices, second.indices)
        assert first.indices.tolist() != other.indices.tolist()
        assert first.indices.tolist() != sorted(first.indices.tolist())

    def test_a_generator_moves_on(self) -> None:
        rng = np.random.default_rng(0)
        first, second = (random_split(numbered(50), [0.5, 0.5], rng=rng)[0] for _ in range(2))
        assert first.indices.tolist() != second.indices.tolist()

    @pytest.mark.parametrize(
        ("parts", "error", "message"),
        [
            ([3, 3], ValueError, r"add up to the 10 examples, found \[3, 3\]: 6"),
            ([], ValueError, "add up to the 10 examples"),
            ([0.5, 0.6], ValueError, "fractions must be positive and add up to 1"),
            ([1.5, -0.5], ValueError, "fractions must be positive"),
            ([float("nan"), 0.5], ValueError, "fractions must be positive"),
            ([10, 0], ValueError, r"at least one example, found sizes \[10, 0\] of 10"),
            ([0.99, 0.01], ValueError, "at least one example"),
            (["half", "half"], TypeError, "an int or a fraction, found 'half'"),
        ],
    )
    def test_says_what_does_not_fit(self, parts: list[Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            random_split(numbered(10), parts)


def numbers_of(loader: DataLoader) -> list[list[int]]:
    return [numbers.tolist() for numbers, _ in loader]


class TestDataLoader:
    @REPEATABLE
    @given(st.integers(1, 60), st.integers(1, 70), st.booleans())
    def test_every_example_once_and_as_many_batches_as_it_says(
        self, count: int, batch_size: int, shuffle: bool
    ) -> None:
        loader = DataLoader(numbered(count), batch_size, shuffle=shuffle, rng=0)
        batches = numbers_of(loader)
        assert len(batches) == len(loader) == -(-count // batch_size)
        assert all(len(batch) == batch_size for batch in batches[:-1])
        flat = [number for batch in batches for number in batch]
        assert (sorted(flat) if shuffle else flat) == list(range(count))

    @REPEATABLE
    @given(st.integers(1, 60), st.integers(1, 60))
    def test_drop_last_leaves_whole_batches_only(self, count: int, batch_size: int) -> None:
        if batch_size > count:
            with pytest.raises(ValueError, match="give no batch"):
                DataLoader(numbered(count), batch_size, drop_last=True)
            return
        loader = DataLoader(numbered(count), batch_size, drop_last=True)
        assert [len(batch) for batch in numbers_of(loader)] == [batch_size] * (count // batch_size)
        assert len(loader) == count // batch_size

    def test_rows_stay_together_when_shuffled(self) -> None:
        for numbers, pairs in DataLoader(numbered(20), 6, shuffle=True, rng=1):
            np.testing.assert_array_equal(
                pairs.numpy(), np.stack([numbers.numpy(), -numbers.numpy()], axis=1)
            )

    def test_epochs_differ_and_repeat_with_the_seed(self) -> None:
        first, second = (DataLoader(numbered(40), 8, shuffle=True, rng=5) for _ in range(2))
        epochs = [numbers_of(first) for _ in range(3)]
        assert epochs == [numbers_of(second) for _ in range(3)]
        assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
        assert epochs[0] != numbers_of(DataLoader(numbered(40), 8, shuffle=True, rng=6))

    def test_an_epoch_can_be_resumed_whatever_came_before(self) -> None:
        whole = DataLoader(numbered(40), 8, shuffle=True, rng=5)
        epochs = [numbers_of(whole) for _ in range(3)]
        interrupted = DataLoader(numbered(40), 8, shuffle=True, rng=5)
        next(iter(interrupted))  # left after the first batch
        assert numbers_of(interrupted) == epochs[1]
        resumed = DataLoader(numbered(40), 8, shuffle=True, rng=5)
        resumed.epoch = 2
        assert numbers_of(resumed) == epochs[2]
        assert resumed.epoch == 3

    def test_two_iterators_do_not_disturb_each_other(self) -> None:
        loader = DataLoader(numbered(12), 4, shuffle=True, rng=0)
        one: Iterator[Any] = iter(loader)
        other: Iterator[Any] = iter(loader)
        mixed = [(next(one)[0].tolist(), next(other)[0].tolist()) for _ in range(3)]
        loader.epoch = 0
        assert [first for first, _ in mixed] == numbers_of(loader)
        assert [second for _, second in mixed] == numbers_of(loader)

    def test_without_a_seed_the_order_is_new_but_known(self) -> None:
        first, second = DataLoader(numbered(64), shuffle=True), DataLoader(numbered(64), shuffle=True)
        assert first.seed != second.seed
        repeated = DataLoader(numbered(64), shuffle=True, rng=first.seed)
        assert numbers_of(repeated) == numbers_of(first)

    def test_a_generator_gives_the_seed(self) -> None:
        seeds = [DataLoader(numbered(4), rng=np.random.default_rng(3)).seed for _ in range(2)]
        assert seeds[0] == seeds[1]

    def test_asks_a_plain_dataset_only_for_what_it_gives(self) -> None:
        dataset = Counting(10)
        batch = next(iter(DataLoader(dataset, 3)))
        assert batch["number"].tolist() == [0, 1, 2]
        assert dataset.asked == [0, 1, 2]
        assert all(type(index) is int for index in dataset.asked)

    def test_own_collate_gets_the_examples(self) -> None:
        loader = DataLoader(numbered(5), 2, collate=lambda examples: [int(number) for number, _ in examples])
        assert list(loader) == [[0, 1], [2, 3], [4]]

    def test_repr_names_the_settings(self) -> None:
        assert "5 examples, batch_size=2, shuffle=True" in repr(DataLoader(numbered(5), 2, shuffle=True))

    @pytest.mark.parametrize("batch_size", [0, -3])
    def test_batch_size_below_one(self, batch_size: int) -> None:
        with pytest.raises(ValueError, match=f"at least 1, found {batch_size}"):
            DataLoader(numbered(5), batch_size)

    @pytest.mark.parametrize("batch_size", [2.0, True, "4", None])
    def test_batch_size_of_another_type(self, batch_size: Any) -> None:
        with pytest.raises(TypeError, match="batch_size is an int, found"):
            DataLoader(numbered(5), batch_size)

    def test_empty_dataset(self) -> None:
        with pytest.raises(ValueError, match="found an empty dataset"):
            DataLoader(Counting(0))

    def test_something_else_than_a_dataset(self) -> None:
        with pytest.raises(TypeError, match=r"found Tensor: wrap tensors in TensorDataset"):
            DataLoader(Tensor([1.0, 2.0]))  # type: ignore[arg-type]

    def test_negative_seed(self) -> None:
        with pytest.raises(ValueError, match="non-negative int, found -1"):
            DataLoader(numbered(5), rng=-1)


class TestNormalizer:
    def test_against_numpy(self) -> None:
        x = np.random.default_rng(0).normal(7.0, 3.0, size=(200, 5))
        z = Normalizer().fit_transform(Tensor(x))
        np.testing.assert_allclose(z.numpy(), (x - x.mean(axis=0)) / x.std(axis=0), rtol=1e-12)

    def test_statistics_come_from_the_fitted_data_only(self) -> None:
        normalizer = Normalizer().fit(Tensor([[0.0], [2.0]]))
        assert normalizer.transform(Tensor([[5.0]])).tolist() == [[4.0]]

    def test_channels_of_images(self) -> None:
        x = np.random.default_rng(1).normal(size=(4, 3, 5, 6)).astype(np.float32)
        normalizer = Normalizer(axis=(0, 2, 3)).fit(Tensor(x))
        assert normalizer.mean is not None
        np.testing.assert_allclose(normalizer.mean.numpy().ravel(), x.mean(axis=(0, 2, 3)), rtol=1e-4)
        z = normalizer.transform(Tensor(x)).numpy()
        np.testing.assert_allclose(z.std(axis=(0, 2, 3)), 1.0, rtol=1e-5)

    def test_inverse(self) -> None:
        x = Tensor(np.random.default_rng(2).normal(50.0, 9.0, size=(30, 4)))
        normalizer = Normalizer().fit(x)
        np.testing.assert_allclose(normalizer.inverse(normalizer.transform(x)).numpy(), x.numpy(), rtol=1e-12)

    @pytest.mark.parametrize("value", [0.1, 0.0, 1e30, -3.3])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_constant_features_become_zero(self, value: float, dtype: type[np.floating[Any]]) -> None:
        x = Tensor(np.full((10, 2), value, dtype))
        normalizer = Normalizer()
        assert normalizer.fit_transform(x).tolist() == [[0.0, 0.0]] * 10
        assert normalizer.inverse(normalizer.transform(x)).tolist() == x.tolist()

    def test_one_example_counts_as_constant(self) -> None:
        assert Normalizer().fit_transform(Tensor([[3.0, 4.0]])).tolist() == [[0.0, 0.0]]

    def test_small_variation_beside_a_large_mean_is_kept(self) -> None:
        x = Tensor(np.array([[1e4], [1e4 + 1], [1e4 + 2]], np.float32))
        np.testing.assert_allclose(
            Normalizer().fit_transform(x).numpy().ravel(), [-(1.5**0.5), 0, 1.5**0.5], rtol=1e-6
        )

    @pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
    def test_result_is_float32(self, dtype: type[np.generic]) -> None:
        z = Normalizer().fit_transform(Tensor(np.array([[0], [200]], dtype)))
        assert z.dtype == np.float32
        assert z.tolist() == [[-1.0], [1.0]]

    def test_state_can_be_stored(self) -> None:
        x = Tensor(np.random.default_rng(3).normal(size=(20, 3)))
        first, second = Normalizer().fit(x), Normalizer()
        second.load_state_dict(first.state_dict())
        assert second.transform(x).tolist() == first.transform(x).tolist()

    @pytest.mark.parametrize(
        ("state", "message"),
        [
            ({"mean": np.zeros(2)}, r"keys mean and scale, found \['mean'\]"),
            ({"mean": np.zeros(2), "scale": np.ones(3)}, r"one shape, found \(2,\) and \(3,\)"),
            ({"mean": np.zeros(2), "scale": np.zeros(2)}, "positive scales"),
            ({"mean": np.array([np.nan]), "scale": np.ones(1)}, "finite means"),
        ],
    )
    def test_bad_states(self, state: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Normalizer().load_state_dict(state)

    @pytest.mark.parametrize("method", ["transform", "inverse"])
    def test_use_before_fit(self, method: str) -> None:
        with pytest.raises(RuntimeError, match="call fit"):
            getattr(Normalizer(), method)(Tensor([[1.0]]))
        with pytest.raises(RuntimeError, match="call fit"):
            Normalizer().state_dict()

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_values_that_are_not_finite(self, bad: float) -> None:
        with pytest.raises(ValueError, match="1 NaN or infinite of 2"):
            Normalizer().fit(Tensor([[1.0], [bad]]))

    def test_empty_data_and_missing_axes(self) -> None:
        with pytest.raises(ValueError, match=r"found none, in shape \(0, 3\)"):
            Normalizer().fit(Tensor(np.zeros((0, 3))))
        with pytest.raises(ValueError, match=r"axes \(0, 2\) do not exist in data of shape \(2, 3\)"):
            Normalizer(axis=(0, 2)).fit(Tensor(np.zeros((2, 3))))

    @pytest.mark.parametrize("shape", [(5, 4), (3,), (2, 5, 3), (5, 1)])
    def test_features_of_another_shape(self, shape: tuple[int, ...]) -> None:
        normalizer = Normalizer().fit(Tensor(np.arange(6.0).reshape(2, 3)))
        with pytest.raises(ValueError, match=r"fitted on features of shape \('any', 3\), found"):
            normalizer.transform(Tensor(np.zeros(shape)))

    def test_arrays_are_refused(self) -> None:
        with pytest.raises(TypeError, match="expects a Tensor, found ndarray"):
            Normalizer().fit(np.zeros((2, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: DataLoader(numbered(3)).order("first"),
            TypeError,
            "an epoch is a number from 0, found 'first'",
        ),
        (lambda: DataLoader(numbered(3)).order(-1), ValueError, "an epoch is a number from 0, found -1"),
        (lambda: collate(None), TypeError, "collate expects a sequence of examples, found NoneType"),
        (
            lambda: collate(np.ones((2, 2))),
            TypeError,
            "collate expects a sequence of examples, found ndarray",
        ),
        (
            lambda: Subset([1, 2, 3], [0]),
            TypeError,
            "Subset expects a Dataset, found list: wrap tensors in TensorDataset(...)",
        ),
        (lambda: random_split("abc", [1, 2]), TypeError, "random_split expects a Dataset, found str"),
        (lambda: random_split(numbered(3), 3), TypeError, "parts is a sequence of sizes, found 3"),
        (lambda: DataLoader(numbered(3), collate=3), TypeError, "collate must be a function, found int"),
        (lambda: Normalizer(None), TypeError, "axis is an int or a sequence of ints, found None"),
        (lambda: Normalizer(()), TypeError, "axis is an int or a sequence of ints, found ()"),
        (
            lambda: Normalizer().load_state_dict(None),
            TypeError,
            "a state is a mapping from names to arrays, found NoneType",
        ),
        (
            lambda: Normalizer().load_state_dict({"mean": "a", "scale": "b"}),
            TypeError,
            "mean and scale are numbers, found dtypes <U1 and <U1",
        ),
        (
            lambda: Normalizer().fit(Tensor([[1.0, math.nan]])),
            ValueError,
            "fit expects finite values, found 1 NaN or infinite of 2",
        ),
        (
            lambda: Normalizer().fit(Tensor([[1.0], [2.0]])).transform(Tensor([[math.nan]])),
            ValueError,
            "transform expects finite values, found 1 NaN or infinite of 1",
        ),
        (
            lambda: Normalizer().fit(Tensor([[1.0], [2.0]])).inverse(Tensor([[math.inf]])),
            ValueError,
            "inverse expects finite values, found 1 NaN or infinite of 1",
        ),
    ],
)
def test_bad_input_is_answered_with_what_was_expected_and_found(
    call: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        call()
