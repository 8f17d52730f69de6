"""Edits, damage and stray files in the package: noticed, kept, put right, and told in whole sentences."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.build_system.publish.builders import Course
from tests.build_system.publish.test_settle import CHAIN, FIRST, published_chain
from tests.build_system.publish.test_swap import posix
from tinytorch_build.errors import PublishError
from tinytorch_build.model import Package, Problem, Severity
from tinytorch_build.publish import Settlement


def warning(message: str, file: str, cure: str, check: str = "package-edited") -> Problem:
    return Problem(check, message, file, cure=cure, severity=Severity.WARNING)


def kept_file(course: Course) -> Path:
    """The one file that was rescued."""
    (path,) = (path for path in course.layout.rescued.rglob("*") if path.is_symlink() or path.is_file())
    return path


def is_whole(course: Course) -> bool:
    """Whether the package is as it was published, and a further settling has nothing to say."""
    return course.modules() == FIRST and course.record_agrees() and course.settle() == untouched(course)


def untouched(course: Course) -> Settlement:
    return Settlement(course.publisher().published(), (), {}, ())


def test_an_edited_module_is_restored_and_the_edit_kept_as_a_patch(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    edited = tmp_path / "toy/core/tensor.py"
    edited.write_text("tensor = 1\nmine = 2\n")
    settlement = course.settle()
    kept = kept_file(course)
    assert settlement.problems == (
        warning(
            "toy/core/tensor.py was changed by hand or damaged and has been restored",
            "toy/core/tensor.py",
            f"change modules/tensor_dev.py instead; what was found here is kept as build/rescued/{kept.name}",
        ),
    )
    assert settlement.changed == ("tensor",)
    assert kept.name.startswith("core-tensor-")
    assert kept.read_text() == (
        "--- a/toy/core/tensor.py\n+++ b/toy/core/tensor.py\n@@ -1 +1,2 @@\n tensor = 1\n+mine = 2\n"
    )
    assert is_whole(course)


@pytest.mark.parametrize(
    "edit",
    ["tensor = 1", "tensor = 2\r\n", "\ttensor = 'form\x0cfeed'\n", "", "tensor = 1\n" * 40],
    ids=["no newline at the end", "carriage return", "form feed", "emptied", "longer"],
)
def test_git_applies_the_patch(tmp_path: Path, edit: str) -> None:
    course = published_chain(tmp_path)
    edited = tmp_path / "toy/core/tensor.py"
    edited.write_bytes(edit.encode())
    course.settle()
    assert is_whole(course)
    subprocess.run(["git", "apply", "--verbose", str(kept_file(course))], cwd=tmp_path, check=True)
    assert edited.read_bytes() == edit.encode()


def test_damage_that_is_no_text_is_kept_whole(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/core/tensor.py").write_bytes(b"\xff\0")
    (problem,) = course.settle().problems
    kept = kept_file(course)
    assert kept.read_bytes() == b"\xff\0"
    assert kept.suffix == ".py"
    assert problem.cure.endswith(f"is kept as build/rescued/{kept.name}")
    assert is_whole(course)


def test_a_missing_module_is_restored(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/core/tensor.py").unlink()
    assert course.settle().problems == (
        warning(
            "toy/core/tensor.py was missing and has been restored",
            "toy/core/tensor.py",
            "to take a module out of the package, take its table out of modules.toml",
        ),
    )
    assert is_whole(course)


def test_a_missing_generated_file_is_restored(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/py.typed").unlink()
    assert course.settle().problems == (
        warning("toy/py.typed was missing and has been restored", "toy/py.typed", "nothing to do"),
    )
    assert is_whole(course)


def test_an_edited_init_is_restored_and_kept_as_a_patch(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    with (tmp_path / "toy/__init__.py").open("a") as file:
        file.write("mine = 1\n")
    (problem,) = course.settle().problems
    assert str(problem) == (
        "toy/__init__.py: warning: toy/__init__.py was changed by hand or damaged and has been restored "
        "[package-edited]\n"
        f"  cure: the build generates this file; what was found here is kept as build/rescued/{kept_file(course).name}"
    )
    assert kept_file(course).read_text().endswith("+mine = 1\n")
    assert is_whole(course)


def test_an_edited_included_file_is_restored_from_the_included_folder(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra/words.txt").write_text("one\n")
    course.package = Package("toy", include="extra")
    course.settle()
    (tmp_path / "toy/words.txt").write_text("two\n")
    (problem,) = course.settle().problems
    kept = kept_file(course).name
    assert (
        problem.cure == f"change extra/words.txt instead; what was found here is kept as build/rescued/{kept}"
    )
    assert course.content()["words.txt"] == "one\n"


def test_a_stray_file_is_taken_out_and_kept(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/core/notes.py").write_text("mine\n")
    problems = course.settle().problems
    kept = kept_file(course)
    where = kept.relative_to(tmp_path).as_posix()
    assert problems == (
        warning(
            "toy/core/notes.py does not belong to the package and has been taken out",
            "toy/core/notes.py",
            "hand-written files belong into the folder that `include` names in [package] of modules.toml; "
            f"this one is kept as {where}",
        ),
    )
    assert kept.read_text() == "mine\n"
    assert where.endswith("/core/notes.py")
    assert is_whole(course)


def test_many_stray_files_are_counted(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    for number in range(7):
        (tmp_path / f"toy/notes_{number}.txt").write_text(str(number))
    assert course.settle().problems == (
        warning(
            "7 files do not belong to the package and have been taken out",
            "toy",
            "hand-written files belong into the folder that `include` names in [package] of modules.toml; "
            "these are kept in build/rescued",
        ),
    )
    assert sorted(path.read_text() for path in course.layout.rescued.rglob("*.txt")) == list("0123456")
    assert is_whole(course)


@posix
def test_a_stray_link_is_kept_as_a_link(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/link").symlink_to("../secret")
    (tmp_path / "toy/core/folder").symlink_to("/")
    checks = [problem.file for problem in course.settle().problems]
    assert checks == ["toy/core/folder", "toy/link"]
    kept = {path.readlink().as_posix() for path in course.layout.rescued.rglob("*") if path.is_symlink()}
    assert kept == {"../secret", "/"}
    assert is_whole(course)


@posix
def test_a_module_that_became_a_link_is_a_file_again(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "mine.py").write_text("tensor = 1\n")
    (tmp_path / "toy/core/tensor.py").unlink()
    (tmp_path / "toy/core/tensor.py").symlink_to("../../mine.py")
    assert [problem.message for problem in course.settle().problems] == [
        "toy/core/tensor.py was missing and has been restored",
        "toy/core/tensor.py does not belong to the package and has been taken out",
    ]
    assert not (tmp_path / "toy/core/tensor.py").is_symlink()
    assert is_whole(course)


def test_caches_are_nobodys_work(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/core/__pycache__").mkdir()
    (tmp_path / "toy/core/__pycache__/tensor.cpython-311.pyc").write_bytes(b"code")
    (tmp_path / "toy/.DS_Store").write_bytes(b"icons")
    assert course.settle().problems == ()
    assert is_whole(course)


def test_the_same_edit_is_kept_once(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    for _ in range(2):
        (tmp_path / "toy/core/tensor.py").write_text("mine\n")
        (tmp_path / "toy/stray.txt").write_text("mine\n")
        assert len(course.settle().problems) == 2
    assert len([path for path in course.layout.rescued.rglob("*") if path.is_file()]) == 2


def test_an_edit_in_the_same_second_and_of_the_same_size_is_noticed(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    publisher = course.publisher()
    publisher.settle()
    edited = tmp_path / "toy/core/tensor.py"
    times = edited.stat()
    edited.write_text("tensor = 9\n")
    os.utime(edited, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [problem.file for problem in publisher.settle().problems] == ["toy/core/tensor.py"]
    assert is_whole(course)


def test_a_deleted_package_is_restored(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    shutil.rmtree(tmp_path / "toy")
    settlement = course.settle()
    assert settlement.problems == (
        warning(
            "Package toy was missing and has been restored",
            "toy",
            "to empty it, take the modules out of modules.toml",
        ),
    )
    assert settlement.changed == ("layers", "tensor", "training")
    assert is_whole(course)


def test_package_and_record_deleted_come_back_from_what_qualified(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    shutil.rmtree(tmp_path / "toy")
    (tmp_path / "modules.lock").unlink()
    assert course.settle().problems == ()
    assert is_whole(course)


LOCK_CURE = "nothing to do; the build alone writes this file"


def test_a_record_edited_in_the_package_is_restored(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    lock = tmp_path / "toy/modules.lock"
    lock.write_text(lock.read_text().replace("1.0.0", "9.9.9"))
    assert course.settle().problems == (
        warning(
            "toy/modules.lock was changed by hand and has been written anew", "toy/modules.lock", LOCK_CURE
        ),
    )
    assert is_whole(course)


def test_a_record_edited_in_the_root_is_written_anew(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "modules.lock").write_text("mine")
    assert course.settle().problems == ()
    assert is_whole(course)


def test_a_record_missing_from_the_package_is_restored(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "toy/modules.lock").unlink()
    assert course.settle().problems == (
        warning("toy/modules.lock was missing and has been written anew", "toy/modules.lock", LOCK_CURE),
    )
    assert is_whole(course)


def test_records_with_conflict_marks_are_written_anew_from_what_qualified(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    for path in (tmp_path / "toy/modules.lock", tmp_path / "modules.lock"):
        path.write_text("<<<<<<< ours\n" + path.read_text())
    assert course.settle().problems == (
        warning(
            "toy/modules.lock could not be read (Invalid statement (at line 1, column 1)) and has been written anew",
            "toy/modules.lock",
            LOCK_CURE,
        ),
    )
    assert is_whole(course)


def test_in_a_fresh_clone_an_edited_module_is_taken_out_with_what_was_tested_with_it(tmp_path: Path) -> None:
    published_chain(tmp_path)
    shutil.rmtree(tmp_path / "build")
    (tmp_path / "toy/core/layers.py").write_text("mine\n")
    course = Course(tmp_path, dict(CHAIN))
    settlement = course.settle()
    assert settlement.problems == (
        warning(
            "These modules are out of the package until they pass again: layers, training; "
            "a file could not be restored, or they were not tested with what stands beside them",
            "toy",
            "run `doit validate`, which brings them back",
            "package-incomplete",
        ),
        warning(
            "toy/core/layers.py was changed by hand or damaged and cannot be restored until layers passes its tests again",
            "toy/core/layers.py",
            f"change modules/layers_dev.py instead; what was found here is kept as build/rescued/{kept_file(course).name}",
        ),
    )
    assert kept_file(course).read_text() == "mine\n"
    assert course.modules() == {"core/tensor.py": "tensor = 1\n"}
    for name in CHAIN:
        course.stage(name, f"{name} = 1\n")
        course.passes(name, [name])
    assert is_whole(course)


def test_what_stands_in_staging_restores_a_fresh_clone(tmp_path: Path) -> None:
    published_chain(tmp_path)
    shutil.rmtree(tmp_path / "build")
    (tmp_path / "toy/core/layers.py").write_text("mine\n")
    course = Course(tmp_path, dict(CHAIN))
    course.stage("layers", "layers = 1\n")
    assert [problem.message for problem in course.settle().problems] == [
        "toy/core/layers.py was changed by hand or damaged and has been restored"
    ]
    assert is_whole(course)


def test_somebody_elses_folder_gives_way_to_the_first_module_and_is_kept(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/old.py").write_text("old\n")
    course = Course(tmp_path, {"tensor": ()})
    problems = course.edit("tensor", "tensor = 1\n").problems
    assert [problem.message for problem in problems] == [
        "toy/old.py does not belong to the package and has been taken out"
    ]
    assert kept_file(course).read_text() == "old\n"
    assert course.modules() == {"core/tensor.py": "tensor = 1\n"}


def test_an_edit_that_cannot_be_kept_stays_where_it_is(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    course.layout.rescued.write_text("a file where a folder should be")
    (tmp_path / "toy/core/tensor.py").write_text("mine\n")
    with pytest.raises(PublishError, match=r"^Package toy could not be put in place, and stands as it was: "):
        course.settle()
    assert (tmp_path / "toy/core/tensor.py").read_text() == "mine\n"
