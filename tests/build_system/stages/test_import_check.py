"""Import check: a module alone, from its staged file, with every fault at the line of its source."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Limits, Problem, Severity
from tinytorch_build.stages.findings import StageFindings
from tinytorch_build.stages.import_check import ImportRequest, check_import
from tinytorch_build.workers import StagedModule, Workers

SOURCE = "src/a_dev.py"


def findings(workers: Workers, course: StagedCourse, text: str) -> StageFindings:
    """What the check finds in module `a`."""
    course.stage("a", text)
    return check_import(workers, request(course))


def request(course: StagedCourse) -> ImportRequest:
    return ImportRequest("a", "pkg.core.a", course.view("a"), course.limits, course.locate, SOURCE)


def test_a_good_module(workers: Workers, course: StagedCourse) -> None:
    found = findings(workers, course, "import numpy as np\n__all__ = ['one']\none = np.ones(1)\n")
    assert (found.problems, found.output) == ((), "")
    assert found.seconds > 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param(
            "x = 1\ndef f() -> List[int]: ...\n",
            Problem(
                "import-error",
                "importing pkg.core.a raises NameError: name 'List' is not defined",
                SOURCE,
                102,
            ),
            id="name",
        ),
        pytest.param(
            "x = 1\nfrom __future__ import annotations\n",
            Problem(
                "import-error",
                "importing pkg.core.a raises SyntaxError: "
                "from __future__ imports must occur at the beginning of the file",
                SOURCE,
                102,
            ),
            id="late future import",
        ),
        pytest.param(
            "import pkg.core.hidden\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "'pkg.core.hidden' is not among the modules that a declares",
                SOURCE,
                101,
                'add "hidden" to depends of [modules.a] in modules.toml',
            ),
            id="undeclared",
        ),
        pytest.param(
            "x = 1\n\nfrom pkg.core import hidden\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "'pkg.core.hidden' is not among the modules that a declares",
                SOURCE,
                103,
                'add "hidden" to depends of [modules.a] in modules.toml',
            ),
            id="undeclared, from",
        ),
        pytest.param(
            "import no_such_thing\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: a imports no_such_thing, which is not installed",
                SOURCE,
                101,
                'install it, and add "no_such_thing" to dependencies of [package] in modules.toml',
            ),
            id="not installed",
        ),
        pytest.param(
            "import numpy.no_such_part\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "a imports numpy.no_such_part, which the installed numpy does not have",
                SOURCE,
                101,
                "correct the name, or install the version that has it",
            ),
            id="no such part",
        ),
        pytest.param(
            "from b_dev import x\n",
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "a imports b_dev, a file of the source folder, which no package holds",
                SOURCE,
                101,
                "import the module that it exports to, which begins with pkg.",
            ),
            id="source file",
        ),
        pytest.param(
            "__all__ = ['one', 'two']\none = 1\n",
            Problem(
                "import-all",
                "pkg.core.a names 'two' in __all__ and does not define it",
                SOURCE,
                None,
                "define it in an exported cell, or correct its name",
            ),
            id="__all__",
        ),
        pytest.param(
            "__all__ = 3\n",
            Problem("import-all", "__all__ of pkg.core.a is no list of names", SOURCE),
            id="odd __all__",
        ),
        pytest.param(
            "x = 1\nprint()\nprint('loading...')\n",
            Problem(
                "import-prints",
                "importing pkg.core.a prints 'loading...'",
                SOURCE,
                103,
                "move it into a cell that is not exported, or into a function",
                Severity.WARNING,
            ),
            id="prints",
        ),
        pytest.param(
            "import os\nos.write(2, b'from below\\n')\n",
            Problem(
                "import-prints",
                "importing pkg.core.a prints 'from below'",
                SOURCE,
                None,
                "move it into a cell that is not exported, or into a function",
                Severity.WARNING,
            ),
            id="prints from below",
        ),
        pytest.param(
            "import warnings\nwarnings.warn('old ways', DeprecationWarning)\n",
            Problem(
                "import-warns",
                "importing pkg.core.a gives DeprecationWarning: old ways",
                SOURCE,
                102,
                severity=Severity.WARNING,
            ),
            id="warns",
        ),
        pytest.param(
            "import os\nos._exit(0)\n",
            Problem(
                "import-exited",
                "the import of pkg.core.a ended by itself with exit status 0 before it delivered a result "
                "(os._exit, sys.exit or exec?)",
                SOURCE,
                None,
                "take out the call that ends the process",
            ),
            id="os._exit",
        ),
        pytest.param(
            "import sys\nsys.exit(0)\n",
            Problem(
                "import-exited",
                "the import of pkg.core.a called sys.exit(0) before it delivered a result",
                SOURCE,
                102,
                "take out the call that ends the process",
            ),
            id="sys.exit",
        ),
        pytest.param(
            "import atexit, os\natexit.register(os._exit, 0)\n",
            Problem(
                "import-exited",
                "the import of pkg.core.a, in its exit handlers, ended by itself with exit status 0 before it "
                "delivered a result (os._exit, sys.exit or exec?)",
                SOURCE,
                None,
                "take out the call that ends the process",
            ),
            id="at exit",
        ),
        pytest.param(
            "x = b'x' * (1 << 30)\n",
            Problem(
                "import-out-of-memory",
                "the import of pkg.core.a needed more than 512 MB of memory",
                SOURCE,
                101,
                "use less memory, or raise memory-mb of the module in modules.toml",
            ),
            id="memory",
        ),
    ],
)
def test_what_can_be_wrong(workers: Workers, course: StagedCourse, text: str, problem: Problem) -> None:
    assert findings(workers, course, text).problems == (problem,)


def test_a_loop_is_stopped_at_its_line(workers: Workers, course: StagedCourse) -> None:
    course.limits = Limits(import_seconds=0.5)
    assert findings(workers, course, "x = 1\nwhile True: pass\n").problems == (
        Problem(
            "import-timed-out",
            "the import of pkg.core.a took longer than 0.5 s and was stopped",
            SOURCE,
            102 if sys.platform == "linux" else None,
            "look for a loop that does not end, or raise import-seconds of the module in modules.toml",
        ),
    )


def test_a_fault_in_another_module_is_shown_at_both_places(workers: Workers, course: StagedCourse) -> None:
    course.stage("b", "def f():\n    return 1 / 0\n")
    assert findings(workers, course, "from pkg.core.b import f\nf()\n").problems == (
        Problem(
            "import-error",
            "importing pkg.core.a raises ZeroDivisionError: division by zero (raised in src/b_dev.py:102)",
            SOURCE,
            102,
        ),
    )


def test_what_another_module_prints_is_its_own_matter(workers: Workers, course: StagedCourse) -> None:
    course.stage("b", "import warnings\nprint('hello')\nwarnings.warn('x')\n")
    found = findings(workers, course, "import pkg.core.b\n")
    assert (found.problems, found.output) == ((), "hello\n")


def test_a_file_that_changed_meanwhile(workers: Workers, course: StagedCourse) -> None:
    course.stage("a", "x = 1\n")
    asked = request(course)
    course.write("build/staging/pkg/core/a.py", "x = 2\n")
    assert check_import(workers, asked).problems == (
        Problem(
            "import-error",
            "importing pkg.core.a raises ImportError: "
            "the file of 'pkg.core.a' changed during the run; run the command again",
            SOURCE,
        ),
    )


def test_a_module_that_poses_as_another_is_found_out(workers: Workers, course: StagedCourse) -> None:
    course.write("other.py", "")
    text = f"__spec__.origin = {str(course.root / 'other.py')!r}\n"
    (problem,) = findings(workers, course, text).problems
    assert problem.message == (
        f"pkg.core.a was imported from {course.root / 'other.py'}, not from its staged file"
    )


def test_only_the_staged_file_counts(workers: Workers, course: StagedCourse) -> None:
    course.write("pkg/__init__.py", "raise RuntimeError")
    course.write("pkg/core/a.py", "raise RuntimeError")
    assert findings(workers, course, "x = 1\n").problems == ()
    gone = course.view("a")
    gone = replace(gone, modules={"pkg.core.a": StagedModule(str(course.root / "gone.py"), "00")})
    (problem,) = check_import(workers, replace(request(course), view=gone)).problems
    assert problem.message.startswith(
        "importing pkg.core.a raises ImportError: 'pkg.core.a' cannot be read: "
    )


def test_the_log_has_output_and_traceback(workers: Workers, course: StagedCourse) -> None:
    found = findings(workers, course, "print('so far')\n1 / 0\n")
    assert found.output == (
        "so far\nTraceback (most recent call last):\n"
        f'  File "{course.root}/build/staging/pkg/core/a.py", line 2, in <module>\n    1 / 0\n'
        "the process during the import of pkg.core.a raised ZeroDivisionError: division by zero\n"
    )
