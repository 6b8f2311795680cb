"""Where this server is for its caller, whatever stands in front of it."""

import ipaddress
import re

from flask import request

from config import settings

HOST = re.compile(r"[A-Za-z0-9.:\[\]_-]{1,255}")
PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+){1,20}")


def root() -> str:
    """The address of this server's root, without a slash at its end.

    Headers about the way here are believed from the proxies in TRUSTED_PROXIES alone; for the scheme the web
    server sees to that.
    """
    host, prefix = request.host, ""
    if _comes_from_a_proxy():
        host = _forwarded("Host", HOST) or host
        prefix = _forwarded("Prefix", PREFIX)
    return f"{request.scheme}://{host}{prefix}"


def _forwarded(name: str, form: re.Pattern[str]) -> str:
    """What the first of several proxies said; nothing where it is in no form that it can have."""
    said = request.headers.get(f"X-Forwarded-{name}", "").partition(",")[0].strip().rstrip("/")
    return said if form.fullmatch(said) else ""


def _comes_from_a_proxy() -> bool:
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:  # such as a Unix socket
        return False
    return any(address in network for network in settings.current().trusted_proxies)
