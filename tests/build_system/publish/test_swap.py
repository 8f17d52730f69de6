"""The swap: killed at any step, refused by the disk, on file systems that cannot do all of it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tinytorch_build.files import sha256
from tinytorch_build.layout import Layout
from tinytorch_build.publish import recover
from tinytorch_build.publish.atomic import ExchangeUnsupported, exchange
from tinytorch_build.publish.contents import PackageFile
from tinytorch_build.publish.swap import Exchange, StepHook, no_hook, swap
from tinytorch_build.publish.tree import read_tree

posix = pytest.mark.skipif(os.name == "nt", reason="no fork, no signals, no hard limits")

OLD = {"__init__.py": "old", "core/tensor.py": "same", "core/gone.py": "gone", "modules.lock": "old record"}
NEW = {
    "__init__.py": "new",
    "core/tensor.py": "same",
    "nn/layers.py": "new too",
    "modules.lock": "new record",
}
REUSED = {"core/tensor.py"}


def package(texts: dict[str, str]) -> dict[str, PackageFile]:
    return {path: PackageFile(sha256(text.encode()), text.encode()) for path, text in texts.items()}


def holds(layout: Layout, texts: dict[str, str]) -> bool:
    """Whether the package, and nothing else, is there, with its record in both places."""
    digests = {path: sha256(text.encode()) for path, text in texts.items()}
    return (
        read_tree(layout.published).files == digests
        and not layout.publishing.exists()
        and sorted(path.name for path in layout.root.iterdir()) == ["build", "modules.lock", "toy"]
        and layout.lock.read_text() == texts["modules.lock"]
    )


def unsupported(first: Path, second: Path) -> None:
    raise ExchangeUnsupported(errno.EINVAL, "not on this file system")


def crossing(first: Path, second: Path) -> None:
    raise OSError(errno.EXDEV, "not from here to there")


MODES = {"exchange": exchange, "two renames": unsupported, "beside, two renames": crossing}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A course whose package is the old one."""
    layout = Layout(tmp_path / "course", "toy")
    layout.build.mkdir(parents=True)
    swap(layout, package(OLD))
    assert holds(layout, OLD)
    return layout


@pytest.mark.parametrize("mode", MODES)
def test_the_new_package_takes_the_place_of_the_old_one(layout: Layout, mode: str) -> None:
    swap(layout, package(NEW), REUSED, exchange=MODES[mode])
    assert holds(layout, NEW)
    swap(layout, package(OLD), exchange=MODES[mode])
    assert holds(layout, OLD)


def test_the_exchange_is_used_where_there_is_one(layout: Layout) -> None:
    steps: list[str] = []
    swap(layout, package(NEW), REUSED, steps.append)
    way = "exchange" if sys.platform in ("linux", "darwin") else "rename new"
    assert steps == [
        "make build/publish",
        *(f"write {path}" for path in NEW),
        "lay out",
        *(["write journal", "rename old"] if way != "exchange" else []),
        way,
        "copy modules.lock",
        "clear build/publish",
    ]


@posix
def test_a_reader_always_finds_one_of_the_two(layout: Layout) -> None:
    """Where folders can be exchanged: at every step, not only after the recovery."""
    seen: list[str] = []

    def look(step: str) -> None:
        seen.append((layout.published / "__init__.py").read_text())

    swap(layout, package(NEW), REUSED, look)
    assert set(seen) == {"old", "new"}
    assert seen == sorted(seen, reverse=True)


def steps_of(layout: Layout, exchange: Exchange) -> int:
    """How many steps the swap from the old package to the new one takes."""
    steps: list[str] = []
    swap(layout, package(NEW), REUSED, steps.append, exchange)
    swap(layout, package(OLD), exchange=exchange)
    return len(steps)


