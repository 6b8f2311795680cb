"""Serves the line of jobs that wait for threads of slice workers, whenever some may be free."""

import threading

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError
from sqlalchemy.exc import InterfaceError, OperationalError

from app.core.limits.limiter import limiter
from app.core.outages import servers
from app.core.pipeline import lookup, waiting_line
from app.errors import LimiterAway
from models.session import reading
from tasks.advance import Offered, offer

log = structlog.get_logger()

_serving = threading.Lock()


def serve_if_wanted() -> None:
    """Serve the line if a job waits in it; cheap where none does, and never raises for Redis."""
    try:
        if limiter().threads.wanted():
            serve()
    except (LimiterAway, BrokerError, RedisError, OSError) as error:
        servers.tell(error, "line")


def serve() -> list[int]:
    """Offer the records of waiting jobs for as long as there are threads; returns the jobs that got some.

    One at a time does this in a process: the next one finds what this one has left.
    """
    if not _serving.acquire(blocking=False):
        return []
    try:
        return _serve()
    finally:
        _serving.release()


def _serve() -> list[int]:
    with reading() as session:
        waiting = waiting_line.read(session)
    limiter().threads.wait({job.tenant_id for job in waiting})
    held, refused, served = limiter().threads.held(), set[int](), []
    for job in waiting_line.in_turn(waiting, held, refused):
        offered = _offered(job.job_id)
        if offered.waits:
            refused.add(job.tenant_id)
        slices = sum(publication.slices for publication in offered.published)
        held.tenants[job.tenant_id] += slices
        held.jobs[job.job_id] += slices
        if slices:
            served.append(job.job_id)
    limiter().threads.wait(refused)
    return served


def _offered(job_id: int) -> Offered:
    try:
        return offer(job_id, in_line=True)
    except (LimiterAway, BrokerError, RedisError, OSError, OperationalError, InterfaceError):
        raise
    except Exception:  # one bad job must not keep the others waiting
        log.exception("job.not_advanced", job=lookup.public_id(job_id))
        return Offered([], waits=False)
