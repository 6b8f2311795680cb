"""One action on many jobs: first what it would touch, then, job by job, what it did.

The jobs are fixed when it is planned. One to which the action no longer fits is left as it is and told with
the reason: each is looked at again under its lock, in a transaction of its own.
"""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.pipeline import lifecycle
from app.core.reading import jobs
from app.core.reading.job_list import listing
from app.core.reading.job_list.listing import Query
from app.core.reading.jobs import JobView
from app.errors import BadInput, Conflict, Refused
from app.services import job_actions
from models.base import now
from models.job import Job, JobStatus

MOST = 1_000  # jobs at once


class Action(StrEnum):
    CANCEL = "cancel"
    RETRY = "retry"  # what failed or expired
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Plan:
    """What an action would touch. Money is in pico-dollars."""

    action: Action
    at: dt.datetime  # when it was made
    touched: Sequence[JobView]
    records: int  # that it cancels, asks again (at most: what would end in the same way is left) or deletes
    cost: int  # of these jobs so far
    cost_unconfirmed: int
    may_cost: int | None  # of those records, at most: saved by a cancel, spent by a retry; None: unknown
    left_out: Mapping[str, Sequence[JobView]]  # by the reason
    missing: int  # were chosen and are not there any more
    beyond: int  # jobs of the list that are over `MOST`


@dataclass(slots=True)
class Outcome:
    """What an action did."""

    action: Action
    done: list[uuid.UUID] = field(default_factory=list)
    refused: dict[uuid.UUID, str] = field(default_factory=dict)  # and why
    left: Counter[str] = field(
        default_factory=Counter
    )  # records that a retry did not ask again, by their end


def plan(session: Session, tenant_id: int, action: Action, chosen: Sequence[uuid.UUID]) -> Plan:
    """What the action would touch of these jobs of the tenant; raises `BadInput` for too many of them."""
    wanted = _bounded(chosen)
    return _plan(session, tenant_id, action, wanted)


def plan_all(session: Session, tenant_id: int, action: Action, query: Query) -> Plan:
    """What it would touch of all that a list shows: of the newest `MOST`."""
    found = listing.newest(session, tenant_id, query, MOST + 1)
    beyond = 0
    if len(found) > MOST:
        beyond = listing.tally(session, tenant_id, query.text).counts[query.status] - MOST
    return _plan(session, tenant_id, action, found[:MOST], beyond)


def carry_out(tenant_id: int, action: Action, planned: Sequence[uuid.UUID], at: dt.datetime) -> Outcome:
    """Do to each of these jobs of the tenant what was planned `at` a time; `BadInput` for too many."""
    outcome = Outcome(action)
    for uid in _bounded(planned):
        try:
            outcome.left.update(_act(tenant_id, action, uid, at))
        except Refused as refusal:
            outcome.refused[uid] = refusal.message
        else:
            outcome.done.append(uid)
    return outcome


def _bounded(chosen: Sequence[uuid.UUID]) -> list[uuid.UUID]:
    wanted = list(dict.fromkeys(chosen))
    if len(wanted) > MOST:
        raise BadInput(f"{len(wanted):,} jobs were chosen: at most {MOST:,} can be acted on at once")
    return wanted


def _plan(
    session: Session, tenant_id: int, action: Action, wanted: Sequence[uuid.UUID], beyond: int = 0
) -> Plan:
    views = jobs.page(session, tenant_id, None, MOST, Job.uid.in_(wanted))
    touched: list[JobView] = []
    left_out: dict[str, list[JobView]] = {}
    for view in views:
        reason = _REASONS[action](view)
        (touched if reason is None else left_out.setdefault(reason, [])).append(view)
    records = {view.id: _RECORDS[action](view) for view in touched}
    costs = [0 if action == Action.DELETE else view.may_cost(records[view.id]) for view in touched]
    return Plan(
        action,
        session.scalars(select(now())).one(),
        touched,
        records=sum(records.values()),
        cost=sum(view.cost for view in touched),
        cost_unconfirmed=sum(view.cost_unconfirmed for view in touched),
        may_cost=None if None in costs else sum(cost or 0 for cost in costs),
        left_out=left_out,
        missing=len(wanted) - len(views),
        beyond=beyond,
    )


def _act(tenant_id: int, action: Action, uid: uuid.UUID, at: dt.datetime) -> Mapping[str, int]:
    """Returns what a retry leaves as it is."""
    left: dict[str, int] = {}

    def retry(session: Session, job: Job) -> None:
        _refuse_ended_after(job, at)
        left.clear()  # the transaction may run more than once
        left.update(lifecycle.retry(session, job))

    def delete(session: Session, job: Job) -> None:
        _refuse_ended_after(job, at)
        lifecycle.delete(session, job)

    verbs = {Action.CANCEL: _cancel, Action.RETRY: retry, Action.DELETE: delete}
    job_actions.act(tenant_id, str(uid), verbs[action])
    return left


def _refuse_ended_after(job: Job, at: dt.datetime) -> None:
    """It has answers that nobody had seen when the action was planned."""
    if job.ended_at is not None and job.ended_at > at:
        raise Conflict("The job has run again meanwhile; look at its new answers first.")


def _cancel(session: Session, job: Job) -> None:
    """A job that somebody else cancelled meanwhile is told as such."""
    if job.status in (JobStatus.CANCELLED, JobStatus.CANCELLING):
        raise Conflict(f"The job is {job.status} already.", {"status": job.status})
    lifecycle.cancel(session, job)


def _not_cancelled(view: JobView) -> str | None:
    if view.status == JobStatus.CANCELLING:
        return "being cancelled already"
    return "ended already" if view.status.final else None


def _not_retried(view: JobView) -> str | None:
    if not view.status.final:
        return "not ended yet"
    if view.content_removed_at is not None:
        return "their inputs were deleted: submit them again"
    return None if _failures(view) else "no record failed or expired"


def _not_deleted(view: JobView) -> str | None:
    if view.status == JobStatus.CANCELLING:
        return "being cancelled: delete them when they have ended"
    return None if view.status.final else "not ended yet: cancel them first"


def _failures(view: JobView) -> int:
    return view.counts.failed + view.counts.expired


_REASONS: Mapping[Action, Callable[[JobView], str | None]] = {
    Action.CANCEL: _not_cancelled,
    Action.RETRY: _not_retried,
    Action.DELETE: _not_deleted,
}
_RECORDS: Mapping[Action, Callable[[JobView], int]] = {
    Action.CANCEL: lambda view: view.counts.unended,
    Action.RETRY: _failures,
    Action.DELETE: lambda view: view.total,
}
