"""What lies around the tests: conftest.py counts but brings about no pass, and no other file counts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build_system.stages.running import FILE, GOOD, problems
from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Problem
from tinytorch_build.stages.run_tests import TestsRequest, run_test_files
from tinytorch_build.workers import Workers

CONFTESTS = {
    "deselects": (
        "def pytest_collection_modifyitems(config, items):\n"
        "    config.hook.pytest_deselected(items=items[1:])\n    del items[1:]\n",
        Problem(
            "tests-deselected",
            "something deselected 1 test: test_bad",
            FILE,
            cure="look for it in conftest.py",
        ),
    ),
    "drops in silence": (
        "def pytest_collection_modifyitems(items):\n    del items[1:]\n",
        Problem(
            "tests-not-collected",
            "test_bad stands in the file but pytest did not collect it",
            FILE,
            3,
            "see the log for a warning of pytest",
        ),
    ),
    "finds nothing": (
        "def pytest_pycollect_makeitem(): return []\n",
        Problem(
            "tests-not-collected",
            "test_good stands in the file but pytest did not collect it",
            FILE,
            1,
            "see the log for a warning of pytest",
        ),
    ),
    "runs nothing": (
        "def pytest_runtest_protocol(item, nextitem): return True\n",
        Problem("tests-not-finished", "2 tests did not run to the end: test_good, test_bad", FILE, 1),
    ),
    "only collects": (
        "def pytest_configure(config): config.option.collectonly = True\n",
        Problem("tests-not-finished", "2 tests did not run to the end: test_good, test_bad", FILE, 1),
    ),
    "stops early": (
        "def pytest_runtest_logreport(report):\n    if report.when == 'teardown':\n"
        "        import pytest; pytest.exit('enough', returncode=0)\n",
        Problem(
            "tests-not-finished",
            "the run was ended after 1 of 2 tests: pytest.exit: enough",
            "tests/unit/conftest.py",
            3,
        ),
    ),
    "whitewashes": (
        "import pytest\n@pytest.hookimpl(wrapper=True)\ndef pytest_runtest_makereport():\n"
        "    report = yield\n    report.outcome = 'passed'\n    return report\n",
        Problem("test-failed", "test_bad: assert False", FILE, 4),
    ),
    "exits at import": (
        "import os\nos._exit(0)\n",
        Problem(
            "tests-exited",
            "the run of the tests ended by itself with exit status 0 before it delivered a result "
            "(os._exit, sys.exit or exec?)",
            FILE,
            None,
            "take out the call that ends the process",
        ),
    ),
    "fails in a hook": (
        "def pytest_collection_finish(): 1 / 0\n",
        Problem(
            "tests-not-finished",
            "the run of the tests broke off: ZeroDivisionError: division by zero",
            "tests/unit/conftest.py",
            1,
        ),
    ),
    "cannot be imported": (
        "import no_such_thing\n",
        Problem(
            "dependency-not-satisfied",
            "Module dependencies not satisfied: a imports no_such_thing, which is not installed",
            "tests/unit/conftest.py",
            1,
            "install it",
        ),
    ),
}


@pytest.mark.parametrize(("conftest", "problem"), CONFTESTS.values(), ids=CONFTESTS.keys())
def test_a_conftest_cannot_bring_about_a_pass(
    workers: Workers, course: StagedCourse, conftest: str, problem: Problem
) -> None:
    course.write("tests/unit/conftest.py", conftest)
    found = problems(workers, course, GOOD + "def test_bad():\n    assert False\n")
    assert problem in found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\naddopts = --collect-only -k nothing\n"),
        ("tests/unit/pytest.ini", "[pytest]\naddopts = --deselect tests\n"),
        ("pyproject.toml", "[tool.pytest.ini_options]\npython_functions = 'check'\n"),
        ("tox.ini", "[pytest]\naddopts = --version\n"),
    ],
)
def test_nobodys_configuration_counts(workers: Workers, course: StagedCourse, name: str, text: str) -> None:
    course.write(name, text)
    assert problems(workers, course, GOOD) == ()


def test_the_environment_does_not_count(
    workers: Workers, course: StagedCourse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")
    assert problems(workers, course, GOOD) == ()


def test_cached_bytecode_is_not_believed(workers: Workers, course: StagedCourse) -> None:
    file = course.write(FILE, "def test_x():\n    assert 1\n")
    stat = file.stat()
    caching = TestsRequest("a", course.root, (FILE,), course.view("a"), course.limits, course.locate)
    cache = Path(importlib.util.cache_from_source(file)).parent
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "pytest", "-q", FILE]
    subprocess.run(command, cwd=course.root, env=environment, check=True, stdout=subprocess.DEVNULL)
    before = sorted(cache.iterdir())
    assert len(before) == 1
    file.write_text("def test_x():\n    assert 0\n")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert run_test_files(workers, caching).problems == (Problem("test-failed", "test_x: assert 0", FILE, 2),)
    assert sorted(cache.iterdir()) == before
