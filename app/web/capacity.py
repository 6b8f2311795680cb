"""Limits on concurrent holders: of web threads by streams and waits, of memory by large requests."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

from flask import Flask, Response, current_app, request

from app.core.reading.follow import wait_until_ended
from app.core.reading.jobs import JobView
from app.errors import Unavailable
from app.web.open_keys import until_revoked, while_valid

KEPT_FREE = 32  # threads for requests that end at once
SMALL = 1_000_000  # bytes of content that may be read at once; a larger request waits for a slot
FEW = 4  # slots: JSON in memory takes ten times its size
PATIENCE = 60  # seconds that a request waits for a slot
PIECE = 64_000  # bytes that are written at once
STALLED = 60  # seconds in which a client must read one; otherwise the stream is cut


class Seats:
    """How many more threads may be held."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.BoundedSemaphore(count)

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()


def prepare(app: Flask, threads: int) -> None:
    """Set the limits of a process that has this many threads."""
    app.extensions["seats"] = Seats(threads - KEPT_FREE)
    app.extensions["few"] = threading.BoundedSemaphore(FEW)


def seats() -> Seats:
    return cast(Seats, current_app.extensions["seats"])


def stream(chunks: Iterator[bytes], mimetype: str, headers: dict[str, str]) -> Response:
    """A streamed response; raises `Unavailable` when all seats are taken."""
    taken = seats()
    if not taken.take():
        raise Unavailable(f"all {taken.count} streams of this process are taken: try again", retry_after=5)
    written = threading.Event()
    response = Response(until_revoked(_pieces(chunks, written)), mimetype=mimetype, headers=headers)
    response.call_on_close(taken.give_back)
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
    """Restore the connection; a client that stopped reading is cut off.

    Otherwise the server would wait two seconds for it to read on, in the thread that accepts all connections.
    """
    try:
        if written.is_set():
            connection.settimeout(None)
        else:
            connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the client has gone


def wait_for_end(view: JobView, seconds: float) -> bool:
    """Wait for the job to end; do not wait when every seat is taken, because the job can be polled.

    Raises `Unauthenticated` when the caller's key is revoked meanwhile.
    """
    taken = seats()
    if not taken.take():
        return False
    try:
        with while_valid() as key_id:
            wait_until_ended(view, seconds, key_id)
    finally:
        taken.give_back()
    return True


@contextmanager
def enough_memory(size: int) -> Iterator[None]:
    """Hold one of the few slots for large content; raises `Unavailable` when none becomes free."""
    few: threading.Semaphore = current_app.extensions["few"]
    if size <= SMALL:
        yield
        return
    if not few.acquire(timeout=PATIENCE):
        raise Unavailable("too many large submissions are being read: try again", retry_after=10)
    try:
        yield
    finally:
        few.release()
