"""Windows: how much of a job is offered at once; how they are opened, published and closed."""

import datetime as dt
import math
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from app.core.limits.threads import Granted, Wish
from app.core.pipeline import leases, measuring, wakeups
from config import settings
from models.base import any_of, now
from models.job import Job
from models.record import Record, RecordStatus, Window

OPEN_AT_ONCE = 2  # windows of a job that hold unclaimed records
AHEAD = 10.0  # seconds of the job's share of the limit that a window offers
# Records of a window without a limit, for each two dozen slices: some seconds' worth of a worker process. A
# chord's messages cost milliseconds each; so they are spread over many records.
LARGEST = 4_000
ISOLATED_PROCESSES = 4  # over all workers at most, that ask a job's records in isolation
TASKS = 10_000  # of a chord at most: Redis keeps what each has returned until the last one has ended
SLICES = 24  # of a window, for each worker
CALLS_A_SECOND = 1_000  # that a worker process makes at most
USUAL = 3.0  # seconds assumed for a call until calls of its group have been answered
AT_ONCE = 2.0  # seconds of the job's share of the limit: what they let start counts as leaving at once
BRIEF = 8  # records; a window that the limit makes smaller than that is the only one that a job has open


@dataclass(frozen=True, slots=True)
class Publication:
    """A chord to be sent: `slices` header tasks for one epoch of a window, then its callback.

    `attended`: somebody waits for the only record. Its one task is sent with its callback, without a
    chord, of which Redis would keep the books.
    """

    window_id: int
    epoch: int
    slices: int
    quota: int | None  # records that one slice may claim; None: as many as it can
    job: uuid.UUID
    name: str
    records: str  # which of them it offers, in words
    attended: bool
    traceparent: str | None  # of the job's submission


@dataclass(frozen=True, slots=True)
class Offer(Publication):
    """A chord that is sent when there are threads for it, with `narrow` slices at most if not with all.

    `tasks`: if not 0, it has so many, one for each record. Those for which there are threads are sent first,
    and each that ends adds the next (`tasks/slice.py`).
    """

    job_id: int
    tenant_id: int
    narrow: int
    tasks: int
    capacity: int  # threads of all living workers

    @property
    def wish(self) -> Wish:
        return Wish(
            window_id=self.window_id,
            epoch=self.epoch,
            tenant_id=self.tenant_id,
            job_id=self.job_id,
            capacity=self.capacity,
            whole=self.slices if self.slices > self.narrow else 0,
            fewer=self.narrow,
            tasks=self.tasks,
        )

    def granted(self, granted: Granted) -> Publication:
        """The chord that there are threads for."""
        if granted.slices == self.slices:
            return self
        return replace(self, slices=granted.slices, quota=_quota())


@dataclass(frozen=True, slots=True)
class Supply:
    """What there is for a job: the terms on which its windows are cut."""

    per_second: float | None  # calls that it may start, by its share of the limit; None: no limit
    seats: int | None  # its calls in flight at most
    slices: int  # of a window at most
    threads: int  # of all living workers
    alone: bool = False  # one record goes before all others, so that they read what it has had kept

    def seconds_apart(self, call_seconds: float) -> float:
        """How far the job's calls are apart when each takes `call_seconds`."""
        by_limit = 1 / self.per_second if self.per_second else 0.0
        return max(by_limit, call_seconds / self.seats if self.seats else 0.0)

    @property
    def windows(self) -> int:
        """How many windows with unclaimed records are open: two, unless the second would only wait."""
        one_slice = self.seats is not None and self.seats <= _per_task()
        slow = self.per_second is not None and self.per_second * AHEAD < BRIEF
        return 1 if one_slice or slow else OPEN_AT_ONCE


def all_leave_at_once(job: Job, records: int, supply: Supply) -> bool:
    """Whether so many records can all start now; then they are one task each.

    Otherwise most of the tasks would hold a thread each while they wait for a seat or for the limit.
    """
    if job.total > settings.current().chord_plain_max:
        return False
    if supply.seats is not None and records > supply.seats:
        return False
    return supply.per_second is None or records <= max(1, supply.per_second * AT_ONCE)


