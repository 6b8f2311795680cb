"""What the sweep finds by state, and what the fences refuse; rows without workers."""

import datetime as dt
import json
from functools import partial

import pytest
from sqlalchemy import func, select, update

from app.core.money import ledger
from app.core.pipeline import claims, leases, lifecycle, outcomes, recovery, scheduler, wakeups, windows
from app.core.pipeline.outcomes import Outcome
from app.core.pipeline.sweeping import lost_windows
from app.core.requests import job_context
from app.errors import BadInput, Conflict, NotFound
from app.providers.client import Usage
from app.services.options import Options, Repeat
from config import settings
from models import (
    IdempotencyKey,
    Job,
    JobCounts,
    Lease,
    Record,
    RecordInput,
    RecordOutput,
    RecordStatus,
    Window,
)
from models.base import now
from models.session import in_transaction, reading
from tasks import sweep


def test_a_dead_process_is_found_by_its_counter_and_its_records_go_back(quiet):
    # Given two processes that hold records of a job, of which one raises its counter no more
    job = quiet.prompts(10)
    dead, alive = in_transaction(leases.take), in_transaction(leases.take)
    window = _open(job)
    _claim(window, dead, 4)
    _claim(window, alive, 3)

    # When they are looked at four times
    found = [_look_after_three_seconds(alive) for _ in range(5)]

    # Then the dead one's records wait to be asked again, with their calls as unconfirmed, the other's run on
    assert [dead] in found
    assert [] in found
    assert job.statuses() == {"waiting": 4, "running": 3, "pending": 3}
    assert [a.outcome for a in job.attempts()] == ["unconfirmed"] * 4
    with reading() as session:
        assert (
            session.scalars(select(Record.deaths).where(Record.status == RecordStatus.WAITING)).all()
            == [1] * 4
        )
        assert job.id in wakeups.due(session)


def test_a_database_that_stood_still_takes_nothing_from_the_living(quiet):
    # Given a process that could not raise its counter for an hour, in which nobody could look either
    lease = in_transaction(leases.take)
    in_transaction(recovery.look_for_dead)
    in_transaction(lambda s: s.execute(update(Lease).values(looked_at=now(-3600))) and None)

    # Then the look after that hour is one look
    assert in_transaction(recovery.look_for_dead) == []
    assert in_transaction(partial(leases.renew, lease_id=lease, serving=frozenset()))


def test_a_call_that_a_crash_swallowed_pays_the_price_of_when_it_left(quiet, monkeypatch):
    # Given a call that left the day before the price of its model changed
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    job, lease = quiet.prompts(1, model="claude-sonnet-5-5"), in_transaction(leases.take)
    _claim(_open(job), lease, 1)
    left = dt.datetime(2026, 10, 6, 23, 59, tzinfo=dt.UTC)
    in_transaction(lambda session: session.execute(update(Record).values(claimed_at=left)) and None)

    # When its process is found dead
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))

    # Then its worst case is taken from the price of that day
    assert [attempt.price for attempt in job.attempts()] == ["claude-sonnet-5-5@2025-01-01"]


def test_an_answer_under_a_dead_lease_loses_its_fence_but_is_paid_in_the_ledger(quiet):
    # Given a process that was taken for dead with a call in flight
    job = quiet.prompts(1)
    lease = in_transaction(leases.take)
    (claim,) = _claim(_open(job), lease, 1)
    in_transaction(partial(recovery.end_lease, lease_id=lease, died=True))
    worst = job.counts().cost_unconfirmed

    # When its answer comes after all
    written = in_transaction(partial(outcomes.write, group=[_answer(claim, cost=7)]))

    # Then the record is not ended by it, and its attempt is answered instead of unconfirmed
    assert not written.won
    assert job.statuses() == {"waiting": 1}
    (attempt,) = job.attempts()
    assert (attempt.outcome, attempt.cost) == ("answered", 7)
    counts = job.counts()
    assert counts.cost == 7
    assert counts.cost_unconfirmed == 0 <= worst
    assert counts.succeeded == 0


def test_of_two_answers_the_first_to_be_written_wins(quiet):
    job = quiet.prompts(1)
    lease = in_transaction(leases.take)
    (claim,) = _claim(_open(job), lease, 1)

    first = in_transaction(partial(outcomes.write, group=[_answer(claim, cost=5)]))
    second = in_transaction(partial(outcomes.write, group=[_answer(claim, cost=5)]))

    assert len(first.won) == 1
    assert not second.won
    assert (job.counts().succeeded, job.counts().cost, job.counts().seq) == (1, 5, 1)


def test_a_window_is_claimed_from_once_however_often_its_messages_come(quiet):
    # Given a window whose messages were published again
    job = quiet.prompts(5)
    window = _open(job)
    lease = in_transaction(leases.take)
    in_transaction(partial(windows.withdraw, job_id=job.id))

    # Then a slice of the older epoch gets nothing, and the newer one everything once
    assert _claim(window, lease, 5) == []
    assert len(_claim((window[0], window[1] + 1), lease, 5)) == 5
    assert _claim((window[0], window[1] + 1), lease, 5) == []


