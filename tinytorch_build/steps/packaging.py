"""The steps that the package takes as a whole: it is built, and what was built is tried out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_build.files import digest_of, sha256, write_together
from tinytorch_build.model import Problem
from tinytorch_build.publish import RECORD_NAME, Record
from tinytorch_build.steps.base import Step, StepResult
from tinytorch_build.steps.inputs import tools
from tinytorch_build.wheel.names import distribution_names

# What a step needs to run is imported when it runs: a run with nothing to do does not pay for it.
if TYPE_CHECKING:
    from tinytorch_build.wheel.archives import Distributions


class BuildStep(Step):
    """Make source archive and wheel of the published package."""

    def inputs(self) -> dict[str, str]:
        session = self.session
        package = session.manifest.package
        beside = [*package.license_files, *([package.readme] if package.readme else [])]
        return {
            "published package": digest_of(published_digests(self)),
            "[package]": repr(package),
            "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", ""),
            **{path: session.digests.of(session.layout.root / path) for path in beside},
            **tools("build", "check-wheel-contents", "hatchling", "twine"),
        }

    def outputs(self) -> dict[str, str]:
        return {path.name: self.session.digests.of(path) for path in self.writes()}

    def writes(self) -> tuple[Path, ...]:
        return tuple(
            self.session.layout.dist / name for name in distribution_names(self.session.manifest.package)
        )

    def run(self) -> StepResult:
        from tinytorch_build.wheel.archives import BackendFailed

        record = self.session.publisher.record()
        problems = unpublished(self)
        if problems or record is None:
            return StepResult(problems)
        work = self.session.layout.packaging
        shutil.rmtree(work, ignore_errors=True)  # what a killed run left
        try:
            return self._make(record, work)
        except BackendFailed as error:
            return StepResult((Problem("build-backend", str(error)),), output=error.output)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _make(self, record: Record, work: Path) -> StepResult:
        from tinytorch_build.wheel.checked import make_checked

        session = self.session
        made, problems, said = make_checked(
            session.manifest, record, session.layout.published, work, session.programs
        )
        if problems:
            return StepResult(tuple(problems), output=said)
        return StepResult(details={"files": list(self._put(made))})

    def _put(self, made: Distributions) -> Iterator[Mapping[str, str | int]]:
        """Move the files to `dist`: both, or none."""
        files = {goal: path.read_bytes() for path, goal in zip(made, self.writes(), strict=True)}
        write_together(files)
        for goal, data in files.items():
            yield {"path": self.session.relative(goal), "bytes": len(data), "sha256": sha256(data)}


def unpublished(step: Step) -> tuple[Problem, ...]:
    """A problem, if the package does not hold every module as it is now, or nothing.

    That doit has run the tests is not enough: `doit --single` skips what a task needs.
    """
    session = step.session
    current = session.published_as_staged()
    missing = [module.name for module in session.manifest.modules if module.name not in current]
    if not missing and session.publisher.record() is not None:
        return ()
    message = f"the package does not hold {', '.join(missing) or 'anything'} as the sources are now"
    return (Problem("not-published", message, cure="run `doit validate`"),)


def published_digests(step: Step) -> dict[str, str]:
    """Digests of every file of the published package that its record names, and of the record."""
    session = step.session
    record = session.publisher.record()
    paths = [RECORD_NAME, *(record.contents() if record is not None else ())]
    return {path: session.digests.of(session.layout.published / path) for path in paths}
