"""What runs in the worker of a test run: pytest, cut off from everybody's configuration, and its recorder."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import _pytest.assertion.rewrite as rewrite
import pytest

from tinytorch_build.stages.session_facts import (
    CollectedTest,
    CollectionIssue,
    Fault,
    SessionFacts,
    TestOutcome,
    TestResult,
)
from tinytorch_build.workers import Frame, announce
from tinytorch_build.workers.failures import frames_of, plain_text, raised_error

PYTEST_FOLDERS = tuple(
    str(Path(module.__file__).parent) + os.sep for module in (sys.modules["_pytest"], sys.modules["pluggy"]) if module.__file__
)


def run_pytest(root: str, files: Sequence[str]) -> SessionFacts:
    """Run test files.

    No ini file is read, no plugin is loaded but hypothesis' own, and no cached bytecode is believed.
    `conftest.py` files count from the root down to the files.

    Args:
        root: absolute path of the course's root.
        files: POSIX paths of the test files from there.
    """
    recorder = Recorder(Path(root))
    distrust_cached_tests()
    status = pytest.main([*options(root), *(str(Path(root, file)) for file in files)], plugins=[recorder])
    return recorder.facts(int(status))


def options(root: str) -> Iterator[str]:
    """pytest's command line, before the files."""
    descriptor, ini = tempfile.mkstemp(prefix="pytest-", suffix=".ini")
    os.close(descriptor)
    yield from ("-c", ini, "--rootdir", root, "--confcutdir", root, "--import-mode", "importlib")
    for plugin in ("cacheprovider", "faulthandler", "pastebin", "junitxml"):
        yield from ("-p", f"no:{plugin}")
    if importlib.util.find_spec("_hypothesis_pytestplugin") is not None:
        yield from ("-p", "_hypothesis_pytestplugin")
    # Nothing is captured: the supervisor keeps the output, also that of a test that kills its process.
    yield from ("-s", "-v", "--tb=short", "--color=no", "--no-header")


def distrust_cached_tests() -> None:
    """Keep pytest from the bytecode beside the tests, which it takes for fresh if time and size agree."""
    folder = Path(tempfile.mkdtemp(prefix="rewritten-"))
    if not hasattr(rewrite, "get_cache_dir"):
        raise RuntimeError("this pytest keeps its rewritten tests in a way that the build does not know")
    rewrite.get_cache_dir = lambda file_path: folder / plain_text(abs(hash(str(file_path.parent))))


class Recorder:
    """A pytest plugin that writes down what happens."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._collected: list[CollectedTest] = []
        self._outcomes: dict[str, TestOutcome] = {}
        self._deselected: list[str] = []
        self._issues: list[CollectionIssue] = []
        self._faults: dict[str, Fault] = {}
        self._interrupted: str | None = None
        self._internal: Fault | None = None
        self._is_finished = False

    def facts(self, status: int) -> SessionFacts:
        """All that was written down.

        Args:
            status: what `pytest.main` returned.
        """
        return SessionFacts(
            collected=tuple(self._collected),
            outcomes=tuple(self._outcomes.values()),
            deselected=tuple(self._deselected),
            issues=tuple(self._issues),
            interrupted=self._interrupted,
            internal=self._internal,
            status=status,
            is_finished=self._is_finished,
        )

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._collected = [self._described(item) for item in session.items]

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self._deselected += [plain_text(item.nodeid) for item in items]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        report = yield
        if not report.passed:
            call = getattr(report, "call", None)
            excinfo = call.excinfo if call is not None else None
            nodeid, text = plain_text(collector.nodeid), ""
            if report.skipped and isinstance(report.longrepr, tuple):
                text = plain_text(report.longrepr[2]).removeprefix("Skipped: ")
            fault = None if report.skipped or excinfo is None else fault_of(excinfo.value)
            self._issues.append(CollectionIssue(nodeid, fault, text))
        return report

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        test = next((test for test in self._collected if test.nodeid == nodeid), None)
        if test is not None:
            announce(nodeid.partition("::")[2] or nodeid, test.file, test.line)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        fault = None
        if call.excinfo is not None and (report.failed or report.passed):
            fault = fault_of(call.excinfo.value)
        self._record(report, fault)
        return report
