"""Reconciliation: every stored total, compared with the sum of its rows.

Totals move in the transactions that write their rows, so they agree in any snapshot, whatever is in flight.
The database does the sums; this process holds only a page of jobs and the differences.
"""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Row,
    and_,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.money import pricing, totals
from app.core.money.ledger import KNOWN_COST, WAS_ANSWERED
from app.errors import NotFound
from models.base import utc_day
from models.job import FINAL, Job, JobCounts, JobStatus, Spend
from models.record import Attempt, Record, RecordOutput

PAGE = 500  # jobs that are checked together
CANDIDATES = 500  # records whose calls are read one by one
MONEY = ("cost", "cost_unconfirmed")

Day = tuple[int, dt.date, int]  # a job, a day in UTC, a tenant


@dataclass(frozen=True, slots=True)
class Difference:
    """A total and what its rows add up to."""

    job: str  # its id
    what: str
    kept: str
    rows: str

    def __str__(self) -> str:
        return f"job {self.job}: {self.what} is {self.kept}, its rows add up to {self.rows}"


class Check:
    """One comparison of everything, or of one job, within the snapshot that `session` sees."""

    def __init__(self, session: Session, job_id: int | None = None) -> None:
        self._session, self._only = session, job_id
        self.jobs = 0  # checked so far
        self.attempts = 0

    def differences(self) -> Iterator[Difference]:
        after, more = 0, True
        while more:
            page = self._page(after)
            more = len(page) == PAGE
            span = _Span(after, page[-1].Job.id if more else None, self._only)
            yield from self._compare(_Page(page), span)
            after = page[-1].Job.id if page else after
            self.jobs += len(page)

    def _page(self, after: int) -> Sequence[Row[Job, JobCounts]]:
        return self._session.execute(
            select(Job, JobCounts)
            .outerjoin(JobCounts, JobCounts.job_id == Job.id)
            .where(_Span(after, None, self._only).covers(Job.id))
            .order_by(Job.id)
            .limit(PAGE)
        ).all()

    def _compare(self, page: "_Page", span: "_Span") -> Iterator[Difference]:
        days = self._attempts(page, span)
        yield from _compare_totals(page, days)
        yield from self._compare_days(page, span, days)
        yield from self._compare_ended(page)
        yield from self._compare_records(page, span)

    def _attempts(self, page: "_Page", span: "_Span") -> dict[Day, dict[str, int]]:
        """The sums of the attempts of each job and day."""
        day = utc_day(Attempt.ended_at)
        rows = self._session.execute(
            select(
                Attempt.job_id,
                day.label("day"),
                Attempt.tenant_id,
                func.count().label("attempts"),
                *totals.spent(),
            )
            .where(span.covers(Attempt.job_id))
            .group_by(Attempt.job_id, day, Attempt.tenant_id)
        )
        days = {}
        for row in rows:
            sums = dict(row._mapping)
            key = (sums.pop("job_id"), sums.pop("day"), sums.pop("tenant_id"))
            self.attempts += sums.pop("attempts")
            days[key] = {name: int(value) for name, value in sums.items()}
        return days

    def _compare_days(
        self, page: "_Page", span: "_Span", days: dict[Day, dict[str, int]]
    ) -> Iterator[Difference]:
        """Compare the spending of each day, by which tenants' caps are measured."""
        kept = {
            (row.job_id, row.day, row.tenant_id): row
            for row in self._session.scalars(select(Spend).where(span.covers(Spend.job_id)))
        }
        for key in sorted(days.keys() | kept.keys()):
            job_id, day, tenant_id = key
            for name in MONEY:
                yield from _compare(
                    page.name(job_id),
                    f"spend.{name} of {day} of {page.tenant(job_id, tenant_id)}",
                    getattr(kept[key], name) if key in kept else 0,
                    days[key][name] if key in days else 0,
                    money=True,
                )

    def _compare_ended(self, page: "_Page") -> Iterator[Difference]:
        """Compare how the records of ended jobs have ended."""
        final = [job for job in page.jobs.values() if job.status in FINAL]
        by_job: dict[int, list[tuple[int, int]]] = defaultdict(list)
        rows = self._session.execute(
            select(Record.job_id, Record.status, func.count())
            .where(Record.job_id.in_([job.id for job in final]))
            .group_by(Record.job_id, Record.status)
        )
        for job_id, status, count in rows:
            by_job[job_id].append((status, count))
        for job in final:
            ended = totals.ended(by_job[job.id], job.closed_as)
            for word, count in ended.items():
                kept = getattr(page.counts[job.id], word, None)
                yield from _compare(str(job.uid), f"job_counts.{word}", kept, count)
            if job.status != JobStatus.FAILED:  # none of its records was asked, and none has ended
                yield from _compare(str(job.uid), "job.total", job.total, sum(ended.values()))

    def _compare_records(self, page: "_Page", span: "_Span") -> Iterator[Difference]:
        """Compare the cost of each record that has ended."""
        rows = self._session.execute(_differing_records(span), execution_options={"yield_per": CANDIDATES})
        for candidates in rows.partitions():
            for row in self._unexplained(candidates):
                yield from _compare(
                    page.name(row.job_id),
                    f"record_output.cost of record {row.idx}",
                    row.kept,
                    None if row.unpriced else int(row.cost),
                    money=True,
                )

    def _unexplained(self, rows: Sequence[Row[Any]]) -> list[Row[Any]]:
        """The rows whose difference no late answer explains.

        A late answer comes when its record is being asked again, or has ended: the ledger has it, and the
        record's line stays as it was read.
        """
        keys = [(row.job_id, row.idx) for row in rows]
        calls = self._session.execute(
            select(
                Attempt.job_id,
                Attempt.idx,
                KNOWN_COST.label("cost"),
                Attempt.confirmed_at.is_(None).label("in_time"),
            )
            .where(tuple_(Attempt.job_id, Attempt.idx).in_(keys), WAS_ANSWERED)
            .order_by(Attempt.job_id, Attempt.idx)
        ).all()
        costs = {
            key: ([c.cost for c in group if c.in_time], [c.cost for c in group if not c.in_time])
            for key, group in ((k, list(g)) for k, g in groupby(calls, lambda call: (call.job_id, call.idx)))
        }
        return [row for row in rows if not can_be(row.kept, *costs.get((row.job_id, row.idx), ([], [])))]


