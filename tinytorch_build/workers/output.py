"""Keeping the beginning and the end of an output, however long it is."""

from __future__ import annotations

from collections import deque

HEAD_BYTES = 16 * 1024
TAIL_BYTES = 48 * 1024


class HeadTail:
    """A buffer that never holds much more than `head + tail` bytes, and always holds the end."""

    def __init__(self, head: int = HEAD_BYTES, tail: int = TAIL_BYTES) -> None:
        self._room = head
        self._limit = tail
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._held = 0
        self._dropped = 0

    def write(self, data: bytes) -> None:
        """Take in some more bytes."""
        if len(self._head) < self._room:
            taken = self._room - len(self._head)
            self._head += data[:taken]
            data = data[taken:]
        if len(data) > self._limit:
            self._dropped += len(data) - self._limit
            data = data[-self._limit :]
        if data:
            self._tail.append(data)
            self._held += len(data)
        while self._held - len(self._tail[0] if self._tail else b"") >= self._limit:
            first = self._tail.popleft()
            self._held -= len(first)
            self._dropped += len(first)

    def text(self) -> str:
        """What was written, with a word on what was left out of its middle."""
        tail = b"".join(self._tail)
        dropped = self._dropped + max(0, len(tail) - self._limit)
        tail = tail[-self._limit :]
        if not dropped:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        middle = f"\n[... {dropped} bytes left out ...]\n"
        return self._head.decode("utf-8", "replace") + middle + tail.decode("utf-8", "replace")
