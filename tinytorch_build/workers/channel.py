"""The private pipe from a worker to its supervisor: what the worker is doing, and in the end its result.

A message is the job's token, one letter for its kind, the length of what follows, and that. The token tells
our own code from course code that writes into every descriptor it finds. It is no secret from code that
searches the memory of its own process: nothing in there could be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from tinytorch_build.workers.job import Activity
from tinytorch_build.workers.wire import LENGTH, MAX_RESULT, framed, write_all

ACTIVITY, RESULT = b"A", b"R"
MAX_ACTIVITY = 3000
"""Characters of a name; with it a message stays within what a pipe takes in one piece."""


_getpid = os.getpid
"""Taken before course code can put something else in its place."""


class Speaker:
    """The worker's end."""

    def __init__(self, descriptor: int, token: bytes) -> None:
        self._descriptor = descriptor
        self._token = token
        self._process = _getpid()

    def announce(self, activity: Activity) -> None:
        """Say what the worker is doing now."""
        said = [activity.what[:MAX_ACTIVITY], activity.file, activity.line]
        self._send(ACTIVITY, json.dumps(said).encode())

    def deliver(self, result: bytes) -> None:
        """Hand over the result: the last word."""
        self._send(RESULT, result)

    def _send(self, kind: bytes, data: bytes) -> None:
        if _getpid() == self._process:  # course code may have forked: one process speaks
            write_all(self._descriptor, self._token + kind + framed(data))


class Listener:
    """The supervisor's end: fed with bytes, it knows what they mean.

    Attributes:
        activity: what the worker said last about what it was doing.
        result: what the worker handed over, or None as long as it has not.
        fault: why what arrived cannot be from our own code, or None.
    """

    def __init__(self, token: bytes) -> None:
        self._token = token
        self.activity: Activity | None = None
        self.result: bytes | None = None
        self.fault: str | None = None
        self._pending = bytearray()

    @property
    def is_over(self) -> bool:
        """Whether nothing that may still arrive is of interest."""
        return self.result is not None or self.fault is not None

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self._pending += data
        while not self.is_over and (message := self._next_message()) is not None:
            kind, payload = message
            if kind == RESULT:
                self.result = payload
            else:
                self._heard(payload)

    def _next_message(self) -> tuple[bytes, bytes] | None:
        mark = len(self._token)
        header = mark + 1 + LENGTH.size
        begin = bytes(self._pending[:mark])
        kind = bytes(self._pending[mark : mark + 1])
        if not self._token.startswith(begin) or (kind and kind not in (ACTIVITY, RESULT)):
            self.fault = "wrote into the pipe that is meant for its result"
        if self.fault or len(self._pending) < header:
            return None
        size = LENGTH.unpack_from(self._pending, mark + 1)[0]
        if size > MAX_RESULT:
            self.fault = f"delivered a result of more than {MAX_RESULT >> 20} MB"
        if self.fault or len(self._pending) < header + size:
            return None
        payload = bytes(self._pending[header : header + size])
        del self._pending[: header + size]
        return kind, payload

    def _heard(self, payload: bytes) -> None:
        try:
            what, file, line = json.loads(payload)
        except ValueError:
            self.fault = "wrote into the pipe that is meant for its result"
            return
        self.activity = Activity(str(what), file, line)


_announce: Callable[[Activity], None] | None = None
"""Set once, in a worker: the process is the job's own, so this is the job's own too."""


def speak_through(speaker: Speaker) -> None:
    """From now on `announce` goes through this speaker."""
    global _announce
    _announce = speaker.announce


def announce(what: str, file: str | None = None, line: int | None = None) -> None:
    """Say what the job is doing now; outside of a worker it does nothing.

    Args:
        what: such as the id of a test.
        file: the file that holds it.
        line: 1-based line in `file`.
    """
    if _announce is not None:
        _announce(Activity(what, file, line))
