"""How a run looks while it goes on: one line an event, or the live table where there is a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Sequence
from typing import Protocol, TextIO

from tinytorch_build.model import Outcome
from tinytorch_build.plan import Plan, PlannedTask
from tinytorch_build.report import sentences
from tinytorch_build.report.outcome import Report, TaskReport


class Display(Protocol):
    """Shows a run. Called from several threads.

    Attributes:
        refused: why what was to be shown could not be written; None while all is well.
    """

    refused: OSError | None

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


def display_for(stream: TextIO | None) -> Display:
    """A live table if the stream is a terminal that can show one, else lines; to nobody if it is closed."""
    if stream is None:
        return Lines(io.StringIO())
    if stream.isatty():
        from tinytorch_build.report.live import live_table  # rich takes its time to be imported

        table = live_table(stream)
        if table is not None:
            return table
    return Lines(stream)


class Lines:
    """One line for each task that was executed; the others are summed up at the end.

    If the stream can be written no more, nothing more is shown, and `refused` says why. A reader that has
    gone away ends the run, as Ctrl-C does: whoever leaves a pager wants the terminal back.
    """

    refused: OSError | None = None

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
            if self.refused is not None:
                return
            try:
                self._stream.write(_printable(text, self._stream) + "\n")
                self._stream.flush()
            except OSError as error:
                self.refused = error
                _write_no_more(self._stream)
        if isinstance(self.refused, BrokenPipeError):
            raise KeyboardInterrupt

    def end(self, plan: Plan, report: Report | None, failed: Sequence[str], package: str) -> None:
        if report is not None:
            self.say(sentences.summary(plan, report, failed, package))


def _write_no_more(stream: TextIO) -> None:
    """What a stream still holds back goes nowhere, else Python fails once more when it ends."""
    with contextlib.suppress(OSError, ValueError):  # it is none of a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
