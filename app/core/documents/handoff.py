"""The hand-off: stored documents are pushed onto a list in Redis, from which a parser takes them.

Delivery is at least once: a row marks a document as to be pushed, and is removed after the push. Rows are
taken, pushed and removed in three steps, so that no message is sent inside a transaction; if a process dies
in between, the next one pushes its rows again.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import redis
from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from app.core.accounts import audit
from app.core.requests import job_context
from app.core.requests.job_context import JobContext
from app.errors import NotFound
from app.ingest import documents
from app.ingest.documents import Document
from app.ingest.values import to_json
from config import settings
from models.base import now
from models.document import Handoff
from models.job import Job
from models.record import Record, RecordInput, RecordStatus
from models.session import in_transaction, reading
from models.upsert import insert_missing

EVENT = "DOCUMENT_INGESTED"  # in the audit, of a document that was stored
AT_ONCE = 500  # documents that are pushed with one command
TAKEN = 30.0  # seconds that taken rows belong to one process

# Retries a push whose connection broke; briefly, as what is not pushed stays offered to the next tick. What
# was pushed before the connection broke arrives twice, as anything here may.
_attempts = Retrying(
    retry=retry_if_exception_type(redis.ConnectionError),
    wait=wait_random_exponential(multiplier=0.1, max=0.5),  # seconds
    stop=stop_after_attempt(3),
    reraise=True,
)


def record_ingested(session: Session, job: JobContext, bodies: Mapping[int, bytes]) -> None:
    """Audit and offer the documents among succeeded records; `bodies` are by index.

    Call it in the transaction that writes the outcomes.
    """
    ingested = {idx: document for idx, body in bodies.items() if (document := documents.read(body))}
    if not ingested:
        return
    details = {document.file_id: document.description() for document in ingested.values()}
    audit.write(session, job.tenant_id, EVENT, "document", details)
    add(session, job, ingested)


def add(session: Session, job: JobContext, by_index: Mapping[int, Document]) -> None:
    """Offer documents of a job, by their index; those already offered stay as they are."""
    if not settings.current().parse_handoff or not by_index:
        return
    offered = (
        {"queue": queue_of(job), "body": _message(job, document), "job_id": job.job_id, "idx": idx}
        for idx, document in by_index.items()
    )
    insert_missing(session, Handoff, *offered)


def queue_of(job: JobContext) -> str:
    return f"tenant:{job.tenant_uid}:queue:parse"


any_offered = exists().select_from(Handoff)  # a document


def push() -> int:
    """Push what is offered, as far as there is room in each list; returns how many documents.

    Raises `RedisError` while Redis is away: nothing is lost then.
    """
    queues = list(_queues()) if settings.current().parse_handoff else []
    if not queues:
        return 0
    url = settings.current().handoff_url
    with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=1) as client:
        return sum(_push(client, queue) for queue in queues)


def find_job(session: Session, uid: uuid.UUID) -> int:
    """The internal id of a job, of any tenant, that still has its documents; raises `NotFound`."""
    job_id = session.scalar(select(Job.id).where(Job.uid == uid, Job.content_removed_at.is_(None)))
    if job_id is None:
        raise NotFound(f"there is no job {uid} with documents that still exist")
    return job_id


def again(job_id: int) -> int:
    """Offer all stored documents of a job again, as after a loss of Redis; returns how many."""
    job, after, count = job_context.of(job_id), -1, 0
    while stored := _stored(job_id, after):
        in_transaction(partial(add, job=job, by_index=stored))
        after, count = max(stored), count + len(stored)
    return count


def _push(client: redis.Redis, queue: str) -> int:
    pushed = 0
    while (room := settings.current().parse_queue_max - int(client.llen(queue))) > 0:
        bodies = in_transaction(partial(_take, queue=queue, limit=min(room, AT_ONCE)))
        if not bodies:
            break
        try:
            # Popped from the other end of the list, they come out in this order.
            _attempts(client.lpush, queue, *bodies.values())
        except redis.RedisError:
            in_transaction(partial(_release, ids=list(bodies)))
            raise
        in_transaction(partial(_remove, ids=list(bodies)))
        pushed += len(bodies)
    return pushed


def _queues() -> Iterator[str]:
    """Lists with offered documents, each found by one index lookup."""
    after = ""
    with reading() as session:
        while True:
            following = select(Handoff.queue).where(Handoff.queue > after).order_by(Handoff.queue).limit(1)
            queue = session.scalar(following)
            if queue is None:
                return
            yield queue
            after = queue


def _take(session: Session, queue: str, limit: int) -> dict[int, bytes]:
    """Messages by the ids of their rows, in order; no other process takes them for `TAKEN` seconds."""
    free = (
        select(Handoff.id)
        .where(Handoff.queue == queue, or_(Handoff.taken_until.is_(None), Handoff.taken_until <= now()))
        .order_by(Handoff.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(
        update(Handoff)
        .where(Handoff.id.in_(session.scalars(free).all()))
        .values(taken_until=now(TAKEN))
        .returning(Handoff.id, Handoff.body)
    ).all()
    return {row.id: row.body for row in sorted(rows, key=lambda row: row.id)}


def _release(session: Session, ids: Sequence[int]) -> None:
    session.execute(update(Handoff).where(Handoff.id.in_(ids)).values(taken_until=None))


def _remove(session: Session, ids: Sequence[int]) -> None:
    session.execute(delete(Handoff).where(Handoff.id.in_(ids)))


def _stored(job_id: int, after: int) -> dict[int, Document]:
    """The job's next stored documents after index `after`."""
    with reading() as session:
        rows = session.execute(
            select(RecordInput.idx, RecordInput.body)
            .join(Record, (Record.job_id == RecordInput.job_id) & (Record.idx == RecordInput.idx))
            .where(
                RecordInput.job_id == job_id,
                RecordInput.idx > after,
                Record.status == RecordStatus.SUCCEEDED,
            )
            .order_by(RecordInput.idx)
            .limit(AT_ONCE)
        ).all()
    return {row.idx: document for row in rows if (document := documents.read(row.body))}


def _message(job: JobContext, document: Document) -> bytes:
    return to_json(
        {
            "file_id": document.file_id,
            "batch_id": str(job.uid),
            "sha256": document.sha256,
            "storage_path": document.key,
            "tenant_id": str(job.tenant_uid),
            "metadata": document.metadata,
            "collection": document.collection,
        }
    )
