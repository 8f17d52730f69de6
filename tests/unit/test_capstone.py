"""Unit tests of the capstone module."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.autograd import no_grad
from tinytorch.core.capstone import (
    CharacterTransformer,
    CharacterVocabulary,
    CharacterWindows,
    ClassifierConfig,
    FitSettings,
    ImageClassifier,
    TransformerConfig,
    fit_model,
    generate_text,
    next_token_probabilities,
    perplexity,
    split_text,
)
from tinytorch.core.dataloader import DataLoader, TensorDataset
from tinytorch.core.layers import Dropout, Layer, Linear
from tinytorch.core.spatial import BatchNorm2D, Conv2D
from tinytorch.core.tensor import Tensor
from tinytorch.core.training import CrossEntropyLoss, Trainer

REPEATABLE = settings(derandomize=True, deadline=None, max_examples=30)
TEXTS = st.text("aeiou xyz\n\té漢🙂", min_size=1, max_size=40)
SMALL = TransformerConfig(tokens=7, context=6, features=8, heads=2, depth=2)


def small_transformer(dropout: float = 0.0, dtype: Any = np.float64, rng: int = 0) -> CharacterTransformer:
    return CharacterTransformer(TransformerConfig(7, 6, 8, 2, 2, dropout), rng, dtype)


def random_tokens(*shape: int, below: int = 7, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).integers(0, below, shape))


class Shift(Layer):
    """Scores with one parameter, so that it can be followed what becomes of it."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.linear = Linear(1, 2, rng=0, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class TestVocabulary:
    @REPEATABLE
    @given(TEXTS)
    def test_decoding_is_the_opposite_of_encoding(self, text: str) -> None:
        vocabulary = CharacterVocabulary(text)
        tokens = vocabulary.encode(text)
        assert tokens.dtype == np.int64
        assert tokens.shape == (len(text),)
        assert vocabulary.decode(tokens) == text
        assert len(vocabulary) == len(set(text)) == int(tokens.numpy().max()) + 1

    def test_numbers_depend_on_the_set_of_characters_alone(self) -> None:
        assert CharacterVocabulary("tea").characters == "aet"
        assert CharacterVocabulary("eat at tea") == CharacterVocabulary("at tea")
        assert CharacterVocabulary("tea") != CharacterVocabulary("te")
        assert len({CharacterVocabulary("tea"), CharacterVocabulary("ate")}) == 1
        assert "t" in CharacterVocabulary("tea")
        assert "x" not in CharacterVocabulary("tea")
        assert CharacterVocabulary("tea").encode("").shape == (0,)
        assert repr(CharacterVocabulary("tea")) == "CharacterVocabulary('aet')"

    def test_unknown_characters_and_numbers_are_named(self) -> None:
        vocabulary = CharacterVocabulary("tea")
        with pytest.raises(ValueError, match=r"vocabulary 'aet', found 'é' \(U\+00E9\) at place 3"):
            vocabulary.encode("teaé")
        with pytest.raises(ValueError, match="from 0 to 2, found 0 to 3"):
            vocabulary.decode(Tensor([0, 3]))
        with pytest.raises(ValueError, match="found -1 to 2"):
            vocabulary.decode(Tensor([2, -1]))
        with pytest.raises(ValueError, match=r"shape \(T,\), found \(1, 2\)"):
            vocabulary.decode(Tensor([[0, 1]]))
        with pytest.raises(TypeError, match="integer dtype, found float32"):
            vocabulary.decode(Tensor([0.0]))
        with pytest.raises(TypeError, match="as a Tensor, found list"):
            vocabulary.decode([0])  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expects a str, found bytes"):
            vocabulary.encode(b"tea")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expects a str, found list"):
            CharacterVocabulary(["t"])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="found an empty text"):
            CharacterVocabulary("")


