"""The cost of a job's calls on each day (UTC): a tenant's spending is the sum of these few rows."""

import datetime as dt
from functools import cache
from typing import Any

from sqlalchemy import Date, bindparam, func, select
from sqlalchemy.orm import Session

from models import upsert
from models.base import now, utc_day
from models.job import Spend


def move(
    session: Session,
    job_id: int,
    tenant_id: int,
    *,
    cost: int = 0,
    unconfirmed: int = 0,
    day: dt.date | None = None,
) -> None:
    """Add pico-dollars to a job's day: today, by the database's clock, unless `day` is given.

    Call it in the transaction that moves `job_counts`, and after that.
    """
    if not cost and not unconfirmed:
        return
    connection = session.connection()
    row = {"job_id": job_id, "tenant_id": tenant_id, "cost": cost, "cost_unconfirmed": unconfirmed}
    connection.execute(_moving(connection.dialect.name), row | {"on_day": day})


@cache
def _moving(dialect: str) -> Any:
    """Built once, as every group of answers runs it."""
    statement = upsert.insert(dialect, Spend)
    row: dict[str, Any] = {"day": func.coalesce(bindparam("on_day", type_=Date), utc_day(now()))}
    row |= {name: bindparam(name) for name in ("job_id", "tenant_id", "cost", "cost_unconfirmed")}
    return statement.values(row).on_conflict_do_update(
        index_elements=[Spend.job_id, Spend.day],
        set_={
            "cost": Spend.cost + statement.excluded.cost,
            "cost_unconfirmed": Spend.cost_unconfirmed + statement.excluded.cost_unconfirmed,
        },
    )


def of_tenant(session: Session, tenant_id: int, since: dt.date) -> int:
    """Pico-dollars that a tenant has spent, or may have spent, since a day."""
    spent = func.coalesce(func.sum(Spend.cost + Spend.cost_unconfirmed), 0)
    return int(session.scalar(select(spent).where(Spend.tenant_id == tenant_id, Spend.day >= since)) or 0)


def today(session: Session) -> dt.date:
    """The day (UTC) by the database's clock: in PostgreSQL that of the transaction's start."""
    return session.scalars(select(now())).one().astimezone(dt.UTC).date()
