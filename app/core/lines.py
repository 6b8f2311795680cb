"""A record as its owner reads it: one line of JSON, and pages of such lines.

The line of an ended record is made here and nowhere else, so it is the same bytes whenever and wherever it is
read. The answer in it is the provider's own bytes: never parsed, never written anew.
"""

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, select
from sqlalchemy.orm import Session

from app.core import pricing
from app.core.views import JobView
from models.base import record_uid
from models.job import Job
from models.record import ENDED, UNASKED, Record, RecordInput, RecordOutput, RecordStatus

PAGE_BYTES = 4_000_000  # of contents; a page ends with the record that passes it
FETCHED = 50  # records that are read at once; more of them while they are small
SMALL = 500_000  # bytes of contents of what was read at once
# Places that one statement looks through. Its cost is bounded so whatever the planner thinks of the job: one
# that it takes for small would be read and sorted whole for every page.
NARROW, WIDE = 1_000, 50_000

WORDS = ("pending", "running", "succeeded", "failed", "cancelled", "expired")
ENDED_WORDS = frozenset(status.word for status in ENDED)

Rows = Sequence[Row[*tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Page:
    """Records in order. `after` is the place of its last one, None when nothing comes behind it."""

    rows: Rows
    after: int | None


def shown_status() -> ColumnElement[int]:
    """What a record is: one that was never asked, of a job that was closed, is what the job was closed as."""
    closed_as = case(
        (Job.closed_as == "cancelled", RecordStatus.CANCELLED.value),
        (Job.closed_as == "expired", RecordStatus.EXPIRED.value),
        else_=RecordStatus.PENDING.value,
    )
    return case((Record.status.in_(sorted(UNASKED)), closed_as), else_=Record.status)


def by_index(
    session: Session,
    job: JobView,
    after: int | None,
    limit: int,
    *,
    words: frozenset[str] = frozenset(WORDS),
    inputs: bool = False,
) -> Page:
    """Records shown as one of `words`, from behind index `after` on; `inputs`: with what each asked."""

    def choose(low: int, high: int) -> Select[int]:
        return (
            select(Record.idx)
            .join(Job, Job.id == Record.job_id)
            .where(Record.job_id == job.id, Record.idx > low, Record.idx <= high, *_are(words))
            .order_by(Record.idx)
        )

    walk = _Walk(session, job.id, words, inputs)
    return walk.page(choose, -1 if after is None else after, job.total - 1, limit, "idx")


def by_completion(
    session: Session, job: JobView, after: int | None, limit: int, *, inputs: bool = False
) -> Page:
    """Records that were asked and have ended, in the order of their ends, from behind seq `after` on."""

    def choose(low: int, high: int) -> Select[int]:
        return (
            select(RecordOutput.idx)
            .where(RecordOutput.job_id == job.id, RecordOutput.seq > low, RecordOutput.seq <= high)
            .order_by(RecordOutput.seq)
        )

    return _Walk(session, job.id, ENDED_WORDS, inputs).page(choose, after or 0, job.seq, limit, "seq")


def never_asked(
    session: Session, job: JobView, after: int | None, limit: int, *, inputs: bool = False
) -> Page:
    """Records that ended with their job, by index: they have no place in the order of completion."""

    def choose(low: int, high: int) -> Select[int]:
        output = and_(
            RecordOutput.job_id == job.id,
            RecordOutput.idx == Record.idx,
            RecordOutput.idx > low,
            RecordOutput.idx <= high,
        )
        return (
            select(Record.idx)
            .join(Job, Job.id == Record.job_id)
            .outerjoin(RecordOutput, output)
            .where(Record.job_id == job.id, Record.idx > low, Record.idx <= high, *_are(ENDED_WORDS))
            .where(RecordOutput.idx.is_(None))
            .order_by(Record.idx)
        )

    walk = _Walk(session, job.id, ENDED_WORDS, inputs)
    return walk.page(choose, -1 if after is None else after, job.total - 1, limit, "idx")


def line(job: uuid.UUID, row: Row[*tuple[Any, ...]]) -> bytes:
    """The record as one JSON object in one line, without its line break."""
    head = {
        "id": str(record_uid(job, row.idx)),
        "index": row.idx,
        "custom_id": text(row.custom_id),
        "status": RecordStatus(row.status).word,
        "attempts": row.attempts,
    }
    tail = {
        "error": None if row.error_type is None else {"type": row.error_type, "message": text(row.message)},
        "usage": row.usage,
        "cost": None if row.cost is None else pricing.dollars(row.cost),
        "latency_ms": row.latency_ms,
        "started_at": timestamp(row.started_at or _asked_at(row)),
        "ended_at": timestamp(row.ended_at),
    }
    answer = b"null" if row.answer is None else row.answer
    return b"".join((_json(head)[:-1], b',"response":', answer, b",", _json(tail)[1:]))


def timestamp(time: dt.datetime | None) -> str | None:
    """ISO 8601 in UTC, always of one width."""
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def text(value: bytes | None) -> str | None:
    """Any text that JSON can carry, half of a surrogate pair included."""
    return None if value is None else value.decode("utf-8", "surrogatepass")


def _asked_at(row: Row[*tuple[Any, ...]]) -> dt.datetime | None:
    return row.claimed_at if row.status == RecordStatus.RUNNING else None


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class _Walk:
    """A walk along the places of a job's records: their indices, or the seqs of their ends."""

    session: Session
    job_id: int
    words: frozenset[str]
    inputs: bool

    def page(
        self, choose: Callable[[int, int], Select[int]], low: int, last: int, limit: int, place: str
    ) -> Page:
        """Up to `limit` records or about `PAGE_BYTES` of contents, whichever comes first.

        `choose` selects the indices of those whose place is behind the one and not behind the other.
        """
        rows: list[Row[*tuple[Any, ...]]] = []
        size, span = 0, max(limit, NARROW)
        while low < last:
            high = min(low + span, last)
            chosen = self.session.scalars(choose(low, high).limit(limit + 1 - len(rows))).all()
            for row in self._read(chosen):
                if len(rows) == limit or size >= PAGE_BYTES:
                    return Page(rows, getattr(rows[-1], place))
                rows.append(row)
                size += self._size(row)
            low, span = high, min(span * 4, WIDE)
        return Page(rows, None)

    def _read(self, indices: Sequence[int]) -> Iterator[Row[*tuple[Any, ...]]]:
        start, count = 0, FETCHED
        while start < len(indices):
            some = indices[start : start + count]
            statement = _rows(self.job_id, some, inputs=self.inputs).where(*_are(self.words))
            found = {row.idx: row for row in self.session.execute(statement)}
            yield from (found[idx] for idx in some if idx in found)
            start += count
            count = count * 4 if sum(map(self._size, found.values())) < SMALL else FETCHED

    def _size(self, row: Row[*tuple[Any, ...]]) -> int:
        return len(row.answer or b"") + (len(row.asked) if self.inputs else 0)


def _rows(job_id: int, indices: Sequence[int], *, inputs: bool) -> Select[*tuple[Any, ...]]:
    asked = (RecordInput.body.label("asked"),) if inputs else ()
    return (
        select(
            Record.idx,
            shown_status().label("status"),
            Record.attempts,
            Record.claimed_at,
            RecordInput.custom_id,
            RecordOutput.seq,
            RecordOutput.body.label("answer"),
            RecordOutput.error_type,
            RecordOutput.error_message.label("message"),
            RecordOutput.usage,
            RecordOutput.cost,
            RecordOutput.latency_ms,
            RecordOutput.started_at,
            RecordOutput.ended_at,
            *asked,
        )
        .join(Job, Job.id == Record.job_id)
        .outerjoin(RecordInput, _of(RecordInput, job_id, indices))
        .outerjoin(RecordOutput, _of(RecordOutput, job_id, indices))
        .where(Record.job_id == job_id, Record.idx.in_(indices))
    )


def _of(part: type[RecordInput | RecordOutput], job_id: int, indices: Sequence[int]) -> ColumnElement[bool]:
    """The condition that joins a record's part; the indices again, for a planner does not carry them over."""
    return and_(part.job_id == job_id, part.idx == Record.idx, part.idx.in_(indices))


def _are(words: frozenset[str]) -> Iterator[ColumnElement[bool]]:
    """Conditions for records shown as one of `words`; the first lets a partial index be used."""
    if words == frozenset(WORDS):
        return
    could_be = {status for status in RecordStatus if status.word in words}
    if words & {"cancelled", "expired"}:
        could_be |= UNASKED
    yield Record.status.in_(sorted(could_be))
    if could_be & UNASKED:
        yield shown_status().in_(sorted({status for status in RecordStatus if status.word in words}))
