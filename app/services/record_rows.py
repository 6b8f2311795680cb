"""A chunk of a submission's drafts as rows: the records, what they ask, and answers that are taken over."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.requests import earlier_answers
from app.core.requests.earlier_answers import Earlier
from app.ingest.draft import Draft
from models.bulk import load
from models.job import Job, JobCounts
from models.record import Record, RecordInput, RecordOutput, RecordStatus

_RECORD = (
    "job_id",
    "idx",
    "status",
    "attempts",
    "tries",
    "deaths",
    "max_tokens",
    "request_bytes",
    "conversation",
    "sent_bytes",
    "priced_by",
)


def write(
    session: Session, job: Job, first: int, drafts: Sequence[Draft], talks: dict[str, int], source: int | None
) -> None:
    """Insert a chunk whose records count from `first`.

    After a COMMIT whose response was lost, a second run finds the rows and stops. `talks` has the index of
    each conversation's first turn, over all chunks; `source` is the job whose answers are taken over.
    """
    if session.scalar(select(Record.idx).where(Record.job_id == job.id, Record.idx == first)) is not None:
        return
    answers = [] if source is None else earlier_answers.answers(session, source, first, drafts)
    answered = {answer.idx for answer in answers}
    load(session, Record, _RECORD, _records(job.id, first, drafts, talks, answered))
    inputs = (
        (job.id, idx, _bytes(draft.custom_id), draft.body) for idx, draft in enumerate(drafts, start=first)
    )
    load(session, RecordInput, ("job_id", "idx", "custom_id", "body"), inputs)
    if answers:
        _take_over(session, job, answers)


def _records(
    job_id: int, first: int, drafts: Sequence[Draft], talks: dict[str, int], answered: Collection[int]
) -> Iterator[tuple[Any, ...]]:
    """Rows of records; of a conversation only the first turn can be claimed, the others are blocked.

    `answered` are the indices of those that have their answer from an earlier job.
    """
    for idx, draft in enumerate(drafts, start=first):
        opener = None if draft.conversation is None else talks.setdefault(draft.conversation, idx)
        status = RecordStatus.PENDING if opener is None or opener == idx else RecordStatus.BLOCKED
        if idx in answered:
            status = RecordStatus.SUCCEEDED
        row = (draft.max_tokens, draft.request_bytes, opener, draft.held_bytes, draft.priced_by)
        yield (job_id, idx, int(status), 0, 0, 0, *row)


def _take_over(session: Session, job: Job, answers: Sequence[Earlier]) -> None:
    """Write the answers of an earlier job as this one's: they cost nothing, and no call was made for them."""
    counts = session.get_one(JobCounts, job.id, with_for_update=True)
    rows = [
        {"job_id": job.id, "idx": answer.idx, "seq": seq, "body": answer.body, "cost": 0}
        for seq, answer in enumerate(answers, start=counts.seq + 1)
    ]
    session.execute(insert(RecordOutput), rows)
    counts.seq += len(rows)
    counts.succeeded += len(rows)
    job.reused += len(rows)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")
