"""Runs that are killed, stopped or interrupted at any moment: what the package is then, and what the next run makes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.build_system.functional.forked_runs import ForkedRuns
from tests.build_system.geometry_course import FILES, GeometryCourse
from tinytorch_build.model import Outcome

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of a run in /proc"),
    pytest.mark.xdist_group("kills"),
]

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
KILLS = 500 if NIGHTLY else 50
"""How many runs each of the four tests kills: 200 in CI, 2,000 at night."""
MOST_IN_A_ROW = 1 if NIGHTLY else 6
"""How many runs in a row are killed before one may end."""
INTERRUPTIONS = 40 if NIGHTLY else 4

SOURCES = {
    "shapes": "lessons/01_shapes/shapes_dev.py",
    "colours": "lessons/02_colours/colours_dev.py",
    "areas": "lessons/03_areas/areas_dev.py",
    "summary": "lessons/04_summary/summary_dev.py",
}
RENAMED = tuple(SOURCES[name] for name in ("shapes", "areas", "summary"))
"""What speaks of `side`, or of `edge` after an edit; no module passes with another one's other version."""
FAULTS = {
    "shapes": ("class Square:", "class Square:\n    size = unknown"),
    "colours": ("def mix(", "def mix(("),
    "areas": ("assert area(Square(3)) == 9", "assert area(Square(3)) == 8"),
    "summary": ("#| export\ndef", "#| exported\ndef"),
}
"""What breaks each module: at import, when it is read, in a test, by what is not exported."""

Digests = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class State:
    """Which version of the sources is wanted.

    Attributes:
        edges: whether a square has an `edge`, in all three modules that care.
        lists: whether `mix` joins a list.
    """

    edges: bool
    lists: bool

    def files(self) -> dict[str, str]:
        """The files that differ between the states, with their texts."""
        texts = {path: FILES[path].replace("side", "edge" if self.edges else "side") for path in RENAMED}
        joined = 'f"{first}-{second}"', '"-".join([first, second])'
        mixing = FILES[SOURCES["colours"]]
        return {**texts, SOURCES["colours"]: mixing.replace(*joined) if self.lists else mixing}


STATES = [State(edges, lists) for edges in (False, True) for lists in (False, True)]


@dataclass(frozen=True, slots=True)
class Made:
    """What a course's build has made: the package with its record, and everything on the way there."""

    package: Digests
    everything: Digests

    @classmethod
    def by(cls, course: GeometryCourse) -> Made:
        folders = ("build/notebooks", "build/staging", "modules.lock")
        package = course.digests("geometry")
        on_the_way = {path: digest for name in folders for path, digest in course.digests(name).items()}
        return cls(package, package | on_the_way)

    def differs_from(self, other: Made) -> list[str]:
        """The files that are not the same in both."""
        return sorted({path for path, _ in self.everything.items() ^ other.everything.items()})


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Mapping[State, Made]:
    """What each state of the sources gives, built from nothing."""
    made = {}
    for state in STATES:
        course = write_course(tmp_path_factory.mktemp("clean") / "course")
        write(course, state.files())
        assert course.run().outcome is Outcome.PASSED, course.said
        made[state] = Made.by(course)
    assert len({frozenset(each.package.items()) for each in made.values()}) == len(STATES)
    return made


@pytest.fixture
def course(tmp_path: Path) -> GeometryCourse:
    return write_course(tmp_path / "course")


@pytest.fixture
def runs(course: GeometryCourse, tmp_path: Path) -> Iterator[ForkedRuns]:
    """Without pytest, numpy and hypothesis, which no cell needs and which take most of the time to start."""
    folder = tmp_path / "runs"
    folder.mkdir()
    preload = [f"tinytorch_build.stages.{name}" for name in ("inside_cells", "inside_import")]
    with ForkedRuns(course.root, folder, preload) as found:
        yield found


def write_course(folder: Path) -> GeometryCourse:
    """The course with inline tests alone: they are gates as good as any, and hundreds of runs need to be short."""
    course = GeometryCourse.write(folder)
    lines = course.text("modules.toml").partition("[tests]")[0].splitlines(keepends=True)
    course.put("modules.toml", "".join(line for line in lines if not line.startswith("tests = ")))
    shutil.rmtree(course.root / "checks")
    return course


def write(course: GeometryCourse, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        if course.text(path) != text:
            course.put(path, text)


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


def assert_one_set(course: GeometryCourse, clean: Mapping[State, Made], told: str) -> None:
    """What stands in the package is that of one state, whole."""
    package = course.digests("geometry")
    assert any(package == made.package for made in clean.values()), told


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
        assert (ended.status == 0) == ("modules: 4 passed" in ended.said), told
        assert runs.left_over() == [], told
        assert list(runs.temporary.iterdir()) == [], told
        assert_one_set(course, clean, told)
    state = chance.choice(STATES)
    write(course, state.files())
    whole = runs.run()
    assert whole.status == 0, whole.said
    assert Made.by(course).differs_from(clean[state]) == [], whole.said
