"""Who sweeps: beat, or for as long as it does not, one of the slice workers."""

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from models.base import now
from models.sweep import Sweep

STALE = 30.0  # seconds without a sweep after which a worker stands in; beat asks for one every five


_BY_BEAT = update(Sweep).values(swept_at=now(), stand_in=None)


def by_beat(session: Session) -> None:
    """Beat's sweep begins: whoever stood in for it stops."""
    session.connection().execute(_BY_BEAT)


def stands_in(session: Session, worker: str) -> bool:
    """Whether it is for `worker` to tick and sweep now: it did so before, or nobody has for long."""
    moved = session.execute(
        update(Sweep)
        .where(or_(Sweep.stand_in == worker, Sweep.swept_at <= now(-STALE)))
        .values(swept_at=now(), stand_in=worker)
    )
    assert isinstance(moved, CursorResult)
    return moved.rowcount == 1


def stand_in(session: Session) -> str | None:
    """The worker that has swept of late in place of beat."""
    return session.scalar(select(Sweep.stand_in).where(Sweep.swept_at > now(-STALE)))
