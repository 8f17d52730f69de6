"""What the machine refuses, such as space on a full disk, as a sentence with its cure."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.model import Problem

_SPACE = "make room there, and run the command again"
_RIGHT = "see to it that you may read and write there, and run the command again"
_AWAY = "move it out of the way; the build makes what it needs"
_HANDLES = "raise the limit on open files (`ulimit -n`), or close some programs"
_PROCESSES = "close some programs, or raise the limit on processes (`ulimit -u`), and run the command again"
_MISSING = "see that nothing removes files while the build runs, and run the command again"
_DISK = "copy your work to a sound disk"
_OTHER = "put right what the message says, and run the command again"

_CURES: Mapping[int, str] = {
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EFBIG: "raise the limit on the size of files (`ulimit -f`), and run the command again",
    errno.EROFS: _RIGHT,
    errno.EACCES: _RIGHT,
    errno.EPERM: _RIGHT,
    errno.EISDIR: _AWAY,
    errno.ENOTDIR: _AWAY,
    errno.EEXIST: _AWAY,
    errno.ELOOP: _AWAY,
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
    errno.EAGAIN: _PROCESSES,
    errno.ENOMEM: _PROCESSES,
    errno.ENOENT: _MISSING,
    errno.EIO: _DISK,
}

_SQLITE_CURES: Mapping[int, str] = {
    sqlite3.SQLITE_FULL: _SPACE,
    sqlite3.SQLITE_IOERR: f"if its disk is full, {_SPACE}; else {_DISK}",
    sqlite3.SQLITE_READONLY: _RIGHT,
    sqlite3.SQLITE_PERM: _RIGHT,
    sqlite3.SQLITE_CANTOPEN: f"{_RIGHT}; or move it away with the files beside it that bear its name",
    sqlite3.SQLITE_NOMEM: _PROCESSES,
    sqlite3.SQLITE_BUSY: "close the program that has it open, and run the command again",
    sqlite3.SQLITE_LOCKED: "close the program that has it open, and run the command again",
    sqlite3.SQLITE_PROTOCOL: "close the program that has it open, and run the command again",
    sqlite3.SQLITE_NOLFS: "keep the course on a file system that takes large files",
    sqlite3.SQLITE_AUTH: _RIGHT,
    sqlite3.SQLITE_INTERRUPT: _OTHER,
}
"""By primary result code, what sqlite says of the machine, not of the file; https://sqlite.org/rescode.html."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What the machine has refused.

    Attributes:
        place: the file that it is about, from the course's root if it lies there; empty if that is not known.
        reason: in the words of the system.
        cure: what to do about it.
    """

    place: str
    reason: str
    cure: str

    @classmethod
    def of(cls, error: OSError | sqlite3.Error, root: Path, path: Path | None = None) -> Refusal:
        """What an error of the system says.

        Args:
            error: what was raised.
            root: the course's root.
            path: the file, where the error itself does not name it.
        """
        if isinstance(error, OSError):
            named = error.filename if isinstance(error.filename, str | bytes | os.PathLike) else None
            found = path if named is None else Path(os.fsdecode(named))
            reason = error.strerror or str(error) or type(error).__name__
            cure = _CURES.get(error.errno or 0, _OTHER)
        else:
            found, reason = path, str(error)
            cure = _SQLITE_CURES.get(primary_code(error), _OTHER)
        return cls("" if found is None else _relative(found, root), reason, cure)

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; {self.cure}" if self.place else f"{self.reason}; {self.cure}"

    def problem(self, doing: str) -> Problem:
        """The same as a problem.

        Args:
            doing: what could not be done, such as `the report could not be written`.
        """
        return Problem("refused", f"{doing}: {self.reason}", self.place or None, cure=self.cure)


def is_refusal(error: OSError) -> bool:
    """Whether an error is the machine's, and not a program's, such as a broken pipe between its parts."""
    return error.errno in _CURES


def is_shortage(error: OSError) -> bool:
    """Whether the machine has no more processes, memory or descriptors to give, whatever they are for."""
    return error.errno in (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)


def primary_code(error: sqlite3.Error) -> int:
    """sqlite's primary result code: the low byte of the extended one; 0 if the error has none."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_refused(error: sqlite3.Error) -> bool:
    """Whether sqlite blames the machine, not the file or the statement."""
    return primary_code(error) in _SQLITE_CURES


def _relative(path: Path, root: Path) -> str:
    for base in (root, root.resolve()):
        if path.is_relative_to(base) and path != base:
            return path.relative_to(base).as_posix()
    return str(path)
