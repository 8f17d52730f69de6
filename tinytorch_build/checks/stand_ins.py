"""Files that pose as pytest: they lie where Python looks first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from tinytorch_build.model import Problem

STAND_INS = ("pytest.py", "_pytest.py", "pytest/__init__.py", "_pytest/__init__.py")
"""Files that would take pytest's place wherever their folder comes first on the path."""


def stand_ins(root: Path, files: Sequence[str]) -> list[str]:
    """Files beside tests and sources, or above them, that pose as pytest: paths from the root.

    Here they are not used, but for whoever runs a plain `pytest` from there they take its place.

    Args:
        root: the course's root.
        files: paths of the tests and sources from there.
    """
    folders = dict.fromkeys(parent for file in files for parent in PurePosixPath(file).parents)
    return [
        (folder / name).as_posix()
        for folder in folders
        for name in STAND_INS
        if (root / folder / name).exists()
    ]


def check_stand_ins(root: Path, files: Sequence[str]) -> Iterator[Problem]:
    """One problem for each file that poses as pytest."""
    for file in stand_ins(root, files):
        message = f"{file} takes the place of pytest for whoever runs the tests from there"
        yield Problem("tests-shadow-pytest", message, file, cure="give it another name")
