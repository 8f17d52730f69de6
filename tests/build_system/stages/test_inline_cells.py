"""Inline cells: they run as in Jupyter, and a failing one names its line."""

from __future__ import annotations

import sys

import pytest

from tests.build_system.stages.staged_course import StagedCourse
from tinytorch_build.literate import document_of
from tinytorch_build.model import Limits, Problem
from tinytorch_build.stages.findings import StageFindings
from tinytorch_build.stages.inline_cells import CellsRequest, run_inline_cells, runnable_cells
from tinytorch_build.stages.inside_cells import CodeCell
from tinytorch_build.workers import Workers

SOURCE = "src/a_dev.py"


def findings(workers: Workers, course: StagedCourse, *cells: str) -> StageFindings:
    """What running cells finds that stand ten lines apart, from line 10 on."""
    placed = tuple(CodeCell(text, 10 * number) for number, text in enumerate(cells, 1))
    return run_inline_cells(
        workers, CellsRequest("a", SOURCE, placed, course.view("a"), course.limits, course.locate)
    )


@pytest.mark.parametrize(
    "cells",
    [
        pytest.param(["x = 1", "assert x == 1"], id="one namespace"),
        pytest.param(["assert __name__ == '__main__'", "import __main__; __main__.x = 3", "assert x == 3"], id="main"),
        pytest.param(["display(1, [2]); None", "from IPython.display import display; display(3)"], id="display"),
        pytest.param(["import asyncio", "await asyncio.sleep(0)\nx = 1", "assert x"], id="await"),
        pytest.param(
            ["from __future__ import annotations", "def f(x: Nothing) -> Nowhere: ...\nf(1)"], id="future import"
        ),
        pytest.param(
            ["from dataclasses import dataclass", "@dataclass\nclass A:\n    x: int", "import pickle",
             "assert pickle.loads(pickle.dumps(A(1))) == A(1)"],
            id="pickle",
        ),
        pytest.param(["import inspect", "def f():\n    return 1", "assert 'return 1' in inspect.getsource(f)"], id="source"),
        pytest.param(["\n\n%time x = 1", "assert x == 1"], id="line magic"),
        pytest.param(["%%time\nx = 1", "assert x == 1"], id="cell magic"),
        pytest.param(["x = !echo hello", "assert x == ['hello']"], id="shell command"),
        pytest.param(["assert get_ipython() is not None"], id="get_ipython"),
        pytest.param(["len?", "?len"], id="help"),
        pytest.param(["# a comment alone", ""], id="nothing"),
        pytest.param(["from pkg.core.b import one", "assert one == 1"], id="dependency"),
    ],
)  # fmt: skip
def test_cells_that_run(workers: Workers, course: StagedCourse, cells: list[str]) -> None:
    course.stage("b", "one = 1\n")
    assert findings(workers, course, *cells).problems == ()


