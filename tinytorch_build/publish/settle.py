"""Settling: what passed together is put in place, and the package is again what its record says."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tinytorch_build.errors import PublishError
from tinytorch_build.files import FileDigests, sha256
from tinytorch_build.layout import Layout
from tinytorch_build.model import Manifest, Problem, Severity, errors
from tinytorch_build.publish.consistent_set import Choice, choose, sound
from tinytorch_build.publish.contents import PackageFile, assemble, included_files
from tinytorch_build.publish.entries import Entry
from tinytorch_build.publish.ledger import Ledger
from tinytorch_build.publish.objects import ObjectStore
from tinytorch_build.publish.record import Record, RenderedTables, render_record
from tinytorch_build.publish.rescue import CHECK, Rescuer, deviations
from tinytorch_build.publish.standing import Standing, StandingPackage
from tinytorch_build.publish.swap import StepHook, follow, no_hook, recover, swap
from tinytorch_build.publish.tree import RECORD_NAME, Tree, TreeReader


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
                    f"The export of module {entry.module} changed after it was tested; run `doit validate:{entry.module}`"
                )
            self._ledger.qualify(entry)
            return self._settle()

    def published(self) -> Mapping[str, Entry]:
        """The modules that the package's record names now, in course order; nothing is checked or changed."""
        record = self._standing.read(self._layout.published / RECORD_NAME)
        return {} if record is None else record.entries

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One at a time, across threads and processes; what the disk refuses becomes a message for people."""
        try:
            self._layout.build.mkdir(parents=True, exist_ok=True)
            with self._mutex, FileLock(self._layout.build / "publish.lock"):
                yield
        except OSError as error:
            raise PublishError(
                f"Package {self._layout.package} could not be put in place, and stands as it was: {error}"
            ) from error

    def _settle(self) -> Settlement:
        layout, package = self._layout, self._manifest.package
        if layout.published.is_symlink() or (layout.published.exists() and not layout.published.is_dir()):
            raise PublishError(f"{layout.package} is no folder of its own; move it away, and the build makes one")
        self._ledger.belongs_to(layout.package)
        recover(layout)
        tree = self._reader.read()
        standing = self._standing.find(tree)
        baseline = sound(self._obtainable(standing.record.entries, tree))
        choice = choose(baseline, self._eligible(), [module.name for module in self._manifest.modules])
        problems = [*self._ledger.take_problems(), *standing.problems, *self._lost(standing.record, choice)]
        included, faults = included_files(layout.root, package, choice.entries.values(), self._digests)
        if errors(faults):
            return Settlement(baseline, (), choice.held, (*problems, *faults))
        objects = {entry.export: self._objects.path(entry.export) for entry in choice.entries.values()}
        files = assemble(package, choice.entries, included, objects)
        problems += self._replace(standing, tree, choice, files)
        problems += self._copy_record()
        changed = _changed(standing.record, tree, choice)
        return Settlement(choice.entries, changed, choice.held, tuple(problems))

    # -- what may stand

    def _keep(self, entry: Entry) -> bool:
        """See to it that the object store holds an entry's export, if it is anywhere to be had."""
        if entry.export in self._kept and self._objects.path(entry.export).is_file():
            return True
        if self._objects.get(entry.export) is None:
            staged = self._layout.staging / self._layout.package / entry.path
            for path in (staged, self._layout.published / entry.path):
                with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                    data = path.read_bytes()
                    if sha256(data) == entry.export:
                        self._objects.put(data)
                        break
            else:
                self._kept.discard(entry.export)
                return False
        self._kept.add(entry.export)
        return True

    def _obtainable(self, entries: Mapping[str, Entry], tree: Tree) -> dict[str, Entry]:
        """Those entries whose file stands as recorded or can be had from elsewhere."""
        return {module: entry for module, entry in entries.items() if self._keep(entry)}

    def _eligible(self) -> dict[str, Entry]:
        """The candidates that could be published: of modules of the manifest, at the place that it names."""
        by_name = self._manifest.by_name
        return {
            module: entry
            for module, entry in self._ledger.candidates().items()
            if module in by_name and entry.target == by_name[module].target and self._keep(entry)
        }
