"""An owner's actions on a job, through any entry point. Workers and readers are notified after the commit."""

from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle, notifications
from app.services import webhooks
from models.job import Job
from models.session import after_commit, in_transaction
from tasks.flower import words
from tasks.wake import wake

Verb = Callable[[Session, Job], None]  # one from `lifecycle`, or a wrapper; may run more than once


def act(tenant_id: int, name: str, verb: Verb) -> None:
    """Apply `verb` to the tenant's job with that id or label, under its row lock.

    Raises `NotFound` for a job that does not exist or belongs to another tenant, and the verb's own refusals.
    """

    def work(session: Session) -> None:
        job = lifecycle.find(session, tenant_id, name)
        verb(session, job)
        after_commit(session, partial(wake, job.id, words.job(job.uid, job.name)))
        after_commit(session, partial(notifications.publish, [job.id]))
        webhooks.request_after_commit(session)

    in_transaction(work)
