"""The checks before the export as a whole."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.build_system.checks.samples import EXPORT, GOOD, SOURCE, TOP, before, course
from tinytorch_build.checks.before_export import check_before_export


def test_a_sound_source_has_no_problems() -> None:
    assert before(GOOD) == []


def test_problems_come_in_the_order_of_their_lines() -> None:
    assert [text.split(": ")[0] for text in before(f"{TOP}# %%\nx = (\n\n# %%\n#| exprot\n")] == [
        SOURCE,  # no cell is exported
        f"{SOURCE}:5",
        f"{SOURCE}:8",
    ]


def test_a_notebook_that_is_no_json() -> None:
    manifest = course(source="src/03_layers/layers_dev.ipynb")
    assert [str(problem) for problem in check_before_export(manifest, manifest["layers"], b"{")] == [
        "src/03_layers/layers_dev.ipynb:1: the notebook is no valid JSON: Expecting property name enclosed "
        "in double quotes: line 1 column 2 (char 1) [unreadable-source]"
    ]


LINES = st.sampled_from(
    [
        "# %%",
        "    # %%",
        "# %% [markdown]",
        '# %% a=1 {"b": [',
        "#| export",
        "#| default_exp core.layers",
        "#| default_exp",
        "#|",
        "# ---",
        "# jupyter:",
        "# ```",
        '"""',
        "'''",
        "def f():",
        "    return (",
        "]",
        "%%time",
        "!ls '",
        "x = !ls \\",
        "from . import a",
        "from __future__ import b",
        "import tensor_dev, os",
        "\\",
        "é = '\\N{BULLET}'",
        "",
    ]
)
steady = settings(derandomize=True, deadline=None, max_examples=300)


@steady
@given(st.lists(LINES, max_size=12), st.sampled_from(["", TOP, GOOD, TOP + EXPORT]))
def test_whatever_stands_in_a_source_is_a_problem_or_fine(lines: list[str], top: str) -> None:
    manifest = course()
    text = top + "\n".join(lines)
    for problem in check_before_export(manifest, manifest["layers"], text.encode()):
        assert problem.file == SOURCE
        assert problem.line is None or 1 <= problem.line <= text.count("\n") + 1
        assert not problem.message.endswith(".")


@steady
@given(st.binary(max_size=40), st.sampled_from([".py", ".ipynb", ".md"]))
def test_whatever_bytes_a_source_has_nothing_is_raised(raw: bytes, ending: str) -> None:
    manifest = course(source=f"src/03_layers/layers_dev{ending}")
    assert all(problem.check for problem in check_before_export(manifest, manifest["layers"], raw))


@pytest.mark.parametrize("cells", [2, 400])
def test_a_long_source_needs_no_longer_stack(cells: int) -> None:
    text = GOOD + "".join(f"{EXPORT}VALUE_{number} = 1\n\n" for number in range(cells))
    assert before(text) == []
