"""A running Penstock that tests break and mend."""

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_celery import CeleryTestWorker
from sqlalchemy import func, select

from app.core.pipeline import lifecycle
from models import Lease, Record, RecordOutput, RecordStatus
from models.job import FINAL
from models.session import in_transaction, reading
from tests.support.celery_nodes import SliceWorker
from tests.support.forked_processes import Forked
from tests.support.invariants import Reconciled
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack
from tests.support.upstream import Upstream

CLAUDE = "claude-haiku-4-5"


class Site(Stack):
    """A stack whose Claude is a test's upstream."""

    def __init__(self, environment: dict[str, str], folder: Path, upstream: Upstream) -> None:
        super().__init__(environment, folder)
        self.upstream = upstream
        self._jobs = 0
        self._submitted: list[Running] = []

    @staticmethod
    def asking(upstream: Upstream) -> dict[str, str]:
        """The variables of a Penstock that asks it, as fast as it can."""
        return {
            "ANTHROPIC_API_KEY": "test-key",
            "ANTHROPIC_BASE_URL": upstream.url,
            "CLAUDE_REQUESTS_PER_MINUTE": "60000",
            "BATCH_MAX_CONCURRENT_LLM_CALLS": "100",
            "PENSTOCK_GRACE_SECONDS": "3",
        }

    def ask(self, count: int, **wishes: Any) -> Running:
        """A job of `count` prompts that nobody else has."""
        self._submitted.append(self.submit(self.bodies(count), model=CLAUDE, **wishes))
        return self._submitted[-1]

    def bodies(self, count: int) -> list[dict[str, Any]]:
        self._jobs += 1
        return [{"prompt": f"Job {self._jobs}, prompt {number}"} for number in range(count)]

    @property
    def slices(self) -> list[CeleryTestWorker]:
        """The slice workers that run."""
        return [
            node
            for node in self.nodes
            if isinstance(node.container, SliceWorker) and process(node).poll() is None
        ]

    def mend(self) -> None:
        """Two slice workers and a control worker run."""
        if not self._control_runs:
            self.start(slice_workers=2 - len(self.slices))
        while len(self.slices) < 2:
            self.start_slices()

    def forget(self) -> None:
        """End what a test that failed has left, and begin with empty books."""
        for job in self._submitted:
            if job.row().status not in FINAL:
                in_transaction(
                    lambda session, uid=job.uid: lifecycle.cancel(
                        session, lifecycle.find(session, self.tenant_id, uid)
                    )
                )
                job.wait_for(*FINAL, seconds=60)
        self._submitted.clear()
        self.upstream.reset()

    @property
    def _control_runs(self) -> bool:
        return any(
            process(node).poll() is None for node in self.nodes if not isinstance(node.container, SliceWorker)
        )

    def begin(self, records: int, moment: int, **wishes: Any) -> Running:
        """A job of which so many records have ended, at a provider that takes its time."""
        self.mend()
        self.forget()
        self.upstream.configure(latency_ms=600, latency_sigma=0.4)
        job = self.ask(records, **wishes)
        job.wait_until_ended(moment)
        return job

    def finish(self, job: Running, seconds: float = 120) -> Reconciled:
        """Every record has succeeded, and all books agree."""
        job.wait_for("completed", seconds=seconds)
        assert job.statuses() == {"succeeded": job.row().total}
        return self.reconcile(job)

    def arrived(self) -> int:
        return int(self.upstream.summary()["requests"])

    def reconcile(self, *jobs: Running) -> Reconciled:
        """These are all jobs since the upstream's last reset."""
        return Reconciled(jobs, self.upstream)


def process(node: CeleryTestWorker) -> Forked:
    found: Forked = node.container._container.process
    return found


def stop(*nodes: CeleryTestWorker) -> None:
    """SIGTERM, all at the same time, and their ends."""
    for node in nodes:
        process(node).terminate()
    for node in nodes:
        process(node).wait(30)


def lease_of(pid: int) -> int:
    """The lease that the worker process lives by."""

    def find() -> int | None:
        with reading() as session:
            return session.scalar(
                select(Lease.id)
                .where(Lease.name.like(f"%:{pid}"), Lease.dead_at.is_(None))
                .order_by(Lease.id.desc())
            )

    wait_until(find, what=f"process {pid} has a lease")
    found = find()
    assert found is not None
    return found


def held_by(lease: int, job: Running) -> list[int]:
    """The records of the job that a worker has in flight."""
    with reading() as session:
        return list(
            session.scalars(
                select(Record.idx).where(
                    Record.job_id == job.id, Record.lease_id == lease, Record.status == RecordStatus.RUNNING
                )
            )
        )


def first_answer(job: Running, indices: Sequence[int], since: float, seconds: float = 60) -> float:
    """Seconds from `since` (monotonic) until one of these records has an answer."""

    def answered() -> bool:
        with reading() as session:
            return bool(
                session.scalar(
                    select(func.count()).where(
                        RecordOutput.job_id == job.id, RecordOutput.idx.in_(list(indices))
                    )
                )
            )

    wait_until(answered, seconds=seconds, what="a record that was held up is answered")
    return time.monotonic() - since


def first_ends(job: Running, since: float, seconds: float = 120) -> float:
    """Seconds from `since` (monotonic) until one more record of the job has ended."""
    ended = job.ended()
    if ended < job.row().total:
        job.wait_until_ended(ended + 1, seconds)
    return time.monotonic() - since


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """SIGSTOP these processes, and let them go on after the block."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def pass_by(seconds: float) -> None:
    """Let time pass: what is stopped must stay stopped for so long."""
    over = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= over, seconds=seconds + 5)
