"""A server that goes is one line, and one when it is back, whatever misses it how often."""

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
import structlog
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy.exc import IntegrityError, OperationalError
from structlog.typing import EventDict

from app.core.outages import database, lines, outage, servers
from app.core.outages.outage import Outage, Server
from app.errors import LimiterAway
from tests.support.servers import wait_until
from tests.support.stack import forget_process_state


class FakeServer:
    """One that a test takes away."""

    def __init__(self) -> None:
        self.is_there = threading.Event()

    def find(self) -> Server:
        return Server("here", self.reach)

    def reach(self) -> None:
        if not self.is_there.is_set():
            raise ConnectionError


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Outages that are over soon, of servers that are not there."""
    monkeypatch.setattr(outage, "CHECK", 0.01)
    monkeypatch.setattr(outage, "QUIET", 0.1)
    monkeypatch.setattr(outage, "QUIET_ANSWERING", 1.0)
    monkeypatch.setenv("DATABASE_URL", "sqlite:////nowhere/penstock.db")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    forget_process_state()
    yield
    forget_process_state()


@pytest.fixture
def said() -> Callable[[], list[EventDict]]:
    lines: list[EventDict] = []

    def keep(_: object, __: str, event: EventDict) -> EventDict:
        lines.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    yield lambda: lines
    structlog.reset_defaults()


def test_what_misses_a_server_is_said_once_and_counted_until_it_is_back(said):
    server = FakeServer()
    gone = Outage("store", server.find)

    # Given what needs it in the midst of somebody's request
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        for during in ("lease", "tick", "lease"):
            gone.noticed(during, "ConnectionError")
    server.is_there.set()
    wait_until(lambda: gone.is_over, seconds=5)

    away, back = said()
    assert away == {"event": "store.away", "during": "lease", "error": "ConnectionError", "server": "here"}
    assert (back["event"], back["left_out"], back["missed"]) == ("store.back", 2, {"lease": 2, "tick": 1})
    assert back["seconds"] >= 0

    # And the next time it is told again
    gone.noticed("tick", "ConnectionError")
    wait_until(lambda: gone.is_over, seconds=5)
    assert [line["event"] for line in said()] == ["store.away", "store.back"] * 2


def test_a_server_that_answers_but_serves_nobody_is_not_back(said):
    # Given a Redis that is full: it answers each ping
    server = FakeServer()
    server.is_there.set()
    full = Outage("store", server.find)
    looks = threading.Event()

    # When what misses it comes less often than one that came back would be believed
    for _ in range(4):
        full.noticed("sweep", "OutOfMemoryError")
        looks.wait(0.2)

    assert [line["event"] for line in said()] == ["store.away"]
    wait_until(lambda: full.is_over, seconds=5)


def test_many_threads_that_miss_a_server_say_it_once(said):
    server = FakeServer()
    gone = Outage("store", server.find)
    threads = [threading.Thread(target=gone.noticed, args=("call", "TimeoutError")) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.is_there.set()
    wait_until(lambda: gone.is_over, seconds=5)
    assert [line["event"] for line in said()] == ["store.away", "store.back"]
    assert said()[-1]["left_out"] == 31


def caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "of", "kind"),
    [
        (redis.TimeoutError(), servers.REDIS, "TimeoutError"),
        (caused(LimiterAway("gone"), redis.ConnectionError()), servers.REDIS, "ConnectionError"),
        (caused(BrokerError("gone"), redis.ConnectionError()), servers.REDIS, "ConnectionError"),
        (OperationalError("SELECT 1", {}, ConnectionResetError()), database.DATABASE, "ConnectionResetError"),
        (IntegrityError("INSERT", {}, ValueError("row")), None, "ValueError"),
        (ValueError("a bug"), None, "ValueError"),
    ],
)
def test_an_error_shows_which_server_is_away_if_any(error, of, kind):
    assert (servers.of(error), servers.kind(error)) == (of, kind)


def test_a_redis_that_answers_and_serves_nobody_says_why(said):
    full = redis.exceptions.OutOfMemoryError(
        "Command # 1 (XADD relay:7 an answer) of pipeline caused error: OOM command not allowed"
    )
    servers.tell(caused(LimiterAway("full"), full), "permits")
    [line] = said()
    assert (line["event"], line["error"]) == ("redis.away", "OutOfMemoryError")
    assert line["why"] == "OOM command not allowed"


def test_what_is_no_outage_is_told_with_its_traceback(said):
    servers.tell(ValueError("a bug"), "tick")
    [line] = said()
    assert (line["event"], line["during"], str(line["exc_info"])) == ("unexpected_error", "tick", "a bug")


LOST = redis.ConnectionError("Error 111")
GONE = OperationalError("SELECT 1", {}, ConnectionResetError())


def test_what_celery_warns_of_while_it_handles_an_outage_is_counted_with_it(said):
    text = "trace.py:809: RuntimeWarning: Exception raised outside body: gone:\nTraceback"
    record = logging.LogRecord("py.warnings", logging.WARNING, "", 0, "%s", (text,), None)
    assert not lines.is_told(record)
    try:
        raise LOST
    except redis.ConnectionError:
        assert lines.is_told(record)
    assert [line["during"] for line in said()] == ["celery"]
    servers.REDIS.is_over = True


@pytest.mark.parametrize(
    ("logger", "level", "message", "error", "is_told"),
    [
        ("celery.worker.consumer.consumer", "ERROR", "consumer: Cannot connect to redis://h: no", None, True),
        ("celery.worker.consumer.consumer", "WARNING", "consumer: Connection to broker lost.", None, True),
        ("celery.app.trace", "ERROR", "Task penstock.sweep raised unexpected", GONE, True),
        ("celery.app.trace", "ERROR", "Task penstock.sweep raised unexpected", ValueError(), False),
        ("celery.beat", "ERROR", "Message Error", caused(ValueError(), LOST), True),
        ("flower.events", "ERROR", "Failed to capture events, trying again in 2 seconds.", None, True),
        ("gunicorn.error", "ERROR", "Error handling request", GONE, True),
        ("gunicorn.error", "ERROR", "Error handling request", ConnectionResetError(), False),
        ("celery.apps.worker", "INFO", "connection to broker lost", None, False),
        ("ours", "ERROR", "connection to broker lost", LOST, False),
    ],
)
def test_a_librarys_line_about_an_outage_is_counted_with_it(said, logger, level, message, error, is_told):
    outages = servers.REDIS, database.DATABASE
    exc_info = None if error is None else (type(error), error, None)
    record = logging.LogRecord(logger, logging.getLevelName(level), "", 0, message, (), exc_info)
    try:
        assert lines.is_told(record) == is_told
        assert [one.is_over for one in outages].count(False) == is_told
        assert len(said()) == is_told
    finally:
        for one in outages:
            one.is_over = True
