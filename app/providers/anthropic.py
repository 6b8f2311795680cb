"""Claude, called as the official SDK calls it.

The SDK provides the headers and the streams. Calls for whole answers, which are nearly all, send its headers
over connections of our own: the SDK's own call costs three times as much (docs/performance.md). Retries,
limits and deadlines are ours, and requests and answers pass unchanged, so that new features of the API work
without a new release.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx2
from anthropic import (
    NOT_GIVEN,
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AsyncAnthropic,
    AsyncStream,
    DefaultAioHttpClient,
    Omit,
    RequestOptions,
)
from anthropic._constants import MODEL_NONSTREAMING_TOKENS
from anthropic._streaming import ServerSentEvent
from anthropic.lib.streaming import AsyncMessageStream
from anthropic.types import Message, MessageDeltaUsage, RawMessageStreamEvent, Usage

from app.errors import (
    BadAnswer,
    ConnectionCut,
    ProviderError,
    RequestRejected,
    TimedOut,
    Unreachable,
)
from app.providers import answers, first_byte, refusals
from app.providers.client import NO_HEADERS, Reply
from app.providers.registry import PUBLIC_URL
from app.providers.streams import messages, relay
from app.providers.transport import (
    CONNECT_SECONDS,
    CONNECTIONS,
    NOTHING_SENT,
    Connections,
    Headers,
    as_bytes,
    bounded,
    content,
    count_listed,
    joined,
    whole_answer_within,
)

MESSAGES, MODELS = "/v1/messages", "/v1/models"
LONGEST_WHOLE_ANSWER = 600  # seconds; longer answers are streamed, as idle connections may be cut
SECONDS_PER_TOKEN = 3_600 / 128_000  # the SDK's own measure of how long an answer may take

# At DEBUG the SDK logs whole requests, at INFO its transport logs each call; a log must never hold a prompt.
for _name in ("anthropic", "httpx2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class AnthropicClient:
    """`app.providers.client.Client` for the Messages API. Close it on the loop on which it was used."""

    def __init__(self, api_key: str, base_url: str | None = None) -> None:
        base_url = (base_url or PUBLIC_URL).rstrip("/")
        self._sdk = AsyncAnthropic(
            api_key=api_key,
            base_url=base_url,
            max_retries=0,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),  # `ask` limits the whole call
            http_client=DefaultAioHttpClient(
                limits=httpx2.Limits(max_connections=CONNECTIONS),
                follow_redirects=False,  # one `ask` makes one call
            ),
        )
        # The SDK lets ANTHROPIC_CUSTOM_HEADERS replace the key that it was given; these headers win.
        self._credentials: dict[str, str | Omit] = {"Authorization": f"Bearer {api_key}", "X-Api-Key": Omit()}
        self._messages, self._models = base_url + MESSAGES, base_url + MODELS
        self._address, self._key = refusals.visible(self._messages), api_key
        headers = joined(self._sdk.default_headers, self._credentials)
        self._calls = Connections(self._messages, headers, httpx2.create_ssl_context())

    async def ask(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        async with whole_answer_within(deadline, self._address, self._key):
            if _may_outlast_a_connection(params):
                with _our_errors():
                    return await self._ask_for_a_stream(params, headers)
            return await self._ask_for_the_whole(params, headers)

    async def stream(
        self,
        params: dict[str, Any],
        *,
        deadline: float,
        attempt: int,
        hand_on: Callable[[bytes], None],
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> Reply:
        body = as_bytes(params | {"stream": True})
        request = self._calls.post(self._messages, body, headers)
        async with whole_answer_within(deadline, self._address, self._key):
            return await relay.hand_on(request, messages.FORM, hand_on)

    async def count_models(self, *, deadline: float) -> int:
        """How many models the key may use: a call that costs nothing. Raises the same errors as `ask`."""
        answer, _ = await self._calls.try_("GET", self._models, b"", deadline)
        return count_listed(answer)

    async def refuse_nothing(self, *, deadline: float) -> None:
        """Ask nothing at all where records are asked: a call that costs nothing.

        Returns if it is refused for its content, as the provider does; raises the same errors as `ask`.
        """
        try:
            await self._calls.try_("POST", self._messages, b"{}", deadline)
        except RequestRejected:
            return
        raise BadAnswer("a request without content was answered, which no provider does")

    async def close(self) -> None:
        await self._calls.close()
        await self._sdk.close()

    async def _ask_for_the_whole(self, params: dict[str, Any], said: Headers) -> Reply:
        answer, headers = await self._calls.call("POST", self._messages, as_bytes(params), said)
        return answers.read(answer, headers.get("request-id"), headers)

    async def _ask_for_a_stream(self, params: dict[str, Any], said: Headers) -> Reply:
        body = as_bytes(params | {"stream": True})
        events = await self._sdk.post(
            MESSAGES,
            cast_to=Message,
            content=content(body),
            options=self._options(body, said),
            stream=True,
            stream_cls=_Events,
        )
        first_byte.note()
        headers = events.response.headers
        if refusals.is_web_page(b"", headers):
            await events.close()
            raise refusals.web_page(b"")
        request_id = headers.get("request-id")
        if "json" in headers.get("content-type", ""):  # a gateway that does not stream, or its error
            async with events:
                pieces = bounded(events.response.aiter_bytes(), headers)
                return answers.read(b"".join([piece async for piece in pieces]), request_id, headers)
        async with AsyncMessageStream(events, output_format=NOT_GIVEN) as stream:
            message = await _assemble(stream, request_id)
        return answers.read(as_bytes(message), request_id, headers)

    def _options(self, body: bytes, said: Headers) -> RequestOptions:
        return {"headers": {**said, **self._credentials, "Content-Length": str(len(body))}}


class _Events(AsyncStream[RawMessageStreamEvent]):
    """A stream that ends, with the parts that the SDK's assembly takes for granted and relays leave out.

    Counts that were left out are null, so that the answer's usage is unknown.
    """

    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        pieces = bounded(self.response.aiter_bytes(), self.response.headers)
        async for event in self._decoder.aiter_bytes(pieces):
            yield event

    async def __stream__(self) -> AsyncIterator[RawMessageStreamEvent]:
        async for event in super().__stream__():
            if event.type == "message_start":
                event.message.content = event.message.content or []
                event.message.usage = event.message.usage or Usage.construct(**_UNTOLD)
            elif event.type == "message_delta":
                event.usage = event.usage or MessageDeltaUsage.construct(**_UNTOLD)
            yield event


_UNTOLD: dict[str, Any] = {"input_tokens": None, "output_tokens": None}


async def _assemble(stream: AsyncMessageStream[Any], request_id: str | None) -> dict[str, Any]:
    """The message assembled from a stream's events."""
    last = None
    try:
        async for event in stream:
            last = event.type
    except (APIStatusError, httpx2.RequestError, ProviderError):
        raise
    except Exception as fault:  # if the SDK cannot assemble it, the answer is bad and not the call
        raise BadAnswer(
            f"the stream's events do not form a message: {fault!r}", request_id=request_id
        ) from fault
    if last is None:
        raise BadAnswer("the answer to a streamed call had no events", request_id=request_id)
    if last != "message_stop":
        raise ConnectionCut(
            f"the stream ended after {last}, before the end of the message", request_id=request_id
        )
    return stream.current_message_snapshot.to_dict(mode="json", warnings=False)


