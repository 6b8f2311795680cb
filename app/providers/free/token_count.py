"""How many tokens a request has, by its provider's own count: a call that costs nothing."""

import json
from collections.abc import Mapping
from typing import Any

from app.errors import BadAnswer, ConnectionCut, RequestRejected, Unreachable
from app.providers import refusals, registry
from app.providers.registry import PUBLIC_URL
from app.providers.simulated import input_tokens
from config.settings import Settings

PATH = "/v1/messages/count_tokens"
SECONDS = 30.0  # that the provider has for it
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
    return _ask(json.dumps(params).encode(), headers, settings)


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
        response = httpx2.post(url, content=body, headers=sent, timeout=SECONDS)
    except httpx2.ConnectError as error:
        raise Unreachable(f"no connection to the provider: {error}") from error
    except httpx2.RequestError as error:
        raise ConnectionCut(f"the provider did not answer: {error!r}") from error
    answer = _value(response.content)
    if not response.is_success:
        raise refusals.read(response.status_code, answer, response.headers)
    if not isinstance(answer, dict) or type(answer.get("input_tokens")) is not int:
        raise BadAnswer("the provider's count of tokens is not in the form of its API")
    return answer


def _value(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content[:2_000].decode(errors="replace")
