"""One run at a time in a course: a lock that names its holder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tinytorch_build.errors import CourseError
from tinytorch_build.files import content_of, write_atomically

_MOMENT_SECONDS = 0.05
"""Within this a holder writes its name after it has taken the lock, so that no dead one's is read."""
_PATIENCE_SECONDS = 0.5
"""For how long a holder that has left no name is waited for."""


class CourseBusy(CourseError):
    """Another process is working in this course."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, or held it until it was killed.

    Attributes:
        what: the command.
        pid: the number of its process.
        since: when it took the lock: date and time of the local clock.
    """

    what: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"`{self.what}`, process {self.pid}, since {self.since}"


class RunLock:
    """Held while a run is under way. The operating system lets go of it when its holder dies.

    Args:
        path: the lock file; a note beside it (`.holder`) says who holds the lock, for messages only. A note
            that is left beside a free lock is that of a holder which was killed.
    """

    def __init__(self, path: Path) -> None:
        self._note = path.with_name(f"{path.name}.holder")
        self._path = path
        self._lock: FileLock | None = None

    def acquire(self, what: str) -> Holder | None:
        """Take the lock, or say who has it.

        Args:
            what: what the holder is doing, for the message that others get.

        Returns:
            the holder from which the lock was taken over, because it had ended without letting go.

        Raises:
            CourseBusy: somebody else holds it.
            OSError: it cannot be taken, as on a full disk.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._path)
        self._take(lock)
        dead = self._holder()
        note = Holder(what, os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
        try:
            write_atomically(self._note, json.dumps(asdict(note)).encode())
        except BaseException:
            lock.release()
            raise
        self._lock = lock
        return dead

    def _take(self, lock: FileLock) -> None:
        """Take the lock, or say who has it: a holder is given time to leave its name, or to let go."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                lock.acquire(timeout=_MOMENT_SECONDS, poll_interval=_MOMENT_SECONDS / 5)
                return
            except Timeout:
                shown = self._holder()
            if shown is not None:
                said = f"{shown}; wait for it or stop it"
            elif time.monotonic() > deadline:
                said = "its holder has left no name; wait for it"
            else:
                continue
            raise CourseBusy(f"another run is under way in this course: {said}")

    def release(self) -> None:
        """Let go of the lock; nothing happens if it is not held."""
        if self._lock is not None:
            try:
                self._note.unlink(missing_ok=True)
            finally:
                self._lock.release()
                self._lock = None

    def _holder(self) -> Holder | None:
        """Whom the note names; None if there is none that can be read."""
        try:
            note = json.loads(content_of(self._note) or b"")
            return Holder(str(note["what"]), int(note["pid"]), str(note["since"]))
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
