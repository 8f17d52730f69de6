"""Checks the paths that a manifest names: that they stay inside the course, and that something is there."""

from __future__ import annotations

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tinytorch_build.manifest.findings import Findings, quoted, subject
from tinytorch_build.manifest.names import LONGEST_NAME, LONGEST_PATH, Fault
from tinytorch_build.manifest.table import Item
from tinytorch_build.suggest import closest

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INSIDE = "write a path inside the course, relative to modules.toml, with / between folders"


@dataclass(frozen=True, slots=True)
class Located:
    """A path that was found to lie inside the course.

    Attributes:
        item: the entry that names it.
        path: POSIX path from the course's root, in its plain form.
        identity: where it really lies, links followed and without case: many file systems make no difference.
    """

    item: Item
    path: str
    identity: str


_NOT_ALLOWED = (errno.EACCES, errno.EPERM)


class CoursePaths:
    """Looks paths up below one course's root.

    Args:
        root: the root, absolute, links followed.
        generated: folders directly below it that the build itself writes.
        findings: where problems go.
    """

    def __init__(self, root: Path, generated: tuple[str, ...], findings: Findings) -> None:
        self.root = root
        self.findings = findings
        self.suggested: set[str] = set()
        """Paths that cures proposed in place of missing ones."""
        self._generated = tuple(name.casefold() for name in generated if name)

    def file(self, item: Item | None) -> Located | None:
        """A file that must be there; None if it is not, and then it was reported."""
        located = self._locate(item)
        if located is None:
            return None
        mode, why = self._look(located)
        if why in _NOT_ALLOWED:
            self._withheld(located)
        elif mode is not None and not stat.S_ISREG(mode):
            found = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            self._wrong("not-a-file", located.item, f"which is {found}", "name the file itself")
        elif mode is None:
            near = self._neighbour(located.path)
            cure = f"write {near}" if near else "create the file, or correct the path"
            self._wrong("missing-file", located.item, "which is not there", cure)
        return located

    def folder(self, item: Item | None, *, required: bool) -> Located | None:
        """A folder; if it is not required, it may be absent from the disk, but it may be nothing else."""
        located = self._locate(item)
        if located is None:
            return None
        mode, why = self._look(located)
        if why in _NOT_ALLOWED:
            self._withheld(located)
            return None
        if mode is not None and not stat.S_ISDIR(mode):
            self._wrong("not-a-folder", located.item, "which is no folder", "name a folder")
            return None
        if why == errno.ELOOP:
            self._wrong(
                "not-a-folder", located.item, "which is a link that leads in a circle", "name a folder"
            )
            return None
        if mode is None and required:
            self._wrong("missing-folder", located.item, "which is not there", "create it, or remove the line")
            return None
        return located

    def _locate(self, item: Item | None) -> Located | None:
        if item is None:
            return None
        fault = _form_fault(item.text)
        if fault is not None:
            self._wrong("bad-path", item, *fault)
            return None
        path = PurePosixPath(item.text).as_posix()
        try:
            real = os.path.realpath(self.root / path)
            inside = Path(real).relative_to(self.root)
        except (ValueError, OSError):  # elsewhere, or a name that the file system cannot hold
            reason = "which leads out of the course by a symbolic link"
            self._wrong("bad-path", item, reason, "put a copy inside the course, and name that")
            return None
        top = {PurePosixPath(path).parts[0].casefold(), *(part.casefold() for part in inside.parts[:1])}
        if not top.isdisjoint(self._generated):
            reason = "which lies in a folder that the build writes"
            self._wrong(
                "generated-path", item, reason, "move it to another folder: what lies there is replaced"
            )
            return None
        return Located(item, path, inside.as_posix().casefold())

    def _look(self, located: Located) -> tuple[int | None, int]:
        """The mode of what lies there; if there is none to be had, None and the `errno` that says why."""
        try:
            return os.stat(self.root / located.path).st_mode, 0
        except OSError as error:
            return None, error.errno or 0

    def _withheld(self, located: Located) -> None:
        """Nobody is allowed to see if there is such a file."""
        reason = "which you are not allowed to look at"
        self._wrong("unreadable-file", located.item, reason, "give yourself the right to read its folder")

    def _neighbour(self, path: str) -> str | None:
        """A file in the same folder that was probably meant."""
        pure = PurePosixPath(path)
        try:
            names = sorted(os.listdir(self.root / pure.parent))
        except OSError:
            return None
        near = closest(pure.name, (name for name in names if name.isprintable()))
        if near is None or not (self.root / pure.parent / near).is_file():
            return None
        self.suggested.add((pure.parent / near).as_posix())
        return (pure.parent / near).as_posix()

    def _wrong(self, check: str, item: Item, reason: str, cure: str) -> None:
        verb = "holds" if isinstance(item.path[-1], int) else "is"
        message = f"{subject(item.path)} {verb} {quoted(item.text)}, {reason}"
        self.findings.add(check, item.path, message, cure)


def _form_fault(text: str) -> Fault | None:
    """What is wrong with a path, whatever lies on the disk."""
    if not text:
        return Fault("which is empty", _INSIDE)
    if _CONTROL.search(text):
        return Fault("which holds a control character", "remove it")
    if "\\" in text:
        plain = text.replace("\\", "/")
        return Fault("which holds a backslash", f"write {plain}" if len(plain) <= 200 else _INSIDE)
    path = PurePosixPath(text)
    if path.is_absolute() or text.startswith("~") or re.match("[A-Za-z]:", text):
        return Fault("which does not start at the course's root", _INSIDE)
    if ".." in path.parts:
        return Fault("which climbs by '..'", _INSIDE)
    if len(text.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        reason = f"which is longer than {LONGEST_PATH} bytes, or {LONGEST_NAME} in one name"
        return Fault(reason, "choose shorter names")
    if not path.parts:
        return Fault("which is the course's root itself", "name something inside it")
    return None
