"""Takes a package's Python files out of a zip archive (a wheel, or what `git archive` makes), safely."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tinytorch_build.errors import CourseError
from tinytorch_build.files import naming
from tinytorch_build.publish import RECORD_NAME

MOST_BYTES = 64 << 20
"""Bytes that the files of a package may come to; the largest real courses stay below a hundredth of that."""
MOST_FILES = 20_000
_ENDINGS = (".py", ".pyi")


class UnusableArchive(CourseError):
    """It is no such archive, or one that no build has made; the message says what is wrong with it."""


def unpack_package(archive: Path, package: str, folder: Path) -> None:
    """Write the Python files and the record of a package into a folder.

    Links are left out. What the archive's own table says of sizes is not relied on.

    Args:
        archive: a zip file.
        package: the package's import name, a folder at the top of the archive.
        folder: where the package's folder is made.

    Raises:
        UnusableArchive: it is no zip file, too large, or has a file that lies outside of it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            left = MOST_BYTES
            for info in _wanted(opened, package):
                with opened.open(info) as file:
                    data = file.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise UnusableArchive(f"its files are larger than {MOST_BYTES >> 20} MiB")
                goal = folder / PurePosixPath(info.filename)
                goal.parent.mkdir(parents=True, exist_ok=True)
                with naming(goal):
                    goal.write_bytes(data)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        raise UnusableArchive(f"it is no sound zip file: {error}") from error  # RuntimeError: it is encrypted


def _wanted(opened: zipfile.ZipFile, package: str) -> Iterator[zipfile.ZipInfo]:
    infos = opened.infolist()
    if len(infos) > MOST_FILES:
        raise UnusableArchive(f"it holds more than {MOST_FILES} files")
    for info in infos:
        parts = info.filename.split("/")
        if info.filename.startswith("/") or "\\" in info.filename or ".." in parts or ":" in parts[0]:
            raise UnusableArchive(f"the file {info.filename!r} in it would lie outside of it")
        wanted = info.filename.endswith(_ENDINGS) or info.filename == f"{package}/{RECORD_NAME}"
        if parts[0] == package and wanted and not stat.S_ISLNK(info.external_attr >> 16):
            yield info
