"""Seats that Redis gave away to somebody who no longer waited for its answer."""

from functools import partial

import pytest

from app.core.limits.limiter import CallTerms, limiter
from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.pipeline import recovery
from app.core.requests import job_context
from app.core.worker import process
from app.core.worker.seats import CHECKS, Seats
from app.core.worker.slice_permits import SlicePermits
from app.errors import LimiterAway
from app.providers.client import RateLimits
from models.session import in_transaction
from tests.faults.support.breakable_stack import stopped
from tests.support.front_door import Door, number_of
from tests.support.servers import wait_until

LEASE, JOB, GROUP = 7, 1, "anthropic:haiku-4.5"
LIMITS = CallTerms(GROUP, JOB, RateLimits(), seats=10)


@pytest.fixture
def seats(environment):
    return Seats()


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_that_a_redis_gave_when_it_woke_are_given_back(seats, redis_server):
    # Given a process that holds three seats, and a Redis that stands still
    assert seats.take(LIMITS, LEASE, 3).count == 3
    with stopped(redis_server.process.pid), pytest.raises(LimiterAway):
        seats.take(LIMITS, LEASE, 5)

    # When it wakes, and does what was asked of it
    wait_until(lambda: limiter().seats(JOB, LEASE) == 8, what="the seats were given")

    # Then the next beats put right what nobody holds, and leave the rest
    for _ in range(CHECKS):
        seats.reconcile(LEASE)
        assert limiter().seats(JOB, LEASE) == 3
    assert limiter().standing(LIMITS).in_flight == 3
    assert seats.take(LIMITS, LEASE, 9, freed=1).count == 8


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_of_a_slice_that_ended_while_redis_stood_still_are_free(seats, redis_server):
    # Given a slice whose calls and whose time are over while Redis stands still
    assert seats.take(LIMITS, LEASE, 6).count == 6
    with stopped(redis_server.process.pid):
        seats.leave(LIMITS, LEASE, freed=4, waited=False)

    # When Redis goes on, then what the slice freed is free, once
    for _ in range(CHECKS):
        seats.reconcile(LEASE)
    assert limiter().seats(JOB, LEASE) == 2


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_that_a_redis_forgot_are_taken_again(seats, redis_server):
    # Given a process that holds seats, in a Redis that came back empty
    assert seats.take(LIMITS, LEASE, 6).count == 6
    redis_server.kill()
    with pytest.raises(LimiterAway):
        seats.take(LIMITS, LEASE, 1)
    redis_server.start()

    # When the process beats, then the bound holds again, for all
    limiter().heartbeat(LEASE)
    seats.reconcile(LEASE)
    assert Seats().take(LIMITS, 8, 10).count == 4


@pytest.fixture
def here(quiet):
    """This process as a worker's."""
    yield process.current()
    process.end_current()


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_lease_that_was_lost_takes_its_seats_with_it(here):
    # Given a slice with three calls in flight, whose process others take for dead
    door = Door()
    job_id = number_of(door.submit(10))
    permits = SlicePermits(here, job_context.of(job_id))
    lost = here.lease_id
    assert permits.take(lost, 3).count == 3
    in_transaction(partial(recovery.end_lease, lease_id=lost, died=True))
    wait_until(lambda: here.lease_id != lost, what="the process has another lease")

    # When the slice starts two more, and its first three calls end
    assert permits.take(here.lease_id, 2).count == 2
    for _ in range(3):
        permits.free(lost)
    permits.leave()

    # Then the two still have their seats
    assert limiter().seats(job_id, here.lease_id) == 2


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_what_a_refused_slice_waited_is_counted_and_not_what_it_was_told(here):
    # Given a slice whose group is held for a minute
    job = job_context.of(number_of(Door().submit(1)))
    permits = SlicePermits(here, job)
    limiter().hold(job.group, "account: refused", seconds=60)
    counts.take()

    # When it gives up at once
    assert permits.take(here.lease_id, 1).wait > 30
    permits.leave()

    # Then it has not waited for a minute
    counted = {series.labels: number for series, number in counts.take().items() if _is_wait(series.metric)}
    [(labels, waited)] = counted.items()
    assert labels == (job.group, "account")
    assert 0 < waited < 30


def _is_wait(metric: str) -> bool:
    return metric == metrics.LIMITER_WAIT.name
