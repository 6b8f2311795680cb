"""Document jobs: what is sent is stored, audited and handed over, and how that is told."""

import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis
from sqlalchemy import func, select

from app.core.documents import handoff
from models import Attempt, Blob, Handoff, RecordInput
from models.session import in_transaction, reading
from tasks import sweep
from tests.support.failing_proxy import RESET, FailingProxy, failing_proxy
from tests.support.front_door import Door, Worker, number_of
from tests.support.servers import wait_until
from tests.support.stored_documents import JOBS, PDF, PNG, Sender, document, files_in, store
from tests.support.threaded_server import Served, serving

pytestmark = pytest.mark.one_database


@pytest.fixture
def served(environment) -> Iterator[Served]:
    with serving() as made:
        yield made


@pytest.fixture
def sender(served) -> Sender:
    return Sender(served.door)


@pytest.fixture
def worker(served) -> Worker:
    return served.worker


@pytest.fixture
def blobs(environment) -> Path:
    return Path(environment["PENSTOCK_DATA"]) / "blobs"


@pytest.fixture
def parse_queue(environment, sender) -> Iterator["Queue"]:
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        yield Queue(client, f"tenant:{sender.tenant}:queue:parse")


class Queue:
    """The other end of the hand-off: a parse worker takes from it with BRPOP."""

    def __init__(self, client: redis.Redis, name: str) -> None:
        self._client, self.name = client, name

    def __len__(self) -> int:
        return int(self._client.llen(self.name))

    def take(self) -> dict[str, str]:
        found = self._client.brpop([self.name], timeout=5)
        assert found is not None
        return json.loads(found[1])

    def lose(self) -> None:
        self._client.delete(self.name)


def audit(door: Door, **query: str) -> list[dict]:
    return door.get("/api/v1/audit", query_string=query).get_json()["data"]


def test_a_job_is_answered_with_every_field_that_it_has(sender):
    job = sender.post([document(), document(PDF, "b.pdf")], collection="invoices", priority=7).get_json()

    assert uuid.UUID(job["job_id"]).version == 7
    varying = ("job_id", "created_at", "updated_at", "status")
    assert job["status"] == "pending"
    assert {name: job[name] for name in job if name not in varying} == {
        "tenant_id": sender.tenant,
        "total_documents": 2,
        "processed_count": 0,
        "failed_count": 0,
        "collection": "invoices",
        "priority": 7,
    }
    again = sender.job({"id": job["job_id"]})
    assert {name: again[name] for name in again if name not in varying[2:]} == {
        name: job[name] for name in job if name not in varying[2:]
    }


def test_every_document_is_stored_audited_and_handed_over_once_and_costs_nothing(
    sender, worker, blobs, parse_queue
):
    # Given three documents
    contents = [b"first", PDF, PNG]
    job = sender.submit([document(content, f"{number}.bin") for number, content in enumerate(contents)])

    # When they have been stored
    store(worker, job)
    handoff.push()

    # Then the job says so
    told = sender.job(job)
    assert (told["status"], told["processed_count"], told["failed_count"]) == ("completed", 3, 0)

    # And their bytes lie where the hand-off says, in order, and the records say the same
    records = sender.records(job)
    for content, record in zip(contents, records, strict=True):
        sha256 = hashlib.sha256(content).hexdigest()
        message = parse_queue.take()
        assert message == {
            "file_id": record["response"]["file_id"],
            "batch_id": job["id"],
            "sha256": sha256,
            "storage_path": f"raw/{sender.tenant}/{message['file_id']}/{sha256}",
            "tenant_id": sender.tenant,
            "metadata": {},
            "collection": None,
        }
        assert (blobs / message["storage_path"]).read_bytes() == content
        assert record["response"]["storage_path"] == message["storage_path"]
    assert len(parse_queue) == 0

    # And there is one audit event each, and no call: no attempt, no cost
    events = audit(sender.door, event_type="DOCUMENT_INGESTED")
    assert [event["resource_id"] for event in reversed(events)] == [
        record["response"]["file_id"] for record in records
    ]
    assert events[0] | {"event_id": 0, "created_at": 0} == {
        "event_id": 0,
        "tenant_id": sender.tenant,
        "event_type": "DOCUMENT_INGESTED",
        "resource_type": "document",
        "resource_id": records[2]["response"]["file_id"],
        "details": {"filename": "2.bin", "metadata": {}, "collection": None},
        "created_at": 0,
    }
    assert [(record["attempts"], record["cost"], record["usage"]) for record in records] == [
        (0, "0.00", None)
    ] * 3
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 0
    native = sender.door.get(f"/api/v1/jobs/{job['id']}").get_json()
    assert (native["cost"], native["model"], native["warnings"]) == ("0.00", None, [])


