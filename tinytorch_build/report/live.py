"""The live table of a run on a terminal: modules by stages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tinytorch_build.model import Outcome, Stage
from tinytorch_build.plan import Plan, PlannedTask
from tinytorch_build.report import sentences
from tinytorch_build.report.outcome import Report, TaskReport
from tinytorch_build.report.terminal import plain

_STYLES = {
    Outcome.RAN: "green",
    Outcome.UP_TO_DATE: "dim",
    Outcome.FAILED: "bold red",
    Outcome.BLOCKED: "yellow",
}


def live_table(stream: TextIO) -> LiveTable | None:
    """A live table, or None if the terminal cannot move its cursor."""
    console = Console(file=stream)
    return LiveTable(console) if console.is_terminal and not console.is_dumb_terminal else None


class LiveTable:
    """Modules by stages, redrawn as tasks finish; failures are printed above the table and stay."""

    refused: OSError | None = None

    def __init__(self, console: Console) -> None:
        self._console = console
        self._mutex = threading.RLock()
        self._reports: dict[str, TaskReport] = {}
        self._running: set[str] = set()
        self._wanted: frozenset[str] = frozenset()
        self._plan: Plan | None = None
        self._live: Live | None = None

    def begin(self, plan: Plan, wanted: Sequence[str]) -> None:
        self._plan, self._wanted = plan, frozenset(wanted)
        self._live = Live(self._table(), console=self._console, refresh_per_second=8, transient=False)
        self._show(self._live.start)

    def started(self, task: PlannedTask) -> None:
        with self._mutex:
            self._running.add(task.name)
            self._redraw()

    def finished(self, task: PlannedTask, report: TaskReport) -> None:
        with self._mutex:
            self._running.discard(task.name)
            self._reports[task.name] = report
            if report.outcome is Outcome.FAILED:
                self._print(Text(plain(sentences.failures(task, report)), style="red"))
            self._redraw()

    def say(self, text: str) -> None:
        self._print(Text(plain(text)))

    def end(self, plan: Plan, report: Report | None, failed: Sequence[str], package: str) -> None:
        with self._mutex:
            if self._live is not None:
                self._redraw()
                self._show(self._live.stop)
                self._live = None
        if report is not None:
            style = "green" if report.outcome is Outcome.PASSED else "red"
            said = sentences.summary(plan, report, failed, package)
            self._print(Text(plain(said), style=style))

    def _redraw(self) -> None:
        if self._live is not None:
            self._live.update(self._table())  # which the table's own thread draws

    def _print(self, text: Text) -> None:
        self._show(lambda: self._console.print(text))

    def _show(self, act: Callable[[], object]) -> None:
        """Write to the terminal, unless it has gone away; `refused` says why."""
        if self.refused is None:
            try:
                act()
            except OSError as error:
                self.refused = error

    def _table(self) -> Table:
        done = len(self._reports)
        table = Table(title=f"{done} of {len(self._wanted)} tasks", title_justify="left", box=None)
        table.add_column("module")
        for stage in Stage:
            table.add_column(stage.value)
        if self._plan is None:
            return table
        rows: dict[str, list[Text]] = {}
        for task in self._plan.tasks:
            if task.name in self._wanted and task.module is not None:
                rows.setdefault(task.module, []).append(self._cell(task))
            elif task.name in self._wanted and task.test_file is not None:
                rows[task.test_file.name] = [Text(), Text(), Text(), self._cell(task)]
            elif task.name in self._wanted and task.package_stage is not None:
                rows[task.package_stage] = [*[Text()] * (len(Stage) - 1), self._cell(task)]
        for subject, cells in rows.items():
            table.add_row(Text(subject), *cells)
        return table

    def _cell(self, task: PlannedTask) -> Text:
        report = self._reports.get(task.name)
        if report is None:
            return Text("running" if task.name in self._running else "", style="cyan")
        word = sentences.WORDS[report.outcome]
        if report.outcome in (Outcome.RAN, Outcome.FAILED):
            word += f" {report.seconds:.2f} s"
        return Text(word, style=_STYLES.get(report.outcome, ""))
