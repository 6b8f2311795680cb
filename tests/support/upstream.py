"""A Messages provider over real HTTP, with limits, faults and books of its own.

By itself it runs as `python -m tests.support.upstream --port 8080` and prints its address. In a test:

    with Upstream() as upstream:
        upstream.configure(requests_per_minute=60, faults=[{"kind": "status", "status": 529, "first": 3}])
        ...
        assert [seen["outcome"] for seen in upstream.books()] == ["529", "529", "529", "answered"]

Everything that it does by chance follows from the request's bytes, so that a run can be repeated. What it
bills is what a provider would: every request that it began to work on, whether or not the answer arrived.
"""

import argparse
import asyncio
import hashlib
import json
import math
import random
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from app.providers import sample
from tests.support.upstream_books import Books, Seen
from tests.support.upstream_cache import HOUR, MINUTES, Found, PromptCache, TooManyBreakpoints
from tests.support.upstream_faults import FAULTS, Fault
from tests.support.upstream_limits import INPUT, OUTPUT, REQUESTS, Allowed, ProviderLimits
from tests.support.upstream_messages import (
    CHARACTERS_PER_TOKEN,
    count_tokens,
    events_of,
    last_user_text,
    read_json,
)

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass
class Behaviour:
    """What `configure` sets."""

    latency_ms: float = 0.0  # the median
    latency_sigma: float = 0.0  # of the lognormal; 0: every call takes the median
    requests_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    window_seconds: float = 60.0  # the length of that minute
    token_bucket: bool = False  # requests too are refilled continuously; else at most so many in any window
    burst_seconds: float | None = None  # of the rate may come at once; None: a whole window's
    keys: list[str] | None = None  # that are accepted; None: any
    output_tokens: int | None = None  # the mean length of answers; None: they say what they were asked
    output_sigma: float = 0.0  # of the lognormal; 0: every answer has the mean length
    cache_share: float = 0.0  # of the input is billed as read from the cache
    cache_write_share: float = 0.0  # of the input is billed as written to it
    least_cacheable: int | None = None  # tokens that it keeps at least where it is asked to; None: never any
    keeps_seconds: float = 300.0  # for how long, from the last time that it was read
    keeps_hour_seconds: float = 3600.0  # the same of what is to be kept for an hour
    interval_ms: float = 20.0  # between the pieces of a trickled answer
    keep_requests: bool = False  # whole requests and headers in the books
    faults: list[Fault] = field(default_factory=list)

    def changed(self, wishes: dict[str, Any]) -> "Behaviour":
        faults = wishes.pop("faults", None)
        new = replace(self, **wishes)
        if faults is not None:
            new.faults = [Fault(**fault) for fault in faults]
        for fault in new.faults:
            if fault.kind not in FAULTS:
                raise ValueError(f"fault {fault.kind!r} is not one of {', '.join(FAULTS)}")
        return new

    @property
    def allowed(self) -> Allowed:
        figures = {
            REQUESTS: self.requests_per_minute,
            INPUT: self.input_tokens_per_minute,
            OUTPUT: self.output_tokens_per_minute,
        }
        burst = self.window_seconds if self.burst_seconds is None else self.burst_seconds
        return Allowed(figures, self.window_seconds, burst, self.token_bucket)

    def length(self, sha256: str) -> int | None:
        """Tokens of this request's answer; None: as many as its text has."""
        if self.output_tokens is None:
            return None
        # Shifted, so that the mean of all lengths is the one that was asked for.
        drawn = random.Random(f"length {sha256}").gauss(-(self.output_sigma**2) / 2, self.output_sigma)
        return max(1, round(self.output_tokens * math.exp(drawn)))

    def latency(self, sha256: str) -> float:
        """Seconds that this request takes."""
        if not self.latency_sigma:
            return self.latency_ms / 1000
        return self.latency_ms / 1000 * math.exp(random.Random(sha256).gauss(0, self.latency_sigma))


