"""The writer of a process goes on, whatever becomes of a group's other readers."""

import socketserver
import threading

import pytest

from app.core.pipeline import leases
from app.core.worker.writer import Writer
from models.session import in_transaction
from tests.integration.test_statement_counts import answered, first_window, take
from tests.support.stack import redis_at

pytestmark = pytest.mark.one_database


@pytest.fixture
def writer():
    made = Writer()
    yield made
    made.stop()


def write(writer, claim, report=None):
    """Write an answer to the record and wait until that was reported."""
    reported = threading.Event()

    def on_committed(*_):
        reported.set()
        if report is not None:
            report()

    writer.put(answered(claim, cost=5), on_committed)
    assert reported.wait(10), "it was never reported"


class Babble(socketserver.StreamRequestHandler):
    """Answers each line with a number that is none, of which redis-py 8 makes a ValueError."""

    def handle(self):
        for _ in self.rfile:
            self.wfile.write(b":none\r\n")


@pytest.fixture
def babbling_redis():
    """The address of a Redis whose answers make no sense."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Babble) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
        server.shutdown()


def test_answers_are_written_after_readers_could_not_be_notified_of_one(quiet, writer, babbling_redis):
    job = quiet.prompts(2)
    first, second = take(first_window(job), in_transaction(leases.take), 2)

    with redis_at(babbling_redis):
        write(writer, first)
        write(writer, second)

    assert job.counts().succeeded == 2


def test_answers_are_reported_after_the_report_of_one_has_failed(quiet, writer):
    def fail():
        raise RuntimeError("a bug in a slice")

    job = quiet.prompts(2)
    first, second = take(first_window(job), in_transaction(leases.take), 2)

    write(writer, first, fail)
    write(writer, second)

    assert job.counts().succeeded == 2
