"""A streamed call whose events are handed on as they come, and put together for the books."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiohttp

from app.errors import BadAnswer, Booking, ConnectionCut, ProviderError
from app.providers import first_byte, refusals
from app.providers.answers import parsed
from app.providers.client import Reply
from app.providers.streams import sse
from app.providers.streams.form import Assembly, Form, visible
from app.providers.transport import PAGE_BEGINS, as_bytes, failure, pieces, refusal, whole_body

HandOn = Callable[[bytes], None]


async def hand_on(
    request: AbstractAsyncContextManager[aiohttp.ClientResponse], form: Form, hand_on: HandOn
) -> Reply:
    """Make the call and hand on its events, each whole and as it came; returns the answer that they make.

    An event that says that the call failed is raised instead; if parts of the answer came before it, they may
    be billed. Raises `ProviderError`.
    """
    try:
        async with request as response:
            first_byte.note()
            if response.status == 200 and response.content_type == "text/event-stream":
                return await _events(response, form, hand_on)
            return _not_streamed(response.status, await whole_body(response), response.headers, form, hand_on)
    except (aiohttp.ClientError, OSError) as error:
        raise failure(error, "the provider") from error


async def _events(response: aiohttp.ClientResponse, form: Form, hand_on: HandOn) -> Reply:
    cutter, assembly, headers = sse.Cutter(), form.assembly(), response.headers
    request_id = refusals.request_id_of(headers)
    async for piece in pieces(response):
        for event in cutter.feed(piece):
            value = event.json()
            if _says_that_it_failed(value):
                raise _broken_off(form.refused(200, value, headers), assembly)
            try:
                if form.shows(value):
                    hand_on(event.raw)
                assembly.add(value)
            except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as fault:
                message = f"the stream's events do not form an answer: {fault!r:.200}"
                raise BadAnswer(message, request_id=request_id) from fault
    if not assembly.is_whole:
        raise ConnectionCut("the stream ended before the end of the answer", request_id=request_id)
    return form.read(as_bytes(assembly.whole), headers)


def _broken_off(error: ProviderError, assembly: Assembly) -> ProviderError:
    """A failure in a stream: what came of the answer before it may be billed, nobody says for how much."""
    if assembly.whole:
        error.booking = Booking.UNCONFIRMED
    return error


def _says_that_it_failed(event: Any) -> bool:
    """An object of a stream that is an error, in the form of either API."""
    if not isinstance(event, dict):
        return False
    return event.get("type") == "error" or ("type" not in event and bool(event.get("error")))


def _not_streamed(
    status: int, answer: bytes, headers: Mapping[str, str], form: Form, hand_on: HandOn
) -> Reply:
    """A refusal, or the whole answer of a gateway that does not stream: that is cut into events here."""
    if not 200 <= status < 300:
        raise form.refused(status, refusal(answer), headers)
    if refusals.is_web_page(answer[:PAGE_BEGINS], headers):
        raise refusals.web_page(answer)
    reply = form.read(answer, headers)
    for event in visible(form, parsed(reply.body)):
        hand_on(event)
    return reply
