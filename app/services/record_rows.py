"""A chunk of a submission's drafts as rows: the records, what they ask, and answers that are taken over."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.requests.earlier_answers import Earlier
from app.core.requests.sparing import Spared, Sparing
from app.ingest.draft import Draft
from models.bulk import load
from models.job import Job, JobCounts
from models.record import AskedRequest, Record, RecordCopy, RecordInput, RecordOutput, RecordStatus

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
    session: Session, job: Job, first: int, drafts: Sequence[Draft], talks: dict[str, int], sparing: Sparing
) -> None:
    """Insert a chunk whose records count from `first`.

    After a COMMIT whose response was lost, a second run finds the rows and stops. `talks` has the index of
    each conversation's first turn, over all chunks; `sparing` finds what need not be asked.
    """
    if session.scalar(select(Record.idx).where(Record.job_id == job.id, Record.idx == first)) is not None:
        return
    spared = sparing.find(session, first, drafts)
    load(session, Record, _RECORD, _records(job.id, first, drafts, talks, spared))
    inputs = (
        (job.id, idx, _bytes(draft.custom_id), draft.body) for idx, draft in enumerate(drafts, start=first)
    )
    load(session, RecordInput, ("job_id", "idx", "custom_id", "body"), inputs)
    if spared.answers:
        _take_over(session, job, spared.answers)
    if spared.copies:
        rows = ((job.id, copy_of, idx) for idx, copy_of in spared.copies.items())
        load(session, RecordCopy, ("job_id", "copy_of", "idx"), rows)
        job.copies += len(spared.copies)
    if spared.digests:
        asked = ((job.tenant_id, digest, job.id, idx) for idx, digest in spared.digests.items())
        load(session, AskedRequest, ("tenant_id", "digest", "job_id", "idx"), asked)


def _records(
    job_id: int, first: int, drafts: Sequence[Draft], talks: dict[str, int], spared: Spared
) -> Iterator[tuple[Any, ...]]:
    """Rows of records; of a conversation only the first turn can be claimed, the others are blocked.

    So are copies of others. What has its answer from an earlier job has ended.
    """
    answered = {answer.idx for answer in spared.answers}
    for idx, draft in enumerate(drafts, start=first):
        opener = None if draft.conversation is None else talks.setdefault(draft.conversation, idx)
        status = RecordStatus.PENDING if opener is None or opener == idx else RecordStatus.BLOCKED
        if idx in spared.copies:
            status = RecordStatus.BLOCKED
        elif idx in answered:
            status = RecordStatus.SUCCEEDED
        row = (draft.max_tokens, draft.request_bytes, opener, draft.held_bytes, draft.priced_by)
        yield (job_id, idx, int(status), 0, 0, 0, *row)


def _take_over(session: Session, job: Job, answers: Sequence[Earlier]) -> None:
    """Write the answers of an earlier job as this one's: they cost nothing, and no call was made for them."""
    counts = session.get_one(JobCounts, job.id, with_for_update=True)
    rows = [
        {
            "job_id": job.id,
            "idx": answer.idx,
            "seq": seq,
            "body": answer.body,
            "value": answer.value,
            "stop_reason": answer.stop_reason,
            "cost": 0,
            "reused_job": answer.job,
            "reused_at": answer.at,
        }
        for seq, answer in enumerate(answers, start=counts.seq + 1)
    ]
    session.execute(insert(RecordOutput), rows)
    reasons = Counter(answer.stop_reason for answer in answers if answer.stop_reason is not None)
    counts.stop_reasons = dict(Counter(counts.stop_reasons or {}) + reasons) or None
    counts.seq += len(rows)
    job.reused_cost += sum(answer.cost or 0 for answer in answers)
    counts.succeeded += len(rows)
    job.reused += len(rows)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")
