"""Runs that are killed, stopped or interrupted at any moment: what the package is then, and what the next run makes."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator, Mapping
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
from tests.build_system.functional.forked_runs import ForkedRuns
from tests.build_system.geometry_course import GeometryCourse

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a run in /proc")

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
KILLS = 500 if NIGHTLY else 50
"""How many runs each of the four tests kills: 200 in CI, 2,000 at night."""
MOST_IN_A_ROW = 1 if NIGHTLY else 9
"""How many runs in a row are killed before one may end."""
INTERRUPTIONS = 40 if NIGHTLY else 4

FAULTS = {
    "shapes": ("class Square:", "class Square:\n    size = unknown"),
    "colours": ("def mix(", "def mix(("),
    "areas": ("assert area(Square(3)) == 9", "assert area(Square(3)) == 8"),
    "summary": ("#| export\ndef", "#| exported\ndef"),
}
"""What breaks each module: at import, when it is read, in a test, by what is not exported."""


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    return write_course(tmp_path / "course")


@pytest.fixture
def runs(course: GeometryCourse, tmp_path: Path) -> Iterator[ForkedRuns]:
    folder = tmp_path / "runs"
    folder.mkdir()
    with ForkedRuns(course.root, folder) as found:
        yield found


def edit(course: GeometryCourse, state: State, chance: random.Random) -> None:
    """Save a state of the sources, as people do: whole, with a fault, or some of its files only."""
    files = state.files()
    kind = chance.random()
    if kind < 0.3:
        name = chance.choice(list(FAULTS))
        files[SOURCES[name]] = files[SOURCES[name]].replace(*FAULTS[name])
    elif kind < 0.5:
        files = dict(chance.sample(sorted(files.items()), 2))
    write(course, files)


@pytest.mark.parametrize("number", range(4))
def test_a_run_that_is_killed_at_any_moment_harms_nothing(
    course: GeometryCourse, runs: ForkedRuns, clean: Mapping[State, Made], number: int
) -> None:
    seed = os.urandom(8).hex() if NIGHTLY else number
    chance = random.Random(seed)
    first = runs.run()
    assert first.status == 0, first.said
    longest, killed, moments = first.seconds, 0, []
    while killed < KILLS:
        for _ in range(chance.randint(1, MOST_IN_A_ROW)):
            edit(course, chance.choice(STATES), chance)
            moments.append(round(chance.uniform(0, longest), 3))
            command = chance.choice(["validate", "validate", "boundaries"])
            ended = runs.run(command, after=moments[-1])
            killed += ended.status == -signal.SIGKILL  # else it was over before
            assert_one_set(course, clean, f"seed {seed}, killed after {moments}; {ended.said}")
            if chance.random() < 0.5:  # else the next run begins while the last one's processes end
                assert runs.left_over() == []
        state = chance.choice(STATES)
        write(course, state.files())
        whole = runs.run()
        longest = whole.seconds
        told = f"seed {seed}, killed after {moments}; {whole.said}"
        assert whole.status == 0, told
        assert Made.by(course).differs_from(clean[state]) == [], told
        assert runs.left_over() == []


@pytest.mark.parametrize(
    ("number", "group"),
    [
        pytest.param(signal.SIGTERM, False, id="SIGTERM"),
        pytest.param(signal.SIGINT, True, id="Ctrl-C"),
        pytest.param(signal.SIGHUP, True, id="terminal closed"),
    ],
)
def test_a_run_that_is_stopped_ends_cleanly(
    course: GeometryCourse,
    runs: ForkedRuns,
    clean: Mapping[State, Made],
    number: signal.Signals,
    group: bool,
) -> None:
    chance = random.Random(number)
    first = runs.run()
    assert first.status == 0, first.said
    for _ in range(INTERRUPTIONS):
        write(course, chance.choice(STATES).files())
        moment = chance.uniform(0, first.seconds)
        ended = runs.run(after=moment, by=number, group=group)
        told = f"after {moment:.3f} s: {ended.said}"
        assert "Traceback" not in ended.said, told
        assert ended.status != 0 or "modules: 4 passed" in ended.said, told
        assert runs.left_over() == [], told
        assert list(runs.temporary.iterdir()) == [], told
        assert_one_set(course, clean, told)
    state = chance.choice(STATES)
    write(course, state.files())
    whole = runs.run()
    assert whole.status == 0, whole.said
    assert Made.by(course).differs_from(clean[state]) == [], whole.said
