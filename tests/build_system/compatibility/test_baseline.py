"""Which earlier version the package is compared with, in small real repositories."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.build_system.git import git
from tests.build_system.publish.builders import entry
from tinytorch_build.compatibility.baseline import Baseline, find_baseline
from tinytorch_build.compatibility.releases import newest_first
from tinytorch_build.layout import Layout
from tinytorch_build.model import Problem
from tinytorch_build.programs import Programs
from tinytorch_build.publish import Record, render_record


def record(version: str) -> Record:
    return Record("toy", version, {}, {"tensor": entry("tensor", version=version)})


def write_package(root: Path, version: str) -> None:
    package = root / "toy"
    (package / "core").mkdir(parents=True, exist_ok=True)
    for name in ("__init__.py", "core/__init__.py", "core/tensor.py"):
        (package / name).write_text(f"# of {version}\n")
    (package / "modules.lock").write_text(render_record(record(version)))


def release(root: Path, version: str, tag: str) -> None:
    write_package(root, version)
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", version)
    git(root, "tag", tag)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course in a folder of a repository, with three releases and other tags."""
    root = tmp_path / "repository" / "course"
    root.mkdir(parents=True)
    git(root.parent, "init", "--quiet", "--initial-branch=main")
    (root / "modules.toml").write_text("")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "before the package")
    git(root, "tag", "v9.0")
    release(root, "0.9", "v0.9")
    release(root, "0.10.0", "0.10.0")
    release(root, "1.0rc1", "v1.0rc1")
    git(root, "tag", "latest")
    git(root, "checkout", "--quiet", "-b", "side")
    release(root, "5.0", "v5.0")
    git(root, "checkout", "--quiet", "main")
    return root


def find(root: Path, against: str = "") -> Baseline:
    return find_baseline(Layout(root, "toy"), Programs(), against)


def read(baseline: Baseline, folder: Path) -> Record:
    folder.mkdir()
    found = baseline.read(folder)
    assert isinstance(found, Record), found
    return found


def test_the_last_release_is_the_newest_final_version_behind_the_current_commit(
    root: Path, tmp_path: Path
) -> None:
    """Not the one of another branch, not one without the package, and `0.10` comes after `0.9`."""
    before = git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")
    (root / "toy" / "core" / "tensor.py").write_text("# edited\n")
    baseline = find(root)
    assert baseline.label == "0.10.0"
    assert read(baseline, tmp_path / "out") == record("0.10.0")
    assert (tmp_path / "out/toy/core/tensor.py").read_text() == "# of 0.10.0\n"
    assert (root / "toy" / "core" / "tensor.py").read_text() == "# edited\n"
    git(root, "checkout", "--", "toy")
    assert (git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")) == before


def test_a_tag_can_be_asked_for_even_of_another_branch(root: Path, tmp_path: Path) -> None:
    baseline = find(root, "v5.0")
    assert baseline.label == "v5.0"
    assert read(baseline, tmp_path / "out") == record("5.0")
    assert baseline.identity != find(root, "v1.0rc1").identity


def test_the_identity_is_that_of_the_package_in_the_tag(root: Path) -> None:
    before = find(root)
    (root / "notes").write_text("nothing of the package")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "notes")
    git(root, "tag", "--force", "0.10.0")
    assert find(root).identity != before.identity  # the package was that of 1.0rc1 by then
    moved = find(root).identity
    (root / "notes").write_text("more")
    git(root, "commit", "--quiet", "--all", "--message", "notes")
    git(root, "tag", "--force", "0.10.0")
    assert find(root).identity == moved


def test_a_misspelt_tag_is_answered_with_a_suggestion(root: Path) -> None:
    problem = find(root, "v5.1").problem
    assert problem is not None
    assert problem.message == (
        "The package cannot be compared with v5.1: there is no tag of that name that holds the package, "
        "and no such file; did you mean 'v5.0'?"
    )


