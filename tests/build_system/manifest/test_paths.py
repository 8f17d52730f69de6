"""Paths that leave the course or name nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/03_three/three.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/03_three/three.py', which is not there "
                "[missing-file]\n"
                "  cure: create the file, or correct the path"
            )
        ],
        id="missing source",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/02_two/tow.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/02_two/tow.py', which is not there "
                "[missing-file]\n"
                "  cure: write src/02_two/two.py"
            )
        ],
        id="misspelt source",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/02_two"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/02_two', which is a folder [not-a-file]\n"
                "  cure: name the file itself"
            )
        ],
        id="source is a folder",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = ""',
        [
            (
                "modules.toml:9: [modules.two] source is '', which is empty [bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="empty",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "/etc/passwd"',
        [
            (
                "modules.toml:9: [modules.two] source is '/etc/passwd', which does not start at the "
                "course's root [bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="absolute",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "C:/course/two.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'C:/course/two.py', which does not start at "
                "the course's root [bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="drive",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "~/two.py"',
        [
            (
                "modules.toml:9: [modules.two] source is '~/two.py', which does not start at the "
                "course's root [bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="home",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/../../two.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/../../two.py', which climbs by '..' "
                "[bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="climbs",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        "source = 'src\\02_two\\two.py'",
        [
            (
                "modules.toml:9: [modules.two] source is 'src\\\\02_two\\\\two.py', which holds a "
                "backslash [bad-path]\n"
                "  cure: write src/02_two/two.py"
            )
        ],
        id="backslash",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "src/\\u0000.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'src/\\x00.py', which holds a control "
                "character [bad-path]\n"
                "  cure: remove it"
            )
        ],
        id="nul",
    ),
    pytest.param(
        "[package]",
        '[tests]\nsystem = "."\n[package]',
        [
            (
                "modules.toml:2: [tests] system is '.', which is the course's root itself [bad-path]\n"
                "  cure: name something inside it"
            )
        ],
        id="root",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "' + "x" * 300 + '.py"',
        [
            (
                "modules.toml:9: [modules.two] source is "
                "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...', which is not there "
                "[missing-file]\n"
                "  cure: create the file, or correct the path"
            )
        ],
        id="too long",
    ),
    pytest.param(
        'tests = ["tests/unit/test_two.py"]',
        'tests = ["tests/unit/test_tow.py"]',
        [
            (
                "modules.toml:12: [modules.two] tests holds 'tests/unit/test_tow.py', which is not "
                "there [missing-file]\n"
                "  cure: write tests/unit/test_two.py"
            )
        ],
        id="missing test",
    ),
    pytest.param(
        'tests = ["tests/unit/test_two.py"]',
        'tests = ["tests/unit"]',
        [
            (
                "modules.toml:12: [modules.two] tests holds 'tests/unit', which is a folder "
                "[not-a-file]\n"
                "  cure: name the file itself"
            )
        ],
        id="test is a folder",
    ),
    pytest.param(
        "[package]",
        '[tests]\nsystem = "src/01_one/one.py"\n[package]',
        [
            (
                "modules.toml:2: [tests] system is 'src/01_one/one.py', which is no folder "
                "[not-a-folder]\n"
                "  cure: name a folder"
            )
        ],
        id="test folder is a file",
    ),
    pytest.param(
        "[package]",
        '[tests]\nvalidation = "../tests"\n[package]',
        [
            (
                "modules.toml:2: [tests] validation is '../tests', which climbs by '..' [bad-path]\n"
                "  cure: write a path inside the course, relative to modules.toml, with / between "
                "folders"
            )
        ],
        id="test folder leaves the course",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ninclude = "files"',
        [
            (
                "modules.toml:3: [package] include is 'files', which is not there [missing-folder]\n"
                "  cure: create it, or remove the line"
            )
        ],
        id="include is missing",
    ),
    pytest.param(
        'name = "course"',
        'name = "course"\ninclude = "src/01_one/one.py"',
        [
            (
                "modules.toml:3: [package] include is 'src/01_one/one.py', which is no folder "
                "[not-a-folder]\n"
                "  cure: name a folder"
            )
        ],
        id="include is a file",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "build/notebooks/two.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'build/notebooks/two.py', which lies in a "
                "folder that the build writes [generated-path]\n"
                "  cure: move it to another folder: what lies there is replaced"
            )
        ],
        id="source in the build",
    ),
    pytest.param(
        'source = "src/02_two/two.py"',
        'source = "course/two.py"',
        [
            (
                "modules.toml:9: [modules.two] source is 'course/two.py', which lies in a folder that "
                "the build writes [generated-path]\n"
                "  cure: move it to another folder: what lies there is replaced"
            )
        ],
        id="source in the package",
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
