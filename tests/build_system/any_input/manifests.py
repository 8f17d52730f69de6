"""Manifests: a sound one, changed in its values, in its paths, in its text and in its bytes."""

from __future__ import annotations

import copy
import os
from typing import Any

from hypothesis import strategies as st

from tests.build_system.any_input.mutations import CHARACTERS, encoded, mutated
from tests.build_system.any_input.surroundings import Surroundings

Tables = dict[str, Any]

FILES = (
    "src/01_one/one_dev.py",
    "src/02_two/two_dev.py",
    "src/03_three/three_dev.ipynb",
    "src/03_three/Three_dev.py",
    "src/04_é/ü_dev.md",
    "tests/unit/test_one.py",
    "tests/unit/test_two.py",
    "tests/more/test_both.py",
    "README.md",
    "files/data.txt",
    "a b/c d_dev.py",
    "src/con/NUL_dev.py",
)
LINKS = {
    "src/out": "../../private",
    "src/out_dev.py": "../../private/test_secret.py",
    "src/loop": "loop",
    "src/nowhere.py": "missing.py",
    "src/in_dev.py": "01_one/one_dev.py",
    "src/root": "/",
    "files/out": "../../private",
    "tests/out": "../../private",
    "tests/elsewhere": "../../private",
    "tests/linked/test_out.py": "../../../private/test_secret.py",
}

SOUND: Tables = {
    "package": {
        "name": "course",
        "version": "0.1.0",
        "requires-python": ">=3.11",
        "dependencies": ["numpy>=1.26"],
        "include": "files/plain",
        "readme": "README.md",
    },
    "limits": {"import-seconds": 20, "test-seconds": 120, "memory-mb": 2048},
    "tests": {"integration": "tests/more", "system": "tests/whole", "validation": "tests/package"},
    "modules": {
        "one": {
            "source": "src/01_one/one_dev.py",
            "target": "core.one",
            "provides": ["One"],
            "version": "1.0.0",
            "tests": ["tests/unit/test_one.py"],
        },
        "two": {
            "source": "src/02_two/two_dev.py",
            "target": "core.two",
            "depends": ["one>=1.0,<2"],
            "tests": ["tests/unit/test_two.py"],
        },
        "three": {
            "source": "src/03_three/three_dev.ipynb",
            "target": "three",
            "depends": ["all"],
            "limits": {"memory-mb": 512},
        },
    },
}

ALSO_SOUND: dict[str, tuple[object, ...]] = {
    "name": ("geometry", "x", "Course2", "_", "kurs_ü"),
    "version": ("1", "1.2.3", "1.0rc1", "1!2.0.dev1+local.9"),
    "source": ("src/04_é/ü_dev.md", "a b/c d_dev.py", "src/in_dev.py", "./src/03_three//three_dev.ipynb"),
    "target": ("one.two", "x", "größe", "a.b.c.d", "core.three", "core.One"),
    "depends": ([], ["all"], ["one"], ["one>=1,<1.5"], ["one ~= 1.0"]),
    "provides": ([], ["One", "Two"], ["größe"]),
    "tests": ([], ["tests/unit/../unit/test_one.py"]),
    "include": ("files/plain", "files"),
    "integration": ("tests/absent", "tests/linked", "tests/elsewhere", "tests/more"),
    "dependencies": ([], ["numpy"], ["numpy", "torch>=2; python_version > '3'"]),
    "memory-mb": (1, 512, 1 << 20),
}
"""For some keys, what a sound manifest may hold in their place, alone or beside the rest."""

