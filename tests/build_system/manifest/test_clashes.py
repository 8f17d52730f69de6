"""What two modules claim."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/01_one/one.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/01_one/one.py', which is [modules.one] "
                "source already [duplicate-source]\n"
                "  cure: give each module a source of its own"
            )
        ],
        id="same source",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "./src//01_one/one.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/01_one/one.py', which is [modules.one] "
                "source already [duplicate-source]\n"
                "  cure: give each module a source of its own"
            )
        ],
        id="same source spelt otherwise",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "lib/01_one/one.py"',
        [
            (
                "modules.toml:9: [modules.two] source makes the notebook '01_one/one.ipynb', as "
                "[modules.one] source does [duplicate-notebook]\n"
                "  cure: rename one of the two files, or its folder"
            )
        ],
        id="same notebook",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core.one"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core.one', which is [modules.one] target "
                "already [duplicate-target]\n"
                "  cure: give each module a target of its own, which begins no other target"
            )
        ],
        id="same target",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core.One"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core.One', which differs from "
                "[modules.one] target 'core.one' only in case [duplicate-target]\n"
                "  cure: give each module a target of its own, which begins no other target"
            )
        ],
        id="target differs in case",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "Core.two"',
        [
            (
                "modules.toml:10: [modules.two] target is 'Core.two', whose folder 'Core' differs "
                "only in case from that of [modules.one] target [duplicate-target]\n"
                "  cure: give each module a target of its own, which begins no other target"
            )
        ],
        id="target folder differs in case",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core.one.two"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core.one.two', which needs a folder where "
                "[modules.one] target 'core.one' is a file [duplicate-target]\n"
                "  cure: give each module a target of its own, which begins no other target"
            )
        ],
        id="target inside a file",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core', a file, where [modules.one] target "
                "'core.one' needs a folder [duplicate-target]\n"
                "  cure: give each module a target of its own, which begins no other target"
            )
        ],
        id="target is a folder",
    ),
    pytest.param(
        'target = "core.one"',
        'target = "core.one"\ntests = ["tests/unit/test_two.py"]',
        [
            (
                "modules.toml:13: [modules.two] tests holds 'tests/unit/test_two.py', which is in "
                "[modules.one] tests already [duplicate-test]\n"
                "  cure: leave it to one module; tests of several modules belong into the integration "
                "folder"
            )
        ],
        id="test of two modules",
    ),
    pytest.param(
        'target = "core.one"\n\n[modules.two]',
        'target = "core.one"\nprovides = ["Same"]\n\n[modules.two]\nprovides = ["Same"]',
        [
            (
                "modules.toml:10: [modules.two] provides holds 'Same', which is in [modules.one] "
                "provides already [duplicate-name]\n"
                "  cure: let one module export each name, once"
            )
        ],
        id="name of two modules",
    ),
    pytest.param(
        "[package]",
        '[tests]\nintegration = "tests/unit/more"\nsystem = "tests/unit/more/x"\n[package]',
        [
            (
                "modules.toml:3: [tests] system is 'tests/unit/more/x', which shares files with "
                "[tests] integration 'tests/unit/more' [overlapping-tests]\n"
                "  cure: give each kind a folder of its own"
            )
        ],
        id="test folders in one another",
    ),
    pytest.param(
        "[package]",
        '[tests]\nsystem = "tests/unit"\n[package]',
        [
            (
                "modules.toml:14: [modules.two] tests holds 'tests/unit/test_two.py', which lies in "
                "[tests] system 'tests/unit' [overlapping-tests]\n"
                "  cure: move it to a folder of unit tests, or remove it here"
            )
        ],
        id="unit test in a test folder",
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
