"""What a run came to: the values, and the forms in which people and programs read them."""

from tinytorch_build.report.outcome import (
    ModuleReport,
    Report,
    TaskReport,
    TestFileReport,
    assemble,
)

__all__ = ["ModuleReport", "Report", "TaskReport", "TestFileReport", "assemble"]
