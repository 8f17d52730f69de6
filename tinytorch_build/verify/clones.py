"""A fresh clone of the course's repository, as a student or a new colleague gets it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.model import Problem
from tinytorch_build.programs import Finished, Programs
from tinytorch_build.verify.attempts import AttemptFailed, NotApplicable

_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """Where version control stands.

    Attributes:
        commit: the full name of the commit that is checked out.
        top: the repository's top folder.
        inside: path of the course's root from there, in POSIX form; empty if it is the same.
        uncommitted: how many files differ from that commit.
    """

    commit: str
    top: Path
    inside: str
    uncommitted: int


def find_checkout(root: Path, programs: Programs) -> Checkout:
    """The state of the repository that a course lies in.

    Args:
        root: the course's root.
        programs: runs git.

    Raises:
        NotApplicable: there is no git, no repository, or no commit in it.
        AttemptFailed: there is a repository that git cannot read.
    """
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        raise NotApplicable("the course is in no git repository")
    try:
        places = _told(programs, root, "rev-parse", "--show-toplevel", "--show-prefix")
    except FileNotFoundError:
        raise NotApplicable("git is not installed") from None
    head = _git(programs, root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if not head.succeeded:
        raise NotApplicable("nothing has been committed yet")
    top, inside = places.splitlines()
    status = _told(programs, root, "status", "--porcelain", "--", ".")
    changed = [line for line in status.splitlines() if line.strip()]
    return Checkout(head.output.strip(), Path(top), inside.rstrip("/"), len(changed))


def clone(checkout: Checkout, goal: Path, programs: Programs) -> Path:
    """Clone the repository.

    Returns:
        the course's root in the clone.

    Raises:
        AttemptFailed: git could not do it.
    """
    finished = _git(programs, goal.parent, "clone", "--quiet", "--no-hardlinks", str(checkout.top), str(goal))
    if not finished.succeeded:
        raise AttemptFailed(
            Problem(
                "clone",
                f"the repository could not be cloned: {finished.last_words or finished.how}",
                cure="see what git says",
            ),
            output=finished.output,
        )
    return goal / checkout.inside


def _told(programs: Programs, folder: Path, *arguments: str) -> str:
    finished = _git(programs, folder, *arguments)
    if not finished.succeeded:
        raise AttemptFailed(
            Problem(
                "clone",
                f"git cannot read the course's repository: {finished.last_words or finished.how}",
                cure="see what git says; without the repository, nobody can clone it either",
            ),
            output=finished.output,
        )
    return finished.output


def _git(programs: Programs, folder: Path, *arguments: str) -> Finished:
    return programs.run(["git", *arguments], folder, seconds=_SECONDS, extra={"GIT_TERMINAL_PROMPT": "0"})
