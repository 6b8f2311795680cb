"""What a job's time is spent on: one state for whatever is seen of it."""

import pytest

from app.core.timeline.states import Facts, after, seen
from models.job import JobStatus


def facts(word=None, *, unended=10, claimed=4, lost=0, is_delayed=False, has_workers=True):
    return Facts(word, unended, claimed, lost, is_delayed, has_workers)


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (facts("requests"), "requests"),
        (facts("concurrency: 8 calls at a time, 30 would use the limit"), "concurrency"),
        (facts("provider: overloaded"), "outage"),
        (facts("account: authentication_error", claimed=0), "account"),
        (facts("redis", claimed=10), "redis"),
        (facts("storage", claimed=10), "storage"),
        (facts(), "provider"),
        # Of a job whose records have all been started the limiter's last word is an old one.
        (facts("requests", claimed=10), "provider"),
        (facts("requests", claimed=4, lost=4), "workers"),
        (facts("requests", claimed=4, lost=3), "requests"),
        (facts(claimed=0), "queue"),
        (facts(claimed=0, is_delayed=True), "retries"),
        (facts(claimed=0, has_workers=False), "workers"),
        (facts("requests", unended=0, claimed=0), "finishing"),
        # A word that a later release reports: what is known without it.
        (facts("moonlight"), "provider"),
    ],
)
def test_each_moment_has_one_state(found, state):
    assert seen(found) == state


def test_a_status_says_what_no_look_can():
    assert [after(status) for status in JobStatus if status != JobStatus.STAGING] == [
        "queue",
        "queue",
        "paused",
        "closing",
        *["ended"] * 4,
    ]
