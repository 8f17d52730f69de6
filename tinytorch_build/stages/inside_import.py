"""What runs in the worker of an import check: the import, and a look at what it did."""

from __future__ import annotations

import importlib
import sys
import traceback
import warnings
from dataclasses import dataclass

from tinytorch_build.workers import Frame, announce
from tinytorch_build.workers.failures import is_machinery, plain_text


@dataclass(frozen=True, slots=True)
class Said:
    """Something that the import printed or warned of.

    Attributes:
        text: what it said.
        frames: where, innermost last.
    """

    text: str
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class ImportFacts:
    """What an import did.

    Attributes:
        origin: the file that the module came from.
        missing: names in `__all__` that the module does not have.
        has_odd_all: whether `__all__` is no list of names.
        printed: the first thing that it printed, or None.
        warned: every warning.
    """

    origin: str
    missing: tuple[str, ...]
    has_odd_all: bool
    printed: Said | None
    warned: tuple[Said, ...]


def import_alone(dotted: str) -> ImportFacts:
    """Import a module of the view."""
    announce(f"the import of {dotted}")
    printed: list[Said] = []
    _notice_writes(printed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(dotted)
        names = getattr(module, "__all__", [])
        is_odd = not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names)
        missing = () if is_odd else tuple(plain_text(name) for name in names if not hasattr(module, name))
    spec = module.__spec__
    return ImportFacts(
        origin="" if spec is None or spec.origin is None else spec.origin,
        missing=missing,
        has_odd_all=is_odd,
        printed=printed[0] if printed else None,
        warned=tuple(_warned(message) for message in caught),
    )


def _warned(caught: warnings.WarningMessage) -> Said:
    text = f"{caught.category.__name__}: {plain_text(caught.message)}"
    return Said(plain_text(text), (Frame(plain_text(caught.filename), caught.lineno, "<module>"),))


def _notice_writes(found: list[Said]) -> None:
    """Keep the first text that Python code writes to standard output or error, with the place that does."""
    for stream in (sys.stdout, sys.stderr):
        write = stream.write

        def noticing(text: str, write: object = write) -> int:
            if not found and text.strip():
                found.append(Said(plain_text(text), _stack()))
            return write(text)  # type: ignore[operator,no-any-return]

        setattr(stream, "write", noticing)  # noqa: B010 - the type of a method cannot be assigned to


def _stack() -> tuple[Frame, ...]:
    frames = [
        Frame(plain_text(frame.f_code.co_filename), line, frame.f_code.co_name)
        for frame, line in traceback.walk_stack(sys._getframe(2))
        if not is_machinery(frame.f_code.co_filename)
    ]
    return tuple(reversed(frames))
