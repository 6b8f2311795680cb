"""Calls that somebody waits for, beside batches, other requests and callers who leave."""

import json
import time
from collections.abc import Iterator

import anthropic
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


def hold(model: str) -> None:
    """Let the model's group take no calls for a few seconds, which a caller waits for."""
    limiter().hold(registry.limit_group(model), "provider: overloaded", seconds=4.5, every=4.5)


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
    body = json.dumps({"model": HAIKU, "max_tokens": 9, "messages": ASKED}).encode()
    head = "POST /v1/messages HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
    asked = f"{head}X-API-Key: {running.key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    for _ in range(2):  # the second time in the places of the first
        hold(HAIKU)
        callers = [web.connect(asked) for _ in range(WAITING)]
        wait_until(lambda: hold(HAIKU) or waiting() == WAITING, what="all of them wait")
        for path in ("/api/v1/me", "/v1/models", "/api/v1/jobs"):
            assert web.get(path, running.key).is_success
        for caller in callers:
            caller.close()
        wait_until(lambda: hold(HAIKU) or waiting() == 0, what="what has not left is cancelled")
    limiter().clear(registry.limit_group(HAIKU))
    assert upstream.books() == []
