"""What the operating system offers for changing a whole folder at once."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import sys
from pathlib import Path

from tinytorch_build.files import naming

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # linux/fs.h
_RENAME_SWAP = 2  # macOS, sys/stdio.h

_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP)


class ExchangeUnsupported(OSError):
    """This system or file system cannot exchange two folders in one step."""


def exchange(first: Path, second: Path) -> None:
    """Let two folders trade places, in one step that no process can see half done.

    Raises:
        ExchangeUnsupported: it cannot be done here; nothing has changed.
        OSError: anything else that is in the way; nothing has changed. EXDEV: they lie on different file
            systems, or on layers of one (a folder from a container's image) that rename does not cross.
    """
    if os.name != "posix":
        raise ExchangeUnsupported(errno.ENOSYS, "no exchange of folders on this system")
    libc = ctypes.CDLL(None, use_errno=True)
    paths = os.fsencode(first), os.fsencode(second)
    if sys.platform == "linux" and hasattr(libc, "renameat2"):
        status = libc.renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        status = libc.renamex_np(*paths, _RENAME_SWAP)
    else:
        raise ExchangeUnsupported(errno.ENOSYS, "no exchange of folders in this C library")
    if status == 0:
        return
    code = ctypes.get_errno()
    kind = ExchangeUnsupported if code in _UNSUPPORTED else OSError
    raise kind(code, os.strerror(code), str(first), None, str(second))


def write_durably(path: Path, data: bytes, mode: int) -> None:
    """Write a new file and wait until the disk has it.

    Without the wait, a power failure just after the folders were exchanged could leave a package of empty
    files: file systems put names on the disk before contents. It costs about 0.3 ms a file on a solid-state
    disk, and only files that changed are written at all.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    with naming(path), os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the disk has a folder's names, where the system can wait for that."""
    with contextlib.suppress(
        OSError
    ):  # Windows cannot open folders, some network file systems cannot sync them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
