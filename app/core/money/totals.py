"""A job's counts, tokens and cost, summed from its rows: its final figures."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Label, func, select, update
from sqlalchemy.orm import Session

from app.core.money.ledger import ANSWERED, UNCONFIRMED, USAGE_UNKNOWN
from models.job import Job, JobCounts
from models.record import UNASKED, Attempt, Record, RecordStatus

WORDS = ("succeeded", "failed", "cancelled", "expired")
# As a job counts and shows them: all cache writes are one kind.
TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def write(session: Session, job: Job) -> None:
    """Set the job's counts from its records, its tokens and cost from its attempts, and clear its wake-up."""
    session.execute(
        update(JobCounts)
        .where(JobCounts.job_id == job.id)
        .values(**_counts(session, job), **_spent(session, job.id), wake_at=None, queued_at=None)
    )
    session.expire(session.get_one(JobCounts, job.id))


def spent() -> tuple[Label[int], ...]:
    """Tokens and cost of attempts, each labelled with its name in `job_counts`, for a grouped select."""

    def total(column: Any, outcome: str = ANSWERED) -> Any:
        return func.coalesce(func.sum(column).filter(Attempt.outcome == outcome), 0)

    return (
        *(total(getattr(Attempt, kind)).label(kind) for kind in TOKENS),
        total(Attempt.cost).label("cost"),
        total(Attempt.cache_saved).label("cache_saved"),
        total(Attempt.cost, UNCONFIRMED).label("cost_unconfirmed"),
        func.count().filter(Attempt.outcome == ANSWERED, Attempt.cost.is_(None)).label("unpriced"),
        func.count()
        .filter(Attempt.outcome == UNCONFIRMED, Attempt.error_type == USAGE_UNKNOWN)
        .label("usage_unknown"),
    )


def ended(by_status: Iterable[tuple[int, int]], closed_as: str | None) -> dict[str, int]:
    """Ended records by status word; records that a closed job never asked count as its `closed_as`."""
    counts = dict.fromkeys(WORDS, 0)
    for status, count in by_status:
        word = closed_as if status in UNASKED else RecordStatus(status).word
        if word in counts:
            counts[word] += count
    return counts


def _counts(session: Session, job: Job) -> dict[str, int]:
    rows = session.execute(
        select(Record.status, func.count()).where(Record.job_id == job.id).group_by(Record.status)
    )
    return ended(((status, count) for status, count in rows), job.closed_as)


def _spent(session: Session, job_id: int) -> dict[str, int]:
    row = session.execute(select(*spent()).where(Attempt.job_id == job_id)).one()
    return {name: int(value) for name, value in row._mapping.items()}
