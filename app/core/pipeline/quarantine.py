"""Records under suspicion: what was in several process deaths is asked alone from then on.

A death blames nobody, so most of the records that share three of them are bystanders. Which one kills shows
in a process that has nothing else in flight. Until it is asked there, such a record waits without a time:
whoever claims what is due finds it in no way.
"""

from sqlalchemy import ColumnElement, and_, case, func, null, select
from sqlalchemy.orm import Session

from models.base import now
from models.record import Record, RecordStatus

SHARED = 3  # deaths after which a record is asked alone
ALONE = 2  # more of them, with nothing else in flight, after which it is asked no more

is_waiting = and_(Record.status == RecordStatus.WAITING, Record.not_before.is_(None))


def waits(seconds: float | ColumnElement[float]) -> ColumnElement[object]:
    """The `not_before` of a record that goes back for `seconds`; none for one under suspicion."""
    return case((Record.deaths >= SHARED, null()), else_=now(seconds))


def as_before() -> ColumnElement[int]:
    """The `deaths` of a record that is retried: what was asked alone is asked alone again."""
    return case((Record.deaths > SHARED, SHARED), else_=Record.deaths)


def is_killer(deaths: int) -> bool:
    """Whether a record that was in so many deaths is to blame for the last ones."""
    return deaths >= SHARED + ALONE


def count(session: Session, job_id: int, at_most: int) -> int:
    """How many records of the job wait to be asked alone, counted up to `at_most`."""
    found = select(Record.idx).where(Record.job_id == job_id, is_waiting).limit(at_most).subquery()
    return session.scalar(select(func.count()).select_from(found)) or 0
