"""A Penstock of one test's own: real workers on a real broker and database, and what they did."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_celery import CeleryTestWorker
from sqlalchemy import func, select

from app.core.accounts import api_keys
from app.core.breaker import Breaker
from app.core.documents import open_store
from app.core.limits import limiter
from app.core.measures import sharing
from app.core.measures.counts import counts
from app.core.outages import database, servers
from app.core.pipeline import notifications
from app.core.reading import job_json
from app.core.requests import job_context
from app.ingest.draft import Defaults, Draft
from app.ingest.spool import DraftSpool
from app.services import submission
from app.services.options import Options
from config import settings
from models import Attempt, Job, JobCounts, Record, RecordOutput, RecordStatus, session
from models.session import in_transaction, reading
from tasks import slice, wake
from tasks.celery import app
from tests.support.celery_nodes import ControlWorker, PenstockWorker, SliceWorker, await_ready, launch
from tests.support.servers import wait_until


def forget_process_state() -> None:
    """Settings, engine, clients and job contexts are made once a process; a test starts with none of them.

    Nor in the pause of a sender that found no broker.
    """
    for made_once in (session.engine, job_context.of, open_store.store, slice._window):
        made_once.cache_clear()
    counts.reset()
    sharing._deliveries.reset()
    for outage in (servers.REDIS, database.DATABASE, database.NOT_MIGRATED):
        outage.is_over = True  # without a line: the thread that looks after it ends
    _forget_redis()


def _forget_redis() -> None:
    for made_once in (settings.current, limiter.limiter, notifications._client, sharing._client):
        made_once.cache_clear()
    for asks_redis in (wake, notifications, job_json):
        asks_redis._breaker = Breaker()


def redis_away() -> AbstractContextManager[None]:
    """Nobody listens where this process looks for Redis: what it submits meanwhile is started by nobody."""
    return redis_at("redis://127.0.0.1:1/0")


@contextmanager
def redis_at(url: str) -> Iterator[None]:
    """This process looks for Redis there, for a while."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REDIS_URL", url)
            _forget_redis()
            yield
    finally:
        _forget_redis()


@dataclass
class Running:
    """A job that a test has submitted, read from its rows."""

    id: int
    uid: Any
    created: bool

    def row(self) -> Job:
        with reading() as session:
            return session.get_one(Job, self.id)

    def counts(self) -> JobCounts:
        with reading() as session:
            return session.get_one(JobCounts, self.id)

    @property
    def status(self) -> str:
        return self.row().status

    def ended(self) -> int:
        return self.counts().ended

    def wait_for(self, *statuses: str, seconds: float = 60) -> "Running":
        wait_until(
            lambda: self.status in statuses, seconds=seconds, what=f"job is {statuses}; it is {self.status}"
        )
        return self

    def wait_until_ended(self, count: int, seconds: float = 60) -> None:
        wait_until(lambda: self.ended() >= count, seconds=seconds, what=f"{count} records have ended")

    def statuses(self) -> Counter[str]:
        with reading() as session:
            rows = session.execute(
                select(Record.status, func.count()).where(Record.job_id == self.id).group_by(Record.status)
            )
            return Counter({RecordStatus(status).name.lower(): count for status, count in rows})

    def attempts(self) -> list[Attempt]:
        with reading() as session:
            found = session.scalars(select(Attempt).where(Attempt.job_id == self.id).order_by(Attempt.idx))
            return list(found)

    def outputs(self) -> dict[int, RecordOutput]:
        with reading() as session:
            found = session.scalars(select(RecordOutput).where(RecordOutput.job_id == self.id))
            return {output.idx: output for output in found}


class Stack:
    """Starts workers and submits jobs; `environment` are the variables of its processes."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.nodes: list[CeleryTestWorker] = []
        key, self.key = in_transaction(
            lambda session: api_keys.create(session, "tests", name="tests", scopes=["admin"])
        )
        self.tenant_id, self.user_id = key.tenant_id, key.user_id

    def of_tenant(self, name: str) -> "Stack":
        """The same Penstock as a user of another tenant sees it."""
        other = Stack(self.environment, self.folder)
        key, other.key = in_transaction(
            lambda session: api_keys.create(session, name, name=name, scopes=["admin"])
        )
        other.tenant_id, other.user_id = key.tenant_id, key.user_id
        return other

    def start(self, slice_workers: int = 1) -> "Stack":
        """Start workers, all at the same time, and wait until they take tasks."""
        started = [self._launch(SliceWorker) for _ in range(slice_workers)]
        for node in [*started, self._launch(ControlWorker)]:
            await_ready(node)
        return self

    def start_slices(self) -> CeleryTestWorker:
        """One more slice worker."""
        node = self._launch(SliceWorker)
        await_ready(node)
        return node

    def _launch(self, kind: type[PenstockWorker]) -> CeleryTestWorker:
        name = f"{kind.queue}{len(self.nodes)}"
        self.nodes.append(launch(kind, name, self.environment, self.folder, app))
        return self.nodes[-1]

    def stop(self) -> None:
        """Stop every worker, all at the same time."""
        for node in self.nodes:
            node.container._container.terminate()
        for node in self.nodes:
            node.teardown()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def prompts(self, count: int, **wishes: Any) -> Running:
        """A job of `count` short prompts for the simulated model."""
        return self.submit([{"prompt": f"Prompt {number}"} for number in range(count)], **wishes)

    def submit(
        self,
        bodies: Iterable[dict[str, Any]],
        *,
        model: str = "simulated",
        params: dict[str, Any] | None = None,
        conversations: Sequence[str | None] | None = None,
        options: Options | None = None,
        **defaults: Any,
    ) -> Running:
        with DraftSpool(self.folder) as spool:
            for number, body in enumerate(bodies):
                raw = json.dumps(body).encode()
                talk = None if conversations is None else conversations[number]
                spool.add(Draft(raw, len(raw) + 200, f"id-{number}", talk, None))
            made = submission.submit(
                self.tenant_id,
                self.user_id,
                spool,
                Defaults(model=model, max_tokens=100, params=params or {}, **defaults),
                options or Options(),
            )
        return Running(made.id, made.uid, made.created)


class Unstarted(Stack):
    """A Penstock whose jobs stay as they were submitted: a test holds every step."""

    def submit(self, *asked: Any, **wishes: Any) -> Running:
        with redis_away():
            return super().submit(*asked, **wishes)
