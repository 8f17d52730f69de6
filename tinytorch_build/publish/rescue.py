"""What people changed inside the package: noticed, kept as patches, and reported."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.files import sha256, write_atomically
from tinytorch_build.layout import Layout
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity
from tinytorch_build.publish.tree import RECORD_NAME, Tree

CHECK = "package-edited"

STRAYS_NAMED = 5
"""Up to so many stray files are reported one by one; of a whole foreign package, their number will do."""

_LINE = re.compile(
    r"[^\n]*\n|[^\n]+"
)  # str.splitlines also breaks at form feeds, which are no line ends in a patch


@dataclass(frozen=True, slots=True)
class Deviations:
    """How a package folder differs from its record.

    Attributes:
        edited: files whose content is another one, by hand or through damage.
        missing: files that are gone.
        strays: what does not belong to the package.
    """

    edited: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    strays: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.edited or self.missing or self.strays)


def deviations(tree: Tree, recorded: Mapping[str, str], wanted: Mapping[str, str]) -> Deviations:
    """Compare a package folder with its record.

    Args:
        tree: what lies in the folder.
        recorded: hex SHA-256 of each file that the record names; the record itself is not compared.
        wanted: the same for the package that comes next: a file that has that content already is no edit.
    """
    found = {path: digest for path, digest in tree.files.items() if path != RECORD_NAME}
    foreign = [path for path, digest in found.items() if digest not in (recorded.get(path), wanted.get(path))]
    return Deviations(
        edited=tuple(path for path in foreign if path in recorded),
        missing=tuple(path for path in recorded if path not in found),
        strays=(*(path for path in foreign if path not in recorded), *tree.others),
    )


@dataclass(frozen=True, slots=True)
class Rescuer:
    """Keeps what people changed in the package, and says where.

    Names of what is kept come from its content: rescuing the same twice, after a crash, leaves one copy.

    Attributes:
        layout: the course's paths.
        manifest: the course.
        original: the content that a file of the package should have, from path and digest, or None if it is
            nowhere to be had.
    """

    layout: Layout
    manifest: Manifest
    original: Callable[[str, str], bytes | None]

    def rescue(
        self, found: Deviations, recorded: Mapping[str, str], wanted: Mapping[str, str]
    ) -> Iterator[Problem]:
        """Keep every edit and every stray file; yields a problem for each deviation.

        Args:
            found: what differs.
            recorded: hex SHA-256 of each file that the record names.
            wanted: the same for the package that comes next.

        Raises:
            OSError: something cannot be kept. The package must then stay as it is.
        """
        for path in found.edited:
            what = f"was changed by hand or damaged and {self._fate(path, wanted)}"
            yield self._problem(path, what, self._cure(path, self._keep_edit(path, recorded[path])))
        for path in found.missing:
            if path in wanted or self._module(path) is not None:
                what = f"was missing and {self._fate(path, wanted)}"
                cure = "to take a module out of the package, take its table out of modules.toml"
                yield self._problem(path, what, cure if self._module(path) else "nothing to do")
        yield from self._rescue_strays(found.strays)

    def _rescue_strays(self, strays: Sequence[str]) -> Iterator[Problem]:
        kept = {path: self._keep_stray(path) for path in strays}
        where = "hand-written files belong into the folder that `include` names in [package] of modules.toml"
        if len(strays) > STRAYS_NAMED:
            message = f"{len(strays)} files do not belong to the package and have been taken out"
            cure = f"{where}; these are kept in {self.layout.relative(self.layout.rescued)}"
            yield Problem(CHECK, message, self.layout.package, cure=cure, severity=Severity.WARNING)
            return
        for path in strays:
            cure = f"{where}; this one is kept as {kept[path]}" if kept[path] else where
            yield self._problem(path, "does not belong to the package and has been taken out", cure)

    def _fate(self, path: str, wanted: Mapping[str, str]) -> str:
        module = self._module(path)
        if path in wanted:
            return "has been restored"
        if module is None:
            return "is needed no more"
        return f"cannot be restored until {module.name} passes its tests again"

    def _cure(self, path: str, kept: str) -> str:
        module = self._module(path)
        include = self.manifest.package.include
        if module is not None:
            return f"change {module.source} instead; what was found here is kept as {kept}"
        if include is not None and (self.layout.root / include / path).is_file():
            return f"change {include}/{path} instead; what was found here is kept as {kept}"
        return f"the build generates this file; what was found here is kept as {kept}"

    def _module(self, path: str) -> CourseModule | None:
        target = path.removesuffix(".py").replace("/", ".")
        return next((module for module in self.manifest.modules if module.target == target), None)

    def _problem(self, path: str, what: str, cure: str) -> Problem:
        shown = self.layout.relative(self.layout.published / path)
        return Problem(CHECK, f"{shown} {what}", shown, cure=cure, severity=Severity.WARNING)

    def _keep_edit(self, path: str, digest: str) -> str:
        """Keep an edited file: as a patch where there is text to compare it with, whole otherwise."""
        edited = (self.layout.published / path).read_bytes()
        original = self.original(path, digest)
        patch = (
            None
            if original is None
            else _patch(self.layout.relative(self.layout.published / path), original, edited)
        )
        if patch is None:
            return self._keep(path, edited, Path(path).suffix)
        return self._keep(path, patch, ".patch")

    def _keep(self, path: str, data: bytes, ending: str) -> str:
        stem = path.removesuffix(Path(path).suffix).replace("/", "-")
        kept = self.layout.rescued / f"{stem}-{sha256(data)[:12]}{ending}"
        if not kept.is_file():
            write_atomically(kept, data)
        return self.layout.relative(kept)

    def _keep_stray(self, path: str) -> str | None:
        """Keep a stray file or link; of sockets and the like there is nothing to keep."""
        stray = self.layout.published / path
        if stray.is_symlink():
            kept = self.layout.rescued / sha256(os.fsencode(os.readlink(stray)))[:12] / path
            if not kept.is_symlink():
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.symlink_to(os.readlink(stray))
        elif stray.is_file():
            kept = self.layout.rescued / sha256(stray.read_bytes())[:12] / path
            _copy_once(stray, kept)
        else:
            return None
        return self.layout.relative(kept)


def _copy_once(source: Path, target: Path) -> None:
    if target.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.half")
    try:
        shutil.copy2(source, half)
        os.replace(half, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            half.unlink()


def _patch(shown: str, original: bytes, edited: bytes) -> bytes | None:
    """A unified diff that `git apply` takes, or None if one of the two is no text."""
    try:
        before, after = original.decode(), edited.decode()
    except UnicodeDecodeError:
        return None
    if "\0" in after:
        return None
    lines: list[str] = []
    for line in difflib.unified_diff(_LINE.findall(before), _LINE.findall(after), f"a/{shown}", f"b/{shown}"):
        lines.append(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n")
    return "".join(lines).encode()
