"""One worker process: its lease, and its event loop with the calls on it, from start to end."""

import asyncio
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import structlog
import uvloop
from sqlalchemy.exc import SQLAlchemyError

from app.core.limits.limiter import CallTerms, Grant, limiter
from app.core.outages import servers
from app.core.pipeline import leases, recovery
from app.core.relay import frames
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker.calls import CallInFlight, CallObserver, CloseReason
from app.core.worker.claim_queue import ServedWindows
from app.core.worker.clients import Clients
from app.core.worker.group_limits import GroupLimits
from app.core.worker.held_claims import HeldClaims
from app.core.worker.job_watch import JobWatch
from app.core.worker.load import Load
from app.core.worker.permits import Permit
from app.core.worker.seats import Seats
from app.core.worker.services import Services
from app.core.worker.writer import Writer
from app.errors import LimiterAway
from models.session import in_transaction

log = structlog.get_logger()

READERS = 8  # documents fetched at once, off the pool that renews the lease: a store may be slow
STORAGE_LAG = 2.0  # seconds that a paid answer may wait for its commit before new calls stop


class Process:
    """Made by the first slice of a worker process; ends with it."""

    def __init__(self) -> None:
        self.lease_id = _take_lease()
        self._renewed = time.monotonic()  # when the loop renewed the lease
        self.stopping = False  # set by a signal handler, which may take no lock: hence no Event
        self.loop = uvloop.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix="loop-help"))
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="documents")
        self._writer = Writer()
        self.group_limits = GroupLimits()
        self.seats = Seats()
        self.held_claims = HeldClaims()
        self.load = Load()
        self.served: ServedWindows[CallObserver] = ServedWindows()
        self.jobs = JobWatch(self.group_limits)
        self.clients = Clients(self.loop, self.jobs.batching)
        self._services = Services(
            loop=self.loop,
            readers=self._readers,
            writer=self._writer,
            held_claims=self.held_claims,
            group_limits=self.group_limits,
            client=self.clients.of,
            terms=self.terms,
            new_start=self._new_start,
            return_start=self._return_start,
            runs=self.jobs.runs,
            relay=frames.client_on_loop(),
            on_sent=self.load.mark_sent,
        )
        self._calls: dict[CallInFlight, asyncio.Task[None]] = {}  # used on the loop only
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._thread.start()

    # --- for slices, from their threads

    def may_start(self, job_id: int) -> bool:
        """Whether new calls of the job may leave: it is running, this process too, and answers are stored."""
        return not (self.stopping or not self.jobs.runs(job_id) or self.storage_lags or self._lapses)

    @property
    def storage_lags(self) -> bool:
        return self._writer.lag() > STORAGE_LAG

    @property
    def _lapses(self) -> bool:
        """Whether the lease was not renewed in time: the loop is dead, or the process was suspended."""
        return time.monotonic() - self._renewed > leases.LAPSE

    def terms(self, job: JobContext, group: str | None = None) -> CallTerms:
        """The present terms of an average call of the job; `group`: that of another model than the job's."""
        chosen = group or job.group
        return CallTerms(
            group=chosen,
            job_id=job.job_id,
            limits=self.group_limits.limits(chosen),
            seats=job.seats,
            tenant_id=job.lane,
            weight=self.jobs.priority(job),
            request_bytes=job.mean_request_bytes,
            max_tokens=job.max_tokens,
            unended=self.jobs.unended(job),
            bursts=self.group_limits.bursts(chosen),
        )

    def start_calls(
        self,
        observer: CallObserver,
        job: JobContext,
        claims: Sequence[Claim],
        grant: Grant,
        ends_in: float | None = None,
    ) -> None:
        """Start the calls of `claims`, each at its time in `grant`; the job expires in `ends_in` seconds."""
        self.load.add(job, claims)
        self.held_claims.hold(claims)
        start = grant.asked_at + grant.delay
        self.loop.call_soon_threadsafe(self._start_on_loop, observer, job, claims, start, grant, ends_in)

    # --- its end

    def stop(self, grace: float) -> None:
        """Start nothing new; let calls end for `grace` seconds, close the rest, give everything back.

        Called by a signal handler: it takes no lock. A second call changes nothing.
        """
        if self.stopping:
            return
        self.stopping = True
        self.loop.call_soon_threadsafe(self.loop.call_later, grace, self._close_all)

    def end(self) -> None:
        """Write what is left and give up the lease. To be called when the slices have returned."""
        asyncio.run_coroutine_threadsafe(self.clients.close(), self.loop).result(timeout=10)
        self._writer.stop()
        self._readers.shutdown(wait=False)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=10)
        in_transaction(partial(recovery.end_lease, lease_id=self.lease_id, died=False))

    # --- on the loop

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        background = [
            self.loop.create_task(work)
            for work in (
                self._beat(),
                self.jobs.watch(lambda: self.served.jobs() | self.load.jobs(), self._close_job),
                self.group_limits.settle_all(),
            )
        ]
        self.loop.run_forever()
        for task in background:
            task.cancel()
        background.append(self.loop.create_task(self._services.relay.aclose()))
        self.loop.run_until_complete(asyncio.wait(background))
        self.loop.close()

    def _start_on_loop(
        self,
        observer: CallObserver,
        job: JobContext,
        claims: Sequence[Claim],
        start: float,
        grant: Grant,
        ends_in: float | None,
    ) -> None:
        terms = self.terms(job)
        started = []
        for place, claim in enumerate(claims):
            permit = Permit.of(grant, terms, start + place * grant.step)
            call = CallInFlight(self._services, observer, job, claim, permit)
            task = self.loop.create_task(call.run())
            self._calls[call] = task
            task.add_done_callback(partial(self._ended, call))
            started.append(call)
        if ends_in is not None:
            self.loop.call_later(ends_in, self._close, started, CloseReason.EXPIRED)

    def _ended(self, call: CallInFlight, task: "asyncio.Task[None]") -> None:
        del self._calls[call]
        if task.cancelled():
            call.close_unstarted()
        call.mark_sent()
        self.load.remove(call.job, call.claim)

    async def _new_start(self, terms: CallTerms, *, waited: bool) -> Grant:
        """See `NewStart`. Without Redis there is no permit: nothing may leave."""
        try:
            return await asyncio.to_thread(
                limiter().take, terms, self.lease_id, 1, seated=True, waited=waited
            )
        except LimiterAway:
            return Grant(0, wait=1.0, reason="redis")

    async def _return_start(self, terms: CallTerms, grant: Grant) -> None:
        """See `ReturnStart`. With Redis away it counts as used."""
        with suppress(LimiterAway):
            await asyncio.to_thread(limiter().give_back, terms, self.lease_id, grant, 1, late=True)

    async def _beat(self) -> None:
        """Raise the lease's counter from this loop: a dead loop must not look alive."""
        while True:
            try:
                await asyncio.to_thread(self._renew)
            except (SQLAlchemyError, LimiterAway) as error:
                servers.tell(error, "lease")
            await asyncio.sleep(leases.BEAT)

    def _renew(self) -> None:
        serving = self.served.windows()
        if not in_transaction(partial(leases.renew, lease_id=self.lease_id, serving=serving)):
            # Others took this process for dead and gave its records back: their fences refuse its answers.
            log.warning("lease.lost", worker=leases.name())
            self.lease_id = _take_lease()
            self.seats.forget()
        self._renewed = time.monotonic()
        self.held_claims.reconcile(self.lease_id)
        limiter().heartbeat(self.lease_id)
        self.seats.reconcile(self.lease_id)

    def _close_job(self, job_id: int, closed_as: str) -> None:
        self._close(
            [call for call in self._calls if call.job.job_id == job_id], CloseReason[closed_as.upper()]
        )

    def _close_all(self) -> None:
        self._close(list(self._calls), CloseReason.STOPPING)

    def _close(self, calls: Iterable[CallInFlight], reason: CloseReason) -> None:
        """Close those of `calls` that are still in flight."""
        for call in calls:
            if call in self._calls and call.close_reason is None:
                call.close_reason = reason
                self._calls[call].cancel()


def _take_lease() -> int:
    return in_transaction(partial(leases.take, threads=_slices))


_process: Process | None = None
_slices = 0  # that run at once; 0 in a process that is no slice worker
_starting = threading.Lock()
_grace: float | None = None  # seconds; None until SIGTERM has come


def current() -> Process:
    """This process's `Process`, made on first use."""
    global _process  # noqa: PLW0603 - one a process is the point
    with _starting:
        if _process is None:
            _process = Process()
            if _grace is not None:
                _process.stop(_grace)
        return _process


def runs_slices(count: int) -> None:
    """Say, before the first slice, that this is a worker that runs so many at once."""
    global _slices  # noqa: PLW0603
    _slices = count


def stop_current(grace: float) -> None:
    """On SIGTERM: see `Process.stop`. One that a slice is making at this moment stops once it is made."""
    global _grace  # noqa: PLW0603
    _grace = grace
    if _process is not None:
        _process.stop(grace)


def end_current() -> None:
    """See `Process.end`."""
    global _process  # noqa: PLW0603
    if _process is not None:
        _process.end()
        _process = None
