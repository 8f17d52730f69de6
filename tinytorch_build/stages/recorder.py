"""The pytest plugin that writes down what happens in a run of tests."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import _pytest
import pluggy
import pytest

from tinytorch_build.stages.body_watch import BodyWatch
from tinytorch_build.stages.session_facts import (
    CollectedTest,
    CollectionIssue,
    Fault,
    SessionFacts,
    TestOutcome,
    TestResult,
)
from tinytorch_build.workers import announce
from tinytorch_build.workers.failures import BUILD_FOLDER, frames_of, plain_text, raised_error

RUNNING_HOOKS = (
    "pytest_runtestloop",
    "pytest_runtest_protocol",
    "pytest_runtest_call",
    "pytest_pyfunc_call",
)
"""Who implements one of these decides whether a test runs at all, and whether its failure is seen."""

PYTEST_FOLDERS = tuple(str(Path(file).parent) + os.sep for file in (_pytest.__file__, pluggy.__file__))
HYPOTHESIS = importlib.util.find_spec("_hypothesis_pytestplugin")
TRUSTED = (
    *PYTEST_FOLDERS,
    BUILD_FOLDER,
    *([HYPOTHESIS.origin] if HYPOTHESIS and HYPOTHESIS.origin else []),
)
"""Where implementations of these hooks may come from."""


class Recorder:
    """A pytest plugin that writes down what happens."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._collected: dict[str, CollectedTest] = {}
        self._running: dict[str, RunningTest] = {}
        self._deselected: list[str] = []
        self._issues: list[CollectionIssue] = []
        self._interrupted: Fault | None = None
        self._internal: Fault | None = None
        self._is_finished = False
        self._taken_over: list[tuple[str, str]] = []

    def facts(self, status: int) -> SessionFacts:
        """All that was written down.

        Args:
            status: what `pytest.main` returned.
        """
        return SessionFacts(
            collected=tuple(self._collected.values()),
            outcomes=tuple(test.outcome() for test in self._running.values() if test.is_over),
            deselected=tuple(self._deselected),
            issues=tuple(self._issues),
            interrupted=self._interrupted,
            internal=self._internal,
            status=status,
            is_finished=self._is_finished,
            taken_over=tuple(self._taken_over),
        )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(self) -> Generator[None]:
        """Note why a conftest.py cannot be imported: pytest would only print it."""
        try:
            yield
        except BaseException as error:
            self._internal = fault_of(error)
            raise

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what will run, and who besides pytest has a say in how."""
        self._taken_over = list(_taken_over(session.config, self._root))
        self._collected = {item.nodeid: self._described(item) for item in session.items}

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Note what will not run."""
        self._deselected += [plain_text(item.nodeid) for item in items]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Note what cannot be collected."""
        report = yield
        call: pytest.CallInfo[object] | None = getattr(report, "call", None)
        if not report.passed:
            fault = fault_of(call.excinfo.value) if report.failed and call and call.excinfo else None
            self._issues.append(CollectionIssue(plain_text(collector.nodeid), fault, _reason(report)))
        return report

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which test begins, in case that it ends the process."""
        test = self._collected.get(nodeid)
        if test is not None:
            announce(_short(nodeid), test.file, test.line)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note whether the test's body begins, and what leaves it, before any other hook can hide that."""
        test = self._test(item.nodeid)
        described = self._collected.get(item.nodeid)
        try:
            with BodyWatch(str(item.path), described.name if described else "") as watch:
                return (yield)
        except BaseException as error:
            test.raised = fault_of(error)
            raise
        finally:
            test.began = watch.has_begun

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note what became of a phase of a test, or of a subtest; an exception counts more than a plugin."""
        report = yield
        test = self._test(item.nodeid)
        is_expected = report.skipped or hasattr(report, "wasxfail")
        fault = fault_of(call.excinfo.value) if call.excinfo else None
        if fault is None and report.when == "call":
            fault = test.raised
        test.add(report, None if is_expected else fault)
        return report

    def _test(self, nodeid: str) -> RunningTest:
        return self._running.setdefault(nodeid, RunningTest(plain_text(nodeid)))

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that something ended the run: `pytest.exit` or Ctrl-C."""
        self._interrupted = fault_of(excinfo.value)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Note that pytest or a hook of a conftest.py failed."""
        self._internal = fault_of(excinfo.value)

    def pytest_sessionfinish(self) -> None:
        """Note that pytest has come to its end."""
        self._is_finished = True

    def _described(self, item: pytest.Item) -> CollectedTest:
        names = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
        names.append(getattr(item, "originalname", None) or item.name)
        line = item.location[1]
        path = Path(os.path.relpath(item.path, self._root)).as_posix()
        name = ".".join(plain_text(part) for part in names)
        return CollectedTest(plain_text(item.nodeid), path, name, None if line is None else line + 1)


class RunningTest:
    """What is known of a test so far."""

    def __init__(self, nodeid: str) -> None:
        self.is_over = False
        self.began = False
        self.raised: Fault | None = None
        self._nodeid = nodeid
        self._result: TestResult | None = None
        self._fault: Fault | None = None
        self._reason = ""
        self._seconds = 0.0

    def add(self, report: pytest.TestReport, fault: Fault | None) -> None:
        """Take in the report of one phase, or of a subtest. A failure stays; else the last word counts."""
        self._seconds += report.duration
        self.is_over = report.when == "teardown"
        failed = report.failed or fault is not None
        if self._result in (TestResult.FAILED, TestResult.ERROR) or (not failed and self.is_over):
            return
        if failed:
            self._result = TestResult.FAILED if report.when == "call" else TestResult.ERROR
            self._fault = fault
        elif report.when == "call" or report.skipped:
            self._result = _result(report)
        self._reason = _reason(report)

    def outcome(self) -> TestOutcome:
        """What became of it."""
        result = self._result or TestResult.SKIPPED
        return TestOutcome(self._nodeid, result, self._seconds, self._fault, self._reason, self.began)


def fault_of(error: BaseException) -> Fault:
    """An exception as data, without the frames of pytest itself."""
    cause = getattr(error, "cause", None) or error.__cause__
    if type(error).__name__ in ("CollectError", "ConftestImportFailure") and isinstance(cause, BaseException):
        error = cause  # these two only say where pytest was when it met the real one
    frames = tuple(frame for frame in frames_of(error) if not frame.file.startswith(PYTEST_FOLDERS))
    return Fault(raised_error(error), frames)


def _taken_over(config: pytest.Config, root: Path) -> Iterator[tuple[str, str]]:
    """The hooks that run tests and that someone else than pytest implements, with the file that does."""
    for hook in RUNNING_HOOKS:
        for implementation in getattr(config.hook, hook).get_hookimpls():
            file = inspect.unwrap(implementation.function).__code__.co_filename
            if not file.startswith(TRUSTED):
                yield hook, plain_text(Path(os.path.relpath(file, root)).as_posix())


def _result(report: pytest.TestReport) -> TestResult:
    if hasattr(report, "wasxfail"):
        return TestResult.XFAILED if report.skipped else TestResult.XPASSED
    return TestResult.SKIPPED if report.skipped else TestResult.PASSED


def _reason(report: pytest.CollectReport | pytest.TestReport) -> str:
    """Why something was skipped, expected to fail, or failed without an exception."""
    said = report.longrepr
    if hasattr(report, "wasxfail"):
        return plain_text(report.wasxfail)
    if isinstance(said, tuple):
        return plain_text(said[2]).removeprefix("Skipped: ")
    return plain_text(said) if isinstance(said, str) else ""


def _short(nodeid: str) -> str:
    """A test's id without its file."""
    return nodeid.partition("::")[2] or nodeid
