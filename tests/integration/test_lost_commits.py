"""A COMMIT that happened and whose answer was lost: what was claimed in it comes back, and costs nothing."""

from functools import partial
from threading import Event, Thread

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.core.pipeline import claims, leases, scheduler
from app.core.worker import held_claims
from app.core.worker.held_claims import HeldClaims
from models.session import in_transaction
from tests.support.servers import wait_until


@pytest.fixture
def job(quiet):
    return quiet.prompts(10)


@pytest.fixture
def lease(job):
    return in_transaction(leases.take)


@pytest.fixture
def window(job):
    (publication,) = in_transaction(partial(scheduler.advance, job_id=job.id, held_for=0))
    return publication.window_id, publication.epoch


@pytest.fixture
def take(window, lease):
    def claim(count):
        return in_transaction(
            partial(claims.take, window_id=window[0], epoch=window[1], lease_id=lease, limit=count)
        ).claims

    return claim


@pytest.fixture
def losing(monkeypatch):
    """The next COMMIT is carried out, and its answer lost."""
    commit = Session.commit

    def once(session):
        monkeypatch.setattr(Session, "commit", commit)
        commit(session)
        raise OperationalError(
            "COMMIT", None, ConnectionError("server closed the connection"), connection_invalidated=True
        )

    return lambda: monkeypatch.setattr(Session, "commit", once)


def test_what_was_claimed_by_a_lost_commit_is_given_back_unsent_and_nothing_else(job, lease, take, losing):
    # Given a claim whose answer was lost, so that it was made again, of the records after them
    held = HeldClaims()
    losing()
    with held.claiming():
        known = take(4)
        held.hold(known)
    assert [claim.idx for claim in known] == [4, 5, 6, 7]
    assert job.statuses() == {"running": 8, "pending": 2}

    # When the process's next beat comes
    held.reconcile(lease)

    # Then those that nobody knows of may be claimed again, no call of theirs has cost anything
    assert job.statuses() == {"running": 4, "waiting": 4, "pending": 2}
    assert {(attempt.idx, attempt.outcome, attempt.cost) for attempt in job.attempts()} == {
        (idx, "unsent", 0) for idx in range(4)
    }
    again = take(10)
    assert [claim.idx for claim in again] == [0, 1, 2, 3, 8, 9]


def test_a_commit_that_is_carried_out_late_is_found_by_a_later_look(job, lease, take, losing):
    held = HeldClaims()
    losing()
    held.hold(take(2))
    for _ in range(held_claims.CHECKS - 1):
        held.reconcile(lease)

    take(2)  # stands for what the server did with a COMMIT that nobody waited for

    held.reconcile(lease)
    assert job.statuses()["running"] == 2
    take(2)
    held.reconcile(lease)
    assert job.statuses()["running"] == 4, "there is no reason to look any more"


def test_a_look_waits_for_a_claim_that_is_under_way_and_claims_wait_for_it(job, lease, take, losing):
    # Given a claim that is committed, and of which the process is about to hear
    held = HeldClaims()
    losing()
    take(0)
    committed, heard = Event(), Event()

    def claim():
        with held.claiming():
            found = take(3)
            committed.set()
            assert heard.wait(20)
            held.hold(found)

    claiming = Thread(target=claim)
    claiming.start()
    assert committed.wait(20)

    # When a look begins
    looking = Thread(target=held.reconcile, args=(lease,))
    looking.start()
    wait_until(lambda: held._checking, what="the check has begun")
    heard.set()
    looking.join(20)
    claiming.join(20)

    # Then it finds nothing amiss
    assert job.statuses() == {"running": 3, "pending": 7}
    assert job.attempts() == []


def test_a_record_that_is_claimed_again_before_it_is_let_go_is_held(job, lease, take, losing):
    # Given a record that went back and was claimed again, while what was first told of it is under way
    held = HeldClaims()
    losing()
    take(0)
    found = take(1)
    held.hold(found)
    held.hold(found)
    held.let_go(found[0])

    held.reconcile(lease)

    assert job.statuses() == {"running": 1, "pending": 9}


def test_without_a_lost_commit_nothing_is_asked(lease, statements):
    held = HeldClaims()
    with statements() as sent:
        held.reconcile(lease)
    assert sent == []


def test_a_record_that_was_let_go_is_no_longer_known(job, lease, take, losing):
    held = HeldClaims()
    losing()
    take(0)
    found = take(2)
    held.hold(found)
    held.let_go(found[0])

    held.reconcile(lease)

    assert job.statuses() == {"running": 1, "waiting": 1, "pending": 8}
