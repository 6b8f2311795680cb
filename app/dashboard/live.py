"""Regions of a page that the server sends anew while somebody looks at them, as server-sent events."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import cast

from flask import Response, stream_with_context

from app.core.accounts import browser_sessions
from app.dashboard import cookie
from app.web import capacity
from app.web.auth import caller
from models.session import reading

WAIT = 2.0  # seconds for a turn, after which the stream shows that it is alive
LOOK = 2.0  # seconds between two looks whether the session goes on
HEARTBEAT = b": nothing new\n\n"
END = b"event: end\ndata: \n\n"

_turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # by tenant


def stream(regions: Iterable[str | None]) -> Response:
    """A stream of a region's HTML, each a whole one; None: nothing is new, but the stream is alive.

    After the last one the page is told that there will be no more. Generators must give something every few
    seconds: the session's end is noticed only then. Raises `Unavailable` when the tenant gets no seat.
    """
    token = cast(str, cookie.token())  # the request is gone when the stream is read
    headers = {"X-Accel-Buffering": "no"}
    events = stream_with_context(_while_signed_in(token, _events(regions)))  # templates ask for it
    return capacity.stream(events, "text/event-stream", headers)


def in_turn(render: Callable[[], str]) -> Generator[None, None, str]:
    """What `render` returns; gives None whenever the stream has waited some seconds for its turn.

    A tenant's regions are rendered one after another: two hundred of them take no more of the processor than
    one, and leave the rest to others.
    """
    turn = _turns[caller().tenant_id]
    while not turn.acquire(timeout=WAIT):
        yield None
    try:
        return render()
    finally:
        turn.release()


def _events(regions: Iterable[str | None]) -> Iterator[bytes]:
    for html in regions:
        yield HEARTBEAT if html is None else message(html)
    yield END


def message(html: str) -> bytes:
    """One event whose data is `html`."""
    lines = html.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return b"".join(b"data: %s\n" % line.encode() for line in lines) + b"\n"


def _while_signed_in(token: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    looked = time.monotonic()
    for chunk in chunks:
        if time.monotonic() - looked > LOOK:
            with reading() as session:
                if browser_sessions.find(session, token) is None:
                    return
            looked = time.monotonic()
        yield chunk
