"""A tenant's jobs as a person goes through them: newest first, by status and search, with a count of each.

A statement looks at no more than `SPAN` jobs, so that a search takes no longer where a tenant has made a
million: its pages go on from there, and its counts say that they are of the newest.
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Label,
    SQLColumnExpression,
    Subquery,
    and_,
    func,
    select,
    true,
)
from sqlalchemy.orm import Session

from app.core.reading import jobs
from app.core.reading.job_list import search, status_filter
from app.core.reading.job_list.status_filter import StatusFilter
from app.core.reading.jobs import JobView
from models.job import Job, JobStatus

SPAN = 20_000  # jobs that a search looks through at once, in about 40 ms


@dataclass(frozen=True, slots=True)
class Query:
    """What a list shows."""

    status: StatusFilter = StatusFilter.ALL
    text: str = ""  # a search; "": none

    @property
    def is_sparse(self) -> bool:
        """Whether a page of it may be a few of very many jobs, each of which has to be looked at."""
        return self.status == StatusFilter.WITH_FAILURES or bool(search.tidied(self.text))

    @property
    def wanted(self) -> tuple[ColumnElement[bool], ...]:
        return *status_filter.where(self.status), *search.where(self.text)


@dataclass(frozen=True, slots=True)
class JobPage:
    """`older`: the id before which the next page begins; None: this is the last.

    A page of a sparse query may have fewer jobs than it could, or none, and not be the last: `SPAN` jobs were
    looked through for it.
    """

    jobs: Sequence[JobView]
    older: uuid.UUID | None


@dataclass(frozen=True, slots=True)
class Tally:
    """How many jobs each filter shows; `of_all`: of all there are, or only of the newest `SPAN`."""

    counts: Mapping[StatusFilter, int]
    of_all: bool


def page(session: Session, tenant_id: int, query: Query, before: uuid.UUID | None, limit: int) -> JobPage:
    """Up to `limit` of the tenant's jobs that the query shows, from the one made before `before` on."""
    horizon = _edge(session, tenant_id, query, before)
    found = _ids(session, tenant_id, query, before, horizon, limit + 1)
    views = sorted(jobs.watched(session, found[:limit]), key=lambda view: view.uid, reverse=True)
    return JobPage(views, views[-1].uid if len(found) > limit else horizon)


def page_ids(
    session: Session, tenant_id: int, query: Query, before: uuid.UUID | None, limit: int
) -> list[int]:
    """Which jobs such a page would have, in its order: to see whether it still has the same."""
    return _ids(session, tenant_id, query, before, _edge(session, tenant_id, query, before), limit)


def newest(session: Session, tenant_id: int, query: Query, limit: int) -> list[uuid.UUID]:
    """The ids of up to `limit` jobs that the query shows, newest first, of the newest `SPAN`."""
    horizon = _horizon(session, tenant_id, None)
    statement = select(Job.uid).where(*jobs.listed(tenant_id), *query.wanted, *_after(horizon))
    return list(session.scalars(statement.order_by(Job.uid.desc()).limit(limit)))


def tally(session: Session, tenant_id: int, text: str) -> Tally:
    """How many jobs each filter shows of those that the search `text` finds."""
    # Without a search it reads an index and no rows.
    seen = _seen(tenant_id, Job.status, (Job.failures > 0).label("failed"), _is_found(text))
    by = (seen.c.status, seen.c.failed, seen.c.is_found)
    groups = session.execute(select(*by, func.count()).group_by(*by)).all()
    counts: Counter[StatusFilter] = Counter(dict.fromkeys(StatusFilter, 0))
    for status, failed, is_found, count in groups:
        if is_found:
            has_failures = status == JobStatus.COMPLETED and bool(failed)
            counts[status_filter.of(status, has_failures=has_failures)] += count
            counts[StatusFilter.ALL] += count
    if any(row.status == JobStatus.COMPLETED and row.failed is None for row in groups):
        earlier = _failed_in_an_earlier_release(session, tenant_id, text)
        counts[StatusFilter.WITH_FAILURES] += earlier
        counts[StatusFilter.COMPLETED] -= earlier
    return Tally(counts, of_all=sum(count for *_, count in groups) < SPAN)


def _failed_in_an_earlier_release(session: Session, tenant_id: int, text: str) -> int:
    """Jobs with failures, which are in their counts alone."""
    has_failures = status_filter.HAS_FAILURES.label("has_failures")
    seen = _seen(tenant_id, Job.failures, has_failures, _is_found(text))
    where = (seen.c.failures.is_(None), seen.c.has_failures, seen.c.is_found)
    return session.scalars(select(func.count()).select_from(seen).where(*where)).one()


def _seen(tenant_id: int, *columns: SQLColumnExpression[Any]) -> Subquery:
    statement = select(*columns).where(*jobs.listed(tenant_id))
    return statement.order_by(Job.uid.desc()).limit(SPAN).subquery()


def _is_found(text: str) -> Label[bool]:
    return and_(true(), *search.where(text)).label("is_found")


def _ids(
    session: Session,
    tenant_id: int,
    query: Query,
    before: uuid.UUID | None,
    horizon: uuid.UUID | None,
    limit: int,
) -> list[int]:
    statement = select(Job.id).where(*jobs.listed(tenant_id), *query.wanted, *_after(horizon))
    if before is not None:
        statement = statement.where(Job.uid < before)
    return list(session.scalars(statement.order_by(Job.uid.desc()).limit(limit)))


def _edge(session: Session, tenant_id: int, query: Query, before: uuid.UUID | None) -> uuid.UUID | None:
    """Where the page of a query ends, however few jobs it has."""
    return _horizon(session, tenant_id, before) if query.is_sparse else None


def _horizon(session: Session, tenant_id: int, before: uuid.UUID | None) -> uuid.UUID | None:
    """The last of the `SPAN` jobs that are looked through; None: there are no others."""
    statement = select(Job.uid).where(*jobs.listed(tenant_id))
    if before is not None:
        statement = statement.where(Job.uid < before)
    edge = list(session.scalars(statement.order_by(Job.uid.desc()).offset(SPAN - 1).limit(2)))
    return edge[0] if len(edge) > 1 else None


def _after(horizon: uuid.UUID | None) -> tuple[ColumnElement[bool], ...]:
    return () if horizon is None else (Job.uid >= horizon,)
