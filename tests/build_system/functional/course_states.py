"""A small course whose sources can be in several states, and what each of them gives when it is built from nothing."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.build_system.functional.forked_runs import ForkedRuns
from tests.build_system.geometry_course import FILES, GeometryCourse

SOURCES = {
    "shapes": "lessons/01_shapes/shapes_dev.py",
    "colours": "lessons/02_colours/colours_dev.py",
    "areas": "lessons/03_areas/areas_dev.py",
    "summary": "lessons/04_summary/summary_dev.py",
}
RENAMED = tuple(SOURCES[name] for name in ("shapes", "areas", "summary"))
"""What speaks of `side`, or of `edge` after an edit; no module passes with another one's other version."""
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


def built_from_nothing(folder: Path) -> Mapping[State, Made]:
    """What each state of the sources gives; courses are written into new folders inside `folder`."""
    made = {}
    with ForkedRuns(folder, folder / "runs") as runs:
        for number, state in enumerate(STATES):
            course = write_course(folder / str(number))
            write(course, state.files())
            ended = runs.run(course=course.root)
            assert ended.status == 0, ended.said
            made[state] = Made.by(course)
    assert len({frozenset(each.package.items()) for each in made.values()}) == len(STATES)
    return made


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


def assert_one_set(course: GeometryCourse, clean: Mapping[State, Made], told: str) -> None:
    """What stands in the package is that of one state, whole."""
    package = course.digests("geometry")
    assert any(package == made.package for made in clean.values()), told
