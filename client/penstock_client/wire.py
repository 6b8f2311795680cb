"""Calls and their answers, without any input or output: the sync and the async client only carry them."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from penstock_client.errors import CLASSES, Busy, PenstockError, Refused, Unreachable

PREFIX = "/api/v1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")  # which no proxy can reach
FIRST = 10.0  # seconds that a server is waited for which has never answered: its address may be wrong
LONGEST_WAIT = 60.0  # seconds, whatever a Retry-After says
LONGEST_BACKOFF = 20.0
UPLOAD = 900  # seconds: a large file is read completely before the response
HEARD = 60  # seconds without a byte after which a stream is opened again; it sends heartbeats

T = TypeVar("T")
Part = tuple[str, tuple[str, IO[bytes]]]  # its name in the form; its file's name and content


@dataclass(frozen=True)
class Call:
    """One request. `parts` are the files of a form, read anew for each try."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, str] | None = None
    parts: Callable[[], list[Part]] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60
    is_repeatable: bool = True  # that it was done may be found by doing it again

    def arguments(self) -> dict[str, Any]:
        """Those of httpx's `request`."""
        found: dict[str, Any] = {"params": dict(self.query), "headers": dict(self.headers)}
        if self.json is not None:
            found["json"] = self.json
        if self.parts is not None:
            found |= {"data": dict(self.form or {}), "files": self.parts()}
        return found


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


Step = Call | float  # what a flow wants: a call, or so many seconds of waiting
Got = Reply | PenstockError | None
Flow = Generator[Step, Got, T]


@dataclass
class Contact:
    """What one client knows of its server."""

    url: str
    patience: float
    has_answered: bool = False


class Patience:
    """How long one thing is tried: until nothing has been heard of the server for so many seconds."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._since, self._tries = time.monotonic(), 0

    def heard(self) -> None:
        self._contact.has_answered = True
        self._since, self._tries = time.monotonic(), 0

    def wait(self, error: PenstockError, *, is_repeatable: bool = True) -> float:
        """The seconds until the next try; raises the error where there is none."""
        if isinstance(error, Unreachable):
            is_passing = not error.is_lasting and (is_repeatable or error.is_unsent)
        else:
            self._contact.has_answered = True
            is_passing = isinstance(error, Busy) or error.retry_after is not None
        patience = self._contact.patience
        if not self._contact.has_answered:
            patience = min(patience, FIRST)
        if not is_passing or time.monotonic() - self._since >= patience:
            raise error
        self._tries += 1
        if error.retry_after is not None:
            return min(error.retry_after, LONGEST_WAIT)
        # Spread, so that those whom one restart has cut off do not all come back at once.
        return float(min(0.25 * 2**self._tries, LONGEST_BACKOFF) * random.uniform(0.5, 1))  # noqa: S311


def answered(contact: Contact, call: Call) -> Flow[dict[str, Any]]:
    """The JSON object that answers a call, which is made again while that helps."""
    patience = Patience(contact)
    while True:
        got = yield call
        if isinstance(got, Reply):
            contact.has_answered = True
            if 200 <= got.status < 300:
                return _json(contact, got)
            got = refusal(got)
        assert isinstance(got, PenstockError)
        yield patience.wait(got, is_repeatable=call.is_repeatable)


def _json(contact: Contact, reply: Reply) -> dict[str, Any]:
    try:
        return dict(json.loads(reply.body or b"{}"))
    except (TypeError, ValueError):
        raise Refused(
            f"{contact.url} answered with something other than JSON: is this the address of a Penstock?",
            status=reply.status,
        ) from None


def refusal(reply: Reply) -> Refused:
    """The error in a reply, in whatever shape: it may come from a proxy."""
    try:
        told = dict(json.loads(reply.body)["error"])
    except (KeyError, TypeError, ValueError):
        told = {}
    wait = reply.headers.get("retry-after", "")
    return CLASSES.get(reply.status, Refused)(
        str(told.get("message") or f"the server answered with HTTP {reply.status}"),
        status=reply.status,
        type=told.get("type"),
        details=told.get("details"),
        request_id=told.get("request_id") or reply.headers.get("x-request-id"),
        retry_after=float(wait) if wait.isdigit() else None,
    )


def checked_url(url: str) -> str:
    """The address without a slash at its end; raises for what is none."""
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise PenstockError(
            f"url: give the address of a Penstock, such as http://127.0.0.1:8000; found {url!r}"
        )
    return url.rstrip("/")


def checked_key(key: str) -> str:
    """The key; raises for what no header can hold, without showing it."""
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable():
        raise PenstockError("key: give an API key of Penstock (pk_…)")
    return key


def is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in LOOPBACK
