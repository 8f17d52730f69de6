"""doit's database: what is written stays, and a damaged file is begun anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from doit.dependency import JSONCodec

from tinytorch_build.doit_plugins.backend import SqliteBackend


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
    assert (tmp_path / "db.damaged").read_bytes() == garbage
    said = capsys.readouterr().err
    assert said.startswith(f"{path} was damaged (")
    assert said.endswith("it was begun anew, so every task runs again\n")


def test_a_row_that_is_no_json_counts_as_never_run(tmp_path: Path) -> None:
    path = tmp_path / "db"
    first = backend(path)
    first.set("t", "deps:", [])
    first._open().execute("update task set data = '{'")
    second = backend(path)
    assert not second.in_("t")
    first.dump()
    second.dump()
