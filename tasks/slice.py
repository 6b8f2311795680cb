"""A slice as a task: one header of a window's chord."""

import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import structlog
from kombu.exceptions import OperationalError as BrokerError
from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.core.limits import obstacle
from app.core.limits.limiter import limiter
from app.core.measures import metrics
from app.core.measures.counts import counts
from app.core.pipeline import leases
from app.core.requests import job_context
from app.core.requests.job_context import JobContext
from app.core.tracing import traces
from app.core.worker import isolation, process
from app.core.worker.reports.summary import Summary
from app.core.worker.slice import STARTS_FOR, Slice
from app.core.worker.store_only import StoreOnly
from app.errors import ACCOUNT_PROBE, LimiterAway, NotFound, Unavailable
from app.providers import registry
from models.record import Window
from models.session import reading
from tasks.celery import app
from tasks.flower import words
from tasks.flower.words import Told
from tasks.wake import wake

log = structlog.get_logger()


@app.task(name="penstock.slice", bind=True)
def run_slice(task: Any, window_id: int, epoch: int, quota: int | None = None) -> Told:
    """Claim and ask records of the window until it is drained or the time is over.

    Flower shows what it returns. A record's failure is an outcome, never an exception, which would keep the
    chord's callback from running. With the database away nothing is claimed, and the window is offered again.
    """
    done: Summary | str = Summary()
    began = time.monotonic()
    with traces.slice(task.request.headers, (window_id, epoch), alone=quota == 1) as note:
        try:
            done = _run(window_id, epoch, quota)
        finally:
            counts.observe(metrics.SLICE_SECONDS, time.monotonic() - began)
            asked = isinstance(done, Summary) and not done.is_empty
            _leave_thread(task, window_id, epoch, quota, asked=asked)
        if isinstance(done, Summary):
            note(done.figures())
    return Told(done)


def _leave_thread(task: Any, window_id: int, epoch: int, quota: int | None, *, asked: bool) -> None:
    """Give the thread back; where a chord has a task for each record, to the next one of them.

    They are added while this one still counts, so that the callback comes after the last of all. A task that
    is lost here leaves its record to the window's next offer.
    """
    try:
        if quota != 1:
            limiter().threads.give_back(window_id, epoch)
            return
        capacity = _threads(int(time.monotonic()))
        options = {"argsrepr": task.request.get("argsrepr"), **traces.passed_on(task.request.headers)}
        for _ in range(limiter().threads.pass_on(window_id, epoch, asked=asked, capacity=capacity)):
            task.add_to_chord(run_slice.s(window_id, epoch, quota).set(**options))
    except (LimiterAway, BrokerError, RedisError, SQLAlchemyError, OSError) as error:
        # The sweep finds threads that stay counted, and a window whose tasks are lost.
        log.warning("thread.not_passed_on", window=window_id, error=type(error).__name__)


@lru_cache(maxsize=1)
def _threads(second: int) -> int:
    """The threads of all living workers, read once a `second`."""
    with reading() as session:
        return leases.strength(session).threads


def _run(window_id: int, epoch: int, quota: int | None) -> Summary | str:
    """What the slice has done, or in words why there was none."""
    try:
        window = _window(window_id, epoch, int(time.monotonic()))
        if window is None:
            return "its window was offered anew"
        if window.isolated:
            return isolation.ask(process.current(), window, wake)
        work = _slice_of(window, quota)
    except SQLAlchemyError as error:
        log.warning("storage.away", window=window_id, error=type(error).__name__)
        return "the database was away"
    return work if isinstance(work, str) else work.run()


def _wake_of(job: JobContext) -> Callable[[int], None]:
    return partial(wake, shown=words.job(job.facts["job"]))


@lru_cache(maxsize=256)
def _window(window_id: int, epoch: int, second: int) -> Window | None:
    """The window; None when the message is of an older epoch than its latest offer.

    Read once a `second` for all its slices here, which arrive by the dozen.
    """
    with reading() as session:
        window = session.get(Window, window_id)
    return window if window is not None and window.epoch == epoch else None


def _slice_of(window: Window, quota: int | None) -> Slice | StoreOnly | str:
    try:
        job, until = job_context.of(window.job_id), time.monotonic() + STARTS_FOR
        kind = Slice if job.asks else StoreOnly
        return kind(process.current(), job, (window.id, window.epoch), quota, until, _wake_of(job))
    except NotFound:
        return "the job is gone"
    except Unavailable as error:
        log.warning("provider.unavailable", job=window.job_id, reason=error.message)
        _hold_group(window.job_id)
        return error.message


def _hold_group(job_id: int) -> None:
    """Hold the job's group as if its account refused: this worker has no key for the provider."""
    try:
        job = job_context.of(job_id)
        limiter().hold(
            job.group,
            "account: no_key",
            seconds=ACCOUNT_PROBE,
            every=ACCOUNT_PROBE,
            detail=obstacle.unusable(job.provider, registry.table().get(job.provider)).to_json(),
        )
    except LimiterAway:
        log.warning("limiter.away", job=job_id)
