"""Caps and quotas: never passed, run to within a call, told in figures, and raised."""

import datetime as dt
import threading
from functools import partial

import pytest
from sqlalchemy import select, update

from app.cli.phrases import for_terminal
from app.core.money import ledger, pricing, reconciliation
from app.core.money.ledger import Call
from app.core.pipeline import claims, lifecycle, outcomes, recovery
from app.core.pipeline.outcomes import Outcome
from app.core.reading.records import snapshot
from app.core.requests import job_context
from app.services.options import Options
from models import Job, Lease, Record, RecordStatus, Spend, Tenant, Window
from models.session import in_transaction, reading
from tasks.wake import wake
from tests.conftest import ONE_IN_SHORT
from tests.support.front_door import Door
from tests.support.stack import Stack

DOLLAR = pricing.PICO
LONG = [{"kind": "answer", "text": "x" * 8_000}]  # 2,000 tokens, a cent


def start(stack: Stack, upstream, workers: int = 2, **more: str) -> None:
    upstream.configure(faults=LONG, latency_ms=100)
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "64",
        **more,
    }
    stack.start(slice_workers=workers)


def claude(stack: Stack, count: int, max_cost: int | None):
    return stack.submit(
        [
            {"params": {"messages": [{"role": "user", "content": f"Prompt {n}"}], "max_tokens": 4096}}
            for n in range(count)
        ],
        model="claude-haiku-4-5",
        options=Options(max_cost=max_cost),
    )


def spent(job) -> int:
    counts = job.counts()
    return counts.cost + counts.cost_unconfirmed


def worst(job) -> int:
    price = pricing.price_at("claude-haiku-4-5", job.row().created_at)
    assert price is not None
    return price.worst_case(job.row().max_request_bytes, 4096)


def differences() -> list[str]:
    """Where totals and calls do not agree."""
    with snapshot() as session:
        return [str(difference) for difference in reconciliation.Check(session).differences()]


