"""Whole runs over any manifest and any source: a report or a refusal, and a package of what passed alone."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.build_system.any_input.mutations import encoded, mutated
from tests.build_system.any_input.profiles import fewer
from tests.build_system.any_input.sources import TOKENS
from tests.build_system.any_input.surroundings import Surroundings
from tests.build_system.geometry_course import COLOURS, MANIFEST, SHAPES, GeometryCourse
from tinytorch_build.errors import CourseError
from tinytorch_build.model import Outcome
from tinytorch_build.tasks import validate

MANIFEST_TOKENS = (
    "depends = ['all']",
    "[modules.new]",
    "provides = ['x']",
    'target = "x"',
    "[limits]",
    "tests = []",
)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, bytes]:
    """One file of the course, and what somebody has made of it."""
    name, text, tokens = draw(
        st.sampled_from(
            [
                ("lessons/01_shapes/shapes_dev.py", SHAPES, TOKENS),
                ("lessons/02_colours/colours_dev.py", COLOURS, TOKENS),
                ("checks/unit/test_colours.py", "def test_one() -> None:\n    assert True\n", TOKENS),
                ("checks/integration/test_any.py", "def test_one() -> None:\n    assert True\n", TOKENS),
                ("modules.toml", MANIFEST, MANIFEST_TOKENS),
            ]
        )
    )
    return name, draw(encoded(draw(mutated(text, tokens))))


def test_any_edit_ends_in_a_report_or_a_refusal(tmp_path: Path) -> None:
    place = Surroundings.at(tmp_path)
    GeometryCourse.write(place.course)
    assert validate(place.course, stream=io.StringIO()).outcome is Outcome.PASSED
    tally: Counter[str] = Counter()

    @fewer(50)
    @given(edits())
    def any_edit(edit: tuple[str, bytes]) -> None:
        name, data = edit
        path = place.course / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        stream = io.StringIO()
        with place.untouched():
            try:
                report = validate(place.course, stream=stream)
            except CourseError:
                tally["refused"] += 1
            else:
                tally[report.outcome.value] += 1
                assert "tinytorch_build/" not in stream.getvalue()  # a traceback of ours
            path.unlink() if before is None else path.write_bytes(before)
            report = validate(place.course, stream=stream)
            assert report.outcome is Outcome.PASSED, stream.getvalue()

    with place.entered():
        any_edit()
    print(dict(tally))
