"""Dependencies that are unknown, doubtful, too late or circular."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.build_system.manifest.small_course import SmallCourse, changed

CASES = [
    pytest.param(
        'depends = ["one"]',
        'depends = ["on"]',
        [
            (
                "modules.toml:11: [modules.two] depends names 'on'; did you mean 'one'? "
                "[unknown-module]\n"
                "  cure: write one"
            )
        ],
        id="unknown module that resembles one",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["core.one"]',
        [
            (
                "modules.toml:11: [modules.two] depends names 'core.one'; did you mean 'one'? "
                "[unknown-module]\n"
                "  cure: write one"
            )
        ],
        id="unknown module that is a target",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["numpy"]',
        [
            (
                "modules.toml:11: [modules.two] depends names 'numpy', which no table declares "
                "[unknown-module]\n"
                "  cure: declare [modules.numpy] above it; other packages belong into [package] "
                "dependencies"
            )
        ],
        id="unknown module that resembles none",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = [">=1.0"]',
        [
            (
                "modules.toml:11: [modules.two] depends holds '>=1.0', which names no module "
                "[unknown-module]\n"
                "  cure: write the name of a module declared above"
            )
        ],
        id="no name",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["two"]',
        [("modules.toml:11: [modules.two] depends names 'two' itself [self-dependency]\n  cure: remove it")],
        id="itself",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["one", "one>=1.0"]',
        [
            (
                "modules.toml:11: [modules.two] depends names 'one' twice [duplicate-dependency]\n"
                "  cure: keep one of the two; a constraint may have several parts: NAME>=1.0,<2"
            )
        ],
        id="twice",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["one>=1.0,<<2"]',
        [
            (
                "modules.toml:11: [modules.two] depends holds 'one>=1.0,<<2', which is no version "
                "constraint [bad-constraint]\n"
                "  cure: write it as one>=1.0,<2 (PEP 440)"
            )
        ],
        id="bad constraint",
    ),
    pytest.param(
        'target = "core.one"',
        (
            'target = "core.one"\n'
            'depends = ["three"]\n[modules.three]\nsource = "src/01_one/three.py"\ntarget = '
            '"core.three"'
        ),
        [
            (
                "modules.toml:7: [modules.one] depends names 'three', which is declared below it "
                "(line 8) [module-order]\n"
                "  cure: move the table [modules.three] above [modules.one]"
            )
        ],
        id="below",
    ),
    pytest.param(
        'target = "core.one"',
        'target = "core.one"\ndepends = [\n  "two",\n]',
        [
            (
                "modules.toml:8: modules depend on each other in a circle: one -> two -> one [cycle]\n"
                "  cure: remove one of these dependencies, or move what both sides need into a module "
                "above them"
            )
        ],
        id="cycle",
    ),
    pytest.param(
        'target = "core.one"',
        (
            'target = "core.one"\n'
            'depends = ["two", "three"]\n[modules.three]\nsource = "src/01_one/three.py"\ntarget = '
            '"core.three"\ndepends = ["one"]'
        ),
        [
            (
                "modules.toml:7: modules depend on each other in a circle: one -> two -> one; three "
                "is caught in it too [cycle]\n"
                "  cure: remove one of these dependencies, or move what both sides need into a module "
                "above them"
            )
        ],
        id="cycle with others",
    ),
    pytest.param(
        'target = "core.one"\n\n[modules.two]',
        (
            'target = "core.one"\n'
            'depends = ["three"]\n[modules.three]\nsource = "src/01_one/three.py"\ntarget = '
            '"core.three"\ndepends = ["all"]\n[modules.two]'
        ),
        [
            (
                "modules.toml:7: modules depend on each other in a circle: one -> three -> one "
                "[cycle]\n"
                "  cure: remove one of these dependencies, or move what both sides need into a module "
                "above them"
            )
        ],
        id="cycle by all",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["one", "all"]',
        [
            (
                "modules.toml:11: [modules.two] depends names 'all' beside other entries [mixed-all]\n"
                '  cure: write depends = ["all"] alone, or list the modules without it'
            )
        ],
        id="all with others",
    ),
    pytest.param(
        'depends = ["one"]',
        'depends = ["all>=1"]',
        [
            (
                "modules.toml:11: [modules.two] depends holds 'all>=1', but 'all' takes no version "
                "constraint [bad-constraint]\n"
                '  cure: write depends = ["all"]'
            )
        ],
        id="all with a constraint",
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