def _may_outlast_a_connection(params: dict[str, Any]) -> bool:
    """Whether the SDK would refuse to wait for the whole answer of this request."""
    max_tokens, model = params.get("max_tokens"), params.get("model")
    if not isinstance(max_tokens, int) or not isinstance(model, str):
        return False
    bound = MODEL_NONSTREAMING_TOKENS.get(model)
    return max_tokens * SECONDS_PER_TOKEN > LONGEST_WHOLE_ANSWER or (bound is not None and max_tokens > bound)


@contextmanager
def _our_errors() -> Iterator[None]:
    """Convert errors of the SDK and its transport into ours."""
    try:
        yield
    except APIStatusError as refusal:
        raise refusals.read(refusal.status_code, refusal.body, refusal.response.headers) from refusal
    except (APIConnectionError, httpx2.RequestError) as failure:
        raise _broken_call(failure) from failure


def _broken_call(failure: Exception) -> ProviderError:
    """The error for a call without any answer.

    The transport raises the same `ConnectError` for a refused connection and for one that was cut after the
    whole request; only aiohttp's exception behind it shows whether anything was sent.
    """
    causes = list(_causes(failure))
    root = causes[-1]
    if any(isinstance(cause, NOTHING_SENT) for cause in causes):
        return Unreachable(f"no connection to the provider: {root}")
    if isinstance(failure, APITimeoutError | httpx2.TimeoutException):
        return TimedOut(f"the provider stopped sending: {root}")
    if any(isinstance(cause, aiohttp.ClientResponseError | httpx2.DecodingError) for cause in causes):
        return BadAnswer(f"the provider's answer is not valid HTTP: {root}")
    return ConnectionCut(f"the connection broke: {root!r}")


def _causes(failure: BaseException) -> Iterator[BaseException]:
    """`failure` and its causes, down to the first."""
    cause: BaseException | None = failure
    while cause is not None:
        yield cause
        cause = cause.__cause__
