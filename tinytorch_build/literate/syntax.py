"""Parsing and compiling of course code without its warnings reaching the terminal."""

from __future__ import annotations

import ast
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_warnings_lock = threading.Lock()
"""The filter of warnings belongs to the whole process, and doit may run checks in several threads."""


def parse_code(text: str) -> ast.Module:
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
    with _warnings_lock, warnings.catch_warnings():
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