def with_unclaimed(session: Session, job_id: int) -> list[Window]:
    """The job's windows that hold unclaimed records, oldest first."""
    return list(
        session.scalars(
            select(Window)
            .where(Window.job_id == job_id, Window.closed_at.is_(None), Window.drained_at.is_(None))
            .order_by(Window.id)
            .with_for_update()
        )
    )


def size(job: Job, supply: Supply) -> int:
    """How many records the job's next window offers."""
    if job.total <= settings.current().chord_plain_max:
        return job.total
    if _per_task() == 1:
        return TASKS
    largest = LARGEST * supply.slices // SLICES
    if supply.per_second is None:
        return largest
    return max(1, min(largest, round(supply.per_second * AHEAD)))


def most_slices(workers: int, seats: int | None, call_seconds: float) -> int:
    """How many slices a window may have when a call takes `call_seconds` (0: not known yet).

    Enough to hold the calls that all workers together can have in flight (Little's law), so that another
    worker helps with a slow provider; no more, as with a fast one they would share what a few can hold.
    """
    per_task = _per_task()
    calls = workers * CALLS_A_SECOND * (call_seconds or USUAL)
    most = min(max(SLICES, math.ceil(calls / OPEN_AT_ONCE / per_task)), SLICES * workers)
    return most if seats is None else min(most, math.ceil(seats / per_task))


def open_next(session: Session, job: Job, count: int, supply: Supply) -> Offer:
    """Offer the job's next `count` records."""
    window = Window(
        job_id=job.id,
        first=job.cursor,
        last=min(job.cursor + count, job.total),
        cursor=job.cursor,
        offered_at=session.scalar(select(now())),
        primes=supply.alone,
    )
    session.add(window)
    session.flush()
    job.cursor = window.last
    return _offer(job, window, window.last - window.first, supply)


def open_for_returned(session: Session, job: Job, due: int, supply: Supply) -> Offer:
    """Offer `due` records that were given back, and nothing else."""
    window = Window(
        job_id=job.id,
        first=0,
        last=0,
        cursor=0,
        offered_at=session.scalar(select(now())),
        primes=supply.alone,
    )
    session.add(window)
    session.flush()
    return _offer(job, window, due, supply)


def open_isolated(session: Session, job: Job, suspects: int, supply: Supply) -> Offer:
    """Offer suspected records; each slice has one of them in flight, in a process of its own."""
    window = Window(
        job_id=job.id, first=0, last=0, cursor=0, isolated=True, offered_at=session.scalar(select(now()))
    )
    session.add(window)
    session.flush()
    return _offer(job, window, suspects, supply)


def offer_again(session: Session, job: Job, window: Window, supply: Supply, returned: int = 0) -> Offer:
    """Send the rest of a window under a new epoch; tasks of older messages return at once.

    `returned`: records that it serves besides, as they were given back.
    """
    window.epoch += 1
    window.offered_at = session.scalar(select(now()))
    window.published_at = window.slice_at = window.incarnation = None
    window.primes = supply.alone
    session.flush()
    return _offer(job, window, max(window.last - window.cursor + returned, 1), supply)


def withdraw(session: Session, job_id: int) -> None:
    """Withdraw the job's offers: running slices end, and `advance` offers the rest again when it may."""
    session.execute(
        update(Window)
        .where(Window.job_id == job_id, Window.closed_at.is_(None), Window.drained_at.is_(None))
        .values(epoch=Window.epoch + 1, offered_at=None, published_at=None, slice_at=None)
    )


def withdraw_from_dead(session: Session, lease_id: int, held: Collection[int]) -> None:
    """Where a task stands for one record, withdraw what a dead process served, to be offered again.

    Larger slices do the work of those that died; of these each was to add the next one. `held` are the jobs
    whose records the process held: it may have come to their windows since its last beat.
    """
    if _per_task() > 1:
        return
    served = or_(any_of(Window.id, leases.serving(session, lease_id)), any_of(Window.job_id, held))
    job_ids = session.scalars(
        update(Window)
        .where(served, Window.closed_at.is_(None), Window.drained_at.is_(None))
        .values(epoch=Window.epoch + 1, offered_at=None, published_at=None, slice_at=None)
        .returning(Window.job_id)
    ).all()
    for job_id in sorted(set(job_ids)):
        wakeups.at_latest(session, job_id, 0)


