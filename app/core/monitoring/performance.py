"""Load and performance of one tenant or of the whole system, read from rows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, select
from sqlalchemy.orm import Session

from app.core.money.ledger import ANSWERED
from models.base import epoch, now
from models.job import IS_UNENDED, LIVE, Job, JobCounts, JobStatus
from models.record import Attempt, Record, RecordStatus
from models.tenant import Tenant

MINUTE, HOUR = 60.0, 3_600.0  # seconds


@dataclass(frozen=True, slots=True)
class Performance:
    """Times are milliseconds; a mean without values is 0, a rate without values None."""

    active: int  # jobs that are running
    waiting: int  # records that have not ended and are not being asked
    batch_size: float  # records of one call, within the last hour
    per_second: float  # records that were answered, within the last minute
    latency_ms: float  # of a call, within the last minute
    hour_latency_ms: float  # of a call, within the last hour
    ended: int  # records, since the start
    success_rate: float | None


def read(session: Session, tenant_id: int | None) -> Performance:
    """The performance of one tenant's jobs, or of all jobs (None)."""
    tenant_ids = tenants(session, tenant_id)
    active, waiting = standing(session, tenant_id)
    records = _ended(session, tenant_ids)
    minute, hour = (_calls(session, tenant_ids, seconds) for seconds in (MINUTE, HOUR))
    return Performance(
        active=active,
        waiting=waiting,
        batch_size=hour["answered"] / hour["calls"] if hour["calls"] else 0.0,
        per_second=minute["answered"] / MINUTE,
        latency_ms=minute["seconds"] * 1_000,
        hour_latency_ms=hour["seconds"] * 1_000,
        ended=records["ended"],
        success_rate=records["succeeded"] / records["ended"] if records["ended"] else None,
    )


def standing(session: Session, tenant_id: int | None) -> tuple[int, int]:
    """Jobs that are running, and records that have not ended and are not being asked."""
    whose = () if tenant_id is None else (Job.tenant_id == tenant_id,)
    active, unended = session.execute(
        select(
            func.count().filter(Job.status == JobStatus.RUNNING),
            func.coalesce(func.sum(Job.total - JobCounts.ended).filter(Job.closed_as.is_(None)), 0),
        )
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(*whose, IS_UNENDED, Job.status.in_(LIVE))
    ).one()
    in_flight = _records(session, LIVE, Record.status == RecordStatus.RUNNING, *whose)
    return active, max(0, int(unended) - in_flight)


def unasked(session: Session) -> dict[str, int]:
    """Records of all live jobs that have neither ended nor are being asked.

    `due`: a worker may claim them now, but for turns of a conversation that wait for the one before;
    `waiting`: given back until a named time; `paused`: of paused jobs.
    """
    open_jobs, paused = (JobStatus.PENDING, JobStatus.RUNNING), (JobStatus.PAUSED,)
    later = (Record.status == RecordStatus.WAITING) & (Record.not_before > now())
    waiting = _records(session, open_jobs, later)
    asked = Record.status == RecordStatus.RUNNING
    return {
        "due": max(0, _unended(session, open_jobs) - _records(session, open_jobs, asked) - waiting),
        "waiting": waiting,
        "paused": max(0, _unended(session, paused) - _records(session, paused, asked)),
    }


def _unended(session: Session, statuses: Collection[JobStatus]) -> int:
    unended = (
        select(func.sum(Job.total - JobCounts.ended))
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(IS_UNENDED, Job.status.in_(statuses), Job.closed_as.is_(None))
    )
    return int(session.scalar(unended) or 0)


def _records(session: Session, statuses: Collection[JobStatus], *which: ColumnElement[bool]) -> int:
    found = (
        select(func.count())
        .select_from(Record)
        .join(Job, Job.id == Record.job_id)
        .where(*which, Job.status.in_(statuses), Job.closed_as.is_(None))
    )
    return session.scalar(found) or 0


def tenants(session: Session, tenant_id: int | None) -> list[int]:
    """The ids of the one tenant, or of all (None): indices begin with the tenant."""
    return list(session.scalars(select(Tenant.id))) if tenant_id is None else [tenant_id]


def _ended(session: Session, tenants: list[int]) -> Mapping[str, int]:
    """Records of all jobs that have `ended`, and `succeeded`."""
    row = session.execute(
        select(func.sum(JobCounts.ended).label("ended"), func.sum(JobCounts.succeeded).label("succeeded"))
        .join(Job, Job.id == JobCounts.job_id)
        .where(Job.tenant_id.in_(tenants), Job.status != JobStatus.STAGING)
    ).one()
    return {name: int(value or 0) for name, value in row._mapping.items()}


def _calls(session: Session, tenants: list[int], seconds: float) -> dict[str, Any]:
    """`answered` records of the last `seconds`, their `calls`, and how many `seconds` one took on average."""
    row = session.execute(
        select(
            func.count().label("answered"),
            func.count(call().distinct()).label("calls"),
            func.avg(epoch(Attempt.ended_at) - epoch(Attempt.started_at)).label("seconds"),
        ).where(
            Attempt.tenant_id.in_(tenants),
            Attempt.ended_at > now(-seconds),
            Attempt.outcome == ANSWERED,
            Attempt.error_type.is_(None),
        )
    ).one()
    return {"answered": row.answered, "calls": row.calls, "seconds": float(row.seconds or 0.0)}


def call() -> ColumnElement[str]:
    """What identifies a call: items of one call of an inference server share its request id."""
    record = cast(Attempt.job_id, String) + "." + cast(Attempt.idx, String)
    return func.coalesce(Attempt.request_id, record)
