"""From a file to the tables that it holds, or what keeps it from being read at all."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tinytorch_build.manifest.findings import quoted, table_name
from tinytorch_build.manifest.toml_lines import Repeat, TomlLines, find_lines
from tinytorch_build.model import Problem

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")

_FLAT = "write the plain tables that a manifest consists of"

_CURES = {
    "Invalid value": "put text in double quotes, and one comma between items",
    "Unescaped '\\'": "write / between folders",
    "Illegal character": "close the string on the line on which it begins",
    "Expected '='": "write KEY = VALUE; a comment begins with #",
    "Duplicate inline table key": "keep one of the two",
    "Cannot": "declare each table and each key once",
}


@dataclass(frozen=True, slots=True)
class Document:
    """What a manifest's text holds.

    Attributes:
        tables: what `tomllib` read.
        lines: where it stands.
        problems: what is wrong with the file, though its text could be read.
    """

    tables: dict[str, object]
    lines: TomlLines
    problems: tuple[Problem, ...] = ()


def read_document(path: Path, name: str) -> Document | list[Problem]:
    """The tables of a file, or the problems that keep it from being read.

    Args:
        path: the file.
        name: how messages call it.
    """
    data = _read_bytes(path, name)
    if isinstance(data, Problem):
        return [data]
    problems: tuple[Problem, ...] = ()
    if data.startswith(_BYTE_ORDER_MARK):
        data = data.removeprefix(_BYTE_ORDER_MARK)
        mark = "the file begins with a byte order mark"
        problems = (Problem("byte-order-mark", mark, name, 1, "save it as UTF-8 without a byte order mark"),)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} is not UTF-8"
        return [*problems, Problem("not-utf-8", found, name, line, "save the file as UTF-8")]
    lines = find_lines(text)
    tables = _tables(text, lines, name)
    return [*problems, *tables] if isinstance(tables, list) else Document(tables, lines, problems)


def _tables(text: str, lines: TomlLines, name: str) -> dict[str, object] | list[Problem]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        return [Problem("invalid-toml", "the tables or arrays are nested too deeply", name, cure=_FLAT)]
    except ValueError as error:  # TOMLDecodeError, and what int() says to a number of thousands of digits
        return _toml_problems(str(error), lines, name)


def _read_bytes(path: Path, name: str) -> bytes | Problem:
    try:
        if path.is_dir():
            return Problem("not-a-file", "it is a folder", name, cure="name the file modules.toml in it")
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            return Problem("not-a-file", "it is no regular file", name, cure="name the file modules.toml")
        return path.read_bytes()
    except FileNotFoundError:
        cure = "go to the course's folder, or write a modules.toml that declares the course's modules"
        return Problem("missing-file", "there is no such file", name, cure=cure)
    except (OSError, ValueError) as error:  # ValueError: a path that holds NUL
        reason = (error.strerror or "unknown error") if isinstance(error, OSError) else str(error)
        message = f"the file cannot be read: {reason}"
        return Problem("unreadable-file", message, name, cure="correct the path, or the file's permissions")


def _toml_problems(message: str, lines: TomlLines, name: str) -> list[Problem]:
    """What `tomllib` said, or, where something is declared twice, every such thing by its name."""
    place = _PLACE.search(message)
    line = int(place[1]) if place and place[1] else None
    repeats = lines.repeats
    if repeats and (place is not None) and (line is None or repeats[0].line <= line):
        tables = {repeat.path for repeat in repeats if repeat.is_table}
        # Keys within a repeated table are repeated because it is.
        return [_repeated(repeat, name) for repeat in repeats if repeat.path[:-1] not in tables]
    said = _PLACE.sub("", message)
    if place is None:
        said = "a number is too long"
    column = f" at column {place[2]}" if line is not None and place else ""
    end = " at the end of the file" if place and line is None else ""
    cure = next((cure for start, cure in _CURES.items() if said.startswith(start)), "correct the TOML there")
    return [Problem("invalid-toml", f"the file is not valid TOML: {said}{column}{end}", name, line, cure)]


def _repeated(repeat: Repeat, name: str) -> Problem:
    if repeat.is_table:
        what, check = f"the table {table_name(repeat.path)}", "duplicate-table"
        cure = "rename one of the two, or merge them"
    else:
        what, check = f"{table_name(repeat.path[:-1])} {quoted(str(repeat.path[-1]))}", "duplicate-key"
        cure = "keep one of the two"
    message = f"{what} is declared twice, first on line {repeat.first}"
    return Problem(check, message, name, repeat.line, cure)
