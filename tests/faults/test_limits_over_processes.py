"""Limits over four worker processes, at a provider that counts for itself."""

from collections import Counter

import pytest

from tests.stack import Stack

pytestmark = pytest.mark.timeout(300)


def start(stack: Stack, upstream, **more: str) -> Stack:
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
        **more,
    }
    return stack.start(slice_workers=4)


def densest(times: list[float], seconds: float) -> int:
    """The most in any window of so many seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
@pytest.mark.parametrize("per_minute", [300, 3000])
def test_four_processes_use_the_limit_and_never_pass_it(stack, upstream, per_minute):
    # Given a provider that keeps the pace of its limit, a second's worth at once, and answers in a second
    upstream.configure(
        requests_per_minute=per_minute,
        token_bucket=True,
        burst_seconds=1,
        latency_ms=1000,
        latency_sigma=0.4,
    )
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE=str(per_minute))
    seconds = 20
    bodies = ({"prompt": f"Prompt {number}"} for number in range(per_minute * seconds // 60))
    job = stack.submit(bodies, model="claude-haiku-4-5")
    job.wait_for("completed", seconds=seconds + 60)

    # Then nothing was refused and the limit was used. No ten seconds had more than their share and what a
    # call may be late; so no minute had more than it may.
    books = upstream.books()
    assert Counter(seen["outcome"] for seen in books) == {"answered": job.row().total}
    arrivals = sorted(seen["at"] for seen in books)
    assert densest(arrivals, 10) <= per_minute * 10.6 / 60 + 1
    # How much of it, exactly, is the benchmark's matter: a machine that runs other tests is no measure
    used = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) * 60 / per_minute
    assert used > 0.8


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_job_that_is_bound_by_tokens_keeps_their_limit(stack, upstream):
    # Given requests of a thousand tokens each, of which a minute has room for 300, at a provider that refuses
    # what is over it
    upstream.configure(input_tokens_per_minute=300_000, burst_seconds=6, latency_ms=500, latency_sigma=0.4)
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="6000", CLAUDE_INPUT_TOKENS_PER_MINUTE="300000")
    bodies = ({"prompt": f"Prompt {number} ".ljust(4_000, "x")} for number in range(110))
    job = stack.submit(bodies, model="claude-haiku-4-5")
    job.wait_for("completed", seconds=120)

    # Then it refused nothing, and no ten seconds had more, by its count, but for what a second may catch
    # up with
    books = sorted(upstream.books(), key=lambda seen: seen["at"])
    assert Counter(seen["outcome"] for seen in books) == {"answered": 110}
    assert most_tokens(books, 10) <= 300_000 * 11.3 / 60
    used = sum(seen["input_tokens"] for seen in books[1:]) / (books[-1]["at"] - books[0]["at"]) * 60 / 300_000
    assert used > 0.8


def most_tokens(books, seconds: float) -> int:
    """The most input tokens of any window of so many seconds, where they arrived."""
    most = total = first = 0
    for seen in books:
        total += seen["input_tokens"]
        while books[first]["at"] <= seen["at"] - seconds:
            total -= books[first]["input_tokens"]
            first += 1
        most = max(most, total)
    return most
