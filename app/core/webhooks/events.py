"""The events: their types, and what is sent of each."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from app.core import batch_ids
from app.core.json_text import encode, timestamp
from models.base import new_uid
from models.job import FINAL, Job, JobCounts, JobStatus

# The ends of a job: as OpenAI's clients know them, and with what Penstock knows of it. These clients know no
# pause.
BATCH = {status: f"batch.{status}" for status in sorted(FINAL)}
JOB = {status: f"job.{status}" for status in sorted((*FINAL, JobStatus.PAUSED))}
TYPES = (*BATCH.values(), *JOB.values())


def new_id() -> str:
    return f"evt_{new_uid().hex}"


def of_job(event_id: str, event_type: str, job: Job, counts: JobCounts, at: dt.datetime) -> bytes:
    """The body of the event that `job` has got its status, the same for every address and every attempt."""
    return _body(event_id, event_type, _batch(job) if event_type in BATCH.values() else _job(job, counts), at)


def sample(event_id: str, event_type: str, at: dt.datetime) -> bytes:
    """The body of an event about a job that does not exist, for an owner who tries an endpoint."""
    uid, status = new_uid(), JobStatus(event_type.partition(".")[2])
    job = Job(uid=uid, name="A test", status=status, total=1, ended_at=at if status in FINAL else None)
    counts = JobCounts(succeeded=1, failed=0, cancelled=0, expired=0)
    return of_job(event_id, event_type, job, counts, at)


def _body(event_id: str, event_type: str, data: Mapping[str, Any], at: dt.datetime) -> bytes:
    created = int(at.timestamp())
    event = {"id": event_id, "object": "event", "type": event_type, "created_at": created, "data": data}
    return encode(event).encode()


def _batch(job: Job) -> Mapping[str, Any]:
    return {"id": batch_ids.write(batch_ids.BATCH, job.uid)}


def _job(job: Job, counts: JobCounts) -> Mapping[str, Any]:
    return {
        "id": str(job.uid),
        "name": job.name,
        "status": job.status,
        "status_reason": job.status_reason,
        "total": job.total,
        "counts": {
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "cancelled": counts.cancelled,
            "expired": counts.expired,
        },
        "ended_at": timestamp(job.ended_at),
    }
