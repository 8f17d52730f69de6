"""What the package is compared with: the last release, a tag, or a wheel."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.compatibility.archives import UnusableArchive, unpack_package
from tinytorch_build.compatibility.releases import GitFault, Repository, Tag
from tinytorch_build.files import sha256
from tinytorch_build.layout import Layout
from tinytorch_build.model import Problem
from tinytorch_build.programs import Programs
from tinytorch_build.publish import RECORD_NAME, Record, UnreadableRecord, parse_record
from tinytorch_build.suggest import closest

NOTHING = "no earlier release to compare with"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was found to compare with.

    Attributes:
        label: the tag, or the wheel as it was named; None if there is nothing to compare with.
        identity: what stands in the fingerprint for its content.
        problem: why it cannot be used, or None.
        why: why there is nothing to compare with, or the empty string.
    """

    label: str | None
    identity: str
    problem: Problem | None = None
    why: str = ""
    _unpack: Callable[[Path], None] | None = None

    def read(self, folder: Path) -> Record | Problem:
        """Lay its package out in a folder, and read its record; a problem if it holds none.

        Args:
            folder: an empty folder, where the package's folder is made.
        """
        assert self._unpack is not None
        try:
            self._unpack(folder)
        except (UnusableArchive, GitFault) as error:
            return _unusable(self.label or "", str(error))
        found = next(folder.glob(f"*/{RECORD_NAME}"), None)
        if found is None:
            return _unusable(self.label or "", "it holds no package that this build has published")
        try:
            return parse_record(found.read_text(encoding="utf-8"))
        except (UnreadableRecord, UnicodeDecodeError) as error:
            return _unusable(self.label or "", f"its {RECORD_NAME} cannot be read: {error}")


def find_baseline(layout: Layout, programs: Programs, against: str) -> Baseline:
    """What to compare the package with.

    Args:
        layout: the course's paths.
        programs: runs git.
        against: a tag, or the path of a wheel from the course's root; empty for the last release.
    """
    wheel = layout.root / against
    if against and (against.lower().endswith(".whl") or wheel.is_file()):
        return _wheel(layout, against, wheel)
    try:
        repository = Repository.around(layout.root, programs)
        if repository is None:
            return _without_repository(against)
        tag = repository.tag(against, layout.package) if against else repository.last_release(layout.package)
        if tag is None and against:
            return _unknown_tag(against, repository)
        if tag is None and repository.shallow:
            problem = _unusable(
                "the last release",
                "this clone is shallow: it lacks the history in which the last release may lie",
                "fetch the whole history (git fetch --unshallow --tags), or name a release with --against",
            )
            return Baseline(None, "shallow", problem)
    except GitFault as error:
        return Baseline(None, f"git: {error}", _unusable(against or "the last release", str(error)))
    return (
        _nothing("no version tag before this one holds the package")
        if tag is None
        else _tag(layout, repository, tag)
    )


def _tag(layout: Layout, repository: Repository, tag: Tag) -> Baseline:
    def unpack(folder: Path) -> None:
        archive = folder / "package.zip"
        repository.archive(tag, layout.package, archive)
        unpack_package(archive, layout.package, folder)

    return Baseline(tag.name, f"tag {tag.name} {tag.tree}", _unpack=unpack)


def _wheel(layout: Layout, against: str, wheel: Path) -> Baseline:
    try:
        digest = sha256(wheel.read_bytes())
    except OSError as error:
        said = error.strerror or str(error)
        return Baseline(None, f"unreadable {against}", _unusable(against, said))

    def unpack(folder: Path) -> None:
        unpack_package(wheel, layout.package, folder)

    return Baseline(wheel.name, f"wheel {wheel.name} {digest}", _unpack=unpack)


def _without_repository(against: str) -> Baseline:
    if not against:
        missing = shutil.which("git") is None
        return _nothing("git is not installed" if missing else "the course is in no git repository")
    problem = _unusable(against, "the course is in no git repository, and there is no such file")
    return Baseline(None, "no repository", problem)


def _unknown_tag(against: str, repository: Repository) -> Baseline:
    near = closest(against, repository.tags())
    hint = f"; did you mean '{near}'?" if near else ""
    problem = _unusable(
        against, f"there is no tag of that name that holds the package, and no such file{hint}"
    )
    return Baseline(None, f"unknown {against}", problem)


def _nothing(why: str) -> Baseline:
    return Baseline(None, "nothing", why=f"{NOTHING}: {why}")


def _unusable(label: str, why: str, cure: str = "") -> Problem:
    return Problem(
        "compatibility-baseline",
        f"The package cannot be compared with {label}: {why}",
        cure=cure or "name a tag of a release, or the path of its wheel, with --against",
    )
