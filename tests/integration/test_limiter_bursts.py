"""What leaves at once, whatever the pace, and that no window of two seconds has more than its limit."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app.core.limits.limiter import CallTerms, Grant, Limiter, Settlement
from app.core.limits.recent_calls import Moment
from app.providers.client import RateLimits
from tests.support import servers

WINDOW = 2.0
LATE = WINDOW / 200  # as much of the window as a call may be late in production


@dataclass
class Calls:
    """The calls that left, as rows know them: each when it arrived.

    A row is there before its call's permit is taken: `rows` is held from the one to the other.
    """

    at: list[float] = field(default_factory=list)
    rows: threading.RLock = field(default_factory=threading.RLock)
    slow: int = 0  # of a grant that took longer than the window covers, on a machine that stood still

    def add(self, grant: Grant, count: int) -> int:
        """The grant's first `count` calls leave; returns how many do not, as it is too late for them."""
        time_now = time.monotonic()
        starts = [grant.asked_at + grant.delay + place * grant.step for place in range(count)]
        in_time = [start for start in starts if time_now <= start + LATE]
        # A call may be early by the time that the grant took to come here. What a minute leaves unused covers
        # that, for as long as a grant reaches ahead; what this short window leaves is hundredths of a second.
        early = time_now - grant.asked_at
        self.slow += len(in_time) * (early > LATE)
        early = min(early, LATE)  # none leaves later than that, however long it took
        self.at += [random.uniform(start + early, start + LATE) for start in in_time]
        return count - len(in_time)

    def recall(self, group: str) -> list[Moment]:
        with self.rows:
            time_now = time.monotonic()
            ages = [max(0.0, time_now - at) for at in self.at]
        return [Moment(age, requests=1) for age in sorted(ages, reverse=True) if age < WINDOW + LATE]


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def limiter(redis_url: str, calls: Calls) -> Iterator[Limiter]:
    servers.flush(redis_url)
    made = Limiter(redis_url, recall=calls.recall)
    yield made
    made._redis.close()


def terms(job: int = 7, unended: int = 1, **more) -> CallTerms:
    figures = {name: more.pop(name) for name in ("requests", "input_tokens", "output_tokens") if name in more}
    return CallTerms(
        group="claude",
        job_id=job,
        tenant_id=job,
        limits=RateLimits(**figures),
        unended=unended,
        window=WINDOW,
        **more,
    )


def densest(times: list[float], window: float = WINDOW) -> int:
    times, most, first = sorted(times), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def take_all(
    limiter: Limiter, of: Callable[[], CallTerms], count: int, calls: Calls, lease: int = 1
) -> float:
    """Take `count` permits as a slice does, with its few seats; returns the seconds that it took."""
    began, waited = time.monotonic(), False
    while count:
        grant = limiter.take(of(), lease, min(count, 5), waited=waited)
        waited = grant.waits
        late = calls.add(grant, grant.count)
        limiter.give_back(of(), lease, grant, late, late=True)
        limiter.take(of(), lease, 0, freed=grant.count)
        count -= grant.count - late
        if not grant.count:
            threading.Event().wait(grant.wait)
    return time.monotonic() - began


def test_a_small_job_leaves_at_once_and_the_next_one_as_far_as_it_fits(limiter):
    # Given a quiet group, when a job wants less than a window allows
    first = limiter.take(terms(1, unended=40, requests=50), 1, 40)
    assert (first.count, first.delay, first.step, first.burst) == (40, 0, 0, True)

    # Then the next small one gets what is left, and the rest of it when the window is over
    began = time.monotonic()
    second = limiter.take(terms(2, unended=20, requests=50), 2, 20)
    assert (second.count, second.burst) == (10, True)
    assert limiter.take(terms(2, unended=20, requests=50), 2, 10).count == 0
    servers.wait_until(
        lambda: limiter.take(terms(2, unended=20, requests=50), 2, 10).count == 10, what="the rest may leave"
    )
    assert time.monotonic() - began > WINDOW


def test_a_long_job_is_paced_from_its_first_call_on(limiter):
    # Given one that takes longer than the rest of this window and the next, after a quiet time
    long = terms(unended=101, requests=50)
    grant = limiter.take(long, 1, 64)

    # Then its starts are spread over the window
    assert not grant.burst
    assert grant.step == pytest.approx(WINDOW / (0.99 * 50), abs=1e-6)
    assert grant.count <= 6


def test_a_long_job_uses_its_limit_and_never_in_a_heap(limiter, calls):
    # Given a small job that left at once, when a long one follows for three windows
    assert limiter.take(terms(1, unended=60, requests=300), 1, 60).burst
    until, waited = time.monotonic() + 3 * WINDOW, False
    while time.monotonic() < until:
        grant = limiter.take(terms(2, unended=100_000, requests=300), 2, 64, waited=waited)
        waited = grant.waits
        calls.add(grant, grant.count)
        if not grant.count:
            threading.Event().wait(grant.wait)

    # Then no tenth of a window has much more than a tenth of the limit, and the limit is used
    assert densest(calls.at, WINDOW / 10) <= 1.5 * 300 / 10
    assert len(calls.at) >= 0.95 * (3 * 300 - 60)


def test_a_line_of_small_jobs_that_is_long_is_paced(limiter):
    # Given as many small jobs waiting as two windows can take
    for job in range(1, 30):
        limiter.take(terms(job, unended=1, requests=10), job, 1)

    # Then the next one does not leave ahead of the pace
    assert limiter.take(terms(99, unended=1, requests=10), 99, 1).count == 0


