"""The tick and the sweep: what finds, by state, whatever a crash or a lost message left behind."""

from collections.abc import Callable
from functools import partial

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError
from sqlalchemy.orm import Session

from app.core import recovery, wakes, windows
from models.session import in_transaction, reading
from tasks.advance import incarnation, run
from tasks.celery import app

log = structlog.get_logger()

CHUNKS = 20  # transactions of each kind in one sweep


@app.task(name="penstock.tick")
def tick() -> None:
    """Once a second: look at the leases, and advance the jobs whose time has come."""
    for lease_id in in_transaction(recovery.look_for_dead):
        log.warning("lease.dead", lease=lease_id)
    advance_due()


@app.task(name="penstock.sweep")
def sweep() -> None:
    sweep_once()


def sweep_once() -> dict[str, int]:
    """Everything that the sweep does, once; returns how much of each it found."""
    found = {
        "dead_workers": len(in_transaction(recovery.look_for_dead)),
        "overdue_records": recovery.give_back_overdue(),
        "lost_windows": _offer_lost_windows(),
        "closed_records": _in_chunks(recovery.settle),
        "staging_rows": _in_chunks(recovery.drop_staging),
        "removed_rows": _in_chunks(recovery.remove_content),
        "forgotten_keys": in_transaction(recovery.forget_keys),
        "advanced_jobs": advance_due(),
    }
    if any(found.values()):
        log.info("sweep.found", **{what: count for what, count in found.items() if count})
    return found


def advance_due() -> int:
    """Advance the jobs whose time has come; one that cannot be published now has its time again."""
    with reading() as session:
        due = wakes.due(session)
    for job_id in due:
        try:
            run(job_id)
        except (BrokerError, RedisError, OSError) as error:
            log.warning("broker.away", job=job_id, error=type(error).__name__)
            break
    return len(due)


def _offer_lost_windows() -> int:
    try:
        mark, empty = incarnation(), _queue_is_empty()
    except (BrokerError, RedisError, OSError):
        return 0  # nothing can be published anyway
    lost = in_transaction(partial(windows.lost, incarnation=mark, queue_empty=empty))
    for job_id in lost:
        run(job_id)
    return len(lost)


def _queue_is_empty() -> bool:
    with app.connection_for_read() as connection:
        try:
            found = connection.default_channel.queue_declare("slices", passive=True)
        except connection.channel_errors:
            return True  # Redis forgets an empty list
        return bool(found.message_count == 0)


def _in_chunks(work: Callable[[Session], int]) -> int:
    """Run `work` until it finds nothing, but leave the rest of a very large one to the next sweep."""
    total = 0
    for _ in range(CHUNKS):
        done = in_transaction(work)
        total += done
        if not done:
            break
    return total
