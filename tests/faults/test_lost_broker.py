"""The broker is killed in mid-job and comes back empty: queues, chords, limiter and events are gone."""

import pytest

from tests.servers import RedisServer
from tests.stack import forget_process_state


@pytest.fixture
def broker(environment, monkeypatch):
    """A Redis-protocol server of the test's own, to be killed."""
    server = RedisServer()
    server.start()
    environment["REDIS_URL"] = server.url
    monkeypatch.setenv("REDIS_URL", server.url)
    # This process's Celery application speaks to another broker: the tick opens the job instead.
    monkeypatch.setattr("app.submission.start", lambda job_id: None)
    forget_process_state()
    yield server
    server.kill()


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
def test_a_job_goes_on_by_itself_when_the_broker_comes_back_empty(broker, stack, upstream):
    # Given a job under way
    upstream.configure(latency_ms=300)
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "60",
    }
    stack.start()
    job = stack.submit([{"prompt": f"Prompt {n}"} for n in range(1200)], model="claude-haiku-4-5")
    job.wait_until_ended(100)

    # When the broker is killed and started again without its data
    broker.kill()
    broker.start()

    # Then every record ends, and none was asked twice: no process died
    job.wait_for("completed", seconds=100)
    assert job.counts().succeeded == 1200
    assert upstream.summary()["requests"] == 1200
    assert len(job.attempts()) == 1200
