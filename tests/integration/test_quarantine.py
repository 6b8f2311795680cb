"""Records that were in several deaths: asked alone, ended when they kill, innocent until then; rows alone."""

from functools import partial

import pytest
from sqlalchemy import select, update

from app.core.money.ledger import ANSWERED, Call
from app.core.pipeline import (
    claims,
    leases,
    lifecycle,
    outcomes,
    quarantine,
    recovery,
    scheduler,
    wakeups,
    windows,
)
from app.core.pipeline.outcomes import Outcome
from app.core.requests import job_context
from models import Record, RecordStatus, Window
from models.base import now
from models.session import in_transaction, reading


def test_what_was_in_three_deaths_is_claimed_only_to_be_asked_alone(quiet):
    # Given ten records, three of which were in three deaths
    job = quiet.prompts(10)
    (shared,) = open_windows(job)
    for _ in range(quarantine.SHARED_DEATHS):
        lease = in_transaction(leases.take)
        die_with(take(shared, lease, 3), lease)

    # When the others are claimed
    lease = in_transaction(leases.take)
    others = take(shared, lease, 10)

    # Then those three wait on, until a window of their own is opened for them
    assert len(others) == 7
    (alone,) = open_windows(job)
    assert (alone.slices, alone.quota) == (3, None)
    with reading() as session:
        assert session.get_one(Window, alone.window_id).isolated

    # And of that one they are claimed, one by one, till none is left
    apart = in_transaction(leases.take)
    suspects = [claim.idx for _ in range(4) for claim in take(alone, apart, 1)]
    assert len(suspects) == 3
    assert set(suspects).isdisjoint(claim.idx for claim in others)
    assert in_transaction(partial(windows.close, window_id=alone.window_id, epoch=alone.epoch)) == job.id
    assert open_windows(job) == []


def test_a_record_ends_with_its_second_death_alone_in_the_transaction_that_finds_it(quiet):
    # Given a conversation whose first turn is asked alone, and was so in a death before
    job = quiet.prompts(3, conversations=["talk", "talk", None])
    (window,) = open_windows(job)
    deaths_so_far(quarantine.SHARED_DEATHS + quarantine.ISOLATED_DEATHS - 1)
    lease = in_transaction(leases.take)
    held = take(window, lease, 1)

    # When that process dies too
    die_with(held, lease)

    # Then the record has failed and says why, its call stands as unconfirmed, and the next turn may be asked
    counts = job.counts()
    assert (counts.failed, counts.seq) == (1, 1)
    output = job.outputs()[0]
    assert (output.error_type, output.seq, output.cost) == (recovery.KILLER, 1, 0)
    (attempt,) = job.attempts()
    assert (attempt.outcome, attempt.cost) == ("unconfirmed", counts.cost_unconfirmed)
    assert statuses(job) == ["FAILED", "WAITING", "PENDING"]
    with reading() as session:
        assert job.id in wakeups.due(session)


def test_a_process_that_stops_in_order_blames_nobody(quiet):
    job = quiet.prompts(1)
    (window,) = open_windows(job)
    deaths_so_far(quarantine.SHARED_DEATHS + quarantine.ISOLATED_DEATHS - 1)
    lease = in_transaction(leases.take)
    take(window, lease, 1)

    in_transaction(partial(recovery.end_lease, lease_id=lease, died=False))

    assert statuses(job) == ["WAITING"]
    assert len(open_windows(job)) == 1  # it is asked alone again


def test_a_record_under_suspicion_that_succeeds_is_done(quiet):
    # Given one whose third death was somebody else's fault
    job = quiet.prompts(1)
    (shared,) = open_windows(job)
    deaths_so_far(quarantine.SHARED_DEATHS - 1)
    lease = in_transaction(leases.take)
    die_with(take(shared, lease, 1), lease)

    # When it is asked alone and answered, then that is all

    (alone,) = open_windows(job)
    (claim,) = take(alone, in_transaction(leases.take), 1)
    answer(claim)
    assert open_windows(job) == []
    assert (job.status, job.counts().succeeded) == ("completed", 1)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_record_under_suspicion_that_is_given_back_is_asked_alone_again(quiet, seconds):
    # Given one whose provider named a time to wait
    job = quiet.prompts(1)
    (window,) = open_windows(job)
    deaths_so_far(quarantine.SHARED_DEATHS)
    (claim,) = take(window, in_transaction(leases.take), 1)
    answer(claim, status=None, again_in=seconds)

    # Then nobody finds it among what is due
    with reading() as session:
        assert claims.due_count(session, job.id, 10) == 0
    (alone,) = open_windows(job)
    assert len(take(alone, in_transaction(leases.take), 1)) == 1


def test_a_killer_that_is_retried_is_asked_alone_and_may_kill_twice_again(quiet):
    # Given a job that has ended with one
    job = quiet.prompts(1)
    (window,) = open_windows(job)
    deaths_so_far(quarantine.SHARED_DEATHS + quarantine.ISOLATED_DEATHS - 1)
    lease = in_transaction(leases.take)
    die_with(take(window, lease, 1), lease)
    open_windows(job)
    assert job.status == "completed"

    # When its owner retries it
    in_transaction(
        lambda session: lifecycle.retry(session, lifecycle.find(session, quiet.tenant_id, job.uid))
    )
    for _ in range(quarantine.ISOLATED_DEATHS):
        assert job.status != "completed"
        in_transaction(lambda session: session.execute(update(Window).values(closed_at=now())) and None)
        (alone,) = open_windows(job)
        lease = in_transaction(leases.take)
        die_with(take(alone, lease, 1), lease)

    # Then it has failed again
    assert statuses(job) == ["FAILED"]


def open_windows(job):
    return in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))


def take(window, lease, count):
    work = partial(claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=lease, limit=count)
    return in_transaction(work).claims


def die_with(held, lease):
    assert in_transaction(partial(recovery.end_lease, lease_id=lease, died=True)) == len(held)


def deaths_so_far(count):
    in_transaction(lambda session: session.execute(update(Record).values(deaths=count)) and None)


def answer(claim, status=RecordStatus.SUCCEEDED, again_in=None):

    body = b'{"content":[]}' if status else None
    outcome = Outcome(
        job_context.of(claim.job_id), claim, Call(ANSWERED, "simulated"), status, body, again_in=again_in
    )
    in_transaction(partial(outcomes.write, group=[outcome]))


def statuses(job):
    with reading() as session:
        found = session.scalars(select(Record.status).where(Record.job_id == job.id).order_by(Record.idx))
        return [RecordStatus(status).name for status in found]
