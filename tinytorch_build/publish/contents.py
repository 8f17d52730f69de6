"""The contents of the next package: modules, generated files, and what the course includes by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.errors import PublishError
from tinytorch_build.files import FileDigests, files_below, sha256
from tinytorch_build.model import Package, Problem
from tinytorch_build.publish.entries import Entry
from tinytorch_build.publish.init_file import SUBPACKAGE_INIT, render_init
from tinytorch_build.publish.tree import PASSED_OVER, RECORD_NAME


@dataclass(frozen=True, slots=True)
class PackageFile:
    """One file of the next package.

    Attributes:
        digest: hex SHA-256 of its content.
        origin: the content, or the file that holds it.
    """

    digest: str
    origin: bytes | Path

    @classmethod
    def generated(cls, text: str) -> PackageFile:
        """A file that the build writes itself."""
        data = text.encode()
        return cls(sha256(data), data)

    def read(self) -> bytes:
        """The content.

        Raises:
            PublishError: the file that held it has changed in the meantime.
        """
        if isinstance(self.origin, bytes):
            return self.origin
        data = self.origin.read_bytes()
        if sha256(data) != self.digest:
            raise PublishError(f"{self.origin} changed while it was being published; run the task again")
        return data

    @property
    def is_executable(self) -> bool:
        """Whether the file that holds the content may be run as a program."""
        return isinstance(self.origin, Path) and bool(self.origin.stat().st_mode & 0o100)


def included_files(
    root: Path, package: Package, entries: Iterable[Entry], digests: FileDigests
) -> tuple[dict[str, PackageFile], list[Problem]]:
    """The hand-written files that the course includes, and what is wrong with them.

    Args:
        root: the course's root.
        package: the package; its `include` is a folder, or None.
        entries: the modules that will stand in the package, whose files nothing may clash with.
        digests: reads files only when they have changed.

    Returns:
        the files under their POSIX paths from the package's folder, and problems: with any, use none of them.
    """
    if package.include is None:
        return {}, []
    folder = root / package.include
    if not folder.is_dir():
        cure = "make the folder, or take `include` out of [package] in modules.toml"
        return {}, [_problem("The folder that the package includes does not exist", package.include, cure)]
    files: dict[str, PackageFile] = {}
    problems: list[Problem] = []
    for path in _paths(folder):
        shown = f"{package.include}/{path}"
        fault = _fault(folder, folder / path)
        if fault:
            message, cure = fault
            problems.append(_problem(message, ascii(shown)[1:-1] if not shown.isprintable() else shown, cure))
        else:
            files[path] = PackageFile(digests.of(folder / path), folder / path)
    problems += _clashes(package.include, files, entries)
    return files, problems


def assemble(
    package: Package,
    entries: Mapping[str, Entry],
    included: Mapping[str, PackageFile],
    objects: Mapping[str, Path],
) -> dict[str, PackageFile]:
    """Every file of the next package but its record.

    Args:
        package: the package.
        entries: the modules that will stand in it, in course order.
        included: hand-written files; they take precedence over generated ones.
        objects: for the digest of each export, the file that holds it.
    """
    modules = [(entry.target, entry.names) for entry in entries.values()]
    versions = {name: entry.version for name, entry in entries.items()}
    init = render_init(package.name, package.version, modules, versions)
    files = {
        "__init__.py": PackageFile.generated(init),
        "py.typed": PackageFile.generated(""),
    }
    marker = PackageFile.generated(SUBPACKAGE_INIT)
    for entry in entries.values():
        parts = entry.target.split(".")
        for end in range(1, len(parts)):
            files["/".join([*parts[:end], "__init__.py"])] = marker
    files.update(included)
    files.update((entry.path, PackageFile(entry.export, objects[entry.export])) for entry in entries.values())
    return dict(sorted(files.items()))


def _paths(folder: Path) -> Iterator[str]:
    """Every file and link below a folder; links to folders are not followed."""
    for path in files_below(folder):
        parts = path.relative_to(folder)
        if PASSED_OVER.isdisjoint(parts.parts):
            yield parts.as_posix()


def _fault(folder: Path, path: Path) -> tuple[str, str] | None:
    """Why a path cannot be included, and the cure; None if it can."""
    if not path.relative_to(folder).as_posix().isprintable():
        return "An included file has a name with characters that cannot be shown", "rename it"
    if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
        return None
    if path.is_symlink():
        return (
            "A symbolic link in the included folder leads out of it, to a folder, or nowhere",
            "put the file itself there",
        )
    return "Something that is no file lies in the included folder", "take it away"


def _clashes(include: str, files: Iterable[str], entries: Iterable[Entry]) -> Iterator[Problem]:
    """Included files that stand where a module, a folder of modules or the record has to be."""
    modules = {
        entry.path.casefold(): entry for entry in entries
    }  # some file systems do not tell `A` from `a`
    folders = {folder for path in modules for folder in _folders(path)}
    for path in files:
        folded, shown = path.casefold(), f"{include}/{path}"
        # Python prefers the package `tensor/__init__.py` to the module `tensor.py` beside it.
        entry = modules.get(folded) or modules.get(f"{folded.removesuffix('/__init__.py')}.py")
        if entry is not None:
            message = f"An included file takes the place of module {entry.module}"
            yield _problem(message, shown, f"rename one of them: {entry.module} is published as {entry.path}")
        elif folded == RECORD_NAME:
            yield _problem("An included file has the name of the package's record", shown, "rename it")
        elif folded in folders:
            yield _problem("An included file has the name of a folder of modules", shown, "rename it")


def _folders(path: str) -> Iterator[str]:
    """`a`, `a/b` for `a/b/c.py`."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))


def _problem(message: str, file: str, cure: str) -> Problem:
    return Problem("package-include", message, file, cure=cure)