def test_metadata_and_collection_come_back_on_the_record_in_the_hand_off_and_in_the_audit(
    sender, worker, parse_queue
):
    # Given documents of one collection, of which one cannot be read, with anything that JSON can hold
    odd = {"größe": [1, None, {"a": 0.5}], "nul": "\0", "half": "\ud800"}
    documents = [document(metadata=odd), document("?", "bad.txt", metadata={"page": 2})]
    job = sender.submit(documents, collection="invoices")

    # Then their records say so before and after they end, in the list and in the file
    ways = (f"/api/v1/jobs/{job['id']}/records", f"/api/v1/jobs/{job['id']}/results")
    waiting = [record["document"] for record in sender.records(job)]
    store(worker, job)
    handoff.push()
    records = sender.records(job)
    file_id = records[0]["response"]["file_id"]
    said = {"file_id": file_id, "filename": "a.txt", "metadata": odd, "collection": "invoices"}
    assert records[0]["document"] == waiting[0] == said
    assert records[1]["document"] == waiting[1]
    assert records[1]["document"] == {
        "file_id": None,
        "filename": "bad.txt",
        "metadata": {"page": 2},
        "collection": "invoices",
    }
    listed, downloaded = (sender.door.get(way) for way in ways)
    assert [json.loads(line) for line in downloaded.text.splitlines()] == listed.get_json()["data"]

    # And so do the message to the parsers and the audit
    message = parse_queue.take()
    assert (message["file_id"], message["metadata"], message["collection"]) == (file_id, odd, "invoices")
    [event] = audit(sender.door)
    assert event["details"] == {"filename": "a.txt", "metadata": odd, "collection": "invoices"}
    assert sender.job(job)["collection"] == "invoices"


def test_a_document_for_a_model_is_described_beside_its_answer(sender, worker):
    job = sender.submit(
        [document(metadata={"page": 1})], collection="c", model="simulated", prompt="Summarise."
    )
    worker.end(job, [0])

    [record] = sender.records(job)
    assert record["response"]["content"]
    assert uuid.UUID(record["document"]["file_id"])
    assert (record["document"]["metadata"], record["document"]["collection"]) == ({"page": 1}, "c")


def test_documents_of_the_native_contract_are_described_too(sender, worker):
    records = [{"document": document(metadata={"page": 1})}]
    job = sender.door.post("/api/v1/jobs", json={"records": records}).get_json()
    store(worker, job)

    [record] = sender.records(job)
    assert record["document"] == {
        "file_id": record["response"]["file_id"],
        "filename": "a.txt",
        "metadata": {"page": 1},
        "collection": None,
    }


def test_what_the_release_before_has_written_is_handed_over(sender, worker, parse_queue):
    # Given a document and a message from a release that knew no collection
    job = sender.submit([document(), document()], collection="invoices")
    number = number_of(job)
    offered = {"queue": parse_queue.name, "body": b'{"file_id":"x"}', "job_id": number, "idx": 1}
    in_transaction(partial(_as_before, number=number, offered=offered))

    # When they are stored and pushed
    store(worker, job)
    handoff.push()

    # Then both arrive
    messages = [parse_queue.take() for _ in range(2)]
    assert messages[0] == {"file_id": "x"}
    assert (messages[1]["metadata"], messages[1]["collection"]) == ({}, None)
    assert [record["document"]["collection"] for record in sender.records(job)] == [None, "invoices"]


def _as_before(session, number, offered):
    row = session.get_one(RecordInput, (number, 0))
    row.body = b'{"document":' + json.dumps(json.loads(row.body)["document"]).encode() + b"}"
    session.add(Handoff(**offered))


