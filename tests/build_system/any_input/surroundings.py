"""A course in a folder whose other content must stay as it is: what a case wrote outside shows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A folder that holds a course, something private, the current folder, and one for temporary files.

    Attributes:
        folder: what holds them.
    """

    folder: Path

    @property
    def course(self) -> Path:
        """The course's root."""
        return self.folder / "course"

    @property
    def private(self) -> Path:
        """A folder beside the course, which no path of a manifest may lead to."""
        return self.folder / "private"

    @classmethod
    def at(cls, folder: Path) -> Surroundings:
        made = cls(folder)
        for name in ("course", "private", "current", "temporary"):
            (folder / name).mkdir()
        (made.private / "test_secret.py").write_text("SECRET = 1\n")
        (made.private / "modules.toml").write_text('[package]\nname = "secret"\n')
        return made

    def outside(self) -> dict[str, str]:
        """Everything beside the course: each path with what changes if it is written."""
        return {
            name: content
            for top in ("private", "current", "temporary")
            for name, content in _content(self.folder, self.folder / top)
        } | {entry.name: "" for entry in self.folder.iterdir()}

    def inside(self) -> dict[str, str]:
        """Everything in the course."""
        return dict(_content(self.folder, self.course))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the current folder and the one for temporary files those of the surroundings."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder / "current")
            patch.setattr(tempfile, "tempdir", str(self.folder / "temporary"))
            yield

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Assert that what is inside leaves everything beside the course as it was."""
        before = self.outside()
        yield
        assert self.outside() == before


def _content(top: Path, folder: Path) -> Iterator[tuple[str, str]]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            shown = path.relative_to(top).as_posix()
            if path.is_symlink():
                yield shown, f"-> {os.readlink(path)}"
            else:  # what no write leaves as it is: cheaper than a digest, and there are many cases
                stat = path.lstat()
                yield shown, f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}"
