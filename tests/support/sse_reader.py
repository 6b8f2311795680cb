"""A reader of server-sent events over a real connection."""

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """One event; a comment has the kind `comment`."""

    kind: str
    id: int | str | None  # a number, where it is one
    data: Any


class Stream:
    """An open stream of one job's events; `Last-Event-ID` as given."""

    def __init__(
        self, url: str, path: str, key: str, last_id: int | str | None = None, timeout: float = 10
    ) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout)
        headers = {"X-API-Key": key} | ({} if last_id is None else {"Last-Event-ID": str(last_id)})
        self._connection.request("GET", path, headers=headers)
        self.response = self._connection.getresponse()
        self.status = self.response.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Told]:
        """Events until the server ends the stream."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                yield Told("comment", None, text[1:].strip())
            elif text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif fields:
                yield Told(fields["event"], _id(fields["id"]), json.loads(fields["data"]))
                fields = {}

    def next(self, kind: str) -> Told:
        """The next event of this kind."""
        for told in self:
            if told.kind == kind:
                return told
        raise AssertionError(f"the stream ended without {kind!r}")

    def close(self) -> None:
        try:
            self._connection.sock and self._connection.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.response.close()
        self._connection.close()


def _id(text: str) -> int | str:
    return int(text) if text.isdigit() else text
