"""Suggestions for names that are probably misspelt."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name that comes nearest, or None if none is near."""
    return next(iter(get_close_matches(name, sorted(known), 1, 0.7)), None)