def number_of(session: Session, uid: str) -> int:
    """A job's internal id, whichever tenant owns it; raises `NotFound`."""
    try:
        job_id = session.scalar(select(Job.id).where(Job.uid == uuid.UUID(uid)))
    except ValueError:
        job_id = None
    if job_id is None:
        raise NotFound(f"there is no job {uid!r}: `penstock jobs list` shows those of a key")
    return job_id


def can_be(kept: int | None, in_time: Iterable[int | None], late: Iterable[int | None]) -> bool:
    """Whether a record may cost `kept`: all its answers that came in time, and any of the late ones."""
    certain, possible = list(in_time), list(late)
    if None in certain or kept is None:
        return kept is None and None in (*certain, *possible)
    sums = {sum(cost or 0 for cost in certain)}
    for cost in possible:
        sums |= {total + (cost or 0) for total in sums}
    return kept in sums


@dataclass(frozen=True, slots=True)
class _Span:
    """A range of job ids: a page of jobs, and all ids up to the next page, even if no job has them."""

    after: int
    last: int | None
    only: int | None

    def covers(self, column: InstrumentedAttribute[int]) -> ColumnElement[bool]:
        if self.only is not None:
            return and_(column == self.only, column > self.after)
        return column > self.after if self.last is None else column.between(self.after + 1, self.last)


class _Page:
    """Jobs, and their stored totals."""

    def __init__(self, rows: Sequence[Row[Job, JobCounts]]) -> None:
        self.jobs: dict[int, Job] = {row.Job.id: row.Job for row in rows}
        self.counts: dict[int, JobCounts | None] = {row.Job.id: row.JobCounts for row in rows}

    def name(self, job_id: int) -> str:
        return str(self.jobs[job_id].uid) if job_id in self.jobs else f"number {job_id}, which does not exist"

    def tenant(self, job_id: int, tenant_id: int) -> str:
        job = self.jobs.get(job_id)
        return (
            "its tenant"
            if job and job.tenant_id == tenant_id
            else f"tenant {tenant_id}, which does not own it"
        )


def _compare_totals(page: _Page, days: dict[Day, dict[str, int]]) -> Iterator[Difference]:
    """Compare the tokens and the cost of each job."""
    by_job: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (job_id, _, _), sums in days.items():
        for name, value in sums.items():
            by_job[job_id][name] += value
    for job_id in sorted(page.jobs.keys() | by_job.keys()):
        for label in totals.spent():
            name = label.name
            kept = getattr(page.counts.get(job_id), name, None)
            yield from _compare(
                page.name(job_id), f"job_counts.{name}", kept, by_job[job_id][name], money=name in MONEY
            )
    for job_id, _, tenant_id in sorted(days):
        job = page.jobs.get(job_id)
        if job is not None and tenant_id != job.tenant_id:
            yield Difference(page.name(job_id), "its tenant", str(job.tenant_id), f"{tenant_id}")


def _compare(
    job: str, what: str, kept: int | None, rows: int | None, *, money: bool = False
) -> Iterator[Difference]:
    if kept != rows:
        yield Difference(job, what, _formatted(kept, money), _formatted(rows, money))


def _formatted(value: int | None, money: bool) -> str:
    if value is None:
        return "none"
    return f"${pricing.dollars(value)}" if money else f"{value:,}"


def _differing_records(span: _Span) -> Any:
    """Records whose cost is not the sum of all their answers.

    Two ranges and no join: the planner has no statistics of rows just written, and joins them badly.
    """
    none, zero, one = cast(null(), BigInteger), literal(0), literal(1)
    kept = select(
        RecordOutput.job_id,
        RecordOutput.idx,
        RecordOutput.cost.label("kept"),
        one.label("outputs"),
        none.label("cost"),
        zero.label("unpriced"),
    ).where(span.covers(RecordOutput.job_id))
    answers = select(
        Attempt.job_id, Attempt.idx, none, zero, KNOWN_COST, case((KNOWN_COST.is_(None), 1), else_=0)
    ).where(span.covers(Attempt.job_id), WAS_ANSWERED)
    both = union_all(kept, answers).subquery()
    cost = func.coalesce(func.sum(both.c.cost), 0)
    unpriced, stored = func.sum(both.c.unpriced), func.max(both.c.kept)
    return (
        select(
            both.c.job_id, both.c.idx, stored.label("kept"), cost.label("cost"), unpriced.label("unpriced")
        )
        .group_by(both.c.job_id, both.c.idx)
        .having(
            func.sum(both.c.outputs) == 1,
            or_(
                and_(unpriced == 0, or_(stored.is_(None), stored != cost)),
                and_(unpriced > 0, stored.is_not(None)),
            ),
        )
    )
