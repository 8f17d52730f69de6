"""Two people, or two windows, in one course: one waits for nobody, is refused by name, and nothing is corrupted."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build_system.functional.course_states import (
    SOURCES,
    STATES,
    Made,
    State,
    assert_one_set,
    write,
    write_course,
)
from tests.build_system.functional.forked_runs import Ended, ForkedRuns
from tests.build_system.geometry_course import GeometryCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
PAIRS = 200 if NIGHTLY else 4
BUSY = re.compile(
    r"ERROR: another run is under way in this course: `doit(?: validate)?`, process (\d+), since [-0-9 :]{19}; "
    r"wait for it or stop it"
)


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    return write_course(tmp_path / "course")


@dataclass
class UnderWay:
    """A run in the midst of a test; when it has ended, what it said and its status."""

    pid: int
    said: str = ""
    status: int | None = None


@contextmanager
def under_way(course: GeometryCourse, go: Path) -> Iterator[UnderWay]:
    """A run that is in the midst of a test for as long as this context; then it goes on to its end."""
    waiting = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.01)\n"
    before = course.text(SOURCES["shapes"])
    course.put(SOURCES["shapes"], f"{before}\n# %%\n{waiting}")
    command = [sys.executable, "-m", "doit", "validate"]
    with subprocess.Popen(command, cwd=course.root, stdout=subprocess.PIPE, text=True) as run:
        found = UnderWay(run.pid)
        try:
            assert run.stdout is not None
            for line in run.stdout:
                found.said += line
                if line.startswith("shapes") and "import-check" in line:
                    break
            yield found
        finally:
            go.touch()
            found.said += run.communicate(timeout=60)[0]
            found.status = run.returncode


def assert_refused(ended: subprocess.CompletedProcess[str], run: UnderWay) -> None:
    found = BUSY.search(ended.stdout + ended.stderr)
    assert found is not None, ended.stdout + ended.stderr
    assert int(found[1]) == run.pid
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr


def test_whoever_comes_second_is_refused_by_name(course: GeometryCourse, tmp_path: Path) -> None:
    notebook = course.root / "build/notebooks/02_colours/colours_dev.ipynb"
    with under_way(course, tmp_path / "go") as run:
        before = course.digests("build/notebooks") | course.digests("build/staging")
        assert_refused(course.doit("validate"), run)
        assert_refused(course.doit("clean"), run)
        assert_refused(course.tito("notebook", "discard", "colours"), run)
        assert course.digests("build/notebooks") | course.digests("build/staging") == before
        assert notebook.is_file()
        assert course.doit("list").returncode == 0  # whoever only looks is welcome
        assert course.tito("notebook", "diff", "colours").returncode == 0
    assert run.status == 0, run.said
    assert "modules: 4 passed" in run.said
    assert course.tito("notebook", "discard", "colours").returncode != 2


def test_doit_forget_during_a_run_corrupts_nothing(
    course: GeometryCourse, clean: Mapping[State, Made], tmp_path: Path
) -> None:
    with under_way(course, tmp_path / "go") as run:
        forgotten = course.doit("forget", "--all")
        assert forgotten.returncode == 0, forgotten.stdout + forgotten.stderr
    assert run.status == 0, run.said
    write(course, STATES[0].files())
    assert course.doit().returncode == 0
    assert Made.by(course).differs_from(clean[STATES[0]]) == []


@pytest.mark.parametrize("name", ["shapes", "summary"])
def test_an_edit_during_a_run_is_never_taken_for_what_was_tested(
    course: GeometryCourse, clean: Mapping[State, Made], tmp_path: Path, name: str
) -> None:
    before, after = STATES[0], STATES[-1]
    assert course.doit().returncode == 0
    with under_way(course, tmp_path / "go") as run:
        write(course, {SOURCES[name]: after.files()[SOURCES[name]]})
    assert run.status != 0, run.said
    assert f"{SOURCES[name]} changed while " in run.said
    assert "run the command again" in run.said
    assert "as their sources are now" not in run.said
    assert "Traceback" not in run.said
    assert course.digests("geometry") == clean[before].package
    write(course, after.files())
    again = course.doit()
    assert again.returncode == 0, again.stdout
    assert Made.by(course).differs_from(clean[after]) == []


def test_a_test_or_a_declaration_that_is_saved_during_a_run_fails_it(tmp_path: Path) -> None:
    course = GeometryCourse.write(tmp_path / "course")
    with under_way(course, tmp_path / "go") as run:
        for name in ("test_shapes_areas", "test_new"):
            course.put(f"checks/integration/{name}.py", "def test_it() -> None:\n    assert False\n")
        course.edit("modules.toml", '"0.3.0"', '"0.4.0"')
        time.sleep(0.01)
    assert run.status == 3, run.said
    saved = "modules.toml, checks/integration/test_new.py changed while the run went on"
    assert saved in run.said, run.said
    assert "as their sources are now" not in run.said


def test_two_runs_that_begin_at_once(
    course: GeometryCourse, clean: Mapping[State, Made], tmp_path: Path
) -> None:
    seed = os.urandom(8).hex() if NIGHTLY else 0
    chance = random.Random(seed)
    with (
        ForkedRuns(course.root, tmp_path / "first") as first,
        ForkedRuns(course.root, tmp_path / "second") as second,
    ):
        longest = first.run().seconds
        for _ in range(PAIRS):
            state = chance.choice(STATES)
            write(course, state.files())
            ended = at_once(first, second, chance.choice((0.0, chance.uniform(0, longest))))
            told = f"seed {seed}: {[(each.status, each.said) for each in ended]}"
            for each in ended:
                assert "Traceback" not in each.said, told
                assert (each.status == 0) == ("modules: 4 passed" in each.said), told
                assert each.status == 0 or BUSY.search(each.said), told
            assert any(each.status == 0 for each in ended), told
            assert_one_set(course, clean, told)
            assert Made.by(course).differs_from(clean[state]) == [], told


def at_once(first: ForkedRuns, second: ForkedRuns, later: float) -> list[Ended]:
    """Two runs side by side, of which the second begins so many seconds later."""
    ended: dict[int, Ended] = {}

    def run_later() -> None:
        threading.Event().wait(later)
        ended[1] = second.run()

    thread = threading.Thread(target=run_later)
    thread.start()
    ended[0] = first.run()
    thread.join()
    return [ended[0], ended[1]]
