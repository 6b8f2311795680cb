"""Who may have how many threads of slice workers. On a real Redis."""

import pytest

from app.core.limits.limiter import limiter
from app.core.limits.threads import Granted, Wish

CAPACITY = 64

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def threads(environment):
    return limiter().threads


def wish(window: int, *, tenant: int = 1, job: int | None = None, whole: int = 0, fewer: int = 48) -> Wish:
    """Of a window of a job of its own."""
    return Wish(window, 1, tenant, job or window, CAPACITY, whole, fewer)


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
