"""How deliveries stand, those of all tenants together, for whoever runs Penstock."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from app.core.webhooks import endpoints, sealing
from app.errors import Unavailable
from models.base import now
from models.tenant import Tenant
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint, WebhookSecret

_PENDING = WebhookDelivery.status == DeliveryStatus.PENDING
_SWITCHED_OFF = (
    WebhookEndpoint.disabled_at.is_not(None),
    WebhookEndpoint.disabled_reason != endpoints.BY_OWNER,
)


def counts(session: Session) -> Mapping[str, int]:
    """Deliveries that are to be sent: `new`, or `failing` ones, which are sent again."""
    have_failed = WebhookDelivery.attempts > 0
    row = session.execute(
        select(func.count().filter(~have_failed), func.count().filter(have_failed)).where(_PENDING)
    ).one()
    return dict(zip(("new", "failing"), row, strict=True))


def oldest_due(session: Session) -> float:
    """For how many seconds a delivery has been due and was not sent; 0 when none is."""
    row = session.execute(
        select(WebhookDelivery.next_at, now().label("time"))
        .where(_PENDING, WebhookDelivery.next_at <= now())
        .order_by(WebhookDelivery.next_at)
        .limit(1)
    ).one_or_none()
    return 0.0 if row is None else float((row.time - row.next_at).total_seconds())


def sent_within(session: Session, seconds: float) -> bool:
    """Whether any attempt has ended lately, well or not."""
    lately = WebhookDelivery.last_attempt_at > now(-seconds)
    return bool(session.scalar(select(select(WebhookDelivery.id).where(lately).exists())))


def switched_off(session: Session) -> int:
    """Endpoints that Penstock has switched off, because they want no more or have failed for days."""
    return session.scalar(select(func.count()).select_from(WebhookEndpoint).where(*_SWITCHED_OFF)) or 0


def latest_switched_off(session: Session, most: int) -> Sequence[Row[str, str, str]]:
    """The tenant, the name and the reason of those that were switched off last."""
    return session.execute(
        select(Tenant.name, WebhookEndpoint.name, func.coalesce(WebhookEndpoint.disabled_reason, ""))
        .join(Tenant, Tenant.id == WebhookEndpoint.tenant_id)
        .where(*_SWITCHED_OFF)
        .order_by(WebhookEndpoint.disabled_at.desc())
        .limit(most)
    ).all()


def why_unsigned(session: Session) -> str | None:
    """Why the newest secret cannot be read on this machine; None when it can, or there is none."""
    sealed = session.scalar(select(WebhookSecret.sealed).order_by(WebhookSecret.id.desc()).limit(1))
    try:
        if sealed is not None:
            sealing.unseal(sealed)
    except Unavailable as error:
        return error.message
    return None
