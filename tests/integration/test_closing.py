"""Cancelling, pausing and expiring beside what happens at the same moment; rows without workers."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from sqlalchemy import func, select, text, update

from app.core.money import ledger, reconciliation
from app.core.pipeline import claims, leases, lifecycle, outcomes, recovery, scheduler, windows
from app.core.pipeline.outcomes import Outcome
from app.core.reading.records import snapshot
from app.core.requests import job_context
from app.providers.client import Usage
from models import Job, Record, RecordStatus, Window
from models.base import now
from models.session import in_transaction, reading
from tasks import sweep
from tasks.close_window import close_window
from tests.support.servers import wait_until

CANCELLED = "cancelled"


@pytest.mark.parametrize("turn", [False, True])
def test_a_job_is_not_over_while_a_claim_that_met_its_cancelling_is_in_flight(quiet, turn):
    # Given a claim that has read the job as running and is not yet committed
    job, lease = quiet.prompts(3), in_transaction(leases.take)
    window = _open(job)
    read, commit = threading.Event(), threading.Event()
    if turn:  # the window is drained, and one of its records was given back
        _give_back(_claim(window, lease, 3))

    def claim(session):
        found = _take(session, window, lease, 1, turn=turn)
        read.set()
        assert commit.wait(20)
        return found.claims

    with ThreadPoolExecutor(2) as threads:
        claiming = threads.submit(in_transaction, claim)
        assert read.wait(20)

        # When the job is cancelled meanwhile
        cancelling = threads.submit(_cancel, quiet, job)
        wait_until(lambda: cancelling.done() or _somebody_waits(), what="the cancelling is under way")
        commit.set()
        (claimed,) = claiming.result()
        cancelling.result()

    # Then the job waits for the call, and ends with it
    assert job.status == "cancelling"
    in_transaction(partial(outcomes.write, group=[_ended(claimed, RecordStatus.CANCELLED)]))
    _advance(job)
    assert job.status == CANCELLED
    _is_counted_whole(job)


def test_nothing_is_claimed_of_a_job_once_its_cancelling_is_committed(quiet):
    job, lease = quiet.prompts(3), in_transaction(leases.take)
    window = _open(job)
    _give_back(_claim(window, lease, 2))

    _cancel(quiet, job)

    for turn in (False, True):
        assert in_transaction(partial(_take, window=window, lease=lease, count=3, turn=turn)).claims == []
    _is_counted_whole(job)


def test_a_process_that_dies_with_calls_of_a_cancelled_job_ends_it(quiet):
    # Given a job that was cancelled with two calls in flight
    job, lease = quiet.prompts(4), in_transaction(leases.take)
    _claim(_open(job), lease, 2)
    _cancel(quiet, job)
    assert job.status == "cancelling"

    # When their process dies
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))
    _advance(job)

    # Then nothing is asked again, and the calls stand as unconfirmed
    assert job.status == CANCELLED
    assert [attempt.outcome for attempt in job.attempts()] == ["unconfirmed"] * 2
    sweep.sweep_once()
    assert job.statuses() == {CANCELLED: 4}
    _is_counted_whole(job)


def test_a_cancelled_job_ends_though_its_last_call_is_answered_and_nobody_tells(quiet):
    # Given a job that was cancelled with a call in flight, and looked at while its next look is still to come
    job, lease = quiet.prompts(4), in_transaction(leases.take)
    (claimed,) = _claim(_open(job), lease, 1)
    _cancel(quiet, job)
    _advance(job)
    assert job.status == "cancelling"

    # When the call ends with an answer, and no message comes of it
    in_transaction(partial(outcomes.write, group=[_ended(claimed)]))

    # Then a tick ends the job
    def ended():
        sweep.advance_due()
        return job.status == CANCELLED

    wait_until(ended, what="the job has ended")
    assert job.counts().succeeded == 1


def test_a_late_answer_of_a_cancelled_job_is_paid_and_changes_no_count(quiet):
    job, lease = quiet.prompts(2), in_transaction(leases.take)
    claimed = _claim(_open(job), lease, 1)
    _cancel(quiet, job)
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))
    _advance(job)

    written = in_transaction(partial(outcomes.write, group=[_ended(claimed[0], cost=7)]))

    assert not written.won
    assert (job.counts().cancelled, job.counts().succeeded, job.counts().cost) == (2, 0, 7)
    _is_counted_whole(job)


def test_a_late_answer_meets_its_record_asked_again_after_a_retry(quiet):
    # Given a record whose process was taken for dead, which then failed elsewhere and is retried
    job, first, second = quiet.prompts(1), in_transaction(leases.take), in_transaction(leases.take)
    (late,) = _claim(_open(job), first, 1)
    in_transaction(partial(recovery.end_lease, lease_id=first, died=True))
    (failed,) = _claim(_open(job), second, 1)
    in_transaction(partial(outcomes.write, group=[_ended(failed, RecordStatus.FAILED)]))
    _advance(job)
    in_transaction(lambda s: lifecycle.retry(s, lifecycle.find(s, quiet.tenant_id, job.uid)))
    (again,) = _claim(_open(job), second, 1)

    # When the first answer comes while it is asked for the third time
    assert not in_transaction(partial(outcomes.write, group=[_ended(late, cost=7)])).won

    # Then it is in the ledger, and the third answer is the record's
    assert in_transaction(partial(outcomes.write, group=[_ended(again, cost=5)])).won
    _advance(job)
    assert [attempt.outcome for attempt in job.attempts()] == ["answered"] * 3
    assert job.counts().cost == 7 + 1 + 5
    _is_counted_whole(job)


def test_an_overdue_record_whose_late_answer_comes_first_or_second_ends_once(quiet):
    # Given a record that was held for too long by a process that lives, and is asked again by the same one
    job, lease = quiet.prompts(1), in_transaction(leases.take)
    (late,) = _claim(_open(job), lease, 1)
    in_transaction(lambda s: s.execute(update(Record).values(claimed_at=now(-700))) and None)
    recovery.give_back_overdue()
    (again,) = _claim(_open(job), lease, 1)

    # When both answers come in one group
    written = in_transaction(partial(outcomes.write, group=[_ended(late, cost=7), _ended(again, cost=5)]))

    # Then the one that holds the record wins, and both are paid
    assert {outcome.claim.attempt for outcome in written.won} == {2}
    assert (job.counts().succeeded, job.counts().cost, job.counts().cost_unconfirmed) == (1, 12, 0)
    _advance(job)
    _is_counted_whole(job)


def test_a_paused_job_whose_last_call_ends_is_completed(quiet):
    # Given a job that was paused with all that is left in flight
    job, lease = quiet.prompts(2), in_transaction(leases.take)
    claimed = _claim(_open(job), lease, 2)
    in_transaction(lambda s: lifecycle.pause(s, lifecycle.find(s, quiet.tenant_id, job.uid)))

    # When that ends, then nobody need resume it
    in_transaction(partial(outcomes.write, group=[_ended(claim) for claim in claimed]))
    _advance(job)
    assert (job.status, job.row().status_reason) == ("completed", None)


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_a_job_does_not_end_before_its_last_record(quiet):
    # Given a transaction that began before the last answer was written
    job, lease = quiet.prompts(1), in_transaction(leases.take)
    (claimed,) = _claim(_open(job), lease, 1)
    with reading() as waiting:
        waiting.execute(select(now()))
        in_transaction(partial(outcomes.write, group=[_ended(claimed)]))

        # When it is the one that ends the job
        lifecycle.complete(waiting, waiting.get_one(Job, job.id))
        waiting.commit()

    assert job.row().ended_at >= job.outputs()[0].ended_at


def test_a_job_that_had_ended_in_time_does_not_expire(quiet):
    job, lease = quiet.prompts(1), in_transaction(leases.take)
    claimed = _claim(_open(job), lease, 1)
    in_transaction(partial(outcomes.write, group=[_ended(claimed[0])]))
    in_transaction(lambda s: s.execute(update(Job).values(expires_at=now(-1))) and None)

    _advance(job)

    assert job.status == "completed"


def test_a_slice_delivered_twice_at_one_moment_claims_each_record_once(quiet):
    job, lease = quiet.prompts(40), in_transaction(leases.take)
    window = _open(job)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: _claim(window, lease, 10), range(6)))

    assert sorted(claim.idx for claims_ in found for claim in claims_) == list(range(40))


def test_a_job_whose_callback_never_comes_is_completed_all_the_same(quiet):
    job, lease = quiet.prompts(2), in_transaction(leases.take)
    claimed = _claim(_open(job), lease, 2)
    in_transaction(partial(outcomes.write, group=[_ended(claim) for claim in claimed]))

    _advance(job)

    assert job.status == "completed"
    with reading() as session:
        assert session.scalar(select(func.count()).where(Window.closed_at.is_(None))) == 0


def test_the_callback_of_the_last_of_several_windows_sets_status_tokens_and_cost(quiet, monkeypatch):
    # Given a job of two windows, whose records have all been answered
    monkeypatch.setattr(windows, "LARGEST", 150)
    job, lease = quiet.prompts(300), in_transaction(leases.take)
    first, last = ((offer.window_id, offer.epoch) for offer in _advance(job))
    for window in (first, last):
        answered = [_ended(claim, cost=7) for claim in _claim(window, lease, 300)]
        assert len(answered) == 150
        if window == last:  # the callback of the first one has come in the meantime
            close_window(*first)
            assert job.status == "running"
        in_transaction(partial(outcomes.write, group=answered))

    # When the last one's runs
    close_window(*last)

    # Then the job is over, with all that it took
    row, counts = job.row(), job.counts()
    assert (row.status, row.ended_at is not None) == ("completed", True)
    assert (counts.succeeded, counts.input_tokens, counts.output_tokens) == (300, 900, 600)
    assert counts.cost == 300 * 7


def _somebody_waits() -> bool:
    """For a lock; SQLite lets one writer in, so there is nothing to see there."""
    with reading() as session:
        if session.get_bind().dialect.name == "sqlite":
            return True
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return bool(session.scalar(text(f"{waiting} AND datname = current_database()")))


def _open(job):
    publication = _advance(job)[0]
    return publication.window_id, publication.epoch


def _advance(job):
    return in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))


def _take(session, window, lease, count, *, turn=False):
    window_id, epoch = window
    if turn:
        return claims.take_due(session, window_id=window_id, lease_id=lease, limit=count)
    return claims.take(session, window_id=window_id, epoch=epoch, lease_id=lease, limit=count)


def _claim(window, lease, count):
    return in_transaction(partial(_take, window=window, lease=lease, count=count)).claims


def _give_back(claimed):
    group = [_ended(claim, None, again_in=0.0) for claim in claimed]
    in_transaction(partial(outcomes.write, group=group))


def _cancel(stack, job):
    in_transaction(lambda s: lifecycle.cancel(s, lifecycle.find(s, stack.tenant_id, job.uid)))


def _ended(claim, status=RecordStatus.SUCCEEDED, *, cost=1, again_in=None):
    body = json.dumps({"type": "message", "content": []}).encode()
    call = ledger.Call(ledger.ANSWERED, "simulated", Usage(input_tokens=3, output_tokens=2), cost, "test")
    return Outcome(job_context.of(claim.job_id), claim, call, status, body, again_in=again_in)


def _is_counted_whole(job):
    sweep.sweep_once()
    assert job.ended() == job.row().total
    with snapshot() as session:
        assert list(reconciliation.Check(session).differences()) == []
