"""A caller with document jobs, their files, and a parser that takes what is handed over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.front_door import Worker
from tests.support.stored_documents import ParseQueue, Sender
from tests.support.threaded_server import Served, serving


@pytest.fixture
def served(environment) -> Iterator[Served]:
    with serving() as made:
        yield made


@pytest.fixture
def sender(served) -> Sender:
    return Sender(served.door)


@pytest.fixture
def worker(served) -> Worker:
    return served.worker


@pytest.fixture
def blobs(environment) -> Path:
    return Path(environment["PENSTOCK_DATA"]) / "blobs"


@pytest.fixture
def parse_queue(environment, sender) -> Iterator[ParseQueue]:
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        yield ParseQueue(client, f"tenant:{sender.tenant}:queue:parse")
