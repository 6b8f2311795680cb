"""The providers' keys: set, and on request tried with a call that costs nothing."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from app.core.limits.obstacle import one_line
from app.doctor.finding import Finding, ok, warning, wrong
from app.errors import AccountRefused, Misdirected, ProviderError, RequestRejected
from app.providers import registry
from app.providers.refusals import lacks_money
from config import settings
from config.endpoints import FILE, USUAL, Endpoint

SUBJECTS = ("provider",)
REMEDY = "check {}, HTTPS_PROXY, and this machine's connection to the provider"
DEADLINE = 10.0  # seconds


class Examined(Protocol):
    """A client that can be tried at no cost."""

    async def refuse_nothing(self, *, deadline: float) -> None: ...

    async def count_models(self, *, deadline: float) -> int: ...

    async def close(self) -> None: ...


def look(call: bool) -> Iterator[Finding]:
    yield _claude(call)
    for endpoint in settings.current().endpoints:
        yield from _endpoint(endpoint, call)


def _claude(call: bool) -> Finding:
    chosen = settings.current()
    key, base_url = chosen.anthropic_api_key, chosen.anthropic_base_url
    if not key and "ANTHROPIC_API_KEY" in chosen.worker_keys:
        return _kept_by_workers("ANTHROPIC_API_KEY")
    if not key:
        others = [row.name for row in registry.ready(chosen) if row.client == "openai"]
        if others:
            return ok("provider", f"ANTHROPIC_API_KEY is not set: {', '.join(others)} and `simulated` answer")
        text = "ANTHROPIC_API_KEY is not set: only `simulated` answers, with invented text"
        return warning(
            "provider", text, "set it for the web process and the workers, unless that is intended"
        )
    if not call and not base_url:  # an address that somebody has set may be wrong
        return ok("provider", "ANTHROPIC_API_KEY is set; --call tries it, at no cost")
    from app.providers.anthropic import AnthropicClient

    where = base_url or "the provider"
    return _tried(lambda: AnthropicClient(key, base_url), where, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")


def _endpoint(endpoint: Endpoint, call: bool) -> Iterator[Finding]:
    """What is wrong with an endpoint, or that it answers; nothing of the usual one where it is not set."""
    lacks = registry.table()[endpoint.name].lacks(settings.current())
    if lacks is None and endpoint.key and not endpoint.key_value:
        yield _kept_by_workers(endpoint.key)
    elif lacks is not None:
        is_meant = endpoint.name != USUAL or endpoint.key_value
        if is_meant:
            text = f"{endpoint.name} at {endpoint.base_url} cannot be asked: {lacks.state}"
            yield warning("provider", text, f"{lacks.remedy} for the web process and the workers")
    elif call or endpoint.name != USUAL:
        from app.providers.openai import OpenAIClient

        key = endpoint.key or f"a variable, and its name into {FILE}"
        yield _tried(lambda: OpenAIClient(endpoint), endpoint.base_url, key, endpoint.address_variable)
    else:
        yield ok("provider", f"{endpoint.key} is set; --call tries it, at no cost")


def _kept_by_workers(key: str) -> Finding:
    return ok("provider", f"{key} is with the slice workers alone (WORKER_KEYS): run this there to try it")


def _tried(make: Callable[[], Examined], where: str, key: str, address: str) -> Finding:
    async def ask() -> int:
        client = make()
        try:
            await client.refuse_nothing(deadline=DEADLINE)
            return await client.count_models(deadline=DEADLINE)
        finally:
            await client.close()

    try:
        count = asyncio.run(ask())
    except AccountRefused as refusal:
        return _refused(refusal, where, key)
    except RequestRejected as refusal:
        text = f"{where} answers, but has no list of models to try the key with: {one_line(refusal.message)}"
        return warning("provider", text, "run one record: `penstock run FILE --rows 1`")
    except Misdirected as fault:
        text = f"{where} is not the address of the provider's API: {one_line(fault.message)}"
        return wrong("provider", text, f"correct {address}, or leave it unset for the provider's own")
    except ProviderError as failure:
        return wrong("provider", f"{where}: {one_line(failure.message)}", REMEDY.format(address))
    return ok("provider", f"{where} accepts the key, and lists {count} models")


def _refused(refusal: AccountRefused, where: str, key: str) -> Finding:
    said = one_line(refusal.message)
    if lacks_money(refusal):
        remedy = f"add credit to it or raise its spend limit, or put another key into {key}"
        return wrong("provider", f"{where} refuses the account of the key: {said}", remedy)
    return wrong("provider", f"{where} rejects the key: {said}", f"put a working key into {key}")
