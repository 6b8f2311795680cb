"""The connection of a request: whether its client still waits for the answer."""

import select
import socket
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from flask import request

from app.errors import ClientGone

EVERY = 0.5  # seconds of work between two looks at the connection

T = TypeVar("T")


def while_connected(items: Iterable[T]) -> Iterator[T]:
    """`items`, as long as the client is there; raises `ClientGone` within a second after it has gone."""
    look = time.monotonic() + EVERY
    for item in items:
        if time.monotonic() >= look:
            if client_has_gone():
                raise ClientGone("the client closed its connection before its request was read")
            look = time.monotonic() + EVERY
        yield item


def client_has_gone() -> bool:
    """Whether the client has closed the connection; False where the server does not show it."""
    return is_closed(request.environ.get("gunicorn.socket"))


def is_closed(connection: socket.socket | None) -> bool:
    """Whether the other side has closed it; False where that is not shown."""
    if connection is None or not hasattr(select, "POLLRDHUP"):  # only Linux tells it without reading
        return False
    events = select.poll()
    events.register(connection, select.POLLRDHUP)
    return bool(events.poll(0))
