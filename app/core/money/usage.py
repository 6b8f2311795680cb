"""A tenant's usage, from the ledger: by model, by day, by job or by user."""

import datetime as dt
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal

from sqlalchemy import BigInteger, ColumnElement, Select, SQLColumnExpression, and_, cast, func, select, true
from sqlalchemy.orm import Session

from app.core.money.ledger import ANSWERED, UNCONFIRMED
from app.errors import BadInput
from app.providers.client import KINDS
from models.base import now, utc_day
from models.job import Job
from models.record import Attempt, Record, RecordStatus
from models.tenant import User

Grouping = Literal["model", "day", "job", "user"]
Key = str | dt.date | uuid.UUID


@dataclass(frozen=True, slots=True)
class Span:
    """When calls ended: from `since` on and before `until`."""

    since: dt.datetime
    until: dt.datetime


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals of calls. Money is in pico-dollars."""

    answered: int
    unconfirmed: int
    tokens: Mapping[str, int]
    server_tool_uses: Mapping[str, int]
    cost: int | None  # None: one of the answers has no price
    unpriced: int  # answers without a price
    cache_saved: int  # that the answers would have cost more without their providers' caches
    cost_unconfirmed: int | None  # the worst case; None: one of those calls has no price


@dataclass(frozen=True, slots=True)
class Usage:
    """A page of groups, and the totals of the whole span. `after` is None on the last page."""

    groups: list[tuple[Key, Sums]]
    total: Sums
    after: Key | None


def span(session: Session, since: dt.datetime | None, until: dt.datetime | None) -> Span:
    """The span between `since` and `until`; by default the current month, in UTC."""
    today = session.scalars(select(now())).one()
    month = today.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    next_month = (month + dt.timedelta(days=31)).replace(day=1)
    requested = Span(since or month, until or next_month)
    if requested.since >= requested.until:
        raise BadInput(
            f"`from` ({requested.since.isoformat()}) must be before `to` ({requested.until.isoformat()});"
            " by default they are the start and the end of the current month",
            [{"where": "from", "message": "must be before `to`"}],
        )
    return requested


def read(
    session: Session, tenant_id: int, group_by: Grouping, span: Span, after: Key | None, limit: int
) -> Usage:
    """Up to `limit` groups after `after`: jobs newest first, the others ascending.

    A user's calls are those of the jobs that its keys submitted.
    """
    return _Reading(session, tenant_id, group_by, span).page(after, limit)


class _Reading:
    def __init__(self, session: Session, tenant_id: int, group_by: Grouping, span: Span) -> None:
        self._session, self._tenant_id, self._group_by, self._span = session, tenant_id, group_by, span
        keys: dict[Grouping, SQLColumnExpression[Any]] = {
            "model": Attempt.model.expression,
            "day": utc_day(Attempt.ended_at),
            "job": Job.uid.expression,
            "user": User.name.expression,
        }
        self._key = keys[group_by]

    def page(self, after: Key | None, limit: int) -> Usage:
        rows = self._groups(after, limit + 1)
        more = len(rows) > limit
        rows = rows[:limit]
        tools = self._tools([row.key for row in rows])
        groups = [(row.key, _sums(row, tools[row.key])) for row in rows]
        return Usage(groups, self._total(), rows[-1].key if more else None)

    def _groups(self, after: Key | None, limit: int) -> Sequence[Any]:
        newest_first = self._group_by == "job"
        statement = (
            self._calls(self._key.label("key"), *_columns())
            .group_by(self._key)
            .order_by(self._key.desc() if newest_first else self._key)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(self._key < after if newest_first else self._key > after)
        return self._session.execute(statement).all()

    def _total(self) -> Sums:
        tool, uses = self._tool()
        statement = self._calls(tool.c.key, uses).join(tool, true()).group_by(tool.c.key)
        tools = {name: int(count) for name, count in self._session.execute(statement)}
        return _sums(self._session.execute(self._calls(*_columns())).one(), tools)

    def _tools(self, keys: Sequence[Key]) -> Mapping[Key, dict[str, int]]:
        """Uses of server tools, by group and name."""
        uses_by_key: dict[Key, dict[str, int]] = defaultdict(dict)
        tool, uses = self._tool()
        statement = (
            self._calls(self._key, tool.c.key, uses)
            .join(tool, true())
            .where(self._key.in_(keys))
            .group_by(self._key, tool.c.key)
        )
        for key, name, count in self._session.execute(statement):
            uses_by_key[key][name] = int(count)
        return uses_by_key

    def _tool(self) -> tuple[Any, ColumnElement[int]]:
        """The entries of `server_tool_uses` as rows, and the sum of their counts."""
        postgresql = self._session.get_bind().dialect.name == "postgresql"
        entries = func.json_each_text if postgresql else func.json_each
        tool = entries(Attempt.server_tool_uses).table_valued("key", "value", name="tool")
        return tool, func.sum(cast(tool.c.value, BigInteger))

    def _calls(self, *columns: Any) -> Select[Any]:
        """The tenant's calls that were sent and ended within the span."""
        statement = select(*columns).select_from(Attempt)
        if self._group_by in ("job", "user"):
            statement = statement.join(Job, Job.id == Attempt.job_id)
        if self._group_by == "user":
            statement = statement.join(User, User.id == Job.user_id)
        return statement.where(
            Attempt.tenant_id == self._tenant_id,
            Attempt.ended_at >= self._span.since,
            Attempt.ended_at < self._span.until,
            Attempt.outcome.in_([ANSWERED, UNCONFIRMED]),
        )


