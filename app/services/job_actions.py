"""What a job's owner does to it, through any door. Workers and readers hear of it once it is committed."""

from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle, notifications
from models.job import Job
from models.session import after_commit, in_transaction
from tasks.wake import wake

Verb = Callable[[Session, Job], None]  # one of `lifecycle`, or one that calls it; may run more than once


def act(tenant_id: int, name: str, verb: Verb) -> None:
    """Do `verb` to the tenant's job of that id or label, under its row lock.

    Raises `NotFound` for a job of nobody or another tenant, and what the verb refuses with.
    """

    def work(session: Session) -> None:
        job = lifecycle.find(session, tenant_id, name)
        verb(session, job)
        after_commit(session, partial(wake, job.id))
        after_commit(session, partial(notifications.publish, [job.id]))

    in_transaction(work)
