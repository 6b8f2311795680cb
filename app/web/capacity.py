"""Limits on concurrent holders: of web threads by streams and waits, of memory by large requests.

Nobody waits for a place: who finds none is refused at once. No tenant may take them all.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

from flask import Flask, Response, current_app, g, request

from app.core.reading.follow import wait_until_ended
from app.core.reading.jobs import JobView
from app.errors import Unavailable
from app.web.open_keys import until_revoked, while_valid

KEPT_FREE = 32  # threads for requests that end at once
SMALL = 1_000_000  # bytes of content that may be read at once; a larger request needs a place
FEW = 4  # places: JSON in memory takes ten times its size
TIMES_FREE = 8  # a tenant may hold this many times what is free
PIECE = 64_000  # bytes that are written at once
SEAT = "penstock.seat"  # in the environ: the web server is told that the request is not a short one
STALLED = 60  # seconds in which a client must read one; otherwise the stream is cut


class Places:
    """Places that tenants share.

    A tenant gets another one while it holds less than eight times what is free, and never the last one unless
    it holds none. So a tenant alone gets nearly all (200 of 224), whoever comes then finds some free, and the
    more of them there are, the smaller is the share of each.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._held: Counter[int | None] = Counter()  # by tenant
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        return self.count - self._held.total()

    def take(self, tenant: int | None) -> bool:
        with self._lock:
            held, free = self._held[tenant], self.free
            may_have = free > 0 if held == 0 else free > 1 and held < TIMES_FREE * free
            if may_have:
                self._held[tenant] += 1
            return may_have

    def give_back(self, tenant: int | None) -> None:
        with self._lock:
            self._held[tenant] -= 1
            if not self._held[tenant]:
                del self._held[tenant]

    def held_by(self, tenant: int | None) -> int:
        return self._held[tenant]


class Seat:
    """A place that its holder gives back once, whoever asks for it first."""

    def __init__(self, places: Places, tenant: int | None) -> None:
        self._places, self._tenant = places, tenant
        self._lock = threading.Lock()
        self._is_held = True

    def give_back(self) -> None:
        with self._lock:
            held, self._is_held = self._is_held, False
        if held:
            self._places.give_back(self._tenant)


def prepare(app: Flask, threads: int) -> None:
    """Set the limits of a process that has this many threads."""
    app.extensions["seats"] = Places(threads - KEPT_FREE)
    app.extensions["few"] = Places(FEW)


def take_seat() -> Seat:
    """A thread for as long as a stream lasts; raises `Unavailable` when the caller's tenant gets none."""
    seat = _take("seats", "streams, downloads and waits", retry_after=5)
    if SEAT in request.environ:
        request.environ[SEAT]()
    return seat


def seats_taken() -> int:
    """How many streams and waits this process has."""
    seats = cast(Places, current_app.extensions["seats"])
    return seats.count - seats.free


@contextmanager
def preparing() -> Iterator[Seat]:
    """A seat for the work that precedes a stream, to be passed on to `stream` within the block.

    It is given back if the block fails. Raises `Unavailable` when the caller's tenant gets none.
    """
    seat = take_seat()
    try:
        yield seat
    except BaseException:
        seat.give_back()
        raise


def stream(
    chunks: Iterator[bytes], mimetype: str | None, headers: dict[str, str], seat: Seat | None = None
) -> Response:
    """A streamed response, on a new seat unless one is given; its type may be among `headers` instead.

    Raises `Unavailable` when the caller's tenant gets no seat.
    """
    seat = seat or take_seat()
    written = threading.Event()
    response = Response(until_revoked(_pieces(chunks, written)), mimetype=mimetype, headers=headers)
    response.call_on_close(seat.give_back)
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(STALLED)
        response.call_on_close(partial(_let_go, connection, written))
    return response


def _pieces(chunks: Iterator[bytes], written: threading.Event) -> Iterator[bytes]:
    for chunk in chunks:
        for start in range(0, len(chunk), PIECE):
            yield chunk[start : start + PIECE]
    written.set()


def _let_go(connection: socket.socket, written: threading.Event) -> None:
    """A client that stopped reading is cut off: what it was sent is not whole."""
    try:
        if written.is_set():
            connection.settimeout(None)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client has gone


def wait_for_end(view: JobView, seconds: float) -> bool:
    """Wait for the job to end; do not wait when the tenant gets no seat, because the job can be polled.

    Raises `Unauthenticated` when the caller's key is revoked meanwhile.
    """
    try:
        seat = take_seat()
    except Unavailable:
        return False
    try:
        with while_valid() as key_id:
            wait_until_ended(view, seconds, key_id)
    finally:
        seat.give_back()
    return True


class Memory:
    """What a request may hold in memory: a little, or with one of the few places for large content more."""

    def __init__(self) -> None:
        self._place: Seat | None = None

    def hold(self, size: int) -> None:
        """Take a place, if `size` bytes need one; raises `Unavailable` when the caller's tenant gets none."""
        if size > SMALL and self._place is None:
            self._place = _take("few", "large submissions that are read", retry_after=3)

    def give_back(self) -> None:
        if self._place is not None:
            self._place.give_back()


@contextmanager
def memory() -> Iterator[Memory]:
    """Memory until the end of the block, for content whose size shows while it is read."""
    held = Memory()
    try:
        yield held
    finally:
        held.give_back()


@contextmanager
def enough_memory(size: int) -> Iterator[None]:
    """Hold a place for content of `size` bytes, if it needs one; raises `Unavailable`."""
    with memory() as held:
        held.hold(size)
        yield


def _take(name: str, what: str, retry_after: int) -> Seat:
    places = cast(Places, current_app.extensions[name])
    tenant = g.caller.tenant_id if "caller" in g else None
    if not places.take(tenant):
        raise Unavailable(
            f"your tenant holds {places.held_by(tenant)} of this process's {places.count} {what}, and the"
            " others are taken or kept for tenants that hold none: try again when one of yours has ended",
            retry_after=retry_after,
        )
    return Seat(places, tenant)
