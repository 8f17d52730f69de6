"""Exports that do not compile, or whose names are not sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, after, course, exported
from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.checks.lint import RuffError, compiles, names_are_sound, oldest_python
from tinytorch_build.model import Package

USUAL = (
    "define or import it in an exported cell; a helper or an import in a cell without `#| export` "
    "is the usual reason"
)


def said(text: str) -> list[str]:
    return [str(problem) for problem in names_are_sound(exported(text))]


def test_sound_names_pass() -> None:
    assert said(f"{GOOD}{EXPORT}from typing import Self\n\n\ndef f(a: Self) -> 'Tensor': ...\n") == []


def test_an_undefined_name() -> None:
    assert said(f"{GOOD}{EXPORT}def f():\n    return np.zeros(3)\n") == [
        f"{SOURCE}:12: `np` is not defined in the exported cells [undefined-name]\n  cure: {USUAL}"
    ]


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("# %%\nimport numpy as np\n", "np"),
        ("# %%\nimport numpy.linalg\n", "numpy"),
        ("# %%\n#| hide\ndef helper(): ...\n", "helper"),
        ("# %%\n%matplotlib inline\nif SIZE:\n    _rate, scale = 1, 2\n", "scale"),
    ],
)
def test_an_undefined_name_that_another_cell_defines(cell: str, name: str) -> None:
    text = f"{GOOD}{cell}\n{EXPORT}def f():\n    return {name}\n"
    line = {"np": 10, "numpy": 10, "helper": 11, "scale": 11}[name]
    assert said(text) == [
        f"{SOURCE}:{12 + cell.count(chr(10)) + 1}: `{name}` is not defined in the exported cells "
        f"[undefined-name]\n"
        f"  cure: line {line} defines it in a cell that is not exported: write `#| export` as its first line"
    ]


def test_an_undefined_name_is_not_silenced_by_a_comment() -> None:
    assert said(f"{GOOD}{EXPORT}x = np  # noqa\n") == [
        f"{SOURCE}:11: `np` is not defined in the exported cells [undefined-name]\n  cure: {USUAL}"
    ]


def test_an_undefined_name_in_all() -> None:
    assert said(f'{GOOD}{EXPORT}__all__ = ["SIZE", "Dense"]\n') == [
        f"{SOURCE}:11: `__all__` names `Dense`, which the exported cells do not define [undefined-export]\n"
        f"  cure: {USUAL}"
    ]


def test_a_name_that_is_defined_twice() -> None:
    assert said(f"{GOOD}{EXPORT}import os\n\n\ndef f(): ...\n\n\n# %%\n1\n\n{EXPORT}def f(): ...\n") == [
        f"{SOURCE}:22: `f` is defined again, so the first definition from line 14 is never used "
        f"[redefined-name]\n"
        "  cure: take one of them out, or rename it"
    ]


def test_a_star_import() -> None:
    assert said(f"{GOOD}{EXPORT}from os.path import *\n") == [
        f"{SOURCE}:11: `from os.path import *` hides which names it brings [star-import]\n"
        "  cure: import the names that are used, each by its name"
    ]


def test_a_late_future_import_does_not_compile() -> None:
    assert after(f"{GOOD}{EXPORT}from __future__ import annotations\n") == [
        f"{SOURCE}:11: the export does not compile: from __future__ imports must occur at the "
        "beginning of the file [does-not-compile]\n"
        "  cure: move the `from __future__` import to the top of the first exported cell"
    ]


def test_a_late_future_import_is_what_ruff_says_too() -> None:
    assert said(f"{GOOD}{EXPORT}from __future__ import annotations\n") == [
        f"{SOURCE}:11: a `from __future__` import stands below other code [late-future-import]\n"
        "  cure: move it to the top of the first exported cell"
    ]


def test_code_that_parses_and_does_not_compile() -> None:
    assert after(f"{TOP}{EXPORT}def f():\n    return 1\n\n\nreturn 2\n") == [
        f"{SOURCE}:10: the export does not compile: 'return' outside function [does-not-compile]"
    ]


def test_syntax_that_the_oldest_supported_python_does_not_know() -> None:
    package = Package("demo", requires_python=">=3.8")
    export = exported(f"{GOOD}{EXPORT}match SIZE:\n    case _:\n        pass\n", course(package))
    assert compiles(export) == []
    (problem,) = names_are_sound(export)
    assert str(problem) == (
        f"{SOURCE}:11: ruff cannot read the export: Cannot use `match` statement on Python 3.8 "
        f"(syntax was added "
        "in Python 3.10) [invalid-syntax]"
    )


@pytest.mark.parametrize(
    ("constraint", "minor"),
    [(">=3.11", 11), (">=3.12.4", 12), ("==3.13.*", 13), (">3.11,<3.13", 11), ("<3", None)],
)
def test_the_oldest_python(constraint: str, minor: int | None) -> None:
    assert oldest_python(constraint) == minor


def ruff_that(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> ExportUnderCheck:
    program = folder / "ruff"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("ruff.find_ruff_bin", lambda: str(program))
    return exported(GOOD)


def test_a_ruff_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ruff_that(monkeypatch, tmp_path, "echo no >&2; exit 2")
    with pytest.raises(RuffError) as caught:
        names_are_sound(export)
    assert str(caught.value) == "ruff could not check build/staging/demo/core/layers.py: no"


def test_a_ruff_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export = ruff_that(monkeypatch, tmp_path, "")
    (tmp_path / "ruff").unlink()
    with pytest.raises(RuffError) as caught:
        names_are_sound(export)
    assert (
        str(caught.value)
        == f"ruff could not be run: [Errno 2] No such file or directory: '{tmp_path / 'ruff'}'"
    )


def test_an_older_ruff_gives_syntax_errors_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = '[{"code": null, "message": "Expected `)`", "location": {"row": 6, "column": 1}}]'
    export = ruff_that(monkeypatch, tmp_path, f"echo '{found}'")
    (problem,) = names_are_sound(replace(export))
    assert str(problem) == f"{SOURCE}: ruff cannot read the export: Expected `)` [invalid-syntax]"
