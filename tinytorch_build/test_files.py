"""Finding the files of inter-module tests, and the modules that each of them is about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinytorch_build.checks.imports import modules_imported
from tinytorch_build.errors import ManifestError
from tinytorch_build.files import files_below
from tinytorch_build.layout import MANIFEST
from tinytorch_build.model import Manifest, Problem
from tinytorch_build.plan import TestFile, TestKind


def find_test_files(manifest: Manifest) -> tuple[TestFile, ...]:
    """The inter-module test files of a course, sorted by kind and path.

    A file that cannot be read, or does not parse, is taken to be about every module: its task then fails
    after all of them, and says why.

    Raises:
        ManifestError: a file leads out of the course by a symbolic link.
        OSError: a folder cannot be read.
    """
    folders = {
        TestKind.INTEGRATION: manifest.tests.integration,
        TestKind.SYSTEM: manifest.tests.system,
        TestKind.VALIDATION: manifest.tests.validation,
    }
    return tuple(
        file for kind, folder in folders.items() for file in _files_in(manifest, kind, manifest.root / folder)
    )


def _files_in(manifest: Manifest, kind: TestKind, folder: Path) -> Iterator[TestFile]:
    for path in files_below(folder):
        if is_test_file(path.name) and path.is_file():
            shown = path.relative_to(manifest.root).as_posix()
            if not _is_text(shown):
                raise ManifestError([_unspeakable(shown)])
            if path.is_symlink() and not path.resolve().is_relative_to(manifest.root):
                raise ManifestError([_outside(shown)])
            yield TestFile(
                path=shown,
                name=path.relative_to(folder).as_posix(),
                kind=kind,
                modules=_modules(manifest, kind, path),
            )


def is_test_file(name: str) -> bool:
    """Whether pytest takes a file of this name for one of tests."""
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


def _is_text(name: str) -> bool:
    """Whether a name is Unicode; Linux takes any bytes, which Python then hands over as surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unspeakable(path: str) -> Problem:
    message = f"the name of the test file {path!r} is not Unicode"
    return Problem("bad-path", message, MANIFEST, cure="rename it")


def _outside(path: str) -> Problem:
    message = f"the test file {path!r} leads out of the course by a symbolic link"
    return Problem("bad-path", message, MANIFEST, cure="put a copy inside the course in its place")


def _modules(manifest: Manifest, kind: TestKind, path: Path) -> tuple[str, ...]:
    everything = tuple(module.name for module in manifest.modules)
    if kind is not TestKind.INTEGRATION:
        return everything
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return everything
    imported = modules_imported(manifest, text)
    if imported is None:
        return everything
    return tuple(name for name in everything if name in imported)
