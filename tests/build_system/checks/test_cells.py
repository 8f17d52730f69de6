"""Cells that jupytext divides in another way than their author meant, or that are no Python."""

from __future__ import annotations

import json

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, before, course, exported

CUT = (
    "this `# %%` ends a cell in the middle of a block, and nbdev drops what follows [cell-marker-in-block]\n"
    "  cure: take it out, or write the lines below it as a block of their own"
)


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        ("def f():\n    x = 1\n# %%\n    return x\n", [13]),
        ("def f():\n    x = 1\n# %%\n    x += 1\n# %%\n    return x\n", [13, 15]),
        ("def f():\n    x = 1\n# %% [markdown]\n# Now for the rest.\n# %%\n    return x\n", [13, 15]),
        ("def f():\n    x = 1\n# %% [markdown]\n# Now for the rest.\n    return x\n", [13]),
        ("x = [\n    1,\n# %%\n]\n", [13]),
        ("@staticmethod\n# %%\ndef f(): ...\n", [12]),
        ("if GOOD:\n    x = 1\n# %%\nelse:\n    x = 2\n", [13]),
    ],
)
def test_a_marker_that_cuts_a_block(cells: str, lines: list[int]) -> None:
    assert before(f"{GOOD}{EXPORT}{cells}") == [f"{SOURCE}:{line}: {CUT}" for line in lines]


@pytest.mark.parametrize("comment", ["# %%", "# %% the rest", "# In[3]:"])
def test_an_indented_marker(comment: str) -> None:
    text = f"{GOOD}{EXPORT}class Layer:\n    a = 1\n    {comment}\n    b = 2\n"
    assert before(text) == [
        f"{SOURCE}:13: this indented comment ends a cell in the middle of a block, and nbdev drops what "
        "follows [cell-marker-in-block]\n  cure: take it out, or reword it"
    ]
    assert "b = 2" not in exported(text).text  # this is what is to be noticed


def test_markers_in_strings_and_prose_cut_nothing() -> None:
    text = '# %%\ndef f():\n    """\n# %%\n    # %%\n    """\n# %% [markdown]\n#  # %% not a cell\n'
    assert before(GOOD + text) == []


@pytest.mark.parametrize("top", ["# %%\n", EXPORT])
def test_a_syntax_error(top: str) -> None:
    line = 9 + top.count("\n")
    assert before(f"{GOOD}{top}x = (\n") == [
        f"{SOURCE}:{line}: this cell is not valid Python: '(' was never closed [syntax-error]"
    ]


def test_the_lines_that_a_syntax_error_names_are_those_of_the_file() -> None:
    assert before(f"{GOOD}# %%\ndef f():\nx = 1\n") == [
        f"{SOURCE}:11: this cell is not valid Python: expected an indented block after function definition "
        "on line 10 [syntax-error]"
    ]


def test_a_string_that_swallowed_a_marker() -> None:
    assert before(f"{GOOD}# %%\nx = 1\n'''\n\n# %%\ny = 2\n") == [
        f"{SOURCE}:11: this cell is not valid Python: unterminated triple-quoted string literal (detected at "
        "line 14) [syntax-error]\n  cure: close the string that the `# %%` of line 13 has become a part of"
    ] or before(f"{GOOD}# %%\nx = 1\n'''\n\n# %%\ny = 2\n")[0].startswith(
        f"{SOURCE}:11: this cell is not valid"
    )


@pytest.mark.parametrize(
    ("prose", "line"),
    [
        ("# Text.\nx = 1\n", 11),
        ('"""\nText.\n"""\nx = 1\n', 13),
        ('"""Text."""\n# and a comment\n', 11),
        ("def f():\n    return 1\n", 10),
    ],
)
def test_code_in_a_cell_of_prose(prose: str, line: int) -> None:
    assert before(f"{GOOD}# %% [markdown]\n{prose}") == [
        f"{SOURCE}:{line}: jupytext takes this line for prose, as it does all text of a markdown cell "
        "[code-in-prose]\n  cure: write `# %%` above it, so that it becomes a code cell"
    ]


