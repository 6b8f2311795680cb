"""What a worker process reads once a second: how its jobs stand, limits, how items are batched."""

import asyncio
import time
from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from app.core.outages import servers
from app.core.pipeline import batch_settings
from app.core.requests.job_context import JobContext
from app.core.worker.group_limits import GroupLimits
from app.providers.inference.batching import Batching
from models.job import Job, JobCounts, JobStatus
from models.session import reading

EVERY = 1.0  # seconds between two reads


class JobWatch:
    """Answers as of the last read. Any thread may ask; `watch` runs on the event loop."""

    def __init__(self, group_limits: GroupLimits) -> None:
        self._group_limits = group_limits
        self._halted: set[int] = set()  # jobs that were seen paused, closed or gone
        self._priorities: dict[int, int] = {}
        self._ended: dict[int, int] = {}  # records of each job
        with reading() as session:
            self._batching = batch_settings.read(session).batching
        self._limits_read = time.monotonic()

    def runs(self, job_id: int) -> bool:
        return job_id not in self._halted

    def priority(self, job: JobContext) -> int:
        return self._priorities.get(job.job_id, job.priority)

    def unended(self, job: JobContext) -> int:
        """How many of the job's records have not ended, at most."""
        return job.total - self._ended.get(job.job_id, 0)

    def batching(self) -> Batching:
        """How items for an inference server are put together."""
        return self._batching

    def catch_up(self) -> None:
        """Read the limits if they are out of date: an idle process does not read them."""
        if time.monotonic() - self._limits_read > EVERY:
            self._read_limits()

    async def watch(self, served: Callable[[], set[int]], close: Callable[[int, str], None]) -> None:
        """Read the `served` jobs every second; call `close` with each that was closed and its `closed_as`.

        An idle process reads nothing.
        """
        while True:
            jobs = served()
            if not jobs:
                self._halted = set()
            else:
                for job_id, closed_as in (await self._try_to_read(jobs)).items():
                    close(job_id, closed_as)
            await asyncio.sleep(EVERY)

    async def _try_to_read(self, jobs: set[int]) -> dict[int, str]:
        try:
            return await asyncio.to_thread(self._read, jobs)
        except SQLAlchemyError as error:
            servers.tell(error, "jobs")
            return {}

    def _read(self, jobs: set[int]) -> dict[int, str]:
        """Read the rows; returns `closed_as` of the jobs that were closed."""
        self._read_limits()
        with reading() as session:
            rows = session.execute(
                select(Job.id, Job.status, Job.closed_as, Job.priority, JobCounts.ended.label("ended"))
                .join(JobCounts, JobCounts.job_id == Job.id)
                .where(Job.id.in_(jobs))
            ).all()
        self._priorities = {row.id: row.priority for row in rows}
        self._ended = {row.id: row.ended for row in rows}
        running = {row.id for row in rows if row.status == JobStatus.RUNNING and row.closed_as is None}
        self._halted = jobs - running
        return {row.id: row.closed_as for row in rows if row.closed_as is not None}

    def _read_limits(self) -> None:
        self._group_limits.refresh()
        with reading() as session:
            self._batching = batch_settings.read(session).batching
        self._limits_read = time.monotonic()