def test_what_looks_like_an_option_of_git_is_a_name_that_nothing_has(root: Path) -> None:
    problem = find(root, "--output=stolen").problem
    assert problem is not None
    assert list(root.rglob("stolen")) == []


def test_without_releases_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    for prepare in ("nothing", "init", "commit"):
        root = tmp_path / prepare
        root.mkdir()
        if prepare != "nothing":
            git(root, "init", "--quiet")
        if prepare == "commit":
            write_package(root, "1.0")
            git(root, "add", "--all")
            git(root, "commit", "--quiet", "--message", "one")
            git(root, "tag", "not-a-version")
        baseline = find(root)
        assert (baseline.label, baseline.problem) == (None, None)
        assert baseline.why.startswith("no earlier release to compare with: ")


def test_without_git_there_is_nothing_to_compare_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    baseline = find(root)
    assert (baseline.label, baseline.problem) == (None, None)
    assert baseline.why == "no earlier release to compare with: git is not installed"


def test_a_shallow_clone_without_the_tag_is_a_problem_with_a_cure(root: Path, tmp_path: Path) -> None:
    (root / "notes").write_text("later")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "later")
    git(tmp_path, "clone", "--quiet", "--depth=1", root.parent.as_uri(), "shallow")
    problem = find(tmp_path / "shallow" / "course").problem
    assert problem is not None
    assert "this clone is shallow" in problem.message
    assert "git fetch --unshallow --tags" in problem.cure


def test_a_broken_repository_is_a_problem_with_gits_own_words(root: Path) -> None:
    (root.parent / ".git" / "HEAD").write_text("garbage\n")
    problem = find(root).problem
    assert problem is not None
    assert "The package cannot be compared with the last release: git failed: fatal: " in problem.message


def test_programs_that_the_repository_names_are_not_run(root: Path, tmp_path: Path) -> None:
    harm = tmp_path / "harm.sh"
    harm.write_text(f"#!/bin/sh\ntouch {tmp_path / 'run'}\n")
    harm.chmod(0o755)
    git(root, "config", "core.fsmonitor", str(harm))
    git(root, "config", "core.pager", str(harm))
    read(find(root), tmp_path / "out")
    assert not (tmp_path / "run").exists()


def test_a_wheel(tmp_path: Path) -> None:
    write_package(tmp_path / "made", "2.0")
    wheel = tmp_path / "dist" / "toy-2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted((tmp_path / "made").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "made"))
    baseline = find(tmp_path, "dist/toy-2.0-py3-none-any.whl")
    assert baseline.label == "toy-2.0-py3-none-any.whl"
    assert read(baseline, tmp_path / "out") == record("2.0")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"toy/__init__.py": ""}, "it holds no package that this build has published"),
        ({"toy/modules.lock": "schema = 7"}, "its modules.lock cannot be read: schema is 7, wanted 1"),
        ({"../toy/modules.lock": ""}, "the file '../toy/modules.lock' in it would lie outside of it"),
    ],
)
def test_a_wheel_that_cannot_be_used(tmp_path: Path, content: dict[str, str], why: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    (tmp_path / "out").mkdir()
    found = find(tmp_path, "a.whl").read(tmp_path / "out")
    assert isinstance(found, Problem)
    assert found.message == f"The package cannot be compared with a.whl: {why}"


def test_a_wheel_that_is_not_there(tmp_path: Path) -> None:
    problem = find(tmp_path, "b.whl").problem
    assert problem is not None
    assert problem.message == "The package cannot be compared with b.whl: No such file or directory"
    problem = find(tmp_path, "v1").problem
    assert problem is not None
    assert "in no git repository" in problem.message


def test_tags_in_the_order_of_their_versions() -> None:
    tags = ["v1.0", "v1.10", "1.9", "v2.0a1", "2.0.dev3", "release", "v1.10.post1", "x1"]
    assert list(newest_first(tags)) == ["v1.10.post1", "v1.10", "1.9", "v1.0", "v2.0a1", "2.0.dev3"]
