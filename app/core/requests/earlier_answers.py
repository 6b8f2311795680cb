"""Answers of earlier jobs that a new one takes over instead of paying for them again.

Of one job that is named, a record takes over the answer of the record at its own place in the earlier job, if
both ask the same: their inputs are equal to the byte, and so is everything that the records of each job
share. Turns of a conversation are always asked, because they depend on the answers before them.

Of any job within some days, a record takes over the answer to an equal request, by its digest.
"""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, func, select
from sqlalchemy.orm import Session

from app.errors import BadInput
from app.ingest.draft import Draft
from models.base import now
from models.job import Job, JobSpec, JobStatus
from models.record import AskedRequest, Record, RecordInput, RecordOutput, RecordStatus

# What the requests of a job's records have in common.
_SHARED = (
    *("max_tokens", "system", "template", "prompt", "schema", "escalate_to"),
    *("params", "operations", "headers"),
)


class Earlier(NamedTuple):
    """An answer, by the index of the record that takes it over."""

    idx: int
    body: bytes | None
    value: bytes | None
    stop_reason: str | None
    cost: int | None  # pico-dollars, then
    job: uuid.UUID  # in which it was asked
    at: dt.datetime  # when it was answered


def find_source(session: Session, tenant_id: int, uid: str, model: str, spec: JobSpec) -> int | None:
    """The number of the tenant's job `uid`; None if its records ask something else, or its answers are gone.

    `model` and `spec` are those of the new job. Raises `BadInput` for a job that does not exist.
    """
    row = session.execute(
        select(Job.id, Job.model, Job.content_removed_at, JobSpec)
        .join(JobSpec, JobSpec.job_id == Job.id)
        .where(Job.tenant_id == tenant_id, Job.uid == _uid(uid))
        .where(Job.deleted_at.is_(None), Job.status != JobStatus.STAGING)
    ).one_or_none()
    if row is None:
        raise _unknown(uid)
    same = row.model == model and all(getattr(row.JobSpec, name) == getattr(spec, name) for name in _SHARED)
    return row.id if same and row.content_removed_at is None else None


def answers(session: Session, source: int, first: int, drafts: Sequence[Draft]) -> list[Earlier]:
    """The answers for those of `drafts`, whose first has the index `first`, that have been given before."""
    rows = session.execute(
        select(
            Record.idx,
            Record.max_tokens,
            RecordInput.body.label("asked"),
            *_ANSWER,
        )
        .join(Job, Job.id == Record.job_id)
        .join(RecordInput, and_(RecordInput.job_id == Record.job_id, RecordInput.idx == Record.idx))
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .where(
            Record.job_id == source,
            Record.idx.between(first, first + len(drafts) - 1),
            Record.status == RecordStatus.SUCCEEDED,
            Record.conversation.is_(None),
        )
        .order_by(Record.idx)
    )
    return [_earlier(row.idx, row) for row in rows if _is_same(row, drafts[row.idx - first])]


def recent(session: Session, tenant_id: int, digests: Mapping[int, bytes], days: int) -> list[Earlier]:
    """The tenant's newest answers of so many days to requests with these digests, which are by index."""
    rows = session.execute(
        select(AskedRequest.digest, *_ANSWER)
        .join(Job, Job.id == AskedRequest.job_id)
        .join(Record, and_(Record.job_id == AskedRequest.job_id, Record.idx == AskedRequest.idx))
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .where(
            AskedRequest.tenant_id == tenant_id,
            AskedRequest.digest.in_(set(digests.values())),
            Job.tenant_id == tenant_id,
            Job.deleted_at.is_(None),
            Job.content_removed_at.is_(None),
            Record.status == RecordStatus.SUCCEEDED,
            RecordOutput.ended_at >= now(-days * 86_400.0),
        )
        .order_by(RecordOutput.ended_at)
    )
    by_digest = {row.digest: row for row in rows}
    return [_earlier(idx, by_digest[digest]) for idx, digest in digests.items() if digest in by_digest]


_ANSWER = (
    RecordOutput.body,
    RecordOutput.value,
    RecordOutput.stop_reason,
    RecordOutput.cost,
    func.coalesce(RecordOutput.reused_job, Job.uid).label("job"),
    func.coalesce(RecordOutput.reused_at, RecordOutput.ended_at).label("at"),
)


def _earlier(idx: int, row: Row[*tuple[Any, ...]]) -> Earlier:
    return Earlier(idx, row.body, row.value, row.stop_reason, row.cost, row.job, row.at)


def _is_same(row: Row[*tuple[Any, ...]], draft: Draft) -> bool:
    return draft.conversation is None and row.asked == draft.body and row.max_tokens == draft.max_tokens


def _uid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise _unknown(text) from None


def _unknown(uid: str) -> BadInput:
    return BadInput.of_field(
        "reuse", f"there is no job {uid!r} whose answers could be taken over: give the id of one of your jobs"
    )
