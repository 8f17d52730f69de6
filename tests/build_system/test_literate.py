"""The reading of literate sources, and the way from an export's lines back to theirs."""

from __future__ import annotations

import json
from pathlib import Path

import jupytext
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.literate import (
    Cell,
    Directive,
    SourceLines,
    UnreadableSource,
    compile_code,
    document_of,
    parse_code,
    read_document,
)
from tinytorch_build.stages.convert import notebook_text
from tinytorch_build.stages.export import export_text

HEADER = """\
# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

"""


def cells_of(text: str, path: str = "src/02_tensor/tensor_dev.py") -> tuple[Cell, ...]:
    return document_of(text.encode(), path).cells


def summary(text: str, path: str = "src/02_tensor/tensor_dev.py") -> list[tuple[str, str, int]]:
    return [(cell.kind, cell.source, cell.line) for cell in cells_of(text, path)]


def test_reads_code_prose_and_raw_cells_with_their_lines() -> None:
    text = HEADER + "# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n\n\n# %% [raw]\n# raw\n"
    assert summary(text) == [("markdown", "# Title\n\ntext", 10), ("code", "x = 1", 15), ("raw", "raw", 19)]


def test_what_stands_above_the_first_marker_is_a_code_cell() -> None:
    assert summary("import os\n\n# %%\nx = 1\n") == [("code", "import os", 1), ("code", "x = 1", 4)]


@pytest.mark.parametrize("top", ["#!/usr/bin/env python\n", "# -*- coding: utf-8 -*-\n", HEADER])
def test_lines_that_belong_to_the_file_are_in_no_cell(top: str) -> None:
    assert summary(f"{top}# %%\nx = 1\n") == [("code", "x = 1", top.count("\n") + 2)]


def test_a_header_that_never_ends_is_code() -> None:
    text = "# ---\n# jupyter:\n# %%\nx = 1\n"
    assert summary(text) == [("code", "# ---\n# jupyter:", 1), ("code", "x = 1", 4)]


def test_a_marker_inside_a_string_divides_nothing() -> None:
    text = '# %%\ndoc = """\n# %%\n"""\nother = "\\"  # %%"\n'
    assert summary(text) == [("code", text[5:].rstrip(), 2)]


def test_an_apostrophe_in_a_comment_opens_no_string() -> None:
    assert summary("# %%\n# it's\n# %%\nx = 1  # don't\n# %%\ny = 2\n") == [
        ("code", "# it's", 2),
        ("code", "x = 1  # don't", 4),
        ("code", "y = 2", 6),
    ]


@pytest.mark.parametrize("marker", ["# %%", "#%%", "# %% title", "# %%% part", "# <codecell>", "# In[3]:"])
def test_every_marker_of_jupytext_divides(marker: str) -> None:
    text = f"# %%\nx = 1\n{marker}\ny = 2\n"
    assert [cell.source for cell in cells_of(text)] == ["x = 1", "y = 2"]
    assert [cell["source"] for cell in jupytext.reads(text, "py:percent")["cells"]] == ["x = 1", "y = 2"]


@pytest.mark.parametrize("comment", ["# %%time", "# 20 %%", "## %%"])
def test_other_comments_do_not(comment: str) -> None:
    text = f"# %%\nx = 1\n{comment}\ny = 2\n"
    assert [cell.source for cell in cells_of(text)] == [f"x = 1\n{comment}\ny = 2"]
    options = {"extension": ".py", "format_name": "percent", "comment_magics": False}
    assert len(jupytext.reads(text, options)["cells"]) == 1


def test_prose_in_quotes() -> None:
    text = '# %% [markdown]\n"""\n# Title\ntext\n"""\n# %% [md]\nr"""one line"""\n'
    assert summary(text) == [("markdown", "# Title\ntext", 3), ("markdown", "one line", 7)]


def test_code_below_the_quotes_of_prose_is_noticed() -> None:
    (cell,) = cells_of('# %% [markdown]\n"""\ntext\n"""\n\nx = 1\n')
    assert (cell.source, cell.stray) == ("text", 6)


def test_code_among_the_comments_of_prose_is_noticed() -> None:
    (cell,) = cells_of("# %% [markdown]\n# text\nx = 1\n")
    assert cell.stray == 3


def test_a_fenced_block_in_prose_may_hold_lines_like_markers() -> None:
    text = "# %% [markdown]\n# ```mermaid\n# %% a comment\n# ```\n# %%\nx = 1\n"
    assert summary(text) == [("markdown", "```mermaid\n%% a comment\n```", 2), ("code", "x = 1", 6)]
    assert len(jupytext.reads(text, "py:percent")["cells"]) == 2


