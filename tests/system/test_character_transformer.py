"""A character-level transformer reads seven sonnets by Shakespeare, and writes: text, windows, training, generation."""

import math
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinytorch.core.autograd import no_grad
from tinytorch.core.capstone import (
    CharacterTransformer,
    CharacterVocabulary,
    CharacterWindows,
    FitSettings,
    TransformerConfig,
    fit_model,
    generate_text,
    perplexity,
    split_text,
)
from tinytorch.core.tensor import Tensor

SONNETS = (Path(__file__).parent / "data" / "sonnets.txt").read_text(encoding="ascii")
VOCABULARY = CharacterVocabulary(SONNETS)
CONFIG = TransformerConfig(len(VOCABULARY), context=16, features=48, heads=4, depth=1)


def windows(text: str, stride: int) -> CharacterWindows:
    return CharacterWindows(VOCABULARY.encode(text), CONFIG.context, stride)


@pytest.fixture(scope="module")
def writer() -> CharacterTransformer:
    """A model that has read all sonnets; all that is random in it comes from the seed 0."""
    model = CharacterTransformer(CONFIG, rng=0)
    fit_model(model, windows(SONNETS, 2), settings=FitSettings(epochs=9, lr=1e-2))
    return model


def test_the_loss_falls_under_half_of_its_start(
    processor_seconds: Callable[[], float], request: pytest.FixtureRequest
) -> None:
    everything = windows(SONNETS, CONFIG.context)  # without overlap: every character counts once
    start = math.log(perplexity(CharacterTransformer(CONFIG, rng=0), everything))
    assert start == pytest.approx(math.log(54), abs=0.1)  # at first it guesses among all 54 characters
    trained = request.getfixturevalue("writer")
    assert processor_seconds() < 60.0
    assert math.log(perplexity(trained, everything)) < 0.5 * start


def test_what_it_learned_holds_for_sonnets_that_it_has_not_read() -> None:
    """Its perplexity on the last sonnet is below that of the best table of pairs of characters."""
    share = len(SONNETS.split("\n\n")[-1]) / len(SONNETS)
    reading, last = split_text(SONNETS, share)
    assert last.startswith("My mistress' eyes")
    model = CharacterTransformer(replace(CONFIG, dropout=0.1), rng=0)
    held_out = windows(last, CONFIG.context)
    settings = FitSettings(epochs=6, lr=6e-3, patience=3)
    trainer = fit_model(model, windows(reading, 2), held_out, settings)
    best = min(line["validation_loss"] for line in trainer.history)
    assert math.log(perplexity(model, held_out)) == pytest.approx(best, abs=1e-5)

    before, after = VOCABULARY.encode(last).numpy()[:-1], VOCABULARY.encode(last).numpy()[1:]
    read = VOCABULARY.encode(reading).numpy()
    surprises = []
    for smoothing in (0.03, 0.1, 0.3, 1.0):
        counts = np.full((len(VOCABULARY), len(VOCABULARY)), smoothing)
        np.add.at(counts, (read[:-1], read[1:]), 1.0)
        surprises.append(-np.log((counts / counts.sum(axis=1, keepdims=True))[before, after]).mean())
    assert perplexity(model, held_out) < math.exp(min(surprises))


def test_a_seed_decides_what_is_written(writer: CharacterTransformer) -> None:
    texts = [generate_text(writer, VOCABULARY, "Shall I ", 120, 0.8, 10, rng=seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    for text in texts:
        assert text.startswith("Shall I ")
        assert len(text) == 128
        assert set(text) <= set(SONNETS)


def words(text: str) -> list[str]:
    """The words of a text without the first and the last, which may be cut off."""
    return [word.strip(string.punctuation) for word in text.split()][1:-1]


def test_it_writes_words_that_it_has_read(writer: CharacterTransformer) -> None:
    known = set(words(SONNETS))

    def share(model: CharacterTransformer) -> float:
        found = words(generate_text(model, VOCABULARY, "When ", 300, temperature=0.5, rng=0))
        return sum(word in known for word in found) / max(1, len(found))

    assert share(writer) > 0.4
    assert share(CharacterTransformer(CONFIG, rng=0)) < 0.2


def test_training_has_not_taught_it_to_look_ahead(writer: CharacterTransformer) -> None:
    tokens = VOCABULARY.encode(SONNETS[:16]).numpy()
    changed = tokens.copy()
    changed[10:] = tokens[:6]
    with no_grad():
        before, after = (writer(Tensor(row[None])).numpy()[0] for row in (tokens, changed))
    np.testing.assert_allclose(before[:10], after[:10], rtol=0, atol=1e-4)
    assert np.abs(before[10:] - after[10:]).max(axis=1).min() > 0.1


def test_a_saved_model_writes_the_same_text(writer: CharacterTransformer, tmp_path: Path) -> None:
    np.savez(tmp_path / "writer.npz", **writer.state_dict())
    other = CharacterTransformer(CONFIG, rng=1)
    with np.load(tmp_path / "writer.npz") as stored:
        other.load_state_dict(dict(stored))
    texts = [generate_text(model, VOCABULARY, "Love ", 80, rng=3) for model in (writer, other)]
    assert texts[0] == texts[1]


def test_a_character_that_shakespeare_does_not_use_is_refused(writer: CharacterTransformer) -> None:
    with pytest.raises(ValueError, match=r"found '€' \(U\+20AC\) at place 7"):
        generate_text(writer, VOCABULARY, "thirty €", 10)
