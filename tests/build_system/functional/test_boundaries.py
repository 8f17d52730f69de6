"""`doit boundaries`: the published package against `modules.toml`."""

from __future__ import annotations

import json

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tinytorch_build.model import Outcome, PackageStage


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "course")
    course.run("boundaries")
    assert course.report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def test_the_report_shows_declared_actual_and_unused_dependencies(course: GeometryCourse) -> None:
    shown = json.loads(course.text("build/report/report.json"))["package"]["boundaries"]["details"]
    assert shown["modules"]["summary"] == {
        "declared": ["shapes", "areas"],
        "imports": ["shapes", "areas"],
        "unused": [],
    }
    course.run("boundaries")
    assert course.ran() == set()
    assert course.report.package[PackageStage.BOUNDARIES].outcome is Outcome.UP_TO_DATE
    assert course.report.package[PackageStage.BOUNDARIES].details == shown


def test_a_crossed_boundary_is_found_without_the_checks_before_it(course: GeometryCourse) -> None:
    """What the task needs would stop this first; `--single` leaves that out, and this gate alone has to hold."""
    course.edit("modules.toml", 'depends = ["shapes", "areas"]', 'depends = ["areas"]')
    done = course.doit("run", "--single", "boundaries")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "Module dependencies not satisfied: summary imports shapes, which it does not declare" in said
    assert "lessons/04_summary/summary_dev.py:7" in said
    assert 'add "shapes" to depends of [modules.summary]' in said
    course.edit("modules.toml", 'depends = ["areas"]', 'depends = ["shapes", "areas"]')
    course.run("boundaries")
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() == {"boundaries"}


def test_a_new_dependency_that_is_not_used_is_only_listed(course: GeometryCourse) -> None:
    course.edit("modules.toml", 'target = "colours"', 'target = "colours"\ndepends = ["shapes"]')
    course.run("boundaries")
    assert course.report.outcome is Outcome.PASSED, course.said
    shown = course.report.package[PackageStage.BOUNDARIES]
    assert shown.details["modules"]["colours"]["unused"] == ["shapes"]
    assert shown.problems == ()


def test_nothing_is_said_of_a_package_that_is_not_as_the_sources_are(course: GeometryCourse) -> None:
    course.put("build/staging/geometry/colours.py", "edited = 1\n")
    done = course.doit("run", "--single", "--always-execute", "boundaries")
    assert done.returncode != 0
    assert "the package does not hold colours as the sources are now" in done.stdout
