"""Versions, requirements, limits and names provided that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'depends = ["one"]',
        'version = "1.0.x"',
        [
            (
                "modules.toml:11: [modules.two] version is '1.0.x', which is no version [bad-version]\n"
                "  cure: write numbers with dots, such as 1.0.0 (PEP 440)"
            )
        ],
        id="version is no version",
    ),
    pytest.param(
        'depends = ["one"]',
        'version = "' + "1" * 400 + '"',
        [
            (
                "modules.toml:11: [modules.two] version is "
                "'111111111111111111111111111111111111111111111111111111111...', which is no version "
                "(longer than 300 characters) [bad-version]\n"
                "  cure: write numbers with dots, such as 1.0.0 (PEP 440)"
            )
        ],
        id="version is endless",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\nrequires-python = "3.11"',
        [
            (
                "modules.toml:3: [package] requires-python is '3.11', which is no version constraint "
                "[bad-constraint]\n"
                "  cure: write it as >=3.11 (PEP 440)"
            )
        ],
        id="requires python is no constraint",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ndependencies = ["numpy>=1.26", "num py"]',
        [
            (
                "modules.toml:3: [package] dependencies holds 'num py', which is no requirement "
                "[bad-requirement]\n"
                "  cure: write it as NAME or NAME>=1.0,<2 (PEP 508)"
            )
        ],
        id="dependency is no requirement",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ndependencies = ["Course>=1"]',
        [
            (
                "modules.toml:3: [package] dependencies holds 'Course>=1', which is the package "
                "itself [bad-requirement]\n"
                "  cure: remove it, or rename the package"
            )
        ],
        id="dependency is the package",
    ),
    pytest.param(
        "[package]",
        "[limits]\ntest-seconds = 0\n[package]",
        [
            (
                "modules.toml:2: [limits] test-seconds is the integer 0; a number above 0 and up to "
                "86400 is wanted [bad-limit]\n"
                "  cure: write test-seconds = 120, or leave the line out"
            )
        ],
        id="limit is zero",
    ),
    pytest.param(
        "[package]",
        "[limits]\ntest-seconds = -1.5\n[package]",
        [
            (
                "modules.toml:2: [limits] test-seconds is the float -1.5; a number above 0 and up to "
                "86400 is wanted [bad-limit]\n"
                "  cure: write test-seconds = 120, or leave the line out"
            )
        ],
        id="limit is negative",
    ),
    pytest.param(
        "[package]",
        "[limits]\ntest-seconds = nan\n[package]",
        [
            (
                "modules.toml:2: [limits] test-seconds is the float nan; a number above 0 and up to "
                "86400 is wanted [bad-limit]\n"
                "  cure: write test-seconds = 120, or leave the line out"
            )
        ],
        id="limit is nan",
    ),
    pytest.param(
        "[package]",
        "[limits]\ntest-seconds = inf\n[package]",
        [
            (
                "modules.toml:2: [limits] test-seconds is the float inf; a number above 0 and up to "
                "86400 is wanted [bad-limit]\n"
                "  cure: write test-seconds = 120, or leave the line out"
            )
        ],
        id="limit is infinite",
    ),
    pytest.param(
        "[package]",
        "[limits]\nmemory-mb = 99999999999999999999\n[package]",
        [
            (
                "modules.toml:2: [limits] memory-mb is a huge integer; an integer above 0 and up to "
                "1048576 is wanted [bad-limit]\n"
                "  cure: write memory-mb = 2048, or leave the line out"
            )
        ],
        id="limit is absurd",
    ),
    pytest.param(
        'depends = ["one"]',
        "limits = { test-seconds = 86401 }",
        [
            (
                "modules.toml:11: [modules.two.limits] test-seconds is the integer 86401; a number "
                "above 0 and up to 86400 is wanted [bad-limit]\n"
                "  cure: write test-seconds = 120, or leave the line out"
            )
        ],
        id="module limit is too long",
    ),
    pytest.param(
        'depends = ["one"]',
        'provides = ["Two", "2"]',
        [
            (
                "modules.toml:11: [modules.two] provides holds '2', which is no Python identifier "
                "[bad-name]\n"
                "  cure: use letters, digits and underscores, and begin with a letter"
            )
        ],
        id="provides is no identifier",
    ),
    pytest.param(
        'depends = ["one"]',
        'provides = ["Two", "Two"]',
        [
            (
                "modules.toml:11: [modules.two] provides holds 'Two', which is in [modules.two] "
                "provides already [duplicate-name]\n"
                "  cure: let one module export each name, once"
            )
        ],
        id="provides twice",
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), CASES)
def test_each_fault_is_told_with_its_place_and_cure(
    tmp_path: Path, old: str, new: str, expected: list[str]
) -> None:
    course = SmallCourse.at(tmp_path)
    for path in ("src/03/x.py", "src/01_one/three.py", "lib/01_one/one.py"):
        course.write(path)
    assert course.problems(changed(old, new)) == expected