class TestWindows:
    @REPEATABLE
    @given(st.integers(2, 30), st.integers(1, 29), st.integers(1, 10))
    def test_every_window_that_fits_and_no_other(self, length: int, context: int, stride: int) -> None:
        if context >= length:
            with pytest.raises(ValueError, match=f"at least {context + 1} characters, found {length}"):
                CharacterWindows(Tensor(np.arange(length)), context, stride)
            return
        windows = CharacterWindows(Tensor(np.arange(length)), context, stride)
        starts = [start for start in range(0, length, stride) if start + context + 1 <= length]
        assert len(windows) == len(starts)
        for (inputs, targets), start in zip(windows, starts, strict=True):
            assert inputs.tolist() == list(range(start, start + context))
            assert targets.tolist() == list(range(start + 1, start + context + 1))
        inputs, targets = windows.batch(range(len(windows))[::-1])
        assert inputs.tolist() == [list(range(start, start + context)) for start in starts[::-1]]
        assert np.array_equal(targets.numpy(), inputs.numpy() + 1)

    def test_windows_without_overlap_predict_every_character_once(self) -> None:
        windows = CharacterWindows(Tensor(np.arange(13)), 4, stride=4)
        targets = np.concatenate([targets.numpy() for _, targets in windows])
        assert targets.tolist() == list(range(1, 13))

    def test_a_loader_goes_over_them(self) -> None:
        loader = DataLoader(CharacterWindows(Tensor(np.arange(9)), 4), 3)
        assert [inputs.shape for inputs, _ in loader] == [(3, 4), (2, 4)]

    def test_bad_input(self) -> None:
        tokens = Tensor(np.arange(9))
        windows = CharacterWindows(tokens, 4)
        assert windows[-5][0].tolist() == [0, 1, 2, 3]
        for index in (5, -6):
            with pytest.raises(IndexError, match=f"there are 5 windows, found index {index}"):
                windows[index]
        for indices in ([0, 5], [-1]):
            with pytest.raises(IndexError, match="indices from 0 to 4 expected"):
                windows.batch(indices)
        with pytest.raises(TypeError, match="indexed with an int, found slice"):
            windows[1:2]  # type: ignore[index]
        with pytest.raises(ValueError, match="context must be at least 1, found 0"):
            CharacterWindows(tokens, 0)
        with pytest.raises(TypeError, match=r"stride must be an int, found 1\.5"):
            CharacterWindows(tokens, 4, 1.5)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="found str"):
            CharacterWindows("a text", 4)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"shape \(T,\), found \(3, 3\)"):
            CharacterWindows(tokens.reshape(3, 3), 2)

    @REPEATABLE
    @given(TEXTS, st.floats(0.01, 0.99))
    def test_a_text_is_cut_in_one_place(self, text: str, share: float) -> None:
        end = round(share * len(text))
        if end in (0, len(text)):
            with pytest.raises(ValueError, match="both parts need at least one character"):
                split_text(text, share)
            return
        training, validation = split_text(text, share)
        assert training + validation == text
        assert len(validation) == end

    def test_a_share_is_between_0_and_1(self) -> None:
        for share in (1.0, -0.1, math.nan):
            with pytest.raises(ValueError, match=r"validation must be at least 0\.0 and below 1\.0"):
                split_text("a text", share)
        with pytest.raises(TypeError, match="must be a number, found '10%'"):
            split_text("a text", "10%")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="found list"):
            split_text(["a"], 0.5)  # type: ignore[arg-type]


