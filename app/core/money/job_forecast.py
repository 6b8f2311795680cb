"""What a whole job costs, by the records of it that have ended: a prediction with its bounds.

The cost of a record is a line through the sizes of requests where that explains it, else the same for all.
The bounds hold the sum for 19 of 20 jobs if costs scatter evenly around the line: they allow for the scatter
of those that are left, and for how little so few answers tell of the line (the prediction interval of a
linear regression, as in Draper & Smith, *Applied Regression Analysis*, 3rd ed., section 1.4, summed over
many).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.ingest.draft import ENVELOPE_BYTES
from models.job import Job, JobCounts
from models.record import Record, RecordCopy, RecordOutput, RecordStatus

MAX_ANSWERS = 2_000
FEWEST = 3
LEAST_MARGIN = 0.02  # of what is left: a few answers alike do not show how the odd one is
# Student's t, two-sided 95 %, by degrees of freedom; above that nearly the last.
_T = (
    12.71,
    4.30,
    3.18,
    2.78,
    2.57,
    2.45,
    2.36,
    2.31,
    2.26,
    2.23,
    2.20,
    2.18,
    2.16,
    2.14,
    2.13,
    2.12,
    2.11,
    2.10,
)
_T_OF_MANY = 2.05


class Forecast(NamedTuple):
    """Pico-dollars of the whole job."""

    low: int
    likely: int
    high: int


class Answered(NamedTuple):
    """A record that was asked: bytes of its content, and pico-dollars of all its calls."""

    size: float
    cost: float


def of(session: Session, job: Job) -> Forecast | None:
    """By the job's own answers; None where too few have a known cost."""
    answered = _answered(session, job)
    if len(answered) < FEWEST:
        return None
    copies = select(RecordCopy.idx).where(RecordCopy.job_id == job.id)
    left = session.execute(
        select(func.count(), func.coalesce(func.sum(Record.request_bytes), 0)).where(
            Record.job_id == job.id,
            Record.status.in_((RecordStatus.PENDING, RecordStatus.WAITING, RecordStatus.RUNNING)),
            Record.idx.not_in(copies),
        )
    ).one()
    spent = session.scalars(select(JobCounts.cost).where(JobCounts.job_id == job.id)).one()
    return predicted(answered, int(left[0]), max(0, int(left[1]) - int(left[0]) * ENVELOPE_BYTES), spent)


def _answered(session: Session, job: Job) -> list[Answered]:
    """Without what one record has paid for all others: what was written to the cache that they read."""
    found = session.execute(
        select(Record.request_bytes, RecordOutput.cost, RecordOutput.usage)
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .where(Record.job_id == job.id, Record.attempts > 0, RecordOutput.cost.is_not(None))
        .order_by(RecordOutput.seq.desc())
        .limit(MAX_ANSWERS)
    ).all()
    if any(_reads(row.usage) for row in found):
        found = [row for row in found if _reads(row.usage) or not _writes(row.usage)]
    return [Answered(max(1, row.request_bytes - ENVELOPE_BYTES), row.cost) for row in found]


def _reads(usage: dict[str, int] | None) -> bool:
    return bool(usage and usage["cache_read_tokens"])


def _writes(usage: dict[str, int] | None) -> bool:
    return bool(usage and usage["cache_write_tokens"])


def predicted(answered: Sequence[Answered], left: int, size_left: float, spent: int) -> Forecast:
    """With `left` records of `size_left` bytes in all to be asked, and `spent` so far."""
    count = len(answered)
    mean_size = sum(one.size for one in answered) / count
    mean_cost = sum(one.cost for one in answered) / count
    spread = sum((one.size - mean_size) ** 2 for one in answered)
    slope = _slope(answered, mean_size, mean_cost, spread)
    free = count - (2 if slope else 1)
    scatter = sum((one.cost - mean_cost - slope * (one.size - mean_size)) ** 2 for one in answered) / free
    away = (size_left / left - mean_size) if left else 0.0
    rest = left * (mean_cost + slope * away)
    of_line = left**2 * (1 / count + (away**2 / spread if slope else 0.0))
    margin = max(_t(free) * math.sqrt(scatter * (left + of_line)), LEAST_MARGIN * rest)
    low, high = max(0.0, rest - margin), rest + margin
    return Forecast(spent + round(low), spent + round(max(0.0, rest)), spent + round(high))


def _slope(answered: Sequence[Answered], mean_size: float, mean_cost: float, spread: float) -> float:
    """Pico-dollars of a byte; 0 where the answers do not show that size matters."""
    count = len(answered)
    if count < 8 or not spread:
        return 0.0
    slope = sum((one.size - mean_size) * (one.cost - mean_cost) for one in answered) / spread
    rest = sum((one.cost - mean_cost - slope * (one.size - mean_size)) ** 2 for one in answered)
    error = math.sqrt(rest / (count - 2) / spread)
    return slope if slope > _t(count - 2) * error else 0.0


def _t(free: int) -> float:
    return _T[free - 1] if free <= len(_T) else _T_OF_MANY
