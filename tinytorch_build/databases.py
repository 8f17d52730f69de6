"""sqlite files of the build: looked into when they are opened, and set aside if they are damaged.

All that they hold can be found out again by running tasks, so commits are not forced to the disk
(`synchronous = NORMAL`): a power failure may lose the last of them, but not spoil the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tinytorch_build.files import sha256
from tinytorch_build.refusals import is_refused

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database holds.

    Attributes:
        version: of the build's way to keep things; a file of another one is emptied.
        tables: of each table, its name and the statements that make it, separated by semicolons.
        columns: of each table, the columns that must be there.
    """

    version: int
    tables: Mapping[str, str]
    columns: Mapping[str, Sequence[str]]


class Database:
    """A sqlite file that is opened when it is first needed; any thread may use it, one at a time.

    Args:
        path: the file; made with its folder if it is not there.
        schema: what it holds.
        when_damaged: called with what was wrong and where the damaged file is kept; then a new one is begun.
    """

    def __init__(
        self, path: Path, schema: Schema, when_damaged: Callable[[sqlite3.DatabaseError, Path], None]
    ) -> None:
        self._path = path
        self._schema = schema
        self._when_damaged = when_damaged
        self._mutex = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the file; once more with a new one, if it turns out to be damaged.

        Raises:
            sqlite3.OperationalError, OSError: the machine refuses.
        """
        with self._mutex:
            try:
                return work(self._opened())
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                self.close()
                self._when_damaged(error, set_aside(self._path))
                return work(self._opened())

    def close(self) -> None:
        """Let go of the file; whoever uses it again opens it again."""
        with self._mutex:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _open(self._path, self._schema)
        return self._connection


def _open(path: Path, schema: Schema) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path) and not path.is_file():
        raise damaged("it is no file")
    if path.is_file() and path.stat().st_size == 0:  # which sqlite would take for a new one
        raise damaged("file is empty")
    if path.exists():
        # sqlite would make its journals with the rights of the file, and they would keep them for good.
        with path.open("r+b"):
            pass
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if complaint != "ok":
            raise damaged(complaint)
        if connection.execute("PRAGMA user_version").fetchone()[0] != schema.version:
            _begin(connection, schema)
        for table, columns in schema.columns.items():
            connection.execute(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _begin(connection: sqlite3.Connection, schema: Schema) -> None:
    drops = "".join(f"DROP TABLE IF EXISTS {table};" for table in schema.tables)
    makes = ";".join(schema.tables.values())
    try:
        connection.executescript(f"BEGIN; {drops} {makes}; PRAGMA user_version = {schema.version}; COMMIT;")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def set_aside(path: Path) -> Path:
    """Move a damaged database out of the way, and remove its journals, which would spoil a new one.

    Returns:
        where the damaged one is kept, for a look.

    Raises:
        OSError: it cannot be moved.
    """
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(kept)
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    return kept


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether an error means that the file is not what it should be, if the statement was right.

    Else the machine has refused something, or the connection was used wrongly.
    """
    return not isinstance(error, sqlite3.ProgrammingError) and not is_refused(error)


def damaged(complaint: str) -> sqlite3.DatabaseError:
    """What sqlite raises for a spoilt file."""
    error = sqlite3.DatabaseError(complaint)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def seal(text: str) -> str:
    """What stands beside a text in its row, so that one that was spoilt can be told: hex SHA-256."""
    return sha256(text.encode("utf-8", errors="surrogatepass"))


def is_sealed(text: object, digest: object) -> bool:
    """Whether a text is as it was when `seal` gave the digest."""
    return isinstance(text, str) and seal(text) == digest
