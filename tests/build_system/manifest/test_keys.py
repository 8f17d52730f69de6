"""Keys and tables that are unknown or missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import GOOD, SmallCourse, changed

MODULES = GOOD[GOOD.index("[modules.one]") :]

CASES = [
    pytest.param(
        'depends = ["one"]',
        'depend = ["one"]',
        [
            (
                "modules.toml:11: [modules.two] has the unknown key 'depend'; did you mean 'depends'? "
                "[unknown-key]\n"
                "  cure: write depends"
            )
        ],
        id="unknown key that resembles one",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'sorce = "src/02_two/two.py"',
        [
            (
                "modules.toml:9: [modules.two] has the unknown key 'sorce'; did you mean 'source'? "
                "[unknown-key]\n"
                "  cure: write source"
            )
        ],
        id="unknown key that resembles a required one",
    ),
    pytest.param(
        'depends = ["one"]',
        "zzz = 1",
        [
            (
                "modules.toml:11: [modules.two] has the unknown key 'zzz' [unknown-key]\n"
                "  cure: remove it; known here: source, target, depends, version, provides, tests, "
                "limits"
            )
        ],
        id="unknown key that resembles none",
    ),
    pytest.param(
        'depends = ["one"]',
        '"a b\\n" = 1',
        [
            (
                "modules.toml:11: [modules.two] has the unknown key 'a b\\n' [unknown-key]\n"
                "  cure: remove it; known here: source, target, depends, version, provides, tests, "
                "limits"
            )
        ],
        id="unknown key that needs quotes",
    ),
    pytest.param(
        "[package]",
        '[test]\nsystem = "s"\n[package]',
        [
            (
                "modules.toml:1: the table [test] is unknown; did you mean [tests]? [unknown-table]\n"
                "  cure: write [tests]"
            )
        ],
        id="unknown table that resembles one",
    ),
    pytest.param(
        "[package]",
        "[wheel]\n[package]",
        [
            (
                "modules.toml:1: the table [wheel] is unknown [unknown-table]\n"
                "  cure: remove it; known here: package, limits, tests, modules"
            )
        ],
        id="unknown table that resembles none",
    ),
    pytest.param(
        "[package]",
        "[limits]\ntest_seconds = 3\n[package]",
        [
            (
                "modules.toml:2: [limits] has the unknown key 'test_seconds'; did you mean "
                "'test-seconds'? [unknown-key]\n"
                "  cure: write test-seconds"
            )
        ],
        id="unknown limit",
    ),
    pytest.param(
        '[package]\nname = "course"\n',
        "",
        [
            (
                "modules.toml: there is no table [package] [missing-key]\n"
                '  cure: add [package] with a line such as name = "mycourse"'
            )
        ],
        id="no package",
    ),
    pytest.param(
        'name = "course"',
        'version = "1.0"',
        [
            (
                "modules.toml:1: [package] has no name [missing-key]\n"
                '  cure: add a line such as name = "mycourse"'
            )
        ],
        id="no name",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        "",
        [
            (
                "modules.toml:8: [modules.two] has no source [missing-key]\n"
                '  cure: add a line such as source = "modules/source/01_NAME/NAME_dev.py"'
            )
        ],
        id="no source",
    ),
    pytest.param(
        'target = "core.two"',
        "",
        [
            (
                "modules.toml:8: [modules.two] has no target [missing-key]\n"
                '  cure: add a line such as target = "core.NAME"'
            )
        ],
        id="no target",
    ),
    pytest.param(
        MODULES,
        "",
        [
            (
                "modules.toml: there is no table [modules] [missing-key]\n"
                "  cure: add a table such as [modules.NAME], with source and target, for each module"
            )
        ],
        id="no modules",
    ),
    pytest.param(
        MODULES,
        "[modules]\n",
        [
            (
                "modules.toml:4: [modules] declares no module [missing-key]\n"
                "  cure: add a table such as [modules.NAME], with source and target, for each module"
            )
        ],
        id="empty modules",
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
