"""Jobs that nobody advances are named; jobs that wait for a reason are not."""

import datetime as dt
from functools import partial

import pytest
import structlog
from sqlalchemy import update

from app.core.pipeline import claims, leases, scheduler
from app.core.pipeline.sweeping import stalled
from models import Job, JobCounts, Record, RecordStatus, Window
from models.base import now
from models.session import in_transaction, reading
from tasks import sweep

LONG_AGO = now(-400)


@pytest.fixture
def forgotten(quiet):
    """A running job whose window nobody serves, about which nothing has changed for minutes."""
    job = quiet.prompts(5)
    in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    change(Job, updated_at=LONG_AGO)
    change(Window, offered_at=LONG_AGO, published_at=LONG_AGO)
    return job


def test_a_job_that_nobody_serves_is_stuck_and_says_since_when(forgotten):
    (found,) = find()

    assert found.uid == forgotten.uid
    assert "nothing has changed for 400 s" in found.why


def test_a_job_whose_wake_time_is_long_past_is_stuck_and_names_by_how_much(quiet):
    # Given a job that was to be looked at before a minute and a half, and one whose time has just come
    job, other = quiet.prompts(1), quiet.prompts(1)
    change(JobCounts, JobCounts.job_id == job.id, wake_at=now(-90))
    change(JobCounts, JobCounts.job_id == other.id, wake_at=now(-5))

    # Then the first is named, and it is the oldest
    (found,) = find()
    assert (found.uid, "90 s ago" in found.why) == (job.uid, True)
    with reading() as session:
        assert 90 <= stalled.oldest_due(session) < 100


def test_a_job_that_waits_for_an_answer_is_not_stuck(forgotten):
    claim_one(forgotten)
    assert find() == []


@pytest.mark.parametrize(("not_before", "waits"), [(now(60), True), (now(-400), False)])
def test_what_was_given_back_excuses_a_job_until_its_time_is_long_past(forgotten, not_before, waits):
    claim_one(forgotten)
    change(Record, Record.idx == 0, status=RecordStatus.WAITING, lease_id=None, not_before=not_before)
    assert bool(find()) is not waits


def test_a_time_of_waking_excuses_a_job_but_the_time_of_its_expiry_does_not(forgotten):
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    change(JobCounts, wake_at=later)
    assert find() == []

    change(Job, expires_at=later, updated_at=LONG_AGO)
    assert len(find()) == 1


def test_a_slice_that_waits_for_a_permit_excuses_its_job_and_the_queue_behind_it(forgotten, quiet):
    # Given another job that nobody serves, and a worker with a slice of the first one's window
    other = quiet.prompts(1)
    in_transaction(partial(scheduler.advance, job_id=other.id, held_for=0))
    change(Job, updated_at=LONG_AGO)
    change(Window, offered_at=LONG_AGO, published_at=LONG_AGO)
    assert {job.uid for job in find()} == {forgotten.uid, other.uid}
    lease = in_transaction(leases.take)
    in_transaction(partial(leases.renew, lease_id=lease, serving=frozenset({window_of(forgotten)})))

    # Then both are in good hands: the other one's messages stand in the queue
    assert find() == []

    # But a window whose messages were never sent stands in no queue
    change(Window, Window.job_id == other.id, published_at=None)
    assert [job.uid for job in find()] == [other.uid]


@pytest.mark.parametrize("status", ["paused", "staging", "completed"])
def test_a_job_that_is_not_to_be_advanced_is_not_stuck(forgotten, status):
    change(Job, status=status)
    change(JobCounts, wake_at=LONG_AGO)
    assert find() == []


def test_the_log_names_a_stuck_job_once_in_minutes_and_again_when_it_was_well_meanwhile(forgotten):
    def look(seconds_until_it_wakes=None):
        change(JobCounts, wake_at=seconds_until_it_wakes and now(seconds_until_it_wakes))
        sweep.log_stuck()

    # When it is seen well, three times stuck, well, and stuck again
    with structlog.testing.capture_logs() as lines:
        for wakes in (3600, None, None, None, 3600, None):
            look(wakes)

    # Then it was named twice
    assert [(line["event"], line["job"]) for line in lines] == [("job.stuck", str(forgotten.uid))] * 2


def test_one_job_that_cannot_be_advanced_keeps_no_other_waiting(quiet):
    # Given two jobs whose time has come, of which the first one's row makes no sense
    broken, well = quiet.prompts(1), quiet.prompts(1)
    change(JobCounts, JobCounts.job_id == broken.id, wake_at=now(-90))
    change(Job, Job.id == broken.id, status="torn", closed_as="cancelled")

    # When the tick advances them
    with structlog.testing.capture_logs() as lines:
        found = sweep.advance_due()

    # Then the second one runs, and the log names the first
    assert [one.job_id for one in found] == [well.id]
    assert [(line["event"], line["job"]) for line in lines] == [("job.not_advanced", str(broken.uid))]


def find():
    with reading() as session:
        return stalled.find(session)


def change(table, *where, **values):
    in_transaction(lambda session: session.execute(update(table).where(*where).values(**values)) and None)


def claim_one(job):
    lease = in_transaction(leases.take)
    window = window_of(job)
    in_transaction(partial(claims.take, window_id=window, epoch=1, lease_id=lease, limit=1))


def window_of(job):
    with reading() as session:
        return session.query(Window.id).filter(Window.job_id == job.id).scalar()
