"""The addresses that a tenant has registered for events."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.webhooks import signing_secrets, urls
from app.errors import BadInput, Conflict, NotFound
from models.base import now
from models.session import after_commit
from models.tenant import Tenant
from models.transitions import moving_deliveries
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

log = structlog.get_logger(__name__)

DAY = 86_400  # seconds
MAX_NAME = 200  # characters
MOST = 50  # of a tenant: the end of a job writes a row for each

BY_OWNER = "Its owner has switched it off."
OFF, DELETED = "its endpoint is switched off", "its endpoint was deleted"


@dataclass(frozen=True, slots=True)
class Call:
    """The call that makes an endpoint, by which its repetition is known."""

    key: str  # the caller's name for it
    fingerprint: bytes  # of what is asked
    within: int = DAY  # seconds for which it counts as a repetition


def create(
    session: Session,
    tenant_id: int,
    *,
    name: str,
    url: str,
    event_types: Sequence[str],
    call: Call | None = None,
) -> tuple[WebhookEndpoint, str, bool]:
    """The endpoint, its secret, and whether it is new. Raises `BadInput` and `Conflict`.

    The repetition of a call has the endpoint and the secret of the first: its answer may be what was lost,
    and whoever may send it may also replace the secret.
    """
    _lock(session, tenant_id)
    found = None if call is None else _made_by(session, tenant_id, call)
    if found is not None:
        return found, signing_secrets.valid(session, tenant_id, found.id)[0], False
    urls.check(url)
    owner = WebhookEndpoint.tenant_id == tenant_id
    if (session.scalar(select(func.count()).select_from(WebhookEndpoint).where(owner)) or 0) >= MOST:
        raise Conflict(f"there are {MOST} webhook endpoints already, which is the most: delete one")
    made = WebhookEndpoint(tenant_id=tenant_id, name=name, url=url, event_types=_unique(event_types))
    if call is not None:
        made.idempotency_key, made.fingerprint = call.key, call.fingerprint
    session.add(made)
    session.flush()
    secret = signing_secrets.create(session, tenant_id, made.id)
    session.refresh(made)  # its times are the database's
    return made, secret, True


def _lock(session: Session, tenant_id: int) -> None:
    """One is made at a time, so that they can be counted and a repetition finds the first."""
    session.scalars(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)).one()


def _made_by(session: Session, tenant_id: int, call: Call) -> WebhookEndpoint | None:
    """The endpoint of an earlier `call`, which loses its name if that was too long ago."""
    earlier = WebhookEndpoint.tenant_id == tenant_id, WebhookEndpoint.idempotency_key == call.key
    lately = WebhookEndpoint.created_at > now(-call.within)
    found = session.scalars(select(WebhookEndpoint).where(*earlier, lately)).one_or_none()
    if found is None:
        session.execute(update(WebhookEndpoint).where(*earlier).values(idempotency_key=None))
    elif found.fingerprint != call.fingerprint:
        raise BadInput(
            f"The Idempotency-Key {call.key!r} was used for another endpoint: use a new key for new content."
        )
    return found


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
    """Up to `limit` of the tenant's endpoints, newest first; those after the place of the id `after`.

    The endpoint of that id may be deleted by then: a client that deletes what it lists goes on from there.
    Raises `BadInput` for what is not an id.
    """
    wanted = select(WebhookEndpoint).where(WebhookEndpoint.tenant_id == tenant_id)
    if after is not None:
        place = _uid(after)
        if place is None:
            raise BadInput.of_field(
                "after", f"give the id of a webhook endpoint; found {after[:100]!r}", location="query"
            )
        wanted = wanted.where(WebhookEndpoint.uid < place)
    return session.scalars(wanted.order_by(WebhookEndpoint.uid.desc()).limit(limit)).all()


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
        switch_off(session, endpoint, BY_OWNER)
    session.flush()
    if (endpoint.name, endpoint.url, endpoint.event_types, endpoint.disabled_at) != before:
        touch(session, endpoint)


def touch(session: Session, endpoint: WebhookEndpoint) -> None:
    """Note that it was changed now."""
    session.execute(update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint.id).values(updated_at=now()))
    session.refresh(endpoint)


def remove(session: Session, endpoint: WebhookEndpoint) -> None:
    """Delete it; what was to be sent to it is given up, and what was sent stays to be seen."""
    give_up(session, WebhookDelivery.endpoint_id == endpoint.id, DELETED)
    signing_secrets.forget(session, endpoint.tenant_id, endpoint.id)
    session.delete(endpoint)
    session.flush()


def switch_off(session: Session, endpoint: WebhookEndpoint, reason: str) -> None:
    """Send it no more events, until its owner switches it on again; what waits is given up."""
    endpoint.disabled_at = session.scalar(select(now()))
    endpoint.disabled_reason = reason
    session.flush()
    give_up(session, WebhookDelivery.endpoint_id == endpoint.id, OFF)
    log.warning("webhook.switched_off", endpoint=endpoint.public_id, reason=reason)


def give_up(session: Session, which: ColumnElement[bool], why: str) -> None:
    """Send no more of these deliveries."""
    given_up = session.execute(
        moving_deliveries(DeliveryStatus.FAILED, which, ended_at=now(), last_error=why)
    )
    assert isinstance(given_up, CursorResult)
    after_commit(session, partial(counts.add, metrics.WEBHOOKS_ENDED, "given_up", by=given_up.rowcount))


def _unique(event_types: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(event_types))


def _uid(name: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(name.removeprefix("we_"))
    except ValueError:
        return None
