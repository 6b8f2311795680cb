"""What can be done to a job: its verbs, each under the job's row lock."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.money import totals
from app.core.pause_reasons import LEFT
from app.core.pipeline import lookup, measuring, priority_queue, waiting_line, wakeups, windows
from app.core.requests import asked_again, job_context
from app.core.requests.asked_again import Choice
from app.core.timeline.clock import move_job
from app.core.webhooks import outbox
from app.errors import BadInput, Conflict
from models.base import moment, now
from models.job import FINAL, LIVE, Job, JobCounts, JobSpec, JobStatus
from models.record import Record, RecordStatus
from models.session import after_commit

log = structlog.get_logger(__name__)

KEEP: Final[Any] = object()  # leaves a field as it is
EVERYTHING: Final = Choice()  # that failed or expired


def find(session: Session, tenant_id: int, name: str | uuid.UUID) -> Job:
    """The tenant's job by its id or label, its row locked where the transaction writes.

    Another tenant's is `NotFound`.
    """
    job = session.scalars(
        select(Job).where(Job.id == lookup.resolve(tenant_id, str(name))).with_for_update(key_share=True)
    ).one_or_none()
    if job is None:
        raise lookup.unknown(str(name))
    return job


def lock(session: Session, job_id: int) -> Job | None:
    """The job under its row lock, by its number inside."""
    return session.scalars(select(Job).where(Job.id == job_id).with_for_update(key_share=True)).one_or_none()


def cancel(session: Session, job: Job) -> None:
    """Start no more calls. Those in flight are closed within a second; pending records are cancelled."""
    if job.status in (JobStatus.CANCELLED, JobStatus.CANCELLING):
        return
    _refuse_ended(job, "cancelled")
    close(session, job, JobStatus.CANCELLED, reason=None)


def close(session: Session, job: Job, closed_as: JobStatus, reason: str | None) -> None:
    """Write the one word that ends the job's pending records, and end the job if nothing is in flight."""
    move_job(
        session,
        job,
        JobStatus.CANCELLING,
        closed_as=closed_as.value,
        closed_at=_time(session),
        status_reason=reason,
        settled_at=None,
    )
    # A claim that has read the job as running holds its window: wait for it, or it is in flight uncounted.
    windows.close_all(session, job.id)
    finish_closed(session, job)


def pause(session: Session, job: Job) -> None:
    """No new calls; those in flight end and are paid."""
    if job.status == JobStatus.PAUSED:
        return
    _refuse_ended(job, "paused")
    pause_because(session, job, "Paused by its owner.")


def leave(session: Session, job: Job, run: str) -> None:
    """Pause a job whose command, `run`, ends, unless it goes on with another one by now."""
    if job.runs_with == run and job.status in (JobStatus.PENDING, JobStatus.RUNNING):
        pause_because(
            session,
            job,
            f"{LEFT}: the same command, or `penstock jobs resume {job.uid}`, goes on with it.",
        )


def pause_because(session: Session, job: Job, reason: str, **values: Any) -> None:
    """Pause the job, for `reason`; `values` as of `move_job`."""
    move_job(session, job, JobStatus.PAUSED, status_reason=reason, **values)
    windows.withdraw(session, job.id)
    waiting_line.leave(session, job.id)
    outbox.job_paused(session, job)


def resume(session: Session, job: Job, run: str | None = None) -> None:
    """Go on with a paused job, for as long as the command `run` lives if one is named."""
    if job.status in (JobStatus.PENDING, JobStatus.RUNNING):
        job.runs_with = run
        return
    if job.status != JobStatus.PAUSED:
        raise Conflict(f"The job is {job.status}; only a paused job can be resumed.", {"status": job.status})
    started = JobStatus.RUNNING if job.started_at else JobStatus.PENDING
    move_job(session, job, started, status_reason=None, runs_with=run)
    wakeups.at_latest(session, job.id, 0)


def retry(
    session: Session, job: Job, choice: Choice = EVERYTHING, run: str | None = None
) -> Mapping[str, int]:
    """Ask again what failed or expired, or what `choice` names, as new attempts of the same records.

    Returns how many of these are left as they are, by how they ended: the same request would be cut, or
    refused, again. A record that succeeded and is named loses its answer to the new one; both are paid.
    `run` as in `resume`.
    """
    if job.status not in FINAL:
        raise Conflict(
            f"The job is {job.status}; only a job that has ended can be retried.", {"status": job.status}
        )
    if job.content_removed_at is not None:
        raise Conflict("The job's inputs were deleted; submit them again.")
    counts = session.get_one(JobCounts, job.id)
    is_closing = job.closed_as is not None and job.settled_at is None
    may_expire = is_closing and job.closed_as == JobStatus.EXPIRED
    if choice.only is None and not (counts.failed or counts.expired or may_expire):
        raise Conflict(_nothing_failed(job))
    if is_closing:
        raise Conflict("The job has just been closed and its records are still being updated.", retry_after=2)
    asked_again.check_words(session, job, choice)
    left = asked_again.left(session, job, choice)
    if left and not asked_again.has_any(session, job, choice):
        raise Conflict(_nothing_else(left), {"left": dict(left)})
    counts.due_by = None
    move_job(
        session,
        job,
        JobStatus.RUNNING,
        closed_as=None,
        closed_at=None,
        settled_at=None,
        status_reason=None,
        ended_at=None,
        failures=None,
        expires_at=None,
        reopen_from=0,
        reopen_only=choice.stored(),
        runs_with=run,
    )
    wakeups.at_latest(session, job.id, 0)
    return left


