"""What course code printed, as text that does no harm: in a page, in XML, and to the eye."""

from __future__ import annotations

import re

from tinytorch_build.report.terminal import plain

LIMIT = 20_000
"""Characters of one text that are shown; of a longer one its beginning and its end."""

_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")


def visible(text: str, limit: int = LIMIT) -> str:
    """The text without terminal colours, and with every other control character spelled out.

    What is left is printable, or a line feed or a tab: so it holds nothing that XML 1.0 forbids, no NUL, no
    half of a surrogate pair, and nothing that turns the direction of writing.

    Args:
        text: anything.
        limit: how many characters are shown at most, beside a word on what was left out.
    """
    text = _COLOURS.sub("", text.replace("\r\n", "\n"))
    if len(text) > limit:
        half = limit // 2
        left_out = len(text) - 2 * half
        text = f"{text[:half]}\n… {left_out} characters left out …\n{text[len(text) - half :]}"
    return plain(text)
