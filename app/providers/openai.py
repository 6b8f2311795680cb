"""Endpoints that speak as OpenAI's API does, called as the official SDK calls it.

The SDK provides the headers; calls go over connections of our own, as its own call costs several times as
much (docs/performance.md). Retries, limits and deadlines are ours. A request that came in this API's form
passes unchanged, one in the form of Messages is translated; answers are kept as they come.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
from openai import AsyncOpenAI, Omit

from app.errors import BadAnswer, RequestRejected
from app.providers import openai_answers, openai_limits, openai_requests, refusals, shapes
from app.providers.client import NO_HEADERS, Reply
from app.providers.streams import forms, relay
from app.providers.streams.blocks import Blocks
from app.providers.transport import Connections, as_bytes, count_listed, joined, whole_answer_within
from config.endpoints import USUAL, Endpoint

# At DEBUG the SDK logs whole requests; a log must never hold a prompt.
logging.getLogger("openai").setLevel(logging.WARNING)


class OpenAIClient:
    """`app.providers.client.Client` for one endpoint. Created, used and closed on one loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._root, self._prefix = endpoint.base_url, endpoint.prefix
        self._address, self._key = refusals.visible(self._root), endpoint.key_value or ""
        self._sdk = AsyncOpenAI(api_key=endpoint.key_value or "none", base_url=self._root, max_retries=0)
        headers = _headers(self._sdk, endpoint)
        self._calls = Connections(self._root, headers, httpx2.create_ssl_context(), openai_limits.refused)

    async def ask(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        async with whole_answer_within(deadline, self._address, self._key):
            return await self._ask(params)

    async def stream(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        hand_on: Callable[[bytes], None],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        async with whole_answer_within(deadline, self._address, self._key):
            return await self._stream(params, hand_on)

    async def count_models(self, *, deadline: float) -> int:
        """How many models the key may use: a call that costs nothing. Raises the same errors as `ask`."""
        answer, _ = await self._calls.try_("GET", f"{self._root}/models", b"", deadline)
        return count_listed(answer)

    async def refuse_nothing(self, *, deadline: float) -> None:
        """Ask nothing at all where records are asked: a call that costs nothing.

        Returns if it is refused for its content, as the endpoint does; raises the same errors as `ask`.
        """
        try:
            await self._calls.try_("POST", f"{self._root}/chat/completions", b"{}", deadline)
        except RequestRejected:
            return
        raise BadAnswer("a request without content was answered, which no endpoint does")

    async def close(self) -> None:
        await self._calls.close()
        await self._sdk.close()

    async def _ask(self, params: dict[str, Any]) -> Reply:
        path, body = openai_requests.of(params)
        body["model"] = str(body["model"]).removeprefix(self._prefix)
        answer, headers = await self._calls.call("POST", self._root + path, as_bytes(body))
        return openai_answers.read(answer, headers)

    async def _stream(self, params: dict[str, Any], hand_on: Callable[[bytes], None]) -> Reply:
        """A request in the form of Messages has its answer in that form, too."""
        path, body = openai_requests.of(params)
        request = self._calls.post(self._root + path, self._streamed(path, body), NO_HEADERS)
        form = forms.of({"url": f"/v1{path}", "body": params.get("body", {})})
        if "url" in params:
            return await relay.hand_on(request, form, hand_on)
        blocks = Blocks()

        def tell(chunk: bytes) -> None:
            if events := blocks.feed(chunk):
                hand_on(events)

        reply = await relay.hand_on(request, form, tell)
        hand_on(blocks.end(shapes.message_of(reply.body)))
        return reply

    def _streamed(self, path: str, body: dict[str, Any]) -> bytes:
        """The body; the usage is always wanted, for the books."""
        body |= {"model": str(body["model"]).removeprefix(self._prefix), "stream": True}
        if f"/v1{path}" == openai_requests.CHAT:
            asked = body.get("stream_options")
            body["stream_options"] = {**(asked if isinstance(asked, dict) else {}), "include_usage": True}
        return as_bytes(body)


def _headers(sdk: AsyncOpenAI, endpoint: Endpoint) -> dict[str, str]:
    """Those of the SDK, with the endpoint's key alone: what else the environment has is for OpenAI itself."""
    bearer = f"Bearer {endpoint.key_value}" if endpoint.key_value else Omit()
    own = {} if endpoint.name == USUAL else {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
    return joined(sdk.default_headers, own, {"Authorization": bearer, "api-key": Omit()})
