"""`doit compatibility`: a release, an edit that breaks it, the block, and the ways to lift it."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.build_system.geometry_course import GeometryCourse, KeptCourse
from tests.build_system.git import git
from tinytorch_build.model import Outcome, PackageStage

SHAPES = "lessons/01_shapes/shapes_dev.py"
COLOURS = "lessons/02_colours/colours_dev.py"
MIX = "def mix(first: str, second: str) -> str:"
RENAMED = "def blend(first: str, second: str) -> str:"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> KeptCourse:
    """A course whose package was released as v0.3.0, with `shapes` 1.0.0 and `colours` 0.1.0."""
    folder = tmp_path_factory.mktemp("kept")
    course = GeometryCourse.write(folder / "course")
    course.put(".gitignore", "build/\n")
    course.edit("modules.toml", 'target = "base.shapes"', 'target = "base.shapes"\nversion = "1.0.0"')
    course.run("validate")
    git(course.root, "init", "--quiet")
    git(course.root, "add", "--all")
    git(course.root, "commit", "--quiet", "--message", "0.3.0")
    git(course.root, "tag", "v0.3.0")
    return KeptCourse.of(course, folder / "copy")


@pytest.fixture
def course(kept: KeptCourse) -> GeometryCourse:
    return kept.anew()


def compare(course: GeometryCourse, against: str = "") -> dict[str, Any]:
    """Run the task; what it shows."""
    course.run("compatibility", against=against)
    return dict(course.report.package[PackageStage.COMPATIBILITY].details)


def outcome(course: GeometryCourse) -> Outcome:
    return course.report.package[PackageStage.COMPATIBILITY].outcome


def rename_mix(course: GeometryCourse) -> None:
    for file in (COLOURS, "checks/unit/test_colours.py"):
        course.put(file, course.text(file).replace("mix(", "blend(").replace("import mix", "import blend"))


def test_a_removed_name_blocks_until_the_version_says_so(course: GeometryCourse) -> None:
    assert compare(course)["against"] is None, "what stands here is v0.3.0 itself"
    rename_mix(course)
    shown = compare(course)
    assert outcome(course) is Outcome.FAILED
    assert (
        "Module colours 0.1.0 breaks what v0.3.0 promised (0.1.0): `mix`: Public object was removed"
        in course.said
    )
    assert "raise version of [modules.colours] in modules.toml from 0.1.0 to 0.2.0" in course.said
    assert [(change["name"], change["kind"], change["breaking"]) for change in shown["changes"]] == [
        ("geometry.colours.mix", "removed", True),
        ("geometry.colours.blend", "added", False),
    ]
    line = course.text(COLOURS).splitlines().index(RENAMED) + 1
    assert (shown["changes"][1]["file"], shown["changes"][1]["line"]) == (COLOURS, line)

    course.edit("modules.toml", 'target = "colours"', 'target = "colours"\nversion = "0.2.0"')
    shown = compare(course)
    assert course.report.outcome is Outcome.PASSED, course.said
    assert course.ran() == {"publish:colours", "compatibility"}
    assert [change["breaking"] for change in shown["changes"]] == [True, False]
    compare(course)
    assert outcome(course) is Outcome.UP_TO_DATE


def test_a_new_optional_parameter_passes_and_a_renamed_one_is_shown_at_its_source_line(
    course: GeometryCourse,
) -> None:
    course.edit(SHAPES, "side: float) -> None:", 'side: float, unit: str = "m") -> None:')
    shown = compare(course)
    assert course.report.outcome is Outcome.PASSED, course.said
    (change,) = shown["changes"]
    assert change["name"] == "geometry.base.shapes.Square.__init__(unit)"
    line = (
        course.text(SHAPES)
        .splitlines()
        .index('    def __init__(self, side: float, unit: str = "m") -> None:')
        + 1
    )
    assert (change["file"], change["line"], change["breaking"]) == (SHAPES, line, False)

    course.edit(SHAPES, 'unit: str = "m"', 'unit: str = "cm"')
    course.edit(SHAPES, "side: float, ", "side: float = 1, ")
    assert compare(course)["changes"] == shown["changes"]  # against the release, not against yesterday
    course.edit(SHAPES, "self, side: float = 1, unit: str", "self, length: float = 1, unit: str")
    course.edit(SHAPES, "self.side = side", "self.side = length")
    (renamed, *_) = compare(course)["changes"]
    assert outcome(course) is Outcome.FAILED
    assert renamed["explanation"] == "`Square.__init__(side)`: Parameter was removed"
    assert (renamed["file"], renamed["line"]) == (SHAPES, line)
    assert "raise version of [modules.shapes] in modules.toml from 1.0.0 to 2.0.0" in course.said


def test_a_break_blocks_the_build_until_it_is_repaired(course: GeometryCourse) -> None:
    released = {file: course.text(file) for file in (COLOURS, "checks/unit/test_colours.py")}
    rename_mix(course)
    course.run("build")
    build = course.report.package[PackageStage.BUILD]
    assert (build.outcome, build.blocked_by) == (Outcome.BLOCKED, ("compatibility",))
    assert "Integration failed, blocking release" in course.said
    assert "Package validation requires these tests to pass: compatibility" in course.said
    assert not (course.root / "dist").exists()
    for file, text in released.items():
        course.put(file, text)
    course.run("build")
    assert course.report.outcome is Outcome.PASSED, course.said
    whole = {stage.value for stage in PackageStage}
    assert {task for task in course.ran() if not task.endswith(":colours")} <= whole
    assert (course.root / "dist").is_dir()


def test_a_module_that_changes_its_place_needs_a_raised_package(course: GeometryCourse) -> None:
    compare(course)
    course.edit("modules.toml", 'target = "colours"', 'target = "base.colours"')
    course.edit(COLOURS, "default_exp colours", "default_exp base.colours")
    course.edit("checks/unit/test_colours.py", "geometry.colours", "geometry.base.colours")
    compare(course)
    assert outcome(course) is Outcome.FAILED
    assert (
        "Package geometry 0.3.0 breaks what v0.3.0 promised (0.3.0): module colours, "
        "which was imported as `geometry.colours`, is imported as `geometry.base.colours` now"
    ) in course.said
    course.edit("modules.toml", 'version = "0.3.0"', 'version = "0.4.0"')
    compare(course)
    assert course.report.outcome is Outcome.PASSED, course.said


def test_a_release_built_at_its_tag_is_held_to_the_one_before_and_is_the_measure_from_then_on(
    course: GeometryCourse,
) -> None:
    rename_mix(course)
    course.run("validate")
    git(course.root, "commit", "--quiet", "--all", "--message", "0.4.0")
    git(course.root, "tag", "v0.4.0")
    assert compare(course)["against"] == "v0.3.0"
    assert outcome(course) is Outcome.FAILED, "the tag itself does not make a broken promise good"

    course.edit("modules.toml", 'target = "colours"', 'target = "colours"\nversion = "0.2.0"')
    course.run("validate")
    git(course.root, "commit", "--quiet", "--all", "--message", "0.4.0 again")
    git(course.root, "tag", "--force", "v0.4.0")
    assert len(compare(course)["changes"]) == 2
    assert course.report.outcome is Outcome.PASSED, course.said

    course.edit(COLOURS, "first: str, second: str", "first: str, other: str")
    course.edit(COLOURS, "{first}-{second}", "{first}-{other}")
    assert compare(course)["against"] == "v0.4.0"
    assert outcome(course) is Outcome.FAILED
    assert len(compare(course, against="v0.3.0")["changes"]) == 2


def test_another_measure_can_be_named_on_the_command_line(course: GeometryCourse) -> None:
    wheel = course.root / "old.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted((course.root / "geometry").rglob("*")):
            archive.write(path, path.relative_to(course.root))
    shutil.rmtree(course.root / ".git")
    assert compare(course)["why"] == "no earlier release to compare with: the course is in no git repository"
    rename_mix(course)
    done = course.doit("compatibility", "against=old.whl")
    assert done.returncode != 0
    assert "breaks what old.whl promised (0.1.0): `mix`: Public object was removed" in done.stdout
    done = course.doit("compatibility", "against=v0.3.0")
    assert done.returncode != 0
    assert "The package cannot be compared with v0.3.0" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert course.doit("compatibility").returncode == 0

    elsewhere = course.root / "lessons"
    for dodo in (True, False):
        if not dodo:
            (course.root / "dodo.py").unlink()
        done = course.tito("package", "build", "--against", "../old.whl", cwd=elsewhere)
        assert done.returncode not in (0, 3)
        assert "breaks what old.whl promised" in done.stdout
    done = course.tito("package", "validate", "--against", "old.whl")
    assert done.returncode == 3


def test_validating_starts_no_git(
    course: GeometryCourse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "git").write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path / 'asked'}'\nexit 1\n")
    (programs / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    course.run()
    assert not (tmp_path / "asked").exists()
    course.run("compatibility")
    assert (tmp_path / "asked").exists()
    assert (
        json.loads(course.text("build/report/report.json"))["package"]["compatibility"]["outcome"] == "failed"
    )