def mark_published(session: Session, publication: Publication, incarnation: str) -> None:
    """Record that the broker has the whole chord."""
    session.execute(
        update(Window)
        .where(Window.id == publication.window_id, Window.epoch == publication.epoch)
        .values(published_at=now(), incarnation=incarnation)
    )


def close(session: Session, window_id: int, epoch: int) -> int | None:
    """Close a window on its chord's callback, if none of its records is in flight.

    The callback is a hint: it may come before its last slice has ended. Returns the job to advance, or None
    for a callback of an older epoch.
    """
    window = session.scalars(
        select(Window)
        .where(Window.id == window_id, Window.epoch == epoch, Window.closed_at.is_(None))
        .with_for_update()
    ).one_or_none()
    if window is None:
        return None
    if window.drained_at is None and not window.isolated:
        # Its slices ran out of time or their processes are stopping: the rest is offered again.
        window.epoch += 1
        window.offered_at = window.published_at = window.slice_at = None
    elif not _in_flight(session, window):
        window.closed_at = closed_at = session.scalars(select(now())).one()
        _measure(session, window.offered_at, closed_at)
    return window.job_id


def close_all(session: Session, job_id: int) -> None:
    """Close the windows of a job that has ended: later messages about them have no effect."""
    closed = session.execute(
        update(Window)
        .where(Window.job_id == job_id, Window.closed_at.is_(None))
        .values(closed_at=now(), epoch=Window.epoch + 1)
        .returning(Window.offered_at, Window.closed_at)
    )
    for row in closed:
        _measure(session, row.offered_at, row.closed_at)


def _measure(session: Session, offered_at: dt.datetime | None, closed_at: dt.datetime) -> None:
    if offered_at is not None:
        measuring.window_closed(session, (closed_at - offered_at).total_seconds())


def _in_flight(session: Session, window: Window) -> bool:
    return (
        session.scalar(
            select(Record.idx)
            .where(
                Record.job_id == window.job_id,
                Record.status == RecordStatus.RUNNING,
                Record.idx >= window.first,
                Record.idx < window.last,
            )
            .limit(1)
        )
        is not None
    )


def any_unclosed(session: Session, job_id: int) -> bool:
    """Whether records of the job may be asked at this moment."""
    unclosed = select(Window.id).where(Window.job_id == job_id, Window.closed_at.is_(None)).limit(1)
    return session.scalar(unclosed) is not None


def jobs_of(session: Session, window_ids: Collection[int]) -> Mapping[int, int]:
    """Their jobs, by window; without those whose job has been removed."""
    wanted = select(Window.id, Window.job_id).where(any_of(Window.id, window_ids))
    return {row.id: row.job_id for row in session.execute(wanted)}


def _offer(job: Job, window: Window, records: int, supply: Supply) -> Offer:
    if window.primes:
        records = 1
    tasks = records if _per_task() == 1 and not window.isolated and not window.primes else 0
    single = window.primes or (not window.isolated and all_leave_at_once(job, records, supply))
    narrow = max(1, _narrow(window, records, supply))
    return Offer(
        window_id=window.id,
        epoch=window.epoch,
        slices=records if single else narrow,
        quota=1 if single else _quota(),
        job=job.uid,
        name=job.name or "",
        records=in_words(job, window),
        attended=job.attended is not None,
        traceparent=job.traceparent,
        job_id=job.id,
        tenant_id=job.lane,
        narrow=narrow,
        tasks=tasks,
        capacity=supply.threads,
    )


def in_words(job: Job, window: Window) -> str:
    """Which records of how many; those that were given back may be anywhere."""
    if window.isolated:
        return "suspects, each alone"
    if window.last == 0:
        return "records given back"
    return f"{window.first + 1:,}–{window.last:,} of {job.total:,}"


def _narrow(window: Window, records: int, supply: Supply) -> int:
    """How many slices may be at work at once, if not one for each record."""
    if window.isolated:
        return min(ISOLATED_PROCESSES, records)
    if _per_task() == 1:
        return records if supply.seats is None else min(records, supply.seats)
    return min(supply.slices, -(-records // _per_task()))


def _quota() -> int | None:
    """What a slice may claim where it does not ask a record that has it to itself."""
    return 1 if _per_task() == 1 else None


def _per_task() -> int:
    return settings.current().records_per_task
