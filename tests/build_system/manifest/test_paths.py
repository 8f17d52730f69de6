"""Paths that leave the course or name nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import GOOD, SmallCourse, changed
from tinytorch_build.errors import ManifestError
from tinytorch_build.manifest import load_manifest
from tinytorch_build.test_files import find_test_files

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
                "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...', which is longer than "
                "1000 bytes, or 200 in one name [bad-path]\n"
                "  cure: choose shorter names"
            )
        ],
        id="too long",
    ),
    pytest.param(
        "[modules.one]",
        "[tests]\nintegration = '" + "é" * 101 + "'\n\n[modules.one]",
        [
            (
                f"modules.toml:5: [tests] integration is '{'é' * 57}...', which is longer than "
                "1000 bytes, or 200 in one name [bad-path]\n"
                "  cure: choose shorter names"
            )
        ],
        id="folder too long",
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


def test_a_test_file_that_is_a_link_out_of_the_course_is_refused(tmp_path: Path) -> None:
    course = SmallCourse.at(tmp_path / "course")
    course.write("modules.toml", GOOD)
    course.write("../private.py")
    manifest = load_manifest(course.root / "modules.toml")
    (course.root / "tests/integration").mkdir()
    (course.root / "tests/integration/test_in.py").symlink_to("../unit/test_two.py")
    assert [file.path for file in find_test_files(manifest)] == ["tests/integration/test_in.py"]
    (course.root / "tests/integration/test_out.py").symlink_to("../../../private.py")
    with pytest.raises(ManifestError) as caught:
        find_test_files(manifest)
    assert [str(problem) for problem in caught.value.problems] == [
        "modules.toml: the test file 'tests/integration/test_out.py' leads out of the course by a symbolic link "
        "[bad-path]\n  cure: put a copy inside the course in its place"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_test_file_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    course = SmallCourse.at(tmp_path)
    course.write("modules.toml", GOOD)
    manifest = load_manifest(course.root / "modules.toml")
    folder = course.root / "tests" / "integration"
    folder.mkdir()
    (folder / os.fsdecode(b"test_\xff.py")).write_bytes(b"")
    with pytest.raises(ManifestError, match=r"test_\\udcff.py' is not Unicode"):
        find_test_files(manifest)


def test_a_folder_that_is_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    course = SmallCourse.at(tmp_path)
    (course.root / "tests/integration").symlink_to("integration")
    assert course.problems(GOOD) == [
        "modules.toml: [tests] integration is 'tests/integration', which is a link that leads in a circle "
        "[not-a-folder]\n  cure: name a folder"
    ]
