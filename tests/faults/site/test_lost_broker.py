"""Redis is killed and comes back empty, stands still, or is full: queues, chords and limits with it."""

import time

import pytest

from app.core.limits.limiter import limiter
from tests.faults.support.breakable_stack import first_ends, pass_by, stopped
from tests.faults.support.rounds import LONG

pytestmark = pytest.mark.timeout(3600)

AWAY = 60 if LONG else 4  # seconds


def test_a_job_goes_on_by_itself_when_redis_comes_back_empty(fresh, redis_server, records, moments, figures):
    for moment in moments:
        # Given a job under way
        job = fresh.begin(records, moment)

        # When Redis is killed and started again without its data
        redis_server.kill()
        redis_server.start()
        started = time.monotonic()

        # Then every record ends, and none was asked twice: no process died
        seconds = first_ends(job, since=started)
        books = fresh.finish(job)
        figures.note("Redis killed, back without its data", books, seconds)
        assert (books.asked_twice, books.unconfirmed) == (0, 0)
        assert fresh.arrived() == records


def test_nothing_is_lost_while_redis_stands_still(fresh, redis_server, records, moments, figures):
    # Given
    job = fresh.begin(records, next(moments))

    # When
    with stopped(redis_server.process.pid):
        pass_by(AWAY)
    awake = time.monotonic()

    # Then
    seconds = first_ends(job, since=awake)
    books = fresh.finish(job)
    figures.note(f"Redis frozen for {AWAY} s", books, seconds)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)


def test_nothing_is_lost_while_redis_is_full(fresh, redis_server, records, moments, figures):
    # Given a job whose calls may leave, and a Redis that refuses every write from now on
    job = fresh.begin(records, next(moments))
    limiter()._redis.config_set("maxmemory", "1mb")
    pass_by(AWAY)
    full = fresh.arrived()

    # When it has room again
    limiter()._redis.config_set("maxmemory", "0")
    room = time.monotonic()

    # Then
    seconds = first_ends(job, since=room)
    books = fresh.finish(job)
    figures.note(f"Redis full for {AWAY} s", books, seconds)
    assert (books.asked_twice, books.unconfirmed) == (0, 0)
    assert full <= records
