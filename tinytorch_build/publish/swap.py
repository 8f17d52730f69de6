"""The swap: the next package is laid out aside and takes the old one's place, at once or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from tinytorch_build.files import write_atomically
from tinytorch_build.layout import Layout
from tinytorch_build.publish.atomic import ExchangeUnsupported, exchange, sync_folder, write_durably
from tinytorch_build.publish.contents import PackageFile
from tinytorch_build.publish.tree import RECORD_NAME

StepHook = Callable[[str], None]
"""Called with the name of each step that has just been taken: tests end the process there."""

Exchange = Callable[[Path, Path], None]

_PREFIX = "next-"
_OLD = "old"
_COMPLETE = "complete"
"""Journal of the swap by two renames: while this file is there, the next package beside it is whole."""
_REMOVING = "removing"
"""The same, and the old package cannot be renamed and is being removed."""


def no_hook(step: str) -> None:
    """The step hook of everyday life."""


def swap(
    layout: Layout,
    files: Mapping[str, PackageFile],
    reuse: Collection[str] = (),
    on_step: StepHook = no_hook,
    exchange: Exchange = exchange,
) -> None:
    """Put a package in place of the one that stands.

    Where the system can exchange two folders, readers see the old package or the new one at every instant.
    Elsewhere the old one is renamed away and the new one renamed into place; a journal lets `recover` finish
    that. If `build/` lies on another file system than the package, the next one is laid out beside it.

    Args:
        layout: the course's paths.
        files: every file of the next package, under its POSIX path in the package's folder.
        reuse: those that lie in the standing package with the same content: they are linked, not copied.
        on_step: called after each step.
        exchange: how two folders trade places.

    Raises:
        OSError: something is in the way, such as a full disk; the old package stands.
        PublishError: a file that goes into the package changed meanwhile; the old package stands.
    """
    areas = _areas(layout)
    for area in areas:
        area.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=area))
        on_step(f"make {layout.relative(area)}")
        try:
            _lay_out(layout, folder / layout.package, files, reuse, on_step)
            _put_in_place(layout, folder, on_step, exchange, last_resort=area == areas[-1])
            return
        except OSError as error:
            if error.errno != errno.EXDEV or area == areas[-1]:
                raise
        finally:
            _complete(layout, folder)
            with contextlib.suppress(OSError):  # the package is what counts; who called looks after the copy
                follow(layout)
            on_step(f"copy {layout.lock.name}")
            _clear(folder)
            on_step(f"clear {layout.relative(area)}")


def recover(layout: Layout) -> bool:
    """Bring a swap that was interrupted to its end: afterwards the package is the old one or the new one.

    The caller makes sure that no swap is under way.

    Returns:
        whether there was anything to do.
    """
    folders = [folder for area in _areas(layout) for folder in sorted(area.glob(f"{_PREFIX}*"))]
    for folder in folders:
        _complete(layout, folder)
    if folders:
        follow(layout)
    for folder in folders:
        _clear(folder)
    return bool(folders)


def follow(layout: Layout) -> None:
    """Let `modules.lock` in the course's root be a copy of the package's record, which is the truth."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        record = (layout.published / RECORD_NAME).read_bytes()
        if not layout.lock.is_file() or layout.lock.read_bytes() != record:
            write_atomically(layout.lock, record)


def _areas(layout: Layout) -> tuple[Path, Path]:
    """Where the next package may be laid out: in `build/`, or, if no rename reaches there, beside the old."""
    return layout.publishing, layout.root / f".{layout.package}.publish"


def _lay_out(
    layout: Layout, tree: Path, files: Mapping[str, PackageFile], reuse: Collection[str], on_step: StepHook
) -> None:
    # Plain strings: with a thousand modules, path objects would take longer than the links themselves.
    standing, next_one = f"{layout.published}{os.sep}", f"{tree}{os.sep}"
    folders = sorted({"", *(folder for path in files for folder in _folders(path))})
    for folder in folders:
        os.mkdir(next_one + folder)
    for path, file in files.items():
        if path not in reuse or not _link(standing + path, next_one + path):
            write_durably(tree / path, file.read(), 0o777 if file.is_executable else 0o666)
        on_step(f"write {path}")
    for folder in folders:
        sync_folder(tree / folder)
    on_step("lay out")


def _folders(path: str) -> Iterator[str]:
    """`a`, `a/b` for `a/b/c.py`."""
    end = path.find("/")
    while end >= 0:
        yield path[:end]
        end = path.find("/", end + 1)


def _link(source: str, target: str) -> bool:
    """Give a file a second name; a third of the time that copying takes, and there is nothing to wait for."""
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        return False  # the file system has no hard links, or none from here to there
    return True


def _put_in_place(
    layout: Layout, folder: Path, on_step: StepHook, exchange: Exchange, *, last_resort: bool
) -> None:
    tree, published = folder / layout.package, layout.published
    if not published.exists():
        os.rename(tree, published)
        on_step("rename")
    else:
        try:
            exchange(tree, published)
            on_step("exchange")
        except ExchangeUnsupported:
            _rename_twice(layout, folder, on_step, last_resort=last_resort)
        except OSError as error:
            if error.errno != errno.EXDEV or not last_resort:
                raise
            _rename_twice(layout, folder, on_step, last_resort=last_resort)
    sync_folder(layout.root)  # the new names have to be on the disk before the old package is removed
    sync_folder(folder)


def _rename_twice(layout: Layout, folder: Path, on_step: StepHook, *, last_resort: bool) -> None:
    """The swap where folders cannot be exchanged: for an instant there is no package, but a journal."""
    published = layout.published
    write_atomically(folder / _COMPLETE, b"")
    sync_folder(folder)
    on_step("write journal")
    try:
        os.rename(published, folder / _OLD)
        on_step("rename old")
    except OSError as error:
        if error.errno != errno.EXDEV or not last_resort:
            raise
        # A folder from a lower layer of a container's file system can be removed, but not renamed.
        write_atomically(folder / _REMOVING, b"")
        sync_folder(folder)
        on_step("write removal")
        shutil.rmtree(published)
        on_step("remove old")
    try:
        os.rename(folder / layout.package, published)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder / _OLD, published)
        raise
    on_step("rename new")


def _complete(layout: Layout, folder: Path) -> None:
    """Bring one swap to its end, wherever it stopped: the old package or the new one stands."""
    tree, published = folder / layout.package, layout.published
    if tree.is_dir() and (folder / _REMOVING).exists():
        shutil.rmtree(published, ignore_errors=True)
    if not published.exists():
        if tree.is_dir() and (folder / _COMPLETE).exists():
            os.rename(tree, published)
        elif (folder / _OLD).is_dir():
            os.rename(folder / _OLD, published)


def _clear(folder: Path) -> None:
    """Remove what a swap leaves; what cannot be removed now is tried again by the next run."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # the area itself, if nothing else is in it