class Provider:
    """The server: its behaviour, its books."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.limits = ProviderLimits()
        self.books = Books()
        self.cache = PromptCache()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self.messages)
        app.router.add_post("/v1/messages/count_tokens", self.count_tokens)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/_control/configure", self.configure)
        app.router.add_post("/_control/reset", self.reset)
        app.router.add_get("/_control/books", self.show_books)
        app.router.add_get("/_control/summary", self.show_summary)
        return app

    async def messages(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(Call(self, request, await request.read()))

    @staticmethod
    async def serve(call: "Call") -> web.StreamResponse:
        try:
            return await call.answer()
        except (asyncio.CancelledError, ConnectionError):
            call.seen.disconnected = True
            call.seen.outcome = "disconnected"
            raise
        finally:
            call.books.close(call.seen)

    async def models(self, request: web.Request) -> web.Response:
        """The list that a key may see: no call, so it is in no book."""
        if self.behaviour.keys is not None and key_of(request) not in self.behaviour.keys:
            error = {"type": ERROR_TYPES[401], "message": "invalid x-api-key"}
            return web.json_response({"type": "error", "error": error}, status=401)
        known = [
            {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}
            for name in ("claude-haiku-4-5", "claude-opus-4-6")
        ]
        return web.json_response({"data": known, "has_more": False, "first_id": None, "last_id": None})

    async def count_tokens(self, request: web.Request) -> web.Response:
        """A count that costs nothing: no call, so it is in no book."""
        params = await request.json()
        if "thinking" in params:  # as an example of what only a provider refuses
            error = {"type": ERROR_TYPES[400], "message": "thinking: not for this model"}
            return web.json_response({"type": "error", "error": error}, status=400)
        told = {name: text for name, text in request.headers.items() if name.lower().startswith("anthropic-")}
        counted = count_tokens(json.dumps(params["messages"]))
        return web.json_response({"input_tokens": counted, "told": told})

    async def configure(self, request: web.Request) -> web.Response:
        try:
            self.behaviour = self.behaviour.changed(await request.json())
        except (TypeError, ValueError) as fault:
            return web.Response(status=400, text=str(fault))
        self.limits.change(self.behaviour.allowed)
        return await self.show_summary(request)

    async def reset(self, request: web.Request) -> web.Response:
        self.behaviour = Behaviour()
        self.limits = ProviderLimits()
        self.books = Books()
        self.cache = PromptCache()
        return web.Response()

    async def show_books(self, request: web.Request) -> web.Response:
        return web.json_response([vars(seen) for seen in self.books.entries])

    async def show_summary(self, request: web.Request) -> web.Response:
        return web.json_response(self.books.summary())


def key_of(request: web.Request) -> str:
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
    return request.headers.get("x-api-key") or bearer


class Call:
    """One request to /v1/messages, from its bytes to its line in the books."""

    def __init__(self, provider: Provider, request: web.Request, raw: bytes) -> None:
        # A reset in mid-call is none of this call's business.
        self.limits, self.books, self.cache = provider.limits, provider.books, provider.cache
        self.behaviour = provider.behaviour
        self.request = request
        self.key = key_of(request)
        self.params = read_json(raw)
        self.text = last_user_text(self.params)
        self.seen = self.enter(raw)
        self.found, self.fault = Found(), ""
        self.usage = self.billed_input()
        self.headers = {"request-id": self.seen.request_id, "anthropic-organization-id": "org_up"}

    def enter(self, raw: bytes) -> Seen:
        number = len(self.books.entries) + 1
        seen = Seen(
            number=number,
            at=time.monotonic(),
            wall=time.time(),
            sha256=hashlib.sha256(raw).hexdigest(),
            text=self.text[:500],
            key=self.key[:12],
            request_id=f"req_up_{number:06}",
            streamed=self.params.get("stream") is True,
        )
        if self.behaviour.keep_requests:
            seen.request = self.params
            seen.headers = {name.lower(): value for name, value in self.request.headers.items()}
        self.books.open(seen)
        return seen

    def billed_input(self) -> dict[str, Any]:
        """What is known of its usage when it arrives."""
        if self.behaviour.least_cacheable is not None:
            return self.billed_with_cache(self.behaviour.least_cacheable)
        tokens = count_tokens(json.dumps(self.params.get("messages")))
        read = round(tokens * self.behaviour.cache_share)
        written = round(tokens * self.behaviour.cache_write_share)
        return {
            "input_tokens": tokens - read - written,
            "cache_creation_input_tokens": written,
            "cache_read_input_tokens": read,
        }

    def billed_with_cache(self, least: int) -> dict[str, Any]:
        tokens = count_tokens(json.dumps([self.params.get(name) for name in ("tools", "system", "messages")]))
        try:
            self.found = self.cache.look(self.owner, self.params, least)
        except TooManyBreakpoints as fault:
            self.fault = str(fault)
        written = self.found.written
        return {
            "input_tokens": max(0, tokens - self.found.read - sum(written.values())),
            "cache_creation_input_tokens": sum(written.values()),
            "cache_creation": {
                "ephemeral_5m_input_tokens": written[MINUTES],
                "ephemeral_1h_input_tokens": written[HOUR],
            },
            "cache_read_input_tokens": self.found.read,
        }

    @property
    def owner(self) -> str:
        """Whose requests read each other's beginnings."""
        return f"{self.key} {self.params.get('model')}"

    @property
    def keeps(self) -> dict[str, float]:
        return {MINUTES: self.behaviour.keeps_seconds, HOUR: self.behaviour.keeps_hour_seconds}

    async def answer(self) -> web.StreamResponse:
        refusal = self.refuse()
        if refusal is not None:
            return refusal
        for fault in self.behaviour.faults:
            if fault.strikes(self.text, self.seen.sha256):
                return await FAULTS[fault.kind](self, fault)
        return await self.work(self.words())

    def words(self) -> str:
        """An answer of the length that `output_tokens` says, no longer than the request allows.

        A request for a structured answer gets the smallest that fits its schema.
        """
        form = (self.params.get("output_config") or {}).get("format")
        if form is not None:
            return json.dumps(sample.fit(form["schema"], random.Random(self.seen.sha256)))
        words = f"Answer {self.seen.sha256[:8]} to: {self.text[:80]}"
        length = self.behaviour.length(self.seen.sha256)
        if length is None:
            return words
        characters = CHARACTERS_PER_TOKEN * min(length, self.most_tokens)
        return (words + " and so on" * (characters // 10 + 1))[:characters]

    def is_cut_off(self, text: str) -> bool:
        return self.behaviour.output_tokens is not None and count_tokens(text) >= self.most_tokens

    @property
    def most_tokens(self) -> int:
        asked = self.params["max_tokens"]
        return asked if isinstance(asked, int) and asked > 0 else 1

    def refuse(self) -> web.Response | None:
        """What a provider refuses before it works on a request."""
        if not self.key:
            return self.error(401, message="x-api-key: a key is needed")
        if self.behaviour.keys is not None and self.key not in self.behaviour.keys:
            return self.error(401, message="invalid x-api-key")
        for name in ("model", "max_tokens", "messages"):
            if name not in self.params:
                return self.error(400, message=f"{name}: Field required")
        if self.fault:
            return self.error(400, message=self.fault)
        # What is read from the cache does not count.
        counted = self.usage["input_tokens"] + self.usage["cache_creation_input_tokens"]
        now = time.monotonic()
        refused = self.limits.admit(counted, now)
        self.headers |= self.limits.headers()
        if refused is None:
            self.cache.renew(self.owner, self.found, self.keeps)
            self.books.admit(self.seen, counted, self.behaviour.window_seconds, now)
            return None
        self.headers["retry-after"] = str(max(1, math.ceil(refused.wait)))
        return self.error(429, message=refused.message)

    def error(
        self, status: int, message: str, type: str | None = None, code: str | None = None
    ) -> web.Response:
        self.seen.outcome = str(status)
        error: dict[str, Any] = {"type": type or ERROR_TYPES.get(status, "api_error"), "message": message}
        if code:
            error["details"] = {"error_code": code}
        body = {"type": "error", "error": error, "request_id": self.headers["request-id"]}
        return web.json_response(body, status=status, headers=self.headers)

    async def work(self, text: str) -> web.StreamResponse:
        """Answer with `text`, as a message or as a stream of events."""
        message = await self.think(text)
        if self.seen.streamed:
            response = await self.stream(message)
        else:
            response = web.json_response(message, headers=self.headers)
        self.seen.outcome = "answered"
        return response

    async def think(self, text: str) -> dict[str, Any]:
        """Take the time that it takes, bill it, and say what there is to say."""
        message = self.message(text)
        usage = message["usage"]
        self.seen.input_tokens = usage["input_tokens"]
        self.seen.cache_read_tokens = usage["cache_read_input_tokens"]
        self.seen.cache_write_tokens = usage["cache_creation_input_tokens"]
        self.seen.cache_write_1h_tokens = self.found.written[HOUR]
        self.seen.output_tokens = usage["output_tokens"]
        try:
            await asyncio.sleep(self.behaviour.latency(self.seen.sha256))
        finally:  # what a client did not wait for was made all the same
            now = time.monotonic()
            self.limits.generated(usage["output_tokens"], now)
            self.books.generated(usage["output_tokens"], self.behaviour.window_seconds, now)
        self.cache.keep(self.owner, self.found, self.keeps)
        self.headers |= self.limits.headers()
        return message

    def message(self, text: str) -> dict[str, Any]:
        return {
            "id": f"msg_up_{self.seen.number:06}",
            "type": "message",
            "role": "assistant",
            "model": self.params["model"],
            "content": [self.tool_use() or {"type": "text", "text": text}],
            "stop_reason": self.stop_reason(text),
            "stop_sequence": None,
            "stop_details": None,
            "usage": {
                **self.usage,
                "output_tokens": count_tokens(text),
                "service_tier": "standard",
            },
        }

    def tool_use(self) -> dict[str, Any] | None:
        """The use of a tool that the request insists on, with the smallest input that fits it."""
        choice = self.params.get("tool_choice") or {}
        if choice.get("type") != "tool":
            return None
        (tool,) = [one for one in self.params["tools"] if one["name"] == choice["name"]]
        found = sample.fit(tool["input_schema"], random.Random(self.seen.sha256))
        return {
            "type": "tool_use",
            "id": f"toolu_{self.seen.number:06}",
            "name": tool["name"],
            "input": found,
        }

    def stop_reason(self, text: str) -> str:
        if self.tool_use() is not None:
            return "tool_use"
        return "max_tokens" if self.is_cut_off(text) else "end_turn"

    async def stream(self, message: dict[str, Any], *, stop_after: int | None = None) -> web.StreamResponse:
        """Send `message` as events: all of them, or the first `stop_after`."""
        response = web.StreamResponse(headers=self.headers | {"content-type": "text/event-stream"})
        await response.prepare(self.request)
        for event in events_of(message)[:stop_after]:
            await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        if stop_after is None:
            await response.write_eof()
        return response

    def hang_up(self, *, reset: bool = False) -> web.Response:
        """Close the connection; the response that is returned goes nowhere."""
        transport = self.request.transport
        if transport is not None:
            if reset:
                linger = struct.pack("ii", 1, 0)  # on, 0 seconds: the peer sees a reset, no orderly end
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        return web.Response()


class Upstream:
    """A provider in a process of its own, on a free port unless one is named. It ends with its parent."""

    MODULE = "tests.support.upstream"

    def __init__(self, port: int = 0) -> None:
        arguments = [
            sys.executable,
            "-m",
            self.MODULE,
            "--port",
            str(port),
            "--until-stdin-closes",
        ]
        self._process = subprocess.Popen(
            arguments,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the upstream did not start on port {port} (exit {self._process.wait()})")
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def configure(self, **wishes: Any) -> dict[str, Any]:
        """Change what is named (see `Behaviour`), keep the rest; `faults` replaces the whole list.

        Returns the `summary` of that moment: calls that arrive later find the change.
        """
        summary: dict[str, Any] = self._control("configure", wishes)
        return summary

    def reset(self) -> None:
        """Behave well again, with empty books."""
        self._control("reset", {})

    def books(self) -> list[dict[str, Any]]:
        """Every request that arrived since the last reset, in order, with the fields of `Seen`."""
        books: list[dict[str, Any]] = self._control("books")
        return books

    def summary(self) -> dict[str, Any]:
        """Totals, cheap at any size: counts, tokens billed, calls in flight now and at most; what the limits
        admitted in all and at the `densest` (in any window; output in any five), and `refused` with a 429.
        """
        summary: dict[str, Any] = self._control("summary")
        return summary

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate()

    def _control(self, what: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        try:
            with self._opener.open(f"{self.url}/_control/{what}", data, timeout=30) as response:
                answer = response.read()
        except urllib.error.HTTPError as refused:
            with refused:
                raise ValueError(refused.read().decode()) from None
        return json.loads(answer) if answer else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def serve(provider: Provider, port: int, until_stdin_closes: bool) -> None:
    # Without handler_cancellation a handler would never learn that its client went away.
    runner = web.AppRunner(provider.app(), handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port, backlog=2048, reuse_address=True)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    if until_stdin_closes:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    else:
        await asyncio.get_running_loop().create_future()


def main(provider: Provider) -> None:
    parser = argparse.ArgumentParser(description="A provider for tests.")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--until-stdin-closes", action="store_true")
    arguments = parser.parse_args()
    try:
        asyncio.run(serve(provider, arguments.port, arguments.until_stdin_closes))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main(Provider())
