"""Caps: the worst case of each call is reserved in rows before it leaves, so that no cap is ever exceeded.

Money spent, the possible cost of unconfirmed calls and the reservations of calls in flight
(`record.reserved`, while they run) count against a cap. A claim sums them under a lock of the row that the
cap is for, so two claims never reserve the same money; reservations are read before spending, so a call that
ends in between counts twice rather than not at all.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from app.core.money import pricing, spend
from app.core.requests import build, job_context
from app.core.requests.claim import Claim
from app.errors import RequestRejected
from app.ingest import documents
from app.ingest.documents import Block
from app.ingest.values import to_json
from models.job import Job, JobCounts
from models.record import Record, RecordStatus
from models.tenant import Tenant

NO_BOUND = -1  # the worst case of a call whose cost has no maximum


@dataclass(frozen=True, slots=True)
class Caps:
    """The caps in force for a job, in pico-dollars; None: no cap of that kind."""

    job_id: int
    tenant_id: int
    job: int | None
    day: int | None
    month: int | None


@dataclass(frozen=True, slots=True)
class Room:
    """What is left under the tightest cap, and how its owner can raise it."""

    left: int
    cap: int
    spent: int
    reserved: int
    raise_it: str


_CAPS = (
    select(Job.tenant_id, Job.max_cost, Tenant.daily_cap, Tenant.monthly_cap)
    .join(Tenant, Tenant.id == Job.tenant_id)
    .where(Job.id == bindparam("job"))
)


def caps_of(session: Session, job_id: int) -> Caps | None:
    """The job's caps as of now, even if this transaction waited for locks; None: it has none."""
    row = session.connection().execute(_CAPS, {"job": job_id}).one()
    caps = Caps(job_id, row.tenant_id, row.max_cost, row.daily_cap, row.monthly_cap)
    return None if caps.job is caps.day is caps.month is None else caps


def fitting(session: Session, caps: Caps, candidates: Sequence[Claim]) -> tuple[list[Claim], int | None]:
    """The first of `candidates` whose worst cases fit together, each set as the claim's `reserved`.

    No one else can reserve from that room until the transaction ends; the caller stores the reservations in
    it. Also returns what the next candidate needs (pico-dollars, or `NO_BOUND`), if it does not fit.
    """
    if not candidates:
        return [], None
    worst = [worst_case(claim) for claim in candidates]
    left = find_room(session, caps).left
    for position, (claim, needed) in enumerate(zip(candidates, worst, strict=True)):
        if needed == NO_BOUND or needed > left:
            return list(candidates[:position]), needed
        claim.reserved = needed
        left -= needed
    return list(candidates), None


def worst_case(claim: Claim) -> int:
    """Pico-dollars that the call of a record may cost at most; `NO_BOUND` where there is no maximum."""
    job = job_context.of(claim.job_id)
    if not job.asks:
        return 0
    if job.unbounded is not None:
        return NO_BOUND
    try:
        attached: Block | None = {} if documents.read(claim.body) else None
        params = build.build(job, claim.body, claim.max_tokens, claim.history, attached)
    except RequestRejected:
        return 0  # it fails without a call
    price = pricing.price_at(str(params["model"]), dt.datetime.now(dt.UTC))
    if price is None:
        return NO_BOUND
    return price.worst_case(
        len(to_json(params)) + (0 if attached is None else claim.held_bytes),
        int(params.get("max_tokens", 0)),
        us_only=params.get("inference_geo") == "us",
        fast=params.get("speed") == "fast",
    )


def find_room(session: Session, caps: Caps, *, lock: bool = True) -> Room:
    """What is left under the caps; with `lock` no one else reserves from it until the transaction ends."""
    rooms = []
    if caps.job is not None:
        if lock:
            session.execute(select(JobCounts.job_id).where(JobCounts.job_id == caps.job_id).with_for_update())
        reserved = _reserved(session, Record.job_id == caps.job_id)
        spent = session.scalars(
            select(JobCounts.cost + JobCounts.cost_unconfirmed).where(JobCounts.job_id == caps.job_id)
        ).one()
        rooms.append(
            Room(caps.job - spent - reserved, caps.job, spent, reserved, "max_cost of the job (PATCH)")
        )
    if caps.day is not None or caps.month is not None:
        tenant = select(Tenant.name).where(Tenant.id == caps.tenant_id)
        name = session.scalar(tenant.with_for_update() if lock else tenant)
        own = select(Job.id).where(Job.tenant_id == caps.tenant_id)
        reserved = _reserved(session, Record.job_id.in_(own))
        today = spend.today(session)
        for cap, since, option in (
            (caps.day, today, "--daily-cap"),
            (caps.month, today.replace(day=1), "--monthly-cap"),
        ):
            if cap is not None:
                spent = spend.of_tenant(session, caps.tenant_id, since)
                how = f"the tenant's cap (penstock tenants set {name} {option})"
                rooms.append(Room(cap - spent - reserved, cap, spent, reserved, how))
    return min(rooms, key=lambda room: room.left)


def _reserved(session: Session, of: object) -> int:
    total = select(func.coalesce(func.sum(Record.reserved), 0)).where(
        of,  # type: ignore[arg-type]
        Record.status == RecordStatus.RUNNING,
    )
    return int(session.scalar(total) or 0)
