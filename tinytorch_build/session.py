"""What the tasks of one run share: manifest, paths, workers, ledger, and what was found so far."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch_build.errors import CourseError
from tinytorch_build.files import ABSENT, FileDigests, digest_of, remove_unfinished, sha256
from tinytorch_build.layout import Layout
from tinytorch_build.literate import Document, SourceLines, read_document
from tinytorch_build.model import CourseModule, Manifest, Problem, Severity
from tinytorch_build.notebooks.cells import NoNotebook, read_cells
from tinytorch_build.plan import Plan, visible_modules
from tinytorch_build.programs import Programs
from tinytorch_build.publish import Ledger, ObjectStore, Publisher, recover, render_init
from tinytorch_build.run_lock import Holder, RunLock
from tinytorch_build.stages.names import public_names

if TYPE_CHECKING:
    from tinytorch_build.stages.custom_checks import CustomCheck
    from tinytorch_build.workers import View, Workers


class SourceChanged(CourseError):
    """Somebody saved a source while the run was checking it."""


@dataclass(frozen=True, slots=True)
class CellFacts:
    """Digests of what a source holds.

    Attributes:
        exported: of the exported cells' code: what the export depends on.
        code: of the code of all cells: what the inline run depends on.
    """

    exported: str
    code: str

    @classmethod
    def of(cls, document: Document) -> CellFacts:
        code = "\0".join(f"{cell.evaluated}\0{cell.code}" for cell in document.code_cells)
        return cls(sha256(document.exported_source().encode()), sha256(code.encode()))


@dataclass
class Session:
    """Everything that one run of one course shares. Made by the wiring, never global.

    Attributes:
        manifest: the course.
        plan: its tasks.
        checks: the course's own checks, from its `dodo.py`.
        against: what the package is compared with: a tag, or the path of a wheel; empty for the last release.
        held: modules whose new version waits, each with the published modules that have not passed with it.
        programs: runs other programs, which end with the session.
    """

    manifest: Manifest
    plan: Plan
    checks: Sequence[CustomCheck] = ()
    against: str = ""
    programs: Programs = field(default_factory=Programs)
    _cells: dict[str, CellFacts] = field(default_factory=dict)
    _declared: dict[str, str] = field(default_factory=dict)
    _sources: dict[str, str] = field(default_factory=dict)
    _notebooks: dict[str, tuple[str, str]] = field(default_factory=dict)
    _exported: set[str] = field(default_factory=set)
    _names: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    _closures: dict[str, str] = field(default_factory=dict)
    held: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _mutex: threading.RLock = field(default_factory=threading.RLock)
    _run_lock: RunLock | None = None

    @cached_property
    def layout(self) -> Layout:
        return Layout.of(self.manifest)

    @cached_property
    def digests(self) -> FileDigests:
        return FileDigests()

    @cached_property
    def _workers(self) -> Workers:
        from tinytorch_build.workers import Workers, worth_loading  # a run with nothing to do does not pay

        root = self.layout.root
        files = [task.test_file.path for task in self.plan.tasks if task.test_file is not None]
        tests = [root / path for module in self.manifest.modules for path in (*module.tests, *files)]
        sources = [self.layout.source(module) for module in self.manifest.modules]
        return Workers(root, preload=worth_loading(sources, dict.fromkeys(tests)))

    @property
    def workers(self) -> Workers:
        """The isolated processes; the server starts with the first job."""
        with self._mutex:  # cached_property takes no lock of its own
            return self._workers

    @cached_property
    def _ledger(self) -> Ledger:
        return Ledger(self.layout.ledger)

    @property
    def ledger(self) -> Ledger:
        """Which gates passed with what."""
        with self._mutex:
            return self._ledger

    @cached_property
    def objects(self) -> ObjectStore:
        """Exports by the digest of their content."""
        return ObjectStore(self.layout.objects)

    @cached_property
    def _publisher(self) -> Publisher:
        return Publisher(self.layout, self.manifest, self.ledger, self.objects)

    @property
    def publisher(self) -> Publisher:
        """Puts what passed together into the package."""
        with self._mutex:
            return self._publisher

    def published_as_staged(self) -> frozenset[str]:
        """The modules whose staged export is the one that stands in the package."""
        return frozenset(
            name
            for name, entry in self.publisher.published().items()
            if name in self.manifest.by_name
            and entry.target == self.manifest[name].target
            and entry.export == self.export_digest(self.manifest[name])
        )

    def open(self, what: str) -> list[Problem]:
        """Begin a run: take the course's lock, finish or undo what a killed run left, restore the package.

        Args:
            what: what the run is, for those who find the lock taken.

        Returns:
            a run that was killed, and what was found wrong with the package and put right.

        Raises:
            CourseBusy: another run is under way.
            PublishError: the package cannot be put right.
            OSError: the lock cannot be taken, as on a full disk.
        """
        with self._mutex:
            if self._run_lock is not None:
                return []
            self._run_lock, dead = _take(self.layout, what)
            self._declared = self._declarations()
            settlement = self.publisher.settle()
            self.held = settlement.held
            return [*([_taken_over(dead)] if dead else []), *settlement.problems]

    def close(self) -> None:
        """End programs and worker processes, let go of the files, and last of the lock. Safe to call twice.

        Raises:
            OSError: the name that stands beside the lock cannot be removed; all else has been done.
        """
        with self._mutex, contextlib.ExitStack() as stack:  # which calls all, whatever one raises
            if self._run_lock is not None:
                stack.callback(self._run_lock.release)
                self._run_lock = None
            if "_ledger" in self.__dict__:
                stack.callback(self._ledger.close)
            if "_workers" in self.__dict__:
                stack.callback(self._workers.close)
            stack.callback(self.programs.close)

    def document(self, module: CourseModule) -> Document:
        """A module's source, read by our own reader.

        Raises:
            UnreadableSource: it is no such document.
            SourceChanged: its cells are not those that its convert task found, and that fingerprints hold.
        """
        document = read_document(self.layout.source(module), module.source)
        known = self._cells.get(module.name)
        if known is not None and CellFacts.of(document) != known:
            raise SourceChanged(f"{module.source} changed while it was being checked; run the command again")
        return document

    def cells(self, module: CourseModule) -> CellFacts:
        """Digests of a module's cells: as its convert task found them, else read from the source now."""
        known = self._cells.get(module.name)
        if known is None:
            known = self._cells[module.name] = CellFacts.of(self.document(module))
        return known

    def found_cells(self, module: CourseModule, facts: CellFacts, source: str) -> None:
        """Remember what the convert task found, in this run or when it last ran.

        Args:
            module: whose source it was.
            facts: of its cells.
            source: hex SHA-256 of the whole source.
        """
        self._cells[module.name] = facts
        self._sources[module.name] = source

    def changed_since(self) -> list[CourseModule]:
        """The modules whose sources are not what their convert tasks found: somebody has saved them since."""
        return [
            module
            for module in self.manifest.modules
            if module.name in self._sources and self._source_digest(module) != self._sources[module.name]
        ]

    def changed_declarations(self) -> list[str]:
        """`modules.toml` and `dodo.py`, if they are not what they were when the run began."""
        return [name for name, digest in self._declarations().items() if self._declared.get(name) != digest]

    def _declarations(self) -> dict[str, str]:
        paths = (self.layout.manifest, self.layout.root / "dodo.py")
        return {path.name: self.digests.of(path) for path in paths}

    def _source_digest(self, module: CourseModule) -> str:
        try:
            return self.digests.of(self.layout.source(module))
        except OSError:
            return ABSENT  # it could be read before

    def notebook_digest(self, module: CourseModule) -> str:
        """A digest of the cells of a module's notebook; of its bytes if it is none, or `ABSENT`."""
        path = self.layout.notebook(module)
        digest = self.digests.of(path)
        known = self._notebooks.get(module.name)
        if known is None or known[0] != digest:
            try:
                cells = ABSENT if digest == ABSENT else read_cells(path.read_bytes()).digest
            except NoNotebook:
                cells = digest
            known = self._notebooks[module.name] = (digest, cells)
        return known[1]

    def exported(self, module: CourseModule) -> None:
        """Remember that this run is through with a module's export: nothing may change it any more."""
        self._exported.add(module.name)

    def exported_modules(self) -> tuple[str, ...]:
        """The modules whose exports this run is through with."""
        return tuple(self._exported)

    def export_digest(self, module: CourseModule) -> str:
        """Hex SHA-256 of a module's staged file, or `ABSENT`."""
        return self.digests.of(self.layout.staged(module))

    def exported_names(self, module: CourseModule) -> tuple[str, ...]:
        """The public names of a module's staged file; none while there is no such file."""
        digest = self.export_digest(module)
        known = self._names.get(module.name)
        if known is None or known[0] != digest:
            path = self.layout.staged(module)
            text = path.read_text(encoding="utf-8") if path.is_file() else ""
            known = self._names[module.name] = (digest, public_names(text))
        return known[1]

    def closure_digest(self, module: CourseModule) -> str:
        """One digest of a module's export and of the exports of everything that it needs.

        It is worked out once a run, after the tasks that it depends on, so it stays linear in the number of
        modules, where lists of files to depend on would grow with the square of it.
        """
        waiting = [module]
        while waiting:
            current = waiting[-1]
            missing = [self.manifest[name] for name in current.depends_on if name not in self._closures]
            if missing and current.name not in self._closures:
                waiting += missing
                continue
            waiting.pop()
            if current.name not in self._closures:
                parts = {name: self._closures[name] for name in current.depends_on}
                self._closures[current.name] = digest_of(
                    {"export": self.export_digest(current), "target": current.target, **parts}
                )
        return self._closures[module.name]

    def view(self, owner: str, names: Iterable[str], *, assembled: bool = False) -> View:
        """What a process may import of the package.

        Args:
            owner: the module or test file that the process works for, as messages call it.
            names: the modules it works with; what they need is added.
            assembled: whether it works on the package as a whole, which also tells the modules' versions. To
                all others these are not told, so that raising one does not run every test again.
        """
        from tinytorch_build.workers import StagedModule, View

        visible = [self.manifest[name] for name in visible_modules(self.manifest, names)]
        staged = {
            self.manifest.dotted(module): StagedModule(
                str(self.layout.staged(module)), self.export_digest(module)
            )
            for module in visible
        }
        hidden = {
            self.manifest.dotted(module): module.name
            for module in self.manifest.modules
            if self.manifest.dotted(module) not in staged
        }
        init = render_init(
            self.manifest.package.name,
            self.manifest.package.version,
            [(module.target, self.exported_names(module)) for module in visible],
            {module.name: module.version for module in visible} if assembled else None,
        )
        return View(
            package=self.manifest.package.name, modules=staged, init=init, owner=owner, undeclared=hidden
        )

    def locate(self, module: CourseModule) -> Callable[[int], int | None]:
        """From a line of a module's staged file to the line of its source."""
        text = self.layout.staged(module).read_text(encoding="utf-8")
        return SourceLines(text, self.document(module)).source_line

    def locate_path(self, path: str, line: int) -> tuple[str, int] | None:
        """From a line of any staged file to path and line of the source it came from, or None."""
        for module in self.manifest.modules:
            if str(self.layout.staged(module)) == path:
                found = self.locate(module)(line)
                return None if found is None else (module.source, found)
        return None

    def taken_names(self, module: CourseModule) -> Mapping[str, str]:
        """Public names that other modules' staged files define, each with the module that does."""
        return {
            name: other.name
            for other in self.manifest.modules
            if other.name != module.name
            for name in self.exported_names(other)
        }

    def relative(self, path: Path) -> str:
        return self.layout.relative(path)


