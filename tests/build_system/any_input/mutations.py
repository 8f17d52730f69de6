"""Changes of a text that a slip of the hand, an editor or another system makes."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

CHARACTERS = "\0\t\n\r\x0b\x0c\x1a\x1c\x85\u2028\u2029\ufeff\ufffe\u200b\u0301\u0661éß\u017fİ\U0001d431🙂\"'`\\#%!|=:,.()[]{}<>-_ a1"
"""Letters that some tool on the way reads in its own manner, and some that none does."""


@st.composite
def mutated(draw: st.DrawFn, text: str, tokens: Sequence[str], most: int = 4) -> str:
    """A text after up to `most` changes, many times after none.

    Args:
        draw: given by hypothesis.
        text: the text.
        tokens: what may be put into it.
        most: how many changes at most.
    """
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, most]))):
        text = draw(st.sampled_from(_CHANGES))(draw, text, tokens)
    return text


def _insert(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.sampled_from(tokens) | st.text(CHARACTERS, max_size=4)) + text[place:]


def _insert_line(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    blanks = draw(st.sampled_from(["", "", "", "    ", "\t", "# ", "#"]))
    lines.insert(draw(st.integers(0, len(lines))), blanks + draw(st.sampled_from(tokens)))
    return "\n".join(lines)


def _remove(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    place = draw(st.integers(0, len(text)))
    return text[:place] + text[place + draw(st.integers(1, 20)) :]


def _remove_line(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    del lines[draw(st.integers(0, len(lines) - 1))]
    return "\n".join(lines)


def _repeat_lines(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    start = draw(st.integers(0, len(lines) - 1))
    part = lines[start : start + draw(st.integers(1, 6))]
    lines[start:start] = part * draw(st.sampled_from([1, 1, 2, 30]))
    return "\n".join(lines)


def _move_line(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    line = lines.pop(draw(st.integers(0, len(lines) - 1)))
    lines.insert(draw(st.integers(0, len(lines))), line)
    return "\n".join(lines)


def _nest(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    opening, closing = draw(st.sampled_from([*zip('([{- "', ')]}- "', strict=True)]))
    depth = draw(st.sampled_from([3, 90, 150, 1_000, 20_000]))
    place = draw(st.integers(0, len(text)))
    return text[:place] + opening * depth + draw(st.sampled_from(["", "1"])) + closing * depth + text[place:]


def _line_ends(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    end = draw(st.sampled_from(["\r\n", "\r", "\x0c\n", "\n\r", "\n\n", "\\\n", " \n"]))
    if draw(st.booleans()):
        return text.replace("\n", end)
    lines = text.split("\n")
    split = draw(st.integers(0, len(lines)))
    return "\n".join(lines[:split]) + end + "\n".join(lines[split:])


def _cut(draw: st.DrawFn, text: str, tokens: Sequence[str]) -> str:
    return text[: draw(st.integers(0, len(text)))]


_CHANGES = (
    _insert,
    _insert_line,
    _insert_line,
    _remove,
    _remove_line,
    _repeat_lines,
    _move_line,
    _nest,
    _line_ends,
    _cut,
)


@st.composite
def encoded(draw: st.DrawFn, text: str) -> bytes:
    """A text as bytes: mostly UTF-8, else what other systems and accidents make of it."""
    how = draw(st.sampled_from(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-32", "latin-1", "damaged"]))
    if how != "damaged":
        return text.encode(how, "replace" if how == "latin-1" else "surrogatepass")
    data = text.encode("utf-8", "surrogatepass")
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(st.binary(min_size=1, max_size=4)) + data[place:]
