"""Atomic writes, digests, and the lock of a run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tinytorch_build.files import ABSENT, FileDigests, digest_of, remove_unfinished, sha256, write_atomically
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
