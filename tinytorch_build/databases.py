"""sqlite files of the build: looked into when they are opened, and set aside if they are damaged.

All that they hold can be found out again by running tasks, so commits are not forced to the disk
(`synchronous = NORMAL`): a power failure may lose the last of them, but not spoil the file.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.files import sha256
from tinytorch_build.refusals import is_refused


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


def open_database(path: Path, schema: Schema) -> sqlite3.Connection:
    """Open a database, or make it; its folder is made, too. Any thread may use the connection.

    Raises:
        sqlite3.DatabaseError: it cannot be had, or is damaged: `is_damage` tells which.
        OSError: its folder cannot be made, or the file may not be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path) and not path.is_file():
        raise damaged("it is no file")
    if path.is_file() and path.stat().st_size == 0:  # which sqlite would take for a new one
        raise damaged("file is empty")
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        # sqlite would make its journals with the same rights, and they keep these when the file gets others.
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
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
