"""Pages of a job's records with what came of them, in the order of the input or of their ends.

Tables are read one by one, each by its own index over a bounded range, and put together here: of a job that
has just been written a planner knows nothing, and joins what it takes for a few rows in quadratic time.
"""

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Text, case, cast, func, null, select, text
from sqlalchemy.orm import Session

from app.core.reading.jobs import JobView
from models.base import any_among, iso
from models.job import Job
from models.record import ENDED, UNASKED, Attempt, Record, RecordInput, RecordOutput, RecordStatus
from models.session import reading

PAGE_BYTES = 4_000_000  # of contents; a page ends with the record that passes it
LONG = 4_000  # records of a page that nobody turns by hand
FIRST = 50  # records that are read at once, before it is known how long they are
AT_ONCE = 1_000_000  # bytes of contents that are read at once, if the next are as long as the last
MOST = 800  # records that are read at once, however short the last were
GAPS = 2  # places are read as a range if no more than every other of them is not wanted
NARROW, WIDE = 1_000, 50_000  # places that one statement looks through, the more the fewer it finds

WORDS = ("pending", "running", "succeeded", "failed", "cancelled", "expired")
ALL_WORDS = frozenset(WORDS)
ENDED_WORDS = frozenset(status.word for status in ENDED)
CLOSED_WORDS = frozenset({"cancelled", "expired"})

Place = tuple[int, int]  # a place in the order that is asked for, and the index of the record there


class RecordView(NamedTuple):  # a dataclass takes five times as long to make, and there may be a million
    """A record at one moment."""

    idx: int
    status: RecordStatus
    attempts: int
    custom_id: bytes | None
    asked: bytes | None  # its input, where that was wanted
    seq: int | None = None  # its place among those that ended; None if it never was asked
    answer: bytes | None = None
    value: bytes | None = None  # the answer's JSON as the job's schema has it
    repair: str | None = None  # what made it fit, if it did not at once
    copy_of: int | None = None  # the index of the record whose end it shares
    reused_job: uuid.UUID | None = None  # the earlier job that it was asked in
    reused_at: str | None = None  # when it was answered there
    stop_reason: str | None = None  # of the answer
    error_type: str | None = None
    error_message: bytes | None = None
    error_status: int | None = None  # of the provider's refusal
    error_body: bytes | None = None  # JSON of that refusal
    usage_json: str | None = None  # without a space
    cost: int | None = None  # pico-dollars
    latency_ms: int | None = None
    started_at: str | None = None  # ISO 8601 in UTC, as `lines.timestamp` writes it
    ended_at: str | None = None

    @property
    def is_reused(self) -> bool:
        """Whether its answer is that of an earlier job; what is only stored has a time at which it began."""
        if self.attempts or self.answer is None or self.copy_of is not None:
            return False
        return self.started_at is None

    @property
    def size(self) -> int:
        """Bytes of its contents."""
        return len(self.answer or b"") + len(self.asked or b"")

    @property
    def usage(self) -> dict[str, int] | None:
        found: dict[str, int] | None = json.loads(self.usage_json or "null")
        return found


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
    walk = _Walk(session, job.id, limit, inputs, placed_by=_output.seq)
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
    found = _Walk(session, job.id, len(indices), inputs).views([(idx, idx) for idx in indices])
    return [found[idx] for idx in indices]


def request_ids(job: JobView, records: Sequence[RecordView]) -> dict[int, str]:
    """The provider's id of the call that ended each record, by index, where it said one."""
    if not records:
        return {}
    calls = {(record.idx, record.attempts) for record in records}
    these = (_attempt.job_id == job.id, one_of(_attempt.idx, [record.idx for record in records]))
    named = select(_attempt.idx, _attempt.attempt, _attempt.request_id).where(
        *these, _attempt.request_id.is_not(None)
    )
    with reading() as session:
        return {row[0]: row[2] for row in session.execute(named) if (row[0], row[1]) in calls}


def shown_as(
    session: Session, job: JobView, words: frozenset[str], low: int, high: int, limit: int | None = None
) -> list[int]:
    """The first `limit` indices of records shown as one of `words`, behind `low` and not behind `high`."""
    walk = _Walk(session, job.id, high - low if limit is None else limit, inputs=False)
    return [idx for idx, _ in walk.indices(words, low, high)][:limit]


def shown_status(job_id: int) -> ColumnElement[int]:
    """What a record is: one that was never asked, of a job that was closed, is what the job was closed as."""
    closed_as = select(Job.closed_as).where(Job.id == job_id).scalar_subquery()
    unasked = case(
        (closed_as == "cancelled", RecordStatus.CANCELLED.value),
        (closed_as == "expired", RecordStatus.EXPIRED.value),
        else_=RecordStatus.PENDING.value,
    )
    return case((_record.status.in_(sorted(UNASKED)), unasked), else_=_record.status)


