"""The check of jupytext's YAML header: whether jupytext can read it."""

from __future__ import annotations

from tinytorch_build.checks.source import SourceUnderCheck
from tinytorch_build.literate import UnreadableSource, cells_by_jupytext
from tinytorch_build.literate.percent import header_length
from tinytorch_build.model import Problem


def has_readable_header(source: SourceUnderCheck) -> list[Problem]:
    """jupytext reads the header between the two `# ---` at the top; our own reader passes over it."""
    lines = source.text.split("\n")
    header = lines[: header_length(lines)]
    if not source.path.endswith(".py") or not header:
        return []
    try:
        cells_by_jupytext("\n".join([*header, "", "# %%", ""]), source.path)
    except UnreadableSource as error:
        cure = "write it as `jupytext --set-formats ipynb,py:percent` does, or take it out"
        return [source.problem("jupytext-header", error.problem.message, 1, cure)]
    return []
