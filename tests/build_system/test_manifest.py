"""Whole manifests: a good one, one with everything wrong, and files that are none."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import GOOD, SmallCourse, changed
from tinytorch_build.errors import ManifestError
from tinytorch_build.manifest import load_manifest, read_manifest
from tinytorch_build.model import CourseModule, Dependency, Limits, Manifest, Package, TestFolders

REPOSITORY = Path(__file__).parents[2]

FULL = """\
[package]
name = "course"
version = "2.0rc1"
requires-python = ">=3.12,<4"
dependencies = ["numpy>=1.26", "scipy[extra] ~= 1.0 ; python_version < '4'"]
include = "übriges und mehr/"

[limits]
import-seconds = 5
memory-mb = 512

[tests]
integration = "./tests//zusammen spiel"

[modules.one]
source = "quellen/01 eins/één.py"
target = "core.one"
version = "1.0.post1"

[modules.two]
source = "src/02_two/two.py"
target = "deep.er.two"
depends = ["one >= 1.0, <2"]
provides = ["Two", "two"]
tests = ["tests/unit/test_two.py"]
limits = { test-seconds = 300 }

[modules.three]
source = "src/03_three/three.ipynb"
target = "three"
depends = ["two", "one"]

[modules.three.limits]
memory-mb = 64

