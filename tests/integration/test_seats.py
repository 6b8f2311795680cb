"""Seats that Redis gave away to somebody who no longer waited for its answer."""

import pytest

from app.core.limits.limiter import CallTerms, LimiterAway, limiter
from app.core.worker.seats import LOOKS, Seating
from app.providers.client import RateLimits
from tests.faults.support.breakable_stack import stopped
from tests.support.servers import wait_until

LEASE, JOB, GROUP = 7, 1, "anthropic:haiku-4.5"
LIMITS = CallTerms(GROUP, JOB, RateLimits(), seats=10)


@pytest.fixture
def seating(environment):
    return Seating()


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_that_a_redis_gave_when_it_woke_are_given_back(seating, redis_server):
    # Given a process that holds three seats, and a Redis that stands still
    assert seating.take(LIMITS, LEASE, 3).count == 3
    with stopped(redis_server.process.pid), pytest.raises(LimiterAway):
        seating.take(LIMITS, LEASE, 5)

    # When it wakes, and does what was asked of it
    wait_until(lambda: limiter().seats(JOB, LEASE) == 8, what="the seats were given")

    # Then the next beats put right what nobody holds, and leave the rest
    for _ in range(LOOKS):
        seating.reconcile(LEASE)
        assert limiter().seats(JOB, LEASE) == 3
    assert limiter().standing(LIMITS).in_flight == 3
    assert seating.take(LIMITS, LEASE, 9, freed=1).count == 8


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_of_a_slice_that_ended_while_redis_stood_still_are_free(seating, redis_server):
    # Given a slice whose calls and whose time are over while Redis stands still
    assert seating.take(LIMITS, LEASE, 6).count == 6
    with stopped(redis_server.process.pid):
        seating.leave(LIMITS, LEASE, freed=4, waited=False)

    # When Redis goes on, then what the slice freed is free, once
    for _ in range(LOOKS):
        seating.reconcile(LEASE)
    assert limiter().seats(JOB, LEASE) == 2


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_seats_that_a_redis_forgot_are_taken_again(seating, redis_server):
    # Given a process that holds seats, in a Redis that came back empty
    assert seating.take(LIMITS, LEASE, 6).count == 6
    redis_server.kill()
    with pytest.raises(LimiterAway):
        seating.take(LIMITS, LEASE, 1)
    redis_server.start()

    # When the process beats, then the bound holds again, for all
    limiter().heartbeat(LEASE)
    seating.reconcile(LEASE)
    assert Seating().take(LIMITS, 8, 10).count == 4
