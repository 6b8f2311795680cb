"""Storing a job and waking it. Every entry point uses this."""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import structlog
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.accounts import quotas
from app.core.documents.upload import Upload
from app.core.money import pricing
from app.core.pipeline import priority_queue, staging
from app.core.requests import earlier_answers
from app.core.requests.earlier_answers import Earlier
from app.core.webhooks import outbox
from app.errors import BadInput, Conflict, Unavailable
from app.ingest import bounds, operations
from app.ingest.draft import Defaults, Draft
from app.ingest.forms.table_form import TableForm
from app.ingest.spool import DraftSpool
from app.ingest.values import byte_size
from app.providers import registry
from config import settings
from models.base import new_uid, now
from models.bulk import load
from models.file import FileBatch
from models.job import IdempotencyKey, Job, JobCounts, JobSpec, JobStatus
from models.job_table import JobTable
from models.record import Record, RecordInput, RecordOutput, RecordStatus
from models.session import after_commit, in_transaction, reading
from models.transitions import move_job
from tasks import webhooks
from tasks.wake import hurry, start

log = structlog.get_logger()

ATTEMPTS = 3  # attempts to store a submission that a repeat overtook, or whose process was declared dead


@dataclass(frozen=True, slots=True)
class Repeat:
    """What identifies a submission when it is sent again."""

    key: str
    fingerprint: bytes  # a 32-byte digest of its content
    within: int | None = None  # seconds since the earlier one, at most; None: while its key is kept


@dataclass(frozen=True, slots=True)
class FileTerms:
    """What the caller said of a batch that is made of a file of requests."""

    endpoint: str
    input_file: str | None  # its id; None: the requests came with the call
    completion_window: str
    output_seconds: int | None = None  # after the batch's end, while its output can be read
    mixed: bool = False  # some of its lines have another url than `endpoint`


