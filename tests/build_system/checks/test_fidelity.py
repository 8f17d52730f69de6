"""Exports that do not hold what the exported cells say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, STAGED, TOP, course, exported
from tinytorch_build.checks.after_export import ExportUnderCheck, check_fidelity

CURE = "look above this line for a `# %%` line or quotes that a tool reads in another way than Python does"
CODE = f"{GOOD}# %%\nassert SIZE\n\n{EXPORT}def area(a):\n    return a * a\n\n\nLAST = 1\n"


def fidelity(export: ExportUnderCheck, text: str | None = None) -> list[str]:
    found = check_fidelity(
        export.manifest, export.module, export.document, export.text if text is None else text
    )
    return [str(problem) for problem in found]


@pytest.mark.parametrize(
    "text",
    [
        CODE,
        f"{TOP}{EXPORT}from demo import Tensor\nfrom demo.core import tensor\nimport demo.core.tensor as t\n",
        f"{TOP}{EXPORT}from demo.core.tensor import (\n    Tensor,\n)\n",
        f"{TOP}{EXPORT}def f():\n    from demo.core.tensor import Tensor\n\n    return Tensor\n",
        f"{TOP}{EXPORT}from __future__ import annotations\n\n{EXPORT}x = 1\n",
        f'{TOP}{EXPORT}import os; x = 1; y = 2\n\n{EXPORT}__all__ = ["x"]\n_all_ = ["y"]\n',
        f"{TOP}{EXPORT}@property\ndef f(): ...\n",
        f"{TOP}{EXPORT}# only a comment\n\n{EXPORT}x = '''\n# %%\n'''\n",
        f"{TOP}# %%\n#| exporti\nx = 1\n\n# %%\n#| exports\n#| code-fold: show\ny = 2\n",
        f"{TOP}{EXPORT}x = 1\n".replace("\n", "\r\n"),
        f'# %% [markdown]\n"""\n# Title\n> quoted\n"""\n{TOP}{EXPORT}x = "é"\n',
    ],
)
def test_what_nbdev_makes_of_sound_sources_is_faithful(text: str) -> None:
    assert fidelity(exported(text)) == []


def test_no_file() -> None:
    assert fidelity(exported(GOOD), "") == [
        f"{SOURCE}: nbdev made no module demo.core.layers of this source [export-missing]\n"
        "  cure: begin the file with `#| default_exp` and each cell of the package with `#| export`"
    ]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("return a * a", "return a + a", 14, "the export holds other code than this exported cell"),
        (
            "from .tensor import",
            "from .dense import",
            6,
            "the export holds other code than this exported cell",
        ),
        ("\n\nLAST = 1", "", 18, "the export does not hold the code from here on"),
        ("\n    return a * a", " ...", 14, "the export holds other code than this exported cell"),
    ],
)
def test_lost_or_changed_code(old: str, new: str, line: int, said: str) -> None:
    export = exported(CODE)
    assert old in export.text
    assert fidelity(export, export.text.replace(old, new)) == [
        f"{SOURCE}:{line}: {said} [export-differs]\n  cure: {CURE}"
    ]


def test_code_from_nowhere() -> None:
    export = exported(CODE)
    assert fidelity(export, f"{export.text}MORE = 1\n") == [
        f"{SOURCE}: the export holds more code than the exported cells [export-differs]\n  cure: {CURE}"
    ]


def test_an_export_that_is_no_python() -> None:
    export = exported(CODE)
    assert fidelity(export, export.text.replace("LAST = 1", "LAST = 1 1")) == [
        f"{SOURCE}: the export is not valid Python: invalid syntax [export-differs]\n  cure: {CURE}"
    ]


def test_a_source_that_is_no_python() -> None:
    export = exported(CODE)
    broken = replace(export.document.cells[1], source="#| export\nx = (")
    document = replace(export.document, cells=(broken,))
    found = check_fidelity(course(), export.module, document, "x = (1)\n")
    assert [str(problem) for problem in found] == [
        f"{SOURCE}: an exported cell is not valid Python: '(' was never closed [export-differs]\n  "
        f"cure: {CURE}"
    ]


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        # jupytext ends the class at the indented comment.
        (f"{EXPORT}class A:\n    a = 1\n    # %%\n    b = 2\n", 11),
        # jupytext takes all of it for prose, up to the next ```.
        (f"# %% [markdown]\n# ```\n\n{EXPORT}x = 1\n\n# %% [markdown]\n# ```\n", 14),
        # jupytext makes a raw cell of it, which nbdev does not see.
        ('# %% active="py"\n#| export\nx = 1\n', 11),
        # jupytext ends a line at this character.
        (f"{EXPORT}x = '''a\u2028b'''\n", 11),
    ],
)
def test_what_jupytext_and_nbdev_lose_in_silence_is_noticed(cells: str, line: int) -> None:
    (message,) = fidelity(exported(f"{GOOD}{cells}"))
    assert message.startswith(f"{SOURCE}:{line}: the export ")
    assert STAGED not in message


def test_a_directive_in_the_options_of_a_cell_is_noticed() -> None:
    (message,) = fidelity(exported(f'{GOOD}# %% nbdev={{"export": "true"}}\nx = 1\n'))
    assert message.startswith(f"{SOURCE}: the export holds more code than the exported cells")
