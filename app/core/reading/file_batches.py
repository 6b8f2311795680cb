"""What batches of files have besides their jobs, read for a page of jobs at once."""

import datetime as dt
from collections.abc import Mapping, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.reading.jobs import JobView
from config import settings
from models.base import now
from models.file import FileBatch


def of(session: Session, views: Sequence[JobView]) -> Mapping[int, FileBatch]:
    """By the number of the job; a job of another contract has none."""
    if not views:
        return {}
    rows = session.scalars(select(FileBatch).where(FileBatch.job_id.in_([view.id for view in views])))
    return {row.job_id: row for row in rows}


def outputs_expire_at(view: JobView, batch: FileBatch | None) -> dt.datetime | None:
    """Until when the job's output and errors can be read; None while it has not ended."""
    if view.ended_at is None:
        return None
    kept = dt.timedelta(days=settings.current().keep_days)
    if batch is not None and batch.output_seconds is not None:
        kept = min(kept, dt.timedelta(seconds=batch.output_seconds))
    return view.ended_at + kept


def can_be_read(session: Session, view: JobView, batch: FileBatch | None) -> bool:
    """Whether the job's output and errors are still there, by the database's clock."""
    if view.content_removed_at is not None:
        return False
    expires_at = outputs_expire_at(view, batch)
    return expires_at is None or session.scalars(select(now())).one() < expires_at
