"""The front door as gunicorn serves it: its end, its memory, and answers to bodies that are too large."""

import json
import signal
import time
from collections.abc import Iterator

import httpx2
import pytest
from simple_websocket import Client, ConnectionClosed
from sqlalchemy import insert, update

from app.dialects.processor.socket import PATH
from models import JobCounts, Record, RecordOutput
from models.base import now
from models.session import in_transaction
from tests.support.front_door import Door, Worker, number_of
from tests.support.sse_reader import Stream
from tests.support.web_process import WebProcess, web_process

pytestmark = pytest.mark.one_database

# What does not depend on the database is tried with one.
on_sqlite = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def server(environment, tmp_path) -> Iterator[WebProcess]:
    with web_process(environment, tmp_path) as running:
        yield running


@on_sqlite
def test_a_process_that_stops_ends_its_streams_at_once(server):
    # Given an open stream of a job that does not end
    door = Door()
    job = door.submit(1)
    with Stream(server.url, job["links"]["events"], door.key) as stream:
        stream.next("snapshot")

        # When the process is told to stop
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        rest = list(stream)
        code = server.process.wait(20)

    # Then the stream ends in good order, long before the time that requests have
    assert [event.kind for event in rest if event.kind == "records"] == []
    assert code == 0
    assert time.monotonic() - started < 15
    assert "Traceback" not in server.log.read_text()


@on_sqlite
def test_a_websocket_that_has_ended_is_in_nobodys_way(server):
    # Given WebSockets that the server ends, because what they send is no request
    headers, address = {"X-API-Key": Door().key}, server.url.replace("http", "ws") + PATH
    for _ in range(5):
        wire = Client.connect(address, headers=headers)
        wire.send("nonsense")
        with pytest.raises(ConnectionClosed):
            wire.receive(10)

        # When the next connections come, of which one gets the descriptor that has become free
        answers = [server.answers() for _ in range(3)]

        # Then each is answered
        assert answers == [True] * 3

    # And no thread is left that waits for a client's next word, and that the end of the process waits for
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(15) == 0
    assert "Traceback" not in server.log.read_text()


def test_results_of_any_size_take_little_memory(server):
    # Given 200 MB of answers, of which no page of records holds more than a few
    door, worker = Door(), Worker()
    job = door.submit(2_000)
    worker.end(job, [0])
    _answer_all(job, 2_000, json.dumps({"content": [{"type": "text", "text": "x" * 100_000}]}).encode())
    headers = {"X-API-Key": door.key}
    httpx2.get(f"{server.url}{job['links']['self']}", headers=headers, timeout=10)
    before = server.resident_bytes()

    # When they are downloaded, slower than they could be
    most, lines = before, 0
    with httpx2.stream("GET", server.url + job["links"]["results"], headers=headers, timeout=60) as response:
        for chunk in response.iter_bytes(1_000_000):
            lines += chunk.count(b"\n")
            most = max(most, server.resident_bytes())

    # Then all of them came, and the process held some pages of them at the most
    assert lines == 2_000
    assert most - before < 60_000_000


@on_sqlite
def test_a_body_over_the_limit_is_answered_though_it_is_still_coming(server):
    door = Door()
    body = json.dumps({"model": "simulated", "records": [{"prompt": "x" * 17_000_000}]})

    response = httpx2.post(
        f"{server.url}/api/v1/jobs",
        content=body,
        headers={"X-API-Key": door.key, "Content-Type": "application/json"},
        timeout=30,
    )

    assert response.status_code == 413
    assert "JSONL" in response.json()["error"]["message"]


def _answer_all(job, count: int, body: bytes) -> None:
    """Rows of a job whose records all have this answer."""
    job_id = number_of(job)

    def work(session) -> None:
        session.execute(update(Record).where(Record.job_id == job_id).values(status=4, attempts=1))
        for first in range(1, count, 100):
            session.execute(
                insert(RecordOutput).values(ended_at=now()),
                [
                    {"job_id": job_id, "idx": index, "seq": index + 1, "body": body}
                    for index in range(first, min(first + 100, count))
                ],
            )
        session.execute(
            update(JobCounts).where(JobCounts.job_id == job_id).values(succeeded=count, seq=count)
        )

    in_transaction(work)
