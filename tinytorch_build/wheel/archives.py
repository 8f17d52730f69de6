"""Makes the source archive, and from it, unpacked, the wheel: which proves that the archive is whole."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from build import BuildBackendException, BuildException, ProjectBuilder

from tinytorch_build.errors import CourseError
from tinytorch_build.programs import Programs

_SECONDS = 300.0
"""Wall-clock time for each of the backend's answers; it takes about a second."""


class BackendFailed(CourseError):
    """The build backend did not make what it was asked for; the message holds its last words.

    Attributes:
        output: what it wrote.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True)
class Distributions:
    """The two files of a release.

    Attributes:
        sdist: the source archive.
        wheel: the wheel.
    """

    sdist: Path
    wheel: Path

    def __iter__(self) -> Iterator[Path]:
        return iter((self.sdist, self.wheel))


def make_distributions(project: Path, work: Path, programs: Programs) -> Distributions:
    """Make source archive and wheel of a project with its build backend, which is installed beside us.

    Args:
        project: the folder that holds its `pyproject.toml`.
        work: an empty folder for the results.
        programs: runs the backend.

    Raises:
        BackendFailed: the backend ended otherwise than well.
    """
    sdist = _built("sdist", project, work, programs)
    unpacked = work / "unpacked"
    with tarfile.open(sdist) as archive:
        # Python 3.11.4 brought the filter; before it, as Debian 12 has it, all members are taken as they are.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(unpacked)
    (root,) = unpacked.iterdir()
    return Distributions(sdist, _built("wheel", root, work, programs))


def _built(kind: str, source: Path, out: Path, programs: Programs) -> Path:
    said: list[str] = []

    def run(
        cmd: Sequence[str], cwd: str | None = None, extra_environ: Mapping[str, str] | None = None
    ) -> None:
        finished = programs.run(cmd, Path(cwd or source), seconds=_SECONDS, extra=extra_environ)
        said.append(finished.output)
        if not finished.succeeded:
            raise BackendFailed(
                f"the build backend made no {kind}: {finished.last_words or finished.how}", finished.output
            )

    try:
        builder = ProjectBuilder(source, python_executable=sys.executable, runner=run)
        return Path(builder.build("sdist" if kind == "sdist" else "wheel", out))
    except (BuildException, BuildBackendException) as error:
        if isinstance(error, BuildBackendException) and isinstance(error.exception, BackendFailed):
            raise error.exception from None  # `run` has said it better
        raise BackendFailed(f"the build backend made no {kind}: {error}", "".join(said)) from error
