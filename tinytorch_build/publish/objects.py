"""The object store: exports that passed, each under the digest of its content."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tinytorch_build.files import sha256, write_atomically

SPARE_OBJECTS = 100
"""How many objects that nobody needs may lie about before they are cleared away."""


class ObjectStore:
    """A folder of files that are named after their content.

    Nothing in it is taken on trust: what `get` returns has the digest that was asked for. Therefore writes
    are not forced to the disk; an object that a power failure spoils is noticed, and made again when needed.

    Args:
        folder: where the objects lie; made when the first one is put there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep some bytes; a damaged object of the same name is replaced.

        Returns:
            their hex SHA-256.

        Raises:
            OSError: they cannot be written.
        """
        digest = sha256(data)
        if self.get(digest) is None:
            write_atomically(self.path(digest), data)
        return digest

    def get(self, digest: str) -> bytes | None:
        """The bytes with a digest, or None. A file whose content is not what its name says is removed."""
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            return None
        if sha256(data) == digest:
            return data
        self.path(digest).unlink(missing_ok=True)
        return None

    def digests(self) -> frozenset[str]:
        """Digests that there are files for; whether these are whole, only `get` can say."""
        try:
            return frozenset(name.removesuffix(".py") for name in os.listdir(self._folder))
        except FileNotFoundError:
            return frozenset()

    def path(self, digest: str) -> Path:
        """Where the object with a digest lies, or would lie."""
        return self._folder / f"{digest}.py"

    def prune(self, keep: Collection[str]) -> None:
        """Remove objects that nobody needs, once there are more than a few of them.

        Args:
            keep: digests of the objects that are needed.
        """
        spare = self.digests().difference(keep)
        if len(spare) > SPARE_OBJECTS:
            for digest in spare:
                self.path(digest).unlink(missing_ok=True)
