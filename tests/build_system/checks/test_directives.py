"""Directives that nbdev would pass over without a word."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, before, course
from tinytorch_build.checks.before_export import check_before_export

CODE = f"{EXPORT}SIZE = 1\n"


def test_no_default_exp() -> None:
    assert before(CODE) == [
        f"{SOURCE}: no cell says with `#| default_exp` which file the module goes to [default-exp]\n"
        "  cure: Please add #| default_exp directive to module"
    ]


@pytest.mark.parametrize(
    ("top", "line"),
    [
        ("# %%\n# The layers.\n#| default_exp core.layers\n", 3),
        ("# %%\nimport os\n#| default_exp core.layers\n", 3),
        ("# %%\n#default_exp core.layers\n", 2),
        ("# %% [markdown]\n# #| default_exp core.layers\n\n# %%\n# default_exp core.layers\n", 5),
    ],
)
def test_a_default_exp_where_nbdev_does_not_read_it(top: str, line: int) -> None:
    (message,) = [text for text in before(top + CODE) if "[default-exp]" in text]
    assert message == (
        f"{SOURCE}:{line}: `#| default_exp` stands where nbdev does not read it [default-exp]\n"
        "  cure: make it the first line of a code cell"
    )


def test_a_default_exp_right_below_quoted_prose() -> None:
    assert before(f'# %% [markdown]\n"""\n# Layers\n"""\n#| default_exp core.layers\n{CODE}') == [
        f"{SOURCE}:5: `#| default_exp` stands where nbdev does not read it [default-exp]\n"
        "  cure: make it the first line of a code cell",
        f"{SOURCE}:5: jupytext takes this line for prose, as it does all text of a markdown cell "
        "[code-in-prose]\n  cure: write `# %%` above it, so that it becomes a code cell",
    ]


def test_two_default_exps() -> None:
    assert before(GOOD + "# %%\n#| default_exp core.layers\n") == [
        f"{SOURCE}:10: `#| default_exp` stands here again, after line 2; nbdev would take the last one "
        "[default-exp]\n  cure: keep the one that names core.layers"
    ]


CHANGE = "write `#| default_exp core.layers`, or change target of [modules.layers] in modules.toml"


@pytest.mark.parametrize(
    ("directive", "said"),
    [
        (
            "#| default_exp core.layer",
            "`#| default_exp core.layer` is not the target that modules.toml gives layers, which is "
            "core.layers",
        ),
        ("#| default_exp", "`#| default_exp` does not name one module"),
        ("#| default_exp core.layers x", "`#| default_exp core.layers x` does not name one module"),
    ],
)
def test_another_default_exp_than_the_target(directive: str, said: str) -> None:
    assert before(f"# %%\n{directive}\n{CODE}") == [f"{SOURCE}:2: {said} [default-exp]\n  cure: {CHANGE}"]


@pytest.mark.parametrize("cells", ["# %%\nx = 1\n", "# %%\n#| export\n# nothing but a comment\n"])
def test_no_exported_code(cells: str) -> None:
    assert before(TOP + cells) == [
        f"{SOURCE}: no cell with code is exported [no-export]\n"
        "  cure: write `#| export` above the code that the package needs"
    ]


@pytest.mark.parametrize(
    ("directive", "cure"),
    [
        ("#| exprot", "did you mean `#| export`?"),
        ("#| Export", "did you mean `#| export`?"),
        ("#||export", "did you mean `#| export`?"),
        ("#| default-exp core.layers", "did you mean `#| default_exp`?"),
        ("#| code-flod: show", "did you mean `#| code-fold`?"),
        ("#| x | y |", "write it as an ordinary comment"),
    ],
)
def test_an_unknown_directive(directive: str, cure: str) -> None:
    name = directive.removeprefix("#|").split()[0].rstrip(":")
    assert before(f"{GOOD}# %%\n{directive}\n") == [
        f"{SOURCE}:10: nbdev knows no directive `#| {name}` [unknown-directive]\n  cure: {cure}"
    ]


def test_exportd_exports_nothing() -> None:
    assert before(f"{GOOD}# %%\n#| exportd\nx = 1\n") == [
        f"{SOURCE}:10: the code of a cell with `#| exportd` is documentation to nbdev and reaches no module "
        "[unknown-directive]\n  cure: write `#| export`, or take the directive out"
    ]


def test_an_export_to_another_file() -> None:
    assert before(f"{GOOD}# %%\n#| exports core.other\nx = 1\n") == [
        f"{SOURCE}:10: `#| exports core.other` would put the cell into a file of another name, and again on "
        "every export [export-argument]\n  cure: write `#| exports` alone: a source makes one module"
    ]


@pytest.mark.parametrize("line", ["#| export", "# |export", "#| eval: false", "#| exprot"])
def test_a_directive_below_other_text(line: str) -> None:
    name = line.split("|")[1].split()[0].rstrip(":")
    assert before(f"{GOOD}# %%\n# The second part.\n{line}\nx = 1\n") == [
        f"{SOURCE}:11: `#| {name}` stands below other text of its cell, where nbdev does not read it "
        "[misplaced-directive]\n  cure: make it the first line of the cell"
    ]


@pytest.mark.parametrize("comment", ["#export", "# export", "#exprot", "#@export", "# %export", "#Exports"])
def test_a_comment_that_is_meant_to_be_a_directive(comment: str) -> None:
    meant = "exports" if "Exports" in comment else "export"
    assert before(f"{GOOD}# %%\n{comment}\nx = 1\n") == [
        f"{SOURCE}:10: `{comment}` is an ordinary comment to nbdev [misspelt-directive]\n"
        f"  cure: did you mean `#| {meant}`?"
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "#| hide\n#| code-fold: show\nx = 1",
        "# export the layers\nx = 1",
        "# exported\nx = 1",
        "x = 1  #| hide_line",
        "x = 1\n# export",
        "# shapes\n# | a | b |\nx = 1",
        "x = '''\n#| export\n'''",
    ],
)
def test_other_comments_and_known_directives_pass(cell: str) -> None:
    assert before(f"{GOOD}# %%\n{cell}\n") == []


@pytest.mark.parametrize("prose", ["#| export", "# #| export", '"""\n#| export\n"""'])
def test_a_directive_in_prose(prose: str) -> None:
    (message,) = before(f"{GOOD}# %% [markdown]\n{prose}\n")
    line = 11 if prose.startswith('"') else 10
    assert message == (
        f"{SOURCE}:{line}: `#| export` stands in a cell of prose, which brings no code into the module "
        "[markdown-directive]\n  cure: make it a code cell with a plain `# %%`, or take the directive out"
    )


def test_directives_of_a_notebook_are_checked_at_its_lines() -> None:
    manifest = course(source="src/03_layers/layers_dev.ipynb")
    notebook = """{
 "cells": [
  {
   "cell_type": "code",
   "metadata": {},
   "source": [
    "#| default_exp core.layers\\n",
    "#| exprot\\n",
    "x = 1"
   ]
  },
  {
   "cell_type": "code",
   "metadata": {},
   "source": [
    "#| export\\n",
    "x = 1"
   ]
  }
 ]
}
"""
    (problem,) = check_before_export(manifest, manifest["layers"], notebook.encode())
    assert (problem.place, problem.check) == ("src/03_layers/layers_dev.ipynb:8", "unknown-directive")
    compact = notebook.replace("\n", "")
    assert check_before_export(manifest, manifest["layers"], compact.encode()) == [
        replace(problem, line=None)
    ]
