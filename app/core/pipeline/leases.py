"""Leases of worker processes: taken, renewed, checked and found dead. See `models.lease` for the rule."""

import os
import socket
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Float,
    Integer,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from models.base import now
from models.lease import Lease

BEAT = 2.0  # seconds between two increments of the counter
LOOK_EVERY = 3.0  # seconds between two checks at least
STILL_LOOKS = 3  # checks that found the counter unchanged since the one before: four checks in all
THREADS = 64  # of a slice worker that does not say how many it has
UPLOAD = "upload by "  # prefix of the name of a process that only stores an upload
LAPSE = (
    8.0  # seconds without an increment after which a process starts nothing: before others declare it dead
)


def name() -> str:
    """This process, for people: its host and its pid."""
    return f"{socket.gethostname()}:{os.getpid()}"


def take(session: Session, *, works: bool = True, threads: int = 0) -> int:
    """A new lease for this process; `works`: it makes calls instead of only storing an upload.

    `threads` is how many slices it runs at once.
    """
    lease = Lease(name=name() if works else UPLOAD + name(), threads=threads)
    session.add(lease)
    session.flush()
    return lease.id


def renew(session: Session, lease_id: int, serving: frozenset[int]) -> bool:
    """Raise the counter and store which windows the process serves; False when the lease is dead."""
    values = {"renewed": lease_id, "windows": " ".join(map(str, sorted(serving)))}
    return session.connection().execute(_RENEW, values).rowcount == 1


def _not_looked_at_since(ago: float | ColumnElement[float]) -> ColumnElement[bool]:
    return and_(Lease.dead_at.is_(None), or_(Lease.looked_at.is_(None), Lease.looked_at <= now(ago)))


any_to_look_at = exists().where(_not_looked_at_since(-LOOK_EVERY))  # a live lease

# Built once: these statements are most of what an idle process runs.
_RENEW = (
    update(Lease)
    .where(Lease.id == bindparam("renewed"), Lease.dead_at.is_(None))
    .values(counter=Lease.counter + 1, serving=bindparam("windows"))
)
_STILL = case((Lease.counter == Lease.looked_counter, Lease.still + 1), else_=0)
_LOOK = (
    update(Lease)
    .where(_not_looked_at_since(bindparam("ago", type_=Float)))
    .values(looked_at=now(), looked_counter=Lease.counter, still=cast(_STILL, Integer))
    .returning(Lease.id, Lease.name, Lease.still)
)
_WORKS = (Lease.dead_at.is_(None), ~Lease.name.startswith(UPLOAD))
_STRENGTH = select(
    func.count().label("workers"), func.sum(func.coalesce(Lease.threads, THREADS)).label("threads")
).where(*_WORKS)
_CREW = select(Lease.id, Lease.still).where(*_WORKS)


def look(session: Session) -> dict[int, str]:
    """Check every live lease that was not just checked; returns the names of those now found dead."""
    rows = session.connection().execute(_LOOK, {"ago": -LOOK_EVERY})
    return {row.id: row.name for row in rows if row.still >= STILL_LOOKS}


def lives(lease_id: int) -> ColumnElement[bool]:
    """Whether a lease is alive, for use in the statement that precedes a claim."""
    return exists().where(Lease.id == lease_id, Lease.dead_at.is_(None))


class Strength(NamedTuple):
    """How many live processes make calls, at least one, and how many slices they run at once.

    With no worker, what is offered waits in the broker for the first one, as much as that will run.
    """

    workers: int
    threads: int


class Crew(NamedTuple):
    """The leases of live processes that make calls; `silent` have not been renewed since a check or more."""

    all: frozenset[int]
    silent: frozenset[int]


def crew(session: Session) -> Crew:
    found = session.execute(_CREW).all()
    return Crew(frozenset(row.id for row in found), frozenset(row.id for row in found if row.still))


def strength(session: Session) -> Strength:
    found = session.execute(_STRENGTH).one()
    return Strength(max(found.workers, 1), int(found.threads or 0) or THREADS)


def counters(session: Session) -> dict[int, int]:
    """The counter of each live lease."""
    return {
        row.id: row.counter
        for row in session.execute(select(Lease.id, Lease.counter).where(Lease.dead_at.is_(None)))
    }


def end(session: Session, lease_id: int) -> bool:
    """Mark the lease dead; False if it already was."""
    ended = session.execute(
        update(Lease).where(Lease.id == lease_id, Lease.dead_at.is_(None)).values(dead_at=now(), serving="")
    )
    assert isinstance(ended, CursorResult)
    return ended.rowcount == 1


def served_windows(session: Session) -> frozenset[int]:
    """The windows that live processes serve, as of their last beat."""
    lists = session.scalars(select(Lease.serving).where(Lease.dead_at.is_(None), Lease.serving != ""))
    return frozenset(window for served in lists for window in _windows(served))


def serving(session: Session, lease_id: int) -> frozenset[int]:
    """The windows that the process served as of its last beat."""
    return _windows(session.scalar(select(Lease.serving).where(Lease.id == lease_id)) or "")


def _windows(served: str) -> frozenset[int]:
    return frozenset(map(int, served.split()))
