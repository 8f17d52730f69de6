"""Reading and writing of files so that nobody ever sees half of one."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from stat import S_ISREG

ABSENT = "absent"
"""What stands in a fingerprint for a file that is not there."""


def sha256(data: bytes) -> str:
    """Hex SHA-256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_of(values: dict[str, str]) -> str:
    """One hex SHA-256 of a mapping, whatever the order of its keys."""
    total = hashlib.sha256()
    for key in sorted(values):
        text = f"{len(key)}:{key}={len(values[key])}:{values[key]};"
        total.update(text.encode("utf-8", errors="surrogatepass"))  # names of files may be any bytes
    return total.hexdigest()


_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP)
"""What the system says where there is no file, or a link that leads nowhere."""

_UNFINISHED = ".unfinished"
"""How the names end of files that are being written."""


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: readers see the old content or the new, also if the process is killed half-way.

    Raises:
        OSError: the folder cannot be made or written; `path` is then as it was, and its name in the error.
    """
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """The same for files that belong together: none is put in its place before all are written.

    Raises:
        OSError: a folder cannot be made or written; if that showed before the first file took its place, all
            are as they were. The error names the file.
    """
    with contextlib.ExitStack() as stack:
        aside = {path: stack.enter_context(_aside(path, data)) for path, data in files.items()}
        for path, temporary in aside.items():
            with naming(path):
                os.replace(temporary, path)


@contextlib.contextmanager
def _aside(path: Path, data: bytes) -> Iterator[str]:
    """A file beside another one with what that one is to hold; gone at the end, if it was not moved."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(_UNFINISHED, f".{path.name[:40]}.", path.parent)
    try:
        with naming(path), os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(temporary, 0o644)  # mkstemp makes files that their owner alone may read
        yield temporary
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def withdraw(path: Path) -> None:
    """See to it that nobody takes a file for current: remove it; empty it, if its folder is read-only."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let what the system refuses say which file it was about: it does not, where only a number is open."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise


def content_of(path: Path) -> bytes | None:
    """The bytes of a file, or None if there is no regular file: reading a pipe would never end.

    Raises:
        OSError: there is one that cannot be read.
    """
    try:
        return path.read_bytes() if S_ISREG(path.stat().st_mode) else None
    except OSError as error:
        if error.errno in _NO_FILE:
            return None
        raise


def files_below(folder: Path) -> list[Path]:
    """Every file and link in a folder and below, sorted; none if there is no such folder.

    Links to folders are not followed. Unlike `Path.rglob`, this does not pass over what it may not read.

    Raises:
        OSError: a folder cannot be read.
    """

    def complain(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    found: list[Path] = []
    for current, folders, names in os.walk(folder, onerror=complain):
        links = [name for name in folders if os.path.islink(os.path.join(current, name))]
        found += [Path(current, name) for name in (*names, *links)]
    return sorted(found)


def remove_unfinished(*folders: Path) -> None:
    """Remove what a killed process had begun to write in folders and below; nobody may write there now."""
    for folder in folders:
        for path in files_below(folder):
            if path.name.startswith(".") and path.name.endswith(_UNFINISHED):
                path.unlink(missing_ok=True)


class FileDigests:
    """Digests of files, read again only when a file's stat signature has changed.

    The signature holds inode and change time, which nobody can set, unlike the modification time that doit
    looks at. It is kept for one run only.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int, int, int], str]] = {}

    def of(self, path: Path) -> str:
        """Hex SHA-256 of a file's content, or `ABSENT` if there is no regular file."""
        try:
            stat = path.stat()
            signature = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            known = self._known.get(path)
            if known is not None and known[0] == signature:
                return known[1]
            digest = sha256(path.read_bytes()) if S_ISREG(stat.st_mode) else ABSENT  # a pipe would never end
        except OSError as error:
            if error.errno in _NO_FILE:
                return ABSENT
            raise
        self._known[path] = (signature, digest)
        return digest
