"""What a provider of the tests can be told to do wrong, and how it does that."""

import asyncio
import base64
import json
import random
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from tests.support import malformed_answers
from tests.support.upstream_messages import CHARACTERS_PER_TOKEN, last_user_text

if TYPE_CHECKING:
    from tests.support.upstream import Call


@dataclass
class Fault:
    """What goes wrong, and for whom: a share of the requests (by their bytes), the first few, a text."""

    kind: str  # a key of `FAULTS`
    share: float = 1.0
    first: int | None = None  # requests in all
    first_of_each: int | None = None  # requests with the same body
    matching: str = ""
    status: int = 500
    type: str | None = None
    code: str | None = None
    message: str = "told to fail"
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""  # what `answer` says
    body: str = ""  # what `body` sends, as it stands
    encoded: str = ""  # the same in base64, for what is no text
    content_type: str = "application/json"  # of `body`
    hits: int = 0
    hits_of: Counter[str] = field(default_factory=Counter)

    def strikes(self, text: str, sha256: str) -> bool:
        """Whether it goes wrong for this request; counts it if so."""
        if self.matching not in text or not self._chooses(sha256):
            return False
        if self.first is not None and self.hits >= self.first:
            return False
        if self.first_of_each is not None and self.hits_of[sha256] >= self.first_of_each:
            return False
        self.hits += 1
        self.hits_of[sha256] += 1
        return True

    def _chooses(self, sha256: str) -> bool:
        return random.Random(f"{self.kind}{self.status}{sha256}").random() < self.share


async def refuse(call: "Call", fault: Fault) -> web.StreamResponse:
    call.headers |= fault.headers
    return call.error(fault.status, fault.message, fault.type, fault.code)


async def cut(call: "Call", fault: Fault) -> web.StreamResponse:
    """Work, bill, and close the connection instead of answering."""
    await call.think("lost")
    call.seen.outcome = "cut"
    return call.hang_up()


async def cut_before(call: "Call", fault: Fault) -> web.StreamResponse:
    """Close the connection before any work: nothing is billed."""
    call.seen.outcome = "cut before"
    return call.hang_up()


async def reset(call: "Call", fault: Fault) -> web.StreamResponse:
    await call.think("lost")
    call.seen.outcome = "reset"
    return call.hang_up(reset=True)


async def cut_midway(call: "Call", fault: Fault) -> web.StreamResponse:
    message = await call.think("lost in the middle of a sentence that nobody will ever read to its end")
    call.seen.outcome = "cut midway"
    if call.seen.streamed:
        await call.stream(message, stop_after=4)
    else:
        body = json.dumps(message).encode()
        response = web.StreamResponse(headers=call.headers | {"content-length": str(len(body))})
        await response.prepare(call.request)
        await response.write(body[: len(body) // 2])
    return call.hang_up()


async def hang(call: "Call", fault: Fault) -> web.StreamResponse:
    await call.think("never said")
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody ends this wait but the client's leaving")


async def html(call: "Call", fault: Fault) -> web.StreamResponse:
    await call.think("lost")
    call.seen.outcome = "html"
    page = "<html><body><h1>Bad Gateway</h1></body></html>"
    return web.Response(text=page, content_type="text/html", headers=call.headers)


async def half_json(call: "Call", fault: Fault) -> web.StreamResponse:
    message = json.dumps(await call.think("lost")).encode()
    call.seen.outcome = "half json"
    half = message[: len(message) // 2]
    return web.Response(body=half, content_type="application/json", headers=call.headers)


async def trickle(call: "Call", fault: Fault) -> web.StreamResponse:
    """The answer in ten pieces, `interval_ms` apart."""
    body = json.dumps(await call.think("slowly")).encode()
    response = web.StreamResponse(headers=call.headers | {"content-type": "application/json"})
    await response.prepare(call.request)
    for start in range(0, len(body), len(body) // 10):
        await response.write(body[start : start + len(body) // 10])
        await asyncio.sleep(call.behaviour.interval_ms / 1000)
    await response.write_eof()
    call.seen.outcome = "answered"
    return response


async def drip(call: "Call", fault: Fault) -> web.StreamResponse:
    """The answer a byte a second: it never ends while anybody waits."""
    body = json.dumps(await call.think("drop by drop")).encode()
    response = web.StreamResponse(headers=call.headers | {"content-type": "application/json"})
    await response.prepare(call.request)
    for byte in body:
        await response.write(bytes([byte]))
        await asyncio.sleep(1)
    return response


async def say(call: "Call", fault: Fault) -> web.StreamResponse:
    return await call.work(fault.text)


async def structured(call: "Call", fault: Fault) -> web.StreamResponse:
    """What is true of the text, as JSON, which a share of all answers (`status` per cent) says badly."""
    return await call.work(malformed_answers.answer(call.params, call.seen.sha256, fault.status / 100))


async def at_length(call: "Call", fault: Fault) -> web.StreamResponse:
    """As many tokens as the question says, as in `tokens=40`."""
    found = re.search(r"tokens=(\d+)", last_user_text(call.params))
    tokens = 1 if found is None else int(found[1])
    return await call.work("long "[:CHARACTERS_PER_TOKEN] * tokens)


async def send(call: "Call", fault: Fault) -> web.StreamResponse:
    """Bytes as they were told, as if they were an answer."""
    await call.think("told")
    call.seen.outcome = "answered"
    call.headers |= fault.headers
    body = base64.b64decode(fault.encoded) or fault.body.encode()
    return web.Response(body=body, content_type=fault.content_type, headers=call.headers)


async def break_stream(call: "Call", fault: Fault) -> web.StreamResponse:
    """Begin to stream, then send an error as an event."""
    response = await call.stream(await call.think("lost"), stop_after=3)
    error = {"type": "error", "error": {"type": fault.type or "overloaded_error", "message": fault.message}}
    await response.write(f"event: error\ndata: {json.dumps(error)}\n\n".encode())
    await response.write_eof()
    call.seen.outcome = "broken stream"
    return response


FAULTS: dict[str, Callable[["Call", Fault], Awaitable[web.StreamResponse]]] = {
    "status": refuse,
    "cut": cut,
    "cut_before": cut_before,
    "reset": reset,
    "cut_midway": cut_midway,
    "hang": hang,
    "html": html,
    "half_json": half_json,
    "trickle": trickle,
    "drip": drip,
    "answer": say,
    "structured": structured,
    "at_length": at_length,
    "body": send,
    "stream_error": break_stream,
}