class TestTransformer:
    def test_every_parameter_has_a_gradient_of_its_own(self) -> None:
        """That the gradients are right is tested with those of all modules, in tests/integration/gradients."""
        model, tokens = small_transformer(), random_tokens(2, 6)
        names = [name for name, _ in model.named_parameters()]
        assert len(names) == len(set(names)) == 2 + 2 * (8 + 4 + 4) + 2
        CrossEntropyLoss()(model(tokens), random_tokens(2, 6, seed=1)).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    @pytest.mark.parametrize("place", range(6))
    def test_a_later_character_changes_no_earlier_score(self, place: int) -> None:
        model, tokens = small_transformer(), random_tokens(3, 6)
        changed = tokens.numpy()
        changed[:, place] = (changed[:, place] + 1) % 7
        before, after = model(tokens).numpy(), model(Tensor(changed)).numpy()
        np.testing.assert_array_equal(before[:, :place], after[:, :place])
        moved = np.abs(before[:, place:] - after[:, place:]).max(axis=(0, 2))
        assert (moved > 1e-6).all()  # but its own and all later ones do change

    def test_scores_of_a_beginning_are_those_within_the_whole(self) -> None:
        model, tokens = small_transformer(), random_tokens(3, 6)
        whole = model(tokens).numpy()
        for length in range(1, 6):
            np.testing.assert_allclose(model(tokens[:, :length]).numpy(), whole[:, :length], atol=1e-12)

    def test_order_matters(self) -> None:
        model = small_transformer()
        scores = [model(Tensor([order])).numpy()[0, -1] for order in ([1, 2, 3], [2, 1, 3])]
        assert np.abs(scores[0] - scores[1]).max() > 1e-6

    @pytest.mark.parametrize(("tokens", "context", "features", "depth"), [(7, 6, 8, 2), (50, 16, 12, 3)])
    def test_parameters_are_as_many_as_the_formula_says(
        self, tokens: int, context: int, features: int, depth: int
    ) -> None:
        model = CharacterTransformer(TransformerConfig(tokens, context, features, 4, depth), rng=0)
        expected = (tokens + context) * features + depth * (12 * features**2 + 13 * features) + 2 * features
        assert sum(parameter.size for parameter in model.parameters()) == expected

    def test_it_starts_as_gpt_2_does(self) -> None:
        config = TransformerConfig(60, 64, 64, 4, depth=8)
        model = CharacterTransformer(config, rng=0)
        for table in (model.embedding.weight, model.position.weight):
            assert table.numpy().std() == pytest.approx(0.02, rel=0.05)
        for block in model.blocks:
            for last, other in (
                (block.attention.output, block.attention.value),
                (block.feed_forward.narrow, block.feed_forward.widen),
            ):
                # Linear's deviation follows from both sizes or from the inputs: compare with a fresh one.
                fresh = Linear(*last.weight.shape, rng=0).weight.numpy().std()
                assert last.weight.numpy().std() == pytest.approx(fresh / math.sqrt(16), rel=0.1)
                usual = Linear(*other.weight.shape, rng=0).weight.numpy().std()
                assert other.weight.numpy().std() == pytest.approx(usual, rel=0.1)
        tokens = random_tokens(4, 64, below=60)
        assert CrossEntropyLoss()(model(tokens), tokens).item() == pytest.approx(math.log(60), abs=0.1)
        assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(np.float32)}

    def test_a_seed_decides_the_weights(self) -> None:
        states = [small_transformer(rng=rng).state_dict() for rng in (0, 0, 1)]
        assert all(np.array_equal(states[0][name], states[1][name]) for name in states[0])
        assert not np.array_equal(states[0]["embedding.weight"], states[2]["embedding.weight"])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_all_parameters_have_the_dtype_that_was_asked_for(self, dtype: Any) -> None:
        model = small_transformer(dtype=dtype)
        assert {parameter.dtype for parameter in model.parameters()} == {np.dtype(dtype)}
        assert model(random_tokens(2, 6)).dtype == dtype

    def test_dropout_acts_while_training_only(self) -> None:
        model, tokens = small_transformer(dropout=0.5), random_tokens(2, 6)
        assert not np.array_equal(model(tokens).numpy(), model(tokens).numpy())
        model.eval()
        np.testing.assert_array_equal(model(tokens).numpy(), model(tokens).numpy())
        rates = [layer.p for _, layer in model.named_layers() if isinstance(layer, Dropout)]
        assert rates == [0.5] * 3
        model.dropout.train()  # the one before the first block
        assert not np.array_equal(model(tokens).numpy(), model(tokens).numpy())

    def test_bad_input(self) -> None:
        model = small_transformer()
        with pytest.raises(ValueError, match=r"1 to 6 characters, found shape \(2, 7\)"):
            model(random_tokens(2, 7))
        for shape in ((2, 0), (0, 3)):
            with pytest.raises(ValueError, match="at least one text"):
                model(Tensor(np.zeros(shape, dtype=np.int64)))
        with pytest.raises(ValueError, match=r"shape \(N, T\), found \(3,\)"):
            model(random_tokens(3))
        with pytest.raises(ValueError, match="from 0 to 6, found 0 to 7"):
            model(Tensor([[0, 7]]))
        with pytest.raises(TypeError, match="integer dtype, found float32"):
            model(Tensor([[0.0]]))
        with pytest.raises(TypeError, match="as a Tensor, found ndarray"):
            model(np.zeros((1, 2), dtype=np.int64))
        with pytest.raises(TypeError, match="expects a TransformerConfig, found dict"):
            CharacterTransformer({"tokens": 3})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="3 heads for 8 features"):
            TransformerConfig(7, features=8, heads=3)
        for name in ("tokens", "context", "features", "heads", "depth"):
            with pytest.raises(ValueError, match=f"{name} must be at least 1, found 0"):
                TransformerConfig(**{"tokens": 7, name: 0})
        for wrong in (1.0, -0.1):
            with pytest.raises(ValueError, match=f"dropout must be at least .* found {wrong}"):
                TransformerConfig(7, dropout=wrong)


