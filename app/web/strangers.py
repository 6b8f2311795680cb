"""Calls without a key, where they are let in, must not come from somebody else's page in a browser here.

A page elsewhere can make its visitor's browser send requests to this server. It names itself in `Origin`,
unless it has first made its own name lead to this server's address (DNS rebinding): then the name stands in
`Host`. An address, `localhost` and this machine's own names cannot be made to lead elsewhere.
"""

import ipaddress
import re
import socket
from functools import cache

from flask import request

from app.errors import Forbidden
from config import settings

SHOWN = 100  # characters of what a request says
_PORT = re.compile(r":[0-9]*\Z")


def check() -> None:
    """Raise `Forbidden` for a request of another page or under a name that is not this server's."""
    if not _is_addressed_here():
        host = (_host() or "")[:SHOWN]
        raise Forbidden(
            f"the request is addressed to {host!r}, no known name of this server: without a key use its"
            " address, `localhost` or a name in ALLOWED_HOSTS; otherwise send a key"
        )
    if not _is_own_page():
        origin = request.headers["Origin"][:SHOWN]
        raise Forbidden(
            f"the request comes from a page of {origin!r}: without a key only pages of this server and of"
            " CORS_ORIGINS may call; otherwise send a key"
        )


def is_trusted() -> bool:
    """Whether `check` would pass."""
    return _is_addressed_here() and _is_own_page()


def _is_addressed_here() -> bool:
    host = _host()
    if host is None:
        return True  # every browser sends one
    name = _PORT.sub("", host.lower()).rstrip(".")
    return _is_address(name) or name in own_names() | settings.current().allowed_hosts


def _is_own_page() -> bool:
    """Whether the request names no page, or one of this server or of CORS_ORIGINS.

    The scheme is not compared: behind a proxy that terminates TLS, this server does not know it.
    """
    origin = request.headers.get("Origin")
    if origin is None:
        return True  # no page, or one of the same origin that only reads
    if origin.lower() in settings.current().cors_origins:
        return True
    scheme, _, place = origin.lower().partition("://")
    default = {"http": ":80", "https": ":443"}.get(scheme)
    host = (_host() or "").lower()
    return default is not None and place.removesuffix(default) == host.removesuffix(default)


def _host() -> str | None:
    return request.headers.get("Host")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


@cache
def own_names() -> frozenset[str]:
    """What this machine calls itself. Names that only others have for it are in ALLOWED_HOSTS."""
    name = socket.gethostname().lower()
    short = name.partition(".")[0]
    return frozenset({"localhost", name, short, f"{short}.local"})
