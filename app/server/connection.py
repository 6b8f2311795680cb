"""A client's connection, from one request to the next."""

import ipaddress
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.server.bodies import Grant, Room
from app.server.incoming import Incoming
from app.server.outlet import Outlet


class Connection:
    """`sock`, `client` and `server` are what gunicorn's handling of a request expects of a connection."""

    def __init__(
        self, cfg: Any, wire: socket.socket, client: Any, server: Any, folder: Path, room: Room
    ) -> None:
        wire.setblocking(False)
        self.wire = wire
        self.sock = Outlet(wire, folder)
        self.client, self.server = client, server
        self.address = _address(client)
        self.surplus = b""  # received beyond the request
        self.goes_on = False  # after the answer
        self.deadline = 0.0  # monotonic: when it is closed unless something happens
        self.moved_at = 0.0  # monotonic: when the poller last did something for it
        self._moved = 0  # bytes since the deadline was set
        self._new_incoming: Callable[[int], Incoming] = lambda number: Incoming(
            cfg, client, number, folder, Grant(room)
        )
        self._number = 0
        self.start_next()

    def start_next(self) -> None:
        """Get ready for the next request."""
        self._number += 1
        self.incoming = self._new_incoming(self._number)

    def feed(self, data: bytes) -> None:
        """Take more of the request. Raises gunicorn's errors, and `OSError` when the disk is full."""
        self.surplus = self.incoming.feed(self.surplus + data)

    def give(self, seconds: float) -> None:
        """From now on it has this long."""
        self.deadline, self._moved = time.monotonic() + seconds, 0

    def note_progress(self, count: int, quota: int, seconds: float) -> None:
        """Give it more time for every `quota` bytes that have moved."""
        self._moved += count
        if self._moved >= quota:
            self.give(seconds)

    def close(self) -> None:
        self.incoming.close()
        self.sock.drop()
        self.wire.close()


def _address(client: Any) -> str:
    """Whom a connection counts for: an IPv4 address, or an IPv6 network of the size that one customer has.

    Connections through a Unix socket have no address.
    """
    if not isinstance(client, tuple):
        return ""
    address = ipaddress.ip_address(client[0].partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
