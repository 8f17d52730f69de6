"""The standing package: which record tells the truth about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tinytorch_build.files import content_of, sha256
from tinytorch_build.layout import Layout
from tinytorch_build.model import Problem, Severity
from tinytorch_build.publish.ledger import Ledger
from tinytorch_build.publish.record import Record, UnreadableRecord, parse_record
from tinytorch_build.publish.rescue import CHECK
from tinytorch_build.publish.tree import RECORD_NAME, Tree


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of the package as it stands.

    Attributes:
        record: what it should hold.
        inside: the bytes of the record in the package, or None.
        is_ours: whether any record says so. Without one the folder is somebody else's, or there is none.
        problems: what was wrong with the record.
    """

    record: Record
    inside: bytes | None
    is_ours: bool = True
    problems: tuple[Problem, ...] = ()

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the record in the package; of nothing, if it is not there."""
        return sha256(self.inside or b"")

    def holds(self, record: Record) -> bool:
        """Whether this very record lies in the package, in good order."""
        return (
            self.inside is not None
            and not self.problems
            and self.record == record
            and list(self.record.entries) == list(record.entries)
        )


@dataclass
class StandingPackage:
    """Finds the record of the package.

    There are two copies: in the package, where it changes in one instant with the files, and in the course's
    root. The ledger remembers how the build last left them. Version control changes both alike, a person
    only one of them; a crash cannot part them for long, since the next run mends that first.

    Attributes:
        layout: the course's paths.
        ledger: remembers the records that the build wrote.
    """

    layout: Layout
    ledger: Ledger
    _parsed: dict[bytes, Record] = field(default_factory=dict)

    def find(self, tree: Tree) -> Standing:
        """The record to go by.

        Args:
            tree: what lies in the package's folder.
        """
        inside, beside = content_of(self.layout.published / RECORD_NAME), content_of(self.layout.lock)
        here, why = self._parse(inside)
        copy, _ = self._parse(beside)
        known = self.ledger.known_records()
        if here is not None and inside is not None:
            if not known or sha256(inside) in known:
                return Standing(here, inside)
            if copy is not None and beside is not None and sha256(beside) in known:
                return Standing(copy, inside, problems=(self._restored("was changed by hand"),))
            # A checkout, a pull: what this course folder had qualified before belongs to other sources.
            self.ledger.forget_candidates()
            self.ledger.remember_records([sha256(inside)])
            return Standing(here, inside)
        problems = self._complaints(tree, inside, why)
        if copy is not None:
            return Standing(copy, inside, problems=problems)
        return Standing(self._guess(tree), inside, is_ours=inside is not None, problems=problems)

    def read(self, path: Path) -> Record | None:
        """The record in a file, or None if there is none that can be read."""
        return self._parse(content_of(path))[0]

    def _parse(self, data: bytes | None) -> tuple[Record | None, str]:
        """A record, or None and the reason; the last ones are kept: reading a long one takes its time."""
        if data is None:
            return None, "is missing"
        record = self._parsed.get(data)
        if record is None:
            try:
                record = parse_record(data.decode())
            except (UnicodeDecodeError, UnreadableRecord) as error:
                return None, str(error)
            self.learn(data, record)
        if record.package != self.layout.package:
            return None, f"it describes package {record.package}"
        return record, ""

    def learn(self, data: bytes, record: Record) -> None:
        """Take it that these bytes are this record, which was written just now."""
        self._parsed = {**dict(list(self._parsed.items())[-3:]), data: record}

    def _complaints(self, tree: Tree, inside: bytes | None, why: str) -> tuple[Problem, ...]:
        if inside is not None:
            return (self._restored(f"could not be read ({why})"),)
        if tree.files and self.layout.lock.is_file():
            return (self._restored("was missing"),)
        return ()

    def _restored(self, what: str) -> Problem:
        shown = self.layout.relative(self.layout.published / RECORD_NAME)
        return Problem(
            CHECK,
            f"{shown} {what} and has been written anew",
            shown,
            cure="nothing to do; the build alone writes this file",
            severity=Severity.WARNING,
        )

    def _guess(self, tree: Tree) -> Record:
        """Without any record: those candidates whose very files lie in the package."""
        entries = {
            module: entry
            for module, entry in self.ledger.candidates().items()
            if tree.files.get(entry.path) == entry.export
        }
        return Record(self.layout.package, "", {}, entries)