def killer(at: int) -> StepHook:
    """A step hook that ends the process after so many steps."""
    remaining = iter(range(at, -1, -1))

    def hook(step: str) -> None:
        if next(remaining) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def in_child(work: Callable[[], None]) -> int:
    """Do some work in a forked process; returns the signal that ended it, or 0."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


@posix
@pytest.mark.parametrize("mode", MODES)
def test_killed_at_any_step_it_leaves_the_old_package_or_the_new_one(layout: Layout, mode: str) -> None:
    outcomes = []
    for step in range(steps_of(layout, MODES[mode])):
        ended_by = in_child(lambda at=step: swap(layout, package(NEW), REUSED, killer(at), MODES[mode]))  # type: ignore[misc]
        assert ended_by == signal.SIGKILL
        recover(layout)
        outcomes.append(
            "new" if holds(layout, NEW) else "old" if holds(layout, OLD) else f"neither, at {step}"
        )
        assert not recover(layout)
        if outcomes[-1] == "new":
            swap(layout, package(OLD))
    assert outcomes == sorted(outcomes, reverse=True)
    assert set(outcomes) == {"old", "new"}


@posix
@pytest.mark.parametrize("mode", MODES)
def test_a_recovery_that_is_killed_is_recovered_from(layout: Layout, mode: str) -> None:
    for step in range(steps_of(layout, MODES[mode])):
        in_child(lambda at=step: swap(layout, package(NEW), REUSED, killer(at), MODES[mode]))  # type: ignore[misc]
        for removed in range(3):  # the recovery got as far as removing some of what was left
            leftovers = [path for path in sorted(layout.root.glob("**/next-*/toy/**/*")) if path.is_file()]
            published = layout.published.exists()
            for path in leftovers[: removed if published else 0]:
                path.unlink()
        recover(layout)
        assert holds(layout, NEW) or holds(layout, OLD)
        swap(layout, package(OLD))


@posix
def test_the_first_package_is_there_or_not(tmp_path: Path) -> None:
    for step in range(9):
        layout = Layout(tmp_path / str(step), "toy")
        layout.build.mkdir(parents=True)
        in_child(lambda at=step, here=layout: swap(here, package(NEW), (), killer(at)))  # type: ignore[misc]
        recover(layout)
        assert holds(layout, NEW) or not layout.published.exists()
        swap(layout, package(NEW))
        assert holds(layout, NEW)


def test_a_failure_half_way_leaves_the_old_package(layout: Layout) -> None:
    class StopError(Exception):
        pass

    for mode in MODES.values():
        for stop_at in ("write __init__.py", "lay out", "write journal", "rename old"):

            def hook(step: str, stop_at: str = stop_at) -> None:
                if step == stop_at:
                    raise StopError

            try:
                swap(layout, package(NEW), REUSED, hook, mode)
                assert holds(layout, NEW)  # this mode has no such step
            except StopError:
                # Between the two renames the way forward is the only one that needs no luck.
                assert holds(layout, NEW if stop_at == "rename old" else OLD)
            swap(layout, package(OLD))


def test_a_new_package_that_cannot_be_renamed_into_place(layout: Layout) -> None:
    """Something takes the place between the two renames; nobody's files are lost."""

    def hook(step: str) -> None:
        if step == "rename old":
            layout.published.mkdir()
            (layout.published / "squatter").write_text("")

    with pytest.raises(OSError, match=r"not empty|exists"):
        swap(layout, package(NEW), REUSED, hook, unsupported)
    assert (layout.published / "squatter").exists()


@posix
def test_a_full_disk_leaves_the_old_package(layout: Layout) -> None:
    import resource

    big = {**NEW, "nn/layers.py": "#" * 100_000}

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        with pytest.raises(OSError, match="too large"):
            swap(layout, package(big), REUSED)

    assert in_child(work) == 0
    assert holds(layout, OLD)


def test_a_file_that_was_to_be_reused_and_is_gone_is_written(layout: Layout) -> None:
    (layout.published / "core/tensor.py").unlink()
    swap(layout, package(NEW), REUSED)
    assert holds(layout, NEW)