def test_no_cells_are_no_work(workers: Workers, course: StagedCourse) -> None:
    assert findings(workers, course) == StageFindings()


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        pytest.param(
            ["x = 1", "y = 2\nassert x == y, 'they differ'"],
            Problem(
                "inline-cell", "AssertionError: they differ, at `assert x == y, 'they differ'`", SOURCE, 21
            ),
            id="assertion",
        ),
        pytest.param(
            ["assert 1 == 2"],
            Problem("inline-cell", "AssertionError, at `assert 1 == 2`", SOURCE, 10),
            id="bare assertion",
        ),
        pytest.param(
            ["def f():\n    return 1 / 0", "f()"],
            Problem(
                "inline-cell",
                "ZeroDivisionError: division by zero, at `f()` (raised in src/a_dev.py:11)",
                SOURCE,
                20,
            ),
            id="function of an earlier cell",
        ),
        pytest.param(
            ["from pkg.core.b import f", "f(0)"],
            Problem(
                "inline-cell",
                "ZeroDivisionError: division by zero, at `f(0)` (raised in src/b_dev.py:102)",
                SOURCE,
                20,
            ),
            id="function of another module",
        ),
        pytest.param(
            ["x = 1", "x = 2\ny = = 3"],
            Problem("inline-cell", "SyntaxError: invalid syntax, at `y = = 3`", SOURCE, 21),
            id="syntax",
        ),
        pytest.param(
            ["%time x = 1", "x = 1\n1 / 0"],
            Problem("inline-cell", "ZeroDivisionError: division by zero, at `1 / 0`", SOURCE, 21),
            id="beside magics",
        ),
        pytest.param(
            ["%%capture\n1 / 0"],
            Problem("inline-cell", "ZeroDivisionError: division by zero, at `%%capture`", SOURCE, 10),
            id="under a magic",
        ),
        pytest.param(
            ["from pkg.core.hidden import x"],
            Problem(
                "dependency-not-satisfied",
                "Module dependencies not satisfied: "
                "'pkg.core.hidden' is not among the modules that a declares",
                SOURCE,
                10,
                'add "hidden" to depends of [modules.a] in modules.toml',
            ),
            id="undeclared",
        ),
        pytest.param(
            ["x = 1", "import os\nos._exit(0)"],
            Problem(
                "inline-cell-exited",
                "the cell at line 20 ended by itself with exit status 0 before it delivered a result "
                "(os._exit, sys.exit or exec?)",
                SOURCE,
                20,
                "take out the call that ends the process",
            ),
            id="os._exit",
        ),
        pytest.param(
            ["import sys; sys.exit(0)"],
            Problem(
                "inline-cell-exited",
                "the cell at line 10 called sys.exit(0) before it delivered a result, "
                "at `import sys; sys.exit(0)`",
                SOURCE,
                10,
                "take out the call that ends the process",
            ),
            id="sys.exit",
        ),
    ],
)
def test_a_cell_that_fails(
    workers: Workers, course: StagedCourse, cells: list[str], problem: Problem
) -> None:
    course.stage("b", "def f(x):\n    return 1 / x\n")
    assert findings(workers, course, *cells).problems == (problem,)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker cannot be asked where it is")
def test_a_cell_that_does_not_end_is_stopped_at_its_line(workers: Workers, course: StagedCourse) -> None:
    course.limits = Limits(test_seconds=0.5)
    assert findings(workers, course, "x = 1", "x = 2\nwhile x: pass").problems == (
        Problem(
            "inline-cell-timed-out",
            "the cell at line 20 took longer than 0.5 s and was stopped, at `while x: pass`",
            SOURCE,
            21,
            "look for a loop that does not end, or raise test-seconds of the module in modules.toml",
        ),
    )


def test_a_deep_recursion_ends(workers: Workers, course: StagedCourse) -> None:
    (problem,) = findings(workers, course, "def f(n): return f(n + 1)", "f(0)").problems
    assert problem.message == (
        "RecursionError: maximum recursion depth exceeded, at `f(0)` (raised in src/a_dev.py:10)"
    )


def test_cells_leave_no_trace(workers: Workers, course: StagedCourse) -> None:
    cell = "open('left', 'w').close()\nimport textwrap\ntextwrap.dedent = None"
    assert findings(workers, course, cell).problems == ()
    cell = "import os, textwrap\nassert os.listdir() == []\nassert textwrap.dedent is not None"
    assert findings(workers, course, cell).problems == ()


@pytest.mark.parametrize("name", ["builtins.print", "numpy.linalg.solve", "pytest.raises"])
def test_cells_leave_what_is_not_theirs(workers: Workers, course: StagedCourse, name: str) -> None:
    module = name.rpartition(".")[0]
    (problem,) = findings(workers, course, f"import {module}\n{name} = lambda *values: 0").problems
    assert problem == Problem(
        "inline-cell-tampered",
        f"the cell at line 10 replaced {name}, which is not its own, so its result proves nothing",
        SOURCE,
        10,
        "leave it as it was; in a test, `monkeypatch` puts back what it replaced",
    )


def test_cells_that_are_not_to_be_evaluated_are_left_out() -> None:
    text = "# %%\n#| eval: false\n1 / 0\n\n# %% [markdown]\n# Prose\n\n# %%\n#| export\nx = 1\n"
    document = document_of(text.encode(), SOURCE)
    assert runnable_cells(document) == (CodeCell("#| export\nx = 1", 9),)
