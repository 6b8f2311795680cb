"""What a worker passes on to the caller who waits for an answer, while it comes: by way of Redis.

A call has a stream of its own in Redis, of bounded length, that is gone some minutes later. It carries
nothing that is not also written to rows in the end: what is lost here costs a caller the answer, and not the
ledger.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import redis
import redis.asyncio

from app.core.limits.redis_client import ANSWER, guarded, key
from app.core.outages import servers
from config import settings
from config.once import once

LONGEST = 10_000  # frames of a call that are kept: a reader that is further behind is told so
KEPT = 900  # seconds after the last frame
PIECE = 256_000  # bytes of a frame


class Kind(StrEnum):
    SENT = "sent"  # the call leaves; its data is the lease of the process that makes it
    DATA = "data"  # a part of a streamed answer, as the provider sent it
    WHOLE = "whole"  # the answer
    END = "end"  # of a streamed answer
    FAILED = "failed"  # there is no answer; the data is JSON


LAST = frozenset({Kind.WHOLE, Kind.END, Kind.FAILED})


@dataclass(frozen=True, slots=True)
class Frame:
    """`number` counts a sender's frames from 0: a gap means that some were dropped."""

    kind: Kind
    data: bytes
    number: int


class Sender:
    """Sends the frames of one call. Used on the event loop, which it never keeps waiting."""

    def __init__(self, client: redis.asyncio.Redis, job_id: int) -> None:
        self._redis, self._key = client, key("relay", job_id)
        self._waiting: deque[tuple[Kind, bytes]] = deque()
        self._number = 0
        self._work: asyncio.Task[None] | None = None

    def put(self, kind: Kind, data: bytes = b"") -> None:
        """Send a frame after those before it. What comes while Redis is busy goes in one."""
        last = self._waiting[-1] if self._waiting else None
        if last is not None and kind is last[0] is Kind.DATA and len(last[1]) < PIECE:
            self._waiting[-1] = (kind, last[1] + data)
        else:
            self._waiting.append((kind, data))
        if self._work is None:
            self._work = asyncio.get_running_loop().create_task(self._send())

    def failed(self, facts: Mapping[str, Any]) -> None:
        self.put(Kind.FAILED, json.dumps(facts).encode())

    async def _send(self) -> None:
        try:
            while self._waiting:
                async with self._redis.pipeline(transaction=False) as pipe:
                    while self._waiting:
                        self._add(pipe, *self._waiting.popleft())
                    pipe.expire(self._key, KEPT)
                    await pipe.execute()
        except redis.RedisError as error:
            self._waiting.clear()  # the reader sees the gap, or that nothing comes
            servers.tell(error, "relay")
        finally:
            self._work = None

    def _add(self, pipe: Any, kind: Kind, data: bytes) -> None:
        fields = {"kind": kind.value, "data": data, "number": self._number}
        pipe.xadd(self._key, fields, maxlen=LONGEST, approximate=False)
        self._number += 1


class Reader:
    """Reads the frames of one call, in a thread of its own."""

    def __init__(self, job_id: int) -> None:
        self._key, self._seen = key("relay", job_id), "0"

    def next(self, seconds: float) -> list[Frame]:
        """The next frames; none if none come within `seconds`, at most 1. Raises `LimiterAway`."""
        milliseconds = max(1, round(1_000 * min(seconds, 1.0)))
        found = guarded(lambda: _client().xread({self._key: self._seen}, count=100, block=milliseconds))
        entries = found[0][1] if found else []
        if entries:
            self._seen = entries[-1][0]
        return [_frame(fields) for _, fields in entries]

    def drop(self) -> None:
        """Remove what was read: nobody else reads it. Raises `LimiterAway`."""
        guarded(lambda: _client().delete(self._key))


def silence(lease_id: int) -> float:
    """Seconds since the last heartbeat of the process with this lease; infinite where none is known.

    Raises `LimiterAway`.
    """

    def read() -> float:
        pipe = _client().pipeline(transaction=False)
        pipe.zscore(key("alive"), str(lease_id))
        pipe.time()
        last, (seconds, micros) = pipe.execute()
        return float("inf") if last is None else seconds + micros / 1e6 - float(last) / 1e6

    silent: float = guarded(read)
    return silent


def client_on_loop() -> redis.asyncio.Redis:
    """A client for the senders of a process, to be used on its loop."""
    return redis.asyncio.Redis.from_url(
        settings.current().limiter_url,
        socket_timeout=ANSWER,
        socket_connect_timeout=1,
        health_check_interval=30,
    )


def _frame(fields: Mapping[bytes, bytes]) -> Frame:
    return Frame(Kind(fields[b"kind"].decode()), fields[b"data"], int(fields[b"number"]))


@once
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.current().limiter_url,
        socket_timeout=ANSWER,
        socket_connect_timeout=1,
        health_check_interval=30,
    )
