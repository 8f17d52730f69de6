"""What holds of every manifest: it is read, or refused with problems that print well, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from tests.build_system.manifest.small_course import GOOD, SmallCourse
from tinytorch_build.manifest import names, read_manifest


@pytest.fixture
def course(tmp_path: Path) -> SmallCourse:
    return SmallCourse.at(tmp_path)


TEXTS = [
    "",
    "course",
    "core.one",
    "../x",
    "/",
    "src/01_one/one.py",
    "src",
    "all",
    "one",
    "two",
    "one>=1",
    "\n",
]
LEAVES = st.one_of(
    st.sampled_from(TEXTS), st.text(), st.integers(), st.floats(), st.booleans(), st.dates(), st.times()
)
KEYS = st.one_of(
    st.sampled_from(
        [
            "package",
            "limits",
            "tests",
            "modules",
            "name",
            "source",
            "target",
            "depends",
            "version",
            "provides",
        ]
    ),
    st.text(max_size=4),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def toml_of(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_of(key)} = {toml_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def soundly_refused_or_read(root: Path, text: str) -> None:
    (root / "modules.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    manifest, problems = read_manifest(root / "modules.toml")
    assert (manifest is None) == bool(problems)
    for problem in problems:
        assert len(str(problem).splitlines()) == 2
        assert problem.cure
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1
    for path in [] if manifest is None else [path for m in manifest.modules for path in (m.source, *m.tests)]:
        assert (root / path).resolve().is_relative_to(root.resolve())


steady = settings(
    derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@settings(steady, max_examples=200)
@given(document=st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_tables_are_read_or_refused(course: SmallCourse, document: dict[str, object]) -> None:
    text = "\n".join(f"{toml_of(key)} = {toml_of(value)}" for key, value in document.items())
    soundly_refused_or_read(course.root, text)


@settings(steady, max_examples=200)
@given(data=st.data())
def test_any_change_of_one_value_is_read_or_refused(course: SmallCourse, data: st.DataObject) -> None:
    lines = GOOD.splitlines()
    index = data.draw(st.sampled_from([i for i, line in enumerate(lines) if "=" in line]))
    lines[index] = f"{lines[index].partition(' = ')[0]} = {toml_of(data.draw(VALUES))}"
    soundly_refused_or_read(course.root, "\n".join(lines))


@settings(steady, max_examples=300)
@given(
    start=st.integers(0, len(GOOD)),
    length=st.integers(0, 12),
    text=st.text("ab.=[]{}\",#\n\\' 1\x00é", max_size=6),
)
def test_any_edit_is_read_or_refused(course: SmallCourse, start: int, length: int, text: str) -> None:
    soundly_refused_or_read(course.root, GOOD[:start] + text + GOOD[start + length :])


NEARLY = st.text(alphabet="0123456789.,<>=!~ *ab-_[];(\u0661", max_size=12)


@settings(steady, max_examples=500)
@given(NEARLY)
@example("~=1")
@example(">=1,")
@example("1." * 140 + "1")
@example("a;" + "(" * 290)
def test_the_short_cuts_past_packaging_judge_as_it_does(text: str) -> None:
    judges: list[tuple[object, Callable[[str], object]]] = [
        (names.version_fault(text), Version),
        (names.constraint_fault(text, ">=1"), SpecifierSet),
        (names.requirement_fault(text), Requirement),
    ]
    for fault, parse in judges:
        try:
            parse(text)
        except (ValueError, RecursionError):
            assert fault is not None
        else:
            assert fault is None
