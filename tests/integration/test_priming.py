"""Which record goes before all others, and when the others follow; rows without workers."""

import datetime as dt
import json
from functools import partial

import pytest
from sqlalchemy import update

from app.core.money import ledger
from app.core.pipeline import claims, leases, outcomes, recovery, scheduler, windows
from app.core.pipeline.outcomes import Outcome
from app.core.requests import job_context
from app.core.requests.prompt_cache import priming
from app.providers.client import Usage
from config import settings
from models import Job, RecordStatus, Window
from models.base import now
from models.session import in_transaction, reading

pytestmark = pytest.mark.one_database

SYSTEM = "A rule that holds for each of them. " * 700
WRITES, READS, NOTHING = (
    Usage(10, 5, cache_write_5m_tokens=6_000),
    Usage(10, 5, cache_read_tokens=6_000),
    Usage(6_010, 5),
)


@pytest.fixture
def job(quiet, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    return quiet.prompts(300, model="claude-haiku-4-5", system=SYSTEM)


@pytest.fixture
def lease(job):
    return in_transaction(partial(leases.take, threads=64))


def advance(job):
    return in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))


def is_alone(offers):
    return [(offer.slices, offer.quota) for offer in offers] == [(1, 1)]


def take(offer, lease, count=1):
    take = partial(claims.take, window_id=offer.window_id, epoch=offer.epoch, lease_id=lease, limit=count)
    return in_transaction(take).claims


def end(claim, usage=None):
    """It is answered, or refused without `usage`; then its slice ends."""
    context = job_context.of(claim.job_id)
    if usage is None:
        call = ledger.Call(ledger.ANSWERED, context.model, error_type="invalid_request")
        outcome = Outcome(context, claim, call, RecordStatus.FAILED, error_type="invalid_request")
    else:
        call = ledger.Call(ledger.ANSWERED, context.model, usage)
        outcome = Outcome(context, claim, call, RecordStatus.SUCCEEDED, json.dumps({}).encode(), usage)
    in_transaction(partial(outcomes.write, group=[outcome]))


def callback(offer):
    in_transaction(partial(windows.close, window_id=offer.window_id, epoch=offer.epoch))


def kept(job):
    with reading() as session:
        return session.get_one(Job, job.id).keep


def test_all_others_follow_when_the_first_is_answered(job, lease):
    offers = advance(job)
    assert is_alone(offers)
    (claim,) = take(offers[0], lease)
    assert claim.keep == "5m"
    assert advance(job) == []

    end(claim, WRITES)

    following = advance(job)
    assert following
    assert all(offer.quota is None for offer in following)
    assert {claim.keep for claim in take(following[0], lease, 20)} == {"5m"}
    assert take(offers[0], lease) == []  # of an older epoch


def test_another_goes_alone_when_its_worker_was_killed(job, lease):
    (claim,) = take(advance(job)[0], lease)
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))

    offers = advance(job)

    assert is_alone(offers)
    (another,) = take(offers[0], in_transaction(partial(leases.take, threads=64)))
    assert another.idx != claim.idx or another.attempt > claim.attempt


def test_a_slow_one_is_not_waited_for(job, lease):
    take(advance(job)[0], lease)
    late = update(Window).values(slice_at=now(-priming.PATIENCE - 1))
    in_transaction(lambda session: session.execute(late) and None)

    offers = advance(job)

    assert offers
    assert not is_alone(offers)
    assert kept(job) == "5m"


def test_after_five_that_fail_the_job_goes_on_without(job, lease):
    for _ in range(priming.TRIED):
        (offer,) = advance(job)
        assert is_alone([offer])
        end(take(offer, lease)[0])
        callback(offer)

    assert not is_alone(advance(job))
    assert kept(job) is None


@pytest.mark.parametrize(("apart", "keep"), [(1.0, "5m"), (239.0, "5m"), (300.0, "1h"), (4_000.0, None)])
def test_it_is_kept_for_as_long_as_the_jobs_calls_are_apart(job, apart, keep):
    with reading() as session:
        assert priming.plan(session, session.get_one(Job, job.id), apart).keep == keep


def test_what_is_kept_is_renewed_by_each_that_reads_it_and_not_beyond(job, lease):
    (offer,) = advance(job)
    end(take(offer, lease)[0], WRITES)
    (following, *_) = advance(job)
    end(take(following, lease)[0], READS)
    assert not is_alone(advance(job) or [following])

    # When the job stands still for longer than its provider keeps it
    in_transaction(lambda session: windows.withdraw(session, job.id))
    in_transaction(partial(older, job=job))

    assert is_alone(advance(job))


def older(session, job):
    for output in job.outputs().values():
        session.merge(output).started_at -= dt.timedelta(seconds=301)
