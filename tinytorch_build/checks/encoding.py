"""Checks of a source's bytes: whether every tool on the way reads the same text in them."""

from __future__ import annotations

import re

from tinytorch_build.checks.source import SourceUnderCheck
from tinytorch_build.model import Problem

_LINE_ENDS = re.compile("\r(?!\n)|[\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
_COOKIE = re.compile(r"[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)")


def is_utf8(source: SourceUnderCheck) -> list[Problem]:
    """The source is UTF-8."""
    try:
        source.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = source.raw.count(b"\n", 0, error.start) + 1
        byte = source.raw[error.start]
        return [source.problem("encoding", f"byte 0x{byte:02x} is not UTF-8", line, "save the file as UTF-8")]
    return []


def has_no_byte_order_mark(source: SourceUnderCheck) -> list[Problem]:
    """The source does not begin with a byte order mark, which jupytext takes for text of the first line."""
    marks = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
    mark = next((name for mark, name in marks.items() if source.raw.startswith(mark)), None)
    if mark is not None:
        message = f"the file begins with a byte order mark of {mark}"
        return [source.problem("byte-order-mark", message, 1, "save the file as UTF-8 without BOM")]
    return []


def has_no_nul(source: SourceUnderCheck) -> list[Problem]:
    """The source holds no NUL character, which Python refuses."""
    position = source.raw.find(b"\0")
    if position < 0:
        return []
    line = source.raw.count(b"\n", 0, position) + 1
    return [source.problem("nul-character", "the file holds a NUL character", line, "remove it")]


def has_plain_line_ends(source: SourceUnderCheck) -> list[Problem]:
    """The source holds none of the characters that end a line for jupytext, but not for Python or editors."""
    if source.path.endswith(".ipynb"):
        return []  # jupytext does not read it
    found = _LINE_ENDS.search(source.text)
    if found is None:
        return []
    line = source.text.count("\n", 0, found.start()) + 1
    message = f"the character U+{ord(found[0]):04X} ends a line for jupytext, which breaks the code around it"
    cure = f"write it as the escape {found[0].encode('unicode_escape').decode()}, or remove it"
    return [source.problem("line-end", message, line, cure)]


def has_no_other_encoding(source: SourceUnderCheck) -> list[Problem]:
    """No comment in the first two lines reads like an encoding that jupytext refuses."""
    if not source.path.endswith(".py"):
        return []
    first, *rest = source.text.split("\n")
    # jupytext looks at the second line only if the first does not end what it takes for the file's header.
    header = first.startswith("#!") or (first.startswith("#") and not first.strip("# -"))
    for line, text in enumerate([first, *rest[: int(header)]], 1):
        cookie = _COOKIE.match(text)
        if cookie:
            if cookie[1] == "utf-8":
                return []
            message = f"jupytext reads this comment as the encoding {cookie[1]}, and knows utf-8 alone"
            return [source.problem("encoding-comment", message, line, "remove the comment, or reword it")]
    return []


ENCODING = (has_no_byte_order_mark, is_utf8, has_no_nul, has_plain_line_ends, has_no_other_encoding)
"""The checks that come before all others; after one that fails, the rest would only repeat it."""