def test_a_fence_that_swallows_code_is_noticed() -> None:
    text = "# %% [markdown]\n# ```\n# %%\nx = 1\n# %% [markdown]\n# ```\n"
    assert [(cell.kind, cell.open_fence) for cell in cells_of(text)] == [
        ("markdown", 2),
        ("code", None),
        ("markdown", None),
    ]
    assert len(jupytext.reads(text, "py:percent")["cells"]) == 1  # this is what is to be noticed


@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("#| export", Directive("export", "", 2)),
        ("#|export", Directive("export", "", 2)),
        ("  # | export", Directive("export", "", 2)),
        ("#| export:", Directive("export", "", 2)),
        ("#| export true", Directive("export", "", 2)),
        ("#| export core.other", Directive("export", "core.other", 2)),
        ("#| eval: false", Directive("eval", "false", 2)),
        ("#| default_exp core.x ", Directive("default_exp", "core.x", 2)),
        ("#||export", Directive("|export", "", 2)),
    ],
)
def test_directives_are_read_as_nbdev_reads_them(line: str, directive: Directive) -> None:
    from fastcore.nbio import mk_cell

    (cell,) = cells_of(f"# %%\n{line}\nx = 1\n")
    assert cell.directives == (directive,)
    assert dict(mk_cell(f"{line}\nx = 1").directives) == {directive.name: directive.arguments}


@pytest.mark.parametrize("above", ["", "%%time\n", "#| hide\n"])
def test_directives_may_stand_below_blank_lines_magics_and_directives(above: str) -> None:
    (cell,) = cells_of(f"# %%\n{above}\n#| export\nx = 1\n")
    assert cell.exported


@pytest.mark.parametrize("above", ["# text\n", "x = 1\n", "%time\n"])
def test_directives_below_anything_else_are_comments(above: str) -> None:
    (cell,) = cells_of(f"# %%\n{above}#| export\ny = 2\n")
    assert not cell.directives


@pytest.mark.parametrize(
    ("directive", "reaches_the_module"),
    [("export", True), ("exports", True), ("exporti", True), ("exportd", False), ("hide", False)],
)
def test_exported_cells_are_those_that_nbdev_writes(directive: str, reaches_the_module: bool) -> None:
    text = f"# %%\n#| default_exp core.x\n# %%\n#| export\nx = 1\n# %%\n#| {directive}\ny = 2\n"
    assert document_of(text.encode(), "a.py").cells[2].exported is reaches_the_module
    export = export_text(notebook_text(text.encode(), "a.py"), package="demo", target="core.x", source="a.py")
    assert ("y = 2" in export) is reaches_the_module


def test_evaluated_is_all_but_eval_false() -> None:
    cells = cells_of("# %%\n#| eval: False\nx\n# %%\n#| eval: true\nx\n# %%\nx\n")
    assert [cell.evaluated for cell in cells] == [False, True, True]


def test_the_code_of_a_cell_keeps_its_line_numbers() -> None:
    (cell,) = cells_of("# %%\n#| export\n\n#| hide\nx = 1\n#| export\n")
    assert cell.code == "\n\n\nx = 1\n#| export"


def test_default_exports_are_those_that_nbdev_reads() -> None:
    text = "# %%\n#| default_exp core.a\n# %%\nx = 1\n#| default_exp core.b\n# %%\n#| default_exp core.c\n"
    assert document_of(text.encode(), "a.py").default_exports == (
        Directive("default_exp", "core.a", 2),
        Directive("default_exp", "core.c", 7),
    )


SOURCE = HEADER + (
    "# %%\n#| default_exp core.x\n\n# %% [markdown]\n# Prose.\n\n# %%\n#| export\nx = 1\n\n# %%\nassert x\n"
)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("# Prose.", "# Other prose,\n# and more of it.", True),
        ("assert x", "assert x == 1", True),
        ("x = 1\n\n# %%", "x = 1\n\n\n# %% test", True),
        ("x = 1", "x = 2", False),
        ("#| export", "#| exporti", False),
        ("#| export\n", "", False),
    ],
)
def test_the_exported_source_changes_with_the_exported_cells_alone(old: str, new: str, same: bool) -> None:
    before = document_of(SOURCE.encode(), "a.py").exported_source()
    after = document_of(SOURCE.replace(old, new).encode(), "a.py").exported_source()
    assert (before == after) is same


def test_a_notebook() -> None:
    notebook = {
        "cells": [
            {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "text"]},
            {
                "cell_type": "code",
                "metadata": {"nbdev": {"hide": "true"}},
                "source": ["#| export\n", "x = 1"],
            },
            {"cell_type": "code", "metadata": {}, "source": []},
        ]
    }
    text = json.dumps(notebook, indent=1)
    document = document_of(text.encode(), "a.ipynb")
    assert [(cell.kind, cell.source) for cell in document.cells] == [
        ("markdown", "# Title\ntext"),
        ("code", "#| export\nx = 1"),
        ("code", ""),
    ]
    assert [cell.options for cell in document.cells] == ["", 'nbdev={"hide": "true"}', ""]
    assert document.lines_known
    code = document.cells[1]
    assert text.split("\n")[code.line].strip() == '"x = 1"'


