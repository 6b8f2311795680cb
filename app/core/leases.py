"""Leases of worker processes: taken, raised, looked at, and found dead. See `models.lease` for the rule."""

import os
import socket

from sqlalchemy import ColumnElement, Float, Integer, bindparam, case, cast, exists, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from models.base import now
from models.lease import Lease

BEAT = 2.0  # seconds between two raises of the counter
LOOK_EVERY = 3.0  # seconds between two looks at least
STILL_LOOKS = 3  # that found the counter where the look before had seen it: four looks in all
UPLOAD = "upload by "  # before the name of a process that only stores one
LAPSE = 8.0  # seconds without a raise after which a process starts nothing: before others take it for dead


def name() -> str:
    """This process, for people: its host and its number there."""
    return f"{socket.gethostname()}:{os.getpid()}"


def take(session: Session, *, works: bool = True) -> int:
    """A new lease for this process; `works`: it makes calls, and does not only store an upload."""
    lease = Lease(name=name() if works else UPLOAD + name())
    session.add(lease)
    session.flush()
    return lease.id


def renew(session: Session, lease_id: int, serving: frozenset[int]) -> bool:
    """Raise the counter and say which windows the process has slices of; False when the lease is dead."""
    renewed = session.execute(
        update(Lease)
        .where(Lease.id == lease_id, Lease.dead_at.is_(None))
        .values(counter=Lease.counter + 1, serving=" ".join(map(str, sorted(serving))))
    )
    assert isinstance(renewed, CursorResult)
    return renewed.rowcount == 1


# Made once: the tick runs them every second.
_STILL = case((Lease.counter == Lease.looked_counter, Lease.still + 1), else_=0)
_LOOK = (
    update(Lease)
    .where(
        Lease.dead_at.is_(None),
        or_(Lease.looked_at.is_(None), Lease.looked_at <= now(bindparam("ago", type_=Float))),
    )
    .values(looked_at=now(), looked_counter=Lease.counter, still=cast(_STILL, Integer))
)
_DEAD = select(Lease.id).where(Lease.dead_at.is_(None), Lease.still >= STILL_LOOKS)
_WORKERS = select(func.count()).where(Lease.dead_at.is_(None), ~Lease.name.startswith(UPLOAD))
_NEARLY_DEAD = select(Lease.id, Lease.name).where(Lease.dead_at.is_(None), Lease.still >= STILL_LOOKS - 1)


def look(session: Session) -> list[int]:
    """Look at every live lease that was not looked at just now; returns those that are dead by it."""
    session.connection().execute(_LOOK, {"ago": -LOOK_EVERY})
    return list(session.scalars(_DEAD))


def lives(lease_id: int) -> ColumnElement[bool]:
    """Whether a lease is not dead, to be asked in the statement that leads to a claim."""
    return exists().where(Lease.id == lease_id, Lease.dead_at.is_(None))


def nearly_dead(session: Session) -> dict[int, str]:
    """The names of the leases that the next look finds dead, unless they move."""
    rows = session.execute(_NEARLY_DEAD)
    return {row.id: row.name for row in rows}


def count(session: Session) -> int:
    """How many processes live that make calls."""
    return session.scalar(_WORKERS) or 0


def counters(session: Session) -> dict[int, int]:
    """How far each live lease has counted."""
    return {
        row.id: row.counter
        for row in session.execute(select(Lease.id, Lease.counter).where(Lease.dead_at.is_(None)))
    }


def end(session: Session, lease_id: int) -> bool:
    """Write that the lease is dead; False when it was already."""
    ended = session.execute(
        update(Lease).where(Lease.id == lease_id, Lease.dead_at.is_(None)).values(dead_at=now(), serving="")
    )
    assert isinstance(ended, CursorResult)
    return ended.rowcount == 1


def served_windows(session: Session) -> frozenset[int]:
    """The windows that live processes have slices of, as of their last beat."""
    lists = session.scalars(select(Lease.serving).where(Lease.dead_at.is_(None), Lease.serving != ""))
    return frozenset(int(window) for served in lists for window in served.split())
