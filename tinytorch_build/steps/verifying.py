"""The step that tries the finished wheel, and a fresh clone, as those who get them will."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_build.files import ABSENT
from tinytorch_build.model import Problem, Severity
from tinytorch_build.plan import TestFile, TestKind
from tinytorch_build.steps.base import Step, StepResult
from tinytorch_build.steps.inputs import test_file_digests, tools
from tinytorch_build.wheel.names import distribution_names

# What a step needs to run is imported when it runs: a run with nothing to do does not pay for it.
if TYPE_CHECKING:
    from tinytorch_build.verify.attempts import Line
    from tinytorch_build.verify.trials import CloneTrial

_KINDS = (TestKind.SYSTEM, TestKind.VALIDATION)


class VerifyStep(Step):
    """Install the wheel in a fresh environment, import and test it there; and the same with a fresh clone."""

    def inputs(self) -> dict[str, str]:
        tests = self.session.manifest.tests
        return {
            "wheel": self.session.digests.of(self._wheel),
            "commit": self._commit(),
            "modules": repr(self.session.manifest.modules),
            "test tools": " ".join(tests.requires),
            **test_file_digests(self.session, [file.path for file in self._files]),
            **tools(),
        }

    def reads(self) -> tuple[Path, ...]:
        return tuple(self.session.layout.root / file.path for file in self._files)

    def run(self) -> StepResult:
        from tinytorch_build.verify.environments import installer_for
        from tinytorch_build.verify.trials import CloneTrial, WheelTrial

        session, programs = self.session, self.session.programs
        if session.digests.of(self._wheel) == ABSENT:
            problem = Problem("no-wheel", f"{self._wheel.name} is not in dist/", cure="run `doit build`")
            return StepResult((problem,))
        record = session.publisher.record()
        entries = record.entries.values() if record is not None else ()
        names = sorted({name for entry in entries for name in entry.names if not name.startswith("__")})
        installer = installer_for(programs)
        # `resolve`, since a system's folder for temporary files may be a link, and Python shows real paths.
        with tempfile.TemporaryDirectory(prefix="verify-", ignore_cleanup_errors=True) as place:
            work = Path(place).resolve()
            for name in ("wheel", "clone"):
                (work / name).mkdir()
            of_wheel = WheelTrial(
                session.manifest, self._wheel, names, self._files, installer, programs, work / "wheel"
            )
            of_clone = CloneTrial(session.manifest, names, installer, programs, work / "clone")
            with ThreadPoolExecutor(2) as pool:  # each waits for downloads most of the time
                lines = [each.result() for each in [pool.submit(of_wheel.run), pool.submit(of_clone.run)]]
        problems = [problem for line in lines for problem in line.problems]
        return StepResult(
            (*problems, *_uncommitted(of_clone)),
            output="".join(line.output for line in lines),
            details={"installer": installer.name, "steps": list(_tried(lines))},
        )

    @property
    def _wheel(self) -> Path:
        return self.session.layout.dist / distribution_names(self.session.manifest.package)[1]

    @property
    def _files(self) -> tuple[TestFile, ...]:
        tasks = self.session.plan.tasks
        return tuple(task.test_file for task in tasks if task.test_file and task.test_file.kind in _KINDS)

    def _commit(self) -> str:
        from tinytorch_build.verify.attempts import AttemptFailed, NotApplicable
        from tinytorch_build.verify.clones import find_checkout

        try:
            return find_checkout(self.session.layout.root, self.session.programs).commit
        except (AttemptFailed, NotApplicable) as reason:  # the trial says so
            return str(reason)


def _tried(lines: list[Line]) -> Iterator[object]:
    for line in lines:
        for tried in line.tried:
            yield tried.to_json()


def _uncommitted(trial: CloneTrial) -> Iterator[Problem]:
    if trial.uncommitted:
        are = "file is" if trial.uncommitted == 1 else "files are"
        yield Problem(
            "uncommitted",
            f"{trial.uncommitted} {are} not committed, so the fresh clone was tried without",
            cure="commit, and run `doit verify` again",
            severity=Severity.WARNING,
        )