def test_the_lines_of_a_notebook_without_line_breaks_are_not_known() -> None:
    text = json.dumps({"cells": [{"cell_type": "code", "metadata": {}, "source": "x = 1\ny = 2"}]})
    document = document_of(text.encode(), "a.ipynb")
    assert document.cells[0].source == "x = 1\ny = 2"
    assert not document.lines_known
    assert SourceLines("x = 1\ny = 2\n", document).source_line(1) is None


def test_markdown_goes_through_jupytext() -> None:
    text = "# Title\n\n```python\n#| export\n# copy the rows\nx = 1\n```\n"
    assert summary(text, "src/02_tensor/tensor_dev.md") == [
        ("markdown", "# Title", 1),
        ("code", "#| export\n# copy the rows\nx = 1", 4),
    ]


def test_the_light_format_goes_through_jupytext() -> None:
    assert summary("# Prose.\n\n# +\nx = 1\n\ny = 2\n# -\n\nz = 3\n") == [
        ("markdown", "Prose.", 1),
        ("code", "x = 1\n\ny = 2", 4),
        ("code", "z = 3", 9),
    ]


@pytest.mark.parametrize(
    ("raw", "path", "message"),
    [
        (
            b"x = 1\n# \xe9\n",
            "a.py",
            "a.py:2: the source is not UTF-8 [unreadable-source]\n  cure: save it as UTF-8",
        ),
        (
            b"{",
            "a.ipynb",
            "a.ipynb:1: the notebook is no valid JSON: Expecting property name enclosed in double quotes: "
            "line 1 column 2 (char 1) [unreadable-source]",
        ),
        (
            b'{"worksheets": []}',
            "a.ipynb",
            "a.ipynb: the notebook has no list of cells [unreadable-source]\n"
            "  cure: open it in Jupyter and save it, which brings it to version 4 of the format",
        ),
        (
            b'{"cells": [{"cell_type": "code"}]}',
            "a.ipynb",
            "a.ipynb: cell 1 of the notebook has no known type or no source [unreadable-source]",
        ),
        (
            b'{"cells": [], "nbformat": [3]}',
            "a.ipynb",
            "a.ipynb: the notebook's nbformat is [3], and only 4 can be read [unreadable-source]",
        ),
        (
            b'{"cells": [], "metadata": null}',
            "a.ipynb",
            "a.ipynb: the notebook has metadata that are no JSON object [unreadable-source]",
        ),
        (
            b'{"cells": [{"cell_type": "raw", "source": [], "metadata": [1]}]}',
            "a.ipynb",
            "a.ipynb: cell 1 of the notebook has metadata that are no JSON object [unreadable-source]",
        ),
        (
            b'{"cells": [{"cell_type": "raw", "source": "\\ud800"}]}',
            "a.ipynb",
            "a.ipynb: the notebook holds \\ud800, which is no character [unreadable-source]",
        ),
        (
            b"# Title\n" + b" " * 40_000,
            "a.md",
            "a.md:2: 1000 blanks stand in a row, which jupytext may take minutes to read [unreadable-source]\n"
            "  cure: remove them",
        ),
        (
            b"[" * 100_000,
            "a.ipynb",
            "a.ipynb: the notebook's JSON is nested too deeply [unreadable-source]",
        ),
        (
            b"# ---\n# jupyter:\n#   - a\n# ---\n",
            "a.py",
            "a.py: jupytext cannot read the source: 'list' object has no attribute 'get' [unreadable-source]",
        ),
    ],
)
def test_what_cannot_be_read_says_why(raw: bytes, path: str, message: str) -> None:
    with pytest.raises(UnreadableSource) as caught:
        document_of(raw, path)
    assert str(caught.value) == message


def test_a_cell_that_is_not_found_in_the_file_makes_its_lines_unknown() -> None:
    document = document_of(b"#' prose\nx = 1\n", "a.r")
    assert not document.lines_known
    assert document_of(b"```python\nx = 1\n```\n", "a.md").lines_known


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource) as caught:
        read_document(tmp_path / "a.py", "src/a.py")
    assert (
        str(caught.value)
        == "src/a.py: the source cannot be read: No such file or directory [unreadable-source]"
    )


def test_windows_line_ends_are_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"# %%\r\nx = 1\r\n\r\n# %%\r\ny = 2\r\n")
    assert [cell.source for cell in read_document(tmp_path / "a.py", "a.py").cells] == ["x = 1", "y = 2"]


