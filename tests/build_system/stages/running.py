"""Running test files of a staged course, as several tests do it."""

from __future__ import annotations

from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Problem
from tinytorch_build.stages.run_tests import TestFindings, TestsRequest, run_test_files
from tinytorch_build.workers import Workers

FILE = "tests/unit/test_a.py"
"""The test file that most of these tests are about."""
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
