"""The addresses that a tenant has registered for events."""

import uuid
from collections.abc import Sequence

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from app.core.webhooks import signing_secrets, urls
from app.errors import Conflict, NotFound
from models.base import now
from models.transitions import moving_deliveries
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

MOST = 50  # of a tenant: the end of a job writes a row for each

OFF, DELETED = "its endpoint is switched off", "its endpoint was deleted"


def create(
    session: Session, tenant_id: int, *, name: str, url: str, event_types: Sequence[str]
) -> tuple[WebhookEndpoint, str]:
    """The endpoint and its secret, which is not shown again. Raises `BadInput` and `Conflict`."""
    urls.check(url)
    owner = WebhookEndpoint.tenant_id == tenant_id
    if (session.scalar(select(func.count()).select_from(WebhookEndpoint).where(owner)) or 0) >= MOST:
        raise Conflict(f"there are {MOST} webhook endpoints already, which is the most: delete one")
    made = WebhookEndpoint(tenant_id=tenant_id, name=name, url=url, event_types=_unique(event_types))
    session.add(made)
    session.flush()
    secret = signing_secrets.create(session, tenant_id, made.id)
    session.refresh(made)  # its times are the database's
    return made, secret


def made_lately(
    session: Session, tenant_id: int, seconds: int, *, name: str, url: str, event_types: Sequence[str]
) -> WebhookEndpoint | None:
    """The newest endpoint of just this content that is no older than that."""
    found = session.scalars(
        select(WebhookEndpoint)
        .where(
            WebhookEndpoint.tenant_id == tenant_id,
            WebhookEndpoint.name == name,
            WebhookEndpoint.url == url,
            WebhookEndpoint.created_at > now(-seconds),
        )
        .order_by(WebhookEndpoint.id.desc())
    )
    return next((each for each in found if each.event_types == _unique(event_types)), None)


def find(session: Session, tenant_id: int, name: str) -> WebhookEndpoint:
    """The tenant's endpoint with that id, with or without `we_`; raises `NotFound`."""
    uid = _uid(name)
    found = None
    if uid is not None:
        found = session.scalars(
            select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id, WebhookEndpoint.uid == uid)
        ).one_or_none()
    if found is None:
        raise NotFound(f"there is no webhook endpoint {name!r}: it was deleted, or the id is wrong")
    return found


def page(session: Session, tenant_id: int, after: str | None, limit: int) -> Sequence[WebhookEndpoint]:
    """Up to `limit` of the tenant's endpoints, newest first; those after the endpoint with the id `after`."""
    wanted = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id)
    if after is not None:
        wanted = wanted.where(WebhookEndpoint.id < find(session, tenant_id, after).id)
    return session.scalars(wanted.order_by(WebhookEndpoint.id.desc()).limit(limit)).all()


def change(
    session: Session,
    endpoint: WebhookEndpoint,
    *,
    name: str | None = None,
    url: str | None = None,
    event_types: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> None:
    """Change what is given. A new URL switches an endpoint on that had been switched off."""
    before = endpoint.name, endpoint.url, endpoint.event_types, endpoint.disabled_at
    endpoint.name = endpoint.name if name is None else name
    endpoint.event_types = endpoint.event_types if event_types is None else _unique(event_types)
    if url is not None and url != endpoint.url:
        endpoint.url = urls.check(url)
        enabled = True if enabled is None else enabled
    if enabled is True:
        endpoint.disabled_at = endpoint.disabled_reason = endpoint.failing_since = None
    elif enabled is False and endpoint.disabled_at is None:
        switch_off(session, endpoint, "Its owner has switched it off.")
    session.flush()
    if (endpoint.name, endpoint.url, endpoint.event_types, endpoint.disabled_at) != before:
        touch(session, endpoint)


def touch(session: Session, endpoint: WebhookEndpoint) -> None:
    """Note that it was changed now."""
    session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id).values(updated_at=now()))
    session.refresh(endpoint)


def remove(session: Session, endpoint: WebhookEndpoint) -> None:
    """Delete it; what was to be sent to it is given up, and what was sent stays to be seen."""
    _give_up(session, endpoint.id, DELETED)
    signing_secrets.forget(session, endpoint.tenant_id, endpoint.id)
    session.delete(endpoint)
    session.flush()


def switch_off(session: Session, endpoint: WebhookEndpoint, reason: str) -> None:
    """Send it no more events, until its owner switches it on again; what waits is given up."""
    endpoint.disabled_at = session.scalar(select(now()))
    endpoint.disabled_reason = reason
    session.flush()
    _give_up(session, endpoint.id, OFF)
    log.warning("webhook.switched_off", endpoint=f"we_{endpoint.uid.hex}", reason=reason)


def _give_up(session: Session, endpoint_id: int, why: str) -> None:
    to_it = WebhookDelivery.endpoint_id == endpoint_id
    session.execute(moving_deliveries(DeliveryStatus.FAILED, to_it, ended_at=now(), last_error=why))


def _unique(event_types: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(event_types))


def _uid(name: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(name.removeprefix("we_"))
    except ValueError:
        return None