def test_a_document_that_is_no_base64_fails_alone(sender, worker, blobs, parse_queue):
    job = sender.submit([document(), document("no base64!", "bad.txt"), document(b"third")])
    store(worker, job)
    handoff.push()

    told, records = sender.job(job), sender.records(job)
    assert (told["status"], told["processed_count"], told["failed_count"]) == ("failed", 2, 1)
    assert records[1]["error"]["type"] == "bad_document"
    assert "'!' at character 10" in records[1]["error"]["message"]
    assert len(parse_queue) == len(audit(sender.door)) == len(files_in(blobs)) == 2


def test_a_job_of_which_nothing_can_be_read_ends_failed_however_large_it_is(sender, worker):
    job = sender.submit([document("?")] * 150)
    store(worker, job)

    told = sender.job(job)
    assert (told["status"], told["failed_count"]) == ("failed", 150)


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"tenant_id": "acme"}, ["body", "tenant_id"]),
        ({"documents": []}, ["body", "documents"]),
        ({"documents": None}, ["body", "documents"]),
        ({"documents": [{"content": "QUJD"}]}, ["body", "documents", 0, "filename"]),
        ({"documents": [{"filename": "a"}]}, ["body", "documents", 0, "content"]),
        ({"documents": [document(), {"filename": "a", "content": 7}]}, ["body", "documents", 1, "content"]),
        ({"documents": [document(metadata=[])]}, ["body", "documents", 0, "metadata"]),
        ({"priority": 0}, ["body", "priority"]),
        ({"priority": 11}, ["body", "priority"]),
        ({"priority": "high"}, ["body", "priority"]),
        ({"collection": "x" * 256}, ["body", "collection"]),
        ({"webhook_url": "https://10.0.0.1"}, ["body", "webhook_url"]),
        ({"prompt": ""}, ["body", "prompt"]),
    ],
)
def test_a_bad_field_is_named_in_fastapis_way_and_nothing_is_kept(sender, blobs, change, loc):
    body = {"tenant_id": sender.tenant, "documents": [document()], **change}
    refused = sender.door.post(JOBS, json=body)

    assert refused.status_code == 422, refused.text
    assert [error["loc"] for error in refused.get_json()["detail"]] == [loc]
    assert files_in(blobs) == []
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"documents":[{"content":"QUJD"', b"\xff", b""])
def test_a_body_that_is_no_json_object_is_refused(sender, blobs, body):
    refused = sender.door.post(JOBS, data=body, content_type="application/json")

    assert refused.status_code == 422
    assert isinstance(refused.get_json()["detail"], list)
    assert files_in(blobs) == []


def test_a_document_that_is_named_twice_is_refused(sender, blobs):
    text = '{"tenant_id":"%s","documents":[{"filename":"a","content":"QUJD","content":"QUJE"}]}'
    refused = sender.door.post(JOBS, data=text % sender.tenant, content_type="application/json")

    assert refused.status_code == 422
    assert files_in(blobs) == []


def test_another_tenant_is_not_found_by_its_id_nor_is_its_job(sender, worker):
    other = Sender(sender.door.other())
    job = sender.submit([document()])

    refused = sender.post([document()], tenant=other.tenant)
    assert (refused.status_code, refused.get_json()) == (404, {"detail": "Tenant not found"})
    for path in (f"{JOBS}/{job['id']}", f"{JOBS}/{job['id']}/stream"):
        unknown = other.door.get(path)
        assert (unknown.status_code, unknown.get_json()) == (404, {"detail": "Job not found"})
    assert other.door.call("DELETE", f"{JOBS}/{job['id']}").get_json() == {
        "detail": "Job not found or not cancellable"
    }
    store(worker, job)
    assert audit(other.door) == []


def test_a_malformed_id_is_a_422_and_an_unknown_one_a_404(sender):
    for method, path in (("GET", f"{JOBS}/nope"), ("GET", f"{JOBS}/nope/stream"), ("DELETE", f"{JOBS}/nope")):
        refused = sender.door.call(method, path)
        assert refused.status_code == 422
        assert refused.get_json()["detail"][0]["loc"] == ["path", "job_id"]
    assert sender.door.get(f"{JOBS}/{uuid.uuid4()}").get_json() == {"detail": "Job not found"}


def test_what_is_too_large_is_a_413_and_leaves_nothing(environment, monkeypatch, tmp_path):
    # Given a door that takes documents of 20 kB and requests of 60 kB
    from config import settings

    monkeypatch.setenv("MAX_DOCUMENT_BYTES", "20000")
    monkeypatch.setenv("MAX_REQUEST_BYTES", "60000")
    monkeypatch.setenv("MAX_JSON_BYTES", "9000")
    settings.current.cache_clear()
    sender = Sender(Door())

    # When a document, a request, or what a request holds besides its documents is larger
    fits = sender.post([document(b"x" * 20_000)])
    large = sender.post([document(), document(b"x" * 20_001)])
    many = sender.post([document(b"x" * 15_000)] * 4)
    wordy = sender.post([document(metadata={"note": "n" * 9_000})])

    # Then it is refused by the name of the variable, and nothing of it is kept
    assert fits.status_code == 200
    for refused, variable in (
        (large, "MAX_DOCUMENT_BYTES"),
        (many, "MAX_REQUEST_BYTES"),
        (wordy, "MAX_JSON_BYTES"),
    ):
        assert refused.status_code == 413, refused.text
        assert variable in refused.get_json()["detail"]
    assert len(files_in(tmp_path / "blobs")) == 1


@pytest.mark.parametrize("form", ["document job", "empty", "records", "lines"])
def test_documents_too_many_for_the_size_of_their_request_are_a_413_and_leave_nothing(sender, tmp_path, form):
    # Given more documents of two bytes than a request of its size may have
    tiny = "aGk="
    door, lines = sender.door, f'{{"document":"{tiny}"}}\n' * 400

    # When they are sent through any door
    if form == "document job":
        refused = sender.post([document(tiny)] * 400)
    elif form == "empty":
        refused = sender.post([{}] * 400)
    elif form == "records":
        body = {"model": "simulated", "records": [{"document": tiny}] * 400}
        refused = door.post("/api/v1/jobs", json=body)
    else:
        file = (io.BytesIO(lines.encode()), "documents.jsonl")
        refused = door.post("/api/v1/jobs", data={"file": file, "model": "simulated"})

    # Then the answer says how many there may be, and nothing is kept
    assert refused.status_code == 413, refused.text
    assert "one more for each 800 bytes" in refused.text
    assert files_in(tmp_path / "blobs") == []


def test_small_documents_that_are_many_are_taken(sender):
    assert sender.submit([document(b"x" * 1_000)] * 200)["total_documents"] == 200


def test_a_column_called_document_may_have_any_number_of_cells(sender, tmp_path):
    rows = [{"document": "aGk="}] * 400
    body = {"template": "Read {{ document }}", "model": "simulated", "records": rows}

    assert sender.door.post("/api/v1/jobs", json=body).status_code == 202
    assert not (tmp_path / "blobs").exists()


def test_a_job_of_any_contract_is_shown_here_and_the_other_way_round(sender, worker):
    native = sender.door.submit(2, priority=3)
    worker.end(native, [0], error=("x", "y"))

    told = sender.job(native)
    assert (told["total_documents"], told["failed_count"], told["collection"]) == (2, 1, None)
    assert (told["priority"], told["tenant_id"]) == (3, sender.tenant)
    answer = sender.door.get(f"{JOBS}/{native['id']}")
    assert answer.headers["Penstock-Job"] == native["id"]


def test_a_job_is_cancelled_once(sender, worker):
    job = sender.submit([document()] * 3)
    store(worker, job, count=1)

    first = sender.door.call("DELETE", f"{JOBS}/{job['id']}")
    again = sender.door.call("DELETE", f"{JOBS}/{job['id']}")

    assert (first.status_code, first.get_json()) == (200, {"status": "cancelled"})
    assert again.status_code == 404
    told = sender.job(job)
    assert (told["status"], told["processed_count"], told["failed_count"]) == ("cancelled", 1, 2)


# --- the stream


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


# --- the hand-off


def test_what_the_list_has_no_room_for_waits_and_comes_later_in_order(
    environment, monkeypatch, sender, worker, parse_queue
):
    # Given a list that may have three
    from config import settings

    monkeypatch.setenv("PARSE_QUEUE_MAX", "3")
    settings.current.cache_clear()
    job = sender.submit([document(filename=str(number)) for number in range(5)])
    store(worker, job)
    ids = [record["response"]["file_id"] for record in sender.records(job)]

    # When they are handed over, again and again
    assert [handoff.push(), handoff.push()] == [3, 0]

    # Then the others follow as the first are taken
    taken = [parse_queue.take()["file_id"] for _ in range(2)]
    assert handoff.push() == 2
    taken += [parse_queue.take()["file_id"] for _ in range(3)]
    assert taken == ids
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Handoff)) == 0


