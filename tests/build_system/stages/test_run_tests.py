"""Test files: what passes has run and passed, and failures are shown at their lines."""

from __future__ import annotations

import pytest

from tests.build_system.stages.running import FILE, GOOD, NO_PASS_CURE, findings, problems
from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.model import Problem
from tinytorch_build.stages.run_tests import TestFindings, TestsRequest, run_test_files
from tinytorch_build.stages.session_facts import TestResult
from tinytorch_build.workers import Workers


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
    (problem,) = problems(workers, course, text)
    assert problem.check == "tests-tampered"
    assert problem.message == (
        "test_x replaced builtins.sum, which is not its own, so its result proves nothing"
    )
    text = "import numpy, pytest\ndef test_x():\n    assert sum([1]) == numpy.sum([1]) == 1 and pytest.main\n"
    assert problems(workers, course, text) == ()


def test_what_monkeypatch_puts_back_is_nobodys_business(workers: Workers, course: StagedCourse) -> None:
    text = "import builtins\ndef test_x(monkeypatch):\n    monkeypatch.setattr(builtins, 'input', lambda: 'yes')\n"
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
