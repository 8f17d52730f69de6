"""The object store: what is put there is there, or is known not to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.files import sha256
from tinytorch_build.publish import ObjectStore
from tinytorch_build.publish.objects import SPARE_OBJECTS


def test_what_was_put_is_had_again_under_its_digest(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "objects")
    digest = store.put(b"x = 1\n")
    assert digest == sha256(b"x = 1\n")
    assert store.get(digest) == b"x = 1\n"
    assert [path.name for path in (tmp_path / "objects").iterdir()] == [f"{digest}.py"]


def test_what_was_never_put_is_not_there(tmp_path: Path) -> None:
    assert ObjectStore(tmp_path / "objects").get("0" * 64) is None


@settings(derandomize=True, max_examples=50, deadline=None)
@given(good=st.binary(), bad=st.binary())
def test_a_damaged_object_is_never_handed_out(
    tmp_path_factory: pytest.TempPathFactory, good: bytes, bad: bytes
) -> None:
    store = ObjectStore(tmp_path_factory.mktemp("objects"))
    digest = store.put(good)
    store.path(digest).write_bytes(bad)
    assert store.get(digest) == (good if good == bad else None)
    assert store.path(digest).exists() == (good == bad)
    assert store.put(good) == digest
    assert store.get(digest) == good


def test_objects_that_nobody_needs_are_cleared_away_once_they_are_many(tmp_path: Path) -> None:
    store = ObjectStore(tmp_path / "objects")
    store.prune(())  # no folder yet
    needed = store.put(b"needed")
    for number in range(SPARE_OBJECTS):
        store.put(str(number).encode())
    store.prune({needed})
    assert len(list((tmp_path / "objects").iterdir())) == SPARE_OBJECTS + 1
    store.put(b"one more")
    store.prune({needed})
    assert [path.stem for path in (tmp_path / "objects").iterdir()] == [needed]
