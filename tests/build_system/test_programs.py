"""Other programs are run with a limit, without the repository in their environment, and leave nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinytorch_build.programs import Programs, clean_environment

_LEAVES_A_CHILD = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
"""


@pytest.fixture
def programs() -> Programs:
    return Programs()


def test_output_of_both_streams_and_status(programs: Programs, tmp_path: Path) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr, flush=True); sys.exit(7)"
    finished = programs.python(["-c", code], tmp_path, seconds=60)
    assert finished.status == 7
    assert sorted(finished.output.split()) == ["err", "out"]
    assert finished.how == "it ended with status 7"


def test_a_program_that_takes_too_long_is_killed(programs: Programs, tmp_path: Path) -> None:
    code = "print('begun', flush=True); import time; time.sleep(600)"
    finished = programs.python(["-c", code], tmp_path, seconds=1.0)
    assert finished.status is None
    assert finished.last_words == "begun"
    assert finished.how == "it did not end in time"


def test_children_end_with_their_program(programs: Programs, tmp_path: Path) -> None:
    finished = programs.python(["-c", _LEAVES_A_CHILD], tmp_path, seconds=60)
    child = int(finished.last_words)
    assert finished.succeeded
    gone = threading.Event()
    while _runs(child):  # it has been killed; the system takes a moment
        gone.wait(0.01)


def test_closing_ends_what_still_runs(programs: Programs, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    code = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(600)"
    found = []
    thread = threading.Thread(
        target=lambda: found.append(programs.python(["-c", code], tmp_path, seconds=600))
    )
    thread.start()
    while not begun.exists() and thread.is_alive():
        thread.join(0.01)
    programs.close()
    thread.join(60)
    assert not thread.is_alive()
    assert found[0].status is not None
    assert found[0].status < 0
    assert found[0].how == f"it was ended by signal {-found[0].status}"
    with pytest.raises(InterruptedError):
        programs.python(["-c", ""], tmp_path, seconds=60)


_RUNS_A_PROGRAM = """
import pathlib, sys
from tinytorch_build.programs import Programs
code = '''import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
pathlib.Path("pids").write_text(f"{os.getpid()} {child.pid} ")
time.sleep(600)'''
Programs().python(["-c", code], pathlib.Path(sys.argv[1]), seconds=600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, what leaves its process group is not found")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_program_and_its_children_end_with_the_build(tmp_path: Path, number: signal.Signals) -> None:
    build = subprocess.Popen([sys.executable, "-c", _RUNS_A_PROGRAM, str(tmp_path)])
    pids = tmp_path / "pids"
    pause = threading.Event()
    while not (pids.exists() and pids.read_text().endswith(" ")):
        assert build.poll() is None
        pause.wait(0.01)
    build.send_signal(number)
    assert build.wait() == -number
    for pid in map(int, pids.read_text().split()):
        while _runs(pid):  # the guard needs a moment
            pause.wait(0.01)


def test_the_environment_names_nothing_of_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME", "GITHUB_TOKEN", "GIT_DIR"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("PIP_INDEX_URL", "https://example.org/simple")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org")
    found = clean_environment({"MORE": "1"})
    assert "secret" not in found.values()
    assert found["PIP_INDEX_URL"] == "https://example.org/simple"
    assert found["HTTPS_PROXY"] == "http://proxy.example.org"
    assert found["MORE"] == "1"
    assert found["PATH"] == os.environ["PATH"]


def test_only_the_end_of_endless_output_is_kept(programs: Programs, tmp_path: Path) -> None:
    code = "print('x' * 1_000_000); print('the end')"
    finished = programs.python(["-c", code], tmp_path, seconds=60)
    assert len(finished.output) == 200_000
    assert finished.last_words == "the end"


def test_a_program_that_is_not_there(programs: Programs, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        programs.run([tmp_path / "nowhere"], tmp_path, seconds=60)


def _runs(pid: int) -> bool:
    """Whether a process runs still; one that has ended and was not waited for does not."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
