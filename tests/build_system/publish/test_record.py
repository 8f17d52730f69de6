"""The package's record: its text, and what can be read back from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.build_system.publish.builders import entry
from tinytorch_build.files import sha256
from tinytorch_build.publish import Entry, Record, UnreadableRecord, parse_record, render_record, sound

TENSOR = entry("tensor", "x = 1", names=["Tensor", "zeros"])
LAYERS = entry("layers", "y = 1", [TENSOR], names=["Linear"])
RECORD = Record("toy", "0.1.0", {"__init__.py": "a" * 64}, {"tensor": TENSOR, "layers": LAYERS})


def test_the_text_is_made_to_be_read() -> None:
    assert render_record(RECORD) == (
        "# What the package holds, and what each module was tested with.\n"
        "# Written by tinytorch_build; belongs into version control; edits by hand are undone.\n"
        "schema = 1\n"
        "\n"
        "[package]\n"
        'name = "toy"\n'
        'version = "0.1.0"\n'
        "\n"
        "[files]\n"
        f'"__init__.py" = "{"a" * 64}"\n'
        "\n"
        "[modules.tensor]\n"
        'version = "1.0.0"\n'
        'target = "core.tensor"\n'
        f'cells = "{TENSOR.cells}"\n'
        f'export = "{TENSOR.export}"\n'
        "depends = []\n"
        'names = ["Tensor", "zeros"]\n'
        f'together = "{sha256(b"")}"\n'
        "\n"
        "[modules.layers]\n"
        'version = "1.0.0"\n'
        'target = "core.layers"\n'
        f'cells = "{LAYERS.cells}"\n'
        f'export = "{LAYERS.export}"\n'
        'depends = ["tensor"]\n'
        'names = ["Linear"]\n'
        f'together = "{sha256(f"{TENSOR.identity} tensor{chr(10)}".encode())}"\n'
    )


def test_what_an_integration_test_brings_in_is_listed() -> None:
    """A gate of `training` also runs `layers`, which it does not declare."""
    training = entry("training", "z = 1", [TENSOR, LAYERS])
    declared = dataclasses.replace(training, depends=("tensor",))
    record = Record("toy", "0.1.0", {}, {"tensor": TENSOR, "layers": LAYERS, "training": declared})
    table = render_record(record).partition("[modules.training]")[2]
    assert 'depends = ["tensor"]\n' in table
    assert 'tested-with = ["tensor", "layers"]\n' in table
    assert parse_record(render_record(record)) == record


def test_constraints_are_written_as_in_the_manifest() -> None:
    autograd = entry("autograd", "z = 1", [TENSOR], constraints={"tensor": ">=1.0,<2"})
    text = render_record(Record("toy", "0.1.0", {}, {"tensor": TENSOR, "autograd": autograd}))
    assert 'depends = ["tensor>=1.0,<2"]\n' in text
    assert parse_record(text).entries["autograd"] == autograd


def test_a_constraint_that_is_none_makes_the_record_unreadable() -> None:
    text = render_record(RECORD).replace('depends = ["tensor"]', 'depends = ["tensor>=one"]')
    with pytest.raises(UnreadableRecord, match="depends holds 'tensor>=one', which is no version constraint"):
        parse_record(text)


def test_a_long_list_takes_a_line_for_each_name() -> None:
    names = [f"a_rather_long_name_{number}" for number in range(9)]
    text = render_record(Record("toy", "1", {}, {"a": entry("a", names=names)}))
    assert "names = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n" in text


def test_texts_of_modules_are_used_again_only_while_they_hold() -> None:
    tables: dict[str, tuple[Entry, tuple[Entry, ...], str]] = {}
    render_record(RECORD, tables)
    changed = Record("toy", "0.1.0", {}, {"tensor": entry("tensor", "x = 2"), "layers": LAYERS})
    assert render_record(changed, tables) == render_record(changed)
    assert render_record(RECORD, tables) == render_record(RECORD)


specifiers = st.sampled_from([">=1.0,<2", "~=1.4", "!=3", "==1.*"])
words = st.text(min_size=1, max_size=8)
digests = st.sampled_from([character * 64 for character in "0123abc"])
names = st.sampled_from(["a", "b-c", "d_e", "Ünï", "with space", 'quote"', "dot.dot", "back\\slash"])


@st.composite
def records(draw: st.DrawFn) -> Record:
    entries: dict[str, Entry] = {}
    for number, module in enumerate(draw(st.lists(names, unique=True))):
        tested = draw(st.lists(st.sampled_from(sorted(entries)), unique=True)) if entries else []
        entries[module] = Entry(
            module=module,
            version=draw(words),
            target=f"core.m{number}",
            export=draw(digests),
            cells=draw(words),
            names=tuple(draw(st.lists(words, max_size=20))),
            depends=tuple(tested),
            scope={other: entries[other].identity for other in tested},
            constraints={other: draw(specifiers) for other in tested if draw(st.booleans())},
        )
    files = draw(st.dictionaries(names.map("data/{}".format), digests))
    files = {path: digest for path, digest in files.items() if "\\" not in path}
    return Record(draw(words), draw(words), files, entries)


@settings(derandomize=True, max_examples=100, deadline=None)
@given(records())
def test_what_was_written_is_read_back(record: Record) -> None:
    again = parse_record(render_record(record))
    assert again == record
    assert list(again.entries) == list(record.entries)
    assert render_record(again) == render_record(record)


def test_modules_that_were_merged_line_by_line_are_not_sound() -> None:
    """One branch brought a new tensor, the other one layers that were tested with the old tensor."""
    newer = render_record(Record("toy", "0.1.0", {}, {"tensor": entry("tensor", "x = 2")}))
    merged = newer + "\n[modules.layers]" + render_record(RECORD).partition("[modules.layers]")[2]
    assert list(parse_record(merged).entries) == ["tensor", "layers"]
    assert list(sound(parse_record(merged).entries)) == ["tensor"]


def test_a_module_without_the_one_that_it_was_tested_with_is_not_sound() -> None:
    head, _, tail = render_record(RECORD).partition("[modules.tensor]")
    alone = head + "[modules.layers]" + tail.partition("[modules.layers]")[2]
    assert list(parse_record(alone).entries) == ["layers"]
    assert sound(parse_record(alone).entries) == {}


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (replaced("schema = 1", "schema = 2"), "schema is 2, wanted 1"),
        (replaced("schema = 1\n", ""), "schema is None, wanted 1"),
        (replaced('name = "toy"', "name = 3"), "name is 3, wanted a string"),
        (replaced("[files]", "[[files]]"), "files is no table"),
        (replaced("__init__.py", "../x.py"), "file '../x.py' is no path inside the package"),
        (replaced("__init__.py", "/x.py"), "file '/x.py' is no path inside the package"),
        (replaced("a" * 64, "a" * 63), f"__init__.py is '{'a' * 63}', wanted a SHA-256"),
        (replaced(TENSOR.export, "../../x"), "export is '../../x', wanted a SHA-256"),
        (replaced("core.tensor", "core/../../tensor"), "target is 'core/../../tensor', wanted a dotted name"),
        (replaced('["Linear"]', '"Linear"'), "names is 'Linear', wanted a list of strings"),
        (replaced('["Linear"]', "[1]"), "names is [1], wanted a list of strings"),
        (replaced("[modules.tensor]", "[modules]\ntensor = 1\n[other]"), "tensor is no table"),
        (replaced("[package]", "<<<<<<< ours\n[package]"), "Invalid statement (at line 5, column 1)"),
    ],
)
def test_what_cannot_be_a_record_is_refused(spoil: Callable[[str], str], message: str) -> None:
    with pytest.raises(UnreadableRecord) as caught:
        parse_record(spoil(render_record(RECORD)))
    assert str(caught.value) == message
