"""Jobs as their owners see them: one statement reads a page of them, whatever their size."""

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    ScalarSelect,
    Select,
    SQLColumnExpression,
    and_,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import Session

from app.core.money import pricing, totals
from app.core.money.ledger import surcharges
from app.core.pipeline import lookup
from app.ingest.forms.table_form import TableForm
from app.providers import registry
from models.base import now
from models.job import Job, JobCounts, JobSpec, JobStatus
from models.job_table import JobTable
from models.record import Record, RecordOutput, RecordStatus
from models.tenant import User

RECENT = 500  # answers whose rate tells when a job will end
ENOUGH_ANSWERS = 3
ENOUGH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Where a job's records are; their sum is its total."""

    pending: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int

    @property
    def unended(self) -> int:
        return self.pending + self.running

    @property
    def unanswered(self) -> int:
        """Ended, and not with success."""
        return self.failed + self.cancelled + self.expired

    @property
    def total(self) -> int:
        return self.unended + self.succeeded + self.unanswered


@dataclass(frozen=True, slots=True)
class JobView:
    """A job at one moment. Money is in pico-dollars; `seq` is that of the record that ended last."""

    id: int
    uid: uuid.UUID
    name: str | None
    label: str | None  # its caller's own name for it
    status: JobStatus
    status_reason: str | None
    closed_as: str | None
    created_by: str
    priority: int
    urgency: str | None
    model: str
    total: int
    counts: Counts
    queued: bool  # it waits for threads of the workers
    usage: Mapping[str, int]
    cost: int  # of the answers that have a price
    unpriced: int  # answers that have none
    cost_unconfirmed: int
    usage_unknown: int  # answers that do not say what they took
    stop_reasons: Mapping[str, int]  # of records that ended with an answer
    error_types: Mapping[str, int]  # of records that failed
    max_tokens: int  # of an answer, unless its record sets it
    max_cost: int | None
    seq: int
    eta: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime
    started_at: dt.datetime | None
    ended_at: dt.datetime | None
    expires_at: dt.datetime | None
    content_removed_at: dt.datetime | None
    metadata: Mapping[str, Any]
    skipped_rows: Sequence[int] | None
    form: TableForm | None  # of the table that it came as, without the rows
    has_documents: bool
    cache_saved: int = 0  # that its answers would have cost more without their provider's cache
    reused: int = 0  # records that have the answer of an earlier job
    reused_cost: int = 0  # what those had cost
    copies: int = 0  # records that ask the same as an earlier one, and end with it
    copied_cost: int = 0  # what asking those that have ended would have cost
    repairs: Mapping[str, int] = field(default_factory=dict)  # answers by what made them fit the schema
    try_first: int | None = None  # records that are asked before it pauses
    tried_at: dt.datetime | None = None  # when those had ended
    forecast: Mapping[str, int] | None = None  # of its whole cost, by their answers
    dearer_at: dt.datetime | None = None  # when it had cost more than that
    record_costs: int | None = 0  # what one record may cost, about and at most; None: unknown
    notes: Sequence[str] = ()  # what its owner should know of how its table was read
    closed_at: dt.datetime | None = None  # when it was cancelled, or found to have expired

    @property
    def still_costs(self) -> int | None:
        """What its records that have not ended may cost, about and at most; None: unknown."""
        return self.may_cost(self.counts.unended)

    def may_cost(self, records: int) -> int | None:
        """What so many calls may cost, about and at most, without passing the cap; None: unknown."""
        if not records:
            return 0
        if self.record_costs is None:
            return None
        most = records * self.record_costs
        if self.max_cost is None:
            return most
        return min(most, max(0, self.max_cost - self.cost - self.cost_unconfirmed))


def find(session: Session, tenant_id: int, name: str) -> JobView:
    """A tenant's job by its id or label.

    Raises `NotFound` for one that is unknown, another's, deleted or not yet whole.
    """
    row = session.execute(_everything().where(Job.id == lookup.resolve(tenant_id, name))).one_or_none()
    if row is None:
        raise lookup.unknown(name)
    return _view(row)


