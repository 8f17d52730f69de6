"""doit's database as sqlite with a commit per task: a killed run loses nothing and forges nothing."""

from __future__ import annotations

import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

_SCHEMA = "create table if not exists task (id text primary key, data text not null)"


class SqliteBackend:
    """A doit backend (entry point `doit.BACKEND`): one row a task, each write committed at once.

    doit's own backends write at the end of a run: after a kill, what ran is forgotten, or, worse, an undone
    edit looks up to date over the killed run's output. Here the journal is a write-ahead log, and a
    damaged file is set aside and begun anew, since all that it costs is to run the tasks again.
    """

    desc = "sqlite with a commit per task (tinytorch-build)"

    def __init__(self, name: str, codec: Any, *, module_name: str | None = None) -> None:
        self.name = name
        self._codec = codec
        self._mutex = threading.RLock()
        self._cache: dict[str, dict[str, Any]] = {}
        self._unwritten: set[str] = set()
        self._removed: dict[str, dict[str, Any]] = {}
        self._connection: sqlite3.Connection | None = None

    def _open(self) -> sqlite3.Connection:
        """The connection; made on first use, so that commands that only list tasks create no file."""
        if self._connection is None:
            path = Path(self.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = _connect(path)
            except sqlite3.DatabaseError as error:
                set_aside(path)
                print(
                    f"{self.name} was damaged ({error}); it was begun anew, so every task runs again",
                    file=sys.stderr,
                )
                self._connection = _connect(path)
        return self._connection

    def _row(self, task_id: str) -> dict[str, Any]:
        known = self._cache.get(task_id)
        if known is None:
            found = self._open().execute("select data from task where id = ?", (task_id,)).fetchone()
            known = self._cache[task_id] = self._decoded(found[0]) if found else {}
        return known

    def _decoded(self, text: str) -> dict[str, Any]:
        try:
            data = self._codec.decode(text)
        except ValueError:
            return {}
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
        self._open().execute("insert or replace into task values (?, ?)", (task_id, data))
        self._unwritten.discard(task_id)

    def in_(self, task_id: str) -> bool:
        with self._mutex:
            return bool(self._row(task_id))

    def remove(self, task_id: str) -> None:
        with self._mutex:
            if row := self._row(task_id):
                self._removed[task_id] = row
            self._cache[task_id] = {}
            self._unwritten.discard(task_id)
            self._open().execute("delete from task where id = ?", (task_id,))

    def restore(self, task_id: str) -> None:
        """Take back the removal of a record: doit also removes those of tasks that were only blocked."""
        with self._mutex:
            row = self._removed.pop(task_id, None)
            if row is not None:
                self._cache[task_id] = row
                self._write(task_id)

    def remove_all(self) -> None:
        with self._mutex:
            self._cache = {}
            self._removed = {}
            self._unwritten = set()
            self._open().execute("delete from task")

    def dump(self) -> None:
        """Write what was set without the closing mark (`doit ignore` does that), and close the file."""
        with self._mutex:
            for task_id in sorted(self._unwritten):
                self._write(task_id)
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._cache = {}
            self._removed = {}


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = normal")
        connection.execute(_SCHEMA)
        connection.execute("select id, data from task limit 1").fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def set_aside(path: Path) -> None:
    """Move a damaged database and its journals out of the way; the damaged file is kept for a look."""
    path.replace(path.with_name(f"{path.name}.damaged"))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
