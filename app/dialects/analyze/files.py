"""Status responses as files: with BATCH_PERSISTENCE_BACKEND=file, each job that has ended has its own.

Once a second the control worker finds, by state, the jobs whose file has yet to be written, or removed
because their content was: nothing is lost when a process dies before doing so.
"""

import os
import threading
import uuid
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from sqlalchemy import Select, or_, select, update
from sqlalchemy.orm import Session

from app.core.json_text import with_list
from app.core.money import usage
from app.core.reading import jobs, records
from app.core.reading.job_json import cost
from app.core.reading.jobs import JobView
from app.dialects.analyze import wire
from config import settings
from models.base import now
from models.job import Job
from models.session import in_transaction, reading
from tasks.celery import app

AT_ONCE = 100  # files per run


@app.task(name="penstock.keep_statuses", send_events=False)
def keep_statuses() -> None:
    """Write the files of jobs that have ended and remove those of jobs whose content is gone."""
    folder = settings.current().status_files
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with reading() as session:
        ended = jobs.watched(session, session.scalars(_to_write()))
        gone = session.execute(_to_remove()).all()
    for view in ended:
        _write(folder / f"{view.uid}.json", _status(view))
        in_transaction(partial(_mark, job_id=view.id, kept_at=now()))
    for job in gone:
        (folder / f"{job.uid}.json").unlink(missing_ok=True)
        in_transaction(partial(_mark, job_id=job.id, kept_at=None))


_IS_GONE = or_(Job.deleted_at.is_not(None), Job.content_removed_at.is_not(None))


def _to_write() -> Select[int]:
    unwritten = or_(Job.status_kept_at.is_(None), Job.status_kept_at < Job.ended_at)
    return (
        select(Job.id).where(Job.ended_at.is_not(None), unwritten, ~_IS_GONE).order_by(Job.id).limit(AT_ONCE)
    )


def _to_remove() -> Select[int, uuid.UUID]:
    return select(Job.id, Job.uid).where(_IS_GONE, Job.status_kept_at.is_not(None)).limit(AT_ONCE)


def _status(view: JobView) -> Iterable[bytes]:
    with reading() as session:
        used = usage.of_successes(session, [view.id]).get(view.id, 0)
    content = wire.write_status(view, used, cost(view))
    return with_list(content, "results", wire.results(records.ended(view)))


def _write(path: Path, content: Iterable[bytes]) -> None:
    """Write the file completely, for this user only, and sync it before it appears under its name.

    Another thread or process may be writing the same one.
    """
    part = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123 - a mode from the start
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _mark(session: Session, job_id: int, kept_at: object) -> None:
    session.execute(
        # Not a change that its owner should see.
        update(Job).where(Job.id == job_id).values(status_kept_at=kept_at, updated_at=Job.updated_at)
    )