def test_a_fence_that_swallows_cells() -> None:
    text = f"{GOOD}# %% [markdown]\n# ```python\n# x\n\n{EXPORT}x = 1\n\n# %% [markdown]\n# ```\n"
    assert before(text) == [
        f"{SOURCE}:10: the code block that opens here is not closed, so jupytext takes the cells below for "
        "prose [code-in-prose]\n  cure: close it in the same cell"
    ]
    assert "x = 1" not in exported(text).text  # this is what is to be noticed


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("%matplotlib inline\nx = 1\n", 11),
        ("x = 1\n!ls\n", 12),
        ("x = !ls\n", 11),
        ("x = %timeit -o f()\n", 11),
        ("x?\n", 11),
        ("?x\n", 11),
        ("%%time\nx = 1\n", 11),
        ("%%bash\nls | wc\n", 11),
    ],
)
def test_a_jupyter_command_in_an_exported_cell(code: str, line: int) -> None:
    assert before(f"{GOOD}{EXPORT}{code}") == [
        f"{SOURCE}:{line}: a Jupyter command in an exported cell would break the module [magic-in-export]\n"
        "  cure: move it into a cell without `#| export`"
    ]


@pytest.mark.parametrize(
    "code",
    [
        "%matplotlib inline\nfiles = !ls\n!pip install \\\n    numpy\nx?\ny = 1\n",
        "%%bash\nls | wc -l\n",
        "%%time\nx = 1\n",
        "for i in range(3):\n    %time f(i)\n",
    ],
)
def test_jupyter_commands_in_other_cells_are_fine(code: str) -> None:
    assert before(f"{GOOD}# %%\n{code}") == []


@pytest.mark.parametrize("code", ["%matplotlib inline\nx = (\n", "%%time\nx = (\n"])
def test_a_syntax_error_beside_jupyter_commands(code: str) -> None:
    assert before(f"{GOOD}# %%\n{code}") == [
        f"{SOURCE}:11: this cell is not valid Python: '(' was never closed [syntax-error]"
    ]


def test_what_looks_like_a_command_in_a_string_is_none() -> None:
    assert before(f"{GOOD}{EXPORT}x = '''\n%time\n!ls\nwhy?\n'''\ny = (1\n  %x)\n") == []


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ('active="py"', "active"),
        ('tags=["active-py"]', "active-py"),
        ('nbdev={"export": "true"}', "nbdev"),
        ('a title cell_type="markdown"', "cell_type"),
        ('{"run_control": {"frozen": true}}', "run_control"),
    ],
)
def test_an_option_that_changes_a_cell_unseen(options: str, name: str) -> None:
    assert before(f"{GOOD}# %% {options}\nx = 1\n") == [
        f"{SOURCE}:9: the option `{name}` of this cell changes what becomes of it unseen [cell-option]\n"
        "  cure: take it out, and say it by a directive such as `#| export` or `#| eval: false`"
    ]


@pytest.mark.parametrize("options", ["a title", 'tags=["test"]', "activity=1", "nbdev is a tool"])
def test_titles_and_other_options_pass(options: str) -> None:
    assert before(f"{GOOD}# %% {options}\nx = 1\n") == []


def test_comments_that_begin_like_a_magic_lose_nothing() -> None:
    """jupytext would take the comment sign off these, if it were let; the conversion does not let it."""
    text = f"{TOP}{EXPORT}# copy the rows\n# ls\n# %time it\n# !echo\nSIZE = 1  # cat\n"
    assert before(text) == []
    assert "# copy the rows\n# ls\n# %time it\n# !echo\nSIZE = 1  # cat" in exported(text).text


@pytest.mark.parametrize("nbdev", [None, {}, {"directives": {"export": ""}}])
def test_metadata_for_nbdev_are_refused_whatever_their_shape(nbdev: object) -> None:
    cells = [
        {"cell_type": "code", "source": "#| default_exp core.layers", "metadata": {}},
        {"cell_type": "code", "source": "#| export\nSIZE = 1", "metadata": {"nbdev": nbdev}},
    ]
    raw = json.dumps({"cells": cells, "nbformat": 4}).encode()
    found = before(raw, course(source="src/03_layers/layers_dev.ipynb"))
    assert len(found) == 1
    assert "the option `nbdev` of this cell" in found[0]
