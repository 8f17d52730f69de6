"""Isolated processes: where code runs that may be broken. The build itself never executes course code."""

from tinytorch_build.workers.channel import announce
from tinytorch_build.workers.job import (
    Activity,
    Failure,
    FailureKind,
    Frame,
    Job,
    JobResult,
    RaisedError,
)
from tinytorch_build.workers.pool import Workers
from tinytorch_build.workers.preload import worth_loading
from tinytorch_build.workers.view import Refusal, StagedModule, View

__all__ = [
    "Activity",
    "Failure",
    "FailureKind",
    "Frame",
    "Job",
    "JobResult",
    "RaisedError",
    "Refusal",
    "StagedModule",
    "View",
    "Workers",
    "announce",
    "worth_loading",
]
