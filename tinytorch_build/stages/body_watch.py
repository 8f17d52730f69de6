"""Seeing for ourselves that the body of a test runs: pytest may be told that it passed without that."""

from __future__ import annotations

import sys
import threading
from types import FrameType

_setprofile, _set_for_threads = sys.setprofile, threading.setprofile
"""Taken before course code can put something else in their place."""


class BodyWatch:
    """A context that notes whether a function begins, and stops looking as soon as it has.

    It costs little: what it looks at is what pytest does between the start of a test and the test's first
    line. (PEP 669 would do for Python 3.12; a profile function does for all.)

    Args:
        file: absolute path of the file that holds the function.
        name: its qualified name: `TestAdd.test_zero`.
    """

    def __init__(self, file: str, name: str) -> None:
        self.has_begun = False
        self._file = file
        self._name = name

    def __enter__(self) -> BodyWatch:
        _set_for_threads(self._on_event)
        _setprofile(self._on_event)
        return self

    def __exit__(self, *exception: object) -> None:
        if not self.has_begun:
            self._stop()

    def _on_event(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_qualname == self._name and code.co_filename == self._file:
            self.has_begun = True
            self._stop()

    def _stop(self) -> None:
        _setprofile(None)
        _set_for_threads(None)
