"""A worker process is killed in mid-job."""

from collections import Counter

from sqlalchemy import func, select

from app.core import books
from app.core.pages import snapshot
from models import Lease, Record, RecordStatus
from models.session import reading
from tests.servers import wait_until


def test_a_killed_worker_costs_no_record_and_its_calls_stand_as_unconfirmed(stack, upstream):
    # Given a job that two worker processes share, at a provider that takes its time
    upstream.configure(latency_ms=800)
    stack.environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "400",
    }
    victim = stack.start_slices()
    stack.start(slice_workers=1)
    bodies = [{"prompt": f"Prompt {number}"} for number in range(1500)]
    job = stack.submit(bodies, model="claude-haiku-4-5")
    lease = _lease_of(victim)
    wait_until(lambda: job.ended() > 100 and _held(lease) > 0, seconds=30, what="the victim holds records")

    # When one of them is killed with calls in flight
    victim.kill()
    held = _held(lease)

    # Then every record ends exactly once
    job.wait_for("completed", seconds=90)
    assert held > 0
    assert job.counts().succeeded == 1500
    assert job.statuses() == {"succeeded": 1500}

    # And the books agree: what was answered, to the last token; what died, as unconfirmed
    attempts = job.attempts()
    outcomes = Counter(attempt.outcome for attempt in attempts)
    assert outcomes == {"answered": 1500, "unconfirmed": held}
    answered = [attempt for attempt in attempts if attempt.outcome == "answered"]
    counts = job.counts()
    assert counts.cost == sum(attempt.cost or 0 for attempt in answered)
    assert counts.cost_unconfirmed == sum(a.cost or 0 for a in attempts if a.outcome == "unconfirmed")
    assert counts.input_tokens == sum(attempt.input_tokens for attempt in answered)
    billed = upstream.summary()
    assert counts.input_tokens <= billed["input_tokens"]
    assert billed["requests"] <= len(attempts)
    with snapshot() as session:
        assert list(books.Check(session).differences()) == []


def _lease_of(worker) -> int:
    """The lease of a worker's process, by the process id in its name."""
    process = worker.container._container.process

    def find():
        with reading() as session:
            return session.scalar(select(Lease.id).where(Lease.name.like(f"%:{process.pid}")))

    wait_until(find, what="the worker has a lease")
    return find()


def _held(lease: int) -> int:
    with reading() as session:
        held = select(func.count()).where(Record.lease_id == lease, Record.status == RecordStatus.RUNNING)
        return session.scalar(held) or 0