PATHS = st.sampled_from(
    [
        *FILES,
        *LINKS,
        *(f"{link}/test_secret.py" for link in ("src/out", "tests/out", "files/out")),
        "src/root/etc/hostname",
        "src/loop/x.py",
        "..",
        "../private",
        "../private/test_secret.py",
        "src/../../private/test_secret.py",
        "src/01_one/../01_one/one_dev.py",
        "./src/01_one/one_dev.py",
        "src//01_one/one_dev.py",
        "src/01_one/one_dev.py/",
        "SRC/01_ONE/ONE_DEV.PY",
        "/etc/hostname",
        "//server/share",
        "~/x.py",
        "~root/x.py",
        "C:\\x.py",
        "C:/x.py",
        "src\\01_one\\one_dev.py",
        "\\\\?\\C:\\x",
        "con",
        "src/01_one",
        ".",
        "",
        " ",
        "src/01_one/one_dev.py\0",
        "src/01_one/one_dev.py\n",
        "a" * 300,
        "a/" * 3_000 + "a.py",
        "build/x.py",
        "Build/x.py",
        "course/x.py",
        "modules.toml",
        "modules.lock",
        "tests",
        "tests/linked",
        "tests/more",
        "tests/elsewhere",
        "tests/unit",
        "src",
        "tests/pipe",
        "%2e%2e/private",
        "$HOME/x.py",
        "src/*.py",
    ]
)
WORDS = st.sampled_from(
    [
        "one",
        "two",
        "three",
        "all",
        "One",
        "ONE",
        "core",
        "core.one",
        "Core.One",
        "core.one.deep",
        "..core",
        "core..one",
        ".one",
        "os",
        "numpy",
        "class",
        "None",
        "__init__",
        "core.__init__",
        "é",
        "\uff4f\uff4e\uff45",
        "\ufb01",
        "a-b",
        "a" * 400,
        "a." * 300 + "a",
        "one>=1.0,<2",
        "one>=2",
        "one==1.*",
        "one~=1",
        "all>=1",
        "two @ https://example.org/x.whl",
        "numpy; python_version < '3'",
        "numpy>=1.26",
        "course",
        "tests",
        "build",
        "1.0.0",
        "1!2.0.dev1+local.9",
        "9" * 5_000,
        ">=3.11",
        "MIT",
        "\x1b[31m",
        "\u202e",
    ]
)
NUMBERS = st.sampled_from(
    [0, -1, 1, 20, 1.5, 0.0, float("inf"), float("nan"), 1e308, 2**31, 2**63, 2**64, 10**400, True, False]
)
LEAVES = PATHS | WORDS | NUMBERS | st.text(CHARACTERS, max_size=6) | st.dates() | st.datetimes() | st.times()
KEYS = WORDS | st.sampled_from(
    [
        "package",
        "limits",
        "tests",
        "modules",
        "name",
        "source",
        "target",
        "depends",
        "version",
        "provides",
        "tests",
        "include",
        "readme",
        "dependencies",
        "requires",
        "integration",
        "import-seconds",
        "sources",
        "depend",
    ]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
TOKENS = (
    "[modules.one]",
    "[[modules]]",
    "[package]",
    "[modules]",
    "[modules.four]",
    "[limits.limits]",
    "name = 1",
    'depends = ["two"]',
    'depends = ["all", "one"]',
    "depends = []",
    'source = "../x.py"',
    "x.y.z = {}",
    "a = 1979-05-27T07:32:00Z",
    "'''",
    '"""',
    '"\\u0000"',
    '"\\ud800"',
    '"\\U00110000"',
    "0x" + "f" * 5_000,
    "1_000",
    "+nan",
    "a." * 2_000 + "a = 1",
    "[" + "a." * 2_000 + "a]",
    "= 1",
    '"" = 1',
    "'modules'.\"one\".source = 1",
    "# comment",
    "\x7f",
)


def put_course(place: Surroundings) -> None:
    """Write the files that manifests name, and links that lead in circles, nowhere and out of the course."""
    for name in FILES:
        path = place.course / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from course.core.one import One\n")
    (place.course / "files/plain").mkdir()
    for name, goal in LINKS.items():
        (place.course / name).parent.mkdir(exist_ok=True)
        (place.course / name).symlink_to(goal)
    os.mkfifo(place.course / "tests/pipe")


def toml_of(value: object) -> str:
    """A value as TOML; every letter of a text as an escape, so that the text is read as it stands here."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_of(str(key))} = {toml_of(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml_of, value)) + "]"
    if isinstance(value, str):
        plain = value.isascii() and value.isprintable() and not {'"', "\\"} & set(value)
        return f'"{value}"' if plain else '"' + "".join(f"\\U{ord(letter):08x}" for letter in value) + '"'
    if isinstance(value, bool | float | int):
        return str(value).lower()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def document_of(tables: Tables) -> str:
    """The tables as a person writes them."""
    lines: list[str] = []
    for name, table in tables.items():
        if not isinstance(table, dict):
            lines.insert(0, f"{toml_of(str(name))} = {toml_of(table)}")
        elif name == "modules":
            for module, fields in table.items():
                lines += _table(f"modules.{toml_of(str(module))}", fields)
        else:
            lines += _table(toml_of(str(name)), table)
    return "\n".join(lines) + "\n"


def _table(heading: str, fields: object) -> list[str]:
    if not isinstance(fields, dict):
        return [f"[[{heading}]]", f"value = {toml_of(fields)}"]
    return [f"[{heading}]", *(f"{toml_of(str(key))} = {toml_of(value)}" for key, value in fields.items())]


def _places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [
        *([path] if path else []),
        *(place for key, item in inner for place in _places(item, (*path, key))),
    ]


@st.composite
def _changed(draw: st.DrawFn) -> Tables:
    tables = copy.deepcopy(SOUND)
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        path = draw(st.sampled_from(_places(tables)))
        holder: Any = tables
        for key in path[:-1]:
            holder = holder[key]
        how = draw(st.sampled_from(["sound", "sound", "sound", "value", "path", "remove", "add", "rename"]))
        if how == "sound":
            sound = draw(st.sampled_from(ALSO_SOUND.get(path[-1], (holder[path[-1]],))))
            holder[path[-1]] = copy.deepcopy(sound)  # a later change may add to it
        elif how == "value":
            holder[path[-1]] = draw(VALUES)
        elif how == "path":
            holder[path[-1]] = draw(PATHS) if isinstance(holder[path[-1]], str) else [draw(PATHS)]
        elif how == "remove":
            del holder[path[-1]]
        elif isinstance(holder, list):
            holder.append(draw(LEAVES))
        else:
            holder[draw(KEYS)] = holder.pop(path[-1]) if how == "rename" else draw(VALUES)
    return tables


@st.composite
def _large(draw: st.DrawFn) -> Tables:
    """A course of many modules that depend on each other at random."""
    count = draw(st.sampled_from([5, 40, 200]))
    names = [f"m{index}" for index in range(count)]
    random = draw(st.randoms(use_true_random=False))
    back = draw(st.booleans())
    modules = {
        name: {
            "source": "src/01_one/one_dev.py" if index == 0 else f"src/m{index}.py",
            "target": f"core.{name}",
            "depends": random.sample(names if back else names[:index], k=min(index, random.randrange(4))),
        }
        for index, name in enumerate(names)
    }
    return {"package": {"name": "course"}, "modules": modules}


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """The bytes of a manifest."""
    tables = draw(_large() if draw(st.sampled_from([False] * 12 + [True])) else _changed())
    text = document_of(tables)
    if draw(st.sampled_from([False, False, True])):
        text = draw(mutated(text, TOKENS))
        return draw(encoded(text))
    return text.encode("utf-8", "surrogatepass")
