"""Versions of modules and constraints on them: checked, recorded, told by the package, and nothing runs in vain."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tinytorch_build.model import Outcome


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    """`areas` needs a `shapes` of the first generation."""
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "course")
    course.edit("modules.toml", 'target = "base.shapes"', 'target = "base.shapes"\nversion = "1.0.0"')
    course.edit("modules.toml", 'depends = ["shapes"]', 'depends = ["shapes>=1.0,<2"]')
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def recorded(course: GeometryCourse) -> dict[str, tuple[str, list[str]]]:
    """Version and dependencies of each module, as the record in the package tells."""
    modules = tomllib.loads(course.text("geometry/modules.lock"))["modules"]
    return {name: (table["version"], table["depends"]) for name, table in modules.items()}


def told(course: GeometryCourse) -> str:
    """The versions that the package itself tells, and the modules that asking for them imports."""
    code = (
        "import sys, geometry; print(dict(geometry.__module_versions__));"
        "print([name for name in sys.modules if name.startswith('geometry.')])"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=course.root, check=True, capture_output=True, text=True).stdout


def test_versions_and_constraints_are_recorded_and_told(course: GeometryCourse) -> None:
    assert recorded(course) == {
        "shapes": ("1.0.0", []),
        "colours": ("0.1.0", []),
        "areas": ("0.1.0", ["shapes>=1.0,<2"]),
        "summary": ("0.1.0", ["shapes", "areas"]),
    }
    versions = {"shapes": "1.0.0", "colours": "0.1.0", "areas": "0.1.0", "summary": "0.1.0"}
    assert told(course) == f"{versions}\n[]\n"


def test_a_higher_version_runs_no_test_again(course: GeometryCourse) -> None:
    course.edit("modules.toml", 'version = "1.0.0"', 'version = "1.1.0"')
    course.run()
    assert course.report.outcome is Outcome.PASSED
    assert course.ran() == {"publish:shapes", "import-check:areas", "publish:areas"}
    assert recorded(course)["shapes"] == ("1.1.0", [])
    assert "'shapes': '1.1.0'" in told(course)
    course.run()
    assert course.ran() == set()


def test_a_version_that_a_constraint_does_not_allow_stays_out_of_the_package(course: GeometryCourse) -> None:
    course.edit("modules.toml", 'version = "1.0.0"', 'version = "2.0.0"')
    course.run()
    assert course.outcomes() == {
        "shapes": "passed",
        "colours": "passed",
        "areas": "failed",
        "summary": "blocked",
    }
    assert "Module dependencies not satisfied: areas needs shapes>=1.0,<2, and shapes has version 2.0.0" in (
        course.said
    )
    assert course.report.modules["shapes"].waits_for == ("areas",)
    assert recorded(course)["shapes"] == ("1.0.0", [])

    course.edit("modules.toml", "shapes>=1.0,<2", "shapes>=1.0,<3")
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() == {"import-check:areas", "publish:areas"}
    assert recorded(course)["shapes"] == ("2.0.0", [])
    assert recorded(course)["areas"] == ("0.1.0", ["shapes>=1.0,<3"])
    course.run()
    assert course.ran() == set()


def test_a_validation_test_sees_the_versions_and_runs_again_with_them(course: GeometryCourse) -> None:
    course.edit("modules.toml", "[tests]", '[tests]\nvalidation = "checks/validation"')
    course.put(
        "checks/validation/test_versions.py",
        "import geometry\n\n\n"
        "def test_versions() -> None:\n    assert geometry.__module_versions__['shapes'] == '1.0.0'\n",
    )
    course.run("validation")
    assert course.report.outcome is Outcome.PASSED, course.said
    course.edit("modules.toml", 'version = "1.0.0"', 'version = "1.1.0"')
    assert course.run("validation").outcome is Outcome.FAILED
    assert "validation:test_versions.py" in course.ran()
