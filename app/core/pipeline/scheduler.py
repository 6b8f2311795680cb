"""Decides what comes next for a job, and nothing else does. Idempotent, under the job's row lock."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.limits import allowances
from app.core.pipeline import (
    claims,
    leases,
    lifecycle,
    priority_queue,
    quarantine,
    wakeups,
    windows,
)
from app.core.pipeline.selection import copies, first_try
from app.core.pipeline.windows import Offer, Supply
from app.core.requests import asked_again, job_context
from app.core.requests.prompt_cache import priming
from app.core.timeline.clock import move_job
from app.providers import registry
from models.base import any_of, counted, now
from models.job import FINAL, Job, JobCounts, JobStatus
from models.record import Record, RecordOutput, RecordStatus, Window
from models.transitions import moving_records

REOPENED = 5_000  # records that a retry reopens in one transaction
SERVED = dt.timedelta(seconds=2)  # a window serves what is due now; check again whether it still is due then


def advance(session: Session, job_id: int, held_for: float, call_seconds: float = 0.0) -> list[Offer]:
    """Take the job's next step; returns the chords to publish after the commit.

    `held_for`: seconds until the job's limit group may be tried again, 0 when it is not held. `call_seconds`:
    the duration of its calls, 0 when unknown.
    """
    job = lifecycle.lock(session, job_id)
    if job is None or job.status == JobStatus.STAGING:
        return []
    woken_for = session.scalar(select(JobCounts.wake_at).where(JobCounts.job_id == job_id))
    offers = _next(session, job, held_for, call_seconds)
    _sleep(session, job, woken_for, offers=bool(offers))
    return offers


def _next(session: Session, job: Job, held_for: float, call_seconds: float) -> list[Offer]:
    if job.status in FINAL:
        return []
    if job.closed_as is None and job.reopen_from is None and job.copies and job.cursor == job.total:
        _end_copies(session, job)
    if job.closed_as is None and job.reopen_from is None and _all_ended(session, job):
        lifecycle.complete(session, job)  # though it is paused, or has expired since
        return []
    if job.closed_as is None and lifecycle.expired(session, job):
        lifecycle.expire(session, job)
        return []
    if job.closed_as is not None:
        lifecycle.finish_closed(session, job)
        return []
    if job.status == JobStatus.PAUSED:
        return []
    if job.reopen_from is not None:
        _reopen(session, job, job.reopen_from)
    if held_for > 0:
        wakeups.at_latest(session, job.id, held_for)
        return []
    if not priority_queue.may_start(session, job):
        return []
    if first_try.is_due(job):
        first_try.begin(session, job)
    if first_try.has_ended(session, job):
        first_try.end(session, job)
        return []
    first_try.compare(session, job)
    return _offer(session, job, call_seconds)


def _end_copies(session: Session, job: Job) -> None:
    """End copies that were too many for the transactions that ended the records whose copies they are.

    All copies are looked at for that, so it waits for the windows that end most of them.
    """
    if windows.any_unclosed(session, job.id):
        return
    if copies.end_remaining(session, job.id) == copies.AT_ONCE:
        wakeups.at_latest(session, job.id, 0)


def _sleep(session: Session, job: Job, woken_for: dt.datetime | None, *, offers: bool = False) -> None:
    """Set the next wake-up, unless an earlier one was requested since this run began.

    A job without anything to offer leaves the line of those that wait for threads.
    """
    time = session.scalar(select(now()))
    assert time is not None
    due = claims.next_due(session, job.id) if job.status == JobStatus.RUNNING else None
    if due is not None:
        due = max(due, time + SERVED)
    due_by = session.scalar(select(JobCounts.due_by).where(JobCounts.job_id == job.id))
    later = woken_for if woken_for is not None and woken_for > time else None  # requested, and still to come
    times = [at for at in (due, job.expires_at, due_by, later) if at is not None and job.status not in FINAL]
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job.id, JobCounts.wake_at.is_not_distinct_from(woken_for))
        .values(wake_at=min(times, default=None), **({} if offers else {"queued_at": None}))
    )


def _reopen(session: Session, job: Job, first: int) -> None:
    """Let the next records of a retried job be asked again."""
    choice = asked_again.of(job)
    indices, following = asked_again.indices(session, job, choice, first, REOPENED)
    copied = copies.among(session, job.id, indices) if job.copies else []
    again = {
        "tries": 0,
        "deaths": quarantine.as_before(),
        "max_tokens": asked_again.max_tokens(session, job, choice),
    }
    moved: dict[str, list[int]] = {}
    for status in (RecordStatus.FAILED, RecordStatus.EXPIRED, RecordStatus.SUCCEEDED):
        these = (Record.job_id == job.id, any_of(Record.idx, sorted(set(indices) - set(copied))))
        asked = moving_records(status, RecordStatus.WAITING, *these, not_before=quarantine.waits(0), **again)
        moved[status.name.lower()] = list(session.scalars(asked.returning(Record.idx)))
        if copied:
            those = (Record.job_id == job.id, any_of(Record.idx, copied))
            blocked = moving_records(status, RecordStatus.BLOCKED, *those, **again)
            moved[status.name.lower()] += session.scalars(blocked.returning(Record.idx)).all()
    _uncount(session, job, indices, moved)
    more = following < job.total
    job.reopen_from = following if more else None
    if not more:
        job.reopen_only = None
    session.flush()
    wakeups.at_latest(session, job.id, 0 if more else 5.0)


def _uncount(session: Session, job: Job, indices: Sequence[int], moved: Mapping[str, Sequence[int]]) -> None:
    """Take back how these records had ended, in the counts and in their outputs."""
    these = (RecordOutput.job_id == job.id, any_of(RecordOutput.idx, indices))
    by = {
        "reasons_by": _taken_back(session, job, RecordOutput.stop_reason, indices),
        "errors_by": _taken_back(session, job, RecordOutput.error_type, moved["failed"]),
        "repairs_by": _taken_back(session, job, RecordOutput.repair, indices),
    }
    session.execute(delete(RecordOutput).where(*these))
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job.id)
        .values({name: getattr(JobCounts, name) - len(those) for name, those in moved.items()})
        .values(stop_reasons=counted(JobCounts.stop_reasons, "reasons_by"))
        .values(error_types=counted(JobCounts.error_types, "errors_by"))
        .values(repairs=counted(JobCounts.repairs, "repairs_by")),
        by,
    )


def _taken_back(
    session: Session, job: Job, word: InstrumentedAttribute[str | None], indices: Sequence[int]
) -> dict[str, int]:
    """How often each word stands in the outputs of these records, below 0."""
    these = (RecordOutput.job_id == job.id, any_of(RecordOutput.idx, indices), word.is_not(None))
    counts = session.execute(select(word, func.count()).where(*these).group_by(word))
    return {known: -count for known, count in counts if known is not None}


def _all_ended(session: Session, job: Job) -> bool:
    """Whether every record has ended without the job's expiry, which would end the job otherwise."""
    ended = JobCounts.succeeded + JobCounts.failed + JobCounts.cancelled
    return session.scalar(select(ended).where(JobCounts.job_id == job.id)) == job.total


