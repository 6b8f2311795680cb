"""Which records of an ended job a retry asks again: chosen by how they ended.

The same request would be cut, or refused, again. So an answer that was cut is asked for again only with a
larger `max_tokens`, and one that was refused only by name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, false, func, not_, or_, select
from sqlalchemy.orm import Session

from app.errors import AnswerRefused, BadInput
from app.providers.client import CUT, REFUSAL
from models.job import Job, JobCounts, JobSpec
from models.record import Record, RecordOutput, RecordStatus

EXPIRED = "expired"  # names the records that expired
STOPS = CUT | {REFUSAL}  # name answers that ended so, whether their record succeeded or failed
SPAN = 100_000  # records that one statement looks through, in a few tenths of a second


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked again.

    `only`: error types, `expired`, and `stop_reason`s of `STOPS`; None: all that failed or expired.
    `max_tokens` is for each record that had less; None: as before.
    """

    only: frozenset[str] | None = None
    max_tokens: int | None = None

    def stored(self) -> dict[str, Any] | None:
        """For `job.reopen_only`."""
        if self == Choice():
            return None
        return {"only": None if self.only is None else sorted(self.only), "max_tokens": self.max_tokens}


def of(job: Job) -> Choice:
    """The choice of the retry under way."""
    stored = job.reopen_only or {}
    only = stored.get("only")
    return Choice(None if only is None else frozenset(only), stored.get("max_tokens"))


def check_words(session: Session, job: Job, choice: Choice) -> None:
    """Raise `BadInput` for a word with which no record of the job ended."""
    if choice.only is None:
        return
    known = _words(session, job)
    if unknown := choice.only - known:
        there = f"its records ended with {_listed(known)}" if known else "all its records succeeded"
        raise BadInput.of_field("only", f"no record of the job ended with {_listed(unknown)}: {there}")


def indices(session: Session, job: Job, choice: Choice, first: int, limit: int) -> tuple[list[int], int]:
    """Up to `limit` records to be asked again from index `first` on, within `SPAN`; and where to go on."""
    asked = and_(_named(choice), _may_end_otherwise(session, job, choice))
    statement = _within(job, first).where(asked).order_by(Record.idx).limit(limit)
    found = list(session.scalars(statement))
    return found, found[-1] + 1 if len(found) == limit else first + SPAN


def has_any(session: Session, job: Job, choice: Choice) -> bool:
    """Whether any record is to be asked again."""
    return any(indices(session, job, choice, first, 1)[0] for first in range(0, job.total, SPAN))


def left(session: Session, job: Job, choice: Choice) -> Mapping[str, int]:
    """How many of the records that are meant are not asked again, by how they ended."""
    reasons = session.get_one(JobCounts, job.id).stop_reasons or {}
    if not STOPS & reasons.keys():
        return {}
    word = case((_ERROR_TYPE == "", _STOP_REASON), else_=_ERROR_TYPE).label("word")
    meant = and_(_named(choice), not_(_may_end_otherwise(session, job, choice)))
    found: Counter[str] = Counter()
    for first in range(0, job.total, SPAN):
        ends = _within(job, first).with_only_columns(word).where(meant).subquery()
        found.update(dict(session.execute(select(ends.c.word, func.count()).group_by(ends.c.word)).all()))
    return dict(found)


def max_tokens(session: Session, job: Job, choice: Choice) -> Any:
    """What the column becomes in records that are asked again."""
    if choice.max_tokens is None:
        return Record.max_tokens
    return case((_had_less(session, job, choice.max_tokens), choice.max_tokens), else_=Record.max_tokens)


# Not by a join: a planner that takes the job for a small one would read all of it.
def _of_output(column: Any) -> ColumnElement[str]:
    found = select(column).where(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx)
    return func.coalesce(found.correlate(Record).scalar_subquery(), "")


_ERROR_TYPE, _STOP_REASON = _of_output(RecordOutput.error_type), _of_output(RecordOutput.stop_reason)
_FAILED = Record.status == RecordStatus.FAILED
_WITH_ANSWER = Record.status.in_((RecordStatus.FAILED, RecordStatus.SUCCEEDED))
_WAS_CUT = and_(_WITH_ANSWER, _STOP_REASON.in_(CUT))


def _within(job: Job, first: int) -> Select[int]:
    return select(Record.idx).where(Record.job_id == job.id, Record.idx >= first, Record.idx < first + SPAN)


def _named(choice: Choice) -> ColumnElement[bool]:
    if choice.only is None:
        return Record.status.in_((RecordStatus.FAILED, RecordStatus.EXPIRED))
    named = [and_(_FAILED, _ERROR_TYPE.in_(choice.only))]
    if EXPIRED in choice.only:
        named.append(Record.status == RecordStatus.EXPIRED)
    if stops := choice.only & STOPS:
        named.append(and_(_WITH_ANSWER, _STOP_REASON.in_(stops)))
    return or_(*named)


def _may_end_otherwise(session: Session, job: Job, choice: Choice) -> ColumnElement[bool]:
    larger = false() if choice.max_tokens is None else _had_less(session, job, choice.max_tokens)
    refused = and_(_FAILED, _ERROR_TYPE.in_((AnswerRefused.type,))) if choice.only is None else false()
    return and_(or_(not_(_WAS_CUT), larger), not_(refused))


def _had_less(session: Session, job: Job, max_tokens: int) -> ColumnElement[bool]:
    of_job = session.get_one(JobSpec, job.id).max_tokens
    return func.coalesce(Record.max_tokens, of_job) < max_tokens


def _words(session: Session, job: Job) -> frozenset[str]:
    """With which of its words the job's records ended."""
    counts = session.get_one(JobCounts, job.id)
    types = frozenset(counts.error_types or {})
    if sum((counts.error_types or {}).values()) < counts.failed:  # some failed in an earlier release
        failed = select(_ERROR_TYPE.label("word")).where(Record.job_id == job.id, _FAILED).subquery()
        types = frozenset(session.scalars(select(failed.c.word).distinct())) - {""}
    stops = STOPS & (counts.stop_reasons or {}).keys()
    return types | stops | ({EXPIRED} if counts.expired else frozenset())


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))
