"""A process that was taken for dead, and has not heard of it, claims nothing: nobody would give it back."""

from functools import partial

import pytest
import structlog

from app.core.measures import metrics
from app.core.measures.counts import Series, counts
from app.core.pipeline import claims, leases, recovery, scheduler
from models.session import in_transaction
from tasks import sweep


@pytest.fixture
def job(quiet):
    return quiet.prompts(5)


def test_nothing_is_claimed_under_a_dead_lease_and_everything_under_the_next(job):
    # Given a process whose records were given back
    (window,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    dead = in_transaction(leases.take)
    in_transaction(partial(recovery.end_lease, lease_id=dead, died=True))

    def take(lease_id):
        return in_transaction(
            partial(claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=lease_id, limit=5)
        )

    # Then it gets nothing, the window is as it was, and with a new lease it gets all of it
    refused = take(dead)
    assert (refused.claims, refused.open) == ([], True)
    assert (
        in_transaction(partial(claims.take_due, window_id=window.window_id, lease_id=dead, limit=5)).claims
        == []
    )
    assert len(take(in_transaction(leases.take)).claims) == 5


def test_a_dead_process_is_logged_and_counted_with_the_jobs_that_it_held(job, monkeypatch):
    # Given a process that holds records of a job, and one that was storing an upload
    (window,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    lease = in_transaction(leases.take)
    in_transaction(
        partial(claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=lease, limit=5)
    )

    in_transaction(partial(leases.take, works=False))

    # When their counters stand still over as many looks as it takes
    monkeypatch.setattr(leases, "LOOK_EVERY", 0.0)
    with structlog.testing.capture_logs() as lines:
        while not sweep.find_dead():
            pass

    # Then one line tells of each process, and one of each job, by the id that its owner knows
    told = [line for line in lines if line["event"] == "lease.dead"]
    [held] = [line for line in told if "job" in line]
    assert len(told) == 3
    assert (held["job"], held["records"]) == (str(job.uid), 5)

    # And one worker is counted, and the calls that it took with it, as the ledger has them
    lost = Series(metrics.CALLS.name, ("simulated", "simulated", "unconfirmed", "process_died"))
    counted = counts.take()
    assert counted[Series(metrics.RECOVERED_LEASES.name, ())] == 1
    assert counted[lost] == len(job.attempts()) == 5
