"""What a call of an OpenAI-compatible endpoint costs: the client of Penstock beside the official SDK.

    .venv/bin/python -m bench.endpoint_calls

The server answers at once, in a process of its own. The second round counts: the first one warms up.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from openai import AsyncOpenAI, DefaultAioHttpClient

from app.providers.openai import OpenAIClient
from config.endpoints import Endpoint, versioned
from tests.support.openai_upstream import OpenAIUpstream

CALLS, AT_ONCE, DEADLINE = 3_000, 100, 60.0
MODEL = "gpt-4o-mini"
BODY: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "How was the soup? " * 20}],
    "max_tokens": 50,
}

Ask = Callable[[], Awaitable[Any]]


async def measure(ask: Ask) -> tuple[float, float]:
    """Milliseconds of this process's processor for one call, and calls per second."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turns:
            await ask()

    began, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(CALLS)))
    return (time.process_time() - processor) / CALLS * 1_000, CALLS / (time.perf_counter() - began)


async def compare(url: str) -> None:
    ours = OpenAIClient(Endpoint("openai", versioned(url), ("*",), key="KEY", key_value="sk-bench"))
    plain = AsyncOpenAI(api_key="sk-bench", base_url=versioned(url), max_retries=0)
    quick = AsyncOpenAI(
        api_key="sk-bench", base_url=versioned(url), max_retries=0, http_client=DefaultAioHttpClient()
    )
    request = {"model": MODEL, "max_tokens": 50, "url": "/v1/chat/completions", "body": BODY}
    asks: dict[str, Ask] = {
        "ours": lambda: ours.ask(request, deadline=DEADLINE, attempt=1),
        "SDK": lambda: plain.chat.completions.create(**BODY),
        "SDK over aiohttp": lambda: quick.chat.completions.create(**BODY),
    }
    for _ in range(2):
        for name, ask in asks.items():
            processor, rate = await measure(ask)
            print(f"{name:18}{processor:6.2f} ms of processor a call {rate:7.0f} calls/s")
    for client in (ours, plain, quick):
        await client.close()


def main() -> None:
    with OpenAIUpstream() as upstream:
        uvloop.run(compare(upstream.url))


if __name__ == "__main__":
    main()