@contextlib.contextmanager
def at_work(layout: Layout, what: str) -> Iterator[list[Problem]]:
    """Have a course to oneself, without a session; what a killed run left half done is put right first.

    The context is a run that was killed, if there was one, to be told.

    Args:
        layout: of the course.
        what: what is done, for those who find the lock taken.

    Raises:
        CourseBusy: another run is under way.
        OSError: the system refuses to read or write, as on a full disk.
    """
    lock, dead = _take(layout, what)
    try:
        recover(layout)
        yield [_taken_over(dead)] if dead else []
    finally:
        lock.release()


def _take(layout: Layout, what: str) -> tuple[RunLock, Holder | None]:
    """Take the course's lock; from whom, if its holder was killed, and what that one had begun is removed."""
    lock = RunLock(layout.run_lock)
    dead = lock.acquire(what)
    try:
        # A run that the machine has stopped lets go of the lock, and may yet leave what a thread was writing.
        stopped = (layout.notebooks, layout.staging)
        remove_unfinished(*(stopped if dead is None else (layout.build, layout.dist)))
    except BaseException:
        lock.release()
        raise
    return lock, dead


def _taken_over(dead: Holder) -> Problem:
    return Problem(
        "killed-run",
        f"the last run was killed ({dead}); this one takes over its lock",
        cure="nothing to do; what it had not finished is done again",
        severity=Severity.WARNING,
    )
