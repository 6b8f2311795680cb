"""Calls that somebody waits for, beside batches, other requests and callers who leave."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import anthropic
import httpx2
import pytest
from sqlalchemy import func, select

from app.core.limits import allowances
from app.core.limits.limiter import limiter
from app.core.pipeline import lifecycle
from app.providers import registry
from app.services.job_actions import act
from app.web.capacity import KEPT_FREE
from models import Job
from models.job import FINAL
from models.session import in_transaction, reading
from tests.support.servers import wait_until
from tests.support.stack import Stack
from tests.support.web_process import WebProcess, web_process

pytestmark = pytest.mark.one_database

OPUS, HAIKU = "claude-opus-4-6", "claude-haiku-4-5"
ASKED = [{"role": "user", "content": "Why is the sky blue?"}]
WAITING = 50  # callers


@pytest.fixture(scope="module")
def web(running: Stack) -> Iterator[WebProcess]:
    with web_process(running.environment, running.folder, KEPT_FREE + WAITING + 10) as served:
        yield served


@pytest.fixture
def claude(web, running) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=web.url, api_key=running.key, max_retries=0) as client:
        yield client


@contextmanager
def held(model: str) -> Iterator[None]:
    """The model's group takes no calls for a few seconds, which a caller waits for."""
    limiter().hold(registry.limit_group(model), "provider: overloaded", seconds=4.5, every=4.5)
    try:
        yield
    finally:
        limiter().clear(registry.limit_group(model))


def waiting() -> int:
    """Calls that have not ended."""
    unended = select(func.count()).where(Job.attended.is_not(None), Job.status.not_in(FINAL))
    with reading() as session:
        return session.scalar(unended) or 0


def test_a_call_starts_at_once_while_a_batch_uses_all_of_a_limit(claude, running, upstream):
    # Given a batch that takes every permit of its group, ten a second
    group = registry.limit_group(OPUS)
    in_transaction(lambda session: allowances.put(session, group, {"requests": 600}))
    batch = running.submit(({"prompt": f"Prompt {number}"} for number in range(2_000)), model=OPUS)
    batch.wait_until_ended(20)

    # Then each of a few calls gets one of the next
    for number in range(5):
        began = time.monotonic()
        claude.messages.create(model=OPUS, max_tokens=50, messages=ASKED, metadata={"user_id": str(number)})
        assert time.monotonic() - began < 3  # a second, on a machine that does nothing else
    assert batch.status == "running"
    act(running.tenant_id, str(batch.uid), lifecycle.cancel)
    batch.wait_for("cancelled")


def test_callers_who_wait_stop_nobody_and_give_their_places_back_when_they_leave(web, running, upstream):
    wish = {"model": HAIKU, "max_tokens": 9, "messages": ASKED}
    headers = {"X-API-Key": running.key}

    def wait_for_it(_: int) -> None:
        with suppress(httpx2.ReadTimeout):
            answer = httpx2.post(
                f"{web.url}/v1/messages", json=wish, headers=headers, timeout=2, trust_env=False
            )
            raise AssertionError(answer.text)

    for _ in range(2):  # the second time in the places of the first
        with held(HAIKU), ThreadPoolExecutor(WAITING) as pool:
            callers = [pool.submit(wait_for_it, number) for number in range(WAITING)]
            wait_until(lambda: waiting() == WAITING, what="all of them wait")
            assert web.get("/api/v1/me", running.key).is_success
            assert web.get("/v1/models", running.key).is_success
            assert web.get("/api/v1/jobs", running.key).is_success
            for caller in callers:
                caller.result()
            wait_until(lambda: waiting() == 0, what="what has not left is cancelled")
    assert upstream.books() == []
