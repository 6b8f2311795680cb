"""The word that a create and a cancel are answered with, whatever has happened to the job meanwhile."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle
from config import settings
from models.job import Job, JobStatus
from models.session import in_transaction
from tasks import advance
from tests.support.front_door import Door, Worker, number_of
from tests.support.stored_documents import JOBS, Sender, document, store
from tests.support.threaded_server import serving

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment, monkeypatch) -> Door:
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    settings.current.cache_clear()
    return Door()


def bodies(door: Door) -> dict[str, dict[str, Any]]:
    """What each contract's create call takes, by its path."""
    return {
        "/batch_process": {"requests": [{"text": "Something happened.", "operation": "summarize"}] * 2},
        "/api/v1/batch/analyze": {"records": [{"structured_data": {"data": {"a": 1}}}] * 2},
        JOBS: {"tenant_id": Sender(door).tenant, "documents": [document()] * 2, "prompt": "Read this."},
        "/api/batch-processor/submit": {"data": [{"prompt": "Why?"}] * 2},
    }


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/batch_process", "PENDING"),
        ("/api/v1/batch/analyze", "accepted"),
        (JOBS, "pending"),
        ("/api/batch-processor/submit", "queued"),
    ],
)
def test_a_create_is_answered_with_the_first_word_whatever_has_begun(door, path, word):
    # Given a job that was made
    def create() -> dict[str, Any]:
        headers = {"Idempotency-Key": "one", "Prefer": "respond-async"}
        response = door.post(path, json=bodies(door)[path], headers=headers)
        assert response.status_code in (200, 202), response.text
        return {**response.get_json(), "id": response.headers["Penstock-Job"]}

    first = create()
    assert first["status"] == word

    # When the same call comes again while the job runs, and when it has ended
    worker = Worker()
    for index, native in enumerate(("running", "completed")):
        worker.end(first, [index])
        advance.run(number_of(first))
        assert door.get(f"/api/v1/jobs/{first['id']}").get_json()["status"] == native
        again = create()

        # Then the answer is still that of a job that was just stored
        same = first.keys() - {"estimated_completion_time", "queue_position"}
        assert {name: again[name] for name in same} == {name: first[name] for name in same}


def test_a_cancelled_document_job_says_so_from_that_call_on(environment):
    with serving() as served:
        # Given a job with a document in flight
        sender, worker = Sender(served.door), served.worker
        job = sender.submit([document()] * 3)
        store(worker, job, count=1)
        [in_flight] = worker.claim(job, [1])
        with served.watch(job) as stream:
            stream.next("progress")

            # When it is cancelled, and its call has not been closed yet
            cancelled = sender.door.call("DELETE", f"{JOBS}/{job['id']}")
            assert (cancelled.status_code, cancelled.get_json()) == (200, {"status": "cancelled"})
            native = sender.door.get(f"/api/v1/jobs/{job['id']}").get_json()
            assert (native["status"], native["counts"]["running"]) == ("cancelling", 1)

            # Then it is cancelled for all its readers, and cannot be cancelled again
            assert sender.job(job)["status"] == "cancelled"
            assert sender.door.call("DELETE", f"{JOBS}/{job['id']}").status_code == 404

            # And so it stays when the call has ended after all
            worker.end(job, [in_flight.idx])
            advance.run(number_of(job))
            told = list(stream)
        assert [told[-2].data["event_type"], told[-1].data["status"]] == ["cancel", "cancelled"]
        told = sender.job(job)
        assert (told["status"], told["processed_count"], told["failed_count"]) == ("cancelled", 2, 1)


def test_a_document_job_whose_time_is_over_was_not_cancelled(environment):
    # Given a job whose time is over while a document is in flight
    sender, worker = Sender(Door()), Worker()
    job = sender.submit([document()] * 2)
    store(worker, job, count=1)
    worker.claim(job, [1])

    def close(session: Session) -> None:
        lifecycle.close(session, session.get_one(Job, number_of(job)), JobStatus.EXPIRED, "Too late.")

    in_transaction(close)

    # Then nobody can cancel it, and nobody is told that it was cancelled
    assert sender.door.call("DELETE", f"{JOBS}/{job['id']}").status_code == 404
    assert sender.job(job)["status"] == "processing"
