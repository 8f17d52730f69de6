"""From the source to a checked export: convert, export, import-check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_build.files import sha256, write_atomically
from tinytorch_build.literate import UnreadableSource, document_of
from tinytorch_build.model import Problem, errors
from tinytorch_build.session import CellFacts
from tinytorch_build.steps.base import GateStep, ModuleStep, StepResult
from tinytorch_build.steps.inputs import (
    constraint_inputs,
    custom_check_inputs,
    declaration_digest,
    requirement_names,
    tools,
)

# What a step needs to run is imported when it runs: a run with nothing to do does not pay for it.
if TYPE_CHECKING:
    from tinytorch_build.stages.findings import StageFindings


class ConvertStep(ModuleStep):
    """Check the source and write its notebook."""

    def inputs(self) -> dict[str, str]:
        return {
            "source": self.session.digests.of(self.session.layout.source(self.module)),
            "declared target": self.module.target,
            "path": self.module.source,
            **tools("jupytext", "nbformat"),
        }

    def reads(self) -> tuple[Path, ...]:
        return (self.session.layout.source(self.module),)

    def writes(self) -> tuple[Path, ...]:
        return (self.session.layout.notebook(self.module),)

    def keep_before_clean(self) -> Iterator[str]:
        from tinytorch_build.notebooks.making import put_aside
        from tinytorch_build.notebooks.standing import holds_edit

        notebook = self.session.layout.notebook(self.module)
        if holds_edit(notebook):
            kept = put_aside(self.session.layout, self.module)
            yield f"{self.session.relative(notebook)} was edited; what lay there is kept as {kept}"

    def outputs(self) -> dict[str, str]:
        """The notebook's cells: whoever runs it and saves its outputs has changed nothing."""
        return {"notebook": self.session.notebook_digest(self.module)}

    def run(self) -> StepResult:
        from tinytorch_build.checks.before_export import check_before_export
        from tinytorch_build.notebooks.making import make_notebook

        raw = self.session.layout.source(self.module).read_bytes()
        problems = check_before_export(self.session.manifest, self.module, raw)
        if errors(problems):
            return StepResult(tuple(problems))
        try:
            found, difference = make_notebook(self.session.layout, self.module, raw)
        except UnreadableSource as error:
            return StepResult((*problems, error.problem))
        problems += found
        if errors(problems):
            return StepResult(tuple(problems), output=difference)
        facts = CellFacts.of(document_of(raw, self.module.source))
        self.session.found_cells(self.module, facts, sha256(raw))
        found_facts = {"exported": facts.exported, "code": facts.code, "source": sha256(raw)}
        return StepResult(tuple(problems), found_facts)

    def recall(self, facts: Mapping[str, str]) -> None:
        self.session.found_cells(self.module, CellFacts(facts["exported"], facts["code"]), facts["source"])


class ExportStep(ModuleStep):
    """Export the notebook into staging, and prove that nothing was lost on the way."""

    def inputs(self) -> dict[str, str]:
        return {
            "exported cells": self.session.cells(self.module).exported,
            "declared target": self.module.target,
            "path": self.module.source,
            "package": self.session.manifest.package.name,
            **tools("nbdev", "fastcore"),
        }

    def writes(self) -> tuple[Path, ...]:
        return (self.session.layout.staged(self.module),)

    def outputs(self) -> dict[str, str]:
        return {"export": self.session.export_digest(self.module)}

    def recall(self, facts: Mapping[str, str]) -> None:
        self.session.exported(self.module)

    def finish(self, inputs: Mapping[str, str], result: StepResult) -> None:
        self.session.exported(self.module)

    def run(self) -> StepResult:
        from tinytorch_build.checks.after_export import check_fidelity
        from tinytorch_build.stages.export import NothingExported, export_text

        manifest, module, layout = self.session.manifest, self.module, self.session.layout
        try:
            text = export_text(
                layout.notebook(module).read_text(encoding="utf-8"),
                package=manifest.package.name,
                target=module.target,
                source=module.source,
            )
        except NothingExported:
            text = ""
        problems = check_fidelity(manifest, module, self.session.document(module), text)
        if not errors(problems):
            write_atomically(layout.staged(module), text.encode())
        return StepResult(tuple(problems))


class ImportCheckStep(GateStep, ModuleStep):
    """Check the export, alone and beside the others, then import it in a process of its own."""

    def inputs(self) -> dict[str, str]:
        manifest, module = self.session.manifest, self.module
        return {
            "export": self.session.export_digest(module),
            "code cells": self.session.cells(module).code,  # the imports of inline cells are checked, too
            "exports of what it needs": self.session.closure_digest(module),
            "declaration": declaration_digest(self.session, module),
            **constraint_inputs(self.session, module),
            **custom_check_inputs(self.session, module),
            **tools("ruff", "cloudpickle", *requirement_names(manifest.package.dependencies)),
        }

    def reads(self) -> tuple[Path, ...]:
        return (self.session.layout.staged(self.module),)

    def run(self) -> StepResult:
        from tinytorch_build.stages.import_check import ImportRequest, check_import

        problems = self._static_problems()
        if errors(problems):
            return StepResult(tuple(problems))
        findings = check_import(
            self.session.workers,
            ImportRequest(
                module=self.module.name,
                dotted=self.session.manifest.dotted(self.module),
                view=self.session.view(self.module.name, [self.module.name]),
                limits=self.module.limits,
                locate=self.session.locate_path,
                source=self.module.source,
            ),
        )
        problems += findings.problems
        output = findings.output
        if not errors(problems):
            own = self._custom_findings()
            problems += own.problems
            output += own.output
        return StepResult(tuple(problems), output=output)

    def _custom_findings(self) -> StageFindings:
        from tinytorch_build.stages.custom_checks import CustomCheckInput, run_custom_checks

        session, module = self.session, self.module
        given = CustomCheckInput(
            module.name,
            module.source,
            session.layout.source(module).read_text(encoding="utf-8"),
            session.layout.staged(module).read_text(encoding="utf-8"),
        )
        return run_custom_checks(session.workers, session.checks, given, module.limits)

    def _static_problems(self) -> list[Problem]:
        from tinytorch_build.checks.after_export import ExportUnderCheck, check_after_export

        session, module = self.session, self.module
        staged = session.layout.staged(module)
        return check_after_export(
            ExportUnderCheck.of(
                session.manifest,
                module,
                session.document(module),
                staged.read_text(encoding="utf-8"),
                session.relative(staged),
                session.taken_names(module),
            )
        )
