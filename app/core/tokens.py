"""Tokens of what succeeded: what a job's answers took, without what was asked in vain."""

from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.record import RecordOutput

KINDS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


def of_successes(session: Session, job_ids: Iterable[int]) -> dict[int, int]:
    """Input and output tokens of the answers of each job; a job without any is not among them."""
    tokens = sum(
        (RecordOutput.usage[kind].as_integer() for kind in KINDS[1:]),
        RecordOutput.usage[KINDS[0]].as_integer(),
    )
    rows = session.execute(
        select(RecordOutput.job_id, func.sum(tokens).label("tokens"))
        .where(RecordOutput.job_id.in_(sorted(job_ids)), RecordOutput.body.is_not(None))
        .group_by(RecordOutput.job_id)
    )
    return {row.job_id: int(row.tokens or 0) for row in rows}
