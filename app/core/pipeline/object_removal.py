"""Removal of objects no longer needed: of jobs whose content is due, and of requests that became no job."""

from functools import partial
from typing import NamedTuple

from sqlalchemy import select

from app.core.documents import open_store, upload
from app.core.pipeline.retention import content_is_due
from models.base import now
from models.document import Blob
from models.job import Job
from models.session import in_transaction, reading

AT_ONCE = 500  # objects
ABANDONED = 86_400.0  # seconds after which no request is still in progress


class Removed(NamedTuple):
    """How many objects were removed, of a job or of none."""

    job_id: int | None
    objects: int


def remove_chunk() -> Removed | None:
    """Remove up to `AT_ONCE` objects; None when there are none. Raises `Unavailable` while the store is away.

    Objects are removed before their rows: an interrupted removal is repeated.
    """
    with reading() as session:
        of_job = select(Blob.id).where(Blob.job_id == Job.id).exists()
        job_id = session.scalar(select(Job.id).where(*content_is_due(), of_job).limit(1))
        removable = (
            Blob.job_id == job_id
            if job_id is not None
            else Blob.job_id.is_(None) & (Blob.created_at <= now(-ABANDONED))
        )
        rows = session.execute(
            select(Blob.id, Blob.key).where(removable).order_by(Blob.id).limit(AT_ONCE)
        ).all()
    if not rows:
        return None
    open_store.store().delete([row.key for row in rows])
    in_transaction(partial(upload.forget, ids=[row.id for row in rows]))
    return Removed(job_id, len(rows))
