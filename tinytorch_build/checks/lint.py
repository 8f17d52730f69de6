"""Checks of an export by Python's compiler and by ruff: names that are not defined, or defined twice."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

from tinytorch_build.checks.export import ExportUnderCheck
from tinytorch_build.errors import CourseError
from tinytorch_build.literate import compile_code
from tinytorch_build.model import Problem
from tinytorch_build.refusals import is_shortage

RULES = ("F821", "F822", "F811", "F404", "F403")
_SECONDS = 60


class RuffError(CourseError):
    """ruff gave no findings, so nothing can be said about the export's names."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of ruff.

    Attributes:
        rule: such as `F821`; `invalid-syntax` for what the oldest supported Python does not understand.
        message: ruff's own words.
        line: 1-based line of the export.
    """

    rule: str
    message: str
    line: int

    @property
    def name(self) -> str:
        """The name that it is about: the first in backticks."""
        found = re.search("`([^`]*)`", self.message)
        return found[1] if found else ""


def compiles(export: ExportUnderCheck) -> list[Problem]:
    """The export compiles, which more is needed for than a syntax tree."""
    try:
        compile_code(export.text, export.path)
    except SyntaxError as error:
        message = f"the export does not compile: {error.msg}"
        cure = ""
        if "__future__" in error.msg:
            cure = "move the `from __future__` import to the top of the first exported cell"
        return [export.problem("does-not-compile", message, error.lineno, cure)]
    return []


def names_are_sound(export: ExportUnderCheck) -> list[Problem]:
    """No name is undefined, lost by a second definition, or brought in by a star (ruff's `RULES`)."""
    return [_as_problem(export, finding) for finding in ruff_findings(export)]


def ruff_findings(export: ExportUnderCheck) -> Iterator[Finding]:
    """What ruff says of an export; comments that would silence it are not heard.

    Raises:
        RuffError: it could not be run, or gave no findings.
    """
    from ruff import find_ruff_bin  # type: ignore[import-untyped]  # it ships no types

    options = [
        "--isolated",
        "--no-cache",
        "--ignore-noqa",
        "--output-format",
        "json",
        "--select",
        ",".join(RULES),
    ]
    oldest = oldest_python(export.manifest.package.requires_python)
    if oldest is not None:
        options += ["--target-version", f"py3{oldest}"]
    try:
        finished = subprocess.run(
            [find_ruff_bin(), "check", *options, "--stdin-filename", "export.py", "-"],
            input=export.text.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
        findings = json.loads(finished.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        if isinstance(error, OSError) and is_shortage(error):
            raise
        raise RuffError(f"ruff could not be run: {error}") from error
    except ValueError as error:
        said = finished.stderr.decode(errors="replace").strip()
        raise RuffError(f"ruff could not check {export.path}: {said}") from error
    for found in findings:
        yield Finding(found["code"] or "invalid-syntax", found["message"], found["location"]["row"])


def oldest_python(requires_python: str) -> int | None:
    """The minor number of the oldest Python 3 that a PEP 440 constraint allows, or None if it allows none."""
    from packaging.specifiers import SpecifierSet

    allowed = SpecifierSet(requires_python)
    return next((minor for minor in range(7, 15) if allowed.contains(f"3.{minor}.999")), None)


def _as_problem(export: ExportUnderCheck, finding: Finding) -> Problem:
    name, line = finding.name, finding.line
    match finding.rule:
        case "F821":
            message = f"`{name}` is not defined in the exported cells"
            return export.problem("undefined-name", message, line, _where_it_comes_from(export, name))
        case "F822":
            message = f"`__all__` names `{name}`, which the exported cells do not define"
            return export.problem("undefined-export", message, line, _where_it_comes_from(export, name))
        case "F811":
            first = re.search(r"from line (\d+)", finding.message)
            source_line = export.lines.source_line(int(first[1])) if first else None
            where = f" from line {source_line}" if source_line else ""
            message = f"`{name}` is defined again, so the first definition{where} is never used"
            return export.problem("redefined-name", message, line, "take one of them out, or rename it")
        case "F403":
            message = f"`{name}` hides which names it brings"
            return export.problem(
                "star-import", message, line, "import the names that are used, each by its name"
            )
        case "F404":
            message = "a `from __future__` import stands below other code"
            cure = "move it to the top of the first exported cell"
            return export.problem("late-future-import", message, line, cure)
        case _:
            message = f"ruff cannot read the export: {finding.message}"
            return export.problem("invalid-syntax", message, line)


def _where_it_comes_from(export: ExportUnderCheck, name: str) -> str:
    line = export.elsewhere(name)
    if line is not None:
        return f"line {line} defines it in a cell that is not exported: write `#| export` as its first line"
    return (
        "define or import it in an exported cell; a helper or an import in a cell without `#| export` "
        "is the usual reason"
    )
