"""How the whole system stands and what it has counted, for a scrape: read from rows, Redis and broker.

Each part is read separately and with a time limit, so that one that is away or stopped hides no other.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from prometheus_client.registry import Collector
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.limits import allowances, report
from app.core.limits.limiter import CAUSES, CallTerms, limiter
from app.core.measures import metrics
from app.core.monitoring import broker, counted, performance
from app.core.monitoring.bounded import Bounded
from app.core.monitoring.samples import Distribution, Family, Sample, family_of
from app.core.outages import servers
from app.core.pipeline import leases
from app.core.pipeline.sweeping import stalled, sweep_owner
from app.core.webhooks import standing
from app.errors import Unavailable
from app.providers import registry
from config import settings
from models.job import IS_UNENDED, Job, JobStatus
from models.session import reading

KEEP = 5.0  # seconds: a storm of scrapes costs one reading
KEEP_COUNTS = 1.0  # seconds; they are read in a millisecond
ROWS_PATIENCE = 3.0  # seconds; the four parts together stay below the ten that Prometheus waits
PATIENCE = 2.0
MAX_GROUPS = 100  # limit groups
UNASKED = 900.0  # seconds; a hold that no call has tried for so long may be over, and nobody waits for it


class System(Collector):
    """Called by prometheus-client at each scrape."""

    def __init__(self) -> None:
        self._allowances: Mapping[str, allowances.Allowance] = {}  # by group, as of the last read of the rows
        self._parts: dict[str, Bounded[list[Sample | Distribution]] | Bounded[list[Sample]]] = {
            "database": Bounded(self._rows, patience=ROWS_PATIENCE, keep=KEEP),
            "limiter": Bounded(self._limiter, patience=PATIENCE, keep=KEEP),
            "broker": Bounded(_broker, patience=PATIENCE, keep=KEEP),
            "counts": Bounded(counted.read, patience=PATIENCE, keep=KEEP_COUNTS),
        }

    def describe(self) -> Iterable[Family]:
        return [family_of(metric) for metric in metrics.ALL]  # known without reading anything

    def collect(self) -> Iterator[Family]:
        families = {metric: family_of(metric) for metric in metrics.ALL}
        for part, bounded in self._parts.items():
            answers = 1
            try:
                for sample in bounded.get():
                    sample.add_to(families)
            except Unavailable:  # it hangs; who needs it tells
                answers = 0
            except Exception as error:
                servers.tell(error, "metrics")
                answers = 0
            Sample(metrics.ANSWERS, answers, (part,)).add_to(families)
        Sample(metrics.BUILD, 1, (version("penstock"),)).add_to(families)
        with suppress(OSError):  # it is not there
            Sample(metrics.DATA_FREE, _free(settings.current().data)).add_to(families)
        yield from families.values()

    def _rows(self) -> list[Sample]:
        with reading() as session:
            self._allowances = _allowances(session)
            return [
                *_jobs(session),
                *_standing(session),
                *_webhooks(session),
                *_batches(session),
                *_allowed(self._allowances),
            ]

    def _limiter(self) -> list[Sample]:
        limiter().reach()  # it is away also while no group is in use
        return [sample for group, known in self._allowances.items() for sample in _used(group, known)]


def _free(folder: Path) -> float:
    disk = shutil.disk_usage(folder)
    return disk.free / disk.total


def _batches(session: Session) -> list[Sample]:
    active, waiting = performance.standing(session, None)
    return [
        Sample(metrics.ACTIVE_BATCHES, active),
        Sample(metrics.QUEUE_LENGTH, waiting),
        *(Sample(metrics.RECORDS_UNASKED, n, (state,)) for state, n in performance.unasked(session).items()),
    ]


def _jobs(session: Session) -> Iterator[Sample]:
    """Those that have ended are not read: there may be millions of them."""
    unended = [status for status in JobStatus if not status.final]
    rows = session.execute(
        select(Job.status, func.count().label("jobs")).where(IS_UNENDED).group_by(Job.status)
    )
    found = {row.status: row.jobs for row in rows}
    for status in unended:
        yield Sample(metrics.JOBS, found.get(status, 0), (status,))


def _standing(session: Session) -> Iterator[Sample]:
    yield Sample(metrics.WORKERS, len(leases.crew(session).all))
    yield Sample(metrics.STUCK_JOBS, len(stalled.find(session)))
    yield Sample(metrics.OLDEST_DUE, stalled.oldest_due(session))
    swept_by, seconds = sweep_owner.last(session)
    yield Sample(metrics.LAST_SWEEP, seconds, (swept_by,))


def _webhooks(session: Session) -> Iterator[Sample]:
    for state, count in standing.counts(session).items():
        yield Sample(metrics.WEBHOOKS, count, (state,))
    yield Sample(metrics.OLDEST_WEBHOOK, standing.oldest_due(session))
    yield Sample(metrics.WEBHOOKS_OFF, standing.switched_off(session))


def _allowances(session: Session) -> dict[str, allowances.Allowance]:
    """Of the groups in use, first those that files or rows know: callers may make up others."""
    stored = allowances.read_all(session)
    names = sorted(report.names(session), key=lambda name: (not registry.is_group(name), name not in stored))
    return {
        name: stored[name][0] if name in stored else allowances.allowance(name, None)
        for name in names[:MAX_GROUPS]
    }


def _allowed(by_group: Mapping[str, allowances.Allowance]) -> Iterator[Sample]:
    for group, allowance in by_group.items():
        for name in allowances.SET_IN:
            if (limit := getattr(allowance.limits, name)) is not None:
                yield Sample(metrics.LIMIT_ALLOWED, limit, (group, name))


def _used(group: str, allowance: allowances.Allowance) -> Iterator[Sample]:
    standing = limiter().standing(CallTerms(group, 0, allowance.limits))
    for name in allowances.LEARNED_IN:
        yield Sample(metrics.LIMIT_USED, getattr(standing, name), (group, name))
    yield Sample(metrics.CALLS_IN_FLIGHT, standing.in_flight, (group,))
    hold = limiter().held(group)
    held_for = "" if hold is None or hold.seconds < -UNASKED else hold.reason
    for cause in CAUSES:
        yield Sample(metrics.GROUP_HELD, held_for.startswith(cause), (group, cause))


def _broker() -> list[Sample]:
    return [
        Sample(metrics.QUEUE_MESSAGES, length, (queue,)) for queue, length in broker.queue_lengths().items()
    ]
