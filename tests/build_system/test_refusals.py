"""What the machine refuses, in sentences."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from tinytorch_build.refusals import Refusal, is_refusal, is_refused, is_shortage

ROOT = Path("/a course")


def refused(number: int, path: object = None) -> OSError:
    return OSError(number, os.strerror(number), *([] if path is None else [path]))


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (ROOT / "build" / "x.py", "build/x.py: "),
        (str(ROOT / "build" / "x.py"), "build/x.py: "),
        (os.fsencode(ROOT / "build" / "x.py"), "build/x.py: "),
        (ROOT, f"{ROOT}: "),
        ("/elsewhere/x", "/elsewhere/x: "),
        (7, ""),
        (None, ""),
    ],
)
def test_a_refusal_names_the_file_from_the_root(path: object, shown: str) -> None:
    refusal = Refusal.of(refused(errno.ENOSPC, path), ROOT)
    assert str(refusal) == f"{shown}No space left on device; make room there, and run the command again"


def test_a_refusal_without_a_name_takes_the_one_that_is_given() -> None:
    refusal = Refusal.of(refused(errno.EROFS), ROOT, ROOT / "dist")
    problem = refusal.problem("the wheel could not be written")
    assert (problem.check, problem.file) == ("refused", "dist")
    assert problem.message == "the wheel could not be written: Read-only file system"
    assert problem.cure == "see to it that you may read and write there, and run the command again"


def test_a_database_on_a_full_disk_is_refused_and_a_spoilt_one_is_not(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "db", isolation_level=None)
    connection.execute("CREATE TABLE t (x BLOB)")
    connection.execute("PRAGMA max_page_count = 2")
    with pytest.raises(sqlite3.OperationalError) as full:
        connection.execute("INSERT INTO t VALUES (zeroblob(100000))")
    assert is_refused(full.value)
    assert str(Refusal.of(full.value, tmp_path, tmp_path / "db")) == (
        "db: database or disk is full; make room there, and run the command again"
    )
    with pytest.raises(sqlite3.OperationalError) as missing:
        connection.execute("SELECT * FROM nothing")
    assert not is_refused(missing.value)
    connection.close()


def test_what_is_the_machines_and_what_is_a_programs() -> None:
    assert all(is_refusal(refused(number)) for number in (errno.ENOSPC, errno.EACCES, errno.EMFILE))
    assert not any(is_refusal(refused(number)) for number in (errno.EPIPE, errno.ECHILD, errno.EBADF))
    assert is_shortage(refused(errno.EAGAIN))
    assert not is_shortage(refused(errno.ENOSPC))
