"""What a worker process knows of its limit groups: their limits, their holds, and what is to be settled.

The truth about limits and holds is in rows, about what was taken in Redis. This reads the rows once a second,
restores a hold that Redis has forgotten, and settles in batches what answers really took.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.core.limits import allowances, holds, obstacle, report
from app.core.limits.allowances import Allowance
from app.core.limits.evidence import Evidence
from app.core.limits.limiter import CallTerms, Settlement, limiter
from app.core.limits.obstacle import Obstacle
from app.core.outages import servers
from app.core.requests.job_context import JobContext
from app.errors import LimiterAway
from app.providers import registry
from app.providers.client import RateLimits
from models.session import in_transaction, reading

log = structlog.get_logger()

T = TypeVar("T")

SETTLE = 0.1  # seconds between two settlements of a job
STORED_OVER = 5.0  # seconds; a shorter hold ends before it could matter that Redis was emptied


class GroupLimits:
    """Used on the event loop; any thread may call `limits`, `bursts`, `room` and `refresh`."""

    def __init__(self) -> None:
        self._allowances: dict[str, Allowance] = {}
        self._headers: dict[str, RateLimits] = {}  # from the headers of the latest answers
        self._held: set[str] = set()  # groups whose hold was logged
        self._evidence: dict[str, Evidence] = {}
        self._open: dict[tuple[str, int], tuple[CallTerms, Settlement]] = {}  # by group and job
        self._is_open = asyncio.Event()  # something is to be settled

    def limits(self, group: str) -> RateLimits:
        """What the group may do, as of the last read of its row."""
        return self._allowance(group).limits

    def bursts(self, group: str) -> bool:
        """Whether the provider takes calls that leave at once, as of the last read of the group's row."""
        return self._allowance(group).paced_until is None

    def _allowance(self, group: str) -> Allowance:
        known = self._allowances.get(group)
        if known is None:
            with reading() as session:
                known = self._allowances.setdefault(group, allowances.read(session, group))
        return known

    def refresh(self) -> None:
        """Read every group's row; raises `SQLAlchemyError`."""
        with reading() as session:
            rows = allowances.read_all(session)
        known = {group: allowances.allowance(group, None) for group in self._allowances}
        self._allowances = known | {group: allowance for group, (allowance, _) in rows.items()}
        for group, (_, held) in rows.items():
            if held is not None:
                holds.restore(group, held)

    def evidence(self, group: str) -> Evidence:
        """How the group's last calls ended in this process."""
        return self._evidence.get(group) or self._evidence.setdefault(group, Evidence())

    def room(self, job: JobContext, want: int) -> tuple[int, float]:
        """See `Evidence.room`; what costs nothing may leave at once."""
        is_paid = registry.table()[job.provider].is_paid
        return self.evidence(job.group).room(want) if is_paid else (want, 0.0)

    def settlement(self, terms: CallTerms) -> Settlement:
        """The job's next settlement, for the caller to add to."""
        found = self._open.get((terms.group, terms.job_id))
        if found is None:
            found = self._open[terms.group, terms.job_id] = terms, Settlement()
            self._is_open.set()
        return found[1]

    async def settle_now(self, terms: CallTerms) -> int:
        """Settle the job at once; returns how many of the group's last 20 calls failed."""
        found = self._open.pop((terms.group, terms.job_id), None)
        if found is None:
            return 0
        try:
            return await asyncio.to_thread(limiter().settle, *found)
        except LimiterAway:
            return 0  # what was charged stands; a Redis that comes back may have forgotten it

    async def settle_all(self) -> None:
        """Settle whatever is open, for as long as the process lives."""
        while True:
            await self._is_open.wait()
            self._is_open.clear()
            for terms, _ in list(self._open.values()):
                await self.settle_now(terms)
            await asyncio.sleep(SETTLE)

    async def learn(self, group: str, limits: RateLimits | None) -> None:
        """Adopt the limits of an answer's headers: here at once, in other processes through the row."""
        if limits is None or self._headers.get(group) == limits:
            return
        self._headers[group] = limits
        await self._change(group, partial(allowances.learn, group=group, limits=limits))

    async def pace(self, group: str) -> None:
        """Have all workers pace the group's calls for an hour: the provider refused one that left at once."""
        if self.bursts(group):
            log.warning("group.paced", group=group, seconds=allowances.PACED_FOR)
            await self._change(group, partial(allowances.pace, group=group))

    async def _change(self, group: str, work: Callable[[Session], Allowance]) -> None:
        """Write the group's row, and adopt what it allows now."""
        known = await _write(work)
        if known is not None:
            self._allowances[group] = known

    async def hold(
        self, group: str, reason: str, seconds: float, every: float, *, probe: bool, why: Obstacle
    ) -> None:
        """Hold the group for all workers; `seconds` of 0: longer with each strike."""
        detail = why.to_json()
        try:
            lasts = await asyncio.to_thread(
                limiter().hold, group, reason, seconds=seconds, every=every, probe=probe, detail=detail
            )
        except LimiterAway as error:
            servers.tell(error, "hold")
            lasts = seconds
        if probe or group not in self._held:
            log.warning("group.held", group=group, reason=reason, seconds=round(lasts, 1))
            self._held.add(group)
        if seconds > STORED_OVER:
            await _write(
                partial(
                    allowances.hold,
                    group=group,
                    reason=reason,
                    seconds=lasts,
                    probe_every=every or lasts,
                    detail=detail,
                )
            )

    async def clear(self, group: str) -> None:
        """End the hold after a probe that succeeded: in the row first, so that no process restores it."""
        log.info("group.goes_on", group=group)
        self._held.discard(group)
        await _write(partial(allowances.clear, group=group))
        try:
            await asyncio.to_thread(limiter().clear, group)
        except LimiterAway as error:
            servers.tell(error, "hold")

    async def slow_down(self, terms: CallTerms) -> None:
        """Halve the rate for all workers, at the provider's ramp limit."""
        try:
            share = await asyncio.to_thread(limiter().ramp, terms)
            log.warning("group.slowed", group=terms.group, share=share)
        except LimiterAway as error:
            servers.tell(error, "ramp")


def probe_soon(provider: str) -> None:
    """Have held groups of the provider probed now: this worker may have another key or address than they."""
    try:
        groups = set(in_transaction(partial(allowances.probe_soon, provider=provider)))
        with reading() as session:
            named = [name for name in report.names(session) if name.partition(":")[0] == provider]
        for group in groups | {name for name in named if obstacle.is_mendable(limiter().held(name))}:
            limiter().probe_soon(group)
    except (LimiterAway, SQLAlchemyError) as error:
        servers.tell(error, "probe")


async def _write(work: Callable[[Session], T]) -> T | None:
    """Write a group's row; with the database away, what was not written lasts only until Redis is emptied."""
    try:
        return await asyncio.to_thread(in_transaction, work)
    except SQLAlchemyError as error:
        servers.tell(error, "limits")
        return None