def page(
    session: Session, tenant_id: int, before: uuid.UUID | None, limit: int, *where: ColumnElement[bool]
) -> list[JobView]:
    """Up to `limit` of a tenant's jobs, the newest first, from the one made before `before` on.

    `where` may be about jobs and their counts.
    """
    statement = _listed(tenant_id).where(*where).order_by(Job.uid.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Job.uid < before)
    return [_view(row) for row in session.execute(statement)]


def page_above(
    session: Session, tenant_id: int, above: uuid.UUID, limit: int, *where: ColumnElement[bool]
) -> list[JobView]:
    """Up to `limit` of a tenant's jobs, those that were made next after `above`; the newest first.

    `where` may be about jobs and their counts.
    """
    statement = _listed(tenant_id).where(Job.uid > above, *where).order_by(Job.uid).limit(limit)
    return [_view(row) for row in session.execute(statement)][::-1]


def page_ended(
    session: Session,
    tenant_id: int,
    last: tuple[dt.datetime, uuid.UUID | None] | None,
    limit: int,
    *,
    oldest_first: bool,
) -> list[JobView]:
    """Up to `limit` of a tenant's jobs that have ended and have their content, in the order of their ends.

    From `last` on, with the job that it names: its end, and its id, or None for all that ended then.
    """
    there = (Job.content_removed_at.is_(None), Job.ended_at.is_not(None))
    statement = _listed(tenant_id).where(*there).limit(limit)
    if last is not None:
        at, uid = last
        is_beyond = Job.ended_at > at if oldest_first else Job.ended_at < at
        is_behind = (Job.uid >= uid if oldest_first else Job.uid <= uid) if uid is not None else true()
        statement = statement.where(or_(is_beyond, and_(Job.ended_at == at, is_behind)))
    order = (Job.ended_at, Job.uid) if oldest_first else (Job.ended_at.desc(), Job.uid.desc())
    return [_view(row) for row in session.execute(statement.order_by(*order))]


def watched(session: Session, job_ids: Iterable[int]) -> list[JobView]:
    """Jobs by their numbers, for readers that were let in before."""
    return [_view(row) for row in session.execute(_everything().where(Job.id.in_(sorted(job_ids))))]


def listed(tenant_id: int) -> tuple[ColumnElement[bool], ...]:
    """What the jobs in a tenant's lists have in common; every user of the tenant may see all of them.

    Calls that somebody waited for are in no list: they are found by their id.
    """
    return (
        Job.tenant_id == tenant_id,
        Job.deleted_at.is_(None),
        Job.status != JobStatus.STAGING,
        Job.attended.is_(None),
    )


def _listed(tenant_id: int) -> Select[*tuple[Any, ...]]:
    return _everything().where(*listed(tenant_id))


def _everything() -> Select[*tuple[Any, ...]]:
    running = (
        select(func.count())
        .select_from(Record)
        .where(Record.job_id == Job.id, Record.status == RecordStatus.RUNNING)
        .correlate(Job)
        .scalar_subquery()
    )
    return (
        select(
            Job,
            JobCounts,
            User.name.label("created_by"),
            JobSpec.skipped,
            JobSpec.max_tokens,
            JobSpec.params,
            JobSpec.unbounded,
            JobSpec.notes,
            JobTable.format.label("table_format"),
            JobTable.form.label("table_form"),
            JobSpec.prompt.is_not(None).label("has_prompt"),  # which is about documents
            running.label("running"),
            _ended_at(JobCounts.seq).label("last_answer"),
            _ended_at(JobCounts.seq - RECENT).label("recent_answer"),
            now().label("now"),
        )
        .join(JobCounts, JobCounts.job_id == Job.id)
        .join(JobSpec, JobSpec.job_id == Job.id)
        .join(User, User.id == Job.user_id)
        .outerjoin(JobTable, JobTable.job_id == Job.id)
    )


