"""The private pipe: messages arrive whole, and noise is known for noise."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch_build.workers.channel import Listener, Speaker
from tinytorch_build.workers.job import Activity
from tinytorch_build.workers.wire import MAX_RESULT, framed

TOKEN = b"sixteen of bytes"

SETTINGS = settings(derandomize=True, deadline=None, database=None)


def spoken(*activities: Activity, result: bytes | None = None) -> bytes:
    """What a worker writes that says some activities, and perhaps a result."""
    reading, writing = os.pipe()
    speaker = Speaker(writing, TOKEN)
    for activity in activities:
        speaker.announce(activity)
    if result is not None:
        speaker.deliver(result)
    os.close(writing)
    with open(reading, "rb") as pipe:
        return pipe.read()


@SETTINGS
@given(st.binary(max_size=50), st.lists(st.integers(1, 20)))
def test_messages_survive_any_cut(result: bytes, cuts: list[int]) -> None:
    data = spoken(Activity("one"), Activity("two", "tests/test_é.py", 3), result=result)
    listener = Listener(TOKEN)
    for cut in cuts:
        listener.feed(data[:cut])
        data = data[cut:]
    listener.feed(data)
    assert (listener.activity, listener.result, listener.fault) == (
        Activity("two", "tests/test_é.py", 3),
        result,
        None,
    )


def test_half_a_result_is_no_result() -> None:
    listener = Listener(TOKEN)
    listener.feed(spoken(result=b"passed")[:-1])
    assert listener.result is None
    assert not listener.is_over


def test_what_course_code_writes_is_no_result() -> None:
    listener = Listener(TOKEN)
    listener.feed(b"1 passed\n")
    assert listener.fault == "wrote into the pipe that is meant for its result"
    listener.feed(spoken(result=b"passed"))
    assert listener.result is None


@pytest.mark.parametrize("token", [b"", b"another of these"])
def test_a_message_without_the_token_is_forged(token: bytes) -> None:
    listener = Listener(TOKEN)
    listener.feed(token + b"R" + framed(b"passed"))
    assert listener.fault == "wrote into the pipe that is meant for its result"
    assert listener.result is None


def test_an_activity_that_is_none_is_a_fault() -> None:
    listener = Listener(TOKEN)
    listener.feed(TOKEN + b"A" + (3).to_bytes(8, "big") + b"x{]")
    assert listener.fault == "wrote into the pipe that is meant for its result"


def test_a_giant_result_is_refused_before_it_is_read() -> None:
    listener = Listener(TOKEN)
    listener.feed(TOKEN + b"R" + (MAX_RESULT + 1).to_bytes(8, "big"))
    assert listener.fault == "delivered a result of more than 64 MB"


def test_a_long_name_does_not_fill_the_pipe() -> None:
    listener = Listener(TOKEN)
    listener.feed(spoken(Activity("x" * 100_000)))
    assert listener.activity == Activity("x" * 3000)


def test_a_forked_copy_of_the_worker_says_nothing() -> None:
    reading, writing = os.pipe()
    speaker = Speaker(writing, TOKEN)
    child = os.fork()
    if child == 0:
        speaker.deliver(b"forged")
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b""
