"""Which process sweeps: beat, or while it is missing, one of the slice workers."""

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from models.base import now
from models.sweep import Sweep

STALE = 30.0  # seconds without a sweep after which a worker stands in; beat requests one every five


# Seconds after a sweep in which none is due: more than half of beat's five, so that of two beats one leads.
SOON = 3.0
_BY_BEAT = (
    update(Sweep)
    .where(or_(Sweep.stand_in.is_not(None), Sweep.swept_at <= now(-SOON)))
    .values(swept_at=now(), stand_in=None)
)


def by_beat(session: Session) -> bool:
    """Record that beat's sweep begins: a worker that stood in for it stops.

    False if there has just been one: then a second beat runs, whose requests would double the work.
    """
    begun = session.connection().execute(_BY_BEAT)
    return begun.rowcount == 1


def stands_in(session: Session, worker: str) -> bool:
    """Whether `worker` is to tick and sweep now: it did so before, or no process has for long."""
    moved = session.execute(
        update(Sweep)
        .where(or_(Sweep.stand_in == worker, Sweep.swept_at <= now(-STALE)))
        .values(swept_at=now(), stand_in=worker)
    )
    assert isinstance(moved, CursorResult)
    return moved.rowcount == 1


def last(session: Session) -> tuple[str, float]:
    """Who swept last, `beat` or a worker as its `stand_in`, and how many seconds ago."""
    row = session.execute(select(Sweep.swept_at, Sweep.stand_in, now().label("time"))).one()
    return "beat" if row.stand_in is None else "stand_in", (row.time - row.swept_at).total_seconds()


def stand_in(session: Session) -> str | None:
    """The worker that has recently swept in place of beat."""
    return session.scalar(select(Sweep.stand_in).where(Sweep.swept_at > now(-STALE)))
