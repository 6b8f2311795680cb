"""Permits, over all processes together, from the real script on a real server."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis

from app.core.limits.limiter import CallTerms, Grant, Limiter
from app.providers.client import RateLimits
from tests.support import servers


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    servers.flush(redis_url)
    made = Limiter(redis_url, recall=lambda group: [])
    yield made
    made._redis.close()


def limits(requests: int | None = None, seats: int | None = None) -> CallTerms:
    return CallTerms(group="claude", job_id=7, limits=RateLimits(requests=requests), seats=seats)


def test_of_a_hundred_threads_exactly_as_many_get_a_seat_as_there_are(limiter):
    grants: list[Grant] = []
    threads = [
        threading.Thread(target=lambda lease=lease: grants.append(limiter.take(limits(seats=5), lease, 1)))
        for lease in range(100)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(grant.count for grant in grants) == 5
    assert {grant.reason for grant in grants if not grant.count} == {"concurrency"}


def test_a_seat_that_is_given_back_is_taken_again_in_the_same_word(limiter):
    assert limiter.take(limits(seats=2), 1, 5).count == 2
    assert limiter.take(limits(seats=2), 1, 5).count == 0
    assert limiter.take(limits(seats=2), 1, 5, freed=1).count == 1


def test_the_seats_of_a_process_that_is_not_heard_of_come_back(limiter, redis_url):
    # Given a process that took every seat and was last heard of sixteen seconds ago
    assert limiter.take(limits(seats=3), 1, 3).count == 3
    with redis.Redis.from_url(redis_url) as client:
        client.zincrby("alive", -16_000_000, "1")

    # Then another one gets them
    assert limiter.take(limits(seats=3), 2, 3).count == 3


def test_starts_of_all_takers_keep_the_pace(limiter):
    # Given four processes that want more than 1,200 a minute allow
    starts: list[float] = []

    def ask(lease: int) -> None:
        while len(starts) < 30:
            asked = time.monotonic()
            grant = limiter.take(limits(requests=1200), lease, 50)
            starts.extend(asked + grant.delay + place * grant.step for place in range(grant.count))
            threading.Event().wait(min(grant.wait, 0.05))

    threads = [threading.Thread(target=ask, args=(lease,)) for lease in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # Then no span of time holds more starts than it may, but for what a word to Redis takes
    starts.sort()
    step = 60 / (0.99 * 1200)
    for first in range(len(starts)):
        for last in range(first + 1, len(starts)):
            assert starts[last] - starts[first] > (last - first) * step - 0.1


def test_an_emptied_server_forgets_one_call_at_most(limiter, redis_url):
    # Given a group whose next start is far ahead
    assert limiter.take(limits(requests=2), 1, 5).count == 1
    assert limiter.take(limits(requests=2), 1, 5).count == 0

    # When the server comes back empty, then one call may leave at once, and no other
    servers.flush(redis_url)
    assert limiter.take(limits(requests=2), 1, 5).count == 1
    assert limiter.take(limits(requests=2), 1, 5).count == 0


def test_unused_starts_are_handed_on_at_their_own_times(limiter):
    # Given two grants, one behind the other: starts every 40 ms
    first = limiter.take(limits(requests=1500), 1, 3)
    second = limiter.take(limits(requests=1500), 2, 3)
    third_start = _next_start(limiter)

    # When the first is returned, the next start stays where it is, and another may have those three
    limiter.give_back(limits(requests=1500), 1, first, 3)
    assert _next_start(limiter) == third_start
    again = limiter.take(limits(requests=1500), 3, 10)
    assert again.count <= 3
    assert again.step == pytest.approx(first.step, abs=1e-4)
    assert _next_start(limiter) == third_start

    # When the last is returned, its starts are free again
    limiter.give_back(limits(requests=1500), 2, second, 3)
    assert _next_start(limiter) == pytest.approx(third_start - 3 * second.step, abs=1e-5)


def test_nothing_of_a_held_group_leaves_and_one_probe_tries_it(limiter):
    # Given a group that was held for a moment
    held = limiter.hold("claude", "provider: overloaded", seconds=0.2, every=60)
    assert held == pytest.approx(0.2, abs=0.05)
    refused = limiter.take(limits(), 1, 10)
    assert (refused.count, refused.reason) == (0, "provider: overloaded")

    # When its time has come, then one call may try, and everybody else waits for it
    servers.wait_until(lambda: (limiter.held("claude") or (1, ""))[0] < 0, what="the hold is over")
    probe = limiter.take(limits(), 1, 10)
    assert (probe.count, probe.probe) == (1, True)
    assert limiter.take(limits(), 2, 10).count == 0

    # When it succeeded, then the group goes on
    limiter.clear("claude")
    assert limiter.held("claude") is None
    assert limiter.take(limits(), 2, 10).count == 10


def test_a_probes_refusal_says_when_the_next_leaves_not_how_long_it_was_waited_for(limiter):
    # Given a refused account, which is tried once a minute
    limiter.hold("claude", "account: 401", seconds=60, every=60, detail="{}")

    # When its key may be another, then one call tries it now, and what was said before is no longer told
    limiter.probe_soon("claude")
    held = limiter.held("claude")
    assert (held.seconds < 0, held.detail) == (True, "")
    assert limiter.take(limits(), 1, 10).probe
    assert limiter.held("claude").seconds > 50

    # When that call cannot reach its address, then another tries it soon
    lasts = limiter.hold("claude", "provider: unreachable", seconds=2, probe=True)
    assert lasts == pytest.approx(2, abs=0.1)

    # But not before the time that a call before it was told
    limiter.probe_soon("claude")
    assert limiter.take(limits(), 1, 10).probe
    limiter.hold("claude", "provider: rate_limited", seconds=90)
    assert limiter.hold("claude", "provider: overloaded", seconds=2, probe=True) > 80


def test_strikes_lengthen_a_hold_and_refusals_of_calls_in_flight_do_not(limiter):
    first = limiter.hold("claude", "provider: overloaded")
    again = limiter.hold("claude", "provider: overloaded")
    named = limiter.hold("claude", "provider: rate_limited", seconds=30)

    assert 0.7 < first < 1.3
    assert again <= first
    assert named == pytest.approx(30, abs=0.1)


def test_a_grant_of_fewer_than_wanted_says_what_the_rest_waits_for(limiter):
    grant = limiter.take(limits(requests=60), 1, 5)
    assert 0 < grant.count < 5
    assert (grant.waits, grant.reason) == (True, "requests")
    assert limiter.take(limits(requests=60_000), 2, 1).reason == ""


def test_a_waiting_job_is_told_why(limiter):
    limiter.take(limits(seats=1), 1, 1)
    limiter.take(limits(seats=1), 1, 1)
    assert limiter.reasons.of(7) == "concurrency"
    assert limiter.reasons.of(8) is None


def _next_start(limiter: Limiter) -> float:
    return float(limiter._redis.hget("limit:claude", "pr")) / 1e6
