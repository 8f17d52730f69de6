"""Reads one table of a manifest key by key: the keys that are known are those that were asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tinytorch_build.manifest.findings import Findings, described, quoted, subject, table_name
from tinytorch_build.manifest.toml_lines import KeyPath
from tinytorch_build.suggest import closest


@dataclass(frozen=True, slots=True)
class Item:
    """A string of the manifest and where it stands."""

    path: KeyPath
    text: str


class Table:
    """One table. After the last key was read, `finish` reports the keys that nobody asked for.

    Args:
        data: what `tomllib` read.
        path: where it stands.
        findings: where its problems go.
    """

    def __init__(self, data: Mapping[str, object], path: KeyPath, findings: Findings) -> None:
        self.path = path
        self.findings = findings
        self._data = data
        self._known: list[str] = []
        self._missing: dict[str, tuple[str, str]] = {}

    def names(self) -> tuple[str, ...]:
        """Every key, for tables whose keys are the author's to choose."""
        return tuple(self._data)

    def text(self, key: str, example: str, *, required: bool = False) -> Item | None:
        """A string, or None if there is none.

        Args:
            key: its name.
            example: a good value, for cures.
            required: whether its absence is a problem.
        """
        value = self._get(key)
        line = f"{key} = {_toml(example)}"
        if value is None and required:
            self._missing[key] = (f"{table_name(self.path)} has no {key}", f"add a line such as {line}")
        if value is None or isinstance(value, str):
            return None if value is None else Item((*self.path, key), value)
        plain = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 10**18
        cure = f'{key} = "{value}"' if plain else f"a line such as {line}"
        self._wrong_type(key, value, "a string", f"write {cure}")
        return None

    def texts(self, key: str, example: str) -> tuple[Item, ...]:
        """The strings of an array; a single string is reported and taken for an array of one."""
        value = self._get(key)
        path = (*self.path, key)
        if value is None:
            return ()
        if not isinstance(value, list):
            shown = value if isinstance(value, str) and value.isprintable() and '"' not in value else example
            self._wrong_type(key, value, "an array of strings", f"write {key} = [{_toml(shown)}]")
            return (Item(path, value),) if isinstance(value, str) else ()
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.findings.add(
                    "wrong-type",
                    (*path, index),
                    f"{subject(path)} holds {described(item)}; every item must be a string",
                    "put every item in double quotes",
                )
        return tuple(Item((*path, index), item) for index, item in enumerate(value) if isinstance(item, str))

    def number(self, key: str, default: float, *, most: int, whole: bool = False) -> float:
        """A number above 0 and up to `most`; the default if there is none or it is wrong."""
        value = self._get(key)
        if value is None:
            return default
        kinds = "an integer" if whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            self._wrong_type(key, value, kinds, f"write {key} = {default:g}")
            return default
        if not 0 < value <= most:  # also false for nan
            self.findings.add(
                "bad-limit",
                (*self.path, key),
                f"{subject((*self.path, key))} is {described(value)}; "
                f"{kinds} above 0 and up to {most} is wanted",
                f"write {key} = {default:g}, or leave the line out",
            )
            return default
        return value

    def table(self, key: str, why: str = "") -> Table | None:
        """A table within this one; None if it is absent or no table.

        Args:
            key: its name.
            why: what it must hold, if its absence is a problem.
        """
        value = self._get(key)
        path = (*self.path, key)
        if value is None:
            if why:
                self._missing[key] = (f"there is no table {table_name(path)}", why)
            return None
        if not isinstance(value, dict):
            many = isinstance(value, list) and any(isinstance(item, dict) for item in value)
            brackets = "in single brackets" if many else "as a header of its own"
            self._wrong_type(
                key, value, "a table", f"write {table_name(path)} {brackets}, with its keys below"
            )
            return None
        return Table(value, path, self.findings)

    def finish(self) -> None:
        """Report unknown keys, then missing ones, except those that an unknown key was meant to be."""
        for key, value in self._data.items():
            if key not in self._known:
                meant = closest(key, self._known)
                self._unknown(key, value, meant)
                if meant is not None:
                    self._missing.pop(meant, None)
        for message, cure in self._missing.values():
            self.findings.add("missing-key", self.path, message, cure)

    def _get(self, key: str) -> object | None:
        self._known.append(key)
        return self._data.get(key)

    def _unknown(self, key: str, value: object, meant: str | None) -> None:
        path = (*self.path, key)
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict)):
            check, found = "unknown-table", f"the table {table_name(path)} is unknown"
            better = shown = table_name((*self.path, meant)) if meant else ""
        else:
            check, found = "unknown-key", f"{table_name(self.path)} has the unknown key {quoted(key)}"
            better, shown = meant or "", quoted(meant or "")
        hint = f"; did you mean {shown}?" if meant else ""
        cure = f"write {better}" if meant else f"remove it; known here: {', '.join(self._known)}"
        self.findings.add(check, path, found + hint, cure)

    def _wrong_type(self, key: str, value: object, wanted: str, cure: str) -> None:
        path = (*self.path, key)
        self.findings.add(
            "wrong-type", path, f"{subject(path)} is {described(value)}; {wanted} is wanted", cure
        )


def _toml(text: str) -> str:
    """A string in TOML's double quotes; only for text without quotes, backslashes and control characters."""
    return f'"{text}"'