def _ended_at(seq: SQLColumnExpression[int]) -> ScalarSelect[Any]:
    return (
        select(RecordOutput.ended_at)
        .where(RecordOutput.job_id == Job.id, RecordOutput.seq == seq)
        .correlate(Job, JobCounts)
        .scalar_subquery()
    )


def _view(row: Row[*tuple[Any, ...]]) -> JobView:
    job: Job = row.Job
    sums: JobCounts = row.JobCounts
    counts = _counts(job, sums, row.running)
    return JobView(
        id=job.id,
        uid=job.uid,
        name=job.name,
        label=job.label,
        status=JobStatus(job.status),
        status_reason=job.status_reason,
        closed_as=job.closed_as,
        closed_at=job.closed_at,
        created_by=row.created_by,
        priority=job.priority,
        urgency=job.urgency,
        model=job.model,
        total=job.total,
        counts=counts,
        queued=sums.queued_at is not None,
        usage={kind: getattr(sums, kind) for kind in totals.TOKENS},
        cost=sums.cost,
        unpriced=sums.unpriced,
        cost_unconfirmed=sums.cost_unconfirmed,
        usage_unknown=sums.usage_unknown,
        stop_reasons=sums.stop_reasons or {},
        error_types=sums.error_types or {},
        max_tokens=row.max_tokens,
        max_cost=job.max_cost,
        seq=sums.seq,
        eta=_eta(job, sums.seq - job.reused, counts.unended, row.recent_answer, row.now),
        created_at=job.created_at,
        updated_at=max(job.updated_at, row.last_answer or job.updated_at),
        started_at=job.started_at,
        ended_at=job.ended_at,
        expires_at=min((at for at in (job.expires_at, sums.due_by) if at is not None), default=None),
        content_removed_at=job.content_removed_at,
        metadata=job.extra,
        skipped_rows=row.skipped,
        form=None if row.table_form is None else TableForm.of(row.table_format, row.table_form),
        has_documents=row.has_prompt or job.model == registry.NOBODY,
        **_economies(job, sums),
        record_costs=_record_costs(row),
        notes=row.notes or (),
    )


def _economies(job: Job, sums: JobCounts) -> dict[str, Any]:
    """What it did not ask, made fit, and tried first."""
    return {
        "reused": job.reused,
        "reused_cost": job.reused_cost,
        "copies": job.copies,
        "copied_cost": sums.copied_cost,
        "cache_saved": sums.cache_saved,
        "repairs": sums.repairs or {},
        "try_first": job.try_first,
        "tried_at": job.tried_at,
        "forecast": job.forecast,
        "dearer_at": job.dearer_at,
    }


def _record_costs(row: Row[*tuple[Any, ...]]) -> int | None:
    """What a record may cost that is of the mean size."""
    job: Job = row.Job
    if job.model == registry.NOBODY or not job.total:
        return 0
    if row.unbounded is not None or (price := pricing.price_at(job.model, row.now)) is None:
        return None
    mean = -(-job.request_bytes // job.total)
    return price.worst_case(mean, row.max_tokens, **surcharges(json.loads(row.params)))


def _counts(job: Job, sums: JobCounts, running: int) -> Counts:
    """Nothing counts the records that are pending: they are the rest."""
    ended = {word: getattr(sums, word) for word in totals.WORDS}
    rest = max(0, job.total - running - sums.ended)
    if job.closed_as is not None:
        ended[job.closed_as] += rest  # in the rows the sweep writes it later
        rest = 0
    return Counts(pending=rest, running=running, **ended)


def _eta(
    job: Job, seq: int, left: int, recent_answer: dt.datetime | None, at: dt.datetime
) -> dt.datetime | None:
    """When the job ends if it goes on as it went lately; None where that would be a guess."""
    since, answers = (recent_answer, RECENT) if seq > RECENT else (job.started_at, seq)
    if job.status != JobStatus.RUNNING or not left or since is None or answers < ENOUGH_ANSWERS:
        return None
    seconds = (at - since).total_seconds()
    if seconds < ENOUGH_SECONDS:
        return None
    return at + dt.timedelta(seconds=left * seconds / answers)
