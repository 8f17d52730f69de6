"""Reports for tests: a course of sixteen modules that is ready, one that fails, and one that is hostile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.build_system.builders import manifest_of
from tests.build_system.report.pages.graphs import COURSE
from tinytorch_build.model import Manifest, Outcome, PackageStage, Problem, Severity
from tinytorch_build.plan import Plan, TestFile, TestKind, make_plan
from tinytorch_build.report import Report, TaskReport, assemble
from tinytorch_build.report.pages.docstrings import Coverage
from tinytorch_build.report.pages.evidence import Evidence, Line

MANIFEST: Manifest = manifest_of(COURSE)
FILES = (
    TestFile(
        "tests/integration/test_dense_layers.py",
        "test_dense_layers.py",
        TestKind.INTEGRATION,
        ("layers", "dense"),
    ),
    TestFile("tests/system/test_digits.py", "test_digits.py", TestKind.SYSTEM, tuple(COURSE)),
    TestFile("tests/validation/test_names.py", "test_names.py", TestKind.VALIDATION, tuple(COURSE)),
)
PLAN: Plan = make_plan(MANIFEST, FILES)
HOSTILE = "</script><script>document.title='owned'</script>\x1b[31mred\x1b[0m \x1b]0;title\x07 \x00 ]]> &amp; <b> \u202e \ud800 \r \ufffe"

DETAILS: Mapping[str, Mapping[str, Any]] = {
    "boundaries": {
        "modules": {
            name: {
                "declared": list(needs),
                "imports": [need for need in needs if need != "layers"],
                "unused": [need for need in needs if need == "layers"],
            }
            for name, needs in COURSE.items()
        }
    },
    "compatibility": {
        "against": "v0.1.0",
        "changes": [
            {
                "module": "tensor",
                "name": "demo.core.tensor.Tensor.flip",
                "kind": "added",
                "breaking": False,
                "explanation": "a new method",
                "file": "src/01_tensor/tensor_dev.py",
                "line": 40,
            },
            {
                "module": "layers",
                "name": "demo.core.layers.Linear",
                "kind": "changed",
                "breaking": True,
                "explanation": "the parameter `bias` was removed",
                "file": None,
                "line": None,
            },
        ],
    },
    "build": {
        "files": [
            {"path": "dist/demo-0.1.0-py3-none-any.whl", "bytes": 41230, "sha256": "ab" * 32},
            {"path": "dist/demo-0.1.0.tar.gz", "bytes": 38211, "sha256": "cd" * 32},
        ]
    },
    "verify": {
        "installer": "uv",
        "steps": [
            {"what": "install the wheel", "outcome": "passed", "seconds": 2.4, "note": ""},
            {"what": "import everything", "outcome": "passed", "seconds": 0.3, "note": "16 modules"},
            {"what": "clone", "outcome": "skipped", "seconds": 0.0, "note": "no network"},
        ],
    },
}


def task_reports(plan: Plan = PLAN) -> dict[str, TaskReport]:
    """Every task went well: what each module does took a while, the rest was up to date."""
    return {
        task.name: TaskReport(
            Outcome.RAN if index % 3 else Outcome.UP_TO_DATE,
            0.01 + 0.03 * (index % 7),
            details=DETAILS.get(task.package_stage or "", {}),
        )
        for index, task in enumerate(plan.tasks)
        if not task.is_goal
    }


def ready(**changes: Any) -> Report:
    """Everything passed."""
    report = assemble(MANIFEST, PLAN, task_reports(), set(COURSE), seconds=12.5)
    return replace(report, **changes)


def failing(message: str = "`np` is not defined", log: str = "build/logs/export/layers.log") -> Report:
    """`layers` fails its import check; everything that needs it is blocked, and so is the package."""
    tasks = task_reports()
    problem = Problem(
        "undefined-name",
        message,
        "src/01_layers/layers_dev.py",
        12,
        "import it in an exported cell",
    )
    warning = Problem(
        "unused-dependency",
        "`tensor` is never imported",
        "src/01_dense/dense_dev.py",
        3,
        "",
        Severity.WARNING,
    )
    failed = ("import-check:layers",)
    tasks[failed[0]] = TaskReport(Outcome.FAILED, 0.31, (problem,), log=log)
    tasks["convert:dense"] = TaskReport(Outcome.RAN, 0.1, (warning,))
    for task in PLAN.tasks:
        if task.name in tasks and task.name not in failed and PLAN.root_causes(task.name, failed):
            tasks[task.name] = TaskReport(Outcome.BLOCKED, blocked_by=failed)
    return assemble(
        MANIFEST, PLAN, tasks, set(COURSE) - {"layers"}, held={"kernels": ("training",)}, seconds=3.2
    )


EVIDENCE = Evidence(
    logs={"build/logs/export/layers.log": "Traceback (most recent call last):\n  File …\nNameError: np\n"},
    excerpts={
        ("src/01_layers/layers_dev.py", 12): (
            Line(10, "#| export", False),
            Line(11, "def scaled(values):", False),
            Line(12, "    return np.asarray(values) * 2", True),
            Line(13, "", False),
        )
    },
    docstrings={
        name: Coverage(("Linear", "Linear.forward"), ("Dropout",) if name == "layers" else ())
        for name in COURSE
    },
)


def all_stages() -> tuple[PackageStage, ...]:
    """The steps of the package that the plan has."""
    return tuple(task.package_stage for task in PLAN.tasks if task.package_stage is not None)