def test_without_redis_documents_are_stored_and_handed_over_when_it_is_back(
    environment, redis_server, sender, worker, parse_queue
):
    job = sender.submit([document()])
    redis_server.kill()
    try:
        sweep.hand_over()  # nothing to do, and no Redis
        store(worker, job)
        sweep.hand_over()
        with reading() as session:
            assert session.scalar(select(func.count()).select_from(Handoff)) == 1
    finally:
        redis_server.start()
    wait_until(lambda: handoff.push() or len(parse_queue), what="the document is handed over")
    assert parse_queue.take()["batch_id"] == job["job_id"]


@pytest.fixture
def proxy(environment, monkeypatch, redis_server) -> Iterator[FailingProxy]:
    """Stands between the hand-off and Redis."""
    from config import settings

    with failing_proxy(redis_server.port) as made:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{made.port}/0")
        settings.current.cache_clear()
        yield made


def test_a_push_whose_connection_breaks_is_made_again(sender, worker, parse_queue, proxy):
    # Given two documents, and a connection that breaks twice when they are pushed
    job = sender.submit([document(), document(b"second")])
    store(worker, job)
    proxy.fail(RESET, RESET, at=b"LPUSH")

    # When they are handed over, then they are, once and in order
    assert handoff.push() == 2
    assert not proxy.answers
    ids = [record["response"]["file_id"] for record in sender.records(job)]
    assert [parse_queue.take()["file_id"] for _ in range(2)] == ids
    assert len(parse_queue) == 0


