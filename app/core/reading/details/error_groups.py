"""Why records of a job failed, grouped by the type of their error, which is what a retry names.

Counts are kept with every answer. The messages are those of the first records that failed: a million of them
say no more than a few thousand, and take seconds to read.
"""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.json_text import text
from app.core.reading import records
from app.core.reading.jobs import JobView
from app.core.reading.records import Page
from app.core.requests import asked_again
from app.providers.client import CUT
from models.record import RecordOutput, RecordStatus

SECONDS: Final = 0.06  # in which a page of a group is looked for
READ = 2_000  # failed records that are looked at together
KINDS = 8  # of messages in a group
EXAMPLES = 3  # records of each
# What differs between two messages of one kind: ids, numbers, and words that hold a digit.
_VARIES = re.compile(r"\w*\d[\w.:-]*")
_FAILED = frozenset({RecordStatus.FAILED.word})
_idx = RecordOutput.__table__.c.idx


@dataclass(frozen=True, slots=True)
class Kind:
    """Messages that differ only in numbers and ids: one of them, and the first records that have it."""

    message: str
    count: int  # among the records that were looked at
    examples: Sequence[int]


@dataclass(frozen=True, slots=True)
class Group:
    """Records that a retry with this `word` asks again."""

    word: str  # an error type, `expired`, or the stop reason of answers that were cut or refused
    count: int | None  # None: they failed in an earlier release, which did not count them
    kinds: Sequence[Kind] = ()
    is_cut: bool = False  # only a larger `max_tokens` can end them otherwise


def of(session: Session, job: JobView) -> list[Group]:
    """The groups of records that failed or expired, the largest first."""
    kinds, cut = _kinds(session, job) if job.counts.failed else ({}, frozenset[str]())
    groups = [
        Group(word, job.error_types.get(word), kinds.get(word, ()), word in cut)
        for word in kinds.keys() | job.error_types.keys()
    ]
    if job.counts.expired:
        groups.append(Group(asked_again.EXPIRED, job.counts.expired))
    return sorted(groups, key=lambda group: (-(group.count or 0), group.word))


def stopped(job: JobView) -> list[Group]:
    """Groups of answers that were cut or refused, whether their records failed or not."""
    words = sorted(asked_again.STOPS & job.stop_reasons.keys())
    return [Group(word, job.stop_reasons[word], is_cut=word in CUT) for word in words]


def page(
    session: Session, job: JobView, word: str, after: int | None, limit: int, *, seconds: float = SECONDS
) -> Page:
    """Up to `limit` records that failed with an error of this type, by index, from behind `after` on.

    It stops after `seconds`: a page may hold none, and others still come behind it.
    """
    deadline, found = time.monotonic() + seconds, list[int]()
    while failed := _failed(session, job, after):
        these = (RecordOutput.job_id == job.id, records.one_of(_idx, failed))
        found += session.scalars(select(_idx).where(*these, RecordOutput.error_type == word).order_by(_idx))
        after = failed[-1] if len(failed) == READ else None
        if after is None or len(found) >= limit or time.monotonic() > deadline:
            break
    if len(found) > limit:
        found, after = found[:limit], found[limit - 1]
    return Page(records.those(session, job, found, inputs=True) if found else [], after)


def _kinds(session: Session, job: JobView) -> tuple[dict[str, list[Kind]], frozenset[str]]:
    """The kinds of messages by error type, and the types of answers that were cut."""
    failed = _failed(session, job, None)
    output = RecordOutput.__table__.c
    read = select(_idx, output.error_type, output.error_message, output.stop_reason).where(
        output.job_id == job.id, records.one_of(_idx, failed), output.error_type.is_not(None)
    )
    seen: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
    cut = set()
    for idx, word, message, stop_reason in session.execute(read.order_by(_idx)):
        said = text(message) or ""
        seen[word][_VARIES.sub("#", said)].append((idx, said))
        if stop_reason in CUT:
            cut.add(word)
    return {word: _largest(those.values()) for word, those in seen.items()}, frozenset(cut)


def _largest(kinds: Iterable[Sequence[tuple[int, str]]]) -> list[Kind]:
    found = [Kind(those[0][1], len(those), [idx for idx, _ in those[:EXAMPLES]]) for those in kinds]
    return sorted(found, key=lambda kind: (-kind.count, kind.examples[0]))[:KINDS]


def _failed(session: Session, job: JobView, after: int | None) -> list[int]:
    """The next `READ` records that failed."""
    return records.shown_as(session, job, _FAILED, -1 if after is None else after, job.total - 1, READ)
