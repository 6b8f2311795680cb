"""What a whole job costs, by the records of it that have ended: a prediction with its bounds.

Sizes of requests are known of all records, so what is paid for input grows with them from the first answer
on. What is paid for output is a line through those sizes where that explains it, else the same for all. The
bounds hold the sum for 19 of 20 jobs if costs scatter evenly: they allow for the scatter of those that are
left, and for how little so few answers tell of the line (the prediction interval of a linear regression, as
in Draper & Smith, *Applied Regression Analysis*, 3rd ed., section 1.4, summed over many).
"""

import datetime as dt
import math
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from app.core.money import pricing
from app.core.money.ledger import ANSWERED
from app.ingest.draft import ENVELOPE_BYTES
from models.job import Job, JobCounts
from models.record import Attempt, Record, RecordCopy, RecordOutput, RecordStatus

MAX_ANSWERS = 2_000
FEWEST = 3
LEAST_MARGIN = 0.02  # of what is left: a few answers alike do not show how the odd one is
ENOUGH = 8  # answers that can show that size matters
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
    """A record that was asked: bytes of its content; pico-dollars of its calls, for input and output."""

    size: float
    input: float
    output: float


class Line(NamedTuple):
    """What records cost by their size. `slope` 0: the same for all."""

    mean_size: float
    mean: float
    slope: float

    def at(self, size: float) -> float:
        return self.mean + self.slope * (size - self.mean_size)


def of(session: Session, job: Job) -> Forecast | None:
    """By the job's own answers; None where too few have a known cost."""
    answered = _answered(session, job)
    if len(answered) < FEWEST:
        return None
    copies = select(RecordCopy.idx).where(RecordCopy.job_id == job.id)
    count, size = session.execute(
        select(func.count(), func.coalesce(func.sum(Record.request_bytes), 0)).where(
            Record.job_id == job.id,
            Record.status.in_((RecordStatus.PENDING, RecordStatus.WAITING, RecordStatus.RUNNING)),
            Record.idx.not_in(copies),
        )
    ).one()
    spent = session.scalars(select(JobCounts.cost).where(JobCounts.job_id == job.id)).one()
    return predicted(answered, int(count), max(0, int(size) - int(count) * ENVELOPE_BYTES), spent)


def _answered(session: Session, job: Job) -> list[Answered]:
    """What its newest answers cost, for input and for output as the model's rates share it out.

    Without what one record has paid for all others: what was written to the cache that they read.
    """
    price = pricing.price_at(job.model, dt.datetime.now(dt.UTC))
    if price is None:
        return []
    rates = price.short_prompt
    rows = session.execute(
        select(
            Record.request_bytes,
            RecordOutput.cost,
            func.sum(Attempt.input_tokens).label("read"),
            func.sum(Attempt.cache_read_tokens).label("cached"),
            func.sum(Attempt.cache_write_tokens).label("kept"),
            func.sum(Attempt.output_tokens).label("written"),
        )
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .join(Attempt, and_(Attempt.job_id == Record.job_id, Attempt.idx == Record.idx))
        .where(Record.job_id == job.id, RecordOutput.cost.is_not(None), Attempt.outcome == ANSWERED)
        .group_by(Record.idx, Record.request_bytes, RecordOutput.cost, RecordOutput.seq)
        .order_by(RecordOutput.seq.desc())
        .limit(MAX_ANSWERS)
    ).all()
    if any(row.cached for row in rows):
        rows = [row for row in rows if row.cached or not row.kept]
    answered = []
    for row in rows:
        of_input = int(row.read) * rates.input + int(row.cached) * rates.cache_read
        of_output = int(row.written) * rates.output
        output = row.cost * of_output / (of_input + of_output) if of_output else 0.0
        answered.append(Answered(max(1, row.request_bytes - ENVELOPE_BYTES), row.cost - output, output))
    return answered


def predicted(answered: Sequence[Answered], left: int, size_left: float, spent: int) -> Forecast:
    """With `left` records of `size_left` bytes in all to be asked, and `spent` so far."""
    count = len(answered)
    sizes = [one.size for one in answered]
    mean_size = sum(sizes) / count
    spread = sum((size - mean_size) ** 2 for size in sizes)
    of_input = _line(sizes, [one.input for one in answered], spread, by_size=True)
    of_output = _line(sizes, [one.output for one in answered], spread, by_size=False)
    scatter = sum(
        (one.input + one.output - of_input.at(one.size) - of_output.at(one.size)) ** 2 for one in answered
    ) / (count - 1)
    mean_left = size_left / left if left else mean_size
    rest = max(0.0, left * (of_input.at(mean_left) + of_output.at(mean_left)))
    is_sloped = of_output.slope != 0 and spread > 0
    of_line = left**2 * (1 / count + ((mean_left - mean_size) ** 2 / spread if is_sloped else 0.0))
    margin = max(_t(count - 1) * math.sqrt(scatter * (left + of_line)), LEAST_MARGIN * rest)
    low, high = max(0.0, rest - margin), rest + margin
    return Forecast(spent + round(low), spent + round(rest), spent + round(high))


def _line(sizes: Sequence[float], costs: Sequence[float], spread: float, *, by_size: bool) -> Line:
    """The line of least squares where size explains the costs; else in proportion `by_size`, or level."""
    count = len(sizes)
    mean_size, mean = sum(sizes) / count, sum(costs) / count
    level = Line(mean_size, mean, mean / mean_size if by_size else 0.0)
    if count < ENOUGH or not spread:
        return level
    slope = sum((s - mean_size) * (c - mean) for s, c in zip(sizes, costs, strict=True)) / spread
    found = Line(mean_size, mean, slope)
    off = sum((cost - found.at(size)) ** 2 for size, cost in zip(sizes, costs, strict=True))
    error = math.sqrt(off / (count - 2) / spread)
    return found if slope > _t(count - 2) * error else level


def _t(free: int) -> float:
    return _T[free - 1] if free <= len(_T) else _T_OF_MANY
