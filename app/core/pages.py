"""Pages of a job's records with what came of them, in the order of the input or of their ends.

Tables are read one by one, each by its own index over a bounded range, and put together here: of a job that
has just been written a planner knows nothing, and joins what it takes for a few rows in quadratic time.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, case, select, text
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core.views import JobView
from models.job import Job
from models.record import ENDED, UNASKED, Record, RecordInput, RecordOutput, RecordStatus
from models.session import reading

PAGE_BYTES = 4_000_000  # of contents; a page ends with the record that passes it
LONG = 1_000  # records of a page that nobody turns by hand
FETCHED = 50  # records that are read at once; more of them while they are small
SMALL = 500_000  # bytes of contents of what was read at once
NARROW, WIDE = 1_000, 50_000  # places that one statement looks through, the more the fewer it finds

WORDS = ("pending", "running", "succeeded", "failed", "cancelled", "expired")
ALL_WORDS = frozenset(WORDS)
ENDED_WORDS = frozenset(status.word for status in ENDED)
CLOSED_WORDS = frozenset({"cancelled", "expired"})

Place = tuple[int, int]  # a place in the order that is asked for, and the index of the record there


@dataclass(frozen=True, slots=True)
class RecordView:
    """A record at one moment. `seq` is its place among those that ended; None if it never was asked."""

    idx: int
    status: RecordStatus
    attempts: int
    custom_id: bytes | None
    asked: bytes | None  # its input, where that was wanted
    seq: int | None
    answer: bytes | None
    error_type: str | None
    error_message: bytes | None
    usage: dict[str, int] | None
    cost: int | None  # pico-dollars
    latency_ms: int | None
    started_at: dt.datetime | None
    ended_at: dt.datetime | None

    @property
    def size(self) -> int:
        """Bytes of its contents."""
        return len(self.answer or b"") + len(self.asked or b"")


@dataclass(frozen=True, slots=True)
class Page:
    """Records in order. `after` is the place of the last one, None when nothing comes behind it."""

    records: list[RecordView]
    after: int | None


Read = Callable[[Session, JobView, int | None, int], Page]


@contextmanager
def snapshot() -> Iterator[Session]:
    """A session that sees the rows of one moment, whatever is written meanwhile."""
    with reading() as session:
        if session.get_bind().dialect.name == "postgresql":
            session.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
        yield session


def walk(read: Read, job: JobView) -> Iterator[Page]:
    """All pages that `read` makes; nothing of the database is held between two of them."""
    after: int | None = None
    while True:
        with snapshot() as session:
            page = read(session, job, after, LONG)
        yield page
        if page.after is None:
            return
        after = page.after


def ended(job: JobView, *, inputs: bool = False) -> Iterator[RecordView]:
    """Every record that had ended when `job` was looked at, by index: as many as its counts say."""
    for page in walk(partial(by_index, words=ENDED_WORDS, inputs=inputs), job):
        yield from (record for record in page.records if record.seq is None or record.seq <= job.seq)


def by_index(
    session: Session,
    job: JobView,
    after: int | None,
    limit: int,
    *,
    words: frozenset[str] = ALL_WORDS,
    inputs: bool = False,
) -> Page:
    """Records shown as one of `words`, from behind index `after` on; `inputs`: with what each asked."""
    walk = _Walk(session, job.id, limit, inputs)
    return walk.page(partial(walk.indices, words), -1 if after is None else after, job.total - 1)


def by_completion(
    session: Session, job: JobView, after: int | None, limit: int, *, inputs: bool = False
) -> Page:
    """Records that were asked and have ended, in the order of their ends, from behind seq `after` on."""
    walk = _Walk(session, job.id, limit, inputs)
    return walk.page(walk.ends, after or 0, job.seq)


def never_asked(
    session: Session, job: JobView, after: int | None, limit: int, *, inputs: bool = False
) -> Page:
    """Records that ended with their job, by index: they have no place in the order of ends."""
    if not job.counts.cancelled and not job.counts.expired:
        return Page([], None)
    walk = _Walk(session, job.id, limit, inputs)
    return walk.page(walk.ends_unasked, -1 if after is None else after, job.total - 1)


def those(
    session: Session, job: JobView, indices: Sequence[int], *, inputs: bool = False
) -> list[RecordView]:
    """The records of these indices, in their order."""
    found = _Walk(session, job.id, len(indices), inputs).views(indices)
    return [found[idx] for idx in indices]


def shown_status(job_id: int) -> ColumnElement[int]:
    """What a record is: one that was never asked, of a job that was closed, is what the job was closed as."""
    closed_as = select(Job.closed_as).where(Job.id == job_id).scalar_subquery()
    unasked = case(
        (closed_as == "cancelled", RecordStatus.CANCELLED.value),
        (closed_as == "expired", RecordStatus.EXPIRED.value),
        else_=RecordStatus.PENDING.value,
    )
    return case((Record.status.in_(sorted(UNASKED)), unasked), else_=Record.status)


class _Walk:
    """A walk along the places of a job's records: their indices, or the seqs of their ends."""

    def __init__(self, session: Session, job_id: int, limit: int, inputs: bool) -> None:
        self._session, self._job_id, self._limit, self._inputs = session, job_id, limit, inputs

    def page(self, choose: Callable[[int, int], list[Place]], low: int, last: int) -> Page:
        """Up to `limit` records or about `PAGE_BYTES` of contents, whichever comes first.

        `choose` finds those whose place is behind the one and not behind the other.
        """
        records: list[RecordView] = []
        after, size, span = None, 0, max(self._limit, NARROW)
        while low < last:
            high = min(low + span, last)
            for place, record in self._read(choose(low, high)[: self._limit + 1 - len(records)]):
                if len(records) == self._limit or size >= PAGE_BYTES:
                    return Page(records, after)
                records.append(record)
                after, size = place, size + record.size
            low, span = high, min(span * 4, WIDE)
        return Page(records, None)

    def indices(self, words: frozenset[str], low: int, high: int) -> list[Place]:
        """Records shown as one of `words`."""
        statement = (
            select(Record.idx)
            .where(Record.job_id == self._job_id, Record.idx > low, Record.idx <= high)
            .where(*_are(words, self._job_id))
            .order_by(Record.idx)
            .limit(self._limit + 1)
        )
        return [(idx, idx) for idx in self._session.scalars(statement)]

    def ends(self, low: int, high: int) -> list[Place]:
        """Records that were asked and have ended."""
        statement = (
            select(RecordOutput.seq, RecordOutput.idx)
            .where(RecordOutput.job_id == self._job_id, RecordOutput.seq > low, RecordOutput.seq <= high)
            .order_by(RecordOutput.seq)
            .limit(self._limit + 1)
        )
        return [(row.seq, row.idx) for row in self._session.execute(statement)]

    def ends_unasked(self, low: int, high: int) -> list[Place]:
        """Records that ended without having been asked."""
        closed = (
            select(Record.idx)
            .where(Record.job_id == self._job_id, Record.idx > low, Record.idx <= high)
            .where(*_are(CLOSED_WORDS, self._job_id))
            .order_by(Record.idx)
        )
        asked = select(RecordOutput.idx).where(
            RecordOutput.job_id == self._job_id, RecordOutput.idx > low, RecordOutput.idx <= high
        )
        known = set(self._session.scalars(asked))
        return [(idx, idx) for idx in self._session.scalars(closed) if idx not in known]

    def _read(self, places: Sequence[Place]) -> Iterator[tuple[int, RecordView]]:
        start, count = 0, FETCHED
        while start < len(places):
            some = places[start : start + count]
            found = self.views([idx for _, idx in some])
            yield from ((place, found[idx]) for place, idx in some)
            start += count
            count = count * 4 if sum(record.size for record in found.values()) < SMALL else FETCHED

    def views(self, indices: Sequence[int]) -> dict[int, RecordView]:
        """Records by their indices."""
        shown = shown_status(self._job_id).label("shown")
        records = self._rows(Record, indices, shown, Record.attempts, Record.claimed_at)
        inputs = self._rows(
            RecordInput, indices, RecordInput.custom_id, *((RecordInput.body,) if self._inputs else ())
        )
        outputs = self._rows(RecordOutput, indices, *_OUTPUT)
        return {idx: _view(row, inputs.get(idx), outputs.get(idx)) for idx, row in records.items()}

    def _rows(
        self, table: type[Record | RecordInput | RecordOutput], indices: Sequence[int], *columns: Any
    ) -> dict[int, Any]:
        statement = select(table.idx, *columns).where(
            table.job_id == self._job_id, _one_of(table.idx, indices)
        )
        return {row.idx: row for row in self._session.execute(statement)}


