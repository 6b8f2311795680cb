"""Tokens of what succeeded: what a job's answers took, without what was asked in vain."""

from collections.abc import Iterable

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from models.record import Attempt, Record, RecordStatus

KINDS = (
    Attempt.input_tokens,
    Attempt.output_tokens,
    Attempt.cache_read_tokens,
    Attempt.cache_write_5m_tokens,
    Attempt.cache_write_1h_tokens,
)


def of_successes(session: Session, job_ids: Iterable[int]) -> dict[int, int]:
    """Input and output tokens of the answers of each job; a job without any is not among them.

    Of rows that stay when a job's content is removed.
    """
    latest = and_(
        Attempt.job_id == Record.job_id, Attempt.idx == Record.idx, Attempt.attempt == Record.attempts
    )
    rows = session.execute(
        select(Record.job_id, func.sum(sum(KINDS[1:], KINDS[0])).label("tokens"))
        .join(Attempt, latest)
        .where(Record.job_id.in_(sorted(job_ids)), Record.status == RecordStatus.SUCCEEDED)
        .group_by(Record.job_id)
    )
    return {row.job_id: int(row.tokens) for row in rows}
