"""The changes between two versions of a package, each with the module that answers for it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tinytorch_build.errors import CourseError
from tinytorch_build.programs import Programs

_SECONDS = 300.0


class ComparisonFailed(CourseError):
    """griffe could not compare the two packages.

    Attributes:
        output: what the program that ran it said.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the package in both versions.

    Attributes:
        module: the module of the course that it is, or None for a hand-written file that the course includes.
        old: its full dotted name in the earlier version.
        new: its full dotted name now.
    """

    module: str | None
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in the public names.

    Attributes:
        module: the module that answers for it; None for the package as a whole.
        name: full dotted name of what is different.
        kind: whether it came, went, or is not what it was.
        breaking: whether code that worked with the earlier version may not work any more.
        explanation: what is different, in griffe's words.
        file: path from the course's root, where it is known.
        line: 1-based line; while a change is not yet placed, of the published file.
        old_line: 1-based line in the earlier version's file, for what was removed.
    """

    module: str | None
    name: str
    kind: Literal["added", "removed", "changed"]
    breaking: bool
    explanation: str
    file: str | None = None
    line: int | None = None
    old_line: int | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "name": self.name,
            "kind": self.kind,
            "breaking": self.breaking,
            "explanation": self.explanation,
            "file": self.file,
            "line": self.line,
        }


def changes_between(
    old: Path, new: Path, package: str, parts: Sequence[Part], programs: Programs
) -> list[Change]:
    """What has come, gone or changed, in the order of the parts.

    A class also has the names that it inherits. What is different in those is told once, where they are
    defined, and not of every class that inherits them.

    Args:
        old: the folder that the earlier version of the package lies in.
        new: the folder that the package lies in now.
        package: its import name.
        parts: the files to compare.
        programs: runs griffe.

    Raises:
        ComparisonFailed: a file does not parse, or time was up.
    """
    asked = {
        "old": str(old),
        "new": str(new),
        "package": package,
        "pairs": [[part.old, part.new] for part in parts],
    }
    with tempfile.TemporaryDirectory(prefix="compatibility-") as folder:
        request, result = Path(folder) / "request.json", Path(folder) / "result.json"
        request.write_text(json.dumps(asked), encoding="utf-8")
        program = Path(__file__).with_name("scan.py")
        finished = programs.python([program, request, result], Path(folder), seconds=_SECONDS)
        if not finished.succeeded:
            said = finished.last_words or finished.how
            raise ComparisonFailed(f"griffe could not compare the package: {said}", finished.output)
        found = json.loads(result.read_text(encoding="utf-8"))
    return list(_told_once(parts, found))


def _told_once(parts: Sequence[Part], found: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[Change]:
    own: set[tuple[str, str]] = set()
    for part, changes in zip(parts, found, strict=True):
        own.update(_key(change) for change in changes if _is_inside(change["defined"], part))
    told: set[tuple[str, str]] = set()
    for part, changes in zip(parts, found, strict=True):
        for change in changes:
            elsewhere = not _is_inside(change["defined"], part)
            if _key(change) in (own if elsewhere else told):
                continue
            told.add(_key(change))
            yield _change(part, change, elsewhere)


def _key(change: Mapping[str, Any]) -> tuple[str, str]:
    return change["defined"], "" if change["kind"] == "removed" else change["explanation"]


def _is_inside(name: str, part: Part) -> bool:
    return name.startswith((f"{part.old}.", f"{part.new}."))


def _change(part: Part, change: Mapping[str, Any], elsewhere: bool) -> Change:
    return Change(
        module=part.module,
        name=change["name"],
        kind=change["kind"],
        breaking=change["breaking"],
        explanation=change["explanation"],
        line=None if elsewhere else change["line"],
        old_line=change["old_line"],
    )


def with_new_homes(changes: Sequence[Change]) -> list[Change]:
    """The changes, where those that removed a name say in which other module it has turned up."""
    came = {_last(change.name): change.name for change in changes if change.kind == "added"}
    return [
        replace(change, explanation=f"{change.explanation} (there is now `{came[_last(change.name)]}`)")
        if change.kind == "removed" and _last(change.name) in came
        else change
        for change in changes
    ]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
