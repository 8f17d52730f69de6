"""Checks of what an export offers: the promised names, no name twice in the package, docstrings."""

from __future__ import annotations

import ast

from tinytorch_build.checks.export import Definition, ExportUnderCheck
from tinytorch_build.model import Problem, Severity
from tinytorch_build.suggest import closest


def provides_what_it_promises(export: ExportUnderCheck) -> list[Problem]:
    """Every name in the manifest's `provides` is defined by the module itself."""
    problems = []
    for name in export.module.provides:
        if name in export.defined:
            continue
        line, near = export.elsewhere(name), closest(name, export.public_names, 0.7)
        if line is not None:
            cure = (
                f"line {line} defines it in a cell that is not exported: write `#| export` as its first line"
            )
        elif near is not None:
            cure = f"did you mean `{near}`?"
        else:
            cure = (
                f"define it in an exported cell, or take it out of provides of [modules.{export.module.name}]"
            )
        message = f"{export.module.name} does not define `{name}`, which modules.toml says it provides"
        problems.append(export.problem("missing-name", message, None, cure))
    return problems


def names_are_its_own(export: ExportUnderCheck) -> list[Problem]:
    """No other module exports the same name: `from package import *` could give only one of the two."""
    return [
        export.problem(
            "name-taken",
            f"{export.module.name} exports `{name}`, and so does {export.taken[name]}",
            _line(export, name),
            "give one of them another name, or one that begins with an underscore",
        )
        for name in export.public_names
        if name in export.taken
    ]


def public_names_have_docstrings(export: ExportUnderCheck) -> list[Problem]:
    """Public functions and classes say what they are for (a warning)."""
    problems = []
    for name in export.public_names:
        statement = export.defined.get(name)
        if isinstance(statement, Definition) and ast.get_docstring(statement) is None:
            problems.append(
                export.problem(
                    "missing-docstring",
                    f"`{name}` has no docstring",
                    statement.lineno,
                    "say in a docstring what it is for",
                    Severity.WARNING,
                )
            )
    return problems


def _line(export: ExportUnderCheck, name: str) -> int | None:
    statement = export.defined.get(name)
    return None if statement is None else statement.lineno
