"""What whoever runs Penstock does with a tenant."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.core.accounts import audit, quotas
from app.core.accounts.audit import Actor
from app.core.money import pricing
from models.session import in_transaction, reading

CAPS = ("daily_cap", "monthly_cap")  # in pico-dollars


def change(by: Actor, name: str, values: Mapping[str, int | None]) -> None:
    """Set quotas and caps, by their columns; None removes one. Raises `NotFound`."""

    def work(session: Session) -> None:
        tenant, before = quotas.change(session, name, values)
        if changed := audit.changes(_shown(before), _shown(values)):
            audit.note(session, tenant.id, by, audit.TENANT_CHANGED, ("tenant", name), changed=changed)

    in_transaction(work)


def audited(name: str, event_type: str | None, limit: int) -> list[dict[str, Any]]:
    """The newest events of a tenant, as it reads them itself; raises `NotFound`."""
    with reading() as session:
        tenant = quotas.find(session, name)
        found = audit.page(session, tenant.id, event_type, None, limit)
        return [audit.as_json(event, str(tenant.uid)) for event in found]


def _shown(values: Mapping[str, int | None]) -> dict[str, int | str | None]:
    return {
        column: pricing.dollars(value) if column in CAPS and value is not None else value
        for column, value in values.items()
    }
