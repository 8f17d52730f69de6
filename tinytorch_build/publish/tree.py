"""Reading a package folder: what lies in it, by digest."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.files import sha256

RECORD_NAME = "modules.lock"
"""The record's name inside the package, where it changes in the same instant as the files it describes."""

PASSED_OVER = frozenset({"__pycache__", ".DS_Store"})
"""What Python and file managers leave anywhere: neither content of the package nor anybody's work."""

_Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Tree:
    """What lies in a folder.

    Attributes:
        files: hex SHA-256 of every regular file, under its POSIX path from the folder.
        others: paths of symbolic links, sockets and the like, which no package has.
    """

    files: dict[str, str]
    others: tuple[str, ...]


class TreeReader:
    """Reads a folder again and again; a file whose stat signature has not changed is not read again.

    The signature holds inode and change time, which no edit leaves as they were.

    Args:
        folder: the folder; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[_Signature, str]] = {}

    def read(self) -> Tree:
        """What lies in the folder now; nothing if it is not there."""
        files: dict[str, str] = {}
        others: list[str] = []
        known: dict[str, tuple[_Signature, str]] = {}
        for entry, path in _walk(str(self._folder), ""):
            status = entry.stat(follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                others.append(path)
                continue
            signature = _signature(status)
            before = self._known.get(path)
            digest = before[1] if before and before[0] == signature else sha256(Path(entry.path).read_bytes())
            known[path] = (signature, digest)
            files[path] = digest
        self._known = known
        return Tree(dict(sorted(files.items())), tuple(sorted(others)))

    def learn(self, files: dict[str, str]) -> None:
        """Take it that these files have been put there just now.

        Args:
            files: hex SHA-256 of each, under its path.
        """
        self._known = {}
        for path, digest in files.items():
            try:
                self._known[path] = (_signature(os.lstat(f"{self._folder}{os.sep}{path}")), digest)
            except OSError:
                continue  # gone already; the next reading finds that


def read_tree(folder: Path) -> Tree:
    """What lies in a folder."""
    return TreeReader(folder).read()


def _walk(folder: str, prefix: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    try:
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        if entry.name in PASSED_OVER:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        else:
            yield entry, f"{prefix}{entry.name}"


def _signature(status: os.stat_result) -> _Signature:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
