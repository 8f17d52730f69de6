"""The steps that hold the published package to what it promises: boundaries of modules, and its interface."""

from __future__ import annotations

from tinytorch_build.files import digest_of
from tinytorch_build.model import CourseModule, Problem
from tinytorch_build.steps.base import Step, StepResult
from tinytorch_build.steps.inputs import tools
from tinytorch_build.steps.packaging import published_digests, unpublished


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
