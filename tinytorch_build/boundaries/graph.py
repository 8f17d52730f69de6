"""The import graph of a package on disk, read without running any of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.errors import CourseError
from tinytorch_build.programs import Programs

_SECONDS = 120.0


class GraphUnreadable(CourseError):
    """The imports of the package could not be found out.

    Attributes:
        output: what the program that reads them said.
    """

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


@dataclass(frozen=True, slots=True, order=True)
class FoundImport:
    """One import of one file of the package by another.

    Attributes:
        importer: full dotted name of the file that holds the statement.
        imported: full dotted name of the file that it imports.
        line: 1-based line of the statement.
    """

    importer: str
    imported: str
    line: int


def imports_within(package: Path, programs: Programs) -> tuple[FoundImport, ...]:
    """Every import between the files of a package, also those in functions and for type checkers only.

    Args:
        package: the package's folder; its name is the import name.
        programs: runs the program that reads them.

    Raises:
        GraphUnreadable: a file does not parse, or time was up.
    """
    with tempfile.TemporaryDirectory(prefix="boundaries-") as folder:
        result = Path(folder) / "imports.json"
        program = Path(__file__).with_name("scan.py")
        finished = programs.python(
            [program, package.parent, package.name, result], Path(folder), seconds=_SECONDS
        )
        if not finished.succeeded:
            said = finished.last_words or finished.how
            raise GraphUnreadable(
                f"grimp could not read the imports of {package.name}: {said}", finished.output
            )
        found = json.loads(result.read_text(encoding="utf-8"))
    return tuple(FoundImport(importer, imported, line) for importer, imported, line in found)
