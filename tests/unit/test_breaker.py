"""A server that did not answer is left alone for a while."""

from app.core.breaker import Breaker


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_server_is_asked_until_it_fails():
    assert not Breaker(5.0, Clock()).is_open


def test_after_a_failure_it_is_left_alone_for_the_pause_and_then_asked_again():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.trip()

    open_after = {}
    for seconds in (0.0, 4.9, 5.0):
        clock.now = 1_000.0 + seconds
        open_after[seconds] = breaker.is_open

    assert open_after == {0.0: True, 4.9: True, 5.0: False}


def test_each_failure_begins_the_pause_anew():
    clock = Clock()
    breaker = Breaker(5.0, clock)
    breaker.trip()
    clock.now += 4.0
    breaker.trip()

    clock.now += 4.0
    assert breaker.is_open
    clock.now += 1.0
    assert not breaker.is_open