def _offer(session: Session, job: Job, call_seconds: float) -> list[Offer]:
    """Offer withdrawn windows again, the next ones of what was never offered, or one for returned records.

    Records to be asked in isolation have a window of their own.
    """
    unclosed = windows.with_unclaimed(session, job.id)
    supply = _supply(session, job, call_seconds)
    plan = priming.plan(session, job, supply.seconds_apart(call_seconds))
    if plan.waits is not None:
        wakeups.at_latest(session, job.id, plan.waits)
        return []
    job.keep = plan.keep
    if plan.alone:
        offers = _offer_one(session, job, unclosed, replace(supply, alone=True))
    else:
        offers = _offer_all(session, job, unclosed, supply)
    if job.status == JobStatus.PENDING and offers:
        move_job(session, job, JobStatus.RUNNING, started_at=job.started_at or session.scalar(select(now())))
    return offers


def _offer_one(session: Session, job: Job, unclosed: Sequence[Window], supply: Supply) -> list[Offer]:
    """Offer one record before all others, wherever the next one is; those in isolation last."""
    begun = [window for window in unclosed if not window.isolated]
    if begun:
        return [windows.offer_again(session, job, begun[0], supply)]
    if job.cursor < job.total and not first_try.goes_on(job):
        return [windows.open_next(session, job, windows.size(job, supply), supply)]
    if claims.due_count(session, job.id, 1):
        return [windows.open_for_returned(session, job, 1, supply)]
    return _offer_all(session, job, unclosed, replace(supply, alone=False))


def _offer_all(session: Session, job: Job, unclosed: Sequence[Window], supply: Supply) -> list[Offer]:
    offers = [
        windows.offer_again(session, job, window, supply, _returned(session, window))
        for window in unclosed
        if window.offered_at is None or window.primes
    ]
    shared = sum(not window.isolated for window in unclosed)
    while shared < supply.windows and job.cursor < job.total and not first_try.goes_on(job):
        offers.append(windows.open_next(session, job, windows.size(job, supply), supply))
        shared += 1
    if not shared and (due := claims.due_count(session, job.id, windows.LARGEST)):
        offers.append(windows.open_for_returned(session, job, due, supply))
    if shared == len(unclosed) and (
        suspects := quarantine.count(session, job.id, windows.ISOLATED_PROCESSES)
    ):
        offers.append(windows.open_isolated(session, job, suspects, supply))
    return offers


def _returned(session: Session, window: Window) -> int:
    """The records of a window that serves only those that were given back, of which one went alone."""
    return claims.due_count(session, window.job_id, windows.LARGEST) if window.primes else 0


def _supply(session: Session, job: Job, call_seconds: float) -> Supply:
    workers, threads = leases.strength(session)
    seats = job_context.seats_of(job)
    return Supply(
        per_second=_share(session, job),
        seats=seats,
        slices=windows.most_slices(workers, seats, call_seconds),
        threads=threads,
    )


def _share(session: Session, job: Job) -> float | None:
    """Calls per second that the job's group may start, divided by the jobs sharing it; None: no limit."""
    if job.limit_group == registry.NOBODY:
        return None
    per_minute = allowances.read(session, job.limit_group).limits.requests
    if per_minute is None:
        return None
    sharing = session.scalar(
        select(func.count()).where(
            Job.status.in_((JobStatus.PENDING, JobStatus.RUNNING)), Job.limit_group == job.limit_group
        )
    )
    return per_minute / 60 / max(1, sharing or 1)
