"""Settling: what passed together is put in place, and the package is again what its record says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from filelock import FileLock

from tinytorch_build.errors import PublishError
from tinytorch_build.files import FileDigests, content_of, sha256
from tinytorch_build.layout import Layout
from tinytorch_build.model import Manifest, Problem, Severity, errors
from tinytorch_build.publish.consistent_set import Choice, choose, sound
from tinytorch_build.publish.contents import PackageFile, assemble, included_files
from tinytorch_build.publish.entries import Entry
from tinytorch_build.publish.init_file import SUBPACKAGE_INIT, render_init
from tinytorch_build.publish.ledger import Ledger
from tinytorch_build.publish.objects import ObjectStore
from tinytorch_build.publish.record import Record, RenderedTables, render_record
from tinytorch_build.publish.rescue import CHECK, Rescuer, deviations
from tinytorch_build.publish.standing import Standing, StandingPackage
from tinytorch_build.publish.swap import StepHook, follow, no_hook, recover, swap
from tinytorch_build.publish.tree import RECORD_NAME, Tree, TreeReader
from tinytorch_build.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Settlement:
    """What stands in the package after settling.

    Attributes:
        entries: the modules in place, in course order.
        changed: modules that came, went, were replaced or restored, in the order of their names.
        held: modules whose new version waits, each with the modules that have not passed with it yet.
        problems: what was found wrong with package, included files or ledger. With an error among them the
            package was left as it stood.
    """

    entries: Mapping[str, Entry]
    changed: tuple[str, ...]
    held: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]


class Publisher:
    """Puts the largest set of modules that passed together into the package; one for each run of a course.

    Any number of threads and processes may settle the same course: they take turns.

    Args:
        layout: the course's paths.
        manifest: the course.
        ledger: which versions have passed with what.
        objects: the exports of these versions.
        on_step: called with the name of each step of a swap; for tests that end the process there.
    """

    def __init__(
        self,
        layout: Layout,
        manifest: Manifest,
        ledger: Ledger,
        objects: ObjectStore,
        on_step: StepHook = no_hook,
    ) -> None:
        self._layout = layout
        self._manifest = manifest
        self._ledger = ledger
        self._objects = objects
        self._on_step = on_step
        self._mutex = threading.RLock()
        self._reader = TreeReader(layout.published)
        self._standing = StandingPackage(layout, ledger)
        self._digests = FileDigests()
        self._tables: RenderedTables = {}
        self._kept: set[str] = set()
        """Digests of objects that were read and found whole; writing the package checks them once more."""
        self._last: Record | None = None

    def settle(self) -> Settlement:
        """Finish what was interrupted, restore what was changed by hand, and publish what has passed.

        Settling again does nothing.

        Raises:
            PublishError: nothing can be put in place (a full disk, say); the package stands as it was.
        """
        with self._turn():
            return self._settle()

    def qualify_and_settle(self, entry: Entry) -> Settlement:
        """Note that a version of a module has passed all its gates, and publish what this makes possible.

        Args:
            entry: the version; its export lies in the staging folder or in the object store.

        Raises:
            PublishError: the export is not there any more, or nothing can be put in place.
        """
        with self._turn():
            if not self._keep(entry):
                raise PublishError(
                    f"The export of module {entry.module} changed after it was tested; "
                    f"run `doit validate:{entry.module}`"
                )
            self._ledger.qualify(entry)
            return self._settle()

    def published(self) -> Mapping[str, Entry]:
        """The modules that the package's record names now, in course order; nothing is checked or changed."""
        record = self.record()
        return {} if record is None else record.entries

    def record(self) -> Record | None:
        """The record that lies in the package now, or None; nothing is checked or changed."""
        return self._standing.read(self._layout.published / RECORD_NAME)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One at a time, across threads and processes; what the disk refuses becomes a message for people."""
        try:
            self._layout.build.mkdir(parents=True, exist_ok=True)
            with self._mutex, FileLock(self._layout.build / "publish.lock"):
                yield
        except OSError as error:
            refusal = Refusal.of(error, self._layout.root)
            raise PublishError(
                f"Package {self._layout.package} could not be put in place, and stands as it was: {refusal}"
            ) from error

    def _settle(self) -> Settlement:
        layout, manifest = self._layout, self._manifest
        if layout.published.is_symlink() or (layout.published.exists() and not layout.published.is_dir()):
            raise PublishError(
                f"{layout.package} is no folder of its own; move it away, and the build makes one"
            )
        self._ledger.belongs_to(layout.package)
        self._kept &= self._objects.digests()
        recover(layout)
        tree = self._reader.read()
        standing = self._standing.find(tree)
        recorded = standing.record.entries
        baseline = self._sound_part(standing.record)
        choice = choose(baseline, self._eligible(), [module.name for module in manifest.modules])
        problems = [*self._ledger.take_problems(), *standing.problems, *self._lost(recorded, choice)]
        entries = choice.entries
        included, faults = included_files(layout.root, manifest.package, entries.values(), self._digests)
        if errors(faults):
            return Settlement(baseline, (), choice.held, (*problems, *faults))
        objects = {entry.export: self._objects.path(entry.export) for entry in entries.values()}
        files = assemble(manifest.package, entries, included, objects)
        problems += self._replace(standing, tree, entries, files)
        problems += self._copy_record()
        return Settlement(entries, _changed(recorded, tree, entries), choice.held, tuple(problems))

    # -- what may stand

    def _sound_part(self, record: Record) -> Mapping[str, Entry]:
        """Those of the recorded entries that can be had and were tested with each other."""
        had = {module: entry for module, entry in record.entries.items() if self._keep(entry)}
        if record is self._last and len(had) == len(record.entries):
            return had  # it was put together from a sound choice, in this process
        return sound(had)

    def _keep(self, entry: Entry) -> bool:
        """See to it that the object store holds an entry's export, if it is anywhere to be had."""
        digest = entry.export
        if digest in self._kept:
            return True
        found = self._objects.get(digest) is not None
        for folder in (self._layout.published, self._layout.staging / self._layout.package):
            data = None if found else content_of(folder / entry.path)
            if data is not None and sha256(data) == digest:
                self._objects.put(data)
                found = True
        if found:
            self._kept.add(digest)
        return found

    def _eligible(self) -> dict[str, Entry]:
        """The candidates that could be published: of modules of the manifest, at the place that it names."""
        modules = self._manifest.by_name
        return {
            name: entry
            for name, entry in self._ledger.candidates().items()
            if name in modules and entry.target == modules[name].target and self._keep(entry)
        }

    def _lost(self, recorded: Mapping[str, Entry], choice: Choice) -> list[Problem]:
        lost = [
            module.name
            for module in self._manifest.modules
            if module.name in recorded and module.name not in choice.entries
        ]
        if not lost:
            return []
        message = (
            f"These modules are out of the package until they pass again: {', '.join(lost)}; "
            "a file could not be restored, or they were not tested with what stands beside them"
        )
        cure = "run `doit validate`, which brings them back"
        return [
            Problem("package-incomplete", message, self._layout.package, cure=cure, severity=Severity.WARNING)
        ]

    # -- putting it in place

    def _replace(
        self, standing: Standing, tree: Tree, entries: Mapping[str, Entry], files: Mapping[str, PackageFile]
    ) -> list[Problem]:
        """Swap the package if it is not yet as it should be; what people changed in it is kept first."""
        if not entries and not (standing.is_ours and tree.files):
            return []  # nothing to put there, and nothing of ours that would have to go
        record = self._record(entries, files)
        recorded, wanted = standing.record.contents(), record.contents()
        found = deviations(tree, recorded, wanted)
        if standing.holds(record) and not found:
            self._last = standing.record
            self._ledger.remember_records([standing.digest])
            return []
        data = render_record(record, self._tables).encode()
        rescuer = Rescuer(self._layout, self._manifest, self._original(standing.record))
        problems = list(rescuer.rescue(found, recorded, wanted)) if tree.files else self._absent(recorded)
        self._standing.learn(data, record)
        self._last = record
        # Both while either may stand, so that a run after a crash does not take it for somebody else's work.
        self._ledger.remember_records([sha256(data), standing.digest])
        reuse = {path for path, digest in wanted.items() if tree.files.get(path) == digest}
        try:
            swap(self._layout, {**files, RECORD_NAME: PackageFile(sha256(data), data)}, reuse, self._on_step)
        except PublishError:
            self._kept.clear()  # an object was spoilt after it had been read: the next try looks again
            raise
        self._ledger.remember_records([sha256(data)])
        self._reader.learn({**wanted, RECORD_NAME: sha256(data)})
        candidates = self._ledger.candidates().values()
        self._objects.prune({entry.export for entry in (*entries.values(), *candidates)})
        return problems

    def _record(self, entries: Mapping[str, Entry], files: Mapping[str, PackageFile]) -> Record:
        modules = {entry.path for entry in entries.values()}
        others = {path: file.digest for path, file in files.items() if path not in modules}
        return Record(self._layout.package, self._manifest.package.version, others, entries)

    def _absent(self, recorded: Mapping[str, str]) -> list[Problem]:
        if not recorded:
            return []
        message = f"Package {self._layout.package} was missing and has been restored"
        cure = "to empty it, take the modules out of modules.toml"
        return [Problem(CHECK, message, self._layout.package, cure=cure, severity=Severity.WARNING)]

    def _original(self, record: Record) -> Callable[[str, str], bytes | None]:
        """What a file of the package should hold, from wherever it can be had."""

        def sources(path: str, digest: str) -> Iterator[bytes | None]:
            yield self._objects.get(digest)
            modules = [(entry.target, entry.names) for entry in record.entries.values()]
            versions = {name: entry.version for name, entry in record.entries.items()}
            yield render_init(record.package, record.version, modules, versions).encode()
            yield SUBPACKAGE_INIT.encode()
            if self._manifest.package.include is not None:
                yield content_of(self._layout.root / self._manifest.package.include / path)

        def original(path: str, digest: str) -> bytes | None:
            return next((data for data in sources(path, digest) if data and sha256(data) == digest), None)

        return original

    def _copy_record(self) -> list[Problem]:
        try:
            follow(self._layout)
        except OSError as error:
            refusal = Refusal.of(error, self._layout.root, self._layout.lock)
            message = f"The package is in place, but its record could not be copied: {refusal.reason}"
            return [Problem("record-not-copied", message, self._layout.lock.name, cure=refusal.cure)]
        return []


def settle(layout: Layout, manifest: Manifest, ledger: Ledger, objects: ObjectStore) -> Settlement:
    """Settle once: `Publisher.settle` for callers that have no run to keep a publisher for.

    Raises:
        PublishError: nothing can be put in place; the package stands as it was.
    """
    return Publisher(layout, manifest, ledger, objects).settle()


def _changed(recorded: Mapping[str, Entry], tree: Tree, entries: Mapping[str, Entry]) -> tuple[str, ...]:
    moved = {
        module for module in recorded.keys() | entries.keys() if recorded.get(module) != entries.get(module)
    }
    restored = {module for module, entry in entries.items() if tree.files.get(entry.path) != entry.export}
    return tuple(sorted(moved | restored))