class TestPerplexity:
    def test_it_is_the_exponential_of_the_mean_surprise(self) -> None:
        model, windows = small_transformer(), CharacterWindows(random_tokens(40), 6)
        inputs, targets = windows.batch(range(len(windows)))
        scores = model(inputs).numpy()
        shares = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
        right = np.take_along_axis(shares, targets.numpy()[..., None], axis=-1)
        expected = math.exp(-np.log(right).mean())
        for batch_size in (1, 5, 100):  # 34 windows: the last batch of five has four
            assert perplexity(model, windows, batch_size) == pytest.approx(expected, rel=1e-12)

    def test_too_much_surprise_is_infinite(self) -> None:
        class Wrong(Layer):
            def forward(self, tokens: Tensor) -> Tensor:
                return Tensor(np.eye(9)[(tokens.numpy() + 2) % 9] * 1000.0)

        counting = CharacterWindows(Tensor(np.arange(13) % 9), 4)
        assert perplexity(Wrong(), counting) == math.inf

    def test_it_leaves_no_traces(self) -> None:
        model, windows = small_transformer(dropout=0.5), CharacterWindows(random_tokens(20), 6)
        model.blocks[0].eval()  # a frozen part
        modes = [layer.training for _, layer in model.named_layers()]
        assert True in modes
        assert False in modes
        assert perplexity(model, windows) == perplexity(model, windows)
        assert [layer.training for _, layer in model.named_layers()] == modes
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_modes_are_restored_after_an_error(self) -> None:
        model, windows = (
            small_transformer(),
            CharacterWindows(random_tokens(20), 8),
        )  # longer than the context
        with pytest.raises(ValueError, match="1 to 6 characters"):
            perplexity(model, windows)
        assert model.training
        assert CrossEntropyLoss()(model(random_tokens(1, 6)), random_tokens(1, 6)).origin is not None

    def test_bad_input(self) -> None:
        with pytest.raises(TypeError, match="expects a Layer as model, found function"):
            perplexity(lambda x: x, CharacterWindows(random_tokens(9), 3))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expects a Dataset, found list"):
            perplexity(small_transformer(), [])  # type: ignore[arg-type]


