"""What the rows know of a limit group's last minute, for a limiter that has forgotten it."""

from functools import partial
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from app.core.limits.recent_calls import MOMENT, recall
from app.providers import registry
from models import Attempt, Record, RecordStatus
from models.base import now
from models.job import Job, JobStatus
from models.session import in_transaction
from tests.support.front_door import Door, number_of


def taken(group: str, age: float) -> tuple[int, ...]:
    """What calls took that left about so many seconds ago; a slow machine asks later."""
    near = [moment for moment in recall(group) if age - MOMENT <= moment.age < age + 10]
    return tuple(
        sum(getattr(moment, name) for moment in near)
        for name in ("requests", "input_tokens", "output_tokens")
    )


def called(session: Session, job: int, index: int, seconds: float, **more: Any) -> None:
    """A call that left so many seconds ago and took one."""
    row = {
        "job_id": job,
        "idx": index,
        "attempt": 1,
        "tenant_id": session.scalar(select(Job.tenant_id).where(Job.id == job)),
        "outcome": "answered",
        "model": "simulated",
        "input_tokens": 100,
        "output_tokens": 10,
        **more,
    }
    session.execute(insert(Attempt).values(**row, started_at=now(-seconds), ended_at=now(1 - seconds)))


def test_calls_of_the_last_minute_are_told_by_their_age(environment):
    # Given calls of a group, lately and long ago, and some that do not count
    job = number_of(Door().submit(10))
    for index, seconds, more in [
        (0, 40.2, {}),
        (1, 40.3, {"cache_write_5m_tokens": 7}),
        (2, 3.1, {"outcome": "unconfirmed"}),
        (3, 70, {}),
        (4, 3, {"outcome": "unsent"}),
        (5, 3, {"model": "claude-haiku-4-5"}),
        (6, 3, {"model": "of a provider that is gone"}),
        (7, 3, {"model": "gpt-4o-mini", "cache_read_tokens": 50}),
        (8, 3, {"model": "claude-opus-5", "cache_read_tokens": 50}),
    ]:
        in_transaction(partial(called, job=job, index=index, seconds=seconds, **more))

    # Then those that left in the last minute are told, oldest first
    assert taken("simulated", 40) == (2, 207, 20)
    assert taken("simulated", 3) == (1, 100, 10)
    assert taken("anthropic:haiku-4.5", 3) == (1, 100, 10)
    # And by what counts for their provider: OpenAI's limit is of all tokens together
    assert taken(registry.limit_group("gpt-4o-mini"), 3) == (1, 160, 10)
    assert taken(registry.limit_group("claude-opus-5"), 3) == (1, 100, 10)
    ages = [moment.age for moment in recall("simulated")]
    assert ages == sorted(ages, reverse=True)
    assert ages[0] < 60


def test_calls_in_flight_are_told_with_what_they_may_take(environment):
    # Given a record whose call left two seconds ago, of 250 bytes and up to 80 tokens, and one from long ago
    job = number_of(Door().submit(3))

    def fly(session: Session, index: int, seconds: float) -> None:
        session.execute(update(Job).where(Job.id == job).values(status=JobStatus.RUNNING))
        session.execute(
            update(Record)
            .where(Record.job_id == job, Record.idx == index)
            .values(status=RecordStatus.RUNNING, claimed_at=now(-seconds), request_bytes=250, max_tokens=80)
        )

    in_transaction(partial(fly, index=0, seconds=2.1))
    in_transaction(partial(fly, index=1, seconds=90))

    assert taken("simulated", 2) == (1, 100, 20)
    assert len(recall("simulated")) == 1