@posix
def test_modes_follow_the_umask_and_the_included_file(layout: Layout, tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    files = {**package(NEW), "run.sh": PackageFile(sha256(script.read_bytes()), script)}
    mask = os.umask(0o027)
    try:
        swap(layout, files)
    finally:
        os.umask(mask)
    modes = {
        path: (layout.published / path).stat().st_mode & 0o777 for path in ("run.sh", "__init__.py", "nn")
    }
    assert modes == {"run.sh": 0o750, "__init__.py": 0o640, "nn": 0o750}


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    shared = Path("/dev/shm")
    if (
        not shared.is_dir()
        or shared.stat().st_dev == tmp_path.stat().st_dev
        or not os.access(shared, os.W_OK)
    ):
        pytest.skip("there is no second file system at hand")
    folder = Path(tempfile.mkdtemp(dir=shared))
    yield folder
    shutil.rmtree(folder)


@posix
def test_a_build_folder_on_another_file_system(tmp_path: Path, elsewhere: Path) -> None:
    layout = Layout(tmp_path / "course", "toy")
    layout.root.mkdir()
    layout.build.symlink_to(elsewhere)
    steps: list[str] = []
    swap(layout, package(OLD))
    swap(layout, package(NEW), REUSED, steps.append)
    assert holds(layout, NEW)
    assert "make .toy.publish" in steps
    assert "exchange" in steps


OVERLAY = """
    import pathlib, subprocess, sys
    sys.path[:0] = sys.path_of_the_tests
    from tests.build_system.publish.test_swap import *

    base = pathlib.Path(sys.argv[1])
    for step in range(40):
        parts = [base / str(step) / part for part in ("lower", "upper", "work", "merged")]
        for part in parts:
            part.mkdir(parents=True)
        lower, upper, work, merged = parts
        image = Layout(lower, "toy")
        image.build.mkdir()
        swap(image, package(OLD))
        options = f"lowerdir={lower},upperdir={upper},workdir={work}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, merged], check=True)
        layout = Layout(merged, "toy")
        ended_by = in_child(lambda: swap(layout, package(NEW), REUSED, killer(step)))
        recover(layout)
        assert holds(layout, NEW) or holds(layout, OLD), step
        print("new" if holds(layout, NEW) else "old", flush=True)
        subprocess.run(["umount", merged], check=True)
        if not ended_by:
            break
"""


@posix
def test_a_package_that_came_with_a_container_image(tmp_path: Path) -> None:
    """On an overlay, folders of the image below can be removed but not renamed."""
    enter = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    base = tmp_path / "base"
    parts = [base / part for part in ("lower", "upper", "work", "merged")]
    for part in parts:
        part.mkdir(parents=True)
    options = f"lowerdir={parts[0]},upperdir={parts[1]},workdir={parts[2]}"
    probe = [*enter, "mount", "-t", "overlay", "overlay", "-o", options, str(parts[3])]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no overlay can be mounted here")
    root = Path(__file__).parents[3]
    code = textwrap.dedent(OVERLAY).replace("sys.path_of_the_tests", repr([str(root)]))
    done = subprocess.run(
        [*enter, sys.executable, "-c", code, str(base)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcomes = done.stdout.split()
    assert outcomes == sorted(outcomes, reverse=True)
    assert {*outcomes} == {"old", "new"}


def test_a_removal_that_was_interrupted_is_ended(layout: Layout) -> None:
    """Half of the old package is gone already: only the new one can be had whole."""
    folder = layout.publishing / "next-x"
    for path, text in NEW.items():
        (folder / "toy" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "toy" / path).write_text(text)
    for mark in ("complete", "removing"):
        (folder / mark).touch()
    (layout.published / "core/gone.py").unlink()
    assert recover(layout)
    assert holds(layout, NEW)


def test_nothing_to_recover(layout: Layout) -> None:
    assert not recover(layout)
    assert not recover(Layout(layout.root / "nowhere", "toy"))


def test_the_hook_of_everyday_life_does_nothing() -> None:
    no_hook("lay out")
