"""What claimed records ask: their inputs, and of conversations the turns before."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.core.requests import job_context
from app.core.requests.claim import Claim
from app.ingest import documents
from models.base import any_of
from models.record import Record, RecordInput, RecordOutput, RecordStatus

TURN_BYTES = 100  # roles and braces around a turn and its answer


def read(session: Session, job_id: int, claims: Sequence[Claim]) -> None:
    """Give each claim what it asks: its own input, and the turns before it that have succeeded."""
    if not claims:
        return
    found = session.execute(
        select(RecordInput.idx, RecordInput.body).where(
            RecordInput.job_id == job_id, any_of(RecordInput.idx, (claim.idx for claim in claims))
        )
    )
    bodies = {row.idx: row.body for row in found}
    for claim in claims:
        claim.body = bodies[claim.idx]
    _read_turns(session, job_id, claims)
    for claim in claims:
        claim.held_bytes = documents.held_bytes(claim.body, claim.request_bytes)


def _read_turns(session: Session, job_id: int, claims: Sequence[Claim]) -> None:
    talks = {claim.conversation for claim in claims if claim.conversation is not None}
    turns = _succeeded_turns(session, job_id, talks) if talks else {}
    for claim in claims:
        if claim.conversation is not None:
            before = [turn for turn in turns[claim.conversation] if turn.idx < claim.idx]
            claim.history = [(turn.body, turn.answer) for turn in before]
            claim.request_bytes += sum(turn.request_bytes for turn in before)
    if talks:
        _note_followed(session, job_id, claims, talks)


def _note_followed(session: Session, job_id: int, claims: Sequence[Claim], talks: set[int]) -> None:
    """Say which claims another turn follows: it is held back until they have ended."""
    held = session.scalars(
        select(Record.conversation)
        .where(
            Record.job_id == job_id,
            any_of(Record.conversation, talks),
            Record.status == RecordStatus.BLOCKED,
        )
        .distinct()
    )
    followed = set(held)
    for claim in claims:
        claim.is_followed = claim.conversation in followed


class _Turn(NamedTuple):
    idx: int
    body: bytes
    answer: bytes
    request_bytes: int  # that it adds to a later turn's request


def _succeeded_turns(session: Session, job_id: int, talks: set[int]) -> dict[int, list[_Turn]]:
    rows = session.execute(
        select(
            Record.conversation,
            Record.idx,
            Record.request_bytes,
            RecordInput.body,
            RecordOutput.body.label("answer"),
        )
        .join(RecordInput, and_(RecordInput.job_id == Record.job_id, RecordInput.idx == Record.idx))
        .join(RecordOutput, and_(RecordOutput.job_id == Record.job_id, RecordOutput.idx == Record.idx))
        .where(
            Record.job_id == job_id,
            any_of(Record.conversation, talks),
            Record.status == RecordStatus.SUCCEEDED,
        )
        .order_by(Record.idx)
    )
    shared_bytes_of = job_context.of(job_id).shared_bytes_of
    turns: dict[int, list[_Turn]] = defaultdict(list)
    for row in rows:
        adds = max(row.request_bytes - shared_bytes_of(row.body), 0) + len(row.answer) + TURN_BYTES
        turns[row.conversation].append(_Turn(row.idx, row.body, row.answer, adds))
    return turns
