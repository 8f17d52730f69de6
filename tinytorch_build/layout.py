"""Every path of a course, from its root (the folder of `modules.toml`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tinytorch_build.model import CourseModule, Manifest

MANIFEST = "modules.toml"
LOCK = "modules.lock"


def notebook_name(source: str) -> str:
    """Where under `build/notebooks` a source's notebook goes: the source's own folder and name."""
    path = PurePosixPath(source)
    return (PurePosixPath(path.parent.name) / f"{path.stem}.ipynb").as_posix()


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files that the build reads and writes.

    Attributes:
        root: absolute path of the course's root.
        package: import name of the package.
    """

    root: Path
    package: str

    @classmethod
    def of(cls, manifest: Manifest) -> Layout:
        """The layout of the course that a manifest describes."""
        return cls(manifest.root, manifest.package.name)

    @property
    def build(self) -> Path:
        """Everything that is generated and not committed."""
        return self.root / "build"

    @property
    def notebooks(self) -> Path:
        return self.build / "notebooks"

    @property
    def staging(self) -> Path:
        """The folder that holds the staged package; the package's own name is its only entry."""
        return self.build / "staging"

    @property
    def database(self) -> Path:
        """doit's database."""
        return self.build / "doit.sqlite3"

    @property
    def ledger(self) -> Path:
        """Which gates passed with which inputs."""
        return self.build / "ledger.sqlite3"

    @property
    def objects(self) -> Path:
        """Exports that passed, by the digest of their content."""
        return self.build / "objects"

    @property
    def publishing(self) -> Path:
        """Where the next package is laid out before it takes the place of the published one."""
        return self.build / "publish"

    @property
    def rescued(self) -> Path:
        """Patches of edits that people made where the build writes."""
        return self.build / "rescued"

    @property
    def run_lock(self) -> Path:
        return self.build / "run.lock"

    def log(self, task: str) -> Path:
        """What the code under test printed in a task that failed."""
        return self.build / "logs" / f"{task.replace(':', '/')}.log"

    @property
    def report(self) -> Path:
        return self.build / "report" / "report.json"

    @property
    def page(self) -> Path:
        """The report for people; one file that needs nothing beside it."""
        return self.report.with_name("index.html")

    @property
    def junit(self) -> Path:
        """The report for CI servers."""
        return self.report.with_name("junit.xml")

    @property
    def dist(self) -> Path:
        """Where the finished wheels and source archives lie."""
        return self.root / "dist"

    @property
    def packaging(self) -> Path:
        """Where a wheel is made before it moves to `dist`."""
        return self.build / "packaging"

    @property
    def manifest(self) -> Path:
        return self.root / MANIFEST

    @property
    def lock(self) -> Path:
        """What the package holds; committed."""
        return self.root / LOCK

    @property
    def published(self) -> Path:
        """The package that students import."""
        return self.root / self.package

    def source(self, module: CourseModule) -> Path:
        return self.root / module.source

    def notebook(self, module: CourseModule) -> Path:
        return self.notebooks / notebook_name(module.source)

    def converted(self, module: CourseModule) -> Path:
        """A copy of the source that the notebook was made from: what edits of both are merged upon."""
        return self.build / "converted" / module.source

    def merging(self, module: CourseModule) -> Path:
        """Where a merge of source and notebook that needs a hand is laid out."""
        return self.build / "merge" / module.source

    def staged(self, module: CourseModule) -> Path:
        return self.staging / self.package / f"{module.target.replace('.', '/')}.py"

    def relative(self, path: Path) -> str:
        """A path as messages and records show it: POSIX form, from the root."""
        return path.relative_to(self.root).as_posix()
