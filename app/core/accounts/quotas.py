"""What a tenant may submit in any hour and any 24 hours, whatever the API, and what it may spend."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, not_, select
from sqlalchemy.orm import Session

from app.core.money import spend
from app.errors import NotFound, TooMany
from models.base import now
from models.job import Job, JobStatus
from models.tenant import Tenant

HOUR, DAY = 3_600, 86_400  # seconds


def admit(session: Session, tenant_id: int, records: int) -> Tenant:
    """The tenant, if it may submit `records` more now; raises `TooMany` with the seconds until it may.

    A tenant with a quota is locked until the transaction ends, or two submissions could both be the last.
    """
    tenant = session.get_one(Tenant, tenant_id)
    for quota, seconds, name in (
        (tenant.records_per_hour, HOUR, "records_per_hour"),
        (tenant.records_per_day, DAY, "records_per_day"),
    ):
        if quota is None:
            continue
        session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())
        used = _submitted(session, tenant_id, seconds)
        if used + records > quota:
            _refuse(session, tenant_id, name, quota, used, records, seconds)
    return tenant


def _submitted(session: Session, tenant_id: int, seconds: int) -> int:
    total = select(func.coalesce(func.sum(Job.total), 0)).where(*_of_span(tenant_id, seconds))
    return int(session.scalar(total) or 0)


def _of_span(tenant_id: int, seconds: int) -> tuple[ColumnElement[bool], ...]:
    abandoned = and_(Job.status == JobStatus.STAGING, Job.deleted_at.is_not(None))
    return Job.tenant_id == tenant_id, Job.created_at > now(-seconds), not_(abandoned)


def _refuse(
    session: Session, tenant_id: int, name: str, quota: int, used: int, records: int, seconds: int
) -> None:
    figures = {"quota": name, "allowed": quota, "used": used, "asked": records}
    summary = f"{name} is {quota:,}: {used:,} were submitted, and this would add {records:,}"
    if records > quota:
        raise TooMany(f"{summary}: split it into parts of at most {quota:,}", figures, retry_after=seconds)
    wait = _wait(session, tenant_id, used + records - quota, seconds)
    raise TooMany(f"{summary}: send it again in {wait:,} s", figures, retry_after=wait)


def _wait(session: Session, tenant_id: int, too_many: int, seconds: int) -> int:
    """Seconds until the oldest `too_many` records of the span no longer count."""
    time = session.scalars(select(now())).one()
    jobs = session.execute(
        select(Job.total, Job.created_at).where(*_of_span(tenant_id, seconds)).order_by(Job.created_at)
    )
    for job in jobs:
        too_many -= job.total
        if too_many <= 0:
            left = job.created_at + dt.timedelta(seconds=seconds) - time
            return max(1, int(left.total_seconds()) + 1)
    return seconds


@dataclass(frozen=True, slots=True)
class Listed:
    """A tenant and the pico-dollars that it has spent, unconfirmed ones included."""

    tenant: Tenant
    today: int
    month: int


def listed(session: Session) -> list[Listed]:
    """Every tenant, by name."""
    today = spend.today(session)
    return [
        Listed(
            tenant,
            spend.of_tenant(session, tenant.id, today),
            spend.of_tenant(session, tenant.id, today.replace(day=1)),
        )
        for tenant in session.scalars(select(Tenant).order_by(Tenant.name))
    ]


def change(session: Session, name: str, values: Mapping[str, int | None]) -> None:
    """Set quotas and caps of the tenant of this name, by their columns; raises `NotFound`."""
    tenant = session.scalars(select(Tenant).where(Tenant.name == name).with_for_update()).one_or_none()
    if tenant is None:
        raise NotFound(f"there is no tenant {name!r}: `penstock tenants list` lists them")
    for column, value in values.items():
        setattr(tenant, column, value)
    session.flush()