@dataclass(frozen=True, slots=True)
class Options:
    """A caller's options for a job besides its records and their defaults."""

    name: str | None = None
    priority: int = 5
    urgency: str | None = None  # puts it in the priority queue; see `models.job.Job`
    time_limit_ms: int | None = None  # counts from its first call
    label: str | None = None  # the caller's own name for it, which finds it as its id does
    max_concurrent: int | None = None  # calls in flight, across all workers, if lower than configured
    retries: int | None = None
    max_cost: int | None = None  # pico-dollars
    expires_in: int | None = None  # seconds
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None  # told when the job has ended
    columns: Sequence[str] | None = None  # of the table that was submitted
    form: TableForm | None = None  # in which its results are given back
    skipped: Sequence[int] | None = None  # numbers of the table's rows that are not asked
    notes: Sequence[str] = ()  # what the owner should know of how the table was read
    runs_with: str | None = None  # the command with which it is paused
    attended: str | None = None  # a caller waits for its only answer: see `models.job.Job`
    reuse: str | None = None  # the id of an earlier job whose answers to equal requests are taken over
    file_terms: FileTerms | None = None
    repeat: Repeat | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job of a submission; unless `created`, an earlier submission with the same key made it."""

    id: int
    uid: uuid.UUID
    created: bool


def submit_drafts(
    tenant_id: int,
    user_id: int,
    drafts: Iterable[Draft],
    defaults: Defaults,
    options: Options,
    upload: Upload | None = None,
) -> Submitted:
    """Store drafts as one job and wake it; see `submit`."""
    with DraftSpool(settings.current().data) as spool:
        for draft in drafts:
            spool.add(draft)
        return submit(tenant_id, user_id, spool, defaults, options, upload)


def submit(
    tenant_id: int,
    user_id: int,
    spool: DraftSpool,
    defaults: Defaults,
    options: Options,
    upload: Upload | None = None,
) -> Submitted:
    """Store the spooled drafts as one job and wake it.

    A small job is written in one transaction. A larger one is written in chunks as `staging`, invisible to
    readers, under a lease; one UPDATE makes it `pending`. The broker may be down: the row requests the job's
    `advance`. Raises `Conflict` while another submission with the same key is being written, `BadInput` when
    that one had other content. `upload` holds its documents, which become the job's with that UPDATE.
    """
    store = _store_at_once if spool.is_small else _store_in_chunks
    for attempt in range(1, ATTEMPTS + 1):
        earlier = _find_earlier(tenant_id, options.repeat)
        if earlier is not None:
            return earlier
        if upload is not None:
            upload.store_small()
        size = _content_bytes(spool, defaults, upload)
        source = source_of(tenant_id, defaults, options)
        stage = partial(_insert_job, new_uid(), tenant_id, user_id, spool, defaults, options, size)
        try:
            made = store(stage, spool, upload, source)
        except IntegrityError:  # another submission with the key was first
            if attempt == ATTEMPTS:
                raise
        except _Abandoned:  # its caller may have sent it again meanwhile
            log.warning("upload.abandoned", attempt=attempt)
        else:
            log.info("batch.received", job=str(made.uid), count=spool.count)
            return made
    raise Unavailable("The submission could not be stored; send it again.", retry_after=1)


def store_failed(
    tenant_id: int, user_id: int, options: Options, errors: Sequence[Mapping[str, Any]]
) -> Submitted:
    """Store a batch whose file of requests is invalid: a job without records that has failed.

    `errors` are as in `models.file.FileBatch`. Raises `Conflict` and `BadInput` as `submit` does.
    """
    defaults = Defaults(registry.NOBODY, settings.current().default_max_tokens)
    with DraftSpool(settings.current().data) as nothing:
        for attempt in range(1, ATTEMPTS + 1):
            earlier = _find_earlier(tenant_id, options.repeat)
            if earlier is not None:
                return earlier
            stage = partial(_insert_job, new_uid(), tenant_id, user_id, nothing, defaults, options, 0, None)
            try:
                return in_transaction(partial(_insert_failed, stage=stage, errors=list(errors)))
            except IntegrityError:  # another submission with the key was first
                if attempt == ATTEMPTS:
                    raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _insert_failed(
    session: Session, stage: Callable[[Session], int], errors: list[Mapping[str, Any]]
) -> Submitted:
    job = session.get_one(Job, stage(session))
    if job.status == JobStatus.STAGING:
        session.get_one(FileBatch, job.id).errors = [dict(error) for error in errors]
        reason = f"Its requests are invalid, and none was sent: {errors[0]['message']}"
        move_job(session, job, JobStatus.PENDING)
        move_job(session, job, JobStatus.FAILED, ended_at=now(), status_reason=reason)
        outbox.job_ended(session, job)
        if outbox.is_filled(session):
            after_commit(session, partial(hurry, webhooks.request))
        log.info("batch.invalid", job=str(job.uid), errors=len(errors))
    return Submitted(job.id, job.uid, created=True)


_Stage = Callable[[int | None, Session], int]  # inserts the job's row, under a lease if there is one


def source_of(tenant_id: int, defaults: Defaults, options: Options) -> int | None:
    """The job whose answers are taken over, if any can be."""
    if options.reuse is None:
        return None
    with reading() as session:
        spec = _spec(0, defaults, options, None)
        return earlier_answers.find_source(session, tenant_id, options.reuse, defaults.model, spec)


class _Abandoned(Exception):
    """This process was declared dead while it stored: what it had written is void."""


def _store_at_once(stage: _Stage, spool: DraftSpool, upload: Upload | None, source: int | None) -> Submitted:
    def work(session: Session) -> Submitted:
        job_id = stage(None, session)
        for chunk in spool.chunks():
            _write_chunk(session, job_id, 0, chunk, {}, source)
        return Submitted(job_id, _release(session, job_id, upload), created=True)

    return in_transaction(work)


def _store_in_chunks(
    stage: _Stage, spool: DraftSpool, upload: Upload | None, source: int | None
) -> Submitted:
    talks: dict[str, int] = {}
    first = 0
    with staging.lease() as lease_id:
        job_id = in_transaction(partial(stage, lease_id))
        for chunk in spool.chunks():
            write = partial(
                _write_chunk, job_id=job_id, first=first, drafts=chunk, talks=talks, source=source
            )
            in_transaction(write)
            first += len(chunk)
        uid = in_transaction(partial(_release, job_id=job_id, upload=upload))
    return Submitted(job_id, uid, created=True)


def _find_earlier(tenant_id: int, repeat: Repeat | None) -> Submitted | None:
    if repeat is None:
        return None
    return in_transaction(partial(_earlier, tenant_id=tenant_id, repeat=repeat))


def _earlier(session: Session, tenant_id: int, repeat: Repeat) -> Submitted | None:
    found = (
        select(IdempotencyKey.fingerprint, Job.id, Job.uid, Job.status)
        .join(Job, Job.id == IdempotencyKey.job_id)
        .where(IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == repeat.key)
    )
    if repeat.within is not None:
        found = found.where(IdempotencyKey.created_at > now(-repeat.within))
    row = session.execute(found).one_or_none()
    if row is None:
        return None
    if row.fingerprint != repeat.fingerprint:
        raise BadInput(
            f"The Idempotency-Key {repeat.key!r} was used for another submission: use a new key for new"
            " content."
        )
    if row.status == JobStatus.STAGING:
        raise Conflict("The original submission is still being read.", retry_after=1)
    return Submitted(row.id, row.uid, created=False)


def _insert_job(
    uid: uuid.UUID,
    tenant_id: int,
    user_id: int,
    spool: DraftSpool,
    defaults: Defaults,
    options: Options,
    size: int,
    lease_id: int | None,
    session: Session,
) -> int:
    """Insert the job's row as `staging`, with its key; the key's constraint decides between two at once."""
    there = session.scalar(select(Job.id).where(Job.uid == uid))
    if there is not None:
        return there  # a COMMIT whose response was lost
    tenant = quotas.admit(session, tenant_id, spool.count, size)
    if options.urgency is not None:
        priority_queue.admit(session, tenant_id, options.label, spool.count)
    why = _unbounded(defaults, spool)
    if why is not None and (options.max_cost is not None or tenant.daily_cap or tenant.monthly_cap):
        cap = "your tenant's cap" if options.max_cost is None else "max_cost: a cap"
        raise BadInput(f"{cap} cannot be enforced, because the cost of a call has no upper bound: {why}")
    job = _job(uid, spool, defaults, options)
    job.tenant_id, job.user_id, job.lease_id, job.content_bytes = tenant_id, user_id, lease_id, size
    session.add(job)
    session.flush()
    if options.expires_in is not None:
        job.expires_at = job.created_at + dt.timedelta(seconds=options.expires_in)
    session.add_all([JobCounts(job_id=job.id), _spec(job.id, defaults, options, why)])
    if options.form is not None:
        session.add(_table(job.id, options.form))
    if options.file_terms is not None:
        session.add(FileBatch(job_id=job.id, **asdict(options.file_terms)))
    if options.repeat is not None:
        _remember(session, tenant_id, job.id, options.repeat)
    session.flush()
    return job.id


def _job(uid: uuid.UUID, spool: DraftSpool, defaults: Defaults, options: Options) -> Job:
    """What the submission says of the job's row."""
    return Job(
        uid=uid,
        name=options.name,
        priority=options.priority,
        urgency=options.urgency,
        time_limit_ms=options.time_limit_ms,
        model=defaults.model,
        # What asks nothing waits for nobody, whatever holds the group of its model.
        limit_group=registry.NOBODY if spool.asks_nothing else registry.limit_group(defaults.model),
        total=spool.count,
        request_bytes=spool.request_bytes,
        max_request_bytes=spool.max_request_bytes,
        label=options.label,
        # The web process binds it to all its log lines; the workers' lines about the job include it, too.
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
        max_concurrent=options.max_concurrent,
        runs_with=options.runs_with,
        attended=options.attended,
        retries=options.retries,
        max_cost=options.max_cost,
        extra=dict(options.metadata),
    )


