"""A provider so cheap that a benchmark measures its caller: every POST gets one constant Messages reply.

One that asks for JSON gets another constant, with the `FIELDS` that it should have asked for.

`python -m bench.upstream SECONDS` answers each request after so many seconds, prints its port and serves
until it is ended. It reads what httpx and aiohttp send: a head with a Content-Length, and a body.
"""

import asyncio
import json
import sys
from typing import cast

import uvloop

FIELDS = ["mood: positive | negative", "score: 1..5", "about: text"]


def reply(text: str) -> bytes:
    answer = {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 24, "output_tokens": 12},
    }
    body = json.dumps(answer).encode()
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nrequest-id: req_bench\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


REPLY = reply("positive: great phone; negative: the battery")
JSON_REPLY = reply('{"mood": "positive", "score": 4, "about": "the battery"}')
WANTS_JSON = b'"output_config"'
LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One caller; its requests are answered in their order."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._end_of_request()) is not None:
            answer = JSON_REPLY if WANTS_JSON in self._read[:end] else REPLY
            self._read = self._read[end:]
            if self._seconds:
                asyncio.get_running_loop().call_later(self._seconds, self._answer, answer)
            else:
                self._answer(answer)

    def _end_of_request(self) -> int | None:
        """Where the first request in what was read ends, if all of it is there."""
        head = self._read.find(b"\r\n\r\n")
        if head < 0:
            return None
        lowered = self._read[:head].lower()
        found = lowered.find(LENGTH)
        length = 0 if found < 0 else int(lowered[found + len(LENGTH) :].split(b"\r", 1)[0])
        end = head + 4 + length
        return end if len(self._read) >= end else None

    def _answer(self, answer: bytes) -> None:
        if self._transport is not None:
            self._transport.write(answer)


async def serve(seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(seconds), "127.0.0.1", 0, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1])))
