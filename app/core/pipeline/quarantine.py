"""Suspected records: one that was in flight in several process deaths is asked in isolation from then on.

A death does not show which record caused it, so most records that share three deaths are bystanders. The
cause shows in a process that has nothing else in flight. Until it is asked there, a suspected record waits
without a `not_before`: claims of due records never find it.
"""

from sqlalchemy import ColumnElement, and_, case, func, null, select
from sqlalchemy.orm import Session

from models.base import now
from models.record import Record, RecordStatus

SHARED_DEATHS = 3  # after which a record is asked in isolation
ISOLATED_DEATHS = 2  # more, with nothing else in flight, after which it is not asked again

is_waiting = and_(Record.status == RecordStatus.WAITING, Record.not_before.is_(None))


def waits(seconds: float | ColumnElement[float]) -> ColumnElement[object]:
    """The `not_before` of a record that is given back for `seconds`; null for a suspected one."""
    return case((Record.deaths >= SHARED_DEATHS, null()), else_=now(seconds))


def as_before() -> ColumnElement[int]:
    """The `deaths` of a record that is retried: what was asked in isolation is asked so again."""
    return case((Record.deaths > SHARED_DEATHS, SHARED_DEATHS), else_=Record.deaths)


def is_killer(deaths: int) -> bool:
    """Whether a record that was in so many deaths caused the last ones."""
    return deaths >= SHARED_DEATHS + ISOLATED_DEATHS


def count(session: Session, job_id: int, at_most: int) -> int:
    """How many records of the job wait to be asked in isolation, counted up to `at_most`."""
    waiting = select(Record.idx).where(Record.job_id == job_id, is_waiting).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(waiting)) or 0
