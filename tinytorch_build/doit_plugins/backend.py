"""doit's database as sqlite with a commit per task: a killed run loses nothing and forges nothing."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from doit.exceptions import InvalidTask

from tinytorch_build.databases import Database, Schema, T, is_sealed, seal
from tinytorch_build.errors import CourseError
from tinytorch_build.refusals import Refusal

_SCHEMA = Schema(
    version=2,
    tables={"task": "CREATE TABLE task (id TEXT PRIMARY KEY, data TEXT NOT NULL, seal TEXT NOT NULL)"},
    columns={"task": ("id", "data", "seal")},
)


class DatabaseRefused(CourseError, InvalidTask):  # type: ignore[misc]  # doit has no types
    """doit's database cannot be read or written; doit then ends the run, with this message."""


class SqliteBackend:
    """A doit backend (entry point `doit.BACKEND`): one row a task, each write committed at once.

    doit's own backends write at the end of a run: after a kill, what ran is forgotten, or, worse, an undone
    edit looks up to date over the killed run's output. Here the journal is a write-ahead log, and a
    damaged file is set aside and begun anew, since all that it costs is to run the tasks again. Each row
    bears a digest: one that was spoilt counts as never written.

    Every method raises DatabaseRefused if the machine refuses to read or write, as on a full disk.
    """

    desc = "sqlite with a commit per task (tinytorch-build)"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        self._codec = codec
        self._mutex = threading.RLock()
        self._cache: dict[str, dict[str, Any]] = {}
        self._unwritten: set[str] = set()
        self._removed: dict[str, dict[str, Any]] = {}
        self._refused = False
        self._path = Path(name)
        self._database = Database(self._path, _SCHEMA, self._damaged)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the file; made on first use, so commands that only list tasks create none."""
        try:
            return self._database.run(work)
        except (sqlite3.OperationalError, OSError) as error:
            self._refused = True
            refusal = Refusal.of(error, self._path.parent.parent, self._path)
            raise DatabaseRefused(f"what doit knows of earlier runs cannot be used: {refusal}") from error

    def _damaged(self, error: sqlite3.DatabaseError, kept: Path) -> None:
        said = (
            f"{self._path.parent.name}/{self._path.name} was damaged ({error}); it was begun anew, "
            f"so every task runs again; the old file is kept as {kept.name}"
        )
        with contextlib.suppress(OSError):  # nobody to tell
            print(said, file=sys.stderr)

    def _row(self, task_id: str) -> dict[str, Any]:
        known = self._cache.get(task_id)
        if known is None:
            query = "SELECT data, seal FROM task WHERE id = ?"
            found = self._run(lambda connection: connection.execute(query, (task_id,)).fetchone())
            known = self._cache[task_id] = self._decoded(*found) if found else {}
        return known

    def _decoded(self, text: object, digest: object) -> dict[str, Any]:
        """What a row holds; nothing if it was spoilt, or written by hand."""
        if not is_sealed(text, digest):
            return {}
        data = self._codec.decode(text)
        return data if isinstance(data, dict) else {}

    def get(self, task_id: str, dependency: str) -> Any:
        with self._mutex:
            return self._row(task_id).get(dependency)

    def set(self, task_id: str, dependency: str, value: Any) -> None:
        with self._mutex:
            row = self._row(task_id)
            row[dependency] = value
            self._unwritten.add(task_id)
            if dependency == "deps:":  # the last thing that doit saves of a task
                self._write(task_id)

    def _write(self, task_id: str) -> None:
        data = self._codec.encode(self._row(task_id))
        row = (task_id, data, seal(data))
        self._run(lambda connection: connection.execute("INSERT OR REPLACE INTO task VALUES (?, ?, ?)", row))
        self._unwritten.discard(task_id)

    def in_(self, task_id: str) -> bool:
        with self._mutex:
            return bool(self._row(task_id))

    def remove(self, task_id: str) -> None:
        with self._mutex:
            row = self._row(task_id)
            if row:
                delete = "DELETE FROM task WHERE id = ?"
                self._run(lambda connection: connection.execute(delete, (task_id,)))
                self._removed[task_id] = row
            self._cache[task_id] = {}
            self._unwritten.discard(task_id)

    def restore(self, task_id: str) -> None:
        """Take back the removal of a record: doit also removes those of tasks that were only blocked."""
        with self._mutex:
            row = self._removed.pop(task_id, None)
            if row is not None:
                self._cache[task_id] = row
                self._write(task_id)

    def remove_all(self) -> None:
        with self._mutex:
            self._run(lambda connection: connection.execute("DELETE FROM task"))
            self._cache = {}
            self._removed = {}
            self._unwritten = set()

    def dump(self) -> None:
        """Write what was set without the closing mark (`doit ignore` does that), and close the file.

        What the machine has refused to write, and said so, is not tried again.
        """
        with self._mutex:
            try:
                for task_id in sorted(self._unwritten) if not self._refused else ():
                    self._write(task_id)
            finally:
                self._database.close()
                self._cache = {}
                self._removed = {}
