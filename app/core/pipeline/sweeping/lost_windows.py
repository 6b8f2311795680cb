"""Windows that are lost: no message will bring their records to a worker any more."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, literal, not_, or_, select
from sqlalchemy.orm import Session

from app.core.pipeline import leases, windows
from models.base import any_of, now
from models.job import Job, JobStatus
from models.record import Window

UNPUBLISHED = 5.0  # seconds after which a window that was not marked published is sent again
SILENT = 10.0  # seconds without a claim, with no slice alive and the queue empty
STARVED = 300.0  # seconds without a claim, however long the queue


@dataclass(frozen=True, slots=True)
class Lost:
    """A window whose messages are lost, and how that is known."""

    records: str  # as Flower names the window
    job_id: int
    why: str


def any_offered(session: Session) -> bool:
    """Whether a window holds unclaimed records, so that one could be lost."""
    offered = select(Window.id).where(Window.closed_at.is_(None), Window.drained_at.is_(None)).limit(1)
    return session.scalar(offered) is not None


def find(session: Session, incarnation: str | None, queue_empty: bool) -> list[Lost]:
    """Windows whose messages are lost; they are withdrawn here and offered again by `advance`.

    A window is lost if it was not marked published in time, if the broker is not the one it was published to
    (it came back empty), if no process serves it while the queue is empty, or if none of its records has
    started for long. Queued is not lost.
    """
    quiet = and_(
        Window.published_at <= now(-SILENT),
        or_(Window.slice_at.is_(None), Window.slice_at <= now(-SILENT)),
    )
    starved = and_(
        Window.published_at <= now(-STARVED),
        or_(Window.slice_at.is_(None), Window.slice_at <= now(-STARVED)),
    )
    unsent = and_(Window.published_at.is_(None), Window.offered_at <= now(-UNPUBLISHED))
    suspects = session.execute(
        select(Window, Job)
        .join(Job, Job.id == Window.job_id)
        .where(
            Window.closed_at.is_(None),
            Window.drained_at.is_(None),
            Job.status == JobStatus.RUNNING,
            or_(unsent, quiet, starved, Window.incarnation != incarnation),
        )
        .with_for_update(of=Window, skip_locked=True)
    ).all()
    served = leases.served_windows(session) if suspects else frozenset()
    lost_windows = []
    for window, job in suspects:
        if window.published_at is None:
            why = f"its messages were not confirmed as sent within {UNPUBLISHED:.0f} s"
        elif incarnation is not None and window.incarnation != incarnation:
            why = "the broker came back without its messages"
        elif queue_empty and window.id not in served:
            why = "the queue is empty, and no live worker has one of its slices"
        elif _is(session, window, starved):
            why = f"none of its records was claimed for {STARVED:.0f} s"
        else:
            continue
        window.epoch += 1
        window.offered_at = window.published_at = window.slice_at = None
        lost_windows.append(Lost(windows.in_words(job, window), window.job_id, why))
    return lost_windows


def _is(session: Session, window: Window, condition: ColumnElement[bool]) -> bool:
    return session.scalar(select(Window.id).where(Window.id == window.id, condition)) is not None


def held_in_vain(
    session: Session, held: Collection[tuple[int, int]], queue_empty: bool
) -> list[tuple[int, int]]:
    """Those of `held`, windows and epochs with counted slices, whose slices will never end: they were lost.

    No live process serves such a window, and its messages are of an older offer, or the queue is empty.
    """
    unserved = {window for window, _ in held} - leases.served_windows(session)
    old = and_(
        Window.published_at.is_not(None),  # else it is just being sent, and has its threads already
        Window.published_at <= now(-SILENT),
        literal(queue_empty),
    )
    offered = {
        (row.id, row.epoch)
        for row in session.execute(
            select(Window.id, Window.epoch).where(
                any_of(Window.id, unserved), Window.closed_at.is_(None), not_(old)
            )
        )
    }
    return [
        (window, epoch) for window, epoch in held if window in unserved and (window, epoch) not in offered
    ]
