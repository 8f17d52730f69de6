"""How many cases hypothesis makes, and how long one may take.

CI takes few, always the same ones. `HYPOTHESIS_PROFILE=nightly python -m pytest tests/build_system/any_input`
takes 20,000 new ones of each kind; what it finds becomes a small test of its own.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from hypothesis import HealthCheck, settings

CASE_SECONDS = 30
"""Far more than any case needs, so that only a hang is one."""

_SHARED = settings(deadline=None, suppress_health_check=list(HealthCheck))
settings.register_profile("ci", _SHARED, max_examples=200, derandomize=True)
settings.register_profile("nightly", _SHARED, max_examples=20_000, print_blob=True)

CASES = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
"""The profile that the environment chose; the profile of all other tests is left alone."""


def fewer(by: int) -> settings:
    """The chosen profile with one case for every `by`, for cases that take longer."""
    return settings(CASES, max_examples=max(1, CASES.max_examples // by))


class Hang(BaseException):
    """A case took too long; no `except Exception` on the way may take it for something else."""


@contextmanager
def bounded() -> Iterator[None]:
    """End what is inside if it hangs: by an exception, or, where Python itself does not listen, by the end."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"a case took more than {CASE_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(CASE_SECONDS)
    faulthandler.dump_traceback_later(4 * CASE_SECONDS, exit=True)
    try:
        yield
    except Hang as hang:
        raise AssertionError(str(hang)) from hang  # which hypothesis makes smaller and shows
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
