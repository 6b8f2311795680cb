"""What calls and their permits use of their worker process, which builds it and hands it to them."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Protocol

from redis.asyncio import Redis

from app.core.limits.limiter import CallTerms, Grant
from app.core.requests.job_context import JobContext
from app.core.worker.group_limits import GroupLimits
from app.core.worker.held_claims import HeldClaims
from app.core.worker.writer import Writer
from app.providers.client import Client


class Terms(Protocol):
    def __call__(self, job: JobContext, group: str | None = None) -> CallTerms:
        """The present terms of an average call of the job; `group`: that of another model than the job's."""


class NewStart(Protocol):
    async def __call__(self, terms: CallTerms, *, waited: bool) -> Grant:
        """Another start for a record that has its seat, or how long to wait for it.

        `waited`: by its last grant the limiter counts this record as waiting.
        """


class ReturnStart(Protocol):
    async def __call__(self, terms: CallTerms, grant: Grant) -> None:
        """Give back one start of the grant, of which no byte was sent; the record keeps its seat."""


@dataclass(frozen=True, slots=True)
class Services:
    loop: asyncio.AbstractEventLoop
    readers: Executor  # threads that fetch documents
    writer: Writer
    held_claims: HeldClaims
    group_limits: GroupLimits
    client: Callable[[str], Client]  # of a provider
    terms: Terms
    new_start: NewStart
    return_start: ReturnStart
    runs: Callable[[int], bool]  # whether the job with this id was running a moment ago
    relay: Redis  # by which answers go to those who wait for them
    on_sent: Callable[[JobContext], None]  # the first call of a job's record leaves, or never will