def test_where_the_provider_refuses_what_leaves_at_once_all_is_paced(limiter):
    grant = limiter.take(terms(unended=40, requests=50, bursts=False), 1, 40)

    assert (grant.burst, grant.count < 10) == (False, True)


def test_tokens_are_used_at_once_as_far_as_they_fit(limiter):
    # Given a job of which a hundred bytes make ten tokens, and answers take ten
    of = terms(unended=60, input_tokens=1_000, output_tokens=1_000, request_bytes=100, max_tokens=100)
    limiter.settle(of, Settlement(bytes=5_000, answered_input=500, answered_output=500, calls=50))

    # Then as many leave at once as there are tokens for; a job that does not fit into two windows is paced
    assert limiter.take(of, 1, 60).count == 60
    later = limiter.take(of, 1, 60)
    assert (later.count, later.burst) == (40, True)
    long = terms(8, unended=250, input_tokens=1_000, output_tokens=1_000, request_bytes=100, max_tokens=100)
    assert not limiter.take(long, 1, 60).burst


def test_a_job_without_answers_may_take_all_of_its_max_tokens(limiter):
    of = terms(unended=10, output_tokens=1_000, max_tokens=100)
    assert limiter.take(of, 1, 10).output_tokens == 100
    assert limiter.take(of, 1, 10).count == 0


def test_a_raised_limit_is_used_at_once(limiter):
    # Given a group whose window is used up by a small job
    assert limiter.take(terms(1, unended=10, requests=10), 1, 10).count == 10
    assert limiter.take(terms(2, unended=100_000, requests=10), 1, 10).count == 0

    # When the provider's headers show a limit that is a hundred times as high, then a long job starts soon
    grant = limiter.take(terms(2, unended=100_000, requests=1_000), 1, 10)
    assert grant.count or grant.wait < 0.1


def test_a_limit_that_is_taken_away_delays_nothing(limiter):
    assert limiter.take(terms(1, unended=10, requests=10), 1, 10).count == 10
    grant = limiter.take(terms(2, unended=20), 1, 20)
    assert (grant.count, grant.delay) == (20, 0)


def test_what_is_given_back_may_be_taken_again(limiter):
    of = terms(unended=10, requests=10)
    grant = limiter.take(of, 1, 10)
    assert grant.count == 10
    limiter.give_back(of, 1, grant, 4)
    assert limiter.take(of, 1, 10).count == 4


@pytest.mark.parametrize("others", [0, 1])
def test_a_start_that_was_too_late_is_granted_to_nobody_else(limiter, others):
    # Given paced starts, of which the first was too late, and perhaps some behind them
    of = terms(unended=100_000, requests=600)
    grant = limiter.take(of, 1, 3)
    assert (grant.count, grant.burst) == (3, False)
    for _ in range(others):
        assert limiter.take(of, 2, 3).count
    next_start = limiter._redis.hget("limit:claude", "pr")

    # When its record takes another, then the pace is as it was, and the starts that are used are not spare
    limiter.give_back(of, 1, grant, 1, late=True)
    assert limiter._redis.hget("limit:claude", "pr") == next_start
    assert limiter._redis.zcard("spare:claude") == 0


def test_an_emptied_server_is_told_what_the_last_window_had(limiter, calls, redis_url):
    # Given a window that a small job has used up
    of = terms(1, unended=50, requests=50)
    calls.add(limiter.take(of, 1, 50), 50)

    # When the server comes back empty, then nothing leaves until its permits are used or too late, and then
    # only what the window had left
    servers.flush(redis_url)
    grant = limiter.take(terms(2, unended=20, requests=50), 2, 20)
    assert (grant.count, grant.reason, grant.wait) == (0, "redis", pytest.approx(0.5, abs=0.1))
    take_all(limiter, lambda: terms(2, unended=20, requests=50), 20, calls)
    assert densest(calls.at) <= 50


def test_no_window_ever_holds_more_than_its_limit(limiter, calls, redis_url):
    # Given jobs of all sizes of several tenants, some of whose permits are given back, and a server that
    # comes back empty twice
    until = time.monotonic() + 5 * WINDOW
    rng = random.Random(7)
    sizes = [rng.choice([1, 3, 10, 25, 60, 90, 400]) for _ in range(400)]

    def submit(lease: int) -> None:
        for number, size in enumerate(sizes[lease::4]):
            left, waited, of = size, False, terms(number * 4 + lease, size, requests=60)
            while left and time.monotonic() < until:
                with calls.rows:
                    grant = limiter.take(of, lease, min(left, 7), waited=waited)
                    unused = grant.count // 4
                    late = calls.add(grant, grant.count - unused)
                if unused:
                    limiter.give_back(of, lease, grant, unused)
                if late:
                    limiter.give_back(of, lease, grant, late, late=True)
                    unused += late
                left, waited = left - grant.count + unused, grant.waits
                if not grant.count:
                    threading.Event().wait(min(grant.wait, 0.2))
            limiter.take(of, lease, 0, waited=waited)

    threads = [threading.Thread(target=submit, args=(lease,)) for lease in range(4)]
    for thread in threads:
        thread.start()
    for share in (0.3, 0.7):
        servers.wait_until(lambda at=share: time.monotonic() > until - (1 - at) * 5 * WINDOW, what="a while")
        servers.flush(redis_url)
    for thread in threads:
        thread.join()

    # Then no window has more than the limit, where the calls arrived
    assert densest(calls.at) <= 60 + calls.slow
    assert len(calls.at) >= 3 * 60
