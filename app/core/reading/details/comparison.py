"""Two jobs of the same rows side by side: the records that belong together, and whether their answers differ.

A row is known by its custom id, or by its content. In two submissions of one sheet it has the same index, so
records are paired by that, unless the rows at the ends tell otherwise and both jobs are small enough to look
each row up.
"""

import hashlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading import jobs, records
from app.core.reading.answers import answer_text
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from models.job import Job
from models.record import RecordInput, RecordOutput
from models.session import reading

SECONDS: Final = 0.06  # of one request; the records that are being compared are finished
AT_ONCE = 200  # records that are compared together
SAMPLE = 100  # records at each end, by which it is known whether the rows are in the same order
LOOKED_UP = 20_000  # records of a job in which rows are found whatever their order
OFFERED = 20  # jobs that one may be compared with


@dataclass(frozen=True, slots=True)
class Pair:
    """A record that was read with its input, and that of the same row in the other job, if it has one."""

    left: RecordView
    right: RecordView | None


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
    """Up to `limit` rows whose answers differ, or do not, from behind index `after` on.

    Answers differ when both records have ended, and not in the same words.
    """
    deadline = time.monotonic() + seconds
    found: list[tuple[int, int | None]] = []
    reached = left.total - 1
    low = 0 if after is None else after + 1
    for idx, other, differ in _looked_at(session, left, right, low, deadline):
        reached = idx
        if differ is changed:
            found.append((idx, other))
        if len(found) == limit:
            break
    return Compared(_read(session, left, right, found), reached if reached < left.total - 1 else None)


def _looked_at(
    session: Session, left: JobView, right: JobView, low: int, deadline: float
) -> Iterator[tuple[int, int | None, bool]]:
    """Each row's index in both jobs, and whether its answers differ: a chunk, and others until `deadline`."""
    partners, begin = _partners(session, left, right), low
    while low < left.total and (low == begin or time.monotonic() < deadline):
        indices = range(low, min(low + AT_ONCE, left.total))
        others = {idx: idx if partners is None else partners.get(idx) for idx in indices}
        ours = _ends(session, left, indices)
        theirs = _ends(session, right, [other for other in others.values() if other is not None])
        for idx, other in others.items():
            one, another = ours.get(idx), None if other is None else theirs.get(other)
            yield idx, other, one is not None and another is not None and one.differs_from(another)
        low += AT_ONCE


class _End(NamedTuple):
    """How a record has ended."""

    answer: bytes | None
    error_type: str | None

    def differs_from(self, other: "_End") -> bool:
        if self.error_type != other.error_type or (self.answer is None) is not (other.answer is None):
            return True
        if self.answer is None or other.answer is None or self.answer == other.answer:
            return False
        return answer_text(self.answer) != answer_text(other.answer)


def _ends(session: Session, job: JobView, indices: Sequence[int]) -> dict[int, _End]:
    """By index; without those that have not ended, or were never asked."""
    if not indices:
        return {}
    output = RecordOutput.__table__.c
    these = (output.job_id == job.id, records.one_of(output.idx, indices))
    rows = session.execute(select(output.idx, output.body, output.error_type).where(*these))
    return {row[0]: _End(row[1], row[2]) for row in rows}


def _read(
    session: Session, left: JobView, right: JobView, found: Sequence[tuple[int, int | None]]
) -> list[Pair]:
    wanted = sorted({other for _, other in found if other is not None and other < right.total})
    theirs = {record.idx: record for record in _those(session, right, wanted)}
    ours = _those(session, left, [idx for idx, _ in found], inputs=True)
    return [
        Pair(record, None if other is None else theirs.get(other))
        for record, (_, other) in zip(ours, found, strict=True)
    ]


def _those(
    session: Session, job: JobView, indices: Sequence[int], *, inputs: bool = False
) -> list[RecordView]:
    return records.those(session, job, indices, inputs=inputs) if indices else []


def _partners(session: Session, left: JobView, right: JobView) -> Mapping[int, int] | None:
    """The index of each row of the left job in the right one; None where it is the same."""
    if max(left.total, right.total) > LOOKED_UP or _has_same_order(session, left, right):
        return None
    ours, theirs = (_all_keys(job.id, job.uid) for job in (left, right))
    first_of = {key: idx for idx, key in reversed([*theirs.items()])}
    return {idx: first_of[key] for idx, key in ours.items() if key in first_of}


def _has_same_order(session: Session, left: JobView, right: JobView) -> bool:
    """Whether the first and the last rows of both are the same."""
    if left.total != right.total:
        return False
    ends = (range(min(SAMPLE, left.total)), range(max(0, left.total - SAMPLE), left.total))
    return all(_keys(session, left.id, some) == _keys(session, right.id, some) for some in ends)


@lru_cache(maxsize=8)  # what was submitted never changes
def _all_keys(job_id: int, _: uuid.UUID) -> Mapping[int, bytes]:
    """In pieces: a job has up to half a gigabyte."""
    found: dict[int, bytes] = {}
    with reading() as session:
        for start in range(0, LOOKED_UP, AT_ONCE):
            piece = _keys(session, job_id, range(start, start + AT_ONCE))
            if not piece:
                break
            found |= piece
    return found


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
