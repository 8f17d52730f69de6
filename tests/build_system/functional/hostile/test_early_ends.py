"""Course code that ends its process as if all were well."""

from __future__ import annotations

import pytest

from tests.build_system.functional.hostile.verdicts import assert_nobody_else_is_the_worse, assert_verdict
from tests.build_system.functional.hostile.yard import Hostile, Yard

EXITED = "ended by itself with exit status 0 before it delivered a result (os._exit, sys.exit or exec?)"
LEAVE = "import os\nos._exit(0)"
EXIT = "import sys\nsys.exit(0)"
EXEC = "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'print(\"1 passed\")'])"
AT_EXIT = "import atexit, os\natexit.register(os._exit, 0)"
KILL = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
CRASH = "import ctypes\nctypes.string_at(0)"
PYTEST_EXIT = "import pytest\npytest.exit('enough', returncode=0)"

CASES = [
    Hostile("leave_at_import", ["import-exited"], EXITED, at_import=LEAVE),
    Hostile(
        "exit_at_import", ["import-exited"], "called sys.exit(0) before it delivered a result", at_import=EXIT
    ),
    Hostile("exec_at_import", ["import-exited"], EXITED, at_import=EXEC),
    Hostile("leave_at_exit", ["import-exited"], f"in its exit handlers, {EXITED}", at_import=AT_EXIT),
    Hostile("kill_at_import", ["import-killed"], "was killed by SIGKILL", at_import=KILL),
    Hostile("leave", ["inline-cell-exited", "tests-exited"], f"test_twice {EXITED}", in_function=LEAVE),
    Hostile("exit", ["inline-cell-exited", "test-failed"], "test_twice: SystemExit: 0", in_function=EXIT),
    Hostile("exec", ["inline-cell-exited", "tests-exited"], f"test_twice {EXITED}", in_function=EXEC),
    Hostile("leave_after_test", ["tests-exited"], f"its exit handlers {EXITED}", in_test=AT_EXIT),
    Hostile("kill", ["tests-killed"], "test_twice was killed by SIGKILL", in_test=KILL),
    Hostile(
        "crash", ["tests-killed"], "test_twice was killed by SIGSEGV (segmentation fault)", in_test=CRASH
    ),
    Hostile(
        "end_of_tests",
        ["tests-not-finished"],
        "ended after 0 of 1 test: pytest.exit: enough",
        in_test=PYTEST_EXIT,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_no_success(yard: Yard, case: Hostile) -> None:
    assert_verdict(yard, case)


def test_nobody_else_is_the_worse(yard: Yard) -> None:
    assert_nobody_else_is_the_worse(yard)
