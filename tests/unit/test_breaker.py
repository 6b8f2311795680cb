"""A server that did not answer is left alone for a while."""

import socket
from collections.abc import Callable, Iterator

import pytest

from app.core.breaker import Breaker
from app.core.outages import servers
from app.core.pipeline import notifications
from config import settings
from tasks import wake
from tests.support.stack import forget_process_state


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


@pytest.fixture
def hanging_redis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """A Redis that takes connections and never answers; tells how many there were."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{server.getsockname()[1]}/0")
        forget_process_state()
        # It is known to be away, so that nobody looks whether it is back.
        servers.REDIS.is_over = False
        yield lambda: _connections(server)
        servers.REDIS.is_over = True
    forget_process_state()


def _connections(server: socket.socket) -> int:
    count = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_whoever_publishes_waits_for_a_redis_that_hangs_once(hanging_redis):
    for _ in range(3):
        notifications.publish([7])

    assert hanging_redis() == 1


def test_whoever_wakes_a_job_waits_for_a_redis_that_hangs_once(hanging_redis):
    for _ in range(3):
        wake.wake(7)

    assert hanging_redis() == 1


def test_a_listener_hears_nothing_of_a_redis_that_hangs_and_asks_it_once(hanging_redis):
    listener = notifications.Listener(settings.current().limiter_url)

    assert [listener.listen(0.01) for _ in range(3)] == [set()] * 3

    listener.close()
    assert hanging_redis() == 1
