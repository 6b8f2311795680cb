"""Limits over four worker processes, at a provider that counts for itself."""

from collections import Counter

import pytest

from app.core.limits import allowances
from models.session import in_transaction
from tests.conftest import penstock_of_its_own
from tests.support.stack import Running, Stack

pytestmark = pytest.mark.timeout(300)

BURST = 5  # seconds of its rate that the provider takes at once: a busy machine delays what left in time


@pytest.fixture(scope="module")
def four(request, upstream_process, tmp_path_factory):
    """A Penstock of four slice workers, whose limits each test sets for a model class of its own."""
    folder = tmp_path_factory.mktemp("four")
    more = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "6000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "1000",
    }
    with penstock_of_its_own("postgresql", request, folder, **more) as values:
        made = Stack(values, folder).start(slice_workers=4)
        yield made
        made.stop()


def run(four: Stack, model: str, group: str, prompts: list[str], **figures: int) -> Running:
    """Run a job whose group has learned to pace its calls."""
    in_transaction(lambda session: allowances.put(session, group, figures))
    in_transaction(lambda session: allowances.pace(session, group))
    job = four.submit([{"prompt": prompt} for prompt in prompts], model=model)
    return job.wait_for("completed", seconds=120)


def densest(times: list[float], seconds: float) -> int:
    """The most in any window of so many seconds."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize(
    ("per_minute", "model", "group"),
    [
        pytest.param(300, "claude-sonnet-4-5", "anthropic:sonnet-4", marks=pytest.mark.long),
        (3000, "claude-haiku-4-5", "anthropic:haiku-4.5"),
    ],
)
def test_four_processes_use_the_limit_and_never_pass_it(four, upstream, per_minute, model, group):
    # Given a provider that keeps the pace of its limit and answers in a second
    upstream.configure(
        requests_per_minute=per_minute,
        token_bucket=True,
        burst_seconds=BURST,
        latency_ms=1000,
        latency_sigma=0.4,
    )
    prompts = [f"Prompt {number}" for number in range(per_minute * 20 // 60)]
    job = run(four, model, group, prompts, requests=per_minute)

    # Then nothing was refused and the limit was used. No ten seconds had more than their share and what a
    # call may be late; so no minute had more than it may.
    books = upstream.books()
    assert Counter(seen["outcome"] for seen in books) == {"answered": job.row().total}
    arrivals = sorted(seen["at"] for seen in books)
    assert densest(arrivals, 10) <= per_minute * 11 / 60 + 1
    # How much of all of it is the benchmark's matter: a machine that runs other tests is no measure
    assert densest(arrivals, 5) >= 0.9 * per_minute * 5 / 60


@pytest.mark.long
def test_a_job_that_is_bound_by_tokens_keeps_their_limit(four, upstream):
    # Given requests of a thousand tokens each, of which a minute has room for 300, at a provider that refuses
    # what is over it
    upstream.configure(
        input_tokens_per_minute=300_000, burst_seconds=BURST, latency_ms=500, latency_sigma=0.4
    )
    prompts = [f"Prompt {number} ".ljust(4_000, "x") for number in range(110)]
    run(four, "claude-opus-4-5", "anthropic:opus-4", prompts, input_tokens=300_000)

    # Then it refused nothing, and no ten seconds had more, by its count, but for what a second may catch
    # up with
    books = sorted(upstream.books(), key=lambda seen: seen["at"])
    assert Counter(seen["outcome"] for seen in books) == {"answered": 110}
    assert most_tokens(books, 10) <= 300_000 * 11.3 / 60
    assert most_tokens(books, 5) >= 0.9 * 300_000 * 5 / 60


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