@pytest.mark.parametrize("environment", ONE_IN_SHORT, indirect=True)
def test_many_workers_under_one_cap_come_within_a_call_of_it_and_never_pass_it(stack, upstream):
    # Given a job of 64 seats that would cost about two dollars, under a cap of one
    start(stack, upstream)
    job = claude(stack, 200, DOLLAR)
    job.wait_for("paused", seconds=90)

    # Then it stopped within one call of the cap
    assert DOLLAR - worst(job) < spent(job) <= DOLLAR
    reason = job.row().status_reason or ""
    assert "$1.00" in reason
    assert "max_cost" in reason
    # And at a terminal its options, rather than a field and a method
    told = for_terminal(reason)
    assert "--max-cost" in told
    assert "--max-tokens" in told
    assert "PATCH" not in told

    # When it is raised, then the job goes on to its end
    def raise_it(session):
        found = lifecycle.find(session, stack.tenant_id, job.uid)
        lifecycle.change(session, found, max_cost=3 * DOLLAR)
        lifecycle.resume(session, found)

    in_transaction(raise_it)
    wake(job.id)
    job.wait_for("completed", seconds=90)
    assert job.statuses() == {"succeeded": 200}
    assert spent(job) <= 3 * DOLLAR
    assert differences() == []


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_the_daily_cap_of_a_tenant_holds_over_all_its_jobs(stack, upstream):
    start(stack, upstream)
    in_transaction(lambda s: s.execute(update(Tenant).values(daily_cap=DOLLAR // 2)))
    both = [claude(stack, 60, None), claude(stack, 60, None)]
    for job in both:
        job.wait_for("paused", seconds=90)

    total = sum(spent(job) for job in both)
    assert DOLLAR // 2 - worst(both[0]) < total <= DOLLAR // 2
    assert all("--daily-cap" in (job.row().status_reason or "") for job in both)
    with reading() as session:
        assert sum(row.cost + row.cost_unconfirmed for row in session.scalars(select(Spend))) == total


def test_claims_at_the_same_time_reserve_no_money_twice(stack):
    # Given a job whose cap has room for ten calls, and eight claimers
    job = claude_without_workers(stack, 200)
    room = 10 * worst(job) + worst(job) // 2
    in_transaction(lambda session: session.execute(update(Job).values(max_cost=room)))
    window, lease = offered(job)
    taken: list[claims.Taken] = []

    def claim() -> None:
        taken.append(take(window, lease, 7))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then as many are in flight as fit, all reserved, and the others were told what the next call needs
    amounts = reserved(job).values()
    assert sum(len(one.claims) for one in taken) == len(amounts) >= 10
    assert sum(amount or 0 for amount in amounts) <= room
    assert any(one.capped for one in taken)


def test_a_claim_stops_at_the_first_record_that_a_cap_has_no_room_for(stack):
    # Given a job whose cap has room for three calls
    job = claude_without_workers(stack, 20)
    window, lease = offered(job)
    cap_at(job, 3 * worst(job) + worst(job) // 2)

    # When more are claimed, then three are, and what the next needs is told
    taken = take(window, lease, 10)
    assert [claim.idx for claim in taken.claims] == [0, 1, 2]
    assert (taken.capped, taken.remaining, taken.open) == (taken.claims[0].reserved, 17, True)
    assert reserved(job) == {claim.idx: claim.reserved for claim in taken.claims}

    # And when one is given back and nothing fits, then neither it nor the rest of the window is passed over
    back = Call(ledger.UNSENT, "claude-haiku-4-5")
    outcome = Outcome(job_context.of(job.id), taken.claims[1], back, again_in=0.0)
    in_transaction(partial(outcomes.write, group=[outcome]))
    cap_at(job, 2 * worst(job))
    none = take(window, lease, 10)
    assert (none.claims, none.remaining, none.open) == ([], 17, True)
    assert none.capped is not None

    # And when the cap is raised, then it goes first, and the window goes on where it stopped
    cap_at(job, 100 * worst(job))
    taken = take(window, lease, 10)
    assert [claim.idx for claim in taken.claims] == [1, *range(3, 12)]
    assert (taken.capped, taken.remaining) == (None, 8)


def test_another_call_of_a_claim_reserves_what_it_may_cost(stack):
    # Given a claimed record under a cap with room for one and a half calls
    job = claude_without_workers(stack, 1)
    window, lease = offered(job)
    cap_at(job, worst(job) + worst(job) // 2)
    [claim] = take(window, lease, 1).claims

    # When it needs more for another call than there is, then nothing has changed
    extend = partial(claims.extend, claim=claim, sent_bytes=5_000)
    assert not in_transaction(partial(extend, needs=2 * worst(job)))
    assert reserved(job) == {0: claim.reserved}

    # When there is room, then that is reserved, and a crash books it
    needs = worst(job) + worst(job) // 4
    assert in_transaction(partial(extend, needs=needs))
    assert reserved(job) == {0: needs}
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))
    assert job.counts().cost_unconfirmed == needs


def test_a_cap_needs_content_with_a_bound_and_a_price(environment, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    from config import settings

    settings.current.cache_clear()
    door = Door()
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    for fields in (
        {"records": [{"messages": [{"role": "user", "content": [image]}]}]},
        {"records": [{"prompt": "x"}], "params": {"tools": [{"type": "web_search_20260209", "name": "s"}]}},
        {"records": [{"prompt": "x"}], "model": "claude-of-tomorrow"},
    ):
        asked = {"model": "claude-haiku-4-5", "max_cost": "2.50"} | fields
        refused = door.post("/api/v1/jobs", json=asked)
        assert refused.status_code == 422, refused.text
        assert "no upper bound" in refused.get_json()["error"]["message"]
        job = door.post("/api/v1/jobs", json={**asked, "max_cost": None}).get_json()
        assert door.call("PATCH", f"/api/v1/jobs/{job['id']}", json={"max_cost": 1}).status_code == 422


@pytest.mark.parametrize(
    ("given", "shown"), [("2.50", "2.50"), (3, "3.00"), (0.1, "0.10"), ("0.000000000001", "0.000000000001")]
)
def test_a_cap_is_taken_to_the_last_digit(environment, given, shown):
    job = Door().post(
        "/api/v1/jobs", json={"model": "simulated", "records": [{"prompt": "x"}], "max_cost": given}
    )
    assert job.get_json()["max_cost"] == shown


@pytest.mark.parametrize("given", ["0", -1, "1e99", "NaN", True, "a lot", "0.0000000000001", []])
def test_what_is_no_sum_of_money_is_refused(environment, given):
    asked = {"model": "simulated", "records": [{"prompt": "x"}], "max_cost": given}
    refused = Door().post("/api/v1/jobs", json=asked)
    assert refused.status_code == 422
    assert "2.50" in refused.text


def test_records_beyond_a_tenants_quota_are_refused_with_figures_and_a_time(environment):
    door = Door()
    in_transaction(lambda session: session.execute(update(Tenant).values(records_per_hour=10)))
    door.submit(6)
    refused = door.post_records(5)
    assert refused.status_code == 429
    assert 3_500 < int(refused.headers["Retry-After"]) <= 3_601
    error = refused.get_json()["error"]
    with reading() as session:
        free_at = session.scalars(select(Job.created_at)).one() + dt.timedelta(hours=1)
    at = dt.datetime.fromisoformat(error["details"].pop("free_at"))
    assert free_at <= at <= free_at + dt.timedelta(seconds=1)
    assert error["details"] == {
        "quota": "records_per_hour",
        "allowed": 10,
        "used": 6,
        "asked": 5,
        "fits_now": 4,
    }
    wait = int(refused.headers["Retry-After"])
    assert f"4 records fit now, 5 in {wait:,} s, at {at:%Y-%m-%d %H:%M:%S} UTC" in error["message"]
    # What fits now is taken; and what is too large for any hour fits in parts, but none of them now
    door.submit(4)
    too_large = door.post_records(11)
    assert too_large.status_code == 429
    assert "0 records fit now, 10 in" in too_large.text
    assert "split it into parts of at most 10" in too_large.text
    assert 3_500 < int(too_large.headers["Retry-After"]) <= 3_601
    other = door.other()
    in_transaction(lambda session: session.execute(update(Tenant).values(records_per_hour=None)))
    other.submit(11)


def test_more_than_a_quota_ever_allows_is_told_what_fits_now(environment):
    door = Door()
    in_transaction(lambda session: session.execute(update(Tenant).values(records_per_hour=10)))
    refused = door.post_records(11)
    assert refused.headers["Retry-After"] == "3600"  # of the second part
    message = refused.get_json()["error"]["message"]
    assert message.endswith("this would add 11. 10 records fit now: split it into parts of at most 10")


def test_bytes_beyond_a_tenants_quota_are_refused_with_figures_and_a_time(environment):
    # Given a tenant that has submitted some bytes, and may submit as many again
    door = Door()
    door.submit(6)
    with reading() as session:
        used = session.scalars(select(Job.content_bytes)).one()
    assert used > 6 * len('{"prompt":"x"}')
    in_transaction(lambda session: session.execute(update(Tenant).values(bytes_per_day=2 * used)))

    # When it would submit more
    refused = door.post("/api/v1/jobs", json={"model": "simulated", "records": [{"prompt": "x" * used}]})

    # Then the answer says how much, and when it may
    details = refused.get_json()["error"]["details"]
    assert refused.status_code == 429
    assert 86_300 < int(refused.headers["Retry-After"]) <= 86_401
    assert (details["quota"], details["allowed"], details["used"]) == ("bytes_per_day", 2 * used, used)
    assert details["asked"] > used

    # And what fits is taken, as is the same of another tenant, and what a job of the last release held is 0
    door.submit(6)
    in_transaction(lambda session: session.execute(update(Job).values(content_bytes=None)))
    door.submit(6)


def test_a_document_counts_at_least_the_block_that_it_takes_on_a_disk(environment):
    door = Door()
    door.post("/api/v1/jobs", json={"model": "simulated", "records": [{"document": "aGk="}] * 3})

    with reading() as session:
        assert session.scalars(select(Job.content_bytes)).one() > 3 * 4_096


def take(window: int, lease: int, limit: int) -> claims.Taken:
    return in_transaction(partial(claims.take, window_id=window, epoch=1, lease_id=lease, limit=limit))


def cap_at(job, amount: int) -> None:
    in_transaction(lambda s: s.execute(update(Job).where(Job.id == job.id).values(max_cost=amount)) and None)


def reserved(job) -> dict[int, int | None]:
    """Of the records in flight."""
    running = select(Record.idx, Record.reserved).where(Record.status == RecordStatus.RUNNING)
    with reading() as session:
        return {row.idx: row.reserved for row in session.execute(running)}


def claude_without_workers(stack: Stack, count: int):
    stack.environment["ANTHROPIC_API_KEY"] = "test-key"
    return claude(stack, count, None)


def offered(job) -> tuple[int, int]:
    """A window of the whole job, and a lease."""

    def work(session) -> tuple[int, int]:
        lease = Lease(name="test")
        window = Window(job_id=job.id, first=0, last=job.row().total, cursor=0)
        session.add_all([lease, window])
        session.execute(update(Job).where(Job.id == job.id).values(status="running"))
        session.flush()
        return window.id, lease.id

    return in_transaction(work)