@pytest.mark.parametrize("text", ["x = (", "\0", "-" * 100_000 + "1"])
def test_what_is_no_python_is_a_syntax_error_whatever_python_calls_it(text: str) -> None:
    with pytest.raises(SyntaxError):
        parse_code(text)


def test_parsing_and_compiling_are_silent() -> None:
    parse_code("x = '\\d'")  # an invalid escape: a warning, and warnings are errors here
    compile_code("assert (1, 'x')", "a.py")


def export_of(text: str) -> str:
    return export_text(notebook_text(text.encode(), "a.py"), package="demo", target="core.x", source="a.py")


def test_lines_of_an_export_lead_to_the_source() -> None:
    text = HEADER + (
        "# %%\n#| default_exp core.x\n\n# %%\n#| export\nfrom __future__ import annotations\n\n"
        "from demo.core.y import Y\n\n# %%\nassert Y\n\n"
        "# %%\n#| export\n# why\n@property\ndef f():\n    return Y\n\n\n"
        "# below\nx = 1; z = 2\n"
    )
    export = export_of(text)
    lines = SourceLines(export, document_of(text.encode(), "a.py"))
    found = {
        line: lines.source_line(number) for number, line in enumerate(export.split("\n"), 1) if line.strip()
    }
    source = text.split("\n")
    for line, number in found.items():
        if line.startswith(("# AUTO", "# %%", "__all__")):
            assert number is None
        else:
            assert number is not None
            assert source[number - 1] == line.replace("from .y", "from demo.core.y")


@pytest.mark.parametrize("broken", ["y = (\n", "#\n"])
def test_lines_are_matched_by_text_where_statements_cannot_be_paired(broken: str) -> None:
    text = "# %%\n#| export\nx = 1\n\n# %%\n#| export\nz = 3\n"
    export = f"# AUTOGENERATED\n\n# %%\nx = 1\n{broken}\nw = 0\n# %%\nz = 3\n"
    lines = SourceLines(export, document_of(text.encode(), "a.py"))
    numbers = [lines.source_line(number) for number in range(1, export.count("\n") + 1)]
    assert numbers == [None, None, None, 3, None, None, None, None, 7]


def test_lines_that_are_not_in_the_export_lead_nowhere() -> None:
    lines = SourceLines("x = 1\n", document_of(b"# %%\n#| export\nx = 1\n", "a.py"))
    assert [lines.source_line(number) for number in (0, 1, 99)] == [None, 3, None]


WORDS = st.sampled_from(["x", "tensor", "# it's", "'''", "%", "~~~ a", "> q", "| a |", "# # %%", "<b>", "\t"])
PROSE = st.lists(WORDS, max_size=4).map(lambda lines: "\n".join(f"# {line}" for line in lines))
CODE = st.lists(
    st.sampled_from(
        [
            "x = 1",
            "def f(a):\n    return a",
            "y = '''\n# %%\n'''",
            "# it's",
            'z = "#\\" \'"',
            "",
            "w = r'\\''",
        ]
    ),
    max_size=5,
).map("\n".join)
CELLS = st.one_of(
    PROSE.map(lambda text: f"# %% [markdown]\n{text}"),
    CODE.map(lambda text: f"# %%\n{text}"),
    CODE.map(lambda text: f"# %%\n#| export\n{text}"),
)
steady = settings(derandomize=True, deadline=None, max_examples=150)


@steady
@given(st.lists(CELLS, min_size=1, max_size=6))
def test_sound_sources_are_read_as_jupytext_reads_them(cells: list[str]) -> None:
    text = HEADER + "\n\n".join(cells) + "\n"
    theirs = jupytext.reads(text, {"extension": ".py", "comment_magics": False})["cells"]
    # jupytext keeps blank lines at the end of a cell if there are many; they mean nothing.
    assert [(cell.kind, cell.source.rstrip()) for cell in cells_of(text)] == [
        (cell["cell_type"], cell["source"].rstrip()) for cell in theirs
    ]


@steady
@given(st.lists(CELLS, min_size=1, max_size=6), st.integers(0, 5))
def test_every_line_of_an_export_leads_to_the_same_line(cells: list[str], shift: int) -> None:
    text = (
        HEADER
        + "# %%\n#| default_exp core.x\n"
        + "\n" * shift
        + "\n\n".join([*cells, "# %%\n#| export\nend = 1"])
    )
    export = export_of(text)
    lines = SourceLines(export, document_of(text.encode(), "a.py"))
    source = text.split("\n")
    for number, line in enumerate(export.split("\n"), 1):
        found = lines.source_line(number)
        if not line.strip():
            continue
        if found is not None:
            assert source[found - 1] == line
        else:
            assert line.startswith(("# AUTO", "# %%", "__all__", " ")) or line == "# it's"