def test_a_callback_that_comes_early_or_twice_closes_nothing_that_is_in_flight(quiet):
    # Given a window whose last record is still being asked
    job = quiet.prompts(2)
    window_id, epoch = _open(job)
    lease = in_transaction(leases.take)
    one, other = _claim((window_id, epoch), lease, 2)
    in_transaction(partial(outcomes.write, group=[_answer(one)]))

    # When its callback comes, then the window stays open and the job runs on
    assert in_transaction(partial(windows.close, window_id=window_id, epoch=epoch)) == job.id
    assert _advance(job) == []
    assert job.status == "running"

    # When the record has ended and the callback comes twice, then the job ends once
    in_transaction(partial(outcomes.write, group=[_answer(other)]))
    in_transaction(partial(windows.close, window_id=window_id, epoch=epoch))
    _advance(job)
    in_transaction(partial(windows.close, window_id=window_id, epoch=epoch))
    _advance(job)
    assert job.status == "completed"
    assert job.counts().succeeded == 2


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"published_at": None, "offered_at": now(-6)}, True),  # nobody marked it published
        ({"published_at": now(-1), "incarnation": "another"}, True),  # the broker came back empty
        ({"published_at": now(-11), "incarnation": "this"}, True),  # nobody serves it, nothing is queued
        ({"published_at": now(-5), "incarnation": "this"}, False),  # it may be on its way
        (
            {"published_at": now(-11), "slice_at": now(-2), "incarnation": "this"},
            False,
        ),  # it was just claimed from
    ],
)
def test_a_window_is_lost_only_if_nothing_speaks_for_it(quiet, change, lost):
    job = quiet.prompts(5)
    window_id, epoch = _open(job)
    in_transaction(lambda s: s.execute(update(Window).values(**change)) and None)

    found = in_transaction(partial(lost_windows.find, incarnation="this", queue_empty=True))

    assert [one.job_id for one in found] == ([job.id] if lost else [])
    if lost:
        (publication,) = _advance(job)
        assert (publication.window_id, publication.epoch) == (window_id, epoch + 2)


def test_a_window_that_a_living_process_serves_is_not_lost_and_a_queued_one_neither(quiet):
    job = quiet.prompts(5)
    window_id, _ = _open(job)
    in_transaction(
        lambda s: s.execute(update(Window).values(published_at=now(-60), incarnation="this")) and None
    )
    lease = in_transaction(leases.take)
    in_transaction(partial(leases.renew, lease_id=lease, serving=frozenset({window_id})))
    assert in_transaction(partial(lost_windows.find, incarnation="this", queue_empty=True)) == []

    in_transaction(partial(leases.renew, lease_id=lease, serving=frozenset()))
    assert in_transaction(partial(lost_windows.find, incarnation="this", queue_empty=False)) == []
    (lost,) = in_transaction(partial(lost_windows.find, incarnation="this", queue_empty=True))
    assert (lost.job_id, "no live worker" in lost.why) == (job.id, True)


@pytest.mark.parametrize(
    ("published", "queue_empty", "in_vain"),
    [
        ("not yet", True, False),  # its threads are taken before its messages are sent
        ("not yet", False, False),
        ("5 s ago", True, False),  # a worker that has just taken them has not told so yet
        ("11 s ago", False, False),
        ("11 s ago", True, True),
        ("by an older offer", False, True),
    ],
)
def test_threads_are_held_in_vain_only_by_slices_that_will_never_end(quiet, published, queue_empty, in_vain):
    window_id, epoch = _open(quiet.prompts(5))
    at = {"5 s ago": now(-5), "11 s ago": now(-11)}.get(published)
    in_transaction(lambda s: s.execute(update(Window).values(published_at=at)) and None)
    held = (window_id, epoch - 1 if published == "by an older offer" else epoch)

    with reading() as session:
        found = lost_windows.held_in_vain(session, {held}, queue_empty)

    assert found == ([held] if in_vain else [])


def test_a_record_held_longer_than_any_call_is_given_back_though_its_process_lives(quiet):
    job = quiet.prompts(2)
    _claim(_open(job), in_transaction(leases.take), 2)
    in_transaction(lambda s: s.execute(update(Record).values(claimed_at=now(-700))) and None)

    assert recovery.give_back_overdue() == {job.id: 2}
    assert job.statuses() == {"waiting": 2}


def test_the_rows_of_a_closed_job_are_written_later_and_counted_at_once(quiet):
    # Given a job that is cancelled before anything was asked
    job = quiet.prompts(20)
    in_transaction(lambda s: lifecycle.cancel(s, lifecycle.find(s, quiet.tenant_id, job.uid)))

    # Then it has ended at once, its records count as cancelled, and the sweep writes them
    assert job.status == "cancelled"
    assert job.counts().cancelled == 20
    assert job.statuses() == {"pending": 20}
    sweep.sweep_once()
    assert job.statuses() == {"cancelled": 20}
    assert job.row().settled_at is not None


