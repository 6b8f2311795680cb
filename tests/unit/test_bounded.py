"""Asking what may never answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.core.monitoring.bounded import Bounded
from app.errors import Unavailable


@pytest.fixture
def released():
    """Lets whatever waits at the end of the test go."""
    event = threading.Event()
    yield event
    event.set()


def test_what_never_answers_is_given_up_and_costs_one_thread_however_many_ask(released):
    runs = []

    def stopped():
        runs.append(1)
        released.wait()

    bounded = Bounded(stopped, patience=0.05)

    def ask():
        with pytest.raises(Unavailable, match=r"no answer within 0\.05 s"):
            bounded.get()

    with ThreadPoolExecutor(8) as askers:
        for asked in [askers.submit(ask) for _ in range(16)]:
            asked.result()
    assert len(runs) == 1


def test_it_is_asked_again_when_it_has_answered(released):
    bounded = Bounded(lambda: released.wait() and "here", patience=0.05)
    with pytest.raises(Unavailable):
        bounded.get()

    released.set()

    assert bounded.get() == "here"


def test_a_result_is_kept_and_so_is_a_failure():
    answers = iter(["first", "second"])
    kept = Bounded(lambda: next(answers), patience=5, keep=60)
    assert [kept.get(), kept.get()] == ["first", "first"]

    faults = iter([ValueError("first"), ValueError("second")])

    def fail():
        raise next(faults)

    failing = Bounded(fail, patience=5, keep=60)
    for _ in range(2):
        with pytest.raises(ValueError, match="first"):
            failing.get()


def test_without_keeping_each_who_asks_is_answered_anew():
    answers = iter(range(9))
    bounded = Bounded(lambda: next(answers), patience=5)
    assert [bounded.get(), bounded.get()] == [0, 1]
