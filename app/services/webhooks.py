"""What an owner does with webhooks, through any entry point."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from app.core.accounts import audit
from app.core.accounts.api_keys import Caller
from app.core.accounts.audit import Actor
from app.core.webhooks import deliveries, endpoints, events, outbox, signing, signing_secrets, transport
from app.errors import BadRequest
from app.services.options import Repeat
from models.session import after_commit, in_transaction, reading
from models.webhook import WebhookDelivery, WebhookEndpoint
from tasks import webhooks
from tasks.wake import hurry


@dataclass(frozen=True, slots=True)
class WithSecret:
    """An endpoint with its secret, at the one moment at which that is shown."""

    endpoint: WebhookEndpoint
    secret: str

    @property
    def hint(self) -> str:
        return signing_secrets.hint(self.secret)


@dataclass(frozen=True, slots=True)
class WithHint:
    """An endpoint, and what its secret looks like."""

    endpoint: WebhookEndpoint
    hint: str | None


def create(
    me: Caller, *, name: str, url: str, event_types: Sequence[str], repeat: Repeat | None
) -> WithSecret:
    """Register an address; a call that is sent again finds what the first one made, and its secret."""
    asked: dict[str, Any] = {"name": name, "url": url, "event_types": event_types}
    if repeat is not None:
        within = endpoints.DAY if repeat.within is None else repeat.within
        asked["call"] = endpoints.Call(repeat.key, repeat.fingerprint, within)

    def work(session: Session) -> WithSecret:
        made, secret, is_new = endpoints.create(session, me.tenant_id, **asked)
        if is_new:
            _note(session, me, audit.WEBHOOK_CREATED, made, webhook=_shown(made))
        return WithSecret(made, secret)

    return in_transaction(work)


def get(tenant_id: int, name: str) -> WithHint:
    with reading() as session:
        found = endpoints.find(session, tenant_id, name)
        return WithHint(found, signing_secrets.hints(session, tenant_id).get(found.id))


def page(tenant_id: int, after: str | None, limit: int) -> list[WithHint]:
    """Up to `limit` endpoints, newest first."""
    with reading() as session:
        hints = signing_secrets.hints(session, tenant_id)
        found = endpoints.page(session, tenant_id, after, limit)
        return [WithHint(endpoint, hints.get(endpoint.id)) for endpoint in found]


def change(me: Caller, name: str, values: Mapping[str, Any]) -> WithHint:
    """Change what is given: `name`, `url`, `event_types`, `enabled`."""

    def work(session: Session) -> None:
        found = endpoints.find(session, me.tenant_id, name)
        before, url = _shown(found), found.url
        endpoints.change(session, found, **values)
        changed = audit.changes(before, after := _shown(found))
        if found.url != url:  # also where the two look the same
            changed["url"] = {"from": before["url"], "to": after["url"]}
        if changed:
            _note(session, me, audit.WEBHOOK_CHANGED, found, changed=changed)

    in_transaction(work)
    return get(me.tenant_id, name)


def remove(me: Caller, name: str) -> WebhookEndpoint:
    def work(session: Session) -> WebhookEndpoint:
        found = endpoints.find(session, me.tenant_id, name)
        _note(session, me, audit.WEBHOOK_DELETED, found, webhook=_shown(found))
        endpoints.remove(session, found)
        return found

    return in_transaction(work)


def rotate(me: Caller, name: str, *, keep: bool) -> WithSecret:
    """A new secret; the present one goes on signing beside it for 24 hours if `keep`."""

    def work(session: Session) -> WithSecret:
        found = endpoints.find(session, me.tenant_id, name)
        secret = signing_secrets.rotate(session, me.tenant_id, found.id, keep=keep)
        endpoints.touch(session, found)
        _note(session, me, audit.WEBHOOK_SECRET_ROTATED, found, kept_for_a_day=keep)
        return WithSecret(found, secret)

    return in_transaction(work)


def secret(tenant_id: int, name: str) -> str:
    """The newest secret of an endpoint: who may see it may replace it, too."""
    with reading() as session:
        found = endpoints.find(session, tenant_id, name)
        return signing_secrets.valid(session, tenant_id, found.id)[0]


def secret_of_jobs(tenant_id: int) -> str:
    """The secret that signs what goes to the `webhook_url` of the tenant's jobs."""
    return in_transaction(partial(signing_secrets.of_tenant, tenant_id=tenant_id))


def rotate_secret_of_jobs(me: Caller, *, keep: bool) -> str:
    def work(session: Session) -> str:
        _note(session, me, audit.WEBHOOK_SECRET_ROTATED, None, kept_for_a_day=keep)
        return signing_secrets.rotate(session, me.tenant_id, None, keep=keep)

    return in_transaction(work)


def try_out(tenant_id: int, name: str, event_type: str) -> tuple[WebhookEndpoint, int]:
    """Send a sample event from here, once; returns the status of the answer.

    Raises `BadRequest` when there is none. It takes up to twenty seconds.
    """
    with reading() as session:
        found = endpoints.find(session, tenant_id, name)
        secrets = signing_secrets.valid(session, tenant_id, found.id)
    event_id, now = events.new_id(), dt.datetime.now(dt.UTC)
    body = events.sample(event_id, event_type, now)
    headers = signing.headers(event_id, body, secrets, now)
    answer = asyncio.run(transport.post(found.url, body, headers, tenant_id))
    if answer.status is None:
        raise BadRequest(f"the endpoint could not be reached: {answer.error}")
    return found, answer.status


def send_again(tenant_id: int, name: str) -> WebhookDelivery:
    """Send a delivery again, at once."""

    def work(session: Session) -> WebhookDelivery:
        found = deliveries.find(session, tenant_id, name)
        deliveries.send_again(session, found)
        request_after_commit(session)
        return found

    return in_transaction(work)


def request_after_commit(session: Session) -> None:
    """Have what the transaction leaves to send sent as soon as it is committed."""
    if outbox.is_filled(session):
        after_commit(session, partial(hurry, webhooks.request))


def _note(session: Session, me: Caller, event: str, endpoint: WebhookEndpoint | None, **details: Any) -> None:
    """Write it into the audit; None stands for the `webhook_url` of jobs."""
    resource = ("webhook", "webhook_url" if endpoint is None else endpoint.public_id)
    audit.note(session, me.tenant_id, Actor.with_key(me), event, resource, **details)


def _shown(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the audit keeps of it: of its address no more than the host, as the rest is often a secret."""
    address = urlsplit(endpoint.url)
    return {
        "name": endpoint.name,
        "url": f"{address.scheme}://{address.hostname}/…",
        "event_types": list(endpoint.event_types),
        "enabled": endpoint.disabled_at is None,
    }
