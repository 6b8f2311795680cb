"""The cost of a job's calls on each day (UTC): a tenant's spending is the sum of these few rows.

They agree with the ledger to the pico-dollar. They know neither calls nor tokens, and of models only that of
the job: `usage` sums the ledger itself, which takes a hundred times as long.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from sqlalchemy import Date, SQLColumnExpression, bindparam, desc, func, select
from sqlalchemy.orm import Session

from models import upsert
from models.base import first_uid, now, utc_day
from models.job import Job, JobCounts, Spend
from models.tenant import User

Key = dt.date | str


@dataclass(frozen=True, slots=True)
class Days:
    """From `first` to `last`, both of them included."""

    first: dt.date
    last: dt.date


@dataclass(frozen=True, slots=True)
class Spent:
    """Pico-dollars of a day, of a model or a user, or since a day."""

    key: Key
    cost: int
    unconfirmed: int


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


def of_tenant(session: Session, tenant_id: int, day: dt.date) -> int:
    """Pico-dollars that a tenant has spent, or may have spent, since a day."""
    spent = since(session, tenant_id, day)
    return spent.cost + spent.unconfirmed


def since(session: Session, tenant_id: int, day: dt.date) -> Spent:
    """What a tenant has spent since a day, and what it may have spent besides."""
    cost, unconfirmed = (func.coalesce(func.sum(each), 0) for each in (Spend.cost, Spend.cost_unconfirmed))
    found = session.execute(
        select(cost.label("cost"), unconfirmed.label("unconfirmed")).where(
            Spend.tenant_id == tenant_id, Spend.day >= day
        )
    ).one()
    return Spent(day, int(found.cost), int(found.unconfirmed))


def by_day(session: Session, tenant_id: int, days: Days) -> list[Spent]:
    """Each day on which anything was spent, in their order."""
    return _summed(session, tenant_id, days, Spend.day)


def largest(
    session: Session, tenant_id: int, days: Days, by: Literal["model", "user"], limit: int
) -> list[Spent]:
    """Up to `limit` models of jobs, or users that submitted them, by what they cost, the largest first."""
    return _summed(session, tenant_id, days, Job.model if by == "model" else User.name, limit)


def _summed(
    session: Session, tenant_id: int, days: Days, key: SQLColumnExpression[Any], limit: int | None = None
) -> list[Spent]:
    cost, unconfirmed = func.sum(Spend.cost), func.sum(Spend.cost_unconfirmed)
    columns: list[Any] = [key.label("key"), cost.label("cost"), unconfirmed.label("unconfirmed")]
    statement = (
        select(*columns)
        .where(Spend.tenant_id == tenant_id, Spend.day.between(days.first, days.last))
        .group_by(key)
        .order_by(key if limit is None else desc(cost + unconfirmed), key)
        .limit(limit)
    )
    if key is not Spend.day:
        statement = statement.join(Job, Job.id == Spend.job_id).join(User, User.id == Job.user_id)
    return [Spent(row.key, int(row.cost), int(row.unconfirmed)) for row in session.execute(statement)]


def unpriced(session: Session, tenant_id: int, days: Days, limit: int) -> Sequence[tuple[str, int]]:
    """Models of jobs submitted on these days, and how many of their answers have no price; the most first.

    Such answers are in no sum of money.
    """
    start, end = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (days.first, days.last))
    answers = func.sum(JobCounts.unpriced)
    rows = session.execute(
        select(Job.model, answers)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.uid >= first_uid(start),
            Job.uid < first_uid(end + dt.timedelta(days=1)),
            JobCounts.unpriced > 0,
        )
        .group_by(Job.model)
        .order_by(desc(answers), Job.model)
        .limit(limit)
    )
    return [(model, int(count)) for model, count in rows]


def today(session: Session) -> dt.date:
    """The day (UTC) by the database's clock: in PostgreSQL that of the transaction's start."""
    return session.scalars(select(now())).one().astimezone(dt.UTC).date()