def _nothing_failed(job: Job) -> str:
    anew = " What was cancelled is asked by a new job." if job.closed_as == JobStatus.CANCELLED else ""
    return f"No record of the job failed or expired: there is nothing to retry.{anew}"


def _nothing_else(left: Mapping[str, int]) -> str:
    ended = ", ".join(f"{count:,} `{word}`" for word, count in sorted(left.items()))
    return (
        f"There is nothing to retry: {ended} would end in the same way again. Give a `max_tokens` larger than"
        " they had for answers that were cut, and name `refused` in `only` to ask what was refused again."
    )


def change(
    session: Session,
    job: Job,
    *,
    name: str | None = KEEP,
    metadata: dict[str, Any] = KEEP,
    priority: int = KEEP,
    max_cost: int | None = KEEP,
) -> None:
    """Change these fields; `max_cost` is in pico-dollars. Raises `BadInput` where no cap can be enforced."""
    if max_cost not in (KEEP, None):
        why = session.get_one(JobSpec, job.id).unbounded
        if why is not None:
            raise BadInput(
                "max_cost: a cap cannot be enforced, because the cost of the job's calls has no upper bound:"
                f" {why}"
            )
    for field, value in (("name", name), ("extra", metadata), ("priority", priority), ("max_cost", max_cost)):
        if value is not KEEP:
            setattr(job, field, value)
    session.flush()


def delete(session: Session, job: Job) -> None:
    """Remove an ended job and its content; its attempts stay in the ledger."""
    if job.status not in FINAL:
        first = "wait for its end" if job.status == JobStatus.CANCELLING else "cancel it"
        raise Conflict(f"The job is {job.status}; {first} before deleting it.", {"status": job.status})
    job.deleted_at = session.scalar(select(now()))
    session.flush()


def running_count(session: Session, job_id: int) -> int:
    """Records in flight, counted in an index that holds only those."""
    return (
        session.scalar(
            select(func.count()).where(Record.job_id == job_id, Record.status == RecordStatus.RUNNING)
        )
        or 0
    )


def finish_closed(session: Session, job: Job) -> bool:
    """End a closed job once nothing of it is in flight; False while something is."""
    assert job.closed_as is not None
    if running_count(session, job.id):
        wakeups.at_latest(session, job.id, 1.0)
        return False
    finalise(session, job, JobStatus(job.closed_as))
    return True


def complete(session: Session, job: Job) -> None:
    """End a job whose records have all ended, even if it is paused or past its time."""
    finalise(session, job, JobStatus.COMPLETED)
    job.status_reason = None


def finalise(session: Session, job: Job, status: JobStatus) -> None:
    """End the job: status, counts, tokens and cost, from the rows."""
    windows.close_all(session, job.id)
    totals.write(session, job)
    counts = session.get_one(JobCounts, job.id)
    failures = counts.failed + counts.expired
    # Not when this transaction began: it may have waited for one in which the last record ended.
    ended_at = session.scalars(select(moment())).one()
    move_job(session, job, status, ended_at=ended_at, reopen_from=None, failures=failures)
    outbox.job_ended(session, job)
    measuring.job_ended(session, status)
    after_commit(session, _end_logger(session, job))
    if job.urgency is not None:
        priority_queue.wake_next(session)


def _end_logger(session: Session, job: Job) -> Callable[[], None]:
    """Logs the end of the job when called; all its facts are read now, in the transaction."""
    assert job.ended_at is not None
    succeeded = session.get_one(JobCounts, job.id).succeeded
    return partial(
        log.info,
        "batch.completed",
        **job_context.of(job.id).facts,
        status=job.status,
        succeeded=succeeded,
        failed=job.total - succeeded,
        seconds=round((job.ended_at - job.created_at).total_seconds(), 3),
    )


def expired(session: Session, job: Job) -> bool:
    """Whether the job is past its time, by the database's clock."""
    ends = [at for at in (job.expires_at, session.get_one(JobCounts, job.id).due_by) if at is not None]
    return job.status in LIVE and bool(ends) and min(ends) <= _time(session)


def expire(session: Session, job: Job) -> None:
    """End a job that is past its time."""
    if job.expires_at is not None and job.expires_at <= _time(session):
        reason = f"It expired at {job.expires_at:%Y-%m-%d %H:%M:%S} UTC."
    else:
        reason = f"Its time limit was {job.time_limit_ms:,} ms from its first call."
    close(session, job, JobStatus.EXPIRED, reason)


def _time(session: Session) -> dt.datetime:
    return session.scalars(select(now())).one()


def _refuse_ended(job: Job, verb: str) -> None:
    if job.status in FINAL or job.status == JobStatus.CANCELLING:
        raise Conflict(f"The job is {job.status}; it can no longer be {verb}.", {"status": job.status})
