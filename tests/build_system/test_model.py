"""Values as they travel between processes."""

from __future__ import annotations

import pickle
import pickletools

import pytest

from tinytorch_build.model import Severity, Word
from tinytorch_build.stages.session_facts import TestResult
from tinytorch_build.workers.job import FailureKind


@pytest.mark.parametrize("word", [Severity.WARNING, TestResult.XFAILED, FailureKind.TIMED_OUT])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_word_travels_as_its_class_and_nothing_else(word: Word, protocol: int) -> None:
    """On Python 3.11.2 an enumeration's member travels as a call of `getattr`, which no result may hold."""
    data = pickle.dumps(word, protocol)
    assert pickle.loads(data) is word
    strings = {argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)}
    assert "getattr" not in " ".join(strings)
    assert word.value in strings
