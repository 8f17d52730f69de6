"""The output cap: the beginning and the end stay, whatever the amount."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.workers.output import HeadTail

SETTINGS = settings(derandomize=True, deadline=None, database=None)


def written(pieces: list[bytes], head: int, tail: int) -> HeadTail:
    buffer = HeadTail(head, tail)
    for piece in pieces:
        buffer.write(piece)
    return buffer


def test_a_short_output_is_kept_whole() -> None:
    assert written([b"one\n", b"two\n"], 4, 4).text() == "one\ntwo\n"


def test_of_a_long_output_the_middle_is_left_out() -> None:
    assert (
        written([b"begin", b"x" * 100, b"end!"], 5, 4).text() == "begin\n[... 100 bytes left out ...]\nend!"
    )


def test_half_a_character_at_the_cut_is_no_error() -> None:
    assert written(["ä".encode() * 3], 1, 3).text() == "\ufffd\n[... 2 bytes left out ...]\n\ufffdä"


@SETTINGS
@given(
    st.lists(st.binary(max_size=40).map(lambda data: data.hex().encode())),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_head_and_tail_are_those_of_the_whole(pieces: list[bytes], head: int, tail: int) -> None:
    whole = b"".join(pieces).decode()
    text = written(pieces, head, tail).text()
    if len(whole) <= head + tail:
        assert text == whole
    else:
        dropped = len(whole) - head - tail
        assert text == f"{whole[:head]}\n[... {dropped} bytes left out ...]\n{whole[-tail:]}"