[modules.four]
source = "src/04/four.md"
target = "core.four"
depends = ["all"]
"""

MANY = """\
verson = 1
[package]
name = "my-course"
version = "one"
dependencies = ["numpy >="]
[limits]
test-seconds = -1
[modules.one]
source = "../one.py"
target = "core.one"
colour = "red"
[modules.two]
target = "core.one"
depends = ["won", "three"]
tests = ["tests/unit/test_three.py"]
[modules.three]
source = "src/02_two/two.py"
target = "core.three"
depends = ["three"]
provides = "Three"
"""


@pytest.fixture
def course(tmp_path: Path) -> SmallCourse:
    return SmallCourse.at(tmp_path)


def test_a_full_manifest_is_read_with_its_defaults(course: SmallCourse) -> None:
    for path in (
        "quellen/01 eins/één.py",
        "src/03_three/three.ipynb",
        "src/04/four.md",
        "übriges und mehr/x",
    ):
        course.write(path)
    course.write("modules.toml", FULL)
    one, two, three = Dependency("one"), Dependency("two"), Dependency("three")
    limits = Limits(5.0, 120.0, 512)
    assert load_manifest(course.root / "modules.toml") == Manifest(
        root=course.root,
        package=Package(
            "course",
            "2.0rc1",
            ">=3.12,<4",
            ("numpy>=1.26", "scipy[extra] ~= 1.0 ; python_version < '4'"),
            "übriges und mehr",
        ),
        modules=(
            CourseModule(
                "one", "quellen/01 eins/één.py", "core.one", version="1.0.post1", limits=limits, line=15
            ),
            CourseModule(
                "two",
                "src/02_two/two.py",
                "deep.er.two",
                (Dependency("one", ">=1.0,<2"),),
                provides=("Two", "two"),
                tests=("tests/unit/test_two.py",),
                limits=Limits(5.0, 300.0, 512),
                line=20,
            ),
            CourseModule(
                "three",
                "src/03_three/three.ipynb",
                "three",
                (one, two),
                limits=Limits(5.0, 120.0, 64),
                line=28,
            ),
            CourseModule("four", "src/04/four.md", "core.four", (one, two, three), limits=limits, line=36),
        ),
        tests=TestFolders(integration="tests/zusammen spiel"),
        limits=limits,
    )


def test_the_root_does_not_depend_on_the_current_folder(
    course: SmallCourse, monkeypatch: pytest.MonkeyPatch
) -> None:
    course.write("modules.toml", GOOD)
    monkeypatch.chdir(course.root / "src")
    assert load_manifest(Path("../modules.toml")).root == course.root
    monkeypatch.chdir("/")
    assert load_manifest(course.root / "modules.toml").by_name.keys() == {"one", "two"}


def test_everything_wrong_is_told_in_one_go_and_in_order(course: SmallCourse) -> None:
    course.write("modules.toml", MANY)
    with pytest.raises(ManifestError) as caught:
        load_manifest(course.root / "modules.toml")
    found = [(problem.line, problem.check) for problem in caught.value.problems]
    assert found == [
        (1, "unknown-key"),
        (3, "bad-name"),
        (4, "bad-version"),
        (5, "bad-requirement"),
        (7, "bad-limit"),
        (9, "bad-path"),
        (11, "unknown-key"),
        (12, "missing-key"),
        (13, "duplicate-target"),
        (14, "unknown-module"),
        (14, "module-order"),
        (15, "missing-file"),
        (19, "self-dependency"),
        (20, "wrong-type"),
    ]
    assert str(caught.value).startswith("modules.toml has 14 problems:\n  modules.toml:1: ")


def test_a_test_file_that_no_module_names_would_never_run(course: SmallCourse) -> None:
    for path in ("tests/unit/test_lost.py", "tests/unit/lost_test.py", "tests/unit/conftest.py"):
        course.write(path)
    cure = "add it to tests in the table of its module, or move it to another folder"
    assert course.problems(GOOD) == [
        f"modules.toml: the test file 'tests/unit/{name}' belongs to no module, so it would never run "
        f"[orphan-test]\n  cure: {cure}"
        for name in ("lost_test.py", "test_lost.py")
    ]


def test_a_misspelt_test_file_is_not_reported_as_an_orphan_too(course: SmallCourse) -> None:
    written_as_text = changed('["tests/unit/test_two.py"]', '"tests/unit/test_two.py"')
    assert course.problems(written_as_text) == [
        "modules.toml:12: [modules.two] tests is the string 'tests/unit/test_two.py'; an array of strings is "
        'wanted [wrong-type]\n  cure: write tests = ["tests/unit/test_two.py"]'
    ]


def test_links_inside_the_course_are_followed_and_those_that_leave_it_refused(
    course: SmallCourse, tmp_path_factory: pytest.TempPathFactory
) -> None:
    (tmp_path_factory.mktemp("elsewhere") / "two.py").touch()
    outside = tmp_path_factory.getbasetemp() / "elsewhere0"
    (course.root / "src/out").symlink_to(outside)
    (course.root / "src/in.py").symlink_to("02_two/two.py")
    (course.root / "src/loop.py").symlink_to("loop.py")
    (course.root / "src/made").symlink_to("../build")
    old = 'source = "src/02_two/two.py"'
    assert course.problems(changed(old, 'source = "src/in.py"')) == []
    assert course.problems(changed('target = "core.one"', 'target = "core.one"\ntests = ["src/in.py"]')) == []
    assert course.problems(changed(old, 'source = "src/out/two.py"')) == [
        "modules.toml:9: [modules.two] source is 'src/out/two.py', which leads out of the course by a "
        "symbolic link [bad-path]\n  cure: put a copy inside the course, and name that"
    ]
    assert course.problems(changed(old, 'source = "src/loop.py"')) == [
        "modules.toml:9: [modules.two] source is 'src/loop.py', which is not there [missing-file]\n"
        "  cure: create the file, or correct the path"
    ]
    assert course.problems(changed(old, 'source = "src/made/x.py"')) == [
        "modules.toml:9: [modules.two] source is 'src/made/x.py', which lies in a folder that the build "
        "writes [generated-path]\n  cure: move it to another folder: what lies there is replaced"
    ]
    linked = changed('source = "src/01_one/one.py"', 'source = "src/in.py"')
    assert course.problems(linked) == [
        "modules.toml:9: [modules.two] source is 'src/02_two/two.py', which is the same file as "
        "[modules.one] source 'src/in.py' [duplicate-source]\n  cure: give each module a source of its own"
    ]


def test_other_line_ends_do_not_move_lines(course: SmallCourse) -> None:
    text = changed('target = "core.two"', 'target = ""').replace("\n", "\r\n")
    (course.root / "modules.toml").write_bytes(text.encode())
    assert [problem.line for problem in read_manifest(course.root / "modules.toml")[1]] == [10]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            b"\xef\xbb\xbfverson = 1\n" + GOOD.encode(),
            [
                "modules.toml:1: the file begins with a byte order mark [byte-order-mark]\n"
                "  cure: save it as UTF-8 without a byte order mark",
                "modules.toml:1: the manifest has the unknown key 'verson' [unknown-key]\n"
                "  cure: remove it; known here: package, limits, tests, modules",
            ],
        ),
        (
            GOOD.encode("utf-16"),
            ["modules.toml:1: byte 0xff is not UTF-8 [not-utf-8]\n  cure: save the file as UTF-8"],
        ),
        (
            b"[package]\n# caf\xe9\n",
            ["modules.toml:2: byte 0xe9 is not UTF-8 [not-utf-8]\n  cure: save the file as UTF-8"],
        ),
    ],
)
def test_bytes_that_are_no_plain_utf_8(course: SmallCourse, data: bytes, expected: list[str]) -> None:
    (course.root / "modules.toml").write_bytes(data)
    assert [str(problem) for problem in read_manifest(course.root / "modules.toml")[1]] == expected


def test_a_manifest_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def told(path: Path) -> list[str]:
        return [str(problem) for problem in read_manifest(path)[1]]

    assert told(tmp_path / "modules.toml") == [
        "modules.toml: there is no such file [missing-file]\n"
        "  cure: go to the course's folder, or write a modules.toml that declares the course's modules"
    ]
    (tmp_path / "folder").mkdir()
    assert told(tmp_path / "folder") == [
        "folder: it is a folder [not-a-file]\n  cure: name the file modules.toml in it"
    ]
    assert told(tmp_path / "pipe") == [
        "pipe: it is no regular file [not-a-file]\n  cure: name the file modules.toml"
    ]
    assert told(tmp_path / ("x" * 300)) == [
        f"{'x' * 300}: the file cannot be read: File name too long [unreadable-file]\n"
        "  cure: correct the path, or the file's permissions"
    ]
    assert told(tmp_path / "a\0b")[0].startswith("modules.toml: the file cannot be read: embedded null")


def test_the_manifest_of_this_repository_is_sound(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "modules.toml", tmp_path)
    course = SmallCourse(tmp_path)
    data = tomllib.loads((tmp_path / "modules.toml").read_text(encoding="utf-8"))
    for path in data["package"].get("license-files", ()):
        course.write(path)
    for module in data["modules"].values():
        for path in (module["source"], *module["tests"]):
            course.write(path)
    manifest = load_manifest(tmp_path / "modules.toml")
    assert tuple(manifest.by_name) == tuple(data["modules"])
