"""The build's side of the isolated processes: starts the server, hands it jobs, takes their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tinytorch_build.workers.job import Job, JobResult

T = TypeVar("T")


class Workers:
    def __init__(self, root: Path, *, preload: Sequence[str] = ("numpy", "pytest"), plain: bool = False) -> None:
        raise NotImplementedError

    def run(self, job: Job[T]) -> JobResult[T]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
