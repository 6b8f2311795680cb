"""A provider or an account that refuses: who is to blame decides, for all workers at once."""

from collections import Counter
from itertools import pairwise

import pytest

from app.core.limits import allowances
from app.core.limits.limiter import limiter
from app.core.reading import job_json, jobs
from models.session import in_transaction, reading
from tests.conftest import ONE_IN_SHORT
from tests.support.servers import wait_until
from tests.support.stack import Stack

GROUP = "anthropic:haiku-4.5"


def start(stack: Stack, upstream, workers: int = 2, **more: str) -> Stack:
    stack.environment |= {
        "ANTHROPIC_API_KEY": "first-key-of-all",
        "ANTHROPIC_BASE_URL": upstream.url,
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "400",
        "BATCH_RECORD_RETRY_COUNT": "0",
        **more,
    }
    return stack.start(slice_workers=workers)


def claude(stack: Stack, count: int):
    return stack.submit([{"prompt": f"Prompt {number}"} for number in range(count)], model="claude-haiku-4-5")


def reason(job) -> str:
    """As the job's reader is told it."""
    with reading() as session:
        view = jobs.find(session, job.row().tenant_id, str(job.uid))
    return job_json.limits_of([view])[job.id].word or ""


def arrived(upstream) -> int:
    return int(upstream.summary()["requests"])


@pytest.mark.parametrize("environment", ONE_IN_SHORT, indirect=True)
def test_a_storm_of_overload_costs_no_record_a_try_and_hardly_a_call(stack, upstream):
    # Given a job in mid-run over two processes
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="6000", BATCH_MAX_CONCURRENT_LLM_CALLS="50")
    upstream.configure(latency_ms=300)
    job = claude(stack, 1000)
    job.wait_until_ended(100)

    # When the provider is overloaded
    upstream.configure(faults=[{"kind": "status", "status": 529}])
    wait_until(lambda: reason(job) == "provider: overloaded", seconds=5, what="the job says why")
    began = arrived(upstream)
    wait_until(lambda: (limiter().held(GROUP) or (0,))[0] > 1.2, seconds=20, what="the hold grows")
    probes = arrived(upstream) - began
    assert probes < 100  # the fifty that were in flight, and a call now and then

    # Then it goes on by itself, and every record ends well without a try of its own
    upstream.configure(faults=[])
    job.wait_for("completed", seconds=90)
    assert job.statuses() == {"succeeded": 1000}
    refused = Counter(attempt.error_type for attempt in job.attempts() if attempt.error_type)
    assert set(refused) == {"overloaded"}


@pytest.mark.long
def test_failures_of_half_the_calls_are_an_outage_that_no_record_pays_for(stack, upstream):
    # Given a job that does not fit into a minute, so that its calls are paced
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="3000")
    upstream.configure(latency_ms=100)
    job = claude(stack, 3_100)
    job.wait_until_ended(60)

    # When the provider fails for a while
    upstream.configure(faults=[{"kind": "status", "status": 500}])
    wait_until(lambda: reason(job).startswith("provider: outage"), seconds=10, what="the job says why")
    upstream.configure(faults=[])
    job.wait_for("completed", seconds=150)

    # Then only those that failed before half of them had may have paid
    assert job.counts().failed <= 30
    assert job.counts().succeeded >= 3_070


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_provider_that_refuses_what_leaves_at_once_gets_paced_calls(stack, upstream):
    # Given a provider whose limit refills by the second, and a job that fits into a minute
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="1200")
    upstream.configure(requests_per_minute=1200, token_bucket=True, burst_seconds=1, latency_ms=100)
    claude(stack, 40).wait_for("completed", seconds=60)

    # Then it refused some of the calls, which cost no record a try, and from then on they are paced
    refused = upstream.summary()["refused"]
    assert refused > 0
    with reading() as session:
        assert allowances.read(session, GROUP).paced_until is not None

    # When Redis has forgotten everything, then the next job is still paced, and none of it is refused
    limiter()._redis.flushdb()
    claude(stack, 20).wait_for("completed", seconds=60)
    assert upstream.summary()["refused"] == refused


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_an_emptied_redis_grants_no_second_minute(stack, upstream):
    # Given a minute of which a job has used most, when Redis comes back empty
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="25")
    claude(stack, 20).wait_for("completed", seconds=30)
    limiter()._redis.flushdb()

    # Then the next job gets what the minute has left, and waits
    job = claude(stack, 20)
    wait_until(lambda: arrived(upstream) == 25, seconds=20, what="what is left has left")
    wait_until(lambda: reason(job) == "requests", seconds=10, what="the job waits for its limit")
    assert arrived(upstream) == 25


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_spent_budget_holds_the_group_for_an_hour_and_an_emptied_redis_keeps_it(stack, upstream):
    start(stack, upstream, BATCH_MAX_CONCURRENT_LLM_CALLS="5")
    code = "enforced_spend_limit_reached"
    upstream.configure(faults=[{"kind": "status", "status": 429, "code": code}])
    job = claude(stack, 20)
    wait_until(lambda: reason(job) == f"account: {code}", seconds=10, what="the job says why")
    held = limiter().held(GROUP)
    assert held is not None
    assert held[0] > 3000

    # When Redis forgets everything, then the row brings the hold back
    limiter()._redis.flushdb()
    wait_until(lambda: (limiter().held(GROUP) or (0,))[0] > 3000, what="the hold is back")

    # And the job is as it was: no record failed, nobody changed its status
    assert job.status == "running"
    assert job.counts().failed == 0
    assert arrived(upstream) < 20


