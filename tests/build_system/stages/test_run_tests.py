"""Test files: what passes has run and passed, and nothing else passes."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Limits, Problem
from tinytorch_build.stages.run_tests import TestFindings, TestsRequest, run_test_files
from tinytorch_build.stages.session_facts import TestResult
from tinytorch_build.workers import Workers

FILE = "tests/unit/test_a.py"
GOOD = "def test_good():\n    pass\n"
NO_PASS_CURE = "a test file counts only if at least one of its tests runs and passes"


def findings(workers: Workers, course: StagedCourse, *files: str) -> TestFindings:
    """What running some files of the course finds."""
    paths = files or (FILE,)
    asked = TestsRequest("a", course.root, paths, course.view("a"), course.limits, course.locate)
    return run_test_files(workers, asked)


def problems(workers: Workers, course: StagedCourse, text: str) -> tuple[Problem, ...]:
    """What running one file with this text finds; another run is none the worse for it."""
    course.write(FILE, text)
    found = findings(workers, course).problems
    course.write("tests/next/test_next.py", GOOD)
    assert findings(workers, course, "tests/next/test_next.py").problems == ()
    return found


def results(found: TestFindings) -> dict[str, TestResult]:
    return {outcome.nodeid.partition("::")[2]: outcome.result for outcome in found.outcomes}


def test_good_tests(workers: Workers, course: StagedCourse) -> None:
    course.stage("a", "def double(x):\n    return 2 * x\n")
    course.write("tests/unit/conftest.py", "import pytest\n@pytest.fixture\ndef three():\n    return 3\n")
    course.write(
        FILE,
        """\
        import unittest
        import numpy as np
        import pytest
        from hypothesis import given, strategies as st
        from pkg.core.a import double

        def test_fixture(three):
            assert double(three) == 6

        @pytest.mark.parametrize("x", [1, 2])
        def test_parameters(x):
            assert double(x) == x + x

        class TestGroup:
            class TestInner:
                @given(st.integers())
                def test_any(self, x):
                    assert double(x) - x == x

        class Old(unittest.TestCase):
            def test_old(self):
                self.assertEqual(double(1), 2)

        @pytest.mark.skip(reason="another day")
        def test_later():
            assert False

        @pytest.mark.xfail(reason="known")
        def test_known():
            assert False
        """,
    )
    found = findings(workers, course)
    assert found.problems == ()
    assert results(found) == {
        "test_fixture": TestResult.PASSED,
        "test_parameters[1]": TestResult.PASSED,
        "test_parameters[2]": TestResult.PASSED,
        "TestGroup::TestInner::test_any": TestResult.PASSED,
        "Old::test_old": TestResult.PASSED,
        "test_later": TestResult.SKIPPED,
        "test_known": TestResult.XFAILED,
    }
    assert [o.reason for o in found.outcomes if o.reason] == ["another day", "known"]


def test_no_files_are_no_work(workers: Workers, course: StagedCourse) -> None:
    asked = TestsRequest("a", course.root, (), course.view("a", ()), course.limits, course.locate)
    assert run_test_files(workers, asked) == TestFindings()


def test_failures_are_shown_at_the_line_of_the_test(workers: Workers, course: StagedCourse) -> None:
    course.stage("a", "def invert(x):\n    return 1 / x\n")
    found = problems(
        workers,
        course,
        """\
        import pytest
        from pkg.core.a import invert

        @pytest.mark.parametrize("x", [2, 0])
        def test_invert(x):
            assert invert(x) == 1

        def test_message():
            assert invert(1) == 2, "it should be two"

        def test_says_no():
            pytest.fail("not today")

        @pytest.fixture
        def broken():
            raise RuntimeError("no fixture today")

        class TestGroup:
            def test_setup(self, broken):
                pass

        @pytest.mark.xfail(strict=True, reason="cannot be")
        def test_strict():
            pass
        """,
    )
    assert found == (
        Problem("test-failed", "test_invert[2]: assert 0.5 == 1", FILE, 6),
        Problem(
            "test-failed",
            "test_invert[0]: ZeroDivisionError: division by zero (raised in src/a_dev.py:102)",
            FILE,
            6,
        ),
        Problem("test-failed", "test_message: it should be two", FILE, 9),
        Problem("test-failed", "test_says_no: not today", FILE, 12),
        Problem(
            "test-failed",
            "TestGroup.test_setup (in its setup or teardown): RuntimeError: no fixture today",
            FILE,
            16,
        ),
        Problem("test-failed", "test_strict: [XPASS(strict)] cannot be", FILE, 22),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "import os\ndef test_exit():\n    os._exit(0)\n",
            Problem(
                "tests-exited",
                "test_exit ended by itself with exit status 0 before it delivered a result "
                "(os._exit, sys.exit or exec?)",
                FILE,
                2,
                "take out the call that ends the process",
            ),
            id="os._exit",
        ),
        pytest.param(
            "import atexit, os\natexit.register(os._exit, 0)\ndef test_x(): pass\n",
            Problem(
                "tests-exited",
                "its exit handlers ended by itself with exit status 0 before it delivered a result "
                "(os._exit, sys.exit or exec?)",
                FILE,
                None,
                "take out the call that ends the process",
            ),
            id="at exit",
        ),
        pytest.param(
            "import os, sys\ndef test_exec():\n"
            "    os.execv(sys.executable, [sys.executable, '-c', 'print(\"1 passed\")'])\n",
            Problem(
                "tests-exited",
                "test_exec ended by itself with exit status 0 before it delivered a result "
                "(os._exit, sys.exit or exec?)",
                FILE,
                2,
                "take out the call that ends the process",
            ),
            id="execv",
        ),
        pytest.param(
            "import sys\ndef test_exit():\n    sys.exit(0)\n",
            Problem("test-failed", "test_exit: SystemExit: 0", FILE, 3),
            id="sys.exit",
        ),
        pytest.param(
            "import sys\nsys.exit(0)\n",
            Problem("tests-not-finished", "the run of the tests broke off: SystemExit: 0", FILE, 2),
            id="sys.exit at import",
        ),
        pytest.param(
            "import pytest\ndef test_first(): pass\ndef test_exit():\n    pytest.exit('bye', returncode=0)\n",
            Problem(
                "tests-not-finished",
                "the run was ended after 1 of 2 tests: pytest.exit: bye",
                FILE,
                4,
            ),
            id="pytest.exit",
        ),
        pytest.param(
            "import pytest\npytest.exit('bye', returncode=0)\n",
            Problem(
                "tests-not-collected",
                f"{FILE} cannot be imported: pytest.exit: bye",
                FILE,
                2,
            ),
            id="pytest.exit at import",
        ),
        pytest.param(
            "def test_x():\n    raise KeyboardInterrupt\n",
            Problem(
                "tests-not-finished",
                "the run was ended after 0 of 1 test: KeyboardInterrupt",
                FILE,
                2,
            ),
            id="interrupt",
        ),
        pytest.param(
            "import pytest\n@pytest.mark.skip\ndef test_x(): pass\n@pytest.mark.xfail\ndef test_y(): assert 0\n",
            Problem(
                "no-test-passed",
                f"no test of {FILE} passed: 1 skipped, 1 xfailed",
                FILE,
                cure=NO_PASS_CURE,
            ),
            id="all skipped",
        ),
        pytest.param(
            "import pytest\npytest.importorskip('no_such_thing')\ndef test_x(): pass\n",
            Problem(
                "no-test-passed",
                f"no test of {FILE} passed: it was skipped as a whole "
                "(could not import 'no_such_thing': No module named 'no_such_thing')",
                FILE,
                cure=NO_PASS_CURE,
            ),
            id="skipped as a whole",
        ),
        pytest.param(
            "def check(): pass\n",
            Problem("no-test-passed", f"no test of {FILE} passed: none was run", FILE, cure=NO_PASS_CURE),
            id="no tests",
        ),
        pytest.param(
            "import nothing_like_it\n" + GOOD,
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: a imports nothing_like_it, which is not installed",
                FILE,
                1,
                "install it",
            ),
            id="not installed",
        ),
        pytest.param(
            GOOD + "import pkg.core.hidden\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "'pkg.core.hidden' is not among the modules that a declares",
                FILE,
                3,
                'add "hidden" to depends of [modules.a] in modules.toml',
            ),
            id="undeclared",
        ),
        pytest.param(
            "def test_x():\n    from pkg.core import hidden\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "'pkg.core.hidden' is not among the modules that a declares",
                FILE,
                2,
                'add "hidden" to depends of [modules.a] in modules.toml',
            ),
            id="undeclared in a test",
        ),
        pytest.param(
            GOOD + "x = = 1\n",
            Problem(
                "tests-not-collected", f"{FILE} cannot be imported: SyntaxError: invalid syntax", FILE, 3
            ),
            id="syntax",
        ),
        pytest.param(
            GOOD + "def test_twice(): assert False\ndef test_twice(): pass\n",
            Problem(
                "test-defined-twice",
                "test_twice is defined twice, so the one in line 3 never runs",
                FILE,
                4,
                "give one of them another name",
            ),
            id="defined twice",
        ),
        pytest.param(
            GOOD + "class TestGroup:\n    def __init__(self): pass\n    def test_x(self): assert False\n",
            Problem(
                "tests-not-collected",
                "TestGroup.test_x stands in the file but pytest did not collect it",
                FILE,
                5,
                "see the log for a warning of pytest",
            ),
            id="class with __init__",
        ),
        pytest.param(
            GOOD + "def test_x(): assert False\ndel test_x\n",
            Problem(
                "tests-not-collected",
                "test_x stands in the file but pytest did not collect it",
                FILE,
                3,
                "see the log for a warning of pytest",
            ),
            id="deleted",
        ),
        pytest.param(
            "import ctypes\ndef test_crash():\n    ctypes.string_at(0)\n",
            Problem(
                "tests-killed",
                "test_crash was killed by SIGSEGV (segmentation fault)",
                FILE,
                3,
                "look at what native code or signals it uses; the log has its output",
            ),
            id="segfault",
        ),
        pytest.param(
            "def test_deep():\n    def f(n): return f(n + 1)\n    f(0)\n",
            Problem("test-failed", "test_deep: RecursionError: maximum recursion depth exceeded", FILE, 2),
            id="recursion",
        ),
        pytest.param(
            GOOD + "def test_large():\n    b'x' * (1 << 30)\n",
            Problem("test-failed", "test_large: MemoryError", FILE, 4),
            id="memory",
        ),
    ],
)
def test_what_is_no_pass(workers: Workers, course: StagedCourse, text: str, problem: Problem) -> None:
    assert problems(workers, course, text) == (problem,)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker cannot be asked where it is")
def test_a_loop_with_masked_signals_is_stopped_at_its_line(workers: Workers, course: StagedCourse) -> None:
    course.stage("a", "def spin():\n    while True: pass\n")
    course.write(
        FILE,
        """\
        import signal
        from pkg.core.a import spin

        def test_loop():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT})
            spin()
        """,
    )
    course.limits = Limits(test_seconds=1.0)
    assert findings(workers, course).problems == (
        Problem(
            "tests-timed-out",
            "test_loop took longer than 1 s and was stopped (at src/a_dev.py:102)",
            FILE,
            6,
            "look for a loop that does not end, or raise test-seconds of the module in modules.toml",
        ),
    )


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


@pytest.mark.parametrize("name", ["tests/unit/pytest.py", "tests/pytest.py", "_pytest/__init__.py"])
def test_a_file_that_poses_as_pytest(workers: Workers, course: StagedCourse, name: str) -> None:
    course.write(FILE, GOOD)
    course.write(name, "def main(*args, **options): return 0\n")
    assert findings(workers, course).problems == (
        Problem(
            "tests-shadow-pytest",
            f"{name} takes the place of pytest for whoever runs the tests from there",
            name,
            cure="give it another name",
        ),
    )


def test_a_file_that_is_missing(workers: Workers, course: StagedCourse) -> None:
    course.stage("a", "")
    assert findings(workers, course).problems == (
        Problem("tests-missing", f"the test file {FILE} does not exist", FILE),
    )


def test_every_file_needs_a_pass_of_its_own(workers: Workers, course: StagedCourse) -> None:
    course.write(FILE, GOOD)
    course.write("tests/other/test_a.py", "import pytest\n@pytest.mark.skip\ndef test_x(): pass\n")
    course.write("tests/third/test_b.py", "1 / 0\n")
    found = findings(workers, course, FILE, "tests/other/test_a.py", "tests/third/test_b.py")
    assert found.problems == (
        Problem(
            "tests-not-collected",
            "tests/third/test_b.py cannot be imported: ZeroDivisionError: division by zero",
            "tests/third/test_b.py",
            1,
        ),
        Problem(
            "no-test-passed",
            "no test of tests/other/test_a.py passed: 1 skipped",
            "tests/other/test_a.py",
            cure=NO_PASS_CURE,
        ),
    )


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


def test_tests_do_not_find_the_course(workers: Workers, course: StagedCourse) -> None:
    course.write("dodo.py", "")
    course.write("tests/unit/neighbour.py", "")
    course.write("src/a_dev.py", "")
    course.write("pkg/__init__.py", "")
    text = """\
        import importlib, os, pathlib, pytest

        @pytest.mark.parametrize("name", ["dodo", "neighbour", "src.a_dev", "a_dev", "pkg.core.a"])
        def test_hidden(name):
            with pytest.raises(ModuleNotFoundError):
                importlib.import_module(name)

        def test_folder():
            assert os.listdir() == []
            pathlib.Path("left").touch()
        """
    assert problems(workers, course, text) == ()
    assert not list(course.root.rglob("left"))
    assert not list(course.root.rglob("__pycache__"))
    assert not list(course.root.rglob(".*"))


def test_what_tests_change_does_not_last(workers: Workers, course: StagedCourse) -> None:
    text = (
        "import builtins, numpy, pytest\ndef test_x():\n    builtins.sum = numpy.sum = pytest.main = None\n"
    )
    assert problems(workers, course, text) == ()
    text = "import numpy, pytest\ndef test_x():\n    assert sum([1]) == numpy.sum([1]) == 1 and pytest.main\n"
    assert problems(workers, course, text) == ()


def test_subtests_count(workers: Workers, course: StagedCourse) -> None:
    text = """\
        import unittest
        class TestSub(unittest.TestCase):
            def test_x(self):
                for number in range(3):
                    with self.subTest(number=number):
                        self.assertNotEqual(number, 1)
        """
    (problem,) = problems(workers, course, text)
    assert (problem.check, problem.file, problem.line) == ("test-failed", FILE, 6)
    assert problem.message == "TestSub.test_x: 1 == 1"


def test_the_log_shows_what_tests_print(workers: Workers, course: StagedCourse) -> None:
    course.write(FILE, "def test_x():\n    print('look here')\n")
    assert "look here" in findings(workers, course).output
