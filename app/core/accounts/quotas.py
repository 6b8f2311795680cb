"""What a tenant may submit in any hour and any 24 hours, whatever the API, and what it may spend."""

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, not_, select, union_all
from sqlalchemy.orm import Session

from app.core.json_text import timestamp
from app.core.money import spend
from app.core.money.spend import Spent
from app.errors import NotFound, TooMany
from models.base import now
from models.file import File
from models.job import Job, JobStatus
from models.tenant import Tenant

HOUR, DAY = "hour", "24 hours"
SECONDS = {HOUR: 3_600, DAY: 86_400}


@dataclass(frozen=True, slots=True)
class Quota:
    """A column of `Tenant`, the span that it is for, what of a job counts and what of a file."""

    name: str
    span: str
    counted: ColumnElement[int]
    of_a_file: ColumnElement[int] | None = None

    @property
    def seconds(self) -> int:
        return SECONDS[self.span]

    @property
    def unit(self) -> str:
        return self.name.partition("_")[0]


# Jobs of an earlier release did not count their bytes.
BYTES: ColumnElement[int] = func.coalesce(Job.content_bytes, 0)
RECORDS = cast("ColumnElement[int]", Job.total)
OF_RECORDS = (Quota("records_per_hour", HOUR, RECORDS), Quota("records_per_day", DAY, RECORDS))
OF_FILES = cast("ColumnElement[int]", File.bytes)
OF_BYTES = (Quota("bytes_per_hour", HOUR, BYTES, OF_FILES), Quota("bytes_per_day", DAY, BYTES, OF_FILES))


def admit(session: Session, tenant_id: int, records: int, size: int) -> Tenant:
    """The tenant, if it may submit so many records and bytes, or upload so many bytes, more now.

    Raises `TooMany` with the seconds until it may. A tenant with a quota is locked until the transaction
    ends, or two submissions could both be the last.
    """
    tenant = session.get_one(Tenant, tenant_id)
    for quotas, asked in ((OF_RECORDS, records), (OF_BYTES, size)):
        for quota in quotas:
            allowed: int | None = getattr(tenant, quota.name)
            if allowed is None or not asked:
                continue
            session.execute(select(Tenant.id).where(Tenant.id == tenant_id).with_for_update())
            used = _submitted(session, tenant_id, quota)
            if used + asked > allowed:
                _refuse(session, tenant_id, quota, allowed, used, asked)
    return tenant


def _submitted(session: Session, tenant_id: int, quota: Quota) -> int:
    counted = _counted(tenant_id, quota).subquery()
    return int(session.scalar(select(func.coalesce(func.sum(counted.c.counted), 0))) or 0)


def _counted(tenant_id: int, quota: Quota) -> Select[int, dt.datetime] | CompoundSelect[int, dt.datetime]:
    """What counts of each submission of the span, and when it was made."""
    jobs = select(quota.counted.label("counted"), Job.created_at).where(*_of_span(tenant_id, quota.seconds))
    if quota.of_a_file is None:
        return jobs
    files = select(quota.of_a_file.label("counted"), File.created_at).where(
        File.tenant_id == tenant_id, File.created_at > now(-quota.seconds)
    )
    return union_all(jobs, files)


def _of_span(tenant_id: int, seconds: int) -> tuple[ColumnElement[bool], ...]:
    abandoned = and_(Job.status == JobStatus.STAGING, Job.deleted_at.is_not(None))
    return Job.tenant_id == tenant_id, Job.created_at > now(-seconds), not_(abandoned)


def _refuse(session: Session, tenant_id: int, quota: Quota, allowed: int, used: int, asked: int) -> None:
    """Say what fits now, and when all of it will, or the largest part that ever does."""
    part, fits = min(asked, allowed), max(0, allowed - used)
    wait, free_at = _wait(session, tenant_id, quota, used + part - allowed)
    said = (
        f"{quota.name} is {allowed:,}: {used:,} were submitted in the last {quota.span}, and this would add"
        f" {asked:,}. {_so_many(fits, quota.unit)} now"
    )
    if wait:
        said += f", {part:,} in {wait:,} s, at {free_at:%Y-%m-%d %H:%M:%S} UTC"
    if part < asked:
        said += f": split it into parts of at most {allowed:,}"
    figures = {"quota": quota.name, "allowed": allowed, "used": used, "asked": asked}
    raise TooMany(
        said, figures | {"fits_now": fits, "free_at": timestamp(free_at)}, retry_after=wait or quota.seconds
    )


def _so_many(count: int, unit: str) -> str:
    return f"1 {unit.removesuffix('s')} fits" if count == 1 else f"{count:,} {unit} fit"


def _wait(session: Session, tenant_id: int, quota: Quota, too_many: int) -> tuple[int, dt.datetime]:
    """In how many seconds, and when, the oldest `too_many` records (bytes) of the span no longer count."""
    time = session.scalars(select(now())).one()
    if too_many <= 0:
        return 0, time
    counted_at = _counted(tenant_id, quota).subquery()
    free_from = time
    for counted, created_at in session.execute(select(counted_at).order_by(counted_at.c.created_at)):
        too_many -= counted
        if too_many <= 0:
            free_from = created_at
            break
    # The first whole second at which it is.
    free_at = free_from.replace(microsecond=0) + dt.timedelta(seconds=quota.seconds + 1)
    return math.ceil((free_at - time).total_seconds()), free_at


@dataclass(frozen=True, slots=True)
class Listed:
    """A tenant and what it has spent."""

    tenant: Tenant
    today: Spent
    month: Spent


def listed(session: Session) -> list[Listed]:
    """Every tenant, by name."""
    today = spend.today(session)
    return [
        Listed(
            tenant,
            spend.since(session, tenant.id, today),
            spend.since(session, tenant.id, today.replace(day=1)),
        )
        for tenant in session.scalars(select(Tenant).order_by(Tenant.name))
    ]


def change(
    session: Session, name: str, values: Mapping[str, int | None]
) -> tuple[Tenant, Mapping[str, int | None]]:
    """Set quotas and caps of the tenant of this name, by their columns; raises `NotFound`.

    Returns the tenant, and what these columns held before.
    """
    tenant = find(session, name, for_update=True)
    before = {column: getattr(tenant, column) for column in values}
    for column, value in values.items():
        setattr(tenant, column, value)
    session.flush()
    return tenant, before


def find(session: Session, name: str, *, for_update: bool = False) -> Tenant:
    """Raises `NotFound`."""
    wanted = select(Tenant).where(Tenant.name == name)
    found = session.scalars(wanted.with_for_update() if for_update else wanted).one_or_none()
    if found is None:
        raise NotFound(f"there is no tenant {name!r}: `penstock tenants list` lists them")
    return found
