"""Tokens, turns and slopes of the limiter, with windows of three seconds instead of a minute."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from app.core.limits.limiter import CallTerms, Grant, Limiter, Settlement
from app.providers.client import RateLimits
from tests.support import servers

WINDOW = 3.0
CALIBRATED = 4  # bytes of a token


@pytest.fixture
def limiter(redis_url: str) -> Iterator[Limiter]:
    servers.flush(redis_url)
    made = Limiter(redis_url, recall=lambda group: [])
    yield made
    made._redis.close()


def limits(job: int = 7, *, weight: int = 5, tenant: int = 1, size: int = 400, **figures: int) -> CallTerms:
    return CallTerms(
        group="claude",
        job_id=job,
        limits=RateLimits(**figures),
        tenant_id=tenant,
        weight=weight,
        request_bytes=size,
        max_tokens=100,
        window=WINDOW,
    )


def calibrate(limiter: Limiter, of: CallTerms, output: int = 10) -> None:
    """The job has had answers: four bytes were a token, and an answer had `output` tokens."""
    calls = 50
    tokens = calls * of.request_bytes // CALIBRATED
    limiter.settle(
        of,
        Settlement(
            bytes=calls * of.request_bytes, answered_input=tokens, answered_output=calls * output, calls=calls
        ),
    )


@dataclass
class Taker:
    """Asks for one job as a slice does, until it is told to stop or has what it wants."""

    limiter: Limiter
    limits: Callable[[], CallTerms]
    lease: int = 1
    enough: int | None = None
    starts: list[tuple[float, int]] = field(default_factory=list)  # when, and input tokens charged
    on_grant: Callable[[Grant], None] = lambda _: None
    slowest: float = 0.0  # seconds that an answer took: by as much a start may have been later than it says

    def run(self, until: float) -> None:
        waited = False
        while time.monotonic() < until and self.left() > 0:
            of, asked = self.limits(), time.monotonic()
            grant = self.limiter.take(of, self.lease, min(64, self.left()), waited=waited)
            self.slowest = max(self.slowest, time.monotonic() - asked)
            waited = grant.waits
            for place in range(grant.count):
                self.starts.append((asked + grant.delay + place * grant.step, grant.input_tokens))
            if grant.count:
                self.on_grant(grant)
            else:
                threading.Event().wait(grant.wait)
        self.limiter.take(self.limits(), self.lease, 0, waited=waited)

    def left(self) -> int:
        return 1_000_000 if self.enough is None else self.enough - len(self.starts)


def run(*takers: Taker, seconds: float) -> None:
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=taker.run, args=(until,)) for taker in takers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def densest(starts: list[tuple[float, int]], window: float = WINDOW) -> int:
    """The most tokens in any `window` seconds."""
    starts = sorted(starts)
    most = total = first = 0
    for at, tokens in starts:
        total += tokens
        while starts[first][0] <= at - window:
            total -= starts[first][1]
            first += 1
        most = max(most, total)
    return most


def test_input_tokens_are_used_up_and_never_passed(limiter):
    # Given four processes whose job is bound by tokens: a hundred a call, 3,000 in a window
    of = limits(input_tokens=3_000)
    calibrate(limiter, of)
    takers = [Taker(limiter, lambda: of, lease) for lease in range(4)]
    run(*takers, seconds=3 * WINDOW)

    # Then nearly all of it is used, and no window has more, but for what the slowest answer may have moved
    slowest = max(taker.slowest for taker in takers)
    starts = [start for taker in takers for start in taker.starts]
    assert {tokens for _, tokens in starts} == {100}
    assert densest(starts, WINDOW - slowest) <= 3_000
    assert sum(tokens for _, tokens in starts) >= 0.94 * 3 * 3_000


def test_an_answer_that_took_more_than_its_estimate_is_debt(limiter):
    # Given a group whose calls take three times what was charged
    of = limits(input_tokens=3_000)
    calibrate(limiter, of)

    def settle(grant: Grant) -> None:
        limiter.settle(of, Settlement(input_tokens=200 * grant.count))

    taker = Taker(limiter, lambda: of, on_grant=settle)
    run(taker, seconds=2 * WINDOW)

    # Then what was really taken keeps the limit, and uses it
    real = [(at, 3 * tokens) for at, tokens in taker.starts]
    assert densest(real) <= 3_000 * 1.01 + 300
    assert sum(tokens for _, tokens in real) > 0.85 * 2 * 3_000


def test_what_was_charged_too_much_can_be_used(limiter):
    # Given calls of which only a quarter of the charge is taken
    of = limits(input_tokens=3_000)
    calibrate(limiter, of)

    def settle(grant: Grant) -> None:
        limiter.settle(of, Settlement(input_tokens=-75 * grant.count))

    taker = Taker(limiter, lambda: of, on_grant=settle)
    run(taker, seconds=2 * WINDOW)

    # Then nearly four times as many start
    assert len(taker.starts) > 3 * 2 * 3_000 / 100


def test_the_larger_of_two_kinds_of_tokens_decides(limiter):
    of = limits(input_tokens=300_000, output_tokens=300)
    calibrate(limiter, of, output=10)
    taker = Taker(limiter, lambda: of)
    run(taker, seconds=2 * WINDOW)

    assert len(taker.starts) == pytest.approx(2 * 300 / 10, abs=6)
    assert limiter.reasons.of(7) == "output_tokens"


def test_a_job_learns_what_its_bytes_make(limiter):
    # Given a job that has no answers yet: its requests are charged with care
    of = limits(input_tokens=1_000_000, output_tokens=1_000_000)
    first = limiter.take(of, 1, 1)
    assert first.input_tokens == 160

    # When its answers say that eight bytes are a token, and forty tokens an answer
    limiter.settle(of, Settlement(bytes=4_000, answered_input=500, answered_output=400, calls=10))

    # Then the next is charged so
    then = limiter.take(of, 1, 1)
    assert (then.input_tokens, then.output_tokens) == (50, 40)


def test_a_lowered_limit_paces_at_once_and_is_strict_a_window_later(limiter):
    # Given a group that used all of its limit for more than a window
    high, low = limits(input_tokens=6_000, requests=6_000), limits(input_tokens=3_000, requests=6_000)
    calibrate(limiter, high)
    now = [high]
    taker = Taker(limiter, lambda: now[0])
    run(taker, seconds=1.2 * WINDOW)

    # When it is cut in half
    now[0], cut = low, time.monotonic()
    run(taker, seconds=2 * WINDOW)

    # Then it goes on, at the new pace, and after a window no window has more
    soon = [start for start in taker.starts if cut + 0.3 < start[0] <= cut + WINDOW]
    assert 0.8 * 2_700 <= sum(tokens for _, tokens in soon) <= 1.05 * 2_700
    later = [start for start in taker.starts if start[0] > cut + 0.2]
    assert densest(later, WINDOW - taker.slowest) <= 3_000


def test_a_server_that_comes_back_empty_grants_no_second_window(limiter, redis_url):
    of = limits(input_tokens=3_000)
    calibrate(limiter, of)
    taker = Taker(limiter, lambda: of)
    run(taker, seconds=0.7 * WINDOW)
    servers.flush(redis_url)
    calibrate(limiter, of)
    run(taker, seconds=0.7 * WINDOW)

    assert densest(taker.starts) <= 3_000 + 2 * 100


def test_half_of_the_rate_is_left_after_a_ramp_limit_and_it_climbs_again(limiter):
    of = limits(requests=600)
    assert limiter.ramp(of) == pytest.approx(0.5)
    assert limiter.ramp(of) == pytest.approx(
        0.5, abs=0.02
    )  # a refusal of the same moment halves nothing more
    first = limiter.take(of, 1, 64)
    assert first.step == pytest.approx(2 * WINDOW / (0.99 * 600), rel=0.05)
    servers.wait_until(lambda: limiter.standing(of).ramp > 0.7, what="the rate climbs")


def test_half_of_the_last_calls_failing_is_told(limiter):
    of = limits()
    assert limiter.settle(of, Settlement(calls=12)) == 0
    assert limiter.settle(of, Settlement(failed=7)) == 0
    assert limiter.settle(of, Settlement(failed=4)) == 11
    limiter.clear("claude")
    assert limiter.settle(of, Settlement(failed=1)) == 0


def test_a_light_job_gets_through_beside_a_heavy_one(limiter):
    # Given a heavy job that has used the group alone for a while, with many askers
    heavy = [Taker(limiter, lambda: limits(1, requests=60), lease) for lease in range(4)]
    light = [Taker(limiter, lambda: limits(2, requests=60), 9, enough=1) for _ in range(10)]
    until = time.monotonic() + 4.0
    threads = [threading.Thread(target=taker.run, args=(until,)) for taker in heavy]
    for thread in threads:
        thread.start()
    servers.wait_until(lambda: sum(len(taker.starts) for taker in heavy) > 20, what="the heavy job runs")

    # When ten records of another come
    began = time.monotonic()
    run(*light, seconds=3)
    for thread in threads:
        thread.join()

    # Then they wait less than twice as long as alone, which is ten starts at the pace
    waits = sorted(at - began for taker in light for at, _ in taker.starts)
    assert len(waits) == 10
    assert waits[-1] < 2 * 10 * WINDOW / (0.99 * 60)

    # And the rate was used all the same
    starts = [start for taker in [*heavy, *light] for start in taker.starts]
    assert len(starts) > 0.9 * 4.0 * 0.99 * 60 / WINDOW


def test_jobs_share_by_their_priority(limiter):
    shares = []
    while len(shares) < 3 and not (shares and 1.5 < shares[-1] < 5):  # who is not let run does not ask either
        first = Taker(limiter, lambda: limits(1, weight=9, requests=600), 1)
        second = Taker(limiter, lambda: limits(2, weight=3, requests=600), 2)
        began = time.monotonic()
        run(first, second, seconds=2 * WINDOW)

        # After the moment in which the one that came last catches up
        mine, other = (sum(at > began + WINDOW / 2 for at, _ in taker.starts) for taker in (first, second))
        shares.append(mine / other)
    assert 1.5 < shares[-1] < 5, shares


def test_tenants_share_alike_whatever_their_jobs(limiter):
    takers = [Taker(limiter, lambda job=job: limits(job, tenant=1, requests=600), job) for job in range(1, 4)]
    other = Taker(limiter, lambda: limits(9, tenant=2, weight=1, requests=600), 9)
    run(*takers, other, seconds=2 * WINDOW)

    # By their jobs' weights it would be fifteen to one; whoever came last had a little more at first
    mine = sum(len(taker.starts) for taker in takers)
    assert 0.5 < mine / len(other.starts) < 2


def test_newcomers_leave_a_fifth_to_the_others(limiter):
    # Given a job that has had much, and one newcomer after the other
    old = Taker(limiter, lambda: limits(1, requests=600), 1)
    run(old, seconds=0.7)
    before = len(old.starts)
    newcomers = [
        Taker(limiter, lambda job=job: limits(job, requests=600), job, enough=40) for job in range(2, 12)
    ]

    def one_after_the_other(until: float) -> None:
        for newcomer in newcomers:
            newcomer.run(until)

    chain = threading.Thread(target=one_after_the_other, args=(time.monotonic() + 2.0,))
    chain.start()
    run(old, seconds=2.0)
    chain.join()

    share = Counter(old=len(old.starts) - before, new=sum(len(taker.starts) for taker in newcomers))
    assert share["old"] / share.total() >= 0.15
    assert share["new"] > share["old"]


def test_who_does_not_ask_again_loses_its_place(limiter):
    # Given a job whose turn it is, and which never asks again
    of = limits(1, requests=60)
    assert limiter.take(of, 1, 64).count
    assert limiter.take(limits(2, requests=60), 2, 5).waits

    # Then the other one waits for it a second at most
    taker = Taker(limiter, lambda: of)
    run(taker, seconds=2.5)
    assert len(taker.starts) > 15


def test_a_full_job_is_told_how_many_calls_would_use_the_limit(limiter):
    of = CallTerms(group="claude", job_id=7, limits=RateLimits(requests=600), seats=2, window=WINDOW)
    limiter.settle(of, Settlement(calls=10, seconds=10.0))
    assert limiter.take(of, 1, 5).count == 2

    # A call takes a second, 198 may start in one
    assert limiter.take(of, 1, 5).reason.startswith("concurrency: 2 calls at a time, 219 would use the limit")


def test_the_seats_of_a_group_bound_all_of_its_jobs(limiter):
    def of(job: int) -> CallTerms:
        return CallTerms(group="claude", job_id=job, limits=RateLimits(concurrent=3), seats=2)

    assert limiter.take(of(1), 1, 5).count == 2
    assert limiter.take(of(2), 1, 5).count == 1
    assert limiter.take(of(2), 1, 5).reason.startswith("concurrency")
    assert limiter.take(of(2), 1, 5, freed=1).count == 1
