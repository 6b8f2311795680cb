"""How long a job takes: what bounds it most decides."""

import pytest

from app.core.limits.duration import Work, bound
from app.providers.client import RateLimits

WORK = Work(calls=600, input_tokens=60_000, output_tokens=6_000, seconds=2.0)
FREE = RateLimits()


@pytest.mark.parametrize(
    ("figures", "seats", "seconds", "limited_by"),
    [
        (FREE, None, 2.6, "workers"),
        (RateLimits(requests=300), None, 122, "requests"),
        (RateLimits(requests=300, input_tokens=20_000), None, 182, "input_tokens"),
        (RateLimits(requests=300, output_tokens=1_000), None, 362, "output_tokens"),
        (RateLimits(requests=3_000), 5, 240, "concurrency"),
        (RateLimits(requests=3_000, concurrent=10), 50, 120, "concurrency"),
    ],
)
def test_the_tightest_bound_is_named(figures, seats, seconds, limited_by):
    assert bound(WORK, 0, figures, seats) == (pytest.approx(seconds), limited_by)


def test_others_in_the_queue_take_their_turns_of_what_is_shared_and_not_of_the_jobs_own_seats():
    assert bound(WORK, 600, RateLimits(requests=300), None) == (pytest.approx(242), "requests")
    assert bound(WORK, 600, FREE, 5) == (pytest.approx(240), "concurrency")
    assert bound(WORK, 600, RateLimits(concurrent=5), None) == (pytest.approx(480), "concurrency")


def test_one_call_takes_its_own_time():
    one = Work(calls=1, input_tokens=10, output_tokens=5, seconds=2.0)
    seconds, _ = bound(one, 0, RateLimits(requests=1_000), 5)
    assert 2.0 <= seconds < 2.1


@pytest.mark.parametrize(
    ("unused", "seconds"),
    [
        (None, 122),  # all calls are paced
        (RateLimits(requests=600), 2.6),  # what fits leaves at once, as fast as workers are
        (RateLimits(requests=400), 62),  # the rest of it a minute later
        (RateLimits(requests=299), 122),  # too long for that: it is paced
    ],
)
def test_what_fits_into_what_the_last_minute_has_left_is_not_paced(unused, seconds):
    figures = RateLimits(requests=300)
    assert bound(WORK, 0, figures, None, unused)[0] == pytest.approx(seconds)
