"""The lease of a submission that is stored in parts: it shows whether the storing process is still alive."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Select, and_, delete, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.outages import servers
from app.core.pipeline import leases
from models.base import now
from models.job import IdempotencyKey, Job, JobStatus
from models.session import in_transaction


@contextmanager
def lease() -> Iterator[int]:
    """A lease for the duration of the block. Jobs staged under it and not released are abandoned then."""
    lease_id = in_transaction(partial(leases.take, works=False))
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(lease_id, over), name="upload-lease", daemon=True)
    beating.start()
    try:
        yield lease_id
    finally:
        over.set()
        beating.join()
        _end(lease_id)


def abandon(session: Session, lease_id: int) -> None:
    """Free the keys of jobs staged under a dead lease, and leave the jobs to the sweep."""
    staged = session.scalars(_staged(lease_id).with_for_update(key_share=True)).all()
    if staged:
        session.execute(update(Job).where(Job.id.in_(staged)).values(deleted_at=now()))
        session.execute(delete(IdempotencyKey).where(IdempotencyKey.job_id.in_(staged)))


def is_in_use(session: Session, lease_id: int) -> bool:
    """Whether a transaction holds a job staged under the lease; if none does, this one holds them all then.

    A process that stands still in the middle of a COPY holds its job for as long as its connection is there.
    """
    staged = session.scalars(_staged(lease_id)).all()
    free = session.scalars(_staged(lease_id).with_for_update(key_share=True, skip_locked=True)).all()
    return set(free) < set(staged)


def _staged(lease_id: int) -> Select[int]:
    is_staging = and_(Job.status == JobStatus.STAGING, Job.deleted_at.is_(None))
    return select(Job.id).where(Job.lease_id == lease_id, is_staging)


def _beat(lease_id: int, over: threading.Event) -> None:
    while not over.wait(leases.BEAT):
        try:
            if not in_transaction(partial(leases.renew, lease_id=lease_id, serving=frozenset())):
                return  # declared dead; the upload's next write finds that it was abandoned
        except SQLAlchemyError as error:
            servers.tell(error, "lease")


def _end(lease_id: int) -> None:
    def work(session: Session) -> None:
        leases.end(session, lease_id)
        abandon(session, lease_id)

    try:
        in_transaction(work)
    except SQLAlchemyError as error:  # the job is stored; the lease will be found dead by its counter
        servers.tell(error, "lease")
