"""How a run looks while it goes on: one line an event, or the live table where there is a terminal."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol, TextIO

from tinytorch_build.model import Outcome
from tinytorch_build.plan import Plan, PlannedTask
from tinytorch_build.report import sentences
from tinytorch_build.report.outcome import Report, TaskReport


class Display(Protocol):
    """Shows a run. Called from several threads."""

    def begin(self, plan: Plan, wanted: Sequence[str]) -> None:
        """The run begins; `wanted` are the tasks that it comes to."""

    def started(self, task: PlannedTask) -> None:
        """A task is being executed."""

    def finished(self, task: PlannedTask, report: TaskReport) -> None:
        """What became of a task is known."""

    def say(self, text: str) -> None:
        """Something to tell the user that belongs to no task."""

    def end(self, plan: Plan, report: Report | None, failed: Sequence[str], package: str) -> None:
        """The run is over; no report if it never began."""


def display_for(stream: TextIO) -> Display:
    """A live table if the stream is a terminal that can show one, else lines."""
    if stream.isatty():
        from tinytorch_build.report.live import live_table  # rich takes its time to be imported

        table = live_table(stream)
        if table is not None:
            return table
    return Lines(stream)


class Lines:
    """One line for each task that was executed; the others are summed up at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._mutex = threading.Lock()

    def begin(self, plan: Plan, wanted: Sequence[str]) -> None:
        """Nothing to show before the first event."""

    def started(self, task: PlannedTask) -> None:
        """A line comes when the task has finished."""

    def finished(self, task: PlannedTask, report: TaskReport) -> None:
        if report.outcome in (Outcome.RAN, Outcome.FAILED):
            self.say(sentences.task_line(task, report))
        if report.outcome is Outcome.FAILED:
            self.say(sentences.failures(task, report))

    def say(self, text: str) -> None:
        with self._mutex:
            self._stream.write(_printable(text, self._stream) + "\n")
            self._stream.flush()

    def end(self, plan: Plan, report: Report | None, failed: Sequence[str], package: str) -> None:
        if report is not None:
            self.say(sentences.summary(plan, report, failed, package))


def _printable(text: str, stream: TextIO) -> str:
    """The text in what the stream can encode and a terminal survives: course output may hold anything."""
    text = plain(text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, errors="replace").decode(encoding)


def plain(text: str) -> str:
    """The text with control characters spelled out, so that none of them reaches a terminal."""
    return "".join(
        letter if letter in "\n\t" or letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
