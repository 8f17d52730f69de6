"""A value of the wrong type: what it is, what is wanted, and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import GOOD, SmallCourse, changed

MODULES = GOOD[GOOD.index("[modules.one]") :]

CASES = [
    pytest.param(
        '[package]\nname = "course"\n',
        'package = "course"\n',
        [
            (
                "modules.toml:1: package is the string 'course'; a table is wanted [wrong-type]\n"
                "  cure: write [package] as a header of its own, with its keys below"
            )
        ],
        id="package is a string",
    ),
    pytest.param(
        'name = "course"',
        "name = 3",
        [
            (
                "modules.toml:2: [package] name is the integer 3; a string is wanted [wrong-type]\n"
                '  cure: write name = "3"'
            )
        ],
        id="name is an integer",
    ),
    pytest.param(
        'name = "course"',
        "name = 0xffffffffffffffffffffffffffffffffffffffff",
        [
            (
                "modules.toml:2: [package] name is a huge integer; a string is wanted [wrong-type]\n"
                '  cure: write a line such as name = "mycourse"'
            )
        ],
        id="name is a huge integer",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\nversion = 1.0',
        [
            (
                "modules.toml:3: [package] version is the float 1.0; a string is wanted [wrong-type]\n"
                '  cure: write version = "1.0"'
            )
        ],
        id="version is a float",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\nversion = 1979-05-27',
        [
            (
                "modules.toml:3: [package] version is a date or time; a string is wanted [wrong-type]\n"
                '  cure: write a line such as version = "0.1.0"'
            )
        ],
        id="version is a date",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\nrequires-python = true',
        [
            (
                "modules.toml:3: [package] requires-python is the boolean true; a string is wanted "
                "[wrong-type]\n"
                '  cure: write a line such as requires-python = ">=3.11"'
            )
        ],
        id="requires python is a boolean",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ndependencies = "numpy"',
        [
            (
                "modules.toml:3: [package] dependencies is the string 'numpy'; an array of strings is "
                "wanted [wrong-type]\n"
                '  cure: write dependencies = ["numpy"]'
            )
        ],
        id="dependencies is a string",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ninclude = ["files"]',
        [
            (
                "modules.toml:3: [package] include is an array; a string is wanted [wrong-type]\n"
                '  cure: write a line such as include = "package_files"'
            )
        ],
        id="include is an array",
    ),
    pytest.param(
        "[package]",
        "limits = 3\n[package]",
        [
            (
                "modules.toml:1: limits is the integer 3; a table is wanted [wrong-type]\n"
                "  cure: write [limits] as a header of its own, with its keys below"
            )
        ],
        id="limits is an integer",
    ),
    pytest.param(
        "[package]",
        '[limits]\ntest-seconds = "300"\n[package]',
        [
            (
                "modules.toml:2: [limits] test-seconds is the string '300'; a number is wanted "
                "[wrong-type]\n"
                "  cure: write test-seconds = 120"
            )
        ],
        id="limit is a string",
    ),
    pytest.param(
        "[package]",
        "[limits]\nimport-seconds = true\n[package]",
        [
            (
                "modules.toml:2: [limits] import-seconds is the boolean true; a number is wanted "
                "[wrong-type]\n"
                "  cure: write import-seconds = 20"
            )
        ],
        id="limit is a boolean",
    ),
    pytest.param(
        "[package]",
        "[limits]\nmemory-mb = 1.5\n[package]",
        [
            (
                "modules.toml:2: [limits] memory-mb is the float 1.5; an integer is wanted "
                "[wrong-type]\n"
                "  cure: write memory-mb = 2048"
            )
        ],
        id="memory is a float",
    ),
    pytest.param(
        "[package]",
        "tests = []\n[package]",
        [
            (
                "modules.toml:1: tests is an array; a table is wanted [wrong-type]\n"
                "  cure: write [tests] as a header of its own, with its keys below"
            )
        ],
        id="tests table is an array",
    ),
    pytest.param(
        "[package]",
        "[tests.system]\n[package]",
        [
            (
                "modules.toml:1: [tests] system is a table; a string is wanted [wrong-type]\n"
                '  cure: write a line such as system = "tests/system"'
            )
        ],
        id="test folder is a table",
    ),
    pytest.param(
        MODULES,
        '[[modules]]\nname = "one"\n',
        [
            (
                "modules.toml:4: modules is an array; a table is wanted [wrong-type]\n"
                "  cure: write [modules] in single brackets, with its keys below"
            )
        ],
        id="modules are an array",
    ),
    pytest.param(
        '[modules.one]\nsource = "src/01_one/one.py"\ntarget = "core.one"\n',
        '[modules]\none = "src/01_one/one.py"\n',
        [
            (
                "modules.toml:5: [modules] one is the string 'src/01_one/one.py'; a table is wanted "
                "[wrong-type]\n"
                "  cure: write [modules.one] as a header of its own, with its keys below"
            )
        ],
        id="module is a string",
    ),
    pytest.param(
        "[modules.one]",
        "[[modules.one]]",
        [
            (
                "modules.toml:4: [modules] one is an array; a table is wanted [wrong-type]\n"
                "  cure: write [modules.one] in single brackets, with its keys below"
            )
        ],
        id="module is an array of tables",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = [["a"]]',
        [
            (
                "modules.toml:9: [modules.two] source is an array; a string is wanted [wrong-type]\n"
                '  cure: write a line such as source = "modules/source/01_NAME/NAME_dev.py"'
            )
        ],
        id="source is nested",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = "one"',
        [
            (
                "modules.toml:11: [modules.two] depends is the string 'one'; an array of strings is "
                "wanted [wrong-type]\n"
                '  cure: write depends = ["one"]'
            )
        ],
        id="depends is a string",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = [\n  "one", # the first\n  2,\n]',
        [
            (
                "modules.toml:13: [modules.two] depends holds the integer 2; every item must be a "
                "string [wrong-type]\n"
                "  cure: put every item in double quotes"
            )
        ],
        id="depends holds an integer",
    ),
    pytest.param(
        'depends = ["one"]',
        "provides = {}",
        [
            (
                "modules.toml:11: [modules.two] provides is a table; an array of strings is wanted "
                "[wrong-type]\n"
                '  cure: write provides = ["NAME"]'
            )
        ],
        id="provides is a table",
    ),
    pytest.param(
        'depends = ["one"]',
        "limits = [1]",
        [
            (
                "modules.toml:11: [modules.two] limits is an array; a table is wanted [wrong-type]\n"
                "  cure: write [modules.two.limits] as a header of its own, with its keys below"
            )
        ],
        id="module limits is an array",
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
