"""Which deliveries a process sends next: what is due, shared out among tenants and their addresses."""

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session

from app.core.webhooks import signing_secrets
from app.core.webhooks.endpoints import DELETED, OFF, give_up
from app.errors import Unavailable
from models.base import now
from models.webhook import DeliveryStatus, WebhookDelivery, WebhookEndpoint

# In flight of one process. An address that does not answer holds its own places alone, for 20 seconds each.
OF_A_TARGET = 8
OF_A_TENANT = 128
IN_ALL = 512

# Seconds after which another process sends what this one should have: more than an attempt takes.
LEASE = 60.0


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that this process is to send, now."""

    id: int
    tenant_id: int
    endpoint_id: int | None
    target: str
    uid: uuid.UUID
    event_id: str
    event_type: str
    url: str
    body: bytes
    attempts: int  # before this one
    secrets: Sequence[str]
    unsigned: str | None = None  # why there are no secrets


class InFlight:
    """What this process has in flight, by target and by tenant. One thread uses it; others get a copy."""

    def __init__(self, targets: Counter[str] | None = None, tenants: Counter[int] | None = None) -> None:
        self._targets = Counter(targets or {})
        self._tenants = Counter(tenants or {})

    def copy(self) -> "InFlight":
        return InFlight(self._targets, self._tenants)

    def has_room(self, tenant_id: int, target: str) -> bool:
        return (
            self._targets[target] < OF_A_TARGET
            and self._tenants[tenant_id] < OF_A_TENANT
            and self._tenants.total() < IN_ALL
        )

    def begun(self, tenant_id: int, target: str) -> None:
        self._targets[target] += 1
        self._tenants[tenant_id] += 1

    def ended(self, claim: Claim) -> None:
        self._targets -= Counter([claim.target])
        self._tenants -= Counter([claim.tenant_id])

    def full(self) -> list[str]:
        return [target for target, count in self._targets.items() if count >= OF_A_TARGET]


def claim(session: Session, in_flight: InFlight) -> list[Claim]:
    """Take what is due and has room, the tenants in turn and each one's addresses in turn.

    `in_flight` stays as it is, since a transaction may run twice.
    """
    room, chosen = in_flight.copy(), []
    for id, tenant_id, target in session.execute(_due(in_flight)):
        if room.has_room(tenant_id, target):
            room.begun(tenant_id, target)
            chosen.append(id)
    if not chosen:
        return []
    mine = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id.in_(chosen), *_IS_DUE)
        .values(next_at=now(LEASE))
        .returning(WebhookDelivery)
    ).all()
    return [claimed for delivery in mine if (claimed := _claim(session, delivery)) is not None]


_IS_DUE = (WebhookDelivery.status == DeliveryStatus.PENDING, WebhookDelivery.next_at <= now())


def _due(in_flight: InFlight) -> Select[int, int, str]:
    by_target = func.row_number().over(
        partition_by=(WebhookDelivery.tenant_id, WebhookDelivery.target), order_by=WebhookDelivery.next_at
    )
    waiting = (
        select(
            WebhookDelivery.id,
            WebhookDelivery.tenant_id,
            WebhookDelivery.target,
            WebhookDelivery.next_at,
            by_target.label("place"),
        )
        .where(*_IS_DUE, WebhookDelivery.target.not_in(in_flight.full()))
        .subquery()
    )
    turn = func.row_number().over(
        partition_by=waiting.c.tenant_id, order_by=(waiting.c.place, waiting.c.next_at)
    )
    turns = select(waiting, turn.label("turn")).where(waiting.c.place <= OF_A_TARGET).subquery()
    return (
        select(turns.c.id, turns.c.tenant_id, turns.c.target)
        .where(turns.c.turn <= OF_A_TENANT)
        .order_by(turns.c.turn, turns.c.next_at)
        .limit(IN_ALL)
    )


def _claim(session: Session, delivery: WebhookDelivery) -> Claim | None:
    """None for one whose endpoint was deleted or switched off while it was written: it is given up."""
    url = delivery.url
    if delivery.endpoint_id is not None:
        endpoint = session.get(WebhookEndpoint, delivery.endpoint_id)
        if endpoint is None or endpoint.disabled_at is not None:
            give_up(session, WebhookDelivery.id == delivery.id, DELETED if endpoint is None else OFF)
            return None
        url = endpoint.url
    secrets, unsigned = _secrets(session, delivery)
    return Claim(
        id=delivery.id,
        tenant_id=delivery.tenant_id,
        endpoint_id=delivery.endpoint_id,
        target=delivery.target,
        uid=delivery.uid,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        url=url,
        body=delivery.body,
        attempts=delivery.attempts,
        secrets=secrets,
        unsigned=unsigned,
    )


def _secrets(session: Session, delivery: WebhookDelivery) -> tuple[list[str], str | None]:
    try:
        found = signing_secrets.valid(session, delivery.tenant_id, delivery.endpoint_id)
        if not found and delivery.endpoint_id is None:
            found = [signing_secrets.of_tenant(session, delivery.tenant_id)]
    except Unavailable as error:
        return [], error.message
    else:
        return found, None
