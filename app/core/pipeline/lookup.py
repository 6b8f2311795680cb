"""How a job is named: by its id, in any of its forms, or by the label that its owner gave it."""

import re

from sqlalchemy import ScalarSelect, or_, select

from app.core import batch_ids
from app.errors import NotFound
from models.job import Job, JobStatus
from models.session import reading

LABEL = re.compile(r"[A-Za-z0-9._:-]{1,128}")  # ids match, too


def resolve(tenant_id: int, name: str) -> ScalarSelect[int]:
    """The internal id of the tenant's job `name`: the one with that id, else the newest with that label.

    A job that is still being stored, or was deleted, is not found. Raises `NotFound` for an invalid name.
    """
    if not LABEL.fullmatch(name):
        raise unknown(name)
    uid = batch_ids.read(name)
    return (
        select(Job.id)
        .where(Job.tenant_id == tenant_id, Job.status != JobStatus.STAGING, Job.deleted_at.is_(None))
        .where(Job.label == name if uid is None else or_(Job.uid == uid, Job.label == name))
        .order_by(*([] if uid is None else [(Job.uid == uid).desc()]), Job.uid.desc())
        .limit(1)
        .scalar_subquery()
    )


def public_id(job_id: int) -> str | None:
    """The id by which users know the job, for a line of the log; None where its row is gone."""
    with reading() as session:
        uid = session.scalar(select(Job.uid).where(Job.id == job_id))
    return None if uid is None else str(uid)


def unknown(name: str) -> NotFound:
    return NotFound(f"there is no job {name!r}: GET /api/v1/jobs lists them")