class TestWriting:
    def test_temperature_divides_the_scores(self) -> None:
        scores = np.array([2.0, 1.0, 0.0])
        for temperature in (0.25, 1.0, 3.0):
            expected = np.exp(scores / temperature) / np.exp(scores / temperature).sum()
            np.testing.assert_allclose(next_token_probabilities(scores, temperature), expected, rtol=1e-12)

    @REPEATABLE
    @given(st.lists(st.sampled_from([-3.0, 0.0, 0.5, 900.0]), min_size=1, max_size=8), st.integers(1, 9))
    def test_top_k_keeps_k_of_the_largest(self, scores: list[float], top_k: int) -> None:
        shares = next_token_probabilities(np.array(scores), 1000.0, top_k)
        assert shares.sum() == pytest.approx(1.0)
        kept = np.flatnonzero(shares)
        best = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[:top_k]
        assert kept.tolist() == sorted(best)

    def test_cold_takes_the_first_of_the_largest(self) -> None:
        scores = np.array([0.0, 3.0, 3.0, 1.0])
        assert next_token_probabilities(scores, 0.0).tolist() == [0.0, 1.0, 0.0, 0.0]
        assert next_token_probabilities(scores, 0.0, top_k=3).tolist() == [0.0, 1.0, 0.0, 0.0]
        assert next_token_probabilities(scores, 1e-320).tolist() == [0.0, 0.5, 0.5, 0.0]
        assert next_token_probabilities(np.array([1e30, -math.inf])).tolist() == [1.0, 0.0]

    def test_bad_scores_and_settings(self) -> None:
        scores = np.array([1.0, 2.0])
        for wrong in ([1.0, math.nan], [math.inf, 1.0], [-math.inf, -math.inf]):
            with pytest.raises(ValueError, match="expects finite scores"):
                next_token_probabilities(np.array(wrong))
        for shape in ((0,), (2, 1), ()):
            with pytest.raises(ValueError, match=r"of shape \(V,\)"):
                next_token_probabilities(np.zeros(shape))
        for heat in (-1.0, math.inf, math.nan):
            with pytest.raises(
                ValueError, match=f"temperature must be at least 0.0 and finite, found {heat}"
            ):
                next_token_probabilities(scores, heat)
        with pytest.raises(ValueError, match="top_k must be at least 1, found 0"):
            next_token_probabilities(scores, top_k=0)
        with pytest.raises(TypeError, match=r"top_k must be an int, found 2\.0"):
            next_token_probabilities(scores, top_k=2.0)  # type: ignore[arg-type]

    def test_greedy_text_takes_the_best_character_of_the_last_context(self) -> None:
        model, vocabulary = small_transformer(), CharacterVocabulary("abcdefg")
        text = generate_text(model, vocabulary, "abcadb", 10, temperature=0.0)
        assert text.startswith("abcadb")
        assert len(text) == 16
        for end in range(6, 16):
            tokens = vocabulary.encode(text[max(0, end - 6) : end])
            best = int(model(tokens.reshape(1, -1)).numpy()[0, -1].argmax())
            assert text[end] == vocabulary.characters[best]

    def test_characters_come_as_often_as_they_are_probable(self) -> None:
        model, vocabulary = small_transformer(), CharacterVocabulary("abcdefg")
        model.norm.weight.data = model.norm.weight.data * 20.0  # strong opinions
        shares = next_token_probabilities(model(Tensor([[0]])).numpy()[0, -1])
        rng = np.random.default_rng(0)
        drawn = [generate_text(model, vocabulary, "a", 1, rng=rng)[1] for _ in range(400)]
        found = np.array([drawn.count(character) for character in "abcdefg"]) / 400
        assert shares.max() > 2 * shares.min()
        np.testing.assert_allclose(found, shares, atol=4 * 0.5 / math.sqrt(400))

    def test_a_seed_decides_the_text(self) -> None:
        model, vocabulary = small_transformer(), CharacterVocabulary("abcdefg")
        texts = [generate_text(model, vocabulary, "ab", 40, rng=rng) for rng in (1, 1, 2)]
        assert (
            texts[0] == texts[1] == generate_text(model, vocabulary, "ab", 40, rng=np.random.default_rng(1))
        )
        assert texts[0] != texts[2]
        assert texts[0] != generate_text(model, vocabulary, "ab", 40, temperature=5.0, top_k=2, rng=1)
        assert generate_text(model, vocabulary, "ab", 0) == "ab"

    def test_writing_is_done_in_evaluation_mode(self) -> None:
        model, vocabulary = small_transformer(dropout=0.5), CharacterVocabulary("abcdefg")
        texts = {generate_text(model, vocabulary, "ab", 20, temperature=0.0) for _ in range(3)}
        assert len(texts) == 1
        assert model.training

    def test_bad_input(self) -> None:
        model, vocabulary = small_transformer(), CharacterVocabulary("abcdefg")
        with pytest.raises(ValueError, match=r"found 'x' \(U\+0078\) at place 1"):
            generate_text(model, vocabulary, "ax", 3)
        with pytest.raises(ValueError, match="at least one character, found an empty text"):
            generate_text(model, vocabulary, "", 3)
        with pytest.raises(ValueError, match="the model knows 7 characters, found a vocabulary of 3"):
            generate_text(model, CharacterVocabulary("abc"), "a", 3)
        with pytest.raises(ValueError, match="length must be at least 0, found -1"):
            generate_text(model, vocabulary, "a", -1)
        with pytest.raises(TypeError, match="expects a CharacterTransformer, found Shift"):
            generate_text(Shift(), vocabulary, "a", 3)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expects a CharacterVocabulary, found str"):
            generate_text(model, "abcdefg", "a", 3)  # type: ignore[arg-type]


def two_classes(count: int, seed: int) -> TensorDataset:
    x = np.random.default_rng(seed).normal(size=(count, 1))
    return TensorDataset(Tensor(x), Tensor((x[:, 0] > 0.0).astype(np.int64)))


