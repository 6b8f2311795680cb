"""A job's records that hold a text, in index order, looked for in steps of bounded time.

The database sorts out, by bytes, what cannot hold the text; the rest is read and looked at as text. Both are
done range by range, so that a search may stop at any index and go on there.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, SQLColumnExpression, or_, select
from sqlalchemy.orm import Session

from app.core.reading import records
from app.core.reading.details import record_texts
from app.core.reading.details.phrase import Phrase
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from models.base import may_have
from models.record import RecordInput, RecordOutput

SECONDS: Final = 0.06  # of one search; the range that is being read is finished
FIRST, MOST = 64, 8_000  # records of a range: few until it is known how long they are
QUICK = 0.02  # seconds; after a range that took less the next has four times as many records
AT_ONCE = 32  # records whose texts are read together
AROUND = 60  # characters on each side of what was found


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that holds the text, and the place where it is: `id`, `prompt`, `answer` or `error`."""

    record: RecordView
    place: str
    before: str
    match: str
    behind: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found. It goes on behind the index `after`; None: it has seen all."""

    hits: list[Hit]
    after: int | None


def find(
    session: Session,
    job: JobView,
    phrase: Phrase,
    after: int | None,
    limit: int,
    *,
    words: frozenset[str] = records.ALL_WORDS,
    seconds: float = SECONDS,
) -> Found:
    """Up to `limit` records shown as one of `words` that hold `phrase`, from behind index `after` on."""
    deadline = time.monotonic() + seconds
    hits: list[Hit] = []
    for reached, hit in _looked_at(session, job, phrase, words, -1 if after is None else after):
        if hit is not None:
            hits.append(hit)
        if reached < job.total - 1 and (len(hits) == limit or time.monotonic() > deadline):
            return Found(hits, reached)
    return Found(hits, None)


def _looked_at(
    session: Session, job: JobView, phrase: Phrase, words: frozenset[str], low: int
) -> Iterator[tuple[int, Hit | None]]:
    """Each index up to which all is known, and what was found there."""
    span = FIRST
    while low < job.total - 1:
        began = time.monotonic()
        high = min(low + span, job.total - 1)
        held = _may_hold(session, job, phrase, words, low, high)
        span = min(span * 4, MOST) if time.monotonic() - began < QUICK else span
        for start in range(0, len(held), AT_ONCE):
            for record in records.those(session, job, held[start : start + AT_ONCE], inputs=True):
                yield record.idx, _hit(record, phrase)
        yield high, None
        low = high


def _may_hold(
    session: Session, job: JobView, phrase: Phrase, words: frozenset[str], low: int, high: int
) -> list[int]:
    """Those behind `low` and not behind `high` whose bytes do not rule it out."""
    shown: Sequence[int] = range(low + 1, high + 1)
    if words != records.ALL_WORDS:
        shown = records.shown_as(session, job, words, low, high)
    if not shown:
        return []
    asked = (
        select(RecordInput.idx)
        .where(RecordInput.job_id == job.id, records.one_of(_input_idx, shown))
        .where(or_(*_have(phrase, RecordInput.custom_id, RecordInput.body)))
    )
    ended = (
        select(RecordOutput.idx)
        .where(RecordOutput.job_id == job.id, records.one_of(_output_idx, shown))
        .where(or_(*_have(phrase, RecordOutput.body, RecordOutput.error_message)))
    )
    found = {*session.scalars(asked), *session.scalars(ended)}
    return sorted(found if isinstance(shown, range) else found.intersection(shown))


_input_idx, _output_idx = RecordInput.__table__.c.idx, RecordOutput.__table__.c.idx


def _have(phrase: Phrase, *columns: SQLColumnExpression[bytes | None]) -> Iterator[ColumnElement[bool]]:
    return (may_have(column, sorted(phrase.parts)) for column in columns)


def _hit(record: RecordView, phrase: Phrase) -> Hit | None:
    for place, said in record_texts.everything(record):
        if found := phrase.in_text.search(said):
            begin, end = found.span()
            before, behind = said[max(0, begin - AROUND) : begin], said[end : end + AROUND]
            return Hit(record, place, before, found[0], behind)
    return None
