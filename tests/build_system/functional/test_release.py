"""From an edit to a wheel: what blocks a release, what releases the block, and what a release holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tests.build_system.git import git
from tinytorch_build.model import Outcome, PackageStage

WHEEL = "dist/geometry-0.3.0-py3-none-any.whl"
SDIST = "dist/geometry-0.3.0.tar.gz"

SYSTEM_TEST = """\
from geometry.base.shapes import Square
from geometry.summary import describe


def test_a_sentence() -> None:
    assert describe(Square(2)) == "side 2, area 4"
"""

VALIDATION_TEST = """\
import geometry


def test_its_version() -> None:
    assert geometry.__version__ == "0.3.0"
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    """The course with a system and a validation test, validated, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "a course")
    course.put("tests/system/test_sentences.py", SYSTEM_TEST)
    course.put("tests/validation/test_version.py", VALIDATION_TEST)
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def test_a_wheel_holds_the_published_package_and_nothing_else(course: GeometryCourse) -> None:
    course.run("build")
    assert course.report.outcome is Outcome.PASSED, course.said
    assert "Package build successful, all modules integrated" in course.said
    assert f"made {WHEEL}" in course.said
    with zipfile.ZipFile(course.root / WHEEL) as wheel:
        inside = {name: wheel.read(name) for name in wheel.namelist() if ".dist-info/" not in name}
    published = [
        path.relative_to(course.root).as_posix()
        for path in (course.root / "geometry").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert sorted(inside) == sorted(published)
    assert all(data == (course.root / name).read_bytes() for name, data in inside.items())


def test_two_checkouts_give_the_same_bytes(course: GeometryCourse, tmp_path: Path) -> None:
    course.run("build")
    other = GeometryCourse.write(tmp_path / "elsewhere" / "anders")
    other.put("tests/system/test_sentences.py", SYSTEM_TEST)
    other.put("tests/validation/test_version.py", VALIDATION_TEST)
    other.put(".gitignore", "*\n")  # no rule of version control has a say
    other.run("build")
    assert course.digests("dist") == other.digests("dist")
    assert course.digests("dist").keys() == {WHEEL, SDIST}


def test_a_second_build_does_nothing_and_a_damaged_wheel_is_made_again(course: GeometryCourse) -> None:
    course.run("build")
    before = course.digests("dist")
    course.run("build")
    assert course.ran() == set()
    assert "Package build successful, all modules integrated" in course.said
    (course.root / WHEEL).write_bytes(b"damaged")
    course.run("build")
    assert course.ran() == {"build"}
    assert course.digests("dist") == before


@pytest.mark.parametrize(
    ("file", "old", "new", "task", "again"),
    [
        pytest.param(
            "checks/unit/test_summary.py",
            "area 1",
            "area 2",
            "test:summary",
            {"test:summary", "publish:summary"},
            id="unit test",
        ),
        pytest.param(
            "lessons/04_summary/summary_dev.py",
            'Square(3)) == "side 3, area 9"',
            'Square(3)) == "side 3, area 8"',
            "test:summary",
            {"convert:summary", "import-check:summary", "test:summary", "publish:summary"},
            id="inline cell",
        ),
        pytest.param(
            "checks/integration/test_shapes_areas.py",
            "== 25",
            "== 26",
            "integration:test_shapes_areas.py",
            {"integration:test_shapes_areas.py", "publish:areas"},
            id="integration",
        ),
        pytest.param(
            "tests/system/test_sentences.py",
            "area 4",
            "area 5",
            "system:test_sentences.py",
            {"system:test_sentences.py"},
            id="system",
        ),
        pytest.param(
            "tests/validation/test_version.py",
            "0.3.0",
            "0.4.0",
            "validation:test_version.py",
            {"validation:test_version.py"},
            id="validation",
        ),
        pytest.param(
            "modules.toml",
            'depends = ["shapes", "areas"]',
            'depends = ["areas"]',
            "import-check:summary",
            {"import-check:summary", "test:summary", "publish:summary", "boundaries"},
            id="boundary",
        ),
        pytest.param(
            "modules.toml",
            'depends = ["shapes", "areas"]',
            'depends = ["shapes<0.1", "areas"]',
            "import-check:summary",
            {"import-check:summary", "publish:summary"},
            id="version constraint",
        ),
    ],
)
def test_a_failing_gate_blocks_the_release_until_it_is_repaired(
    course: GeometryCourse, file: str, old: str, new: str, task: str, again: set[str]
) -> None:
    course.run("build")
    before = course.digests("dist")
    course.edit(file, old, new)
    course.run("build")
    assert course.report.package[PackageStage.BUILD].outcome is Outcome.BLOCKED
    assert course.report.package[PackageStage.BUILD].blocked_by == (task,)
    assert "Integration failed, blocking release" in course.said
    assert f"Package validation requires these tests to pass: {task}" in course.said
    assert "Package build successful" not in course.said
    about_all = "Found integration issue between all modules: test_" in course.said
    assert about_all is task.startswith(("system", "validation"))
    assert course.digests("dist") == before
    course.edit(file, new, old)
    course.run("build")
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() <= again
    assert course.digests("dist") == before


def test_what_no_wheel_can_hold_blocks_the_release(course: GeometryCourse) -> None:
    course.edit("modules.toml", "dependencies = []", 'dependencies = []\ninclude = "extra"')
    course.put("extra/data/sides.txt", "1 2 3\n")
    course.put("extra/my-tools.py", "")
    course.run("build")
    assert course.report.package[PackageStage.BUILD].outcome is Outcome.FAILED
    assert "Package build failed: check-wheel-contents objects: " in course.said
    assert "Module is not located at importable path: geometry/my-tools.py" in course.said
    assert "Integration failed, blocking release" in course.said
    assert course.digests("dist") == {}
    (course.root / "extra/my-tools.py").rename(course.root / "extra/my_tools.py")
    course.run("build")
    assert course.report.outcome is Outcome.PASSED, course.said
    with zipfile.ZipFile(course.root / WHEEL) as wheel:
        assert {"geometry/data/sides.txt", "geometry/my_tools.py"} <= set(wheel.namelist())


def test_a_readme_that_an_index_would_refuse_blocks_the_release(course: GeometryCourse) -> None:
    course.edit("modules.toml", "dependencies = []", 'dependencies = []\nreadme = "about.rst"')
    course.put("about.rst", "Geometry\n========\n\n.. nonsense:: of shapes\n")
    course.run("build")
    assert course.report.package[PackageStage.BUILD].outcome is Outcome.FAILED
    assert "Package build failed: twine objects: " in course.said
    course.put("about.rst", "Geometry\n========\n\nShapes and areas.\n")
    course.run("build")
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() == {"build"}


def test_doit_single_cannot_build_what_has_not_passed(tmp_path: Path) -> None:
    course = GeometryCourse.write(tmp_path / "course")
    course.edit("checks/unit/test_summary.py", "area 1", "area 2")
    done = course.doit("run", "--single", "build")
    assert done.returncode not in (0, 3)
    assert "Package build failed: the package does not hold " in done.stdout
    assert course.digests("dist") == {}


def test_the_wheel_works_in_a_fresh_environment_and_the_report_says_so(course: GeometryCourse) -> None:
    _commit(course)
    done = course.doit("report")
    assert done.returncode == 0, done.stdout + done.stderr
    course.run("verify")
    assert course.ran() == set()
    assert course.said.rstrip().endswith("Ready for student testing")
    steps = course.report.package[PackageStage.VERIFY].details["steps"]
    assert {step["what"]: step["outcome"] for step in steps} == {
        "install the wheel in a fresh environment": "passed",
        "import everything that it holds": "passed",
        "install the test tools": "passed",
        "run system and validation tests against it": "passed",
        "clone the repository": "skipped",  # a course without a pyproject.toml
        "install the clone in place": "skipped",
        "import everything from the clone": "skipped",
        "list the clone's tasks": "skipped",
    }
    assert steps[1]["note"] == "4 modules, 4 names; beside it: nothing"
    assert steps[3]["note"] == "2 tests passed in 2 files"
    states = {line[:32].rstrip(" :"): line[32:] for line in done.stdout.splitlines() if line[31:32] == " "}
    assert {title: states.get(title) for title in _SECTIONS} == dict.fromkeys(_SECTIONS, "passed")
    assert "    Ready for student testing" in done.stdout.splitlines()
    assert "Ready for student testing" in course.text("build/report/index.html")
    assert 'failures="0"' in course.text("build/report/junit.xml")


_SECTIONS = (
    "Export validation",
    "Integration results",
    "Dependency graph",
    "Package build",
    "Student usability",
)


def test_a_test_that_leans_on_the_repository_fails_verification(course: GeometryCourse) -> None:
    course.put("data/side.txt", "2")
    text = (
        "from pathlib import Path\n\nfrom geometry.base.shapes import Square\n\n\n"
        "def test_side() -> None:\n"
        "    root = next(folder for folder in Path(__file__).parents if (folder / 'tests').is_dir())\n"
        "    assert Square(2).side == float((root / 'data/side.txt').read_text())\n"
    )
    course.put("tests/system/test_data.py", text)
    course.run("verify")
    assert course.report.package[PackageStage.BUILD].outcome is Outcome.RAN, course.said
    assert course.report.package[PackageStage.VERIFY].outcome is Outcome.FAILED
    assert "Package verification failed: test_side fails with the installed package: " in course.said
    assert "at   tests/system/test_data.py:6  [test-of-the-installed-package]" in course.said
    assert "Ready for student testing" not in course.said


def test_tito_builds_and_verifies_the_package(course: GeometryCourse) -> None:
    done = course.tito("package", "test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_sentences.py" in done.stdout
    done = course.tito("package", "build")
    assert done.returncode == 0
    assert "Package build successful, all modules integrated" in done.stdout
    done = course.tito("package", "buid")
    assert done.returncode == 3
    assert "did you mean 'build'?" in done.stderr


def _commit(course: GeometryCourse) -> None:
    """Put the course under version control."""
    git(course.root, "init", "--quiet")
    git(course.root, "add", ".")
    git(course.root, "commit", "--quiet", "-m", "course")


def test_a_clone_lacks_what_is_not_committed(course: GeometryCourse) -> None:
    course.put("pyproject.toml", _PYPROJECT)
    course.put(".gitignore", "build/\ndist/\n__pycache__/\n*.egg-info/\n.doit*\n")
    course.run()
    _commit(course)
    course.run("verify")
    assert course.report.outcome is Outcome.PASSED, course.said
    assert "not committed" not in course.said
    course.put("pyproject.toml", _PYPROJECT + "# more\n")
    course.put("checks/unit/notes.txt", "new")
    _commit_removal(course)
    course.run("verify")
    assert course.report.package[PackageStage.VERIFY].outcome is Outcome.FAILED
    assert "geometry.colours cannot be imported: ModuleNotFoundError" in course.said
    assert "3 files are not committed, so the fresh clone was tried without" in course.said


_PYPROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "geometry-course"
version = "1"

[tool.hatch.build.targets.wheel]
packages = ["geometry"]
"""


def _commit_removal(course: GeometryCourse) -> None:
    """Commit a state in which a published file is missing, though it lies in the work tree."""
    git(course.root, "rm", "--quiet", "--cached", "geometry/colours.py")
    git(course.root, "commit", "--quiet", "-m", "one less")
