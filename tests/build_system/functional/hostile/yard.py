"""A published course in which some modules turn hostile, each in its own way, and what one run makes of it."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import indent

from tests.build_system.geometry_course import DODO, GeometryCourse
from tinytorch_build.model import Outcome, Problem, errors

MANIFEST = """\
[package]
name = "yard"
dependencies = []

[limits]
import-seconds = 30
test-seconds = 30
memory-mb = 400
"""

FIRST, LAST = "aa_first", "zz_last"
"""Modules that do nothing wrong: one that is checked before the hostile ones, and one after them."""


@dataclass(frozen=True, slots=True)
class Hostile:
    """A module that turns hostile.

    Attributes:
        name: its name.
        checks: ids of the problems that it must have, in their order.
        message: what the last of them must say.
        at_import, in_function, in_cell, in_test: code that it runs there.
        test_file: the whole text of its test file, in place of `in_test`.
        beside: more files, by path from the course's root; `{tests}` is the folder of its tests.
        limits: its own limits.
    """

    name: str
    checks: Sequence[str]
    message: str = ""
    at_import: str = ""
    in_function: str = ""
    in_cell: str = ""
    in_test: str = ""
    test_file: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)
    limits: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass
class Yard(GeometryCourse):
    """The course, and what was there before the run that counts.

    Attributes:
        temporary: where the build puts its temporary files, and nothing else does.
    """

    temporary: Path = field(default_factory=Path)
    before: dict[str, str] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    published_before: dict[str, str] = field(default_factory=dict)
    left_behind: list[str] = field(default_factory=list)

    @classmethod
    def publish(cls, folder: Path, cases: Sequence[Hostile]) -> Yard:
        """Write the course, with good modules only, and publish it."""
        course = cls(folder / "course", temporary=folder / "temporary")
        course.temporary.mkdir()
        course.put("dodo.py", DODO)
        names = [FIRST, *(case.name for case in cases), LAST]
        limits = {case.name: case.limits for case in cases}
        course.put("modules.toml", MANIFEST + "".join(_table(name, limits.get(name, "")) for name in names))
        for name in names:
            course.put(source_of(name), _source(name))
            course.put(test_of(name), _test(name))
        assert course.run().outcome is Outcome.PASSED, course.said
        return course

    def turn_hostile(self, cases: Sequence[Hostile]) -> None:
        """Let the modules turn hostile and validate; the two good ones are edited, too, so that they are checked."""
        for name in (FIRST, LAST):
            self.edit(source_of(name), "(3) == 6", "(4) == 8")
        for case in cases:
            self._write(case)
        self.before = self._precious()
        self.published_before = self.published()
        shared = _shared_memory()
        self.run()
        after = self._precious()
        self.changed = {name for name in self.before | after if self.before.get(name) != after.get(name)}
        self.left_behind = processes_of(self.temporary)
        self.left_behind += sorted(os.listdir(self.temporary)) + sorted(_shared_memory() - shared)

    def reform(self, case: Hostile) -> None:
        """Make a hostile module good again."""
        self.put(source_of(case.name), _source(case.name))
        self.put(test_of(case.name), _test(case.name))

    def problems(self, name: str) -> tuple[Problem, ...]:
        """What is wrong with a module, warnings aside."""
        stages = self.report.modules[name].stages.values()
        return tuple(problem for task in stages for problem in errors(task.problems))

    def published(self) -> dict[str, str]:
        return self.digests("yard") | self.digests("modules.lock")

    def _write(self, case: Hostile) -> None:
        body = f"{indent(case.in_function, '    ')}\n    return" if case.in_function else "    return"
        source = _source(case.name).replace("    return", body)
        source = source.replace("\n\n# %%\nassert", f"\n\n{case.at_import}\n\n# %%\nassert")
        self.put(source_of(case.name), f"{source}\n# %%\n{case.in_cell}\n" if case.in_cell else source)
        test = case.test_file or f"{_test(case.name)}{indent(case.in_test, '    ')}\n"
        self.put(test_of(case.name), test)
        for path, text in case.beside.items():
            self.put(path.format(tests=f"checks/{case.name}", sources=f"lessons/{_folder(case.name)}"), text)

    def _precious(self) -> dict[str, str]:
        """Content, time and permissions of what nobody but the build, or not even the build, may change."""
        found: dict[str, str] = {}
        for name in ("modules.toml", "dodo.py", "lessons", "checks", "yard", "modules.lock"):
            for file, digest in self.digests(name).items():
                stat = (self.root / file).lstat()
                found[file] = f"{digest} {stat.st_mode:o} {stat.st_mtime_ns}"
        return found


def source_of(name: str) -> str:
    return f"lessons/{_folder(name)}/{name}_dev.py"


def _folder(name: str) -> str:
    return f"01_{name}"


def test_of(name: str) -> str:
    return f"checks/{name}/test_{name}.py"


def _table(name: str, limits: str) -> str:
    lines = [f"\n[modules.{name}]", f'source = "{source_of(name)}"', f'target = "{name}"']
    lines += [f'tests = ["{test_of(name)}"]', *([f"limits = {{ {limits} }}"] if limits else [])]
    return "\n".join(lines) + "\n"


def _source(name: str) -> str:
    return (
        f"# %%\n#| default_exp {name}\n\n# %%\n#| export\n"
        f'def twice_{name}(number: int) -> int:\n    """Twice a number."""\n    return 2 * number\n\n'
        f"# %%\nassert twice_{name}(3) == 6\n"
    )


def _test(name: str) -> str:
    return f"from yard.{name} import twice_{name}\n\n\ndef test_twice() -> None:\n    assert twice_{name}(1) == 2\n"


def _shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm")) if sys.platform == "linux" else set()


def processes_of(temporary: Path) -> list[str]:
    """The command lines of the processes whose folder for temporary files lies in some folder: the workers."""
    return list(_processes_of(os.fsencode(temporary)))


def _processes_of(mark: bytes) -> Iterator[str]:
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if re.search(b"TMPDIR=" + re.escape(mark), environment.read_bytes()):
                yield environment.with_name("cmdline").read_text(errors="replace")
        except OSError:
            continue  # it has just ended, or is somebody else's
