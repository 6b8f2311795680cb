"""What a provider's cache of shared beginnings saves, in money and in the limit: `make bench-caching`.

The provider keeps such a cache and its books (`tests/support/upstream_cache.py`), from which every figure is
taken: 2,000 rows over 11,000 shared tokens, half of them the system prompt and half the head of the template;
and a part of them without the cache, at the same limit of input tokens.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from bench import service
from bench.service import Service
from tests.support.upstream import Upstream

SHARED = 11_000  # tokens
INPUT_A_MINUTE = 1_100_000  # tokens: a hundred calls in full
RATES = {"input_tokens": "1", "cache_write_tokens": "1.25", "cache_read_tokens": "0.10"}  # of Haiku 4.5
OUTPUT_RATE = Decimal(5)
RULES = "Weigh what the customer liked against what was broken or late. "


@dataclass(frozen=True)
class Figures:
    """Of one run, by the provider's books."""

    calls: int
    a_minute: int  # calls in the densest minute
    read: float  # share of the shared part of all calls
    input_cost: Decimal  # dollars
    cost: Decimal  # with the answers
    saved: Decimal  # of what the same input would have cost
    refused: int
    job: Mapping[str, Any]

    def row(self, name: str) -> str:
        cells = [
            name,
            f"{self.calls:,}",
            f"{self.a_minute:,}",
            f"{self.read:.1%}",
            f"${self.input_cost:.4f}",
            f"{self.saved:.1%}",
            str(self.refused),
        ]
        return f"| {' | '.join(cells)} |"


HEADINGS = ("run", "calls", "in the densest minute", "shared part read", "input cost", "saved", "429s")


def text(tokens: int) -> str:
    return (RULES * (tokens * 4 // len(RULES) + 1))[: tokens * 4]


def rows(count: int) -> list[bytes]:
    return [
        json.dumps({"review": f"Review {number}: great phone, bad battery."}).encode()
        for number in range(count)
    ]


def run(stack: Service, upstream: Upstream, count: int, **fields: str) -> Figures:
    upstream.reset()
    upstream.configure(
        least_cacheable=4_096,
        latency_ms=800,
        latency_sigma=0.3,
        output_tokens=20,
        input_tokens_per_minute=INPUT_A_MINUTE,
    )
    template = text(SHARED // 2) + "\n\n{{ review }}"
    job = stack.submit(rows(count), system=text(SHARED // 2), template=template, **fields)
    return figures(upstream.summary, stack.wait_for(job))


def figures(summary: Any, job: Mapping[str, Any]) -> Figures:
    books = summary()
    cost = sum(Decimal(rate) * books[kind] for kind, rate in RATES.items()) / 1_000_000
    tokens = sum(books[kind] for kind in RATES)
    return Figures(
        calls=books["requests"],
        a_minute=books["densest"]["requests"],
        read=books["cache_read_tokens"] / (SHARED * books["requests"]),
        input_cost=cost,
        cost=cost + books["output_tokens"] * OUTPUT_RATE / 1_000_000,
        saved=1 - cost / (Decimal(tokens) / 1_000_000),
        refused=books["refused"],
        job=job,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--without", type=int, default=250, help="records of the run without the cache")
    arguments = parser.parse_args()
    limits = {
        "CLAUDE_REQUESTS_PER_MINUTE": "10000",
        "CLAUDE_INPUT_TOKENS_PER_MINUTE": str(INPUT_A_MINUTE),
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
    }
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    with Upstream() as upstream, service.running(upstream.url, **limits) as stack:
        with_it = run(stack, upstream, arguments.records)
        print(with_it.row("with the cache"), flush=True)
        print(run(stack, upstream, arguments.without, prompt_cache="false").row("without"), flush=True)
    job = with_it.job
    print(f"\nthe books say: cost {with_it.cost.normalize():f}")
    print(f"the job says: cost {job['cost']}, saved {job['saved']['prompt_cache']}")


if __name__ == "__main__":
    main()
