"""The audit trail: what was done to a tenant's resources, written in the transaction that did it."""

import getpass
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core.accounts.api_keys import Caller
from app.core.json_text import timestamp
from models.base import new_uid
from models.document import AuditEvent

KEY_CREATED, KEY_REVOKED = "KEY_CREATED", "KEY_REVOKED"
LIMITS_CHANGED, TENANT_CHANGED = "LIMITS_CHANGED", "TENANT_CHANGED"
WEBHOOK_CREATED, WEBHOOK_CHANGED = "WEBHOOK_CREATED", "WEBHOOK_CHANGED"
WEBHOOK_DELETED, WEBHOOK_SECRET_ROTATED = "WEBHOOK_DELETED", "WEBHOOK_SECRET_ROTATED"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, and by what: a `key`, or a `command` on the server."""

    means: str
    name: str  # of the means
    user: str

    @classmethod
    def with_key(cls, me: Caller) -> Self:
        return cls("key", me.prefix, me.user)

    @classmethod
    def at_terminal(cls, command: str) -> Self:
        return cls("command", command, _login())

    def as_json(self) -> dict[str, str]:
        return {self.means: self.name, "user": self.user}


def note(
    session: Session, tenant_id: int, by: Actor, event_type: str, resource: tuple[str, str], **details: Any
) -> None:
    """Write what `by` did to a resource, given as its type and its id. No secret belongs into `details`."""
    resource_type, resource_id = resource
    write(session, tenant_id, event_type, resource_type, {resource_id: {"by": by.as_json(), **details}})


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What is different afterwards, each with both values."""
    return {
        name: {"from": before[name], "to": value} for name, value in after.items() if before[name] != value
    }


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


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())