class TestFitting:
    def test_the_parts_are_those_of_the_settings(self) -> None:
        chosen = FitSettings(3, 8, lr=0.05, min_lr=0.01, warmup=0.25, weight_decay=0.2, max_norm=0.5, seed=4)
        model = Shift()
        trainer = fit_model(model, two_classes(60, 0), two_classes(10, 1), chosen)
        assert type(trainer.optimizer).__name__ == "AdamW"
        assert trainer.optimizer.weight_decay == 0.2
        assert trainer.max_norm == 0.5
        assert trainer.early_stopping is None
        schedule: Any = trainer.schedule
        assert (schedule.total, schedule.warmup, schedule.min_lr) == (24, 6, 0.01)
        assert schedule.base_lr == 0.05
        assert schedule.steps == 24  # a step per batch: three epochs of eight
        assert trainer.optimizer.lr == pytest.approx(0.01)
        assert [line["epoch"] for line in trainer.history] == [0, 1, 2]
        names = {"epoch", "lr", "loss", "accuracy", "validation_loss", "validation_accuracy"}
        assert set(trainer.history[0]) == names
        assert not model.training

    def test_a_seed_decides_the_order_and_so_the_weights(self) -> None:
        def weights(seed: int) -> Any:
            model = Shift()
            fit_model(model, two_classes(60, 0), settings=FitSettings(2, 8, seed=seed))
            return model.linear.weight.numpy()

        np.testing.assert_array_equal(weights(1), weights(1))
        assert not np.array_equal(weights(1), weights(2))

    @pytest.mark.parametrize("patience", [1, 50])
    def test_with_patience_the_best_weights_are_used(self, patience: int) -> None:
        """The validation data are the opposite of the training data, so every epoch makes it worse."""
        training = two_classes(60, 0)
        x, labels = training.tensors
        model, states = Shift(), []
        trainer = fit_model(
            model,
            training,
            TensorDataset(x, 1 - labels),
            FitSettings(6, 8, lr=0.1, patience=patience),
            callbacks=[lambda trainer: states.append(trainer.model.state_dict())],
        )
        losses = [line["validation_loss"] for line in trainer.history]
        assert min(losses) == losses[0] < losses[-1]
        assert len(losses) == (2 if patience == 1 else 6)
        assert trainer.stopped is (patience == 1)
        np.testing.assert_array_equal(model.linear.weight.numpy(), states[0]["linear.weight"])

    def test_without_patience_the_last_weights_are_used(self) -> None:
        training, model = two_classes(60, 0), Shift()
        x, labels = training.tensors
        trainer = fit_model(model, training, TensorDataset(x, 1 - labels), FitSettings(6, 8, lr=0.1))
        with no_grad():
            loss = CrossEntropyLoss()(model(x), 1 - labels).item()
        assert loss == pytest.approx(trainer.history[-1]["validation_loss"])

    def test_a_callback_may_stop(self) -> None:
        def enough(trainer: Trainer) -> bool:
            return trainer.epoch == 2

        trainer = fit_model(Shift(), two_classes(20, 0), settings=FitSettings(9), callbacks=[enough])
        assert trainer.epoch == 2

    def test_the_default_settings(self) -> None:
        assert fit_model(Shift(), two_classes(20, 0)).epoch == FitSettings().epochs

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"epochs": 0}, "epochs must be at least 1, found 0"),
            ({"batch_size": 0}, "batch_size must be at least 1, found 0"),
            ({"patience": 0}, "patience must be at least 1, found 0"),
            ({"seed": -1}, "seed must be at least 0, found -1"),
            ({"warmup": 1.0}, r"warmup must be at least 0.0 and below 1.0, found 1.0"),
            ({"lr": 0.0}, "lr must be above 0, found 0"),
            ({"lr": math.inf}, "lr must be at least 0.0 and finite, found inf"),
            ({"max_norm": 0}, "max_norm must be above 0, found 0"),
            ({"weight_decay": -1.0}, "weight_decay must be at least 0.0 and finite, found -1.0"),
            ({"lr": 0.1, "min_lr": 0.2}, "min_lr must be at most lr = 0.1, found 0.2"),
        ],
    )
    def test_settings_out_of_range(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            FitSettings(**wrong)

    def test_bad_input(self) -> None:
        data = two_classes(20, 0)
        with pytest.raises(TypeError, match="epochs must be an int, found True"):
            FitSettings(epochs=True)
        with pytest.raises(TypeError, match="lr must be a number, found None"):
            FitSettings(lr=None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="a patience of 2 epochs needs validation data, found none"):
            fit_model(Shift(), data, settings=FitSettings(patience=2))
        with pytest.raises(TypeError, match="expects FitSettings, found dict"):
            fit_model(Shift(), data, settings={"epochs": 2})  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expects a Layer as model, found function"):
            fit_model(lambda x: x, data)  # type: ignore[arg-type]


def small_classifier(dtype: Any = np.float64, dropout: float = 0.0) -> ImageClassifier:
    return ImageClassifier(ClassifierConfig((2, 5, 6), 3, (3, 4), hidden=5, dropout=dropout), 0, dtype)


def random_images(count: int, *shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=(count, *(shape or (2, 5, 6)))))