def test_what_a_dead_web_process_left_staging_goes_and_its_key_is_free_again(quiet):
    # Given an upload that was cut off a quarter of an hour ago
    job = quiet.prompts(3, options=Options(repeat=Repeat("k", b"f" * 32)))
    in_transaction(lambda s: s.execute(update(Job).values(status="staging", updated_at=now(-1000))) and None)

    sweep.sweep_once()

    with reading() as session:
        assert session.get(Job, job.id) is None
        for table in (Record, RecordInput, JobCounts, IdempotencyKey):
            assert session.scalar(select(func.count()).select_from(table)) == 0


def test_a_deleted_job_loses_its_content_and_its_attempts_stay(quiet):
    job = quiet.prompts(3)
    claimed = _claim(_open(job), in_transaction(leases.take), 3)
    in_transaction(partial(outcomes.write, group=[_answer(claim) for claim in claimed]))
    _advance(job)

    in_transaction(lambda s: lifecycle.delete(s, lifecycle.find(s, quiet.tenant_id, job.uid)))
    sweep.sweep_once()

    assert len(job.attempts()) == 3
    with reading() as session:
        for table in (RecordInput, RecordOutput):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(NotFound):
        in_transaction(lambda s: lifecycle.find(s, quiet.tenant_id, job.uid) and None)


def test_content_is_kept_as_long_as_it_is_said(quiet):
    job = quiet.prompts(1)
    in_transaction(lambda s: lifecycle.cancel(s, lifecycle.find(s, quiet.tenant_id, job.uid)))
    in_transaction(lambda s: s.execute(update(Job).values(ended_at=now(-29 * 86_400))) and None)
    sweep.sweep_once()
    assert job.row().content_removed_at is None

    in_transaction(lambda s: s.execute(update(Job).values(ended_at=now(-31 * 86_400))) and None)
    sweep.sweep_once()
    assert job.row().content_removed_at is not None


def test_the_same_key_is_the_same_job_and_other_content_is_refused(quiet):
    first = quiet.prompts(3, options=Options(repeat=Repeat("k", b"a" * 32)))
    again = quiet.prompts(3, options=Options(repeat=Repeat("k", b"a" * 32)))
    assert (again.id, again.created, first.created) == (first.id, False, True)

    with pytest.raises(BadInput, match="another submission"):
        quiet.prompts(4, options=Options(repeat=Repeat("k", b"b" * 32)))

    in_transaction(lambda s: s.execute(update(Job).values(status="staging")) and None)
    with pytest.raises(Conflict) as refused:
        quiet.prompts(3, options=Options(repeat=Repeat("k", b"a" * 32)))
    assert refused.value.retry_after


def test_a_wake_during_a_look_is_not_slept_through(quiet):
    # Given an advance that has read its job, and an answer that asks for a look before it commits
    job = quiet.prompts(2)
    _open(job)
    seen = job.counts().wake_at
    in_transaction(partial(wakeups.at_latest, job_id=job.id, seconds=0))
    asked = job.counts().wake_at
    assert asked is not None
    assert asked != seen

    # When it goes to sleep with what it had read, then the wake stands
    in_transaction(lambda s: scheduler._sleep(s, s.get_one(Job, job.id), seen))
    assert job.counts().wake_at == asked


def test_a_group_of_answers_is_numbered_in_one_row_of_the_job(quiet):
    job = quiet.prompts(6)
    claimed = _claim(_open(job), in_transaction(leases.take), 6)
    in_transaction(partial(outcomes.write, group=[_answer(claim) for claim in claimed[3:]]))
    in_transaction(partial(outcomes.write, group=[_answer(claim) for claim in claimed[:3]]))

    assert {idx: output.seq for idx, output in job.outputs().items()} == {3: 1, 4: 2, 5: 3, 0: 4, 1: 5, 2: 6}


def _open(job):
    """Let `advance` open the job's window; returns (window, epoch)."""
    publication = _advance(job)[0]
    return publication.window_id, publication.epoch


def _advance(job):
    return in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))


def _claim(window, lease_id, count):
    window_id, epoch = window
    taken = in_transaction(
        partial(claims.take, window_id=window_id, epoch=epoch, lease_id=lease_id, limit=count)
    )
    return taken.claims


def _answer(claim, cost=1):
    body = json.dumps({"type": "message", "content": []}).encode()
    call = ledger.Call(ledger.ANSWERED, "simulated", Usage(input_tokens=3, output_tokens=2), cost, "test")
    return Outcome(job_context.of(claim.job_id), claim, call, RecordStatus.SUCCEEDED, body)


def _look_after_three_seconds(alive):
    in_transaction(partial(leases.renew, lease_id=alive, serving=frozenset()))
    in_transaction(lambda s: s.execute(update(Lease).values(looked_at=now(-4))) and None)
    return [dead.lease_id for dead in in_transaction(recovery.look_for_dead)]
