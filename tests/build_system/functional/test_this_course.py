"""The first modules of this repository's course, copied elsewhere: what an edit runs, and what a fault does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.build_system.geometry_course import GeometryCourse
from tinytorch_build.model import Outcome, Stage

REPOSITORY = Path(__file__).resolve().parents[3]
TENSOR = "modules/source/02_tensor/tensor_dev.py"
ACTIVATIONS = "modules/source/03_activations/activations_dev.py"


FIRST = ("setup", "tensor", "activations", "layers", "dense")
"""All sixteen would take a minute each time; doit runs them beside these tests anyway."""


class ThisCourse(GeometryCourse):
    """A copy of the repository's first modules; only what they are built from."""

    @classmethod
    def copy(cls, root: Path) -> ThisCourse:
        shutil.copytree(REPOSITORY / "modules", root / "modules")
        for name in ("dodo.py", "LICENSE"):
            shutil.copyfile(REPOSITORY / name, root / name)
        course = cls(root)
        head, *tables = re.split(r"(?m)^(?=\[modules\.)", (REPOSITORY / "modules.toml").read_text())
        kept = [table for table in tables if re.match(r"\[modules\.(\w+)\]", table)[1] in FIRST]  # type: ignore[index]
        course.put("modules.toml", head + "".join(kept))
        for path in (REPOSITORY / "tests").glob("*/test_*.py"):
            text = path.read_text(encoding="utf-8")
            if path.parent.name in ("unit", "integration") and _modules_of(text) <= {*FIRST}:
                course.put(path.relative_to(REPOSITORY).as_posix(), text)
        return course

    def everything_made(self) -> dict[str, str]:
        folders = ("build/notebooks", "build/staging", "tinytorch", "modules.lock")
        return {path: digest for folder in folders for path, digest in self.digests(folder).items()}


def _modules_of(test: str) -> set[str]:
    return set(re.findall(r"from tinytorch\.core\.(\w+) import", test))


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> ThisCourse:
    course = ThisCourse.copy(tmp_path_factory.mktemp("one") / "a folder")
    report = course.run()
    assert report.outcome is Outcome.PASSED, course.said
    return course


@pytest.fixture
def course(validated: ThisCourse, tmp_path: Path) -> ThisCourse:
    """A validated course of one's own: moving one runs nothing but what doit knows by absolute path."""
    root = tmp_path / "course"
    shutil.copytree(validated.root, root)
    course = ThisCourse(root)
    course.run()
    return course


def test_two_checkouts_at_different_paths_are_identical(validated: ThisCourse, tmp_path: Path) -> None:
    other = ThisCourse.copy(tmp_path / "elsewhere" / "deeper")
    other.run()
    assert other.everything_made() == validated.everything_made()


def test_the_package_in_the_repository_is_that_of_its_sources(validated: ThisCourse) -> None:
    committed, made = ThisCourse(REPOSITORY).digests("tinytorch"), validated.digests("tinytorch")
    files = [f"tinytorch/core/{name}.py" for name in FIRST]
    assert [committed[file] for file in files] == [made[file] for file in files]


def test_edits_run_what_they_must_and_no_more(course: ThisCourse) -> None:
    made = course.everything_made()
    course.run()
    assert course.ran() == set()

    prose = course.text(TENSOR)
    course.edit(TENSOR, "# # Module 02: Tensor", "# # Module 2: the tensor")
    course.run()
    assert course.ran() == {"convert:tensor"}
    course.put(TENSOR, prose)
    course.run()
    assert course.ran() == {"convert:tensor"}
    assert course.everything_made() == made

    course.edit(ACTIVATIONS, "# %%\n#| export\n", "# %%\n#| export\n_ADDED = 1\n\n")
    course.run()
    assert course.report.outcome is Outcome.PASSED, course.said
    shared = [file.file for file in course.report.test_files if "activations" in file.file.modules]
    assert course.ran() == {
        *(f"{stage}:activations" for stage in Stage),
        *(file.task for file in shared),
        *(f"publish:{file.owner}" for file in shared),  # it was tested with the new activations
    }


def test_a_syntax_error_in_tensor_blocks_its_dependents_alone(course: ThisCourse) -> None:
    package = course.digests("tinytorch")
    line = course.text(TENSOR).splitlines().index("class Primitive:") + 1
    course.edit(TENSOR, "class Primitive:", "class Primitive")
    course.run()
    assert f"{TENSOR}:{line}" in course.said
    outcomes = course.outcomes()
    assert (outcomes.pop("setup"), outcomes.pop("tensor")) == ("passed", "failed")
    assert set(outcomes.values()) == {"blocked"}
    assert all(course.report.modules[name].blocked_by == ("tensor",) for name in outcomes)
    assert course.digests("tinytorch") == package
