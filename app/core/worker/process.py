"""One worker process: its event loop and the calls on it, its lease, its writer, its providers' clients."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import structlog
import uvloop
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.core.limits.limiter import CallTerms, Grant, LimiterAway, limiter
from app.core.pipeline import batch_settings, leases, recovery
from app.core.requests.claim import Claim
from app.core.requests.job_context import JobContext
from app.core.worker.calls import Asker, Asking, Closing
from app.core.worker.claim_queue import Turns
from app.core.worker.group_limits import GroupLimits, probe_soon
from app.core.worker.held_claims import Holding
from app.core.worker.permits import Permit
from app.core.worker.seats import Seating
from app.core.worker.writer import Writer
from app.providers import factory
from app.providers.client import Client
from config import settings
from models.job import Job, JobStatus
from models.session import in_transaction, reading

log = structlog.get_logger()

WATCH = 1.0  # seconds between two looks at the status of the jobs that are served
MEMORY = 64_000_000  # bytes of requests that a process holds at most
UNSENT = 96  # records that are claimed here and wait for their start, or for a loop that is busy
FEW_UNSENT = 32  # so many keep the loop at work until others are claimed, which costs less for many at once
READERS = 8  # documents that are fetched at a time
STORAGE_LAG = 2.0  # seconds that a paid answer may wait for its commit before new calls stop


class Process:
    """Made by the first slice of a worker process; ends with it."""

    def __init__(self) -> None:
        self.lease_id = in_transaction(leases.take)
        self._renewed = time.monotonic()  # the lease, by this process's loop
        self.writer = Writer()
        self.seating = Seating()
        self.holding = Holding()
        self.stopping = False  # set by a signal's handler, which may take no lock: no Event
        self.loop = uvloop.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(16, thread_name_prefix="loop-help"))
        self.readers = ThreadPoolExecutor(
            READERS, thread_name_prefix="documents"
        )  # a slow store delays no beat
        self._clients: dict[str, Client] = {}
        self._making = threading.Lock()  # of a client, by the first slice that needs it
        self._asking: dict[Asking, asyncio.Task[None]] = {}
        self._bytes = 0  # of the requests in flight
        self._unsent = 0  # records that were handed over and whose first call has not left
        self._hungry: dict[Asker, None] = {}  # to be told of room, in the order in which they asked
        self._in_flight: Counter[int] = Counter()  # calls of each job
        self._lock = threading.Lock()  # guards all of these, _served and _turns
        self._served: Counter[tuple[int, int]] = Counter()  # (job, window) -> slices
        self._turns: dict[int, Turns[Asker]] = {}  # of the windows that are served
        self._halted: set[int] = set()  # jobs that were seen paused, closed or gone
        self._priorities: dict[int, int] = {}  # of the jobs that are served, as of the last look
        self.book = GroupLimits()
        with reading() as session:
            self.batching = batch_settings.read(session).batching  # as of the last look
        self._limits_read = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._thread.start()

    # --- for slices, from their threads

    @contextmanager
    def serving(self, job_id: int, window_id: int) -> Iterator[Turns[Asker]]:
        """Say, for as long as it lasts, that a slice of the window runs here; yields their turns."""
        with self._lock:
            self._served[job_id, window_id] += 1
            turns = self._turns.setdefault(window_id, Turns())
        try:
            yield turns
        finally:
            with self._lock:
                self._served[job_id, window_id] -= 1
                if not self._served[job_id, window_id]:
                    del self._served[job_id, window_id], self._turns[window_id]

    def may_start(self, job_id: int) -> bool:
        """Whether new calls of the job may leave: it and this process run, and answers are being stored."""
        return not (self.stopping or job_id in self._halted or self.storage_lags or self._lapses)

    @property
    def _lapses(self) -> bool:
        """Whether others may take this process for dead: its loop is, or it stood still and just woke."""
        return time.monotonic() - self._renewed > leases.LAPSE

    @property
    def storage_lags(self) -> bool:
        return self.writer.lag() > STORAGE_LAG

    def has_enough(self, asker: Asker) -> bool:
        """Whether the loop has enough to do, so that claims can wait until they bring many.

        A claim costs about as much as twenty calls. `asker` is told when there is room.
        """
        with self._lock:
            if self._unsent > FEW_UNSENT:
                self._hungry[asker] = None
                return True
            return False

    def forget(self, asker: Asker) -> None:
        """It asks for nothing any more."""
        with self._lock:
            self._hungry.pop(asker, None)

    def room(self, job: JobContext) -> int:
        """How many more of the job's records this process may hold: into an empty one always one fits.

        Its memory bounds them, and what its loop can start: a call that is late for its start needs another
        permit, so a busy loop that is given ever more would end up with permits alone.
        """
        free = MEMORY - self._bytes
        fits = max(free // max(job.max_request_bytes, 1), 0 if self._bytes else 1)
        fits = min(fits, UNSENT - self._unsent)
        if job.seats is None:
            return fits
        # The limiter counts seats over all processes; a Redis that was emptied forgets them, this does not.
        return min(fits, job.seats - self._in_flight[job.job_id])

    def terms(self, job: JobContext, group: str | None = None) -> CallTerms:
        """What holds now for an average call of the job; `group`: of another model than the job's."""
        chosen = group or job.group
        return CallTerms(
            group=chosen,
            job_id=job.job_id,
            limits=self.book.limits(chosen),
            seats=job.seats,
            tenant_id=job.tenant_id,
            weight=self._priorities.get(job.job_id, job.priority),
            request_bytes=job.mean_request_bytes,
            max_tokens=job.max_tokens,
        )

    def ask(
        self,
        asker: Asker,
        job: JobContext,
        claims: Sequence[Claim],
        grant: Grant,
        ends_in: float | None = None,
    ) -> None:
        """Start the calls of `claims`, each at its time in `grant`; the job expires in `ends_in` seconds."""
        with self._lock:
            self._bytes += sum(claim.held_bytes for claim in claims)
            self._unsent += len(claims)
            self._in_flight[job.job_id] += len(claims)
        self.holding.hold(claims)
        start = time.monotonic() + grant.delay
        self.loop.call_soon_threadsafe(self._start, asker, job, claims, start, grant, ends_in)

    def stop(self, grace: float) -> None:
        """Start nothing new; let calls end for `grace` seconds, close the rest, give everything back.

        Runs within a signal's handler: it takes no lock. Asking again changes nothing.
        """
        if self.stopping:
            return
        self.stopping = True
        self.loop.call_soon_threadsafe(self.loop.call_later, grace, self._close_all)

    def end(self) -> None:
        """Write what is there and give up the lease; the slices have returned."""
        asyncio.run_coroutine_threadsafe(self._close_clients(), self.loop).result(timeout=10)
        self.writer.stop()
        self.readers.shutdown(wait=False)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=10)
        in_transaction(partial(recovery.end_lease, lease_id=self.lease_id, died=False))

    def prepare(self, provider: str) -> None:
        """Have a client for the provider, before anything is claimed for it."""
        with self._making:
            if provider not in self._clients:
                make = factory.client_maker(provider, settings.current(), lambda: self.batching)
                probe_soon(provider)
                self._clients[provider] = asyncio.run_coroutine_threadsafe(_made(make), self.loop).result()

    def catch_up(self) -> None:
        """Know what terms hold now: a process that serves nobody does not look at them."""
        if time.monotonic() - self._limits_read > WATCH:
            self._read_limits()

    # --- for calls, on the loop

    def client(self, provider: str) -> Client:
        """The client of a provider that was prepared."""
        return self._clients[provider]

    def leaves(self, asking: Asking) -> None:
        """The record's first call leaves, or never will."""
        if asking.left:
            return
        asking.left = True
        with self._lock:
            self._unsent -= 1
            hungry = next(iter(self._hungry), None) if self._unsent <= FEW_UNSENT else None
            if hungry is not None:
                del self._hungry[hungry]
        if hungry is not None:
            hungry.may_go_on()

    async def permit(self, terms: CallTerms, *, waited: bool) -> Grant:
        """A new start for a record that has its seat, or how long to wait; never without Redis."""
        try:
            return await asyncio.to_thread(
                limiter().take, terms, self.lease_id, 1, seated=True, waited=waited
            )
        except LimiterAway:
            return Grant(0, wait=1.0, reason="redis")

    # --- the loop itself

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        lasting = [self.loop.create_task(work()) for work in (self._beat, self._watch, self.book.keep)]
        self.loop.run_forever()
        for task in lasting:
            task.cancel()
        self.loop.run_until_complete(asyncio.wait(lasting))
        self.loop.close()

    def _start(
        self,
        asker: Asker,
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
            asking = Asking(self, asker, job, claim, permit)
            task = self.loop.create_task(asking.run())
            self._asking[asking] = task
            task.add_done_callback(partial(self._ended, asking))
            started.append(asking)
        if ends_in is not None:
            self.loop.call_later(ends_in, self._close, started, Closing.EXPIRED)

    def _ended(self, asking: Asking, task: "asyncio.Task[None]") -> None:
        del self._asking[asking]
        if task.cancelled():
            asking.close_unstarted()
        self.leaves(asking)
        with self._lock:
            self._bytes -= asking.claim.held_bytes
            self._in_flight[asking.job.job_id] -= 1
            self._in_flight += Counter()  # drops what is at zero

    async def _beat(self) -> None:
        """Raise the lease's counter from this loop: a dead loop must not look alive."""
        while True:
            try:
                await asyncio.to_thread(self._renew)
            except (SQLAlchemyError, LimiterAway) as error:
                log.warning("lease.not_renewed", error=type(error).__name__)
            await asyncio.sleep(leases.BEAT)

    def _renew(self) -> None:
        with self._lock:
            windows = frozenset(window for _, window in self._served)
        if not in_transaction(partial(leases.renew, lease_id=self.lease_id, serving=windows)):
            # Others took this process for dead and gave its records back. Its answers lose their fences.
            log.warning("lease.lost", lease=self.lease_id)
            self.lease_id = in_transaction(leases.take)
            self.seating.forget()
        self._renewed = time.monotonic()
        self.holding.reconcile(self.lease_id)
        limiter().heartbeat(self.lease_id)
        self.seating.reconcile(self.lease_id)

    async def _watch(self) -> None:
        """Stop new calls of jobs that were paused, and close the calls of jobs that were closed."""
        while True:
            with self._lock:
                served = {job for job, _ in self._served} | set(self._in_flight)
            if not served:  # an idle process reads nothing
                self._halted = set()
                await asyncio.sleep(WATCH)
                continue
            try:
                closed = await asyncio.to_thread(self._read_jobs, served)
            except SQLAlchemyError as error:
                log.warning("jobs.not_read", error=type(error).__name__)
                closed = {}
            for job_id, closing in closed.items():
                self._close([asking for asking in self._asking if asking.job.job_id == job_id], closing)
            await asyncio.sleep(WATCH)

    def _read_jobs(self, served: set[int]) -> dict[int, Closing]:
        self._read_limits()
        with reading() as session:
            rows = session.execute(
                select(Job.id, Job.status, Job.closed_as, Job.priority).where(Job.id.in_(served))
            ).all()
        self._priorities = {row.id: row.priority for row in rows}
        running = {row.id for row in rows if row.status == JobStatus.RUNNING and row.closed_as is None}
        self._halted = served - running
        return {row.id: Closing[row.closed_as.upper()] for row in rows if row.closed_as is not None}

    def _read_limits(self) -> None:
        self.book.refresh()
        with reading() as session:
            self.batching = batch_settings.read(session).batching
        self._limits_read = time.monotonic()

    def _close_all(self) -> None:
        self._close(list(self._asking), Closing.STOPPING)

    def _close(self, some: Sequence[Asking], why: Closing) -> None:
        """Close the calls of those that are still being asked."""
        for asking in some:
            if asking in self._asking and asking.closing is None:
                asking.closing = why
                self._asking[asking].cancel()

    async def _close_clients(self) -> None:
        for client in self._clients.values():
            await client.close()


async def _made(make: Callable[[], Client]) -> Client:
    return make()


_process: Process | None = None
_starting = threading.Lock()
_grace: float | None = None  # seconds; SIGTERM has come


def current() -> Process:
    """The one of this process, made when a slice first asks for it."""
    global _process  # noqa: PLW0603 - one a process is the point
    with _starting:
        if _process is None:
            _process = Process()
            if _grace is not None:
                _process.stop(_grace)
        return _process


def stop_current(grace: float) -> None:
    """SIGTERM: see `Process.stop`. A slice in hand may be making the process just now: that one stops too."""
    global _grace  # noqa: PLW0603
    _grace = grace
    if _process is not None:
        _process.stop(grace)


def end_current() -> None:
    """The slices have returned and the process ends."""
    global _process  # noqa: PLW0603
    if _process is not None:
        _process.end()
        _process = None