def one_of(column: ColumnElement[int], values: Sequence[int]) -> ColumnElement[bool]:
    """Whether a column of a job's rows is one of `values`.

    The least and the greatest say it where little was left out between them, as in most pages: a list is
    dearer.
    """
    least, greatest = min(values), max(values)
    if greatest - least < GAPS * len(values):
        return column.between(least, greatest)
    return any_among(column, values)


class _Walk:
    """A walk along the places of a job's records: their indices, or the seqs of their ends."""

    def __init__(
        self,
        session: Session,
        job_id: int,
        limit: int,
        inputs: bool,
        placed_by: ColumnElement[int] | None = None,
    ) -> None:
        """`placed_by` is the column of outputs that holds a record's place: the index, if no other."""
        self._session, self._job_id, self._limit, self._inputs = session, job_id, limit, inputs
        self._placed_by = _output.idx if placed_by is None else placed_by

    def page(self, choose: Callable[[int, int], list[Place]], low: int, last: int) -> Page:
        """Up to `limit` records or about `PAGE_BYTES` of contents, whichever comes first.

        `choose` finds those whose place is behind the one and not behind the other.
        """
        records: list[RecordView] = []
        after, size, span = None, 0, max(self._limit + 1, NARROW)  # one more tells that more comes behind
        while low < last:
            high = min(low + span, last)
            for place, record, its_size in self._read(choose(low, high)[: self._limit + 1 - len(records)]):
                if len(records) == self._limit or size >= PAGE_BYTES:
                    return Page(records, after)
                records.append(record)
                after, size = place, size + its_size
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

    def _read(self, places: Sequence[Place]) -> Iterator[tuple[int, RecordView, int]]:
        """Each with its place and the bytes of its contents."""
        start, count = 0, FIRST
        while start < len(places):
            some = places[start : start + count]
            found = self.views(some)
            for place, idx in some:
                yield place, found[idx], found[idx].size
            start += count
            read = sum(record.size for record in found.values())
            count = max(1, min(MOST, len(some) * AT_ONCE // max(read, 1)))

    def views(self, places: Sequence[Place]) -> dict[int, RecordView]:
        """Records by their indices; some that lie between them may be among them."""
        indices = [idx for _, idx in places]
        inputs = _INPUT if self._inputs else _NO_INPUT
        asked = {row[0]: row[1:] for row in self._rows(_input, one_of(_input.idx, indices), *inputs)}
        those = one_of(self._placed_by, [place for place, _ in places])
        ended = {row[0]: row[1:] for row in self._rows(_output, those, *_OUTPUT)}
        shown = shown_status(self._job_id)
        return {
            row[0]: _view(row, asked.get(row[0], (None, None)), ended.get(row[0]))
            for row in self._rows(_record, one_of(_record.idx, indices), shown, *_RECORD)
        }

    def _rows(self, table: Any, those: ColumnElement[bool], *columns: Any) -> Sequence[Row[Any]]:
        """The index of each, and `columns`."""
        return self._session.execute(
            select(table.idx, *columns).where(table.job_id == self._job_id, those)
        ).all()


# Columns of tables, not attributes of entities: what an ORM makes of a row costs as much as reading it. Times
# and usage as text, because nearly all who read them write them as text again.
_record, _input, _output, _attempt = (
    table.__table__.c for table in (Record, RecordInput, RecordOutput, Attempt)
)
_RECORD = (_record.attempts, iso(_record.claimed_at))
_INPUT = (_input.custom_id, _input.body)
_NO_INPUT = (_input.custom_id, null())
_OUTPUT = (
    _output.seq,
    _output.body,
    _output.value,
    _output.repair,
    _output.copy_of,
    _output.reused_job,
    iso(_output.reused_at),
    _output.stop_reason,
    _output.error_type,
    _output.error_message,
    _output.error_status,
    _output.error_body,
    func.replace(cast(_output.usage, Text), " ", ""),
    _output.cost,
    _output.latency_ms,
    iso(_output.started_at),
    iso(_output.ended_at),
)
_STATUS = tuple(RecordStatus)  # by their values


def _view(record: Sequence[Any], asked: Sequence[Any], ended: Sequence[Any] | None) -> RecordView:
    """A record from its rows; what it asked may have been removed, and `ended` is None until it has."""
    idx, shown, attempts, claimed_at = record
    status = _STATUS[shown]
    if ended is not None:
        return RecordView(idx, status, attempts, *asked, *ended)
    custom_id, content = asked
    started_at = claimed_at if status == RecordStatus.RUNNING else None
    return RecordView(idx, status, attempts, custom_id, content, started_at=started_at)


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
