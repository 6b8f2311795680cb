"""The stream of a document job: it tells the start, every document and the end, without a gap."""

import pytest

from tests.support.stored_documents import (
    JOBS,
    document,
    store,
)

pytestmark = pytest.mark.one_database


def documents_of(told: list) -> list[tuple]:
    return [
        (event.id, event.data["event_type"], event.data["document_index"], event.data["filename"])
        for event in told
        if event.data and event.data["document_index"] is not None
    ]


def test_the_stream_tells_the_start_every_document_and_the_end(served, sender, worker):
    # Given a job that somebody watches from its submission on
    job = sender.submit([document(filename="a"), document("?", "b"), document(filename="c")])
    with served.watch(job) as stream:
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")

        # When its documents are stored, one of them failing
        store(worker, job, count=1)
        store(worker, job)
        told = list(stream)

    # Then each is told once, and the end closes the stream
    assert documents_of(told) == [(1, "progress", 0, "a"), (2, "fail", 1, "b"), (3, "progress", 2, "c")]
    assert [event.kind for event in told] == ["progress"] * 4 + ["complete"]
    first, last = told[0], told[-1]
    assert (first.data["event_type"], first.data["message"]) == ("start", "Job started")
    assert (last.data["event_type"], last.data["message"], last.data["status"]) == (
        "complete",
        "failed",
        "failed",
    )
    assert "not base64" in told[2].data["message"]
    for event in told:
        assert event.data["job_id"] == job["id"]
        assert set(event.data) >= {"event_type", "document_index", "filename", "message", "timestamp"}
        assert event.data["timestamp"].endswith("Z")


def test_a_stream_that_is_cut_anywhere_goes_on_without_a_gap(served, sender, worker):
    # Given a job of many documents, some of them stored, and a late reader that leaves in the middle
    job = sender.submit([document(filename=str(number)) for number in range(120)])
    store(worker, job, count=40)
    read = []
    with served.watch(job) as stream:
        for event in stream:
            read.append(event)
            if len(read) == 25:
                break

    # When it comes back, leaves again, and comes back when the job has ended
    with served.watch(job, last_id=read[-1].id) as stream:
        for event in stream:
            read.append(event)
            if len(read) == 33:
                break
    store(worker, job)
    with served.watch(job, last_id=read[-1].id) as stream:
        read += list(stream)

    # Then it has read every message once, as one who was never cut
    with served.watch(job) as stream:
        whole = list(stream)
    assert read == whole
    assert [index for _, _, index, _ in documents_of(read)] == list(range(120))


def test_a_cancelled_job_tells_that_and_ends(served, sender, worker):
    job = sender.submit([document()] * 3)
    store(worker, job, count=1)
    with served.watch(job) as stream:
        stream.next("progress")
        sender.door.call("DELETE", f"{JOBS}/{job['id']}")
        told = list(stream)

    assert [(event.id, event.data["event_type"]) for event in told] == [
        (1, "progress"),
        (1, "fail"),
        (1, "fail"),
        ("1-cancel", "cancel"),
        ("1-complete", "complete"),
    ]
    assert told[-1].data["status"] == "cancelled"
    with served.watch(job, last_id="1-cancel") as stream:
        assert [event.data["event_type"] for event in stream] == ["complete"]
