"""Jobs of commands: `penstock run` on a stack that ends with it pays for its own job, and for no other.

Such a job names its command in `runs_with` and is paused when that one has ended, however it ended. What no
command on the data answers for is paused while a stack runs that is there for one command only.
"""

import re
from collections.abc import Callable
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle
from app.errors import BadInput
from models.job import Job, JobStatus
from models.session import in_transaction, reading

HEADER = "Penstock-Run"  # of a request: the id of the command that makes it
STACK = "stack"  # in `runs_with`: paused until a stack comes that lives on
GOING = (JobStatus.PENDING, JobStatus.RUNNING)

_ID = re.compile(r"[0-9a-f]{32}")


def named(run: str | None) -> str | None:
    """The command that a request comes from, as its header `HEADER` says.

    Raises `BadInput` for what is not an id.
    """
    if run is not None and not _ID.fullmatch(run):
        raise BadInput(f"{HEADER}: give the id of a command, 32 hexadecimal digits; found {run!r}")
    return run


def pause_left(has_ended: Callable[[str], bool]) -> int:
    """Pause the jobs whose commands have ended; returns how many."""
    with reading() as session:
        going = session.execute(
            select(Job.id, Job.runs_with).where(Job.status.in_(GOING), Job.runs_with.is_not(None))
        ).all()
    # Asked after the jobs were read: the command of each of them had begun before.
    left = [(job_id, run) for job_id, run in going if run is not None and has_ended(run)]
    return sum(_do(job_id, partial(lifecycle.leave, run=run)) for job_id, run in left)


def set_aside() -> int:
    """Pause what goes on without a command, until a stack comes that lives on; returns how many jobs."""
    with reading() as session:
        going = session.scalars(select(Job.id).where(Job.status.in_(GOING), Job.runs_with.is_(None))).all()
    return sum(_do(job_id, _set_aside) for job_id in going)


def take_back() -> int:
    """Go on with what was set aside; returns how many jobs."""
    with reading() as session:
        aside = session.scalars(
            select(Job.id).where(Job.status == JobStatus.PAUSED, Job.runs_with == STACK)
        ).all()
    return sum(_do(job_id, _take_back) for job_id in aside)


def _do(job_id: int, verb: Callable[[Session, Job], None]) -> bool:
    return in_transaction(partial(_under_lock, job_id=job_id, verb=verb))


def _under_lock(session: Session, job_id: int, verb: Callable[[Session, Job], None]) -> bool:
    """Whether the job's status is another one now."""
    job = lifecycle.lock(session, job_id)
    if job is None:
        return False
    before = job.status
    verb(session, job)
    return bool(job.status != before)


def _set_aside(session: Session, job: Job) -> None:
    if job.status in GOING and job.runs_with is None:
        reason = (
            "The stack that ran it has ended, and the one that came then was for another command:"
            f" `penstock up`, or `penstock jobs resume {job.uid}`, goes on with it."
        )
        lifecycle.pause_because(session, job, reason, runs_with=STACK)


def _take_back(session: Session, job: Job) -> None:
    if job.status == JobStatus.PAUSED and job.runs_with == STACK:
        lifecycle.resume(session, job)
