"""The provider's key: set, and on request tried with a call that costs nothing."""

import asyncio
from collections.abc import Iterator

from app.core.limits.obstacle import one_line
from app.doctor.finding import Finding, ok, warning, wrong
from app.errors import AccountRefused, Misdirected, ProviderError, RequestRejected
from app.providers.refusals import lacks_money
from config import settings

SUBJECTS = ("provider",)
REMEDY = "check ANTHROPIC_BASE_URL, HTTPS_PROXY, and this machine's connection to the provider"
DEADLINE = 10.0  # seconds


def look(call: bool) -> Iterator[Finding]:
    chosen = settings.current()
    if not chosen.anthropic_api_key:
        text = "ANTHROPIC_API_KEY is not set: only `simulated` answers, with invented text"
        yield warning("provider", text, "set it for the web process and the workers, unless that is intended")
    elif call or chosen.anthropic_base_url:  # an address that somebody has set may be wrong
        yield _tried(chosen.anthropic_api_key, chosen.anthropic_base_url)
    else:
        yield ok("provider", "ANTHROPIC_API_KEY is set; --call tries it, at no cost")


def _tried(key: str, base_url: str | None) -> Finding:
    from app.providers.anthropic import AnthropicClient

    async def ask() -> int:
        client = AnthropicClient(key, base_url)
        try:
            await client.refuse_nothing(deadline=DEADLINE)
            return await client.count_models(deadline=DEADLINE)
        finally:
            await client.close()

    where = base_url or "the provider"
    try:
        count = asyncio.run(ask())
    except AccountRefused as refusal:
        return _refused(refusal, where)
    except RequestRejected as refusal:
        text = f"{where} answers, but has no list of models to try the key with: {one_line(refusal.message)}"
        return warning("provider", text, "run one record: `penstock run FILE --rows 1`")
    except Misdirected as fault:
        text = f"{where} is not the address of the provider's API: {one_line(fault.message)}"
        return wrong("provider", text, "correct ANTHROPIC_BASE_URL, or leave it unset for Anthropic's own")
    except ProviderError as failure:
        return wrong("provider", f"{where}: {one_line(failure.message)}", REMEDY)
    return ok("provider", f"{where} accepts the key, and lists {count} models")


def _refused(refusal: AccountRefused, where: str) -> Finding:
    said = one_line(refusal.message)
    if lacks_money(refusal):
        remedy = "add credit to it or raise its spend limit, or set ANTHROPIC_API_KEY to another key"
        return wrong("provider", f"{where} refuses the account of the key: {said}", remedy)
    return wrong("provider", f"{where} rejects the key: {said}", "set ANTHROPIC_API_KEY to a working key")
