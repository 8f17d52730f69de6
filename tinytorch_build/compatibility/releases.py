"""The releases in a course's git repository. Nothing in the repository or its work tree is changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tinytorch_build.errors import CourseError
from tinytorch_build.programs import Finished, Programs
from tinytorch_build.publish import RECORD_NAME

_SECONDS = 60.0
_ENVIRONMENT = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "LC_ALL": "C",
}
_OPTIONS = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "--no-pager")
"""No program that a repository's configuration names is run."""


class GitFault(CourseError):
    """git could not say what it was asked; the message holds its words."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag whose tree holds the published package.

    Attributes:
        name: the tag.
        tree: object id of the package's folder in it.
    """

    name: str
    tree: str


@dataclass(frozen=True, slots=True)
class Repository:
    """The git repository that a course lies in.

    Attributes:
        root: the course's root.
        programs: runs git.
        prefix: path of the course's root from the top of the repository, empty or with a slash at its end.
        shallow: whether old history is missing from it.
    """

    root: Path
    programs: Programs = field(repr=False)
    prefix: str
    shallow: bool

    @classmethod
    def around(cls, root: Path, programs: Programs) -> Repository | None:
        """The repository of a course; None if there is none, or no git to look into it.

        Raises:
            GitFault: there is one that git cannot read.
        """
        if not any((folder / ".git").exists() for folder in (root, *root.parents)):
            return None
        try:
            finished = _git(programs, root, "rev-parse", "--is-shallow-repository", "--show-prefix")
        except FileNotFoundError:
            return None
        shallow, _, prefix = _said(finished).partition("\n")
        return cls(root, programs, prefix.rstrip("\n"), shallow == "true")

    def last_release(self, package: str) -> Tag | None:
        """The newest version tag behind the current commit whose tree holds the published package.

        As installers do, it prefers a final release to pre-releases, however new. A tag on the current
        commit that holds the very package that stands here is no earlier release: it is this one. Compared
        with itself, a release that is built at its tag would pass whatever it breaks.

        Raises:
            GitFault: git failed.
        """
        if not self._ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}").succeeded:
            return None  # nothing has been committed yet
        names = _said(self._ask("tag", "--merged", "HEAD")).splitlines()
        here = _said(self._ask("tag", "--points-at", "HEAD")).splitlines()
        held = (self.tag(name, package) for name in newest_first(names))
        earlier = (tag for tag in held if tag and not (tag.name in here and self._is_this(tag, package)))
        return next(earlier, None)

    def _is_this(self, tag: Tag, package: str) -> bool:
        """Whether a tag's package is the one published here; its record names every file by digest."""
        path = f"{package}/{RECORD_NAME}"
        if not (self.root / path).is_file():
            return False
        there = _said(self._ask("rev-parse", "--verify", f"{tag.tree}:{RECORD_NAME}"))
        return there == _said(self._ask("hash-object", "--", path))

    def tags(self) -> tuple[str, ...]:
        """The names of all tags.

        Raises:
            GitFault: git failed.
        """
        return tuple(_said(self._ask("tag", "--list")).splitlines())

    def tag(self, name: str, package: str) -> Tag | None:
        """A tag; None if there is none of that name, or it holds no published package.

        Raises:
            GitFault: git did not end in time.
        """
        folder = f"refs/tags/{name}^{{commit}}:{self.prefix}{package}"
        record = self._ask("rev-parse", "--verify", "--quiet", f"{folder}/{RECORD_NAME}")
        if record.status is None:
            raise GitFault(f"git did not end within {_SECONDS:g} s")
        if not record.succeeded:
            return None
        return Tag(name, _said(self._ask("rev-parse", "--verify", folder)).strip())

    def archive(self, tag: Tag, package: str, goal: Path) -> None:
        """Write the package of a tag as a zip file.

        Raises:
            GitFault: git failed.
        """
        wanted = ("archive", "--format=zip", f"--prefix={package}/", f"--output={goal}", tag.tree)
        _said(_git(self.programs, self._top, *wanted))

    @property
    def _top(self) -> Path:
        """The top folder: from any other, `git archive` would take that folder out of the tree."""
        depth = self.prefix.count("/")
        return self.root.parents[depth - 1] if depth else self.root

    def _ask(self, *arguments: str) -> Finished:
        return _git(self.programs, self.root, *arguments)


def newest_first(names: list[str]) -> Iterator[str]:
    """Those tags that are versions (PEP 440, with or without `v`), the last final release first."""
    from packaging.version import InvalidVersion, Version

    versions: list[tuple[bool, Version, str]] = []
    for name in names:
        try:
            version = Version(name)  # which takes a leading `v`
        except InvalidVersion:
            continue
        versions.append((not version.is_prerelease, version, name))
    for _, _, name in sorted(versions, reverse=True):
        yield name


def _git(programs: Programs, root: Path, *arguments: str) -> Finished:
    command = ["git", *_OPTIONS, *arguments]
    return programs.run(command, root, seconds=_SECONDS, extra=_ENVIRONMENT)


def _said(finished: Finished) -> str:
    if not finished.succeeded:
        raise GitFault(f"git failed: {finished.last_words or finished.how}")
    return finished.output
