"""What is shown while a run goes on, and that hostile output does no harm."""

from __future__ import annotations

import errno
import io
import os

from rich.console import Console

from tests.build_system.builders import manifest_of
from tinytorch_build.model import Outcome, Problem
from tinytorch_build.plan import make_plan
from tinytorch_build.report import TaskReport, assemble
from tinytorch_build.report.live import LiveTable
from tinytorch_build.report.terminal import Lines, display_for

MANIFEST = manifest_of({"a": [], "b": ["a"]})
PLAN = make_plan(MANIFEST, ())
PROBLEM = Problem("syntax", "it is \x1b[31mwrong\x00", "a.py", 3, "mend it")
FAILED = TaskReport(Outcome.FAILED, 0.25, (PROBLEM,))
BLOCKED = TaskReport(Outcome.BLOCKED, blocked_by=("convert:a",))


def test_lines_show_events_and_cures() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.begin(PLAN, ["convert:a"])
    lines.finished(PLAN.by_name["convert:a"], FAILED)
    lines.finished(PLAN.by_name["import-check:b"], BLOCKED)
    lines.finished(PLAN.by_name["convert:b"], TaskReport(Outcome.UP_TO_DATE))
    assert stream.getvalue().splitlines() == [
        "a                        convert       FAILED         0.25 s",
        "Module a export validation failed: it is \\x1b[31mwrong\\x00",
        "    at   a.py:3  [syntax]",
        "    cure mend it",
    ]


def test_a_console_that_cannot_show_a_letter_gets_another() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252")
    Lines(stream).say("passed \N{PARTY POPPER}")
    stream.flush()
    assert raw.getvalue().split() == [b"passed", b"?"]


def test_a_terminal_gets_a_table() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    table = LiveTable(console)
    table.begin(PLAN, [task.name for task in PLAN.tasks])
    table.started(PLAN.by_name["convert:a"])
    table.finished(PLAN.by_name["convert:a"], FAILED)
    table.finished(PLAN.by_name["import-check:b"], BLOCKED)
    report = assemble(MANIFEST, PLAN, {"convert:a": FAILED, "import-check:b": BLOCKED}, set())
    table.end(PLAN, report, ["convert:a"], "demo")
    said = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO above
    assert "FAILED 0.25 s" in said
    assert "Module a export validation failed: it is \\x1b[31mwrong" in said
    assert "b is blocked by a" in said


def test_a_file_gets_lines() -> None:
    assert isinstance(display_for(io.StringIO()), Lines)


class Gone(io.StringIO):
    """A terminal that has gone away."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_terminal_that_has_gone_away_is_told_once_and_written_to_no_more() -> None:
    table = LiveTable(Console(file=Gone(), force_terminal=True, width=100))
    table.say("something")
    assert table.refused is not None
    assert table.refused.errno == errno.EIO
    table.begin(PLAN, ["convert:a"])
    table.started(PLAN.by_name["convert:a"])
    table.finished(PLAN.by_name["convert:a"], FAILED)
    table.end(PLAN, None, [], "demo")


def test_lines_that_cannot_be_written_are_told_once() -> None:
    lines = Lines(Gone())
    lines.say("something")
    lines.say("more")
    assert lines.refused is not None
    assert lines.refused.errno == errno.EIO
