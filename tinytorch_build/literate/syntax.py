"""Parsing and compiling of course code without its warnings reaching the terminal."""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

PROCESS_WIDE = threading.RLock()
"""Held while code runs that changes what the whole process shares; doit runs tasks in several threads.

That is: the filter of warnings, jupytext's options, nbdev's processors, and every `ast.parse`. Python 3.11
counts the depth of a syntax tree for all threads together, and two that parse at once can end in
"SystemError: AST constructor recursion depth mismatch". Parsing is held back by the interpreter's own lock
anyway, so nothing is lost.
"""


def parse_code(text: str | bytes) -> ast.Module:
    """The syntax tree of some code.

    Raises:
        SyntaxError: it is no Python; also where Python itself says so by another exception.
    """
    with _in_silence():
        return ast.parse(text)


def compile_code(text: str, name: str) -> None:
    """Compile some code and throw the result away: finds what a syntax tree alone does not show.

    Args:
        text: the code.
        name: what stands for the file in the exception.

    Raises:
        SyntaxError: Python would refuse to run it.
    """
    with _in_silence():
        compile(text, name, "exec", dont_inherit=True)


@contextmanager
def _in_silence() -> Iterator[None]:
    """Invalid escapes and the like show when the module is imported; here they would garble the screen."""
    with PROCESS_WIDE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (
            ValueError,
            RecursionError,
            MemoryError,
        ) as error:  # NUL characters, and code nested too deeply
            reason = str(error) or "it is nested too deeply"
            raise SyntaxError(reason) from error
