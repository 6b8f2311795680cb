"""Events on their way: rows that are written in the transaction of what they tell.

So no event is lost with a message, and none tells of what did not happen.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from app.core.webhooks import events, schedule, urls
from models.base import now
from models.job import Job, JobCounts, JobSpec, JobStatus
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

_FILLED = "webhooks"  # in the session's notes: it has rows for senders

_PENDING = WebhookDelivery.status == DeliveryStatus.PENDING
any_due = exists().where(_PENDING, WebhookDelivery.next_at <= now()).label("any_webhook")


def job_ended(session: Session, job: Job) -> None:
    """Write what is to be sent of a job that has just ended: to endpoints, and to the job's own address."""
    own = session.scalar(select(JobSpec.webhook_url).where(JobSpec.job_id == job.id))
    status = JobStatus(job.status)
    _tell(session, job, {events.BATCH[status]: None, events.JOB[status]: own})


def job_paused(session: Session, job: Job) -> None:
    """Write what is to be sent of a job that has just been paused. Its own address hears of its end alone."""
    _tell(session, job, {events.JOB[JobStatus.PAUSED]: None})


def _tell(session: Session, job: Job, wanted: Mapping[str, str | None]) -> None:
    """Write each event, for those that listen and for the address that it has beside them.

    Nothing is told of a call that somebody waits for: its caller has the answer, and it is no batch.
    """
    if job.attended is not None:
        return
    listening = session.execute(
        select(WebhookEndpoint.id, WebhookEndpoint.url, WebhookEndpoint.event_types).where(
            WebhookEndpoint.tenant_id == job.tenant_id, WebhookEndpoint.disabled_at.is_(None)
        )
    ).all()
    for event_type, own in wanted.items():
        to: list[tuple[int | None, str]] = [(id, url) for id, url, types in listening if event_type in types]
        if own is not None:
            to.append((None, own))
        if to:
            _write(session, job, event_type, to)


def is_filled(session: Session) -> bool:
    """Whether the session's transaction has written something to be sent."""
    return _FILLED in session.info


def fill(session: Session) -> None:
    """Note that the session's transaction has written something to be sent."""
    session.info[_FILLED] = True


def _write(session: Session, job: Job, event_type: str, wanted: Sequence[tuple[int | None, str]]) -> None:
    event_id = events.new_id()
    at = session.scalars(select(now())).one()
    body = events.of_job(event_id, event_type, job, session.get_one(JobCounts, job.id), at)
    targets = [urls.target(url) if id is None else f"endpoint {id}" for id, url in wanted]
    busy_until = _busy_until(session, job.tenant_id, targets)
    session.add_all(
        WebhookDelivery(
            tenant_id=job.tenant_id,
            endpoint_id=endpoint_id,
            job_id=job.id,
            event_id=event_id,
            event_type=event_type,
            url=url,
            target=target,
            body=body,
            next_at=busy_until.get(target, at),
        )
        for (endpoint_id, url), target in zip(wanted, targets, strict=True)
    )
    session.flush()
    fill(session)


def _busy_until(session: Session, tenant_id: int, targets: Sequence[str]) -> Mapping[str, dt.datetime]:
    """When those of the receivers that have just said to be busy want to be tried again.

    Only a first attempt tells: later ones are far apart, and the receiver may have had time for hours.
    """
    found = session.execute(
        select(WebhookDelivery.target, func.max(WebhookDelivery.next_at))
        .where(
            WebhookDelivery.tenant_id == tenant_id,
            WebhookDelivery.target.in_(targets),
            _PENDING,
            WebhookDelivery.next_at > now(),
            WebhookDelivery.attempts == 1,
            WebhookDelivery.last_status_code.in_(schedule.BUSY),
        )
        .group_by(WebhookDelivery.target)
    )
    return dict(found.all())
