"""Text that is no TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'depends = ["one"]',
        "depends = [one]",
        [
            (
                "modules.toml:11: the file is not valid TOML: Invalid value at column 12 "
                "[invalid-toml]\n"
                "  cure: put text in double quotes, and one comma between items"
            )
        ],
        id="bad value",
    ),
    pytest.param(
        'depends = ["one"]',
        "depends",
        [
            (
                "modules.toml:11: the file is not valid TOML: Expected '=' after a key in a key/value "
                "pair at column 8 [invalid-toml]\n"
                "  cure: write KEY = VALUE; a comment begins with #"
            )
        ],
        id="no equals sign",
    ),
    pytest.param(
        'depends = ["one"]',
        'x = "a\\qb"',
        [
            (
                "modules.toml:11: the file is not valid TOML: Unescaped '\\' in a string at column 9 "
                "[invalid-toml]\n"
                "  cure: write / between folders"
            )
        ],
        id="backslash in a string",
    ),
    pytest.param(
        'depends = ["one"]',
        'x = "a\nb"',
        [
            (
                "modules.toml:11: the file is not valid TOML: Illegal character '\\n' at column 7 "
                "[invalid-toml]\n"
                "  cure: close the string on the line on which it begins"
            )
        ],
        id="string over two lines",
    ),
    pytest.param(
        'tests = ["tests/unit/test_two.py"]',
        "tests = [",
        [
            (
                "modules.toml: the file is not valid TOML: Invalid value at the end of the file "
                "[invalid-toml]\n"
                "  cure: put text in double quotes, and one comma between items"
            )
        ],
        id="unclosed",
    ),
    pytest.param(
        'depends = ["one"]',
        "limits = { a = 1, a = 2 }",
        [
            (
                "modules.toml:11: [modules.two.limits] 'a' is declared twice, first on line 11 "
                "[duplicate-key]\n"
                "  cure: keep one of the two"
            )
        ],
        id="inline key twice",
    ),
    pytest.param(
        'depends = ["one"]',
        "x = " + "9" * 5000,
        [
            (
                "modules.toml: the file is not valid TOML: a number is too long [invalid-toml]\n"
                "  cure: correct the TOML there"
            )
        ],
        id="long number",
    ),
    pytest.param(
        'depends = ["one"]',
        "x = " + "[" * 20000,
        [
            (
                "modules.toml: the tables or arrays are nested too deeply [invalid-toml]\n"
                "  cure: write the plain tables that a manifest consists of"
            )
        ],
        id="deep",
    ),
    pytest.param(
        "[modules.two]",
        "[modules.one]",
        [
            (
                "modules.toml:8: the table [modules.one] is declared twice, first on line 4 "
                "[duplicate-table]\n"
                "  cure: rename one of the two, or merge them"
            )
        ],
        id="module twice",
    ),
    pytest.param(
        'depends = ["one"]',
        'target = "core.x"',
        [
            (
                "modules.toml:11: [modules.two] 'target' is declared twice, first on line 10 "
                "[duplicate-key]\n"
                "  cure: keep one of the two"
            )
        ],
        id="key twice",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends.x = 1\ndepends = ["one"]',
        [
            (
                "modules.toml:12: the file is not valid TOML: Cannot overwrite a value at column 18 "
                "[invalid-toml]\n"
                "  cure: declare each table and each key once"
            )
        ],
        id="table over a key",
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
