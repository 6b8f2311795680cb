"""What follows from an attempt: for its delivery, and for the endpoint."""

import datetime as dt
from typing import Any

import structlog
from sqlalchemy import select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.webhooks import endpoints, schedule
from app.core.webhooks.claims import Claim
from app.core.webhooks.transport import Answer
from models.base import now
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

GONE = 410  # the receiver wants no more
PATIENCE = dt.timedelta(days=5)  # of nothing but failures, after which an endpoint is switched off


def record(session: Session, claim: Claim, answer: Answer) -> None:
    """Write the outcome, and when it is tried again; one that another process has overtaken is void."""
    values = _outcome(claim, answer)
    moved = session.execute(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == claim.id,
            WebhookDelivery.status == DeliveryStatus.PENDING,
            WebhookDelivery.attempts == claim.attempts,
        )
        .values(
            attempts=claim.attempts + 1,
            last_attempt_at=now(),
            last_status_code=answer.status,
            last_answer=answer.text,
            **values,
        )
    )
    assert isinstance(moved, CursorResult)
    if moved.rowcount:
        _log(claim, answer, values["status"])
        if claim.endpoint_id is not None:
            _judge(session, claim.endpoint_id, answer)


def _outcome(claim: Claim, answer: Answer) -> dict[str, Any]:
    if answer.succeeded:
        return {"status": DeliveryStatus.SUCCEEDED, "ended_at": now(), "last_error": None}
    wait = None if answer.status == GONE else schedule.delay(claim.attempts + 1, answer.retry_after)
    failed = {"last_error": answer.error or f"the receiver answered with the status {answer.status}"}
    if wait is None:
        return {"status": DeliveryStatus.FAILED, "ended_at": now(), **failed}
    return {"status": DeliveryStatus.PENDING, "next_at": now(wait), **failed}


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


def _log(claim: Claim, answer: Answer, status: str) -> None:
    if answer.succeeded:
        return
    log.warning(
        "webhook.failed",
        event_id=claim.event_id,
        attempt=claim.attempts + 1,
        status_code=answer.status,
        why=answer.error,
        given_up=status == DeliveryStatus.FAILED,
    )
