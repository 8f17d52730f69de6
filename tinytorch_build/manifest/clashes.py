"""Checks that no two modules claim the same source, notebook, target, unit tests or name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tinytorch_build.layout import notebook_name
from tinytorch_build.manifest.findings import Findings, quoted, subject
from tinytorch_build.manifest.paths import CoursePaths, Located
from tinytorch_build.manifest.sections import Draft
from tinytorch_build.manifest.table import Item

_TEST_FILE = re.compile(r"test_.*\.py|.*_test\.py", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Placed:
    """A module and where its files lie; what lies nowhere sensible is None or left out, and was reported."""

    draft: Draft
    source: Located | None
    tests: tuple[Located, ...]


def check_clashes(modules: Sequence[Placed], findings: Findings) -> None:
    """Report everything that two modules claim."""
    _sources(modules, findings)
    _Targets(findings).check([module.draft for module in modules])
    _unit_tests(modules, findings)
    _provided(modules, findings)


def _sources(modules: Sequence[Placed], findings: Findings) -> None:
    sources: dict[str, Located] = {}
    notebooks: dict[str, Located] = {}
    for module in modules:
        source = module.source
        if source is None:
            continue
        notebook = notebook_name(source.path)
        other = sources.setdefault(source.identity, source)
        twin = notebooks.setdefault(notebook.casefold(), source)
        where = subject(source.item.path)
        if other is not source:
            message = f"{where} is {quoted(source.path)}, {_taken(source.path, other.path, other.item)}"
            findings.add(
                "duplicate-source", source.item.path, message, "give each module a source of its own"
            )
        elif twin is not source:
            message = f"{where} makes the notebook {quoted(notebook)}, as {subject(twin.item.path)} does"
            findings.add(
                "duplicate-notebook", source.item.path, message, "rename one of the two files, or its folder"
            )


class _Targets:
    """Targets become files, and what stands before a dot becomes a folder: no name can be both."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self._files: dict[str, Item] = {}
        self._folders: dict[str, tuple[str, Item]] = {}

    def check(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            target = draft.target
            if target is None:
                continue
            reason = self._clash(target)
            if reason is not None:
                message = f"{subject(target.path)} is {quoted(target.text)}, {reason}"
                cure = "give each module a target of its own, which begins no other target"
                self.findings.add("duplicate-target", target.path, message, cure)
            self._files.setdefault(target.text.casefold(), target)
            for folder in _folders(target.text):
                self._folders.setdefault(folder.casefold(), (folder, target))

    def _clash(self, target: Item) -> str | None:
        text, folded = target.text, target.text.casefold()
        if folded in self._files:
            return _taken(text, self._files[folded].text, self._files[folded])
        if folded in self._folders:
            other = self._folders[folded][1]
            return f"a file, where {subject(other.path)} {quoted(other.text)} needs a folder"
        for folder in _folders(text):
            if folder.casefold() in self._files:
                other = self._files[folder.casefold()]
                return f"which needs a folder where {subject(other.path)} {quoted(other.text)} is a file"
            spelt, other = self._folders.get(folder.casefold(), (folder, target))
            if spelt != folder:
                return (
                    f"whose folder {quoted(folder)} differs only in case from that of {subject(other.path)}"
                )
        return None


def _folders(target: str) -> list[str]:
    parts = target.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]


def _taken(mine: str, theirs: str, item: Item) -> str:
    if mine == theirs:
        return f"which is {subject(item.path)} already"
    if mine.casefold() == theirs.casefold():
        return f"which differs from {subject(item.path)} {quoted(theirs)} only in case"
    return f"which is the same file as {subject(item.path)} {quoted(theirs)}"


def _unit_tests(modules: Sequence[Placed], findings: Findings) -> None:
    first: dict[str, Located] = {}
    for module in modules:
        for test in module.tests:
            other = first.setdefault(test.identity, test)
            if other is not test:
                message = f"{subject(test.item.path)} holds {quoted(test.path)}, "
                message += _taken(test.path, other.path, other.item).replace("which is", "which is in", 1)
                cure = "leave it to one module; tests of several modules belong into the integration folder"
                findings.add("duplicate-test", test.item.path, message, cure)


def _provided(modules: Sequence[Placed], findings: Findings) -> None:
    first: dict[str, Item] = {}
    for module in modules:
        for item in module.draft.provides:
            other = first.setdefault(item.text, item)
            if other is not item:
                message = f"{subject(item.path)} holds {quoted(item.text)}, "
                message += f"which is in {subject(other.path)} already"
                findings.add("duplicate-name", item.path, message, "let one module export each name, once")


def check_test_folders(folders: Sequence[Located], modules: Sequence[Placed], findings: Findings) -> None:
    """Report folders of inter-module tests that hold one another, or a unit test, which would run twice."""
    for index, folder in enumerate(folders):
        for other in folders[:index]:
            if _within(folder.path, other.path) or _within(other.path, folder.path):
                message = f"{subject(folder.item.path)} is {quoted(folder.path)}, "
                message += f"which shares files with {subject(other.item.path)} {quoted(other.path)}"
                findings.add(
                    "overlapping-tests", folder.item.path, message, "give each kind a folder of its own"
                )
    for test in (test for module in modules for test in module.tests):
        for folder in folders:
            if _within(test.path, folder.path):
                message = f"{subject(test.item.path)} holds {quoted(test.path)}, "
                message += f"which lies in {subject(folder.item.path)} {quoted(folder.path)}"
                cure = "move it to a folder of unit tests, or remove it here"
                findings.add("overlapping-tests", test.item.path, message, cure)


def check_orphans(modules: Sequence[Placed], folders: Sequence[Located], paths: CoursePaths) -> None:
    """Report test files beside declared unit tests that belong to no module: they would never run."""
    tests = [test for module in modules for test in module.tests]
    known = {test.path for test in tests} | {module.source.path for module in modules if module.source}
    known |= paths.suggested  # a cure has named it already
    for parent in dict.fromkeys(PurePosixPath(test.path).parent for test in tests):
        if any(_within(parent.as_posix(), folder.path) for folder in folders):
            continue
        for name in _test_files(os.path.join(paths.root, parent)):
            path = (parent / name).as_posix()
            if path not in known:
                paths.findings.add(
                    "orphan-test",
                    None,
                    f"the test file {quoted(path)} belongs to no module, so it would never run",
                    "add it to tests in the table of its module, or move it to another folder",
                )


def _test_files(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name for entry in entries if _TEST_FILE.fullmatch(entry.name) and entry.is_file()
            )
    except (FileNotFoundError, NotADirectoryError):  # then its files were reported as missing
        return []


def _within(path: str, folder: str) -> bool:
    return PurePosixPath(path.casefold()).is_relative_to(folder.casefold())
