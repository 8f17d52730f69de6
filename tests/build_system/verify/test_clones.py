"""The state of a course's repository: told apart are none, an empty one, and one that git cannot read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.git import git
from tinytorch_build.programs import Programs
from tinytorch_build.verify.attempts import AttemptFailed, NotApplicable
from tinytorch_build.verify.clones import clone, find_checkout


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A course in a folder of a repository with one commit."""
    root = tmp_path / "repository" / "a course"
    root.mkdir(parents=True)
    (root / "modules.toml").write_text("")
    git(root.parent, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "one")
    return root


def test_where_a_course_stands_and_what_it_lacks(root: Path, tmp_path: Path) -> None:
    (root / "modules.toml").write_text("# edited")
    (root / "new").write_text("")
    found = find_checkout(root, Programs())
    assert found.commit == git(root, "rev-parse", "HEAD").strip()
    assert (found.top, found.inside, found.uncommitted) == (root.parent, "a course", 2)
    cloned = clone(found, tmp_path / "clone", Programs())
    assert [path.name for path in cloned.iterdir()] == ["modules.toml"]
    assert (cloned / "modules.toml").read_text() == ""


def test_without_a_repository_or_a_commit_there_is_nothing_to_clone(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="the course is in no git repository"):
        find_checkout(tmp_path, Programs())
    git(tmp_path, "init", "--quiet")
    with pytest.raises(NotApplicable, match="nothing has been committed yet"):
        find_checkout(tmp_path, Programs())


def test_without_git_there_is_nothing_to_clone_with(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(root))
    with pytest.raises(NotApplicable, match="git is not installed"):
        find_checkout(root, Programs())


def test_a_repository_that_git_cannot_read_is_a_failure_and_no_reason_to_skip(root: Path) -> None:
    (root.parent / ".git" / "HEAD").write_text("garbage\n")
    with pytest.raises(AttemptFailed, match="git cannot read the course's repository: fatal: "):
        find_checkout(root, Programs())
