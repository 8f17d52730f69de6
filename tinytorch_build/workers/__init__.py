"""Isolated processes: course code runs here and nowhere else."""

from __future__ import annotations

from tinytorch_build.workers.job import (
    Failure,
    FailureKind,
    Frame,
    Job,
    JobResult,
    StagedModule,
    View,
)
from tinytorch_build.workers.pool import Workers

__all__ = ["Failure", "FailureKind", "Frame", "Job", "JobResult", "StagedModule", "View", "Workers"]
