"""What runs in the worker of inline cells: they are executed top to bottom, as Jupyter would."""

from __future__ import annotations
import __future__

import ast
import builtins
import inspect
import linecache
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any

from tinytorch_build.workers import announce

if TYPE_CHECKING:
    import asyncio

FUTURE_FLAGS = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


@dataclass(frozen=True, slots=True)
class CodeCell:
    """A code cell.

    Attributes:
        source: its text.
        line: 1-based line of the source file where its first line stands.
    """

    source: str
    line: int


def run_cells(source: str, cells: Sequence[CodeCell]) -> int:
    """Execute cells in one namespace, `__main__`.

    Args:
        source: path of their source from the course's root; tracebacks show it.
        cells: in the order of the file.

    Returns:
        the number of cells that ran to their end: all of them, since an exception leaves this function.
    """
    runner = CellRunner(source, cells)
    count = 0
    for cell in cells:
        announce(f"the cell at line {cell.line}", source, cell.line)
        runner.run(cell)
        count += 1
    runner.close()
    return count


class CellRunner:
    """Compiles cells with the line numbers of their source and executes them."""

    def __init__(self, source: str, cells: Sequence[CodeCell]) -> None:
        self._source = source
        self._namespace: dict[str, Any] = vars(sys.modules["__main__"])
        self._flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self._needs_shell = any(self._is_special(cell.source) for cell in cells)
        self._namespace["__builtins__"] = builtins
        setattr(builtins, "display", _display_nothing)  # noqa: B010 - Jupyter has it among the builtins too
        _show_in_tracebacks(source, cells)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """Where cells with a top-level `await` run."""
        import asyncio  # 40 ms, which few courses need

        return asyncio.new_event_loop()

    @cached_property
    def _shell(self) -> Shell:
        return Shell()

    def run(self, cell: CodeCell) -> None:
        """Execute one cell; whatever it raises comes out of here."""
        if not self._needs_shell:
            self._execute(self._compile(cell.source, cell.line))
            return
        text = cell.source.lstrip(
            "\n"
        )  # IPython drops blank lines at the top, and the count of lines with them
        line = cell.line + len(cell.source) - len(text)
        with self._shell.active():
            self._execute(self._compile(self._shell.transform(text), line))

    def close(self) -> None:
        """Let go of the event loop."""
        if "_loop" in self.__dict__:
            self._loop.close()

    def _is_special(self, text: str) -> bool:
        """Whether a cell holds what IPython knows and Python does not: a magic, a shell command, a `?`."""
        if "get_ipython" in text:
            return True
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the cell is compiled again when it runs
                compile(text, self._source, "exec", self._flags, dont_inherit=True)
        except (SyntaxError, ValueError):
            return True
        return False

    def _compile(self, text: str, line: int) -> CodeType:
        # Blank lines before the text, because a SyntaxError takes its line from there.
        code: CodeType = compile(
            "\n" * (line - 1) + text, self._source, "exec", self._flags, dont_inherit=True
        )
        self._flags |= (
            code.co_flags & FUTURE_FLAGS
        )  # as in Jupyter, a __future__ import holds for later cells
        return code

    def _execute(self, code: CodeType) -> None:
        pending = eval(code, self._namespace)
        if code.co_flags & inspect.CO_COROUTINE:
            self._loop.run_until_complete(pending)


class Shell:
    """IPython, for cells that need it. It costs a third of a second, so other cells do without."""

    def __init__(self) -> None:
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        config = Config()
        config.HistoryManager.enabled = False
        self._ipython = InteractiveShell.instance(config=config, user_module=sys.modules["__main__"])
        self._shown: list[BaseException] = []
        # Some magics (%%time in older versions, %%capture) show an exception instead of raising it.
        setattr(self._ipython, "showtraceback", self._keep_exception)  # noqa: B010 - a method, to mypy

    def transform(self, text: str) -> str:
        """Python code for a cell with magics."""
        return str(self._ipython.transform_cell(text))  # type: ignore[no-untyped-call]

    def active(self) -> _Active:
        """A context in which `get_ipython` and `display` are builtins; raises what a magic only showed."""
        return _Active(self._ipython.builtin_trap, self._shown)

    def _keep_exception(self, *arguments: object, **options: object) -> None:
        error = sys.exc_info()[1]
        if error is not None:
            self._shown.append(error)


class _Active:
    def __init__(self, trap: Any, shown: list[BaseException]) -> None:  # IPython has no types
        self._trap = trap
        self._shown = shown

    def __enter__(self) -> None:
        self._trap.__enter__()

    def __exit__(self, *exception: object) -> None:
        self._trap.__exit__(None, None, None)
        if self._shown and exception[0] is None:
            raise self._shown[0]


def _display_nothing(*objects: object, **options: object) -> None:
    """Takes the place of Jupyter's `display`: figures and tables go nowhere."""


def _show_in_tracebacks(source: str, cells: Sequence[CodeCell]) -> None:
    """Let `linecache` know the cells' text, so that tracebacks and `inspect` show it."""
    lines: list[str] = []
    for cell in cells:
        lines += ["\n"] * (cell.line - 1 - len(lines))
        lines += [f"{line}\n" for line in cell.source.split("\n")]
    linecache.cache[source] = (sum(map(len, lines)), None, lines, source)
