"""The rule of versions: what breaks needs a version that announces it, of module or package. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tinytorch_build.compatibility.changes import Change, Part
from tinytorch_build.layout import MANIFEST
from tinytorch_build.model import CourseModule, Manifest, Problem
from tinytorch_build.publish import Record
from tinytorch_build.versions import announces_break, next_break

CHECK = "api-break"

Locate = Callable[[CourseModule, int], int | None]
"""From a module and a line of its published file to the line of its source."""


def parts_of(old: Record, new: Record, hand_written: Sequence[str]) -> list[Part]:
    """The files that both versions have: modules by their names, included files by their places.

    Args:
        old: the record of the earlier version.
        new: the record of the package now.
        hand_written: full dotted names of the Python files that belong to no module, and are in both.
    """
    modules = [
        Part(name, f"{old.package}.{old.entries[name].target}", f"{new.package}.{entry.target}")
        for name, entry in new.entries.items()
        if name in old.entries
    ]
    return [*modules, *(Part(None, name, name) for name in hand_written)]


def changes_of_modules(old: Record, new: Record) -> Iterator[Change]:
    """Modules that came, left, or are imported from another place than before."""
    for name, entry in old.entries.items():
        gone = f"{old.package}.{entry.target}"
        if name not in new.entries:
            message = f"module {name}, which was imported as `{gone}`, has left the package"
            yield Change(None, gone, "removed", True, message)
        elif new.entries[name].target != entry.target:
            here = f"{new.package}.{new.entries[name].target}"
            message = f"module {name}, which was imported as `{gone}`, is imported as `{here}` now"
            yield Change(None, gone, "removed", True, message)
    for name, entry in new.entries.items():
        if name not in old.entries:
            dotted = f"{new.package}.{entry.target}"
            yield Change(name, dotted, "added", False, f"module {name} is new: `{dotted}`")


def changes_of_included_files(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    """Hand-written files that came or left, given as the full dotted names that the versions have."""
    for name in old:
        if name not in new:
            yield Change(None, name, "removed", True, f"`{name}` has left the package")
    for name in new:
        if name not in old:
            yield Change(None, name, "added", False, f"`{name}` is new")


def placed(changes: Sequence[Change], manifest: Manifest, locate: Locate) -> list[Change]:
    """The changes with path and line of the source in place of a line of the published file."""
    return [_placed(change, manifest, locate) for change in changes]


def _placed(change: Change, manifest: Manifest, locate: Locate) -> Change:
    module = None if change.module is None else manifest.by_name[change.module]
    if module is None:
        return replace(change, file=MANIFEST if change.kind == "removed" else None, line=None)
    line = None if change.line is None else locate(module, change.line)
    return replace(change, file=module.source, line=line)


def broken_promises(changes: Sequence[Change], old: Record, manifest: Manifest, label: str) -> list[Problem]:
    """The breaking changes that no raised version announces, each as an error with its cure.

    Args:
        changes: what is different, already placed.
        old: the record of the earlier version.
        manifest: the course, with the versions of now.
        label: how messages call the earlier version.
    """
    problems = []
    for change in changes:
        if not change.breaking:
            continue
        if change.module is None:
            subject, table = f"package {manifest.package.name}", "[package]"
            before, now = old.version, manifest.package.version
        else:
            subject, table = f"module {change.module}", f"[modules.{change.module}]"
            before, now = old.entries[change.module].version, manifest[change.module].version
        if not announces_break(before, now):
            message = f"{subject[0].upper()}{subject[1:]} {now} breaks what {label} promised ({before}): "
            where = f" (line {change.old_line} of it there)" if change.old_line else ""
            raised = f"raise version of {table} in {MANIFEST} from {now} to {next_break(before)}"
            cure = f"{raised}, or {_keep(change)}"
            message += f"{change.explanation}{where}"
            problems.append(Problem(CHECK, message, change.file, change.line, cure))
    return problems


def _keep(change: Change) -> str:
    if change.module is None:
        return "keep what was there in its place"
    if change.kind == "removed":
        return "keep the old name beside the new one"
    return "keep what the old calls need, such as a default for what is new"
