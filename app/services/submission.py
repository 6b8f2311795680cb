"""Storing a job and waking it. Every entry point uses this."""

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.accounts import quotas
from app.core.documents.upload import Upload
from app.core.pipeline import measuring, priority_queue, staging
from app.core.requests import earlier_answers, sparing
from app.core.requests.sparing import Sparing
from app.core.timeline.clock import move_job
from app.core.webhooks import outbox
from app.errors import BadInput, Conflict, Unavailable
from app.ingest.draft import Defaults, Draft
from app.ingest.spool import DraftSpool
from app.providers import registry
from app.services import job_rows, record_rows, webhooks
from app.services.options import Options, Repeat
from config import settings
from models.base import new_uid, now
from models.file import FileBatch
from models.job import IdempotencyKey, Job, JobCounts, JobStatus
from models.session import after_commit, in_transaction, reading
from tasks.wake import start

log = structlog.get_logger()

ATTEMPTS = 3  # attempts to store a submission that a repeat overtook, or whose process was declared dead


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
        earlier = find_earlier(tenant_id, options.repeat)
        if earlier is not None:
            return earlier
        if upload is not None:
            upload.store_small()
        size = job_rows.content_bytes(spool, defaults, upload)
        stage = partial(_insert_job, new_uid(), tenant_id, user_id, spool, defaults, options, size)
        try:
            with sparing_of(tenant_id, defaults, options) as spared:
                made = store(stage, spool, upload, spared)
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
            earlier = find_earlier(tenant_id, options.repeat)
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
        measuring.job_ended(session, JobStatus.FAILED)
        webhooks.request_after_commit(session)
        log.info("batch.invalid", job=str(job.uid), errors=len(errors))
    return Submitted(job.id, job.uid, created=True)


_Stage = Callable[[int | None, Session], int]  # inserts the job's row, under a lease if there is one


@contextmanager
def sparing_of(tenant_id: int, defaults: Defaults, options: Options) -> Iterator[Sparing]:
    """What of it need not be asked, for one reading of its drafts; raises `BadInput` for another's job."""
    source, days = None, options.reuse
    if isinstance(days, str):
        with reading() as session:
            spec = job_rows.spec_row(0, defaults, options, None)
            source = earlier_answers.find_source(session, tenant_id, days, defaults.model, spec)
        days = None
    with sparing.wanted(tenant_id, defaults, source=source, days=days, dedupe=options.dedupe) as found:
        yield found


class _Abandoned(Exception):
    """This process was declared dead while it stored: what it had written is void."""


def _store_at_once(stage: _Stage, spool: DraftSpool, upload: Upload | None, spared: Sparing) -> Submitted:
    def work(session: Session) -> Submitted:
        job_id = stage(None, session)
        for chunk in spool.chunks():
            _write_chunk(session, job_id, 0, chunk, {}, spared)
        return Submitted(job_id, _release(session, job_id, upload), created=True)

    return in_transaction(work)


def _store_in_chunks(stage: _Stage, spool: DraftSpool, upload: Upload | None, spared: Sparing) -> Submitted:
    talks: dict[str, int] = {}
    first = 0
    with staging.lease() as lease_id:
        job_id = in_transaction(partial(stage, lease_id))
        for chunk in spool.chunks():
            write = partial(
                _write_chunk, job_id=job_id, first=first, drafts=chunk, talks=talks, spared=spared
            )
            in_transaction(write)
            first += len(chunk)
        uid = in_transaction(partial(_release, job_id=job_id, upload=upload))
    return Submitted(job_id, uid, created=True)


def find_earlier(tenant_id: int, repeat: Repeat | None) -> Submitted | None:
    """What was submitted with the same key before, unless its job was deleted."""
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
    why = job_rows.unbounded(defaults, spool)
    if why is not None and (options.max_cost is not None or tenant.daily_cap or tenant.monthly_cap):
        cap = "your tenant's cap" if options.max_cost is None else "max_cost: a cap"
        raise BadInput(f"{cap} cannot be enforced, because the cost of a call has no upper bound: {why}")
    job = job_rows.job_row(uid, spool, defaults, options)
    job.tenant_id, job.user_id, job.lease_id, job.content_bytes = tenant_id, user_id, lease_id, size
    session.add(job)
    session.flush()
    if options.expires_in is not None:
        job.expires_at = job.created_at + dt.timedelta(seconds=options.expires_in)
    session.add_all([JobCounts(job_id=job.id), job_rows.spec_row(job.id, defaults, options, why)])
    if options.form is not None:
        session.add(job_rows.table_row(job.id, options.form))
    if options.file_terms is not None:
        session.add(FileBatch(job_id=job.id, **asdict(options.file_terms)))
    if options.repeat is not None:
        _remember(session, tenant_id, job.id, options.repeat)
    session.flush()
    return job.id


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


def _write_chunk(
    session: Session,
    job_id: int,
    first: int,
    drafts: Sequence[Draft],
    talks: dict[str, int],
    spared: Sparing,
) -> None:
    record_rows.write(session, _hold(session, job_id), first, drafts, talks, spared)


def _hold(session: Session, job_id: int) -> Job:
    """The job, locked; raises `_Abandoned` when this process may no longer write to it."""
    job = session.scalars(select(Job).where(Job.id == job_id).with_for_update(key_share=True)).one_or_none()
    if job is None or (job.status == JobStatus.STAGING and job.deleted_at is not None):
        raise _Abandoned
    job.updated_at = session.scalars(select(now())).one()
    return job


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
