"""Settling a course: what gets in, what is held back, what leaves."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from tests.build_system.publish.builders import Course, entry
from tests.build_system.publish.test_swap import in_child, killer, posix
from tinytorch_build.errors import PublishError
from tinytorch_build.model import Package, Problem, Severity
from tinytorch_build.publish import Publisher, settle

CHAIN = {"tensor": (), "layers": ("tensor",), "training": ("tensor", "layers")}


def published_chain(root: Path) -> Course:
    """A course of three modules, all of them published in their first version."""
    course = Course(root, dict(CHAIN))
    for name in CHAIN:
        course.stage(name, f"{name} = 1\n")
        course.passes(name, [name])
    return course


FIRST = {f"core/{name}.py": f"{name} = 1\n" for name in CHAIN}


def test_a_module_that_passes_is_published(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    course.stage("tensor", "x = 1\n")
    settlement = course.passes("tensor", ["x"])
    assert settlement.entries == {"tensor": course.staged_entry("tensor", ["x"])}
    assert settlement.changed == ("tensor",)
    assert settlement.held == {}
    assert settlement.problems == ()
    assert course.modules() == {"core/tensor.py": "x = 1\n"}
    assert sorted(course.content()) == [
        "__init__.py",
        "core/__init__.py",
        "core/tensor.py",
        "modules.lock",
        "py.typed",
    ]
    assert course.record_agrees()
    assert course.leftovers() == []


def test_settling_again_changes_nothing_and_opens_nothing_for_writing(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    steps: list[str] = []
    course.on_step = steps.append
    before = (tmp_path / "toy").stat().st_ino
    settlement = course.settle()
    assert (settlement.changed, settlement.held, settlement.problems) == ((), {}, ())
    assert list(settlement.entries) == list(CHAIN)
    assert steps == []
    assert (tmp_path / "toy").stat().st_ino == before


def test_the_function_does_what_the_publisher_does(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    assert settle(course.layout, course.manifest, course.ledger, course.objects) == course.settle()


def test_a_new_version_waits_for_a_published_module_that_fails_with_it(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    assert course.edit("tensor", "tensor = 2\n").held == {"tensor": ("layers", "training")}
    settlement = course.passes("layers", ["layers"])  # unchanged, tested with the new tensor
    assert settlement.held == {"tensor": ("training",), "layers": ("training",)}
    assert settlement.changed == ()
    assert course.modules() == FIRST
    assert course.edit("training", "training = 2\n").changed == ("layers", "tensor", "training")
    assert course.modules() == {
        **FIRST,
        "core/tensor.py": "tensor = 2\n",
        "core/training.py": "training = 2\n",
    }
    assert course.record_agrees()


def test_an_undone_edit_leaves_the_package_alone(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    course.edit("tensor", "tensor = 2\n")
    course.stage("tensor", "tensor = 1\n")
    settlement = course.passes("tensor", ["tensor"])
    assert (settlement.changed, settlement.held) == ((), {})


def test_a_module_never_published_holds_nothing_back(tmp_path: Path) -> None:
    course = Course(tmp_path, dict(CHAIN))
    course.edit("tensor", "tensor = 1\n")
    assert course.edit("tensor", "tensor = 2\n").changed == ("tensor",)


def test_a_module_that_left_the_manifest_leaves_the_package(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    del course.depends["training"]
    settlement = course.settle()
    assert settlement.changed == ("training",)
    assert settlement.problems == ()
    assert sorted(course.modules()) == ["core/layers.py", "core/tensor.py"]
    assert "training" not in course.content()["__init__.py"]


def test_a_module_that_changed_its_target_leaves_the_old_place(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    course.edit("tensor", "tensor = 1\n")
    course.targets["tensor"] = "nn.tensor"
    assert course.settle().changed == ()
    course.edit("tensor", "tensor = 1\n")
    assert course.modules() == {"nn/tensor.py": "tensor = 1\n"}
    assert "core/__init__.py" not in course.content()


def test_a_candidate_for_a_target_that_the_manifest_no_longer_names_is_not_published(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": (), "layers": ("tensor",)})
    course.stage("tensor", "tensor = 1\n")
    course.edit("layers", "layers = 1\n")  # waits for tensor
    course.targets["layers"] = "nn.layers"
    assert course.edit("tensor", "tensor = 1\n").held == {}
    assert course.modules() == {"core/tensor.py": "tensor = 1\n"}


def test_a_new_version_of_the_package_is_written(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    course.package = Package("toy", version="0.2.0")
    assert course.settle().changed == ()
    assert '__version__ = "0.2.0"' in course.content()["__init__.py"]
    assert course.record_agrees()


def test_a_renamed_package_begins_anew(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    course.package = Package("game")
    settlement = course.settle()
    assert settlement.entries == {}
    assert not (tmp_path / "game").exists()
    course.edit("tensor", "tensor = 1\n")
    assert course.modules() == {"core/tensor.py": "tensor = 1\n"}


def test_included_files_are_published_and_followed(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()}, package=Package("toy", include="extra"))
    (tmp_path / "extra" / "data").mkdir(parents=True)
    (tmp_path / "extra" / "data" / "words.txt").write_text("one")
    course.edit("tensor", "tensor = 1\n")
    assert course.content()["data/words.txt"] == "one"
    (tmp_path / "extra" / "data" / "words.txt").write_text("two")
    assert course.settle().problems == ()
    assert course.content()["data/words.txt"] == "two"
    (tmp_path / "extra" / "data" / "words.txt").unlink()
    assert course.settle().problems == ()
    assert "data/words.txt" not in course.content()
    assert course.record_agrees()


def test_a_clash_with_an_included_file_leaves_the_package_as_it_stood(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    (tmp_path / "extra" / "core").mkdir(parents=True)
    (tmp_path / "extra" / "core" / "tensor.py").write_text("mine")
    course.package = Package("toy", version="0.2.0", include="extra")
    settlement = course.settle()
    assert settlement.problems == (
        Problem(
            "package-include",
            "An included file takes the place of module tensor",
            "extra/core/tensor.py",
            cure="rename one of them: tensor is published as core/tensor.py",
        ),
    )
    assert settlement.changed == ()
    assert list(settlement.entries) == list(CHAIN)
    assert '__version__ = "0.1.0"' in course.content()["__init__.py"]


def test_a_fresh_clone_takes_the_committed_package_as_it_is(tmp_path: Path) -> None:
    course = published_chain(tmp_path / "here")
    clone = tmp_path / "there"
    shutil.copytree(tmp_path / "here", clone, ignore=shutil.ignore_patterns("build"))
    cloned = Course(clone, dict(CHAIN))
    settlement = cloned.settle()
    assert (settlement.changed, settlement.held, settlement.problems) == ((), {}, ())
    assert settlement.entries == course.settle().entries
    assert cloned.content() == course.content()


def test_the_record_depends_on_nothing_but_the_course(tmp_path: Path) -> None:
    first = published_chain(tmp_path / "a")
    second = Course(tmp_path / "quite another place", dict(CHAIN))
    for name in reversed(CHAIN):
        second.stage(name, f"{name} = 1\n")
    for name in CHAIN:
        second.passes(name, [name])
    assert first.content() == second.content()


def test_after_a_checkout_nothing_of_the_other_branch_is_published(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    course.edit("tensor", "tensor = 'of main'\n")
    main = course.content()
    course.edit("tensor", "tensor = 'of a branch'\n")
    for path, text in main.items():  # git checkout main
        (tmp_path / "toy" / path).write_text(text)
    (tmp_path / "modules.lock").write_text(main["modules.lock"])
    settlement = course.settle()
    assert settlement.problems == ()
    assert course.content() == main
    assert course.ledger.candidates() == {}
    assert course.settle().problems == ()
    course.edit("tensor", "tensor = 'newer'\n")
    assert course.modules() == {"core/tensor.py": "tensor = 'newer'\n"}


def test_branches_that_were_merged_line_by_line_are_not_taken_for_tested(tmp_path: Path) -> None:
    course = published_chain(tmp_path / "ours")
    theirs = published_chain(tmp_path / "theirs")
    theirs.stage("tensor", "tensor = 2\n")
    for name in CHAIN:
        theirs.passes(name, [name])
    for path in ("modules.lock", "toy/modules.lock"):  # their tensor, our layers and training
        head = (theirs.root / path).read_text().partition("[modules.layers]")[0]
        tail = (course.root / path).read_text().partition("[modules.layers]")[2]
        (course.root / path).write_text(f"{head}[modules.layers]{tail}")
    shutil.copy(theirs.root / "toy/core/tensor.py", course.root / "toy/core/tensor.py")
    settlement = course.settle()
    assert list(settlement.entries) == ["tensor"]
    assert course.modules() == {"core/tensor.py": "tensor = 2\n"}
    assert settlement.problems == (
        Problem(
            "package-incomplete",
            "These modules are out of the package until they pass again: layers, training; "
            "a file could not be restored, or they were not tested with what stands beside them",
            "toy",
            cure="run `doit validate`, which brings them back",
            severity=Severity.WARNING,
        ),
    )
    course.stage("tensor", "tensor = 2\n")
    for name in CHAIN:
        course.passes(name, [name])
    assert sorted(course.modules()) == sorted(FIRST)


def test_an_export_that_changed_after_its_test_is_refused(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    with pytest.raises(PublishError) as caught:
        course.publisher().qualify_and_settle(entry("tensor", "never staged"))
    assert (
        str(caught.value)
        == "The export of module tensor changed after it was tested; run `doit validate:tensor`"
    )
    assert course.ledger.candidates() == {}


def test_a_course_that_has_published_nothing_leaves_the_folder_alone(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    course.settle()
    assert not (tmp_path / "toy").exists()
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine.py").write_text("mine")
    assert course.settle().problems == ()
    assert (tmp_path / "toy" / "mine.py").read_text() == "mine"
    assert not (tmp_path / "modules.lock").exists()


@posix
def test_a_package_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "toy").symlink_to("elsewhere")
    with pytest.raises(PublishError) as caught:
        course.edit("tensor", "tensor = 1\n")
    assert str(caught.value) == "toy is no folder of its own; move it away, and the build makes one"


def test_what_the_disk_refuses_is_told_and_the_package_stands(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    course.layout.publishing.write_text("a file where a folder should be")
    with pytest.raises(
        PublishError, match=r"^Package toy could not be put in place, and stands as it was: .*publish"
    ):
        course.edit("training", "training = 2\n")
    assert course.modules() == FIRST
    course.layout.publishing.unlink()
    assert course.settle().changed == ("training",)


@posix
def test_a_full_disk_leaves_the_package_as_it_was(tmp_path: Path) -> None:
    import resource

    course = published_chain(tmp_path)
    before = course.content()
    course.stage("training", "#" * 200_000)

    def work() -> None:
        course = Course(tmp_path, dict(CHAIN))
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
        with pytest.raises(PublishError):
            course.passes("training")

    course.ledger.close()
    assert in_child(work) == 0
    course = Course(tmp_path, dict(CHAIN))
    assert course.settle().problems == ()
    assert course.content() == before
    assert course.record_agrees()


@posix
def test_killed_at_any_step_the_next_run_ends_what_was_begun(tmp_path: Path) -> None:
    for step in range(30):
        course = published_chain(tmp_path / str(step))
        before = course.content()
        course.stage("training", "training = 2\n")
        course.ledger.close()

        def work(root: Path = course.root, at: int = step) -> None:
            Course(root, dict(CHAIN), on_step=killer(at)).passes("training", ["training"])

        killed = in_child(work)
        course = Course(course.root, dict(CHAIN))
        settlement = course.settle()
        assert settlement.problems == ()
        assert course.modules() == {**FIRST, "core/training.py": "training = 2\n"}
        assert before.keys() == course.content().keys()
        assert course.record_agrees()
        assert course.leftovers() == []
        if not killed:
            break
    assert not killed


def test_threads_that_publish_at_once_take_turns(tmp_path: Path) -> None:
    names = [f"m{number}" for number in range(12)]
    course = Course(tmp_path, dict.fromkeys(names, ()))
    for name in names:
        course.stage(name, f"{name} = 1\n")
    shared = course.publisher()
    failures: list[BaseException] = []

    def publish(name: str, publisher: Publisher) -> None:
        try:
            publisher.qualify_and_settle(course.staged_entry(name))
        except BaseException as failure:
            failures.append(failure)

    # Half of them share a publisher, as the tasks of one run do; the others are like processes of their own.
    threads = [
        threading.Thread(target=publish, args=(name, shared if number % 2 else course.publisher()))
        for number, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert course.modules() == {f"core/{name}.py": f"{name} = 1\n" for name in names}
    assert course.record_agrees()


def test_a_damaged_ledger_is_reported_once_and_the_package_stands(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    before = course.content()
    course.ledger.close()
    course.layout.ledger.write_bytes(b"damaged" * 1000)
    again = Course(tmp_path, dict(CHAIN))
    assert [problem.check for problem in again.settle().problems] == ["ledger-damaged"]
    assert again.settle().problems == ()
    assert again.content() == before


def test_objects_are_made_again_from_the_package_and_from_staging(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    shutil.rmtree(course.layout.objects)
    course.settle()
    assert len(list(course.layout.objects.iterdir())) == 3
    shutil.rmtree(course.layout.objects)
    (tmp_path / "toy/core/tensor.py").write_text("edited")
    course.settle()
    assert course.modules() == FIRST


def test_an_object_that_is_spoilt_during_a_run_is_made_again(tmp_path: Path) -> None:
    course = published_chain(tmp_path)
    publisher = course.publisher()
    spoilt = course.objects.path(publisher.settle().entries["tensor"].export)
    spoilt.write_text("spoilt")
    (tmp_path / "toy/core/tensor.py").unlink()
    with pytest.raises(PublishError) as caught:
        publisher.settle()
    assert str(caught.value) == f"{spoilt} changed while it was being published; run the task again"
    assert publisher.settle().changed == ("tensor",)
    assert course.modules() == FIRST


def test_what_stands_can_be_asked_for_without_settling(tmp_path: Path) -> None:
    course = Course(tmp_path, {"tensor": ()})
    assert course.publisher().published() == {}
    settlement = course.edit("tensor", "tensor = 1\n")
    assert course.publisher().published() == settlement.entries


def test_the_values_can_be_had_from_anywhere(tmp_path: Path) -> None:
    """Nothing depends on the current folder."""
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        course = published_chain(tmp_path / "course")
    finally:
        os.chdir(before)
    assert course.publisher().settle().changed == ()