_OUTPUT = (
    RecordOutput.seq,
    RecordOutput.body,
    RecordOutput.error_type,
    RecordOutput.error_message,
    RecordOutput.usage,
    RecordOutput.cost,
    RecordOutput.latency_ms,
    RecordOutput.started_at,
    RecordOutput.ended_at,
)


def _view(record: Any, asked: Any, ended: Any) -> RecordView:
    """A record from its rows; `asked` is None when its content was removed, `ended` until it was answered."""
    status = RecordStatus(record.shown)
    return RecordView(
        idx=record.idx,
        status=status,
        attempts=record.attempts,
        custom_id=asked and asked.custom_id,
        asked=asked and getattr(asked, "body", None),
        seq=ended and ended.seq,
        answer=ended and ended.body,
        error_type=ended and ended.error_type,
        error_message=ended and ended.error_message,
        usage=ended and ended.usage,
        cost=ended and ended.cost,
        latency_ms=ended and ended.latency_ms,
        started_at=ended.started_at
        if ended
        else record.claimed_at
        if status == RecordStatus.RUNNING
        else None,
        ended_at=ended and ended.ended_at,
    )


def _one_of(column: InstrumentedAttribute[int], indices: Sequence[int]) -> ColumnElement[bool]:
    """Two values say it when nothing was left out between them, as in most pages."""
    if all(right - left == 1 for left, right in pairwise(indices)):
        return column.between(indices[0], indices[-1])
    return column.in_(indices)


def _are(words: frozenset[str], job_id: int) -> Iterator[ColumnElement[bool]]:
    """Conditions for records shown as one of `words`; the first lets a partial index be used."""
    if words == ALL_WORDS:
        return
    could_be = {status for status in RecordStatus if status.word in words}
    if words & CLOSED_WORDS:
        could_be |= UNASKED
    yield Record.status.in_(sorted(could_be))
    if could_be & UNASKED:
        yield shown_status(job_id).in_(sorted({status for status in RecordStatus if status.word in words}))
