"""The package's record (`modules.lock`, TOML): what it holds, and what each module was tested with."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import toml

from tinytorch_build.files import sha256
from tinytorch_build.publish.entries import Entry, identity
from tinytorch_build.versions import allows

_HEADER = (
    "# What the package holds, and what each module was tested with.\n"
    "# Written by tinytorch_build; belongs into version control; edits by hand are undone.\n"
)
_SCHEMA = 1
_LINE_LENGTH = 110
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DEPENDENCY = re.compile(r"([^<>=!~]*)(.*)", re.DOTALL)
_TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_UNKNOWN: Mapping[str, str] = {"": "unknown"}
"""Added to a scope that cannot be told any more, so that nothing ever fits it."""


class UnreadableRecord(ValueError):
    """The text is no record; the message says where it fails."""


@dataclass(frozen=True, slots=True)
class Record:
    """What a package holds.

    Attributes:
        package: its name.
        version: its version.
        files: hex SHA-256 of every file that is no module's, under its POSIX path from the package's folder;
            the record itself is not among them.
        entries: the modules, in course order.
    """

    package: str
    version: str
    files: Mapping[str, str]
    entries: Mapping[str, Entry]

    def contents(self) -> dict[str, str]:
        """Hex SHA-256 of every file but the record itself, under its path."""
        return {**self.files, **{entry.path: entry.export for entry in self.entries.values()}}


RenderedTables = MutableMapping[str, tuple[Entry, tuple[Entry, ...], str]]
"""The text of each module's table with what it was made from, kept between two renderings."""


def render_record(record: Record, tables: RenderedTables | None = None) -> str:
    """The text of `modules.lock`: a function of the record alone.

    Of a scope only a digest is written. The modules in it follow from what each one depends on (they are
    listed where they do not), their identities stand in their own tables; and the digest shows when two
    branches that were merged line by line were never tested together.

    Args:
        record: what to write.
        tables: texts from earlier calls, and for later ones: with many modules most have not changed.
    """
    known = {} if tables is None else tables
    head = {
        "schema": _SCHEMA,
        "package": {"name": record.package, "version": record.version},
        "files": dict(sorted(record.files.items())),
    }
    parts = [_HEADER + toml.dumps(head, _Encoder())]
    above: dict[str, Entry] = {}
    for module, entry in record.entries.items():
        needs = tuple(above[name] for name in entry.depends if name in above)
        if module not in known or known[module][:2] != (entry, needs):
            known[module] = (
                entry,
                needs,
                toml.dumps({"modules": {module: _table(entry, needs)}}, _Encoder()),
            )
        parts.append(known[module][2])
        above[module] = entry
    return "\n".join(parts)


def _table(entry: Entry, needs: Iterable[Entry]) -> dict[str, Any]:
    table: dict[str, Any] = {
        "version": entry.version,
        "target": entry.target,
        "cells": entry.cells,
        "export": entry.export,
        "depends": [f"{name}{entry.constraints.get(name, '')}" for name in entry.depends],
        "names": list(entry.names),
    }
    if entry.scope.keys() != _implied(needs):
        table["tested-with"] = list(entry.scope)
    return {**table, "together": _digest_of_scope(entry.scope)}


def _implied(needs: Iterable[Entry]) -> set[str]:
    """The modules that one is tested with which depends on these, if no test brings in others."""
    names: set[str] = set()
    for entry in needs:
        names.add(entry.module)
        names.update(entry.scope)
    return names


def _digest_of_scope(scope: Mapping[str, str]) -> str:
    return sha256("".join(f"{identity} {name}\n" for name, identity in sorted(scope.items())).encode())


class _Encoder(toml.TomlEncoder):  # type: ignore[type-arg]  # the stub makes a generic of a class that is none
    """toml's own encoder, with lists broken into lines that people and `git diff` can read."""

    def __init__(self) -> None:
        super().__init__()
        self.dump_funcs[str] = _quoted  # toml 0.10.2 spoils strings with control characters, or fails on them

    def dump_list(self, v: Any) -> str:
        items = [str(self.dump_value(item)) for item in v]
        line = f"[{', '.join(items)}]"
        if len(line) < _LINE_LENGTH - len("tested-with = "):
            return line
        return "".join(["[\n", *(f"    {item},\n" for item in items), "]"])


def _quoted(text: str) -> str:
    """A TOML basic string: what JSON makes of a text, except that TOML wants the delete character escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse_record(text: str) -> Record:
    """The record in a text.

    A module whose scope does not fit the modules beside it gets one that fits nothing: it was never tested
    with these, so it is not sound.

    Raises:
        UnreadableRecord: it is no TOML, or not of the form that `render_record` writes.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableRecord(str(error)) from error
    if data.get("schema") != _SCHEMA:
        raise UnreadableRecord(f"schema is {data.get('schema')!r}, wanted {_SCHEMA}")
    package, files = _mapping(data, "package"), _mapping(data, "files")
    tables = {name: _mapping(_mapping(data, "modules"), name) for name in _mapping(data, "modules")}
    identities = {name: identity(_target(table), _digest(table, "export")) for name, table in tables.items()}
    entries: dict[str, Entry] = {}
    for name, table in tables.items():
        entries[name] = _entry(name, table, identities, entries)
    return Record(
        _text(package, "name"),
        _text(package, "version"),
        {path: _digest(files, _safe_path(path)) for path in files},
        entries,
    )


def _entry(
    name: str, table: Mapping[str, Any], identities: Mapping[str, str], above: Mapping[str, Entry]
) -> Entry:
    constraints = dict(_split(text) for text in _texts(table, "depends"))
    depends = tuple(constraints)
    if "tested-with" in table:
        tested: Iterable[str] = _texts(table, "tested-with")
    else:
        tested = _implied(above[other] for other in depends if other in above)
    scope = {other: identities[other] for other in tested if other in identities}
    complete = _digest_of_scope(scope) == _text(table, "together")
    return Entry(
        module=name,
        version=_text(table, "version"),
        target=_target(table),
        export=_digest(table, "export"),
        cells=_text(table, "cells"),
        names=_texts(table, "names"),
        depends=depends,
        scope=scope if complete else {**scope, **_UNKNOWN},
        constraints={other: allowed for other, allowed in constraints.items() if allowed},
    )


def _split(dependency: str) -> tuple[str, str]:
    """Name and version constraint, as the manifest writes them together."""
    found = _DEPENDENCY.fullmatch(dependency)
    assert found is not None  # both parts may be anything, or nothing
    name, specifier = found[1], found[2]
    try:
        allows(specifier, "0")
    except ValueError as error:
        raise UnreadableRecord(f"depends holds {dependency!r}, which is no version constraint") from error
    return name, specifier


def _target(table: Mapping[str, Any]) -> str:
    target = _text(table, "target")
    if _TARGET.fullmatch(target) is None:
        raise UnreadableRecord(f"target is {target!r}, wanted a dotted name")
    return target


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise UnreadableRecord(f"{key} is no table")
    return value


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise UnreadableRecord(f"{key} is {value!r}, wanted a string")
    return value


def _texts(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UnreadableRecord(f"{key} is {value!r}, wanted a list of strings")
    return tuple(value)


def _digest(data: Mapping[str, Any], key: str) -> str:
    value = _text(data, key)
    if _DIGEST.fullmatch(value) is None:
        raise UnreadableRecord(f"{key} is {value!r}, wanted a SHA-256")
    return value


def _safe_path(path: str) -> str:
    """A path that stays inside the package: the record came from a checkout, and files get written by it."""
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise UnreadableRecord(f"file {path!r} is no path inside the package")
    return path
