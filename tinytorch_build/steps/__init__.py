"""The tasks of the build as steps; this page finds the step behind a planned task."""

from __future__ import annotations

from tinytorch_build.model import PackageStage, Stage
from tinytorch_build.plan import PlannedTask, task_name
from tinytorch_build.session import Session
from tinytorch_build.steps.base import ModuleStep, Step, StepResult, timed
from tinytorch_build.steps.contracts import BoundariesStep, CompatibilityStep
from tinytorch_build.steps.exporting import ConvertStep, ExportStep, ImportCheckStep
from tinytorch_build.steps.packaging import BuildStep
from tinytorch_build.steps.publishing import PublishStep
from tinytorch_build.steps.testing import TestFileStep, UnitTestStep
from tinytorch_build.steps.verifying import VerifyStep

__all__ = ["Step", "StepResult", "step_for", "timed"]

_MODULE_STEPS: dict[Stage, type[ModuleStep]] = {
    Stage.CONVERT: ConvertStep,
    Stage.EXPORT: ExportStep,
    Stage.IMPORT_CHECK: ImportCheckStep,
    Stage.TEST: UnitTestStep,
}

_PACKAGE_STEPS: dict[PackageStage, type[Step]] = {
    PackageStage.BOUNDARIES: BoundariesStep,
    PackageStage.COMPATIBILITY: CompatibilityStep,
    PackageStage.BUILD: BuildStep,
    PackageStage.VERIFY: VerifyStep,
}


def step_for(session: Session, task: PlannedTask) -> Step:
    """The step behind a planned task.

    Raises:
        ValueError: the task is a goal, behind which there is no step.
    """
    if task.test_file is not None:
        return TestFileStep(session, task, task.test_file)
    if task.package_stage is not None:
        return _PACKAGE_STEPS[task.package_stage](session, task)
    if task.stage is None or task.module is None:
        raise ValueError(f"{task.name} only gathers other tasks")
    module = session.manifest[task.module]
    if task.stage is Stage.PUBLISH:
        return PublishStep(session, task, module, _gate_steps(session, task))
    return _MODULE_STEPS[task.stage](session, task, module)


def _gate_steps(session: Session, publish: PlannedTask) -> dict[str, Step]:
    """The steps whose passes the ledger must hold before a module is published."""
    assert publish.module is not None
    names = (task_name(Stage.IMPORT_CHECK, publish.module), *publish.needs)
    return {name: step_for(session, session.plan.by_name[name]) for name in names}