@pytest.mark.long
@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_revoked_key_holds_the_account_until_workers_come_with_a_new_one(stack, upstream):
    # Given a job in mid-run, which does not fit into a minute, and whose key is then revoked
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="1200")
    upstream.configure(latency_ms=100)
    job = claude(stack, 1_250)
    job.wait_until_ended(20)
    upstream.configure(faults=[{"kind": "status", "status": 401}])
    wait_until(lambda: reason(job) == "account: authentication_error", seconds=5, what="the job says why")
    ended = job.ended()

    # When workers start with a key that is accepted
    upstream.configure(faults=[])
    stack.environment["ANTHROPIC_API_KEY"] = "second-key-of-all"
    stack.start_slices()

    # Then it goes on at once, not with the next probe of a minute
    job.wait_until_ended(ended + 20, seconds=30)
    job.wait_for("completed", seconds=120)
    assert job.statuses() == {"succeeded": 1_250}
    assert {attempt.error_type for attempt in job.attempts()} == {None, "authentication_error"}


@pytest.mark.long
@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_limits_are_learned_from_the_first_answers_and_followed_when_they_are_cut(stack, upstream):
    # Given a provider that allows 1,200 a minute, and nobody who has said so
    upstream.configure(requests_per_minute=1200, latency_ms=200)
    start(stack, upstream)
    job = claude(stack, 700)
    wait_until(lambda: _figure() == (1200, "learned"), seconds=30, what="the limit is learned")
    job.wait_until_ended(100, seconds=60)

    # When it is cut in half, then everybody follows, with hardly a refusal
    upstream.configure(requests_per_minute=600)
    wait_until(lambda: _figure() == (600, "learned"), seconds=10, what="the cut is learned")
    job.wait_for("completed", seconds=120)
    assert job.statuses() == {"succeeded": 700}


def _figure():
    with reading() as session:
        allowance = allowances.read(session, GROUP)
    return allowance.limits.requests, allowance.sources["requests"]


@pytest.mark.long
@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_figure_that_is_set_holds_for_all_workers_within_a_second(stack, upstream):
    start(stack, upstream, CLAUDE_REQUESTS_PER_MINUTE="3000")
    job = claude(stack, 3_100)  # more than a minute's, so that its calls are paced
    job.wait_until_ended(50)
    in_transaction(lambda session: allowances.put(session, GROUP, {"requests": 60}))
    wait_until(lambda: _gaps(upstream)[-1] > 0.9, seconds=5, what="a second lies between two calls")
    upstream.reset()
    wait_until(lambda: arrived(upstream) >= 4, seconds=10, what="calls go on")
    assert min(_gaps(upstream)) > 0.6
    in_transaction(lambda session: allowances.put(session, GROUP, {"requests": None}))
    job.wait_for("completed", seconds=150)


def _gaps(upstream) -> list[float]:
    """Seconds between each two calls that arrived."""
    arrivals = sorted(seen["at"] for seen in upstream.books())
    return [later - earlier for earlier, later in pairwise(arrivals)]
