"""Regions of a page that the server sends anew while somebody looks at them, as server-sent events."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

from flask import Response, stream_with_context

from app.core.accounts import browser_sessions
from app.dashboard import cookie
from app.errors import Unavailable
from app.web import capacity
from app.web.auth import caller
from models.session import reading

Rendered = TypeVar("Rendered")

WAIT = 2.0  # seconds for a turn, after which the stream shows that it is alive
LOOK = 2.0  # seconds between two looks whether the session goes on
ALIVE = b"event: alive\n\n"  # page.js takes a stream that is silent for 15 s for dead
END = b"event: end\ndata: \n\n"
ANEW = b"retry: 10000\n"  # milliseconds until a page asks again whose tenant has no seat left
EACH = 0.15  # seconds that regions last longer for each stream of this process: pages must not slow the jobs
SLOWEST = 10.0  # seconds
TYPE = "text/event-stream"
HEADERS = {"X-Accel-Buffering": "no"}

_turns: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # by tenant


@dataclass(frozen=True, slots=True)
class Region:
    """The whole HTML of a region, or None: it is as it was. What it is about has ended with the last one."""

    html: str | None = None
    is_last: bool = False


def stream(regions: Iterable[Region]) -> Response:
    """A stream of a region, which must give something every few seconds.

    The page asks for it again when it ends without a last one, as when this process stops, the session ends
    or the reader is too slow. Whoever finds no seat gets the first one, and asks again for the next.
    """
    token = cast(str, cookie.token())  # the request is gone when the stream is read
    try:
        seat = capacity.take_seat()
    except Unavailable:
        return Response(ANEW + _events(next(iter(regions), Region())), mimetype=TYPE, headers=HEADERS)
    events = stream_with_context(_while_signed_in(token, map(_events, regions)))  # templates ask for it
    return capacity.stream(events, TYPE, HEADERS, seat)


def pace(seconds: float) -> float:
    """Seconds between two renderings of a region: so many, or more while many streams are open."""
    return max(seconds, min(EACH * capacity.seats_taken(), SLOWEST))


def in_turn(render: Callable[[], Rendered]) -> Generator[Region, None, Rendered]:
    """What `render` returns; gives an empty region whenever the stream has waited some seconds for its turn.

    A tenant's regions are rendered one after another: two hundred of them take no more of the processor than
    one, and leave the rest to others.
    """
    turn = _turns[caller().tenant_id]
    while not turn.acquire(timeout=WAIT):
        yield Region()
    try:
        return render()
    finally:
        turn.release()


def _events(region: Region) -> bytes:
    shown = ALIVE if region.html is None else message(region.html)
    return shown + END if region.is_last else shown


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
