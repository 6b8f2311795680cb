"""Deliveries as their owner sees them: kept, listed, and sent again on request."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.webhooks import outbox
from app.errors import Conflict, NotFound
from config import settings
from models.base import now
from models.transitions import moving_deliveries
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

DAY = 86_400  # seconds
CHUNK = 5_000  # rows that are removed in one transaction
STATUSES = tuple(str(status) for status in DeliveryStatus)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries are listed; None: all."""

    endpoint_id: int | None = None
    job_id: int | None = None
    status: str | None = None


def page(
    session: Session, tenant_id: int, wanted: Filter, before: int | None, limit: int
) -> Sequence[WebhookDelivery]:
    """Up to `limit` of the tenant's deliveries, newest first; only those with numbers below `before`."""
    found = select(WebhookDelivery).where(WebhookDelivery.tenant_id == tenant_id)
    for column, value in (
        (WebhookDelivery.endpoint_id, wanted.endpoint_id),
        (WebhookDelivery.job_id, wanted.job_id),
        (WebhookDelivery.status, wanted.status),
    ):
        if value is not None:
            found = found.where(column == value)
    if before is not None:
        found = found.where(WebhookDelivery.id < before)
    return session.scalars(found.order_by(WebhookDelivery.id.desc()).limit(limit)).all()


def find(session: Session, tenant_id: int, name: str) -> WebhookDelivery:
    """The tenant's delivery with that id; raises `NotFound`."""
    try:
        uid = uuid.UUID(name)
    except ValueError:
        raise _unknown(name) from None
    found = session.scalars(
        select(WebhookDelivery).where(WebhookDelivery.tenant_id == tenant_id, WebhookDelivery.uid == uid)
    ).one_or_none()
    if found is None:
        raise _unknown(name)
    return found


def send_again(session: Session, delivery: WebhookDelivery) -> None:
    """Send it now, by the whole schedule and under the same event id; raises `Conflict`."""
    if delivery.endpoint_id is not None:
        endpoint = session.get(WebhookEndpoint, delivery.endpoint_id)
        if endpoint is None:
            raise Conflict("the endpoint of this delivery was deleted: it cannot be sent again")
        if endpoint.disabled_at is not None:
            raise Conflict("the endpoint of this delivery is switched off: switch it on first")
    this = WebhookDelivery.id == delivery.id
    session.execute(moving_deliveries(DeliveryStatus.PENDING, this, ended_at=None))
    session.execute(update(WebhookDelivery).where(this).values(attempts=0, next_at=now()))
    session.refresh(delivery)
    outbox.fill(session)


def forget(session: Session) -> int:
    """Remove a chunk of what ended PENSTOCK_KEEP_DAYS ago; returns how many."""
    old = (
        select(WebhookDelivery.id)
        .where(
            WebhookDelivery.created_at < now(-DAY * settings.current().keep_days),
            WebhookDelivery.status != DeliveryStatus.PENDING,
        )
        .limit(CHUNK)
    )
    removed = session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(old)))
    assert isinstance(removed, CursorResult)
    return removed.rowcount


def _unknown(name: str) -> NotFound:
    return NotFound(f"there is no webhook delivery {name!r}: the id is wrong, or it is too old")
