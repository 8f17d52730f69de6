"""Suggestions for names that are probably misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LONGEST = 60
"""Longer words are no slips of the finger, and comparing them takes its time."""


def closest(word: str, choices: Iterable[str], likeness: float = 0.6) -> str | None:
    """The choice that was probably meant, or None.

    Args:
        word: what was written; upper and lower case count as the same.
        choices: what could have been meant.
        likeness: from 0 to 1, how alike the two must be (difflib's ratio).
    """
    if len(word) > _LONGEST:
        return None
    folded = {choice.casefold(): choice for choice in sorted(choices)}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=likeness)
    return folded[near[0]] if near else None
