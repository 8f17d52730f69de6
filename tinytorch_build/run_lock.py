"""One run at a time in a course: a lock that names its holder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from filelock import FileLock, Timeout

from tinytorch_build.errors import CourseError
from tinytorch_build.files import write_atomically


class CourseBusy(CourseError):
    """Another process is working in this course."""


class RunLock:
    """Held while a run is under way. The operating system lets go of it when its holder dies.

    Args:
        path: the lock file; a note beside it (`.holder`) says who holds the lock, for the message only.
    """

    def __init__(self, path: Path) -> None:
        self._note = path.with_name(f"{path.name}.holder")
        self._path = path
        self._lock: FileLock | None = None

    def acquire(self, what: str) -> None:
        """Take the lock, or say who has it.

        Args:
            what: what the holder is doing, for the message that others get.

        Raises:
            CourseBusy: somebody else holds it.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise CourseBusy(f"another run is under way in this course: {self._holder()}") from None
        self._lock = lock
        note = {"pid": os.getpid(), "since": time.strftime("%H:%M:%S"), "what": what}
        write_atomically(self._note, json.dumps(note).encode())

    def release(self) -> None:
        """Let go of the lock; nothing happens if it is not held."""
        if self._lock is not None:
            self._note.unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def _holder(self) -> str:
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return f"`{note['what']}`, process {note['pid']}, since {note['since']}; wait for it or stop it"
        except (OSError, ValueError, KeyError, TypeError):
            return "its holder has left no name; wait for it"
