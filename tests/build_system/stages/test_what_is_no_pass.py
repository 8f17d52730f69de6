"""Test files that end without a pass, however they look from outside."""

from __future__ import annotations

import sys

import pytest

from tests.build_system.stages.running import FILE, GOOD, NO_PASS_CURE, findings, problems
from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Limits, Problem
from tinytorch_build.workers import Workers


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
