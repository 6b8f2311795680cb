"""The audit trail: what was done to a tenant's resources, written in the transaction that did it."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.json_text import timestamp
from models.base import new_uid
from models.document import AuditEvent


def write(
    session: Session, tenant_id: int, event_type: str, resource_type: str, details: Mapping[str, Any]
) -> None:
    """Write one event for each resource; `details` has theirs by resource id."""
    session.connection().execute(
        insert(AuditEvent),
        [
            {
                "event_id": new_uid(),
                "tenant_id": tenant_id,
                "event_type": event_type,
                "resource_type": resource_type,
                "resource_id": resource_id,
                "details": detail,
            }
            for resource_id, detail in details.items()
        ],
    )


def page(
    session: Session, tenant_id: int, event_type: str | None, before: int | None, limit: int
) -> Sequence[AuditEvent]:
    """Up to `limit` of a tenant's events, newest first; only those with ids below `before`."""
    statement = select(AuditEvent).where(AuditEvent.tenant_id == tenant_id)
    if event_type is not None:
        statement = statement.where(AuditEvent.event_type == event_type)
    if before is not None:
        statement = statement.where(AuditEvent.id < before)
    return session.scalars(statement.order_by(AuditEvent.id.desc()).limit(limit)).all()


def as_json(event: AuditEvent, tenant_id: str) -> dict[str, Any]:
    """An event as its tenant reads it."""
    return {
        "event_id": str(event.event_id),
        "tenant_id": tenant_id,
        "event_type": event.event_type,
        "resource_type": event.resource_type,
        "resource_id": event.resource_id,
        "details": event.details,
        "created_at": timestamp(event.created_at),
    }
