"""What is stored is handed over to the parsers once and in order, and audited."""

import hashlib
import json
from collections.abc import Iterator
from functools import partial

import pytest
import redis
from sqlalchemy import func, select

from app.core.documents import handoff
from models import Attempt, Handoff, RecordInput
from models.session import in_transaction, reading
from tasks import sweep
from tests.support.failing_proxy import RESET, FailingProxy, failing_proxy
from tests.support.front_door import number_of
from tests.support.servers import wait_until
from tests.support.stored_documents import (
    PDF,
    PNG,
    audit,
    document,
    store,
)

pytestmark = pytest.mark.one_database
CONTENTS = (b"first", PDF, PNG)


@pytest.fixture
def stored(sender, worker):
    """A job whose three documents have been stored and handed over."""
    job = sender.submit([document(content, f"{number}.bin") for number, content in enumerate(CONTENTS)])
    store(worker, job)
    handoff.push()
    return job


def test_every_document_is_stored_and_handed_over_once(stored, sender, blobs, parse_queue):
    told = sender.job(stored)
    assert (told["status"], told["processed_count"], told["failed_count"]) == ("completed", 3, 0)

    # Their bytes lie where the hand-off says, in order, and the records say the same
    for content, record in zip(CONTENTS, sender.records(stored), strict=True):
        sha256 = hashlib.sha256(content).hexdigest()
        message = parse_queue.take()
        assert message == {
            "file_id": record["response"]["file_id"],
            "batch_id": stored["id"],
            "sha256": sha256,
            "storage_path": f"raw/{sender.tenant}/{message['file_id']}/{sha256}",
            "tenant_id": sender.tenant,
            "metadata": {},
            "collection": None,
        }
        assert (blobs / message["storage_path"]).read_bytes() == content
        assert record["response"]["storage_path"] == message["storage_path"]
    assert len(parse_queue) == 0


def test_every_document_is_audited_once_and_costs_nothing(stored, sender):
    records = sender.records(stored)
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

    # There was no call: no attempt, no cost
    assert [(record["attempts"], record["cost"], record["usage"]) for record in records] == [
        (0, "0.00", None)
    ] * 3
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 0
    native = sender.door.get(f"/api/v1/jobs/{stored['id']}").get_json()
    assert (native["cost"], native["model"], native["warnings"]) == ("0.00", None, [])


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
