"""A process that was taken for dead, and has not heard of it, claims nothing: nobody would give it back."""

from functools import partial

import pytest

from app.core.pipeline import claims, leases, recovery, scheduler
from models.session import in_transaction


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
