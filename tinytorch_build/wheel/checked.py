"""From a published package to its distributions, with what is wrong with them."""

from __future__ import annotations

from pathlib import Path

from tinytorch_build.files import sha256
from tinytorch_build.model import Manifest, Problem
from tinytorch_build.programs import Programs
from tinytorch_build.publish import RECORD_NAME, Record
from tinytorch_build.wheel.archives import Distributions, make_distributions
from tinytorch_build.wheel.inspection import inspect_distributions
from tinytorch_build.wheel.project import lay_out_project


def make_checked(
    manifest: Manifest, record: Record, published: Path, work: Path, programs: Programs
) -> tuple[Distributions, list[Problem], str]:
    """Source archive and wheel of a published package, what is wrong with them, and what the tools said.

    Args:
        manifest: the course.
        record: what the package holds.
        published: the package's folder.
        work: an empty folder, or one that is not there yet; the two files are made in it.
        programs: runs the build backend and the tools that look at what it made.

    Raises:
        PackageChanged: the package is not what its record says.
        BackendFailed: the backend made no archive or no wheel.
    """
    project, out = work / "project", work / "out"
    project.mkdir(parents=True)
    out.mkdir()
    lay_out_project(project, manifest, record, published)
    made = make_distributions(project, out, programs)
    inside = project / manifest.package.name / RECORD_NAME
    contents = {**record.contents(), RECORD_NAME: sha256(inside.read_bytes())}
    problems, said = inspect_distributions(made, manifest.package, contents, programs)
    return made, problems, said
