"""Addresses that webhooks may be sent to: what can be said of one before anything connects to it."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from app.core.webhooks import networks
from app.errors import BadInput
from config import settings

LONGEST = 2048  # characters
PORTS = {"http": 80, "https": 443}

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # as the last part of a name: the system reads it as an address


def check(text: str) -> str:
    """The address, if a webhook may be sent there; raises `BadInput`."""
    why = refusal(text)
    if why is not None:
        raise BadInput.of_field("url", why)
    return text


def refusal(text: str) -> str | None:
    """Why no webhook may be sent to this address; None when one may.

    A name is looked up only when something is sent: it may lead elsewhere by then.
    """
    if len(text) > LONGEST:
        return f"it has {len(text):,} characters; the limit is {LONGEST:,}"
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return "give a URL of visible ASCII characters, with other ones written as %XX"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or port == 0:
        return f"{text!r} is not the URL of a server: give one such as https://example.com/hooks"
    return _of_parts(parts, host)


def _of_parts(parts: SplitResult, host: str) -> str | None:
    if parts.scheme not in PORTS:
        return f"the scheme is {parts.scheme!r}; give an https:// URL"
    if parts.username is not None or parts.password is not None:
        return "a user and a password do not belong in it; check the signature instead"
    if parts.scheme == "http" and not settings.current().webhook_networks:
        return "http:// is for networks that WEBHOOK_NETWORKS names, and it names none; give an https:// URL"
    address = _literal(host)
    if address is not None:
        return networks.refusal(address, parts.scheme)
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        return f"the host {host!r} ends in a number: give a name, or an address such as 203.0.113.5"
    return None


def target(url: str) -> str:
    """The server of a URL, such as `https://example.com:443`: its deliveries share their places."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or PORTS[parts.scheme]}"[:300]


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
