"""Sources whose bytes are no sound text."""

from __future__ import annotations

import json

import pytest

from tests.build_system.checks.samples import GOOD, SOURCE, before, course


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"# %%\n# \xe9\n", f"{SOURCE}:2: byte 0xe9 is not UTF-8 [encoding]\n  cure: save the file as UTF-8"),
        (
            b"\xef\xbb\xbf" + GOOD.encode(),
            f"{SOURCE}:1: the file begins with a byte order mark of UTF-8 [byte-order-mark]\n"
            "  cure: save the file as UTF-8 without BOM",
        ),
        (
            GOOD.encode("utf-16"),
            f"{SOURCE}:1: the file begins with a byte order mark of UTF-16 [byte-order-mark]\n"
            "  cure: save the file as UTF-8 without BOM",
        ),
        (
            b"# %%\n\0",
            f"{SOURCE}:2: the file holds a NUL character [nul-character]\n  cure: remove it",
        ),
        (
            f"{GOOD}# a\u2028b\n".encode(),
            f"{SOURCE}:9: the character U+2028 ends a line for jupytext, which breaks the code around it "
            "[line-end]\n  cure: write it as the escape \\u2028, or remove it",
        ),
        (
            b"x = 1\ry = 2\n",
            f"{SOURCE}:1: the character U+000D ends a line for jupytext, which breaks the code around it "
            "[line-end]\n  cure: write it as the escape \\r, or remove it",
        ),
        (
            b"# -*- coding: latin-1 -*-\n" + GOOD.encode(),
            f"{SOURCE}:1: jupytext reads this comment as the encoding latin-1, and knows utf-8 alone "
            "[encoding-comment]\n  cure: remove the comment, or reword it",
        ),
        (
            b"#!/usr/bin/python\n# decoding: of words\n" + GOOD.encode(),
            f"{SOURCE}:2: jupytext reads this comment as the encoding of, and knows utf-8 alone "
            "[encoding-comment]\n  cure: remove the comment, or reword it",
        ),
    ],
)
def test_the_message(raw: bytes, message: str) -> None:
    assert before(raw) == [message]


@pytest.mark.parametrize(
    "raw",
    [
        GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        b"# -*- coding: utf-8 -*-\n" + GOOD.encode(),
        f"{GOOD}# é ∑ 🙂\n".encode(),
        f"# a title\n# decoding: of words\n{GOOD}".encode(),
    ],
)
def test_sound_bytes_pass(raw: bytes) -> None:
    assert before(raw) == []


def test_a_header_that_jupytext_refuses() -> None:
    assert before("# ---\n# jupyter:\n#   - a\n# ---\n\n" + GOOD) == [
        f"{SOURCE}:1: jupytext cannot read the source: 'list' object has no attribute 'get' "
        "[jupytext-header]\n"
        "  cure: write it as `jupytext --set-formats ipynb,py:percent` does, or take it out"
    ]


def test_lines_end_for_jupytext_in_every_text_format_and_not_in_notebooks() -> None:
    text = "```python\n#| default_exp core.layers\n```\n\na\x0cb\n\n```python\n#| export\nSIZE = 1\n```\n"
    assert before(text, course(source="src/03_layers/layers_dev.md")) == [
        "src/03_layers/layers_dev.md:5: the character U+000C ends a line for jupytext, which breaks the code "
        "around it [line-end]\n  cure: write it as the escape \\x0c, or remove it"
    ]
    cells = ["#| default_exp core.layers\n", "#| export\nSIZE = '\u2028'\n"]
    notebook = {"cells": [{"cell_type": "code", "source": cell} for cell in cells], "nbformat": 4}
    raw = json.dumps(notebook, ensure_ascii=False).encode()
    assert before(raw, course(source="src/03_layers/layers_dev.ipynb")) == []
