"""The steps that hold the published package to what it promises: boundaries of modules, and its interface."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinytorch_build.files import digest_of
from tinytorch_build.model import CourseModule, Problem
from tinytorch_build.publish import Record
from tinytorch_build.steps.base import Step, StepResult
from tinytorch_build.steps.inputs import tools
from tinytorch_build.steps.packaging import published_digests, unpublished

# What a step needs to run is imported when it runs: a run with nothing to do does not pay for it.
if TYPE_CHECKING:
    from tinytorch_build.compatibility.baseline import Baseline
    from tinytorch_build.compatibility.changes import Change


class BoundariesStep(Step):
    """Compare the import graph of the published package with what `modules.toml` allows."""

    def inputs(self) -> dict[str, str]:
        declared = [
            (module.name, module.target, module.depends_on) for module in self.session.manifest.modules
        ]
        return {
            "published package": digest_of(published_digests(self)),
            "declarations": repr(declared),
            **tools("grimp"),
        }

    def run(self) -> StepResult:
        from tinytorch_build.boundaries.compare import compare, crossings, details
        from tinytorch_build.boundaries.graph import GraphUnreadable, imports_within

        session = self.session
        problems = tuple(unpublished(self))
        if problems:
            return StepResult(problems)
        try:
            imports = imports_within(session.layout.published, session.programs)
        except GraphUnreadable as error:
            return StepResult((Problem("import-graph", str(error)),), output=error.output)
        return StepResult(
            tuple(crossings(session.manifest, imports, self.source_place)),
            details=details(compare(session.manifest, imports)),
        )

    def source_place(self, module: CourseModule, line: int) -> tuple[str, int | None]:
        """Path and line of the source for a line of a published file, which is the staged one."""
        return module.source, self.session.locate(module)(line)


class CompatibilityStep(Step):
    """Compare the public names of the package with those of the last release, or of what was asked for."""

    def inputs(self) -> dict[str, str]:
        return {
            "published package": digest_of(published_digests(self)),
            "earlier release": self._baseline.identity,
            **tools("griffelib"),
        }

    @cached_property
    def _baseline(self) -> Baseline:
        """Found once in a run, and only when the task is asked for: it takes git."""
        from tinytorch_build.compatibility.baseline import find_baseline

        session = self.session
        return find_baseline(session.layout, session.programs, session.against)

    def run(self) -> StepResult:
        from tinytorch_build.compatibility.changes import ComparisonFailed

        baseline = self._baseline
        problems = unpublished(self)
        if problems:
            return StepResult(problems)
        if baseline.problem is not None:
            return StepResult((baseline.problem,))
        if baseline.label is None:
            return StepResult(details={"against": None, "why": baseline.why, "changes": []})
        with tempfile.TemporaryDirectory(prefix="release-") as folder:
            old = baseline.read(Path(folder))
            if isinstance(old, Problem):
                return StepResult((old,))
            try:
                return self._compared(baseline.label, old, Path(folder))
            except ComparisonFailed as error:
                return StepResult((Problem("compatibility", str(error)),), output=error.output)

    def _compared(self, label: str, old: Record, folder: Path) -> StepResult:
        from tinytorch_build.compatibility.rule import broken_promises

        changes = self._changes(old, folder)
        problems = broken_promises(changes, old, self.session.manifest, label)
        details: dict[str, Any] = {"against": label, "changes": [change.to_json() for change in changes]}
        return StepResult(tuple(problems), details=details)

    def _changes(self, old: Record, folder: Path) -> list[Change]:
        from tinytorch_build.compatibility.changes import changes_between, with_new_homes
        from tinytorch_build.compatibility.included import hand_written
        from tinytorch_build.compatibility.rule import (
            changes_of_included_files,
            changes_of_modules,
            parts_of,
            placed,
        )

        session = self.session
        new = session.publisher.record()
        assert new is not None  # else something would be unpublished
        published = session.layout.published
        before, now = hand_written(folder / published.name, old), hand_written(published, new)
        parts = parts_of(old, new, [name for name in now if name in before])
        found = changes_between(folder, published.parent, published.name, parts, session.programs)
        files = changes_of_included_files(before, now)
        changes = [*changes_of_modules(old, new), *files, *with_new_homes(found)]
        return placed(changes, session.manifest, lambda module, line: session.locate(module)(line))
