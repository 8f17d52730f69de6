"""A small course on disk whose modules pass their tests because a test says so."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinytorch_build.files import sha256
from tinytorch_build.layout import Layout
from tinytorch_build.model import CourseModule, Dependency, Manifest, Package
from tinytorch_build.publish import Entry, Ledger, ObjectStore, Publisher, Settlement, identity, parse_record
from tinytorch_build.publish.tree import read_tree


def entry(
    module: str,
    text: str = "1",
    scope: Mapping[str, str] | Sequence[Entry] = (),
    *,
    target: str | None = None,
    names: Sequence[str] = (),
    version: str = "1.0.0",
    constraints: Mapping[str, str] | None = None,
) -> Entry:
    """An entry of a module, whose export is `text`, tested with the entries (or identities) in `scope`."""
    tested = dict(scope) if isinstance(scope, Mapping) else {other.module: other.identity for other in scope}
    return Entry(
        module=module,
        version=version,
        target=target or f"core.{module}",
        export=sha256(text.encode()),
        cells=sha256(f"cells of {text}".encode()),
        names=tuple(names),
        depends=tuple(tested),
        scope=tested,
        constraints=dict(constraints or {}),
    )


@dataclass
class Course:
    """A course in a folder: `stage` writes an export, `passes` says that it passed its gates.

    Attributes:
        root: its folder.
        depends: for each module the modules that it declares, in course order.
        targets: where a module goes if not to `core.<its name>`.
        package: the package's declaration.
        on_step: the step hook of the publisher.
    """

    root: Path
    depends: dict[str, tuple[str, ...]]
    targets: dict[str, str] = field(default_factory=dict)
    package: Package = field(default_factory=lambda: Package("toy"))
    on_step: Callable[[str], None] = lambda step: None

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.layout.ledger)
        weakref.finalize(self, self.ledger.close)
        self.objects = ObjectStore(self.layout.objects)

    @property
    def manifest(self) -> Manifest:
        modules = tuple(
            CourseModule(
                name=name,
                source=f"modules/{name}_dev.py",
                target=self.target(name),
                depends=tuple(Dependency(other) for other in depends),
                version="1.0.0",
            )
            for name, depends in self.depends.items()
        )
        return Manifest(self.root, self.package, modules)

    @property
    def layout(self) -> Layout:
        return Layout(self.root, self.package.name)

    def target(self, name: str) -> str:
        return self.targets.get(name, f"core.{name}")

    def publisher(self) -> Publisher:
        return Publisher(self.layout, self.manifest, self.ledger, self.objects, self.on_step)

    def settle(self) -> Settlement:
        return self.publisher().settle()

    def stage(self, name: str, text: str) -> None:
        path = self.layout.staged(self.manifest[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def staged_entry(self, name: str, names: Sequence[str] = ()) -> Entry:
        """The entry of what is staged now, tested with what is staged now."""
        text = self.layout.staged(self.manifest[name]).read_text()
        scope = {other: self._staged_identity(other) for other in self.depends[name]}
        return entry(name, text, scope, target=self.target(name), names=names)

    def passes(self, name: str, names: Sequence[str] = ()) -> Settlement:
        """The staged export of a module passes all its gates."""
        return self.publisher().qualify_and_settle(self.staged_entry(name, names))

    def edit(self, name: str, text: str) -> Settlement:
        """A module is edited, exported and passes."""
        self.stage(name, text)
        return self.passes(name)

    def content(self) -> dict[str, str]:
        """The text of every file in the package."""
        published = self.layout.published
        return {path: (published / path).read_text() for path in read_tree(published).files}

    def modules(self) -> dict[str, str]:
        """The text of each module's file in the package, by its path."""
        return {
            path: text
            for path, text in self.content().items()
            if path.endswith(".py") and not path.endswith("__init__.py")
        }

    def record_agrees(self) -> bool:
        """Whether both copies of the record are the same and describe what lies in the package."""
        text = (self.layout.published / "modules.lock").read_bytes()
        files = read_tree(self.layout.published).files
        del files["modules.lock"]
        return self.layout.lock.read_bytes() == text and parse_record(text.decode()).contents() == files

    def leftovers(self) -> list[str]:
        """What a swap should have cleared away."""
        places = [self.layout.publishing, self.root / f".{self.package.name}.publish"]
        return [path.name for place in places if place.exists() for path in place.iterdir()]

    def _staged_identity(self, name: str) -> str:
        text = self.layout.staged(self.manifest[name]).read_bytes()
        return identity(self.target(name), sha256(text))
