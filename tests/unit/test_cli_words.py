"""What a person reads about a job."""

import pytest

from app.cli import words


def job(**facts):
    counts = dict.fromkeys(("pending", "running", "succeeded", "failed", "cancelled", "expired"), 0)
    counts |= facts.pop("counts", {})
    usage = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 0)
    return {
        "status": "running",
        "counts": counts,
        "total": sum(counts.values()),
        "usage": usage | facts.pop("usage", {}),
        "cost": "0",
        "cost_unconfirmed": "0",
        "limited_by": None,
    } | facts


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("0", "$0.00"),
        ("0.0000004", "$0.00"),
        ("0.000123", "$0.000123"),
        ("0.0123", "$0.0123"),
        ("1.5", "$1.50"),
        ("1234.567", "$1,234.57"),
        (None, "?"),
    ],
)
def test_dollars_have_cents_and_small_sums_the_digits_that_say_something(amount, said):
    assert words.dollars(amount) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(7.4, "0:07"), (750, "12:30"), (11_100, "3:05:00"), (200_000, "2 days")]
)
def test_time_left_is_short(seconds, said):
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("rate", "said"), [(1500, "1,500/s"), (3.21, "3.2/s"), (0.5, "30/min"), (0, "0/min")]
)
def test_a_pace_is_told_in_the_unit_that_fits(rate, said):
    assert words.pace(rate) == said


def test_a_running_job_says_pace_cost_time_left_and_what_holds_it_up():
    running = job(counts={"pending": 60, "succeeded": 38, "failed": 2}, cost="0.0123", limited_by="requests")
    assert words.state(running, 2.0).plain == (
        "38 succeeded · 2 failed · 2.0/s · $0.0123 · 0:30 left · limited by requests per minute"
    )


def test_an_ended_job_says_its_outcomes_and_its_cost_with_what_a_crash_may_have_cost():
    over = job(status="completed", counts={"succeeded": 3}, cost="0.01", cost_unconfirmed="0.002")
    assert words.state(over, 0.0).plain == "3 succeeded · $0.01 (+ up to $0.002 unconfirmed)"


def test_tokens_from_the_cache_are_part_of_what_went_in():
    used = job(usage={"input_tokens": 100, "cache_read_tokens": 900, "output_tokens": 50})
    assert words.tokens(used) == "1,000 in (900 of them from the cache), 50 out"
