"""A whole Penstock as `penstock up` runs it, whose processes tests kill; submissions come over HTTP."""

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from models import Job
from models.session import reading
from tests.conftest import forget_process_state, penstock_of_its_own
from tests.faults.support.breakable_stack import CLAUDE, Site
from tests.faults.support.rabbitmq import rabbitmq
from tests.support.commands import Stack as Up
from tests.support.commands import lives
from tests.support.invariants import Reconciled
from tests.support.servers import flush, wait_until
from tests.support.stack import Running
from tests.support.upstream import Upstream

WORKERS = ("slice1", "slice2")


class House:
    """`penstock up` with two slice workers, and the database as this process sees it."""

    def __init__(self, data: Path, upstream: Upstream, variables: dict[str, str]) -> None:
        self.upstream = upstream
        self._data, self._variables = data, variables
        self._asked = 0
        self.start()

    def start(self) -> None:
        self.up = Up(self._data, "--workers", "2", **self._variables).is_ready()

    def pid(self, name: str) -> int:
        return self.up.pid_of(name)

    def kill(self, *names: str) -> None:
        """kill -9 of each, at the same moment."""
        for pid in [self.pid(name) for name in names]:
            os.kill(pid, signal.SIGKILL)

    def flush_broker(self) -> None:
        """Everything in the embedded broker is gone: queues, chords, limits, events."""
        flush(str(self.up.told()["redis_url"]))

    def await_whole(self) -> None:
        """Every process that was killed is back; its supervisor waits up to 30 s before that."""
        wait_until(lambda: all(self._runs(name) for name in ("control", *WORKERS)), seconds=60)
        wait_until(self._answers, seconds=90, what="the web server answers")

    def kill_everything(self) -> None:
        """kill -9 of the command itself, and the end of what it had started."""
        family = list(self.up.family())
        self.up.process.kill()
        self.up.process.wait()
        wait_until(lambda: not any(map(lives, family)), seconds=60, what="its processes have ended")

    def client(self) -> httpx2.Client:
        return self.up.client()

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """Prompts that no other job has."""
        self._asked += 1
        return [{"prompt": f"Job {self._asked}, prompt {number}"} for number in range(count)]

    def ask(self, count: int) -> Running:
        with self.client() as client:
            made = client.post(
                "/jobs", json={"model": CLAUDE, "max_tokens": 100, "records": self.bodies(count)}
            )
        assert made.status_code == 202, made.text
        return job_of(made.json())

    def reconcile(self, *jobs: Running) -> Reconciled:
        return Reconciled(jobs, self.upstream)

    def stop(self) -> None:
        self.up.clear_away()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.up.address}/health", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def _runs(self, name: str) -> bool:
        try:
            return lives(self.pid(name))
        except ValueError:
            return False


def job_of(said: dict[str, Any]) -> Running:
    uid = uuid.UUID(said["id"])
    with reading() as session:
        return Running(session.scalars(select(Job.id).where(Job.uid == uid)).one(), uid, created=True)


@contextmanager
def house_of(kind: str, request: pytest.FixtureRequest, upstream: Upstream, folder: Path) -> Iterator[House]:
    """`embedded` is SQLite and a broker of its own; `postgresql` has a real Redis, `rabbitmq` both."""
    data = folder / "data"
    asking = Site.asking(upstream)
    if kind == "embedded":
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", f"sqlite:///{data}/penstock.db")
            forget_process_state()
            yield from _lived_in(House(data, upstream, asking))
            forget_process_state()
        return
    with penstock_of_its_own("postgresql", request, folder) as values:
        named = {name: values[name] for name in ("DATABASE_URL", "REDIS_URL")}
        if kind == "postgresql":
            yield from _lived_in(House(data, upstream, asking | named))
            return
        with rabbitmq(folder / "rabbit") as broker:
            yield from _lived_in(House(data, upstream, asking | named | {"CELERY_BROKER_URL": broker}))


def _lived_in(house: House) -> Iterator[House]:
    try:
        yield house
    finally:
        house.stop()
