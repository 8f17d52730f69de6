"""Where tables, keys and items stand, in every way in which TOML can be written."""

from __future__ import annotations

import tomllib

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tinytorch_build.manifest.toml_lines import KeyPath, Repeat, TomlLines, find_lines

steady = settings(derandomize=True, deadline=None)

MIXED = '''\
# [not.a.table]
top = """
[neither]
x = 1 \\""" """""
quoted."a b".'c.d' = 1  # = 2

[ a . "b\\u0041" ]  # [c]
list = [
  "x # no", # yes
  [1, 2],
  { k = 3, l.m = [4] },
]
date = 1979-05-27 07:32:00 # a space
lines = \'\'\'
y = 2\'\'\'\'
last = -1.5e3
[[rows]]
n = 1
[rows.sub]
[[rows]]
n = 2
'''


def paths_of(value: object, path: KeyPath = ()) -> set[KeyPath]:
    found = {path} if path else set()
    if isinstance(value, dict):
        return found.union(*(paths_of(item, (*path, key)) for key, item in value.items()))
    if isinstance(value, list):
        return found.union(*(paths_of(item, (*path, index)) for index, item in enumerate(value)))
    return found


def test_every_way_to_write_a_value_is_followed() -> None:
    expected: dict[KeyPath, int] = {
        ("top",): 2,
        ("quoted",): 5,
        ("quoted", "a b"): 5,
        ("quoted", "a b", "c.d"): 5,
        ("a",): 7,
        ("a", "bA"): 7,
        ("a", "bA", "list"): 8,
        ("a", "bA", "list", 0): 9,
        ("a", "bA", "list", 1): 10,
        ("a", "bA", "list", 1, 0): 10,
        ("a", "bA", "list", 1, 1): 10,
        ("a", "bA", "list", 2): 11,
        ("a", "bA", "list", 2, "k"): 11,
        ("a", "bA", "list", 2, "l"): 11,
        ("a", "bA", "list", 2, "l", "m"): 11,
        ("a", "bA", "list", 2, "l", "m", 0): 11,
        ("a", "bA", "date"): 13,
        ("a", "bA", "lines"): 14,
        ("a", "bA", "last"): 16,
        ("rows",): 17,
        ("rows", 0): 17,
        ("rows", 0, "n"): 18,
        ("rows", 0, "sub"): 19,
        ("rows", 1): 20,
        ("rows", 1, "n"): 21,
    }
    assert find_lines(MIXED) == TomlLines(expected)
    assert paths_of(tomllib.loads(MIXED)) == set(expected)
    assert find_lines(MIXED.replace("\n", "\r\n")) == TomlLines(expected)


def test_a_header_of_its_own_wins_over_an_earlier_mention() -> None:
    assert find_lines("[a.b]\n[a]\n").lines == {("a", "b"): 1, ("a",): 2}


def test_what_is_declared_twice_is_named() -> None:
    found = find_lines("[a]\nx = 1\nx = 2\n[a]\n")
    assert found.repeats == (Repeat(("a", "x"), 2, 3, False), Repeat(("a",), 1, 4, True))


def test_no_line_is_known_of_a_text_that_cannot_be_followed() -> None:
    assert find_lines("a = 1\nb = \n") == TomlLines()
    assert find_lines("a = 1\na = 2\n[b") == TomlLines({}, (Repeat(("a",), 1, 2, False),))
    assert find_lines("a = " + "[" * 100_000) == TomlLines()
    assert find_lines('"\\q" = 1') == TomlLines()


KEYS = st.sampled_from(["a", "b-1", '"a b"', "'c.d'", '"#\\n"', "e . f", '"\\u0041"'])
SCALARS = st.sampled_from(
    [
        "1",
        "-0.5",
        "true",
        "nan",
        "1979-05-27",
        "1979-05-27 07:32:00Z",
        '"]"',
        "'#'",
        '"\\""',
        '""',
        '"""\n[x]\na=1"""',
        "'''\n#'''",
        '"""""x"""""',
        "''''''''",
    ]
)
SPACE = st.sampled_from(["", " ", "\n", " # x ]\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind: str = draw(st.sampled_from(["scalar", "scalar", "array", "table"] if depth else ["scalar"]))
    if kind == "scalar":
        return draw(SCALARS)
    items: list[str] = draw(st.lists(values(depth - 1), max_size=3))
    if kind == "array":
        inner = ",".join(draw(SPACE) + item + draw(SPACE) for item in items)
        return f"[{inner}{draw(st.sampled_from(['', ','])) if items else ''}{draw(SPACE)}]"
    return "{ " + ", ".join(f"{draw(KEYS)} = {item}" for item in items if "\n" not in item) + " }"


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 6))):
        key = draw(KEYS)
        pair = f"{key} = {draw(values())}"
        lines.append(draw(st.sampled_from([pair, pair, f"[{key}]", f"[[ {key} ]]", f"[a.{key}]", "# x", ""])))
    return "\n".join(lines)


@settings(steady, max_examples=300)
@given(documents())
def test_exactly_what_tomllib_reads_has_a_line(text: str) -> None:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    found = find_lines(text)
    assert found.repeats == ()
    assert set(found.lines) == paths_of(data)


@steady
@given(st.text(alphabet='ab.=[]{}",#\n\\\' 1\x00é"'))
def test_any_text_can_be_scanned(text: str) -> None:
    assert all(1 <= line <= text.count("\n") + 1 for line in find_lines(text).lines.values())
