"""Two jobs of the same rows side by side: the records that belong together, and whether their answers differ.

A row is known by its custom id, or by its content. In two submissions of one sheet it has the same index, so
records are paired by that, unless the rows at the ends tell otherwise and both jobs are small enough to look
each row up.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading import jobs, records
from app.core.reading.answers import answer_text
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from models.job import Job
from models.record import ENDED, RecordInput
from models.session import reading

SECONDS: Final = 0.1  # of one request; the records that are being compared are finished
AT_ONCE = 200  # records that are compared together
SAMPLE = 100  # records at each end, by which it is known whether the rows are in the same order
LOOKED_UP = 20_000  # records of a job in which rows are found whatever their order
OFFERED = 20  # jobs that one may be compared with


@dataclass(frozen=True, slots=True)
class Pair:
    """A record, and that of the same row in the other job, if it has one."""

    left: RecordView
    right: RecordView | None

    @property
    def is_changed(self) -> bool:
        """Whether both have ended, and not in the same words."""
        if self.right is None or self.left.status not in ENDED or self.right.status not in ENDED:
            return False
        if self.left.status is not self.right.status:
            return True
        return self.left.answer != self.right.answer and _said(self.left) != _said(self.right)


@dataclass(frozen=True, slots=True)
class Compared:
    """Pairs in the order of the left job. Others may come behind the index `after`; None: it was the last."""

    pairs: Sequence[Pair]
    after: int | None


def candidates(session: Session, tenant_id: int, job: JobView) -> list[JobView]:
    """The newest jobs of the tenant with as many records, other than the job itself."""
    return jobs.page(session, tenant_id, None, OFFERED, Job.total == job.total, Job.id != job.id)


def find(
    session: Session,
    left: JobView,
    right: JobView,
    after: int | None,
    limit: int,
    *,
    changed: bool,
    seconds: float = SECONDS,
) -> Compared:
    """Up to `limit` pairs whose answers differ, or do not, from behind index `after` on."""
    deadline = time.monotonic() + seconds
    found: list[Pair] = []
    partners = _partners(session, left, right)
    for low in range(0 if after is None else after + 1, left.total, AT_ONCE):
        indices = range(low, min(low + AT_ONCE, left.total))
        for pair in _pairs(session, left, right, indices, partners):
            if pair.is_changed is changed:
                found.append(pair)
                if len(found) == limit:
                    return Compared(found, _behind(left, pair.left.idx))
        if time.monotonic() > deadline:
            return Compared(found, _behind(left, indices[-1]))
    return Compared(found, None)


def with_inputs(session: Session, job: JobView, found: Sequence[Pair]) -> list[RecordView]:
    """The left records of `found`, with what they asked."""
    indices = [pair.left.idx for pair in found]
    return records.those(session, job, indices, inputs=True) if indices else []


def _behind(job: JobView, idx: int) -> int | None:
    return idx if idx < job.total - 1 else None


def _pairs(
    session: Session,
    left: JobView,
    right: JobView,
    indices: Sequence[int],
    partners: Mapping[int, int] | None,
) -> Iterator[Pair]:
    ours = records.those(session, left, indices)
    theirs = {idx: idx for idx in indices if idx < right.total} if partners is None else partners
    wanted = sorted({theirs[idx] for idx in indices if idx in theirs})
    found = {record.idx: record for record in records.those(session, right, wanted)} if wanted else {}
    for record in ours:
        other = found.get(theirs.get(record.idx, -1))
        is_same = other is not None and (partners is not None or _may_be_one_row(record, other))
        yield Pair(record, other if is_same else None)


def _may_be_one_row(left: RecordView, right: RecordView) -> bool:
    return left.custom_id is None or right.custom_id is None or left.custom_id == right.custom_id


def _partners(session: Session, left: JobView, right: JobView) -> Mapping[int, int] | None:
    """The index of each row of the left job in the right one; None where it is the same."""
    if max(left.total, right.total) > LOOKED_UP or _has_same_order(session, left, right):
        return None
    first_of = {key: idx for idx, key in reversed(_all_keys(right.id).items())}
    return {idx: first_of[key] for idx, key in _all_keys(left.id).items() if key in first_of}


def _has_same_order(session: Session, left: JobView, right: JobView) -> bool:
    """Whether the first and the last rows of both are the same."""
    if left.total != right.total:
        return False
    ends = (range(min(SAMPLE, left.total)), range(max(0, left.total - SAMPLE), left.total))
    return all(_keys(session, left.id, some) == _keys(session, right.id, some) for some in ends)


@lru_cache(maxsize=8)  # what was submitted never changes
def _all_keys(job_id: int) -> Mapping[int, bytes]:
    with reading() as session:
        return _keys(session, job_id, range(LOOKED_UP))


def _keys(session: Session, job_id: int, indices: range) -> dict[int, bytes]:
    """What each row is known by."""
    rows = session.execute(
        select(RecordInput.idx, RecordInput.custom_id, RecordInput.body)
        .where(RecordInput.job_id == job_id, RecordInput.idx.between(indices.start, indices.stop - 1))
        .order_by(RecordInput.idx)
    )
    return {
        idx: hashlib.blake2b(body if custom_id is None else b"id:" + custom_id, digest_size=12).digest()
        for idx, custom_id, body in rows
    }


def _said(record: RecordView) -> tuple[str, str | None]:
    return ("" if record.answer is None else answer_text(record.answer)), record.error_type