def _content_bytes(spool: DraftSpool, defaults: Defaults, upload: Upload | None) -> int:
    """Bytes of what is stored: records, what they share, documents."""
    shared = defaults.request_bytes + byte_size(defaults.template or "")
    return spool.bytes + shared + (0 if upload is None else upload.bytes)


def _remember(session: Session, tenant_id: int, job_id: int, repeat: Repeat) -> None:
    """The key's constraint decides between two at once; of equal ones without a key the last one counts."""
    if repeat.within is not None:
        session.execute(
            delete(IdempotencyKey).where(
                IdempotencyKey.tenant_id == tenant_id, IdempotencyKey.key == repeat.key
            )
        )
    session.add(
        IdempotencyKey(tenant_id=tenant_id, key=repeat.key, fingerprint=repeat.fingerprint, job_id=job_id)
    )


def _unbounded(defaults: Defaults, spool: DraftSpool) -> str | None:
    """Why the cost of one of the job's calls has no upper bound, or None."""
    if defaults.model == registry.NOBODY or spool.asks_nothing:
        return None
    why = bounds.unbounded({**defaults.params, "system": defaults.system}) or spool.unbounded
    if why is not None:
        return why
    today = dt.datetime.now(dt.UTC)
    for model in (defaults.model, *sorted(spool.models)):
        if pricing.price_at(model, today) is None:
            return f"the model {model!r} has no price"
    return None


