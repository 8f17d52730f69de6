"""Atomic writes, digests, and the lock of a run."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tinytorch_build.files import (
    ABSENT,
    FileDigests,
    content_of,
    digest_of,
    files_below,
    naming,
    remove_unfinished,
    sha256,
    withdraw,
    write_atomically,
    write_together,
)
from tinytorch_build.run_lock import CourseBusy, RunLock


def test_write_atomically_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["b.txt"]


def test_a_failing_write_leaves_the_old_content_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="director"):
        write_atomically(path, b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_files_that_belong_together_are_all_written_or_none(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "folder" / "second"
    first.write_bytes(b"old")
    (tmp_path / "folder").write_bytes(b"in the way")
    with pytest.raises(OSError, match=r"folder"):
        write_together({first: b"new", second: b"new"})
    assert first.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "folder"]
    (tmp_path / "folder").unlink()
    write_together({first: b"new", second: b"new"})
    assert (first.read_bytes(), second.read_bytes()) == (b"new", b"new")


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(OSError, match="full") as refused, naming(path):
        raise OSError(errno.ENOSPC, "the disk is full")
    assert refused.value.filename == str(path)


def test_a_file_is_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    withdraw(path)
    path.write_bytes(b"passed")
    withdraw(path)
    assert not path.exists()
    path.mkdir()
    withdraw(path)  # it cannot be, and nobody takes a folder for a report


def test_the_content_of_what_is_no_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_bytes(b"x")
    assert content_of(tmp_path / "file") == b"x"
    for name in ("missing", "loop", "file/below", "."):
        assert content_of(tmp_path / name) is None
        assert FileDigests().of(tmp_path / name) == ABSENT


def test_files_below_a_folder_with_links_that_are_not_followed(tmp_path: Path) -> None:
    assert files_below(tmp_path / "missing") == []
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"")
    (tmp_path / "a" / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)]
    assert found == ["a/b/file", "a/link", "file"]


def test_names_of_files_may_be_any_bytes() -> None:
    assert digest_of({os.fsdecode(b"\xff"): "1"}) != digest_of({os.fsdecode(b"\xfe"): "1"})


def test_digest_of_does_not_depend_on_order_and_keeps_borders() -> None:
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"})
    assert digest_of({"a": "1;1:b=1:2"}) != digest_of({"a": "1", "b": "2"})


def test_file_digests_see_an_edit_of_same_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    digests = FileDigests()
    assert digests.of(path) == sha256(b"one")
    stat = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert digests.of(path) == sha256(b"two")
    path.unlink()
    assert digests.of(path) == ABSENT


def test_what_a_killed_process_had_begun_is_removed(tmp_path: Path) -> None:
    program = (
        "import os; from pathlib import Path; from tinytorch_build import files\n"
        "os.replace = lambda *paths: os.kill(os.getpid(), 9)\n"
        f"files.write_atomically(Path({str(tmp_path / 'a' / 'b.txt')!r}), b'one')"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    (tmp_path / "a" / "mine.txt").write_text("two")
    assert len(list((tmp_path / "a").iterdir())) == 2
    remove_unfinished(tmp_path, tmp_path / "nowhere")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine.txt"]


def test_the_lock_names_its_holder_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "build" / "run.lock"
    program = (
        "import sys; from pathlib import Path; from tinytorch_build.run_lock import RunLock\n"
        f"lock = RunLock(Path({str(path)!r})); lock.acquire('doit validate')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(CourseBusy, match=f"`doit validate`, process {holder.pid}, since .*; wait for it"):
            RunLock(path).acquire("doit")
        holder.kill()
    lock = RunLock(path)
    dead = lock.acquire("doit")
    assert dead is not None
    assert (dead.what, dead.pid) == ("doit validate", holder.pid)
    assert datetime.now() - datetime.fromisoformat(dead.since) < timedelta(hours=1)
    lock.release()
    lock.release()
    assert RunLock(path).acquire("doit") is None


def test_a_holder_that_has_yet_to_write_its_name_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    first = RunLock(path)
    first.acquire("doit validate")
    note = path.with_name("run.lock.holder")
    text = note.read_text(encoding="utf-8")
    note.unlink()
    later = threading.Timer(0.2, note.write_text, [text])
    later.start()
    with pytest.raises(CourseBusy, match="`doit validate`, process"):
        RunLock(path).acquire("doit")
    later.join()
    first.release()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_the_place_of_a_note_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.lock.holder")
    lock = RunLock(tmp_path / "run.lock")
    assert lock.acquire("doit") is None
    lock.release()


@pytest.mark.parametrize(
    "note", [b"", b"\xff\x00", b"[]", b'{"what": "doit"}', b'{"pid": "x"}', b"[" * 100_000]
)
def test_a_note_that_cannot_be_read_hinders_nobody(tmp_path: Path, note: bytes) -> None:
    path = tmp_path / "run.lock"
    first = RunLock(path)
    path.with_name("run.lock.holder").write_bytes(note)
    assert first.acquire("doit") is None
    path.with_name("run.lock.holder").write_bytes(note)
    with pytest.raises(CourseBusy, match="its holder has left no name; wait for it"):
        RunLock(path).acquire("doit")
    first.release()
