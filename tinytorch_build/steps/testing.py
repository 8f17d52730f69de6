"""The steps that run tests: a module's own, and those between modules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_build.checks.imports import check_test_imports
from tinytorch_build.checks.stand_ins import check_stand_ins, stand_ins
from tinytorch_build.literate import Cell, Document
from tinytorch_build.model import CourseModule, Problem, Severity, errors
from tinytorch_build.plan import PlannedTask, TestFile, TestKind
from tinytorch_build.session import Session
from tinytorch_build.steps.base import GateStep, ModuleStep, StepResult
from tinytorch_build.steps.inputs import declaration_digest, test_file_digests, testing_tools

# What a step needs to run is imported when it runs: a run with nothing to do does not pay for it.
if TYPE_CHECKING:
    from tinytorch_build.workers import View


class UnitTestStep(GateStep, ModuleStep):
    """Run a module's inline cells top to bottom, then its unit test files."""

    def inputs(self) -> dict[str, str]:
        module = self.module
        return {
            "code cells": self.session.cells(module).code,
            "exports of what it needs": self.session.closure_digest(module),
            "declaration": declaration_digest(self.session, module),
            **test_file_digests(self.session, module.tests),
            "what poses as pytest": repr(stand_ins(self.session.layout.root, (module.source, *module.tests))),
            **testing_tools(self.session),
        }

    def reads(self) -> tuple[Path, ...]:
        return tuple(self.session.layout.root / path for path in self.module.tests)

    def run(self) -> StepResult:
        from tinytorch_build.stages.inline_cells import CellsRequest, run_inline_cells, runnable_cells

        session, module = self.session, self.module
        document = session.document(module)
        view = session.view(module.name, [module.name])
        inline = run_inline_cells(
            session.workers,
            CellsRequest(
                module=module.name,
                source=module.source,
                cells=runnable_cells(document),
                view=view,
                limits=module.limits,
                locate=session.locate_path,
            ),
        )
        allowed = (*module.depends_on, module.name)
        tested = run_tests_of(session, module.name, module.tests, allowed, view, module)
        found = (
            *_nothing_tests_it(module, document),
            *check_stand_ins(session.layout.root, [module.source]),
            *inline.problems,
            *tested.problems,
        )
        return StepResult(tuple(dict.fromkeys(found)), output=inline.output + tested.output)


class TestFileStep(GateStep):
    """Run a file of inter-module tests over the modules that it imports."""

    __test__ = False

    def __init__(self, session: Session, task: PlannedTask, file: TestFile) -> None:
        super().__init__(session, task)
        self.file = file

    def inputs(self) -> dict[str, str]:
        manifest = self.session.manifest
        return {
            **test_file_digests(self.session, [self.file.path]),
            "what poses as pytest": repr(stand_ins(self.session.layout.root, [self.file.path])),
            **{
                f"exports that {name} brings": self.session.closure_digest(manifest[name])
                for name in self.file.modules
            },
            "limits": repr(manifest.limits),
            "package": f"{manifest.package.name} {manifest.package.version}",
            **self._versions(),
            **testing_tools(self.session),
        }

    def _versions(self) -> dict[str, str]:
        """The versions that the tests see: those on the assembled package can ask it for them."""
        if not self._on_assembled:
            return {}
        return {
            f"version of module {name}": self.session.manifest[name].version for name in self.file.modules
        }

    @property
    def _on_assembled(self) -> bool:
        return self.file.kind is not TestKind.INTEGRATION

    def reads(self) -> tuple[Path, ...]:
        return (self.session.layout.root / self.file.path,)

    def run(self) -> StepResult:
        session = self.session
        names = self.file.modules
        view = session.view(self.file.path, names, assembled=self._on_assembled)
        allowed = names or tuple(module.name for module in session.manifest.modules)
        found = run_tests_of(session, self.file.path, (self.file.path,), allowed, view, None)
        between = "all modules" if self._on_assembled and len(names) > 1 else _between(names)
        return StepResult(
            tuple(_as_integration_issue(problem, between) for problem in found.problems), output=found.output
        )


def run_tests_of(
    session: Session,
    owner: str,
    paths: Sequence[str],
    allowed: Sequence[str],
    view: View,
    module: CourseModule | None,
) -> StepResult:
    """Check what some test files import, then run them in a process that sees only `view`."""
    from tinytorch_build.stages.run_tests import TestsRequest, run_test_files

    problems: list[Problem] = []
    for path in paths:
        text = (session.layout.root / path).read_text(encoding="utf-8", errors="replace")
        problems += check_test_imports(session.manifest, owner, allowed, path, text)
    if errors(problems) or not paths:
        return StepResult(tuple(problems))
    findings = run_test_files(
        session.workers,
        TestsRequest(
            owner=owner,
            root=session.layout.root,
            files=tuple(paths),
            view=view,
            limits=module.limits if module is not None else session.manifest.limits,
            locate=session.locate_path,
        ),
    )
    return StepResult((*problems, *findings.problems), output=findings.output)


def _nothing_tests_it(module: CourseModule, document: Document) -> Iterator[Problem]:
    """A module that only its import speaks for is published, but not in silence."""
    inline = any(
        not cell.exported and cell.evaluated and _does_something(cell) for cell in document.code_cells
    )
    if not inline and not module.tests:
        yield Problem(
            "untested",
            "it has no inline test cell and no unit test",
            module.source,
            cure=f"add a test cell, or name a test file under `tests` of [modules.{module.name}]",
            severity=Severity.WARNING,
        )


def _does_something(cell: Cell) -> bool:
    """Whether a cell holds more than directives, comments and imports."""
    lines = (line.strip() for line in cell.code.splitlines())
    return any(line and not line.startswith(("#", "import ", "from ")) for line in lines)


def _between(modules: Sequence[str]) -> str:
    """`Module a, b and c`; empty for a test of one module, or of none."""
    return f"Module {', '.join(modules[:-1])} and {modules[-1]}" if len(modules) > 1 else ""


def _as_integration_issue(problem: Problem, between: str) -> Problem:
    if not between:
        return problem
    return replace(problem, message=f"Found integration issue between {between}: {problem.message}")
