"""Names that a package, a module or a target cannot have."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'name = "course"',
        'name = "my-course"',
        [
            (
                "modules.toml:2: [package] name is 'my-course', which is no Python identifier "
                "[bad-name]\n"
                "  cure: use letters, digits and underscores, and begin with a letter"
            )
        ],
        id="package name is no identifier",
    ),
    pytest.param(
        'name = "course"',
        'name = ""',
        [
            (
                "modules.toml:2: [package] name is '', which is empty [bad-name]\n"
                "  cure: use letters, digits and underscores, and begin with a letter"
            )
        ],
        id="package name is empty",
    ),
    pytest.param(
        'name = "course"',
        'name = "import"',
        [
            (
                "modules.toml:2: [package] name is 'import', which is a keyword of Python [bad-name]\n"
                "  cure: choose another name"
            )
        ],
        id="package name is a keyword",
    ),
    pytest.param(
        'name = "course"',
        'name = "json"',
        [
            (
                "modules.toml:2: [package] name is 'json', which is a module of Python's standard "
                "library [bad-name]\n"
                "  cure: choose a name that nothing else bears"
            )
        ],
        id="package name is in the standard library",
    ),
    pytest.param(
        'name = "course"',
        'name = "_course"',
        [
            (
                "modules.toml:2: [package] name is '_course', which no wheel can be called [bad-name]\n"
                "  cure: use ASCII letters, digits and, between them, underscores"
            )
        ],
        id="package name begins with an underscore",
    ),
    pytest.param(
        'name = "course"',
        'name = "build"',
        [
            (
                "modules.toml:2: [package] name is 'build', which is taken by the build [bad-name]\n"
                "  cure: choose a name that nothing else bears"
            )
        ],
        id="package name is taken by the build",
    ),
    pytest.param(
        "[modules.one]",
        '[modules.one]\nsource = "src/02_two/two.py"\ntarget = "core.three"\n[modules.one-b]',
        [
            (
                "modules.toml:7: a module is called 'one-b', which is no Python identifier [bad-name]\n"
                "  cure: use letters, digits and underscores, and begin with a letter"
            ),
            (
                "modules.toml:12: [modules.two] source is 'src/02_two/two.py', which is [modules.one] "
                "source already [duplicate-source]\n"
                "  cure: give each module a source of its own"
            ),
        ],
        id="module name has a hyphen",
    ),
    pytest.param(
        '[modules.one]\nsource = "src/01_one/one.py"\ntarget = "core.one"\n',
        (
            "[modules.one]\n"
            'source = "src/01_one/one.py"\ntarget = "core.one"\n[modules.all]\nsource = '
            '"src/03/x.py"\ntarget = "core.x"\n'
        ),
        [
            (
                "modules.toml:7: a module is called 'all', which stands for every module in depends "
                "[bad-name]\n"
                "  cure: choose another name"
            )
        ],
        id="module name is all",
    ),
    pytest.param(
        '[modules.one]\nsource = "src/01_one/one.py"\ntarget = "core.one"\n',
        (
            "[modules.one]\n"
            'source = "src/01_one/one.py"\ntarget = "core.one"\n[modules.class]\nsource = '
            '"src/03/x.py"\ntarget = "core.x"\n'
        ),
        [
            (
                "modules.toml:7: a module is called 'class', which is a keyword of Python [bad-name]\n"
                "  cure: choose another name"
            )
        ],
        id="module name is a keyword",
    ),
    pytest.param(
        "[modules.two]",
        f"[modules.{'x' * 201}]",
        [
            (
                f"modules.toml:8: a module is called '{'x' * 57}...', which is longer than 200 bytes [bad-name]\n"
                "  cure: choose a shorter name"
            )
        ],
        id="module name too long",
    ),
    pytest.param(
        'target = "core.two"',
        f'target = "{"a." * 500}a"',
        [
            (
                f"modules.toml:10: [modules.two] target is '{'a.' * 28}a...', which is longer than 1000 "
                "characters [bad-target]\n"
                "  cure: choose a shorter target"
            )
        ],
        id="target too long",
    ),
    pytest.param(
        '[modules.one]\nsource = "src/01_one/one.py"\ntarget = "core.one"\n',
        (
            "[modules.one]\n"
            'source = "src/01_one/one.py"\ntarget = "core.one"\n[modules."ﬁn"]\nsource = '
            '"src/03/x.py"\ntarget = "core.x"\n'
        ),
        [
            (
                "modules.toml:7: a module is called 'ﬁn', which Python would look up in another "
                "Unicode form [bad-name]\n"
                "  cure: use letters, digits and underscores, and begin with a letter"
            )
        ],
        id="module name in another unicode form",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core..two"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core..two', which has an empty part "
                "[bad-target]\n"
                "  cure: write identifiers with dots between, such as core.NAME"
            )
        ],
        id="target with an empty part",
    ),
    pytest.param(
        'target = "core.two"',
        'target = ""',
        [
            (
                "modules.toml:10: [modules.two] target is '', which is empty [bad-target]\n"
                "  cure: write identifiers with dots between, such as core.NAME"
            )
        ],
        id="target is empty",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core.class"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core.class', which is a keyword of Python "
                "in the part 'class' [bad-target]\n"
                "  cure: write identifiers with dots between, such as core.NAME"
            )
        ],
        id="target is a keyword",
    ),
    pytest.param(
        'target = "core.two"',
        'target = "core.__init__"',
        [
            (
                "modules.toml:10: [modules.two] target is 'core.__init__', a name that Python keeps "
                "for itself [bad-target]\n"
                "  cure: choose another name"
            )
        ],
        id="target is init",
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
