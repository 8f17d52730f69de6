"""The step that takes a module into the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tinytorch_build.files import ABSENT, digest_of
from tinytorch_build.model import CourseModule, Problem
from tinytorch_build.plan import PlannedTask, visible_modules
from tinytorch_build.publish import Entry, identity
from tinytorch_build.session import Session
from tinytorch_build.steps.base import ModuleStep, Step, StepResult
from tinytorch_build.steps.inputs import folder_digest


class PublishStep(ModuleStep):
    """Take a module whose gates have all passed into the package, as far as the rest of it agrees.

    That doit has run the gates is not enough: `doit --single` skips what a task needs. So the step asks the
    ledger whether each gate has passed with what its inputs are now.
    """

    def __init__(
        self, session: Session, task: PlannedTask, module: CourseModule, gates: Mapping[str, Step]
    ) -> None:
        super().__init__(session, task, module)
        self._gates = gates

    def inputs(self) -> dict[str, str]:
        package = self.session.manifest.package
        return {
            **{f"gate {gate}": fingerprint for gate, fingerprint in self._fingerprints()},
            "version": self.module.version,
            "package": repr(package),
            "included files": ABSENT
            if package.include is None
            else folder_digest(self.session, package.include),
        }

    def is_backed(self, inputs: Mapping[str, str]) -> bool:
        candidate = self.session.ledger.candidates().get(self.module.name)
        return candidate is not None and candidate.export == self.session.export_digest(self.module)

    def run(self) -> StepResult:
        missing = [
            gate
            for gate, fingerprint in self._fingerprints()
            if not self.session.ledger.holds(gate, fingerprint)
        ]
        if missing:
            problem = Problem(
                "gates-not-passed",
                f"Package validation requires these tests to pass: {', '.join(missing)}",
                cure=f"run `doit validate:{self.module.name}`, which runs them first",
            )
            return StepResult((problem,))
        settlement = self.session.publisher.qualify_and_settle(self._entry())
        self.session.held = settlement.held
        return StepResult(tuple(settlement.problems))

    def _fingerprints(self) -> Iterator[tuple[str, str]]:
        """Each gate of the module with the fingerprint under which the ledger must hold its pass."""
        for name, step in self._gates.items():
            yield name, digest_of(step.inputs())

    def _entry(self) -> Entry:
        session, module = self.session, self.module
        return Entry(
            module=module.name,
            version=module.version,
            target=module.target,
            export=session.export_digest(module),
            cells=session.cells(module).exported,
            names=session.exported_names(module),
            depends=module.depends_on,
            constraints={other.name: other.specifier for other in module.depends if other.specifier},
            scope={name: self._identity(name) for name in self._tested_with()},
        )

    def _identity(self, name: str) -> str:
        other = self.session.manifest[name]
        return identity(other.target, self.session.export_digest(other))

    def _tested_with(self) -> tuple[str, ...]:
        """The modules whose exports took part in a gate of this one."""
        names = {self.module.name}
        for step in self._gates.values():
            if step.task.test_file is not None:
                names.update(step.task.test_file.modules)
        visible = visible_modules(self.session.manifest, names)
        return tuple(name for name in visible if name != self.module.name)