def _columns() -> list[Any]:
    answered, unconfirmed = Attempt.outcome == ANSWERED, Attempt.outcome == UNCONFIRMED
    no_price = Attempt.cost.is_(None)
    return [
        func.count().filter(answered).label("answered"),
        func.count().filter(unconfirmed).label("unconfirmed"),
        *(func.sum(getattr(Attempt, name)).label(name) for name in KINDS),
        func.sum(Attempt.cost).filter(answered).label("cost"),
        func.count().filter(answered, no_price).label("unpriced"),
        func.sum(Attempt.cache_saved).filter(answered).label("cache_saved"),
        func.sum(Attempt.cost).filter(unconfirmed).label("cost_unconfirmed"),
        func.count().filter(unconfirmed, no_price).label("unpriced_unconfirmed"),
    ]


def _sums(row: Any, tools: Mapping[str, int]) -> Sums:
    return Sums(
        answered=row.answered,
        unconfirmed=row.unconfirmed,
        tokens={name: int(getattr(row, name) or 0) for name in KINDS},
        server_tool_uses=dict(sorted(tools.items())),
        cost=None if row.unpriced else int(row.cost or 0),
        unpriced=row.unpriced,
        cache_saved=int(row.cache_saved or 0),
        cost_unconfirmed=None if row.unpriced_unconfirmed else int(row.cost_unconfirmed or 0),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """What a user's jobs took of a model on one day (UTC)."""

    day: dt.date
    model: str
    user: str
    sums: Sums


def of_next_day(session: Session, tenant_id: int, span: Span) -> list[Line]:
    """The lines of the first day of the span that has any calls, by model and user; none: there are no more.

    Their tools are left out: they are in the cost.
    """
    tenant, sent = Attempt.tenant_id == tenant_id, Attempt.outcome.in_([ANSWERED, UNCONFIRMED])
    first = session.scalar(
        select(Attempt.ended_at)
        .where(tenant, sent, Attempt.ended_at >= span.since, Attempt.ended_at < span.until)
        .order_by(Attempt.ended_at)
        .limit(1)
    )
    if first is None:
        return []
    day = first.astimezone(dt.UTC).date()
    rows = session.execute(
        select(Attempt.model, User.name.label("user"), *_columns())
        .join(Job, Job.id == Attempt.job_id)
        .join(User, User.id == Job.user_id)
        .where(tenant, sent, Attempt.ended_at >= first, Attempt.ended_at < min(span.until, end_of(day)))
        .group_by(Attempt.model, User.name)
        .order_by(Attempt.model, User.name)
    )
    return [Line(day, row.model, row.user, _sums(row, {})) for row in rows]


def end_of(day: dt.date) -> dt.datetime:
    """The first moment of the next day."""
    return dt.datetime.combine(day, dt.time(), dt.UTC) + dt.timedelta(days=1)


def of_successes(session: Session, job_ids: Iterable[int]) -> dict[int, int]:
    """Input and output tokens of the answers of each job that has any.

    Read from rows that stay when a job's content is removed.
    """
    latest = and_(
        Attempt.job_id == Record.job_id, Attempt.idx == Record.idx, Attempt.attempt == Record.attempts
    )
    tokens = reduce(add, (getattr(Attempt, kind) for kind in KINDS))
    rows = session.execute(
        select(Record.job_id, func.sum(tokens).label("tokens"))
        .join(Attempt, latest)
        .where(Record.job_id.in_(sorted(job_ids)), Record.status == RecordStatus.SUCCEEDED)
        .group_by(Record.job_id)
    )
    return {row.job_id: int(row.tokens) for row in rows}
