"""The ledger: which gates have passed with what, and the last version of each module that passed them all."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from tinytorch_build.databases import Database, Schema, T, is_sealed, seal
from tinytorch_build.errors import PublishError
from tinytorch_build.model import Problem, Severity
from tinytorch_build.publish.entries import Entry
from tinytorch_build.refusals import Refusal

PASSES_KEPT = 50
"""How many passes of one gate are remembered: undoing an edit within that many needs no new test run."""

_SCHEMA = Schema(
    version=2,
    tables={
        "passes": """
            CREATE TABLE passes
                (number INTEGER PRIMARY KEY AUTOINCREMENT, gate TEXT NOT NULL, fingerprint TEXT NOT NULL);
            CREATE UNIQUE INDEX passes_by_gate ON passes (gate, fingerprint);
            CREATE INDEX passes_by_age ON passes (gate, number)""",
        "candidates": """
            CREATE TABLE candidates (module TEXT PRIMARY KEY, entry TEXT NOT NULL, seal TEXT NOT NULL)""",
        "notes": "CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    },
    columns={
        "passes": ("number", "gate", "fingerprint"),
        "candidates": ("module", "entry", "seal"),
        "notes": ("key", "value"),
    },
)


class Ledger:
    """A sqlite file with a commit per write; any number of threads may use one ledger.

    What it holds can always be found out again by running tests, so a damaged file is set aside and a new
    one begun.

    Args:
        path: the file; made if it is not there.

    Raises:
        PublishError: it cannot be opened or made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mutex = threading.RLock()
        self._problems: list[Problem] = []
        self._candidates: dict[str, Entry] = {}
        self._read_at: int | None = None
        self._database = Database(path, _SCHEMA, self._damaged)
        self._run(lambda connection: None)

    def record_gate(self, gate: str, fingerprint: str) -> None:
        """Note that a gate has passed; of each gate the last passes are kept.

        Args:
            gate: such as `test:tensor` or `integration:test_x.py`.
            fingerprint: a digest of everything that went into it.
        """

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO passes (gate, fingerprint) VALUES (?, ?)", (gate, fingerprint)
            )
            connection.execute(
                "DELETE FROM passes WHERE gate = :gate AND number <="
                " (SELECT number FROM passes WHERE gate = :gate ORDER BY number DESC LIMIT 1 OFFSET :kept)",
                {"gate": gate, "kept": PASSES_KEPT},
            )

        self._write(write)

    def holds(self, gate: str, fingerprint: str) -> bool:
        """Whether a gate is known to have passed with this fingerprint."""
        query = "SELECT 1 FROM passes WHERE gate = ? AND fingerprint = ?"
        return (
            self._run(lambda connection: connection.execute(query, (gate, fingerprint)).fetchone())
            is not None
        )

    def qualify(self, entry: Entry) -> None:
        """Note that this version of a module has passed all its gates, with what its scope names."""
        text = json.dumps(entry.to_json())

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO candidates VALUES (?, ?, ?)", (entry.module, text, seal(text))
            )

        with self._mutex:
            self.candidates()
            self._write(write)
            self._candidates[entry.module] = entry

    def candidates(self) -> dict[str, Entry]:
        """The last version of each module that passed all its gates."""
        with self._mutex:
            version = self._run(lambda connection: connection.execute("PRAGMA data_version").fetchone())[0]
            if version != self._read_at:  # somebody else has written since; one's own commits do not count
                rows = self._run(
                    lambda connection: connection.execute("SELECT entry, seal FROM candidates").fetchall()
                )
                entries = [entry for row in rows if (entry := _entry(*row)) is not None]
                self._candidates = {entry.module: entry for entry in entries}
                self._read_at = version
            return dict(self._candidates)

    def forget_candidates(self) -> None:
        """Forget which versions were qualified, but not which gates passed: what counts is soon back."""
        with self._mutex:
            self._write(lambda connection: connection.execute("DELETE FROM candidates"))
            self._candidates = {}

    def belongs_to(self, package: str) -> None:
        """Begin anew if what the ledger holds was found out under another package name.

        The name stands in the exported code, so what passed under another one has not passed under this.
        """
        if self._note("package") == package:
            return

        def write(connection: sqlite3.Connection) -> None:
            for table in ("passes", "candidates", "notes"):
                connection.execute(f"DELETE FROM {table}")
            connection.execute("INSERT INTO notes VALUES ('package', ?)", (package,))

        with self._mutex:
            if self._note("package") is None:
                self._set_note("package", package)
            else:
                self._write(write)
                self._candidates = {}

    def known_records(self) -> frozenset[str]:
        """Digests of the package's record as this build last left it; two while a swap is under way."""
        return frozenset((self._note("records") or "").split())

    def remember_records(self, digests: Iterable[str]) -> None:
        """Note the digests of the records that the package may show if nobody else touches it."""
        self._set_note("records", " ".join(sorted(digests)))

    def take_problems(self) -> list[Problem]:
        """What was wrong with the file itself; each problem is handed out once."""
        with self._mutex:
            problems, self._problems = self._problems, []
        return problems

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        self._database.close()

    # -- the file

    def _note(self, key: str) -> str | None:
        query = "SELECT value FROM notes WHERE key = ?"
        row = self._run(lambda connection: connection.execute(query, (key,)).fetchone())
        return None if row is None else str(row[0])

    def _set_note(self, key: str, value: str) -> None:
        def write(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))

        if self._note(key) != value:
            self._write(write)

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        def transaction(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                work(connection)
                connection.execute("COMMIT")  # which may find the disk full
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        self._run(transaction)

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._mutex:
            try:
                return self._database.run(work)
            except (sqlite3.OperationalError, OSError) as error:
                refusal = Refusal.of(error, self._path.parent.parent, self._path)
                raise PublishError(f"The ledger of passed tests cannot be used: {refusal}") from error

    def _damaged(self, error: sqlite3.DatabaseError, kept: Path) -> None:
        self._candidates, self._read_at = {}, None
        self._problems.append(
            Problem(
                "ledger-damaged",
                f"The ledger of passed tests was damaged ({error}) and has been begun anew",
                f"{self._path.parent.name}/{self._path.name}",
                cure=f"tests run again where needed; the old file is kept as {kept.name}",
                severity=Severity.WARNING,
            )
        )


def _entry(text: object, digest: object) -> Entry | None:
    """What a row of candidates holds; None if it makes no sense, and then it counts as never written."""
    if not isinstance(text, str) or not is_sealed(text, digest):
        return None
    try:
        return Entry.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
