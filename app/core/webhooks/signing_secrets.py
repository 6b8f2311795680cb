"""The secrets that sign: one for each endpoint, and one of the tenant for the `webhook_url` of its jobs."""

import base64
import secrets
from collections.abc import Sequence

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.orm import Session

from app.core.webhooks import sealing
from models.base import now
from models.tenant import Tenant
from models.webhook import WebhookSecret

OVERLAP = 24 * 3600  # seconds that a replaced secret goes on signing beside the new one, if asked for
BYTES = 32


def create(session: Session, tenant_id: int, endpoint_id: int | None) -> str:
    """A new secret, which signs from now on."""
    text = "whsec_" + base64.b64encode(secrets.token_bytes(BYTES)).decode()
    sealed = sealing.seal(text)
    session.add(WebhookSecret(tenant_id=tenant_id, endpoint_id=endpoint_id, sealed=sealed, hint=hint(text)))
    session.flush()
    return text


def hint(secret: str) -> str:
    """By which its owner recognises it."""
    return f"whsec_…{secret[-4:]}"


def rotate(session: Session, tenant_id: int, endpoint_id: int | None, *, keep: bool) -> str:
    """A new secret; the present one ends at once, or goes on signing for 24 hours if `keep`."""
    of_owner = _of(tenant_id, endpoint_id)
    session.execute(delete(WebhookSecret).where(*of_owner, WebhookSecret.expires_at <= now()))
    if keep:
        current = (*of_owner, WebhookSecret.expires_at.is_(None))
        session.execute(update(WebhookSecret).where(*current).values(expires_at=now(OVERLAP)))
    else:
        session.execute(delete(WebhookSecret).where(*of_owner))
    return create(session, tenant_id, endpoint_id)


def of_tenant(session: Session, tenant_id: int) -> str:
    """What signs deliveries to the `webhook_url` of the tenant's jobs; made when it is first needed."""
    session.scalars(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update(key_share=True)).one()
    found = valid(session, tenant_id, None)
    return found[0] if found else create(session, tenant_id, None)


def valid(session: Session, tenant_id: int, endpoint_id: int | None) -> list[str]:
    """All that sign now, the newest first. Raises `Unavailable` where they cannot be decrypted."""
    return [sealing.unseal(sealed) for sealed in valid_sealed(session, tenant_id, endpoint_id)]


def valid_sealed(session: Session, tenant_id: int, endpoint_id: int | None) -> Sequence[bytes]:
    lasting = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > now())
    return session.scalars(
        select(WebhookSecret.sealed)
        .where(*_of(tenant_id, endpoint_id), lasting)
        .order_by(WebhookSecret.id.desc())
    ).all()


def hints(session: Session, tenant_id: int) -> dict[int, str]:
    """What the newest secret of each endpoint looks like, by the endpoint's number."""
    newest = select(func.max(WebhookSecret.id)).where(
        WebhookSecret.tenant_id == tenant_id, WebhookSecret.endpoint_id.is_not(None)
    )
    rows = session.execute(
        select(WebhookSecret.endpoint_id, WebhookSecret.hint).where(
            WebhookSecret.id.in_(newest.group_by(WebhookSecret.endpoint_id))
        )
    )
    return {endpoint: hint for endpoint, hint in rows if endpoint is not None}


def forget(session: Session, tenant_id: int, endpoint_id: int) -> None:
    session.execute(delete(WebhookSecret).where(*_of(tenant_id, endpoint_id)))


def _of(tenant_id: int, endpoint_id: int | None) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return WebhookSecret.tenant_id == tenant_id, WebhookSecret.endpoint_id.is_not_distinct_from(endpoint_id)