def test_what_cannot_be_pushed_is_offered_again_at_once(sender, worker, parse_queue, proxy):
    # Given a connection that breaks whenever something is pushed
    store(worker, sender.submit([document()]))
    proxy.fail(*[RESET] * 10, at=b"LPUSH")

    # When it is tried, then it ends soon, and nothing is in anybody's hands
    with pytest.raises(redis.ConnectionError):
        handoff.push()
    assert len(proxy.answers) == 7
    with reading() as session:
        assert session.scalars(select(Handoff.taken_until)).all() == [None]

    # And when connections hold again, it is handed over
    proxy.fail()
    assert handoff.push() == len(parse_queue) == 1


def test_a_list_that_was_lost_is_filled_again_with_the_same_ids(sender, worker, parse_queue):
    # Given a job whose documents were handed over, and a Redis that lost them
    job = sender.submit([document(), document("?"), document(b"third")])
    store(worker, job)
    handoff.push()
    before = [parse_queue.take()["file_id"] for _ in range(2)]
    parse_queue.lose()

    # When they are offered again, twice
    assert handoff.again(number_of(job)) == handoff.again(number_of(job)) == 2
    handoff.push()

    # Then the same ids come again, once
    assert [parse_queue.take()["file_id"] for _ in range(2)] == before
    assert len(parse_queue) == 0


def test_nobody_is_told_where_the_hand_off_is_switched_off(
    environment, monkeypatch, sender, worker, parse_queue
):
    from config import settings

    monkeypatch.setenv("PARSE_HANDOFF", "false")
    settings.current.cache_clear()
    job = sender.submit([document()])
    store(worker, job)

    assert handoff.push() == len(parse_queue) == 0
    assert len(audit(sender.door)) == 1


# --- the audit


def test_the_audit_is_read_page_by_page_and_by_its_own_scope(sender, worker):
    job = sender.submit([document(filename=str(number)) for number in range(5)])
    store(worker, job)

    names, cursor = [], None
    while True:
        query = {"limit": 2, "event_type": "DOCUMENT_INGESTED"} | ({"cursor": cursor} if cursor else {})
        page = sender.door.get("/api/v1/audit", query_string=query).get_json()
        names += [event["details"]["filename"] for event in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == ["4", "3", "2", "1", "0"]
    assert audit(sender.door, event_type="SOMETHING_ELSE") == []
    reader = sender.door.other("acme", scopes=("jobs:read",))
    assert reader.get("/api/v1/audit").status_code == 403
    assert len(audit(sender.door.other("acme", scopes=("audit",)))) == 5
    assert sender.door.get("/api/v1/audit?cursor=x").status_code == 422
