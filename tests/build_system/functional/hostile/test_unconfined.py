"""Where the system does not shut workers in: what they change is seen, and the package is put right."""

from __future__ import annotations

import pytest

from tests.build_system.functional.hostile.verdicts import assert_verdict
from tests.build_system.functional.hostile.yard import FIRST, LAST, Hostile, Yard, source_of
from tinytorch_build.model import Outcome

CONFINED = False
"""For the fixture `yard`."""

ROOT = "import os, pathlib\nroot = pathlib.Path(__file__).parents[2]\n"
FIRST_SOURCE = source_of(FIRST)


def changing(name: str, file: str, code: str) -> Hostile:
    """A module whose test changes a file of the course and passes."""
    code = f"{ROOT}file = root / '{file}'\n{code}"
    return Hostile(name, ["course-changed"], f"{file} changed while test:{name} ran", in_test=code)


def rewriting(name: str, file: str, code: str) -> Hostile:
    """A module whose test changes a file of the published package and passes."""
    code = f"{ROOT}file = root / '{file}'\n{code}"
    return Hostile(name, ["course-changed"], f"(while test:{name} ran)", in_test=code)


CASES = [
    changing("source", FIRST_SOURCE, "file.write_text(file.read_text() + '# me')"),
    changing(
        "stealthy",
        FIRST_SOURCE,
        "was = file.stat()\nfile.write_text(file.read_text().replace('# me', '# us'))\n"
        "os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))",
    ),
    changing("permissions", FIRST_SOURCE, "file.chmod(0o600)"),
    changing(
        "link",
        FIRST_SOURCE,
        "file.rename(file.with_suffix('.old'))\nfile.symlink_to(file.with_suffix('.old'))",
    ),
    changing("tests", f"checks/{LAST}/conftest.py", "file.write_text('import os')"),
    changing("manifest", "modules.toml", "file.write_text(file.read_text() + '# me')"),
    changing("staging", f"build/staging/yard/{FIRST}.py", "file.write_text('x = 1')"),
    rewriting("package", f"yard/{FIRST}.py", "file.write_text('x = 1')"),
    rewriting("added", "yard/more.py", "file.write_text('x = 1')"),
    Hostile(
        "parent",
        ["tests-not-delivered"],
        "lost the process that watches over it",
        in_test="import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(600)",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_it_is_seen(yard: Yard, case: Hostile) -> None:
    assert_verdict(yard, case)


def test_the_package_is_as_it_was(yard: Yard) -> None:
    assert yard.published() == yard.published_before
    assert yard.left_behind == []


def test_nobody_else_fails(yard: Yard) -> None:
    for name in (FIRST, LAST):
        assert yard.report.modules[name].outcome is Outcome.PASSED, yard.said


def test_the_next_run_is_told_nothing_wrong(yard: Yard) -> None:
    for case in CASES:
        yard.reform(case)
    yard.run()
    assert yard.report.outcome is Outcome.PASSED, yard.said
