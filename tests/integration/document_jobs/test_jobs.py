"""Document jobs as their callers see them: taken, stored, refused, cancelled."""

import io
import json
import uuid

import pytest
from sqlalchemy import func, select

from app.core.documents import handoff
from models import Blob
from models.session import reading
from tests.support.front_door import Door
from tests.support.stored_documents import (
    JOBS,
    PDF,
    Sender,
    audit,
    document,
    files_in,
    store,
)

pytestmark = pytest.mark.one_database


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
