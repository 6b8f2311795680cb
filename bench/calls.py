"""What Penstock adds to a single call: one alone and many at once, whole and streamed, beside the provider.

The official SDK asks the provider itself and then Penstock. Processor time is that of all of Penstock's
processes, for one call.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import anthropic

from bench.service import AS_FAST_AS_IT_CAN, MODEL, Service, running
from tests.support.upstream import Upstream

ANSWER_MS = 20.0  # that the provider takes for an answer
AT_ONCE = (1, 20)
WARM_UP = 2  # calls of each client that are not counted


class Took(NamedTuple):
    """Seconds from the request to the first event, and to the end of the answer."""

    first: float
    whole: float


def ask(client: anthropic.Anthropic, text: str, *, streamed: bool) -> Took:
    began = time.perf_counter()
    asked = {"model": MODEL, "max_tokens": 100, "messages": [{"role": "user", "content": text}]}
    if not streamed:
        client.messages.create(**asked)  # type: ignore[call-overload]
        return Took(time.perf_counter() - began, time.perf_counter() - began)
    with client.messages.create(**asked, stream=True) as events:  # type: ignore[call-overload]
        next(events)
        first = time.perf_counter() - began
        for _ in events:
            pass
    return Took(first, time.perf_counter() - began)


def calls(url: str, key: str, at_once: int, count: int, *, streamed: bool) -> list[Took]:
    """So many calls, of which `at_once` wait at any time, each in a connection of its own."""

    def one(number: int) -> Iterator[Took]:
        with anthropic.Anthropic(base_url=url, api_key=key, max_retries=0) as client:
            for turn in range(WARM_UP + count // at_once):
                took = ask(client, f"Why is the sky blue? {number} {turn}", streamed=streamed)
                if turn >= WARM_UP:
                    yield took

    with ThreadPoolExecutor(at_once) as pool:
        return [took for some in pool.map(lambda number: list(one(number)), range(at_once)) for took in some]


def row(name: str, times: list[Took]) -> str:
    def figures(pick: Callable[[Took], float]) -> str:
        found = sorted(pick(one) * 1_000 for one in times)
        return f"{statistics.median(found):5.0f} {found[int(0.95 * (len(found) - 1))]:5.0f}"

    return f"{name:24}{figures(lambda one: one.first)}   {figures(lambda one: one.whole)}"


def measure(service: Service, upstream: Upstream, count: int) -> None:
    key = str(service.http.headers["Authorization"]).removeprefix("Bearer ")
    for at_once in AT_ONCE:
        for streamed in (False, True):
            what = f"{at_once} at once, {'streamed' if streamed else 'whole'}"
            direct = calls(upstream.url, "bench-key", at_once, count, streamed=streamed)
            processes, began = service.processes(), time.monotonic()
            before = processes.spent()
            ours = calls(service.address, key, at_once, count, streamed=streamed)
            made = len(ours) + WARM_UP * at_once
            rate = made / (time.monotonic() - began)
            spent = processes.since(before)
            print(row(f"{what}: provider", direct), row("Penstock", ours), sep="\n")
            by_process = ", ".join(f"{name} {used / made * 1_000:.0f}" for name, used in spent.items())
            print(f"  {rate:.0f} calls/s; ms of processor a call: {by_process}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="of each kind")
    parser.add_argument("--databases", nargs="+", default=["postgresql", "sqlite"])
    asked = parser.parse_args()
    with Upstream() as upstream:
        upstream.configure(latency_ms=ANSWER_MS)
        for kind in asked.databases:
            with running(upstream.url, kind, **AS_FAST_AS_IT_CAN) as service:
                print(f"{kind}; ms to the first event and to the end, median and p95 of each")
                measure(service, upstream, asked.calls)


if __name__ == "__main__":
    main()
