"""What follows from an attempt: for its delivery, and for the endpoint."""

import datetime as dt

import structlog
from sqlalchemy import Update, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.webhooks import endpoints, schedule
from app.core.webhooks.claims import Claim
from app.core.webhooks.transport import Answer
from models.base import now
from models.transitions import moving_deliveries
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

GONE = 410  # the receiver wants no more
PATIENCE = dt.timedelta(days=5)  # of nothing but failures, after which an endpoint is switched off


def record(session: Session, claim: Claim, answer: Answer) -> DeliveryStatus | None:
    """Write the outcome, and when it is tried again; returns what became of the delivery.

    None: another process has overtaken this one, and its outcome is void.
    """
    status, moving = _moving(claim, answer)
    moved = session.execute(
        moving.values(
            attempts=claim.attempts + 1,
            last_attempt_at=now(),
            last_status_code=answer.status,
            last_answer=answer.text,
        )
    )
    assert isinstance(moved, CursorResult)
    if not moved.rowcount:
        return None
    if not answer.succeeded:
        log.warning(
            "webhook.failed",
            event_id=claim.event_id,
            attempt=claim.attempts + 1,
            status_code=answer.status,
            why=answer.error,
        )
    if answer.status in schedule.BUSY:
        _hold(session, claim, answer)
    if claim.endpoint_id is not None:
        _judge(session, claim.endpoint_id, answer)
    return status


def _moving(claim: Claim, answer: Answer) -> tuple[DeliveryStatus, Update]:
    mine = WebhookDelivery.id == claim.id, WebhookDelivery.attempts == claim.attempts
    if answer.succeeded:
        status = DeliveryStatus.SUCCEEDED
        return status, moving_deliveries(status, *mine, ended_at=now(), last_error=None)
    why = answer.error or f"the receiver answered with the status {answer.status}"
    wait = None if answer.status == GONE else schedule.delay(claim.attempts + 1, answer.retry_after)
    if wait is None:
        status = DeliveryStatus.FAILED
        return status, moving_deliveries(status, *mine, ended_at=now(), last_error=why)
    status = DeliveryStatus.PENDING
    still = WebhookDelivery.status == status
    return status, update(WebhookDelivery).where(*mine, still).values(next_at=now(wait), last_error=why)


def _hold(session: Session, claim: Claim, answer: Answer) -> None:
    """Whatever else is for a busy receiver waits as long as the first retry does, or as it has asked for."""
    seconds = min(answer.retry_after or schedule.DELAYS[1], schedule.LONGEST_WAIT)
    session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.tenant_id == claim.tenant_id,
            WebhookDelivery.target == claim.target,
            WebhookDelivery.status == DeliveryStatus.PENDING,
            WebhookDelivery.next_at < now(0.9 * seconds),  # of several answers at once, one moves them
            WebhookDelivery.id != claim.id,
        )
        .values(next_at=now(seconds))
    )


def _judge(session: Session, endpoint_id: int, answer: Answer) -> None:
    """Note whether the endpoint works, and switch it off when it wants no more or has failed for days."""
    if answer.succeeded:
        failing = WebhookEndpoint.id == endpoint_id, WebhookEndpoint.failing_since.is_not(None)
        session.execute(update(WebhookEndpoint).where(*failing).values(failing_since=None))
        return
    endpoint = session.scalars(
        select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id).with_for_update()
    ).one_or_none()
    if endpoint is None or endpoint.disabled_at is not None:
        return
    time = session.scalars(select(now())).one()
    endpoint.failing_since = endpoint.failing_since or time
    if answer.status == GONE:
        endpoints.switch_off(session, endpoint, "It answered with 410 Gone: it wants no more events.")
    elif time - endpoint.failing_since >= PATIENCE:
        since = f"{endpoint.failing_since:%Y-%m-%d %H:%M} UTC"
        endpoints.switch_off(
            session, endpoint, f"Every attempt has failed since {since}, which is five days or more."
        )
