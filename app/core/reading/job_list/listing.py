"""A tenant's jobs as a person goes through them: newest first, by status and search, with a count of each.

A statement looks at no more than `SPAN` jobs of an index, so that a search takes no longer where a tenant has
made a million: its pages go on from there, and its counts say that they are of the newest.
"""

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, func, select, true
from sqlalchemy.orm import Session

from app.core.reading import jobs
from app.core.reading.job_list import search, status_filter
from app.core.reading.job_list.status_filter import StatusFilter
from app.core.reading.jobs import JobView
from models.job import Job

SPAN = 20_000  # jobs that a search looks through at once, in about 40 ms


@dataclass(frozen=True, slots=True)
class Query:
    """What a list shows."""

    status: StatusFilter = StatusFilter.ALL
    text: str = ""  # a search; "": none

    @property
    def wanted(self) -> tuple[ColumnElement[bool], ...]:
        return *status_filter.where(self.status), *search.where(self.text)


@dataclass(frozen=True, slots=True)
class JobPage:
    """`older`: the id before which the next page begins; None: this is the last.

    A page of a search may have fewer jobs than it could, or none, and not be the last: `SPAN` jobs were
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
    found = and_(true(), *search.where(text))
    newest = (
        select(
            Job.status.label("status"),
            status_filter.HAS_FAILURES.label("has_failures"),
            found.label("is_found"),
        )
        .where(*jobs.listed(tenant_id))
        .order_by(Job.uid.desc())
        .limit(SPAN)
        .subquery()
    )
    by = (newest.c.status, newest.c.has_failures, newest.c.is_found)
    counts: Counter[StatusFilter] = Counter(dict.fromkeys(StatusFilter, 0))
    seen = 0
    for status, has_failures, is_found, count in session.execute(select(*by, func.count()).group_by(*by)):
        seen += count
        if is_found:
            counts[status_filter.of(status, has_failures=bool(has_failures))] += count
            counts[StatusFilter.ALL] += count
    return Tally(counts, of_all=seen < SPAN)


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
    """Where the page of a query ends, however few jobs it has; without a search it is full before that."""
    return _horizon(session, tenant_id, before) if search.tidied(query.text) else None


def _horizon(session: Session, tenant_id: int, before: uuid.UUID | None) -> uuid.UUID | None:
    """The last of the `SPAN` jobs that are looked through; None: there are no others."""
    statement = select(Job.uid).where(*jobs.listed(tenant_id))
    if before is not None:
        statement = statement.where(Job.uid < before)
    edge = list(session.scalars(statement.order_by(Job.uid.desc()).offset(SPAN - 1).limit(2)))
    return edge[0] if len(edge) > 1 else None


def _after(horizon: uuid.UUID | None) -> tuple[ColumnElement[bool], ...]:
    return () if horizon is None else (Job.uid >= horizon,)
