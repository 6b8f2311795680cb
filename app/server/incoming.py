"""One request on its way in."""

from pathlib import Path
from typing import Any

from gunicorn.http.message import Request

from app.server.bodies import Grant
from app.server.bounds import SMALL
from app.server.framing import Chunks, Head, Length, frame
from app.server.spool import Replay, Spool


class Incoming:
    """A request that is being received.

    It is whole when `is_whole`. When `needs_grant`, nothing more of its body is taken before `grant` is large
    enough.
    """

    def __init__(self, cfg: Any, client: Any, number: int, folder: Path, grant: Grant) -> None:
        """`number` counts the connection's requests, from 1."""
        self.request: Request | None = None
        self.grant = grant
        self._cfg, self._client, self._number = cfg, client, number
        self._head = Head()
        self._body = Spool(folder)
        self._frame: Length | Chunks = Length(0)
        self._held = b""  # received, and not yet taken
        self._expects_word = False  # waits for `100 Continue` before it sends the body

    @property
    def has_begun(self) -> bool:
        return bool(self._head.received)

    @property
    def has_head(self) -> bool:
        return self.request is not None

    @property
    def is_whole(self) -> bool:
        return self.has_head and self._frame.has_ended

    @property
    def key(self) -> str:
        """What the request gives as its key: nobody has checked it, and it may have none."""
        headers = dict(self.request.headers) if self.request else {}
        return headers.get("X-API-KEY") or headers.get("AUTHORIZATION") or ""

    @property
    def has_failed(self) -> bool:
        """Whether gunicorn could not read the body: then nobody knows where it ends."""
        return self.request is None or self.request.body.failed

    @property
    def size(self) -> int:
        """Bytes of the body's content, as far as they are announced."""
        return self._frame.size

    @property
    def needs_grant(self) -> bool:
        return not self.is_whole and max(self.size, self._body.size) > max(SMALL, self.grant.bytes)

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the request; returns what follows it.

        Raises gunicorn's errors, and `OSError` when the disk is full.
        """
        if self.request is None:
            end = self._head.take(data)
            if end is None:
                return b""
            data = bytes(self._head.received[end:])
            unreader = Replay(bytes(self._head.received[:end]), self._body)
            self.request = Request(self._cfg, unreader, self._client, self._number)
            self._frame = frame(self.request)
            self._expects_word = self.request._expected_100_continue
            self.request._expected_100_continue = False  # gunicorn would answer it with the body in hand
        data = self._held + data
        self._held = b""
        if self.needs_grant:
            self._held = data
            return b""
        taken = self._frame.take(data)
        self._body.write(memoryview(data)[:taken])
        return data[taken:]

    def must_say_continue(self) -> bool:
        """Whether the client waits for `100 Continue` before it sends the body; true once."""
        expects, self._expects_word = self._expects_word, False
        return expects and not self.is_whole and not self._body.size

    def grant_room(self, tenant: int) -> bool:
        """Take room for the body, in the tenant's share; false: there is none."""
        known = isinstance(self._frame, Length)
        return self.grant.take(tenant, max(self.size, self._body.size), is_final=known)

    def close(self) -> None:
        self._body.close()
        self.grant.give_back()
