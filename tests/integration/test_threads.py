"""Who may have how many threads of slice workers. On a real Redis."""

import pytest

from app.core.limits.limiter import limiter
from app.core.limits.redis_client import connect
from app.core.limits.threads import Granted, Threads, Wish
from config import settings

CAPACITY = 64

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def threads(environment):
    return limiter().threads


def wish(
    window: int, *, tenant: int = 1, job: int | None = None, whole: int = 0, fewer: int = 48, tasks: int = 0
) -> Wish:
    """Of a window of a job of its own."""
    return Wish(window, 1, tenant, job or window, CAPACITY, whole, fewer, tasks)


def pass_on(threads: Threads, window: int, *, asked: bool = True) -> int:
    return threads.pass_on(window, 1, asked=asked, capacity=CAPACITY)


def test_a_job_alone_has_most_of_them_and_others_find_some_free(threads):
    # A tenant has at most four fifths, and one job four fifths of that
    assert threads.take(wish(1), in_line=False).slices == 40
    assert [threads.take(wish(window), in_line=False).slices for window in range(2, 7)] == [8, 2, 1, 1, 0]
    assert threads.held().tenants == {1: 52}

    # Of the rest each newcomer has its own four fifths
    assert [threads.take(wish(window, tenant=window), in_line=False).slices for window in (7, 8, 9)] == [
        7,
        3,
        1,
    ]
    assert threads.held().tenants.total() == 63


def test_a_small_job_goes_whole_where_a_sixteenth_is_left(threads):
    assert threads.take(wish(1, whole=60, fewer=1), in_line=False) == Granted(60, whole=True)
    assert threads.take(wish(2, whole=20, fewer=1), in_line=False) == Granted(0, whole=False)
    assert threads.take(wish(3, tenant=2, whole=20, fewer=1), in_line=False) == Granted(1, whole=False)


def test_a_small_job_that_does_not_fit_whole_is_cut_into_slices(threads):
    assert threads.take(wish(1, whole=61, fewer=1), in_line=False) == Granted(1, whole=False)


def test_who_waits_is_not_overtaken_by_the_same_tenants_newcomers(threads):
    # Given a tenant that was put off
    threads.take(wish(1, fewer=40), in_line=False)
    threads.take(wish(2, fewer=40), in_line=False)
    while threads.take(wish(3, job=1), in_line=False).slices:
        pass
    assert threads.wanted()

    # When threads are free again, only the line of that tenant gets any
    threads.give_back(1, 1, slices=0)
    assert threads.take(wish(5), in_line=False).slices == 0
    assert threads.take(wish(6, tenant=2), in_line=False).slices > 0
    assert threads.take(wish(7), in_line=True).slices > 0

    # And when nobody waits any more, whoever comes
    threads.wait([])
    assert not threads.wanted()
    assert threads.take(wish(8), in_line=False).slices > 0


def test_slices_are_counted_until_they_end_and_by_their_epoch(threads):
    threads.take(wish(1, fewer=3), in_line=False)
    threads.give_back(1, 1)
    assert threads.held().jobs == {1: 2}

    # Those of an older offer still run when the window is offered again
    threads.take(Wish(1, 2, 1, 1, CAPACITY, 0, 5), in_line=False)
    assert threads.held().windows == {(1, 1), (1, 2)}
    threads.give_back(1, 1, slices=0)
    assert threads.held().jobs == {1: 5}

    # And what was never counted is not taken off
    threads.give_back(1, 1)
    threads.give_back(9, 1)
    threads.give_back(1, 2, slices=9)
    assert (threads.held().tenants, threads.held().windows) == ({}, set())


def test_a_chord_with_a_task_a_record_sends_as_many_as_it_has_records(threads):
    # Given a chord of 20 tasks, of which five may be under way
    sent = threads.take(wish(1, fewer=5, tasks=20), in_line=False).slices
    assert sent == 5

    # When each is followed by the next
    ended = 0
    while threads.held().windows:
        ended += 1
        sent += pass_on(threads, 1)
        assert threads.held().jobs[1] <= 5

    # Then there were 20
    assert (sent, ended) == (20, 20)
    assert pass_on(threads, 1) == 0


def test_a_task_sent_in_vain_is_sent_once_more(threads):
    threads.take(wish(1, fewer=2, tasks=4), in_line=False)

    assert pass_on(threads, 1, asked=False) == 0
    assert [pass_on(threads, 1) for _ in range(4)] == [2, 1, 0, 0]
    assert threads.held().windows == set()


def test_a_chord_with_a_task_a_record_takes_threads_that_are_free_and_leaves_them_to_jobs_that_wait(threads):
    # Given a chord that found most threads taken
    threads.take(wish(1, whole=58), in_line=False)
    assert threads.take(wish(2, tenant=2, tasks=500), in_line=False).slices == 3

    # When they are free, the next of its tasks that ends has many followers
    threads.give_back(1, 1, slices=0)
    assert pass_on(threads, 2) > 30

    # And when a job waits, all its threads but one go to the line
    threads.wait([1])
    held = threads.held().jobs[2]
    assert [pass_on(threads, 2) for _ in range(held - 1)] == [0] * (held - 1)
    assert pass_on(threads, 2) == 1
    assert threads.held().jobs == {2: 1}


def test_after_a_minute_the_last_thread_of_a_chord_goes_to_a_job_that_waits_too(threads):
    # Given a chord with one thread and tasks left, which began a minute ago
    threads.take(wish(1, fewer=1, tasks=50), in_line=False)
    with connect(settings.current().limiter_url) as redis:
        *numbers, since = redis.hget("penstock:threads", "w1:1").split()
        redis.hset("penstock:threads", "w1:1", " ".join([*numbers, str(int(since) - 60)]))
    assert pass_on(threads, 1) == 1

    # When a job waits, the rest of the chord is left to another offer
    threads.wait([2])
    assert pass_on(threads, 1) == 0
    assert not threads.held().windows
