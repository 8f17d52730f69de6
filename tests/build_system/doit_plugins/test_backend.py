"""doit's database: what is written stays, and a damaged file is begun anew."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from doit.dependency import JSONCodec
from doit.exceptions import InvalidTask

from tinytorch_build.doit_plugins.backend import SqliteBackend
from tinytorch_build.errors import CourseError


def backend(path: Path) -> SqliteBackend:
    return SqliteBackend(str(path), JSONCodec())


def test_a_saved_task_is_there_without_dump(tmp_path: Path) -> None:
    path = tmp_path / "build" / "db"
    first = backend(path)
    first.set("t", "_values_:", {"a": 1})
    first.set("t", "deps:", [])
    second = backend(path)
    assert second.get("t", "_values_:") == {"a": 1}
    assert second.in_("t")
    first.dump()
    second.dump()


def test_a_half_saved_task_is_not_there(tmp_path: Path) -> None:
    first = backend(tmp_path / "db")
    first.set("t", "_values_:", {"a": 1})
    second = backend(tmp_path / "db")
    assert not second.in_("t")
    second.dump()
    first.dump()


def test_remove_is_written_at_once(tmp_path: Path) -> None:
    first = backend(tmp_path / "db")
    for task in ("t", "u"):
        first.set(task, "deps:", [])
    first.remove("t")
    second = backend(tmp_path / "db")
    assert (second.in_("t"), second.in_("u")) == (False, True)
    second.remove_all()
    third = backend(tmp_path / "db")
    assert not third.in_("u")
    for one in (first, second, third):
        one.dump()


def test_an_ignored_task_is_kept_by_dump(tmp_path: Path) -> None:
    first = backend(tmp_path / "db")
    first.set("t", "ignore:", "1")
    first.dump()
    second = backend(tmp_path / "db")
    assert second.get("t", "ignore:") == "1"
    second.dump()


def test_the_removal_of_a_record_can_be_taken_back(tmp_path: Path) -> None:
    first = backend(tmp_path / "db")
    first.set("t", "deps:", ["a"])
    first.remove("t")
    first.remove("t")
    first.restore("t")
    first.restore("never known")
    first.remove("u")
    first.dump()
    second = backend(tmp_path / "db")
    assert second.get("t", "deps:") == ["a"]
    assert not second.in_("never known")
    second.dump()


def test_nothing_is_written_before_it_is_needed(tmp_path: Path) -> None:
    one = backend(tmp_path / "build" / "db")
    one.dump()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("garbage", [b"garbage " * 1000, b"SQLite format 3\0" + b"\1" * 5000])
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "db"
    path.write_bytes(garbage)
    one = backend(path)
    assert not one.in_("t")
    one.set("t", "deps:", [])
    one.dump()
    assert (tmp_path / "db.damaged-1").read_bytes() == garbage
    said = capsys.readouterr().err
    assert said.startswith(f"{tmp_path.name}/db was damaged (")
    assert said.endswith("so every task runs again; the old file is kept as db.damaged-1\n")


@pytest.mark.parametrize(
    "data", ["'{'", "'{}'", "replace(data, '1', '2')", "5", "x'ff'", "cast(x'ff' as text)"]
)
def test_a_row_that_was_spoilt_counts_as_never_run(tmp_path: Path, data: str) -> None:
    path = tmp_path / "db"
    first = backend(path)
    first.set("t", "_values_:", 1)
    first.set("t", "deps:", [])
    first.dump()
    with sqlite3.connect(path) as connection:
        connection.execute(f"update task set data = {data}")
    connection.close()
    second = backend(path)
    assert not second.in_("t")
    second.set("t", "deps:", [])
    assert second.in_("t")
    second.dump()


@pytest.mark.parametrize("change", ["drop table task", "alter table task drop column seal"])
def test_a_sound_file_with_other_tables_is_set_aside(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "db"
    first = backend(path)
    first.set("t", "deps:", [])
    first.dump()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    second = backend(path)
    assert not second.in_("t")
    second.dump()
    assert "was damaged (no such" in capsys.readouterr().err


def test_a_file_of_an_earlier_version_of_the_build_is_begun_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table task (id text primary key, data text not null)")
        connection.execute("insert into task values ('t', '{\"deps:\": []}')")
    connection.close()
    one = backend(path)
    assert not one.in_("t")
    one.dump()
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_had_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "build" / "db"
    path.with_name(f"{path.name}-wal").mkdir(parents=True)
    one = backend(path)
    said = "what doit knows of earlier runs cannot be used: build/db"
    with pytest.raises(InvalidTask, match=f"^{re.escape(said)}"):
        one.in_("t")
    with pytest.raises(CourseError, match=f"^{re.escape(said)}"):
        one.remove_all()
    one.dump()
