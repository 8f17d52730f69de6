"""The stages of a module: pure functions from values to problems, outputs and facts."""

from tinytorch_build.stages.findings import Locate, StageFindings
from tinytorch_build.stages.import_check import ImportRequest, check_import
from tinytorch_build.stages.inline_cells import CellsRequest, run_inline_cells, runnable_cells
from tinytorch_build.stages.inside_cells import CodeCell
from tinytorch_build.stages.run_tests import TestFindings, TestsRequest, run_test_files
from tinytorch_build.stages.session_facts import TestOutcome, TestResult
from tinytorch_build.workers import View

__all__ = [
    "CellsRequest",
    "CodeCell",
    "ImportRequest",
    "Locate",
    "StageFindings",
    "TestFindings",
    "TestOutcome",
    "TestResult",
    "TestsRequest",
    "View",
    "check_import",
    "run_inline_cells",
    "run_test_files",
    "runnable_cells",
]
