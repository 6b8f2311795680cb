"""The connections that have brought no whole request: who is asked to leave when there are too many."""

import ipaddress
from collections.abc import Sequence

from app.server.bounds import OF_ONE_ADDRESS
from app.server.connection import Connection
from config.variables import Network


class Crowd:
    """Connections in the order in which they began to wait.

    Of one address there may be `OF_ONE_ADDRESS`, then its oldest goes: a client that sends its request at
    once is never the oldest, whoever shares its address.
    """

    def __init__(self, trusted: Sequence[Network]) -> None:
        """`trusted`: the proxies, whose connections are many clients'."""
        self._trusted = trusted
        self._all: dict[Connection, None] = {}
        self._by_address: dict[str, dict[Connection, None]] = {}

    def join(self, connection: Connection) -> Connection | None:
        """Let it wait, as the newest unless it waits already; returns the one that must go for it, if any."""
        self._all.setdefault(connection)
        if self.is_proxy(connection):
            return None
        its = self._by_address.setdefault(connection.address, {})
        its.setdefault(connection)
        return next(iter(its)) if len(its) > OF_ONE_ADDRESS else None

    def leave(self, connection: Connection) -> None:
        self._all.pop(connection, None)
        its = self._by_address.get(connection.address)
        if its is not None:
            its.pop(connection, None)
            if not its:
                del self._by_address[connection.address]

    def is_proxy(self, connection: Connection) -> bool:
        """Whether many clients share it; a Unix socket has a proxy at its other end."""
        return connection.address == "" or is_in(connection.client[0], self._trusted)

    def oldest(self) -> Connection | None:
        return next(iter(self._all), None)


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether an IP address is in one of the networks; an IPv4 address may be written as IPv6."""
    if not networks:
        return False
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(parsed in network for network in networks)