class TestClassifier:
    @pytest.mark.parametrize(
        ("image", "channels", "flat"),
        [
            ((1, 8, 8), (8, 16), 64),
            ((3, 31, 17), (4, 6), 6 * 7 * 4),
            ((1, 9, 15), (2, 3, 5), 5),
            ((2, 3, 2), (7,), 7),
        ],
    )
    def test_sizes_fit_for_images_of_any_shape(
        self, image: tuple[int, int, int], channels: tuple[int, ...], flat: int
    ) -> None:
        for kernel in (1, 3, 5):
            config = ClassifierConfig(image, 4, channels, kernel)
            assert config.flat_features == flat
            model = ImageClassifier(config, rng=0)
            assert model(random_images(3, *image)).shape == (3, 4)
            convolutions = [layer for _, layer in model.named_layers() if isinstance(layer, Conv2D)]
            assert [layer.weight.shape for layer in convolutions] == [
                (outputs, inputs, kernel, kernel)
                for inputs, outputs in zip((image[0], *channels), channels, strict=False)
            ]
            assert all(layer.bias is None for layer in convolutions)
            norms = [layer.channels for _, layer in model.named_layers() if isinstance(layer, BatchNorm2D)]
            assert norms == list(channels)

    def test_the_order_of_the_steps(self) -> None:
        model = small_classifier()
        assert [type(step).__name__ for step in model.stages] == 2 * [
            "Conv2D",
            "BatchNorm2D",
            "ReLU",
            "MaxPool2D",
        ]
        assert [type(step).__name__ for step in model.head] == [
            "Flatten",
            "Linear",
            "ReLU",
            "Dropout",
            "Linear",
        ]

    def test_probabilities_are_the_softmax_of_the_scores_in_use(self) -> None:
        model, images = small_classifier(dropout=0.5), random_images(7)
        model(images)  # moves the running estimates away from 0 and 1
        found = model.predict_proba(images).numpy()
        model.eval()
        scores = np.exp(model(images).numpy())
        np.testing.assert_allclose(found, scores / scores.sum(axis=1, keepdims=True), rtol=1e-12)
        np.testing.assert_array_equal(model.predict(images).numpy(), found.argmax(axis=1))
        assert model.predict(images).dtype == np.int64

    def test_the_answer_for_an_image_does_not_depend_on_its_company(self) -> None:
        model, images = small_classifier(), random_images(7)
        model(images)
        whole = model.predict_proba(images).numpy()
        for batch_size in (1, 3, 7, 8):
            np.testing.assert_allclose(model.predict_proba(images, batch_size).numpy(), whole, atol=1e-12)

    def test_predicting_leaves_no_traces(self) -> None:
        model, images = small_classifier(dropout=0.5), random_images(7)
        model.head.eval()
        modes = [layer.training for _, layer in model.named_layers()]
        before = model.state_dict()
        probabilities = model.predict_proba(images)
        model.predict(images)
        assert [layer.training for _, layer in model.named_layers()] == modes
        assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
        assert probabilities.origin is None

    def test_a_seed_decides_the_weights_and_the_dtype_is_kept(self) -> None:
        first, second = small_classifier().state_dict(), small_classifier().state_dict()
        assert all(np.array_equal(first[name], second[name]) for name in first)
        assert {parameter.dtype for parameter in small_classifier(np.float32).parameters()} == {
            np.dtype(np.float32)
        }

    def test_dropout_stands_before_the_last_layer(self) -> None:
        model, images = small_classifier(dropout=0.5), random_images(7)
        model.stages.eval()
        assert not np.array_equal(model(images).numpy(), model(images).numpy())

    def test_bad_images(self) -> None:
        model = small_classifier()
        for call in (model, model.predict, model.predict_proba):
            for shape in ((1, 2, 6, 5), (1, 1, 5, 6), (2, 5, 6), (0, 2, 5, 6)):
                with pytest.raises(ValueError, match=r"shape \(N, 2, 5, 6\), found \("):
                    call(Tensor(np.zeros(shape)))
            with pytest.raises(TypeError, match="float dtype, found int64"):
                call(Tensor(np.zeros((1, 2, 5, 6), dtype=np.int64)))
            with pytest.raises(TypeError, match="as a Tensor, found ndarray"):
                call(np.zeros((1, 2, 5, 6)))
        with pytest.raises(ValueError, match="batch_size must be at least 1, found 0"):
            model.predict(random_images(2), 0)

    def test_bad_configurations(self) -> None:
        with pytest.raises(
            ValueError, match=r"3 stages need images of at least 8 rows and columns, found \(1, 9, 7\)"
        ):
            ClassifierConfig((1, 9, 7), 2, (1, 2, 3))
        for image in ((8, 8), [1, 2, 3, 4], 8):
            with pytest.raises(ValueError, match=r"image must be \(channels, rows, columns\), found"):
                ClassifierConfig(image, 2)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"at least one stage, found \(\)"):
            ClassifierConfig((1, 8, 8), 2, ())
        with pytest.raises(ValueError, match="kernel_size must be odd, found 2"):
            ClassifierConfig((1, 8, 8), 2, kernel_size=2)
        with pytest.raises(ValueError, match="classes must be at least 1, found 0"):
            ClassifierConfig((1, 8, 8), 0)
        with pytest.raises(TypeError, match=r"channels must be an int, found 2\.5"):
            ClassifierConfig((1, 8, 8), 2, (2.5,))  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"dropout must be .* found 1\.0"):
            ClassifierConfig((1, 8, 8), 2, dropout=1.0)
        with pytest.raises(TypeError, match="expects a ClassifierConfig, found tuple"):
            ImageClassifier((1, 8, 8))  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_an_image_without_an_answer_is_not_class_0(self, value: float) -> None:
        net = small_classifier()
        images = np.zeros((3, *net.config.image))
        images[1, 0, 2, 2] = value
        for use in (net.predict, net.predict_proba):
            with (
                np.errstate(invalid="ignore"),
                pytest.raises(ValueError, match="NaN for 1 of 3, first for image 1"),
            ):
                use(Tensor(images), batch_size=2)
        assert net.training


