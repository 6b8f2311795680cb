"""Answers of an earlier job that a new one takes over instead of paying for them again.

A record takes over the answer of the record at its own place in the earlier job, if both ask the same: their
inputs are equal to the byte, and so is everything that the records of each job share. Turns of a conversation
are always asked, because they depend on the answers before them.
"""

import uuid
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, and_, select
from sqlalchemy.orm import Session

from app.errors import BadInput
from app.ingest.draft import Draft
from models.job import Job, JobSpec, JobStatus
from models.record import Record, RecordInput, RecordOutput, RecordStatus

# What the requests of a job's records have in common.
_SHARED = ("max_tokens", "system", "template", "prompt", "schema", "params", "operations", "headers")


class Earlier(NamedTuple):
    """An answer by the index of the records that have it, in both jobs."""

    idx: int
    body: bytes | None


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
            RecordOutput.body.label("answer"),
        )
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
    return [Earlier(row.idx, row.answer) for row in rows if _is_same(row, drafts[row.idx - first])]


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
