"""Hostile text becomes text that can be shown anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch_build.report.pages.visible import visible

ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Halves of surrogate pairs and control characters, too."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\x00b", "a\\x00b"),
        ("one\r\ntwo\rthree", "one\ntwo\\rthree"),
        ("\u202edlrow", "\\u202edlrow"),
        ("\ud800\ufffe", "\\ud800\\ufffe"),
        ("né → 🎉", "né → 🎉"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_of_a_long_text_both_ends_are_shown() -> None:
    assert visible("a" * 50 + "b" * 50, limit=10) == "aaaaa\n… 90 characters left out …\nbbbbb"


@given(ANY_TEXT)
def test_nothing_is_left_that_xml_or_a_terminal_forbids(text: str) -> None:
    shown = visible(text)
    assert all(letter in "\n\t" or letter.isprintable() for letter in shown)
    shown.encode("utf-8")
    assert visible(shown) == shown
