"""How many tokens a request has, by its provider's own count: a call that costs nothing."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import BadAnswer, ConnectionCut, ProviderError, RequestRejected, TimedOut, Unreachable
from app.providers import refusals, registry
from app.providers.registry import PUBLIC_URL
from app.providers.simulated import input_tokens
from config.settings import Settings

PATH = "/v1/messages/count_tokens"
SECONDS = 30.0  # that the provider has for it
LONGEST = 1_000_000  # bytes of an answer: the web's threads hold it in memory
VERSION = "2023-06-01"  # of the API, where the caller names none


def count(params: Mapping[str, Any], headers: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """The provider's answer for a Messages request; `headers` are those of the caller that go with it.

    Raises `ProviderError`, as for a model whose provider does not count.
    """
    name = registry.of(params["model"]).name
    if name == registry.SIMULATED.name:
        return {"input_tokens": input_tokens(params)}
    if name != registry.ANTHROPIC.name:
        raise RequestRejected(f"tokens of {params['model']!r} cannot be counted: its provider does not do it")
    try:
        return _ask(json.dumps(params).encode(), headers, settings)
    except ProviderError as error:
        refusals.hide(error, settings.anthropic_api_key or "")  # a server may repeat it
        raise


def _ask(body: bytes, headers: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    import httpx2  # which takes a tenth of a second, and few processes need

    url = (settings.anthropic_base_url or PUBLIC_URL).rstrip("/") + PATH
    sent = {
        "anthropic-version": VERSION,
        **headers,
        "Authorization": f"Bearer {settings.anthropic_api_key}",
        "Content-Type": "application/json",
    }
    try:
        with httpx2.stream("POST", url, content=body, headers=sent, timeout=SECONDS) as response:
            answer = _value(_whole(response.iter_bytes()))
    except httpx2.ConnectError as error:
        raise Unreachable(f"no connection to the provider: {error}") from error
    except httpx2.RequestError as error:
        raise ConnectionCut(f"the provider did not answer: {error!r}") from error
    if not response.is_success:
        raise refusals.read(response.status_code, answer, response.headers)
    if not isinstance(answer, dict) or type(answer.get("input_tokens")) is not int:
        raise BadAnswer("the provider's count of tokens is not in the form of its API")
    return answer


def _whole(pieces: Iterator[bytes]) -> bytes:
    """The answer; raises for one that does not end: each piece for itself may come in time."""
    content, ends_at = bytearray(), time.monotonic() + SECONDS
    for piece in pieces:
        content += piece
        if len(content) > LONGEST:
            raise BadAnswer(f"the provider's count of tokens has over {LONGEST:,} bytes")
        if time.monotonic() > ends_at:
            raise TimedOut(f"no whole count of tokens within {SECONDS:g} s")
    return bytes(content)


def _value(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content[:2_000].decode(errors="replace")