class TestHostileCalls:
    @pytest.mark.parametrize("indices", [[1.5], [True, False], ["1"], [None], [10**400]])
    def test_indices_are_ints(self, indices: Any) -> None:
        windows = CharacterWindows(random_tokens(10), context=2)
        with pytest.raises(TypeError, match="indices of an integer dtype expected, found"):
            windows.batch(indices)

    @pytest.mark.parametrize("indices", [3, [[1, 2]], [[]]])
    def test_indices_stand_in_one_row(self, indices: Any) -> None:
        with pytest.raises(ValueError, match=r"indices of shape \(n,\) expected, found"):
            CharacterWindows(random_tokens(10), context=2).batch(indices)
        assert CharacterWindows(random_tokens(10), context=2).batch([])[0].shape == (0, 2)

    @pytest.mark.parametrize(
        ("rng", "error"), [(-1, ValueError), ("x", TypeError), (True, TypeError), (1.5, TypeError)]
    )
    def test_seeds(self, rng: Any, error: type[Exception]) -> None:
        vocabulary = CharacterVocabulary("abcdefg")
        with pytest.raises(error, match="CharacterTransformer: rng must be"):
            CharacterTransformer(SMALL, rng)
        with pytest.raises(error, match="ImageClassifier: rng must be"):
            ImageClassifier(ClassifierConfig((1, 8, 8), 2), rng)
        with pytest.raises(error, match="generate_text: rng must be"):
            generate_text(small_transformer(), vocabulary, "a", 0, rng=rng)

    @pytest.mark.parametrize("scores", [[math.inf, 0.0], [-math.inf, -math.inf]])
    def test_no_perplexity_without_probabilities(self, scores: list[float]) -> None:
        class Fixed(Layer):
            def forward(self, tokens: Tensor) -> Tensor:
                return Tensor(np.broadcast_to(np.array(scores), (*tokens.shape, 2)).copy())

        windows = CharacterWindows(random_tokens(10, below=2), context=2)
        with (
            np.errstate(invalid="ignore"),
            pytest.raises(ValueError, match="softmax can turn into probabilities"),
        ):
            perplexity(Fixed(), windows)

    def test_perplexity_needs_pairs(self) -> None:
        with pytest.raises(TypeError, match=r"windows as pairs \(inputs, targets\), found others"):
            perplexity(small_transformer(), TensorDataset(random_tokens(3, 4)))

    @pytest.mark.parametrize("scores", [["1"], [None], [1j], [True, False], [10**400]])
    def test_scores_are_numbers(self, scores: Any) -> None:
        with pytest.raises(TypeError, match="scores that are numbers, found dtype"):
            next_token_probabilities(scores)

    def test_settings_are_checked_even_where_they_play_no_part(self) -> None:
        scores, vocabulary = np.array([1.0, 2.0]), CharacterVocabulary("abcdefg")
        with pytest.raises(TypeError, match="top_k must be an int, found 'x'"):
            next_token_probabilities(scores, 0.0, "x")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="expects scores of shape"):
            next_token_probabilities([[1.0], [1.0, 2.0]])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="temperature must be a number that a float can hold"):
            next_token_probabilities(scores, 10**400)
        with pytest.raises(ValueError, match="temperature must be at least 0"):
            generate_text(small_transformer(), vocabulary, "a", 0, temperature=-1.0)
        with pytest.raises(ValueError, match="lr must be a number that a float can hold"):
            FitSettings(lr=10**400)
