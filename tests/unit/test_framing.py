"""Where a request ends: the server and gunicorn's parser are of one opinion, however the bytes arrive."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from hypothesis import given, settings
from hypothesis import strategies as st

from app.server.bodies import Grant, Room
from app.server.incoming import Incoming

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\n"

# Pieces of which chunked bodies are made, right and wrong.
PIECES = [
    b"0", b"1", b"5", b"A", b"\r\n", b"\r", b"\n", b";", b";a=b", b";a=\"\r\"", b" ", b"x", b"hello", b"-1",
    b"0x5", b"00005\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b"3;x\r\nabc\r\n", b"X-T: 1\r\n", b"Host: y\r\n",
]  # fmt: skip
bodies = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


@contextmanager
def fed(data: bytes, size: int) -> Iterator[tuple[Incoming, bytes]]:
    """A request that came in pieces of this size, and what followed it."""
    request, rest = Incoming(Config(), ("127.0.0.1", 1), 1, Path(), Grant(Room())), b""
    with closing(request):
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            rest += piece if request.is_whole else request.feed(piece)
        yield request, rest


def _read(request: Incoming) -> bytes:
    """What gunicorn reads of a body in which the server has found no fault."""
    try:
        return request.request.body.read()
    except ParseException as error:
        raise AssertionError(f"gunicorn refuses what was taken: {error}") from error


@settings(max_examples=400, derandomize=True)
@given(bodies, st.integers(1, 40))
def test_gunicorn_reads_all_of_a_chunked_body_and_no_more(body, size):
    sent = CHUNKED + body + NEXT
    with suppress(ParseException), fed(sent, size) as (request, rest):
        if request.is_whole:
            content = _read(request)
            assert request.request.unreader.read() == b""
            assert sent.endswith(rest)
            assert request.size == len(content)


@settings(max_examples=100, derandomize=True)
@given(st.lists(st.binary(min_size=20, max_size=300), max_size=5), st.integers(1, 200))
def test_a_chunked_body_is_its_content(contents, size):
    body = b"".join(b"%x\r\n%s\r\n" % (len(content), content) for content in contents) + b"0\r\nA: b\r\n\r\n"
    with fed(CHUNKED + body + NEXT, size) as (request, rest):
        assert request.request.body.read() == b"".join(contents)
        assert rest == NEXT


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_a_body_of_known_length_ends_there(size):
    with fed(b"\r\n" + HEAD + b"Content-Length: 5\r\n\r\nhello" + NEXT, size) as (request, rest):
        assert request.request.body.read() == b"hello"
        assert rest == NEXT


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n\r\n", HEAD + b"\r\n", b"\r\n" + HEAD + b"\r\n"])
def test_a_request_without_a_body_ends_with_its_head(line):
    with fed(line + NEXT, 3) as (request, rest):
        assert request.is_whole
        assert rest == NEXT


def test_a_large_body_is_not_taken_before_there_is_room_for_it(tmp_path):
    # Given a body of a megabyte
    request = Incoming(Config(), ("127.0.0.1", 1), 1, tmp_path, Grant(Room()))
    assert request.feed(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 50_000) == b""
    assert request.needs_grant

    # When its sender gets room, then it is taken
    assert request.grant_room(7)
    request.feed(b"")
    assert request.feed(b"x" * 950_000 + NEXT) == NEXT
    assert request.is_whole
    assert len(request.request.body.read()) == 1_000_000
    request.close()


def test_room_for_bodies_is_shared_by_tenants():
    room = Room(most=100_000_000)
    grants = [Grant(room) for _ in range(5)]
    assert grants[0].take(1, 40_000_000, is_final=True)
    assert not grants[1].take(1, 20_000_000, is_final=True)
    assert grants[1].take(2, 50_000_000, is_final=True)
    assert not grants[2].take(3, 20_000_000, is_final=True)
    assert grants[2].take(3, 1, is_final=True)
    grants[0].give_back()
    grants[0].give_back()
    assert grants[3].take(1, 40_000_000, is_final=True)
