"""The ledger: what it keeps, and what it does when its file is damaged."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.build_system.publish.builders import entry
from tinytorch_build.databases import seal
from tinytorch_build.errors import PublishError
from tinytorch_build.model import Severity
from tinytorch_build.publish import Entry, Ledger
from tinytorch_build.publish.ledger import PASSES_KEPT

Open = Callable[[Path], Ledger]


@pytest.fixture
def open_ledger() -> Iterator[Open]:
    """Opens ledgers that are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda path: stack.enter_context(contextlib.closing(Ledger(path)))


def test_a_gate_holds_with_the_fingerprint_that_it_passed_with(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "build" / "ledger.sqlite3")
    ledger.record_gate("test:tensor", "f1")
    assert ledger.holds("test:tensor", "f1")
    assert not ledger.holds("test:tensor", "f2")
    assert not ledger.holds("import-check:tensor", "f1")


def test_what_was_written_is_there_for_the_next_process(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    tensor = entry("tensor", "x", {"setup": "0" * 64}, names=["Tensor"])
    ledger.record_gate("test:tensor", "f1")
    ledger.qualify(tensor)
    ledger.remember_records(["b", "a"])
    # Not closed: as if the process had been killed.
    again = open_ledger(tmp_path / "ledger.sqlite3")
    assert again.holds("test:tensor", "f1")
    assert again.candidates() == {"tensor": tensor}
    assert again.known_records() == {"a", "b"}
    assert again.take_problems() == []


def test_the_last_qualified_version_is_the_candidate(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    ledger.qualify(entry("tensor", "1"))
    ledger.qualify(entry("tensor", "2"))
    assert ledger.candidates() == {"tensor": entry("tensor", "2")}


def test_candidates_that_another_process_qualified_are_seen(open_ledger: Open, tmp_path: Path) -> None:
    mine, other = open_ledger(tmp_path / "ledger.sqlite3"), open_ledger(tmp_path / "ledger.sqlite3")
    mine.qualify(entry("a"))
    assert other.candidates() == {"a": entry("a")}
    other.qualify(entry("b"))
    assert mine.candidates() == {"a": entry("a"), "b": entry("b")}


def test_of_each_gate_the_last_passes_are_kept(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    ledger.record_gate("test:other", "f0")
    ledger.record_gate("test:tensor", "first")
    ledger.record_gate("test:tensor", "second")
    ledger.record_gate("test:tensor", "first")  # passed again: it is the newest now
    for number in range(PASSES_KEPT - 1):
        ledger.record_gate("test:tensor", f"f{number}")
    assert ledger.holds("test:tensor", "first")
    assert not ledger.holds("test:tensor", "second")
    assert ledger.holds("test:other", "f0")


def test_forgotten_candidates_leave_the_gates_standing(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    ledger.record_gate("test:tensor", "f1")
    ledger.qualify(entry("tensor"))
    ledger.forget_candidates()
    assert ledger.candidates() == {}
    assert ledger.holds("test:tensor", "f1")


def test_what_passed_under_another_package_name_does_not_count(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")
    ledger.record_gate("test:tensor", "f1")
    ledger.belongs_to("toy")
    ledger.qualify(entry("tensor"))
    ledger.belongs_to("toy")
    assert ledger.holds("test:tensor", "f1")
    assert ledger.candidates() == {"tensor": entry("tensor")}
    ledger.belongs_to("game")
    assert not ledger.holds("test:tensor", "f1")
    assert ledger.candidates() == {}


def test_threads_share_one_ledger(open_ledger: Open, tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.sqlite3")

    def work(name: str) -> None:
        for number in range(20):
            ledger.record_gate(f"test:{name}", f"f{number}")
            ledger.qualify(entry(name, str(number)))

    threads = [threading.Thread(target=work, args=(f"m{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.candidates() == {f"m{index}": entry(f"m{index}", "19") for index in range(8)}
    assert all(ledger.holds(f"test:m{index}", f"f{number}") for index in range(8) for number in range(20))


def filled(path: Path) -> None:
    ledger = Ledger(path)
    for number in range(300):
        ledger.record_gate(f"test:{number}", "f" * 64)
    ledger.close()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: b"no database at all, but long enough for a header" * 40, "file is not a database"),
        (lambda data: data[:100], ".*"),
        (lambda data: data[: len(data) // 2], ".*"),
        (lambda data: data[:5000] + bytes(len(data) - 5000), ".*"),
        (lambda data: b"", "file is empty"),
    ],
    ids=["other file", "cut in the header", "cut in the middle", "zeroes", "empty"],
)
def test_a_damaged_file_is_set_aside(open_ledger: Open, tmp_path: Path, damage: object, reason: str) -> None:
    path = tmp_path / "build" / "ledger.sqlite3"
    filled(path)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    ledger = open_ledger(path)
    assert not ledger.holds("test:1", "f" * 64)
    ledger.record_gate("test:1", "new")
    assert ledger.holds("test:1", "new")
    (problem,) = ledger.take_problems()
    assert re.fullmatch(
        rf"The ledger of passed tests was damaged \({reason}\) and has been begun anew",
        problem.message,
        re.DOTALL,
    )
    assert problem.check == "ledger-damaged"
    assert problem.severity is Severity.WARNING
    assert problem.file == "build/ledger.sqlite3"
    assert problem.cure == "tests run again where needed; the old file is kept as ledger.sqlite3.damaged-1"
    assert (tmp_path / "build" / "ledger.sqlite3.damaged-1").exists()
    assert ledger.take_problems() == []


def test_damage_that_shows_while_the_ledger_is_in_use(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    filled(path)
    ledger = open_ledger(path)
    other = open_ledger(path)  # whose write makes the first one read the file again
    other.record_gate("test:2", "new")
    other.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    path.write_bytes(b"x" * path.stat().st_size)
    ledger.record_gate("test:1", "new")
    assert ledger.holds("test:1", "new")
    assert [problem.check for problem in ledger.take_problems()] == ["ledger-damaged"]


def test_a_ledger_of_another_version_of_the_build_is_begun_anew(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.executescript("CREATE TABLE passes (other TEXT); PRAGMA user_version = 99;")
    connection.close()
    ledger = open_ledger(path)
    ledger.record_gate("test:1", "new")
    assert ledger.holds("test:1", "new")


def test_a_row_that_makes_no_sense_counts_as_never_written(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_ledger(path).qualify(entry("good"))
    with sqlite3.connect(path) as connection:
        for name, text in (("list", "[1]"), ("half", "{"), ("number", 5)):
            row = (name, text, seal(str(text)))
            connection.execute("INSERT INTO candidates VALUES (?, ?, ?)", row)
    connection.close()
    assert open_ledger(path).candidates() == {"good": entry("good")}


def test_a_row_that_was_spoilt_counts_as_never_written(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_ledger(path).qualify(entry("good"))
    open_ledger(path).qualify(entry("spoilt"))
    with sqlite3.connect(path) as connection:
        changed = connection.execute(
            "UPDATE candidates SET entry = replace(entry, '1.0.0', '1.0.1')"
            " WHERE module = 'spoilt' RETURNING entry"
        ).fetchone()[0]
    connection.close()
    assert Entry.from_json(json.loads(changed)) != entry("spoilt")
    assert open_ledger(path).candidates() == {"good": entry("good")}


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE notes",
        "DROP TABLE passes; CREATE TABLE passes (gate TEXT, number INTEGER)",
        "DROP TABLE candidates; CREATE VIEW candidates AS SELECT 1 AS module",
    ],
)
def test_a_sound_file_with_other_tables_is_set_aside(open_ledger: Open, tmp_path: Path, change: str) -> None:
    path = tmp_path / "ledger.sqlite3"
    open_ledger(path).close()
    with sqlite3.connect(path) as connection:
        connection.executescript(change)
    connection.close()
    ledger = open_ledger(path)
    ledger.record_gate("test:1", "new")
    assert ledger.holds("test:1", "new")
    assert [problem.check for problem in ledger.take_problems()] == ["ledger-damaged"]


def test_a_folder_in_its_place_is_set_aside(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite3"
    path.mkdir()
    ledger = open_ledger(path)
    ledger.record_gate("test:1", "new")
    assert ledger.holds("test:1", "new")
    (problem,) = ledger.take_problems()
    assert "it is no file" in problem.message


def test_a_file_that_cannot_be_opened_is_named(open_ledger: Open, tmp_path: Path) -> None:
    path = tmp_path / "build" / "ledger.sqlite3"
    open_ledger(path).close()
    path.with_name(f"{path.name}-wal").mkdir()
    said = "The ledger of passed tests cannot be used: build/ledger.sqlite3: unable to open database file; "
    with pytest.raises(PublishError, match=f"^{re.escape(said)}see to it that you may read and write there"):
        open_ledger(path)
