"""Blame, messages and cures."""

from __future__ import annotations

import pytest

from tinytorch_build.stages.findings import Blame, Place, blame, cure_for, first_line, in_file, log_of
from tinytorch_build.workers import Failure, FailureKind, Frame


def locate(file: str, line: int) -> tuple[str, int] | None:
    return (f"src/{file}", line + 10) if file in ("a.py", "b.py") else None


@pytest.mark.parametrize(
    ("files", "place", "origin"),
    [
        (["a.py", "lib.py"], Place("src/a.py", 10), None),
        (["a.py", "b.py"], Place("src/a.py", 10), Place("src/b.py", 11)),
        (["a.py", "b.py", "a.py", "lib.py"], Place("src/a.py", 12), None),
        (["lib.py", "b.py"], Place("src/b.py", 11), None),
        (["lib.py"], None, None),
        ([], None, None),
    ],
)
def test_the_innermost_line_of_the_own_file_is_shown(
    files: list[str], place: Place | None, origin: Place | None
) -> None:
    frames = [Frame(file, number, "f") for number, file in enumerate(files)]
    assert blame(frames, in_file("src/a.py"), locate) == Blame(place, "", origin)


def test_the_note_says_where_it_came_from() -> None:
    found = Blame(Place("a.py", 1), "", Place("b.py", 2))
    assert found.note() == " (raised in b.py:2)"
    assert found.note(FailureKind.TIMED_OUT) == " (at b.py:2)"
    assert Blame(Place("a.py", 1)).note() == ""


@pytest.mark.parametrize(
    ("text", "line"),
    [("one.\ntwo", "one"), ("\n  one  \n", "one"), ("and so on...", "and so on..."), ("", ""), (" \n", "")],
)
def test_the_first_line_of_a_message(text: str, line: str) -> None:
    assert first_line(text) == line


def test_the_cure_names_the_key_of_the_limit() -> None:
    late = Failure(FailureKind.TIMED_OUT, "took too long")
    assert cure_for(late, "import-seconds") == (
        "look for a loop that does not end, or raise import-seconds of the module in modules.toml"
    )
    assert all(cure_for(Failure(kind, ""), "x") for kind in FailureKind if kind is not FailureKind.RAISED)


@pytest.mark.parametrize("output", ["", "said\n", "said"])
def test_the_log_ends_with_the_failure_on_a_line_of_its_own(output: str) -> None:
    failure = Failure(FailureKind.EXITED, "ended")
    lines = ["said"] if output else []
    assert log_of(output, failure).splitlines() == [*lines, "the process ended"]
    assert log_of(output, None) == output