def _spec(job_id: int, defaults: Defaults, options: Options, why: str | None) -> JobSpec:
    return JobSpec(
        job_id=job_id,
        max_tokens=defaults.max_tokens,
        timeout=defaults.timeout,
        system=defaults.system,
        template=defaults.template,
        prompt=defaults.prompt,
        schema=None if defaults.schema is None else json.dumps(defaults.schema).encode(),
        params=json.dumps(dict(defaults.params)).encode(),
        operations=operations.to_bytes(defaults.operations),
        columns=None if options.columns is None else list(options.columns),
        skipped=None if options.skipped is None else list(options.skipped),
        notes=list(options.notes),
        headers=dict(defaults.headers) or None,
        unbounded=why,
        webhook_url=options.webhook_url,
    )


def _table(job_id: int, form: TableForm) -> JobTable:
    rows = None if form.rows is None else form.rows.to_bytes()
    return JobTable(job_id=job_id, format=form.format, form=form.to_json(), rows=rows)


def _write_chunk(
    session: Session,
    job_id: int,
    first: int,
    drafts: Sequence[Draft],
    talks: dict[str, int],
    source: int | None,
) -> None:
    """Insert a chunk; after a COMMIT whose response was lost, a second run finds the rows and stops."""
    job = _hold(session, job_id)
    if session.scalar(select(Record.idx).where(Record.job_id == job_id, Record.idx == first)) is not None:
        return
    answers = [] if source is None else earlier_answers.answers(session, source, first, drafts)
    answered = {answer.idx for answer in answers}
    load(session, Record, _RECORD, _records(job_id, first, drafts, talks, answered))
    inputs = (
        (job_id, idx, _bytes(draft.custom_id), draft.body) for idx, draft in enumerate(drafts, start=first)
    )
    load(session, RecordInput, ("job_id", "idx", "custom_id", "body"), inputs)
    if answers:
        _take_over(session, job, answers)


def _take_over(session: Session, job: Job, answers: Sequence[Earlier]) -> None:
    """Write the answers of an earlier job as this one's: they cost nothing, and no call was made for them."""
    counts = session.get_one(JobCounts, job.id, with_for_update=True)
    rows = [
        {"job_id": job.id, "idx": answer.idx, "seq": seq, "body": answer.body, "cost": 0}
        for seq, answer in enumerate(answers, start=counts.seq + 1)
    ]
    session.execute(insert(RecordOutput), rows)
    counts.seq += len(rows)
    counts.succeeded += len(rows)
    job.reused += len(rows)


def _hold(session: Session, job_id: int) -> Job:
    """The job, locked; raises `_Abandoned` when this process may no longer write to it."""
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update(key_share=True)).one_or_none()
    if job is None or (job.status == JobStatus.STAGING and job.deleted_at is not None):
        raise _Abandoned
    job.updated_at = session.scalars(select(now())).one()
    return job


_RECORD = (
    "job_id",
    "idx",
    "status",
    "attempts",
    "tries",
    "deaths",
    "max_tokens",
    "request_bytes",
    "conversation",
    "sent_bytes",
    "priced_by",
)


def _records(
    job_id: int, first: int, drafts: Sequence[Draft], talks: dict[str, int], answered: Collection[int]
) -> Iterator[tuple[Any, ...]]:
    """Rows of records; of a conversation only the first turn can be claimed, the others are blocked.

    `answered` are the indices of those that have their answer from an earlier job.
    """
    for idx, draft in enumerate(drafts, start=first):
        opener = None if draft.conversation is None else talks.setdefault(draft.conversation, idx)
        status = RecordStatus.PENDING if opener is None or opener == idx else RecordStatus.BLOCKED
        if idx in answered:
            status = RecordStatus.SUCCEEDED
        row = (draft.max_tokens, draft.request_bytes, opener, draft.held_bytes, draft.priced_by)
        yield (job_id, idx, int(status), 0, 0, 0, *row)


def _release(session: Session, job_id: int, upload: Upload | None) -> uuid.UUID:
    """The UPDATE that makes the job visible; the job is woken once that is committed."""
    job = _hold(session, job_id)
    if job.status == JobStatus.STAGING:
        move_job(session, job, JobStatus.PENDING, lease_id=None)
        if upload is not None and upload.count:
            upload.take(session, job_id)
        session.execute(update(JobCounts).where(JobCounts.job_id == job_id).values(wake_at=now()))
    after_commit(session, partial(start, job_id))
    return job.uid


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")
