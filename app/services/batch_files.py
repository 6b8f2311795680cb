"""Deleting the output or the errors of a batch, as files: the batch and its records stay."""

from functools import partial

from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle
from models.base import now
from models.file import FileBatch
from models.session import in_transaction
from models.upsert import insert_missing


def delete(tenant_id: int, name: str, missing: FileBatch, column: str) -> None:
    """Note in `column` that the file of that job was deleted; raises `NotFound` for an unknown job.

    `missing` is what a job of another contract gets, which has no such row yet.
    """
    in_transaction(partial(_delete, tenant_id=tenant_id, name=name, missing=missing, column=column))


def _delete(session: Session, tenant_id: int, name: str, missing: FileBatch, column: str) -> None:
    job = lifecycle.find(session, tenant_id, name)
    terms = {"endpoint": missing.endpoint, "completion_window": missing.completion_window}
    insert_missing(session, FileBatch, {"job_id": job.id, **terms})
    session.execute(update(FileBatch).where(FileBatch.job_id == job.id).values({column: now()}))
