"""A database that is damaged, refused, or both, and in use again afterwards."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tinytorch_build.databases import Database, Schema, is_sealed, seal

SCHEMA = Schema(1, {"t": "CREATE TABLE t (x TEXT)"}, {"t": ("x",)})


def insert(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO t VALUES ('1')")


def count(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_it_is_opened_again_after_it_was_closed(tmp_path: Path) -> None:
    database = Database(
        tmp_path / "build" / "db", SCHEMA, lambda error, kept: pytest.fail(f"{kept}: {error}")
    )
    database.run(insert)
    database.close()
    database.close()
    assert database.run(count) == 1
    database.close()


def test_damage_that_cannot_be_set_aside_now_can_be_later(tmp_path: Path) -> None:
    path = tmp_path / "db"
    database = Database(path, SCHEMA, lambda error, kept: None)
    database.run(insert)
    database.close()
    path.write_bytes(b"no database" * 1000)
    wal = tmp_path / "db-wal"
    wal.unlink(missing_ok=True)
    wal.mkdir()  # it cannot be removed as a file, so neither the old database goes nor a new one comes
    for _ in range(2):
        with pytest.raises((OSError, sqlite3.OperationalError)):
            database.run(count)
    wal.rmdir()
    assert database.run(count) == 0
    database.run(insert)
    assert database.run(count) == 1
    database.close()


def test_a_seal_tells_a_text_that_was_spoilt() -> None:
    text = '{"name": "\ud800"}'  # JSON can hold half of a pair
    assert is_sealed(text, seal(text))
    assert not is_sealed(text.replace("name", "nama"), seal(text))
    assert not is_sealed(text.encode(errors="surrogatepass"), seal(text))
    assert not is_sealed(5, seal("5"))
