"""How both clients use httpx."""

from __future__ import annotations

import os
import ssl
from typing import Any

import httpx

from penstock_client.errors import PenstockError, Unreachable
from penstock_client.wire import Call, Contact, Reply, checked_key, checked_url, is_loopback

URL, KEY = "PENSTOCK_URL", "PENSTOCK_API_KEY"


def contact(url: str | None, patience: float) -> Contact:
    return Contact(checked_url(url or _variable(URL, "url")), patience)


def settings(known: Contact, key: str | None) -> dict[str, Any]:
    """The arguments of httpx's clients. They keep the key, in a header that they do not show."""
    return {
        "base_url": known.url,
        "headers": {"Authorization": f"Bearer {checked_key(key or _variable(KEY, 'key'))}"},
        "trust_env": not is_loopback(known.url),
    }


def _variable(name: str, argument: str) -> str:
    found = os.environ.get(name)
    if not found:
        raise PenstockError(f"{argument}: give it, or set {name}")
    return found


def timeout(call: Call) -> httpx.Timeout:
    return httpx.Timeout(call.timeout, connect=5)


def reply(response: httpx.Response) -> Reply:
    return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, response.content)


def unreachable(known: Contact, error: httpx.RequestError) -> Unreachable:
    is_unsent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
    return Unreachable(
        f"{known.url} does not answer ({type(error).__name__}: {error})",
        is_unsent=is_unsent,
        is_lasting=isinstance(error, httpx.UnsupportedProtocol) or _is_of_certificates(error),
    )


def _is_of_certificates(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False
