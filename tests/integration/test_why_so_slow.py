"""Why a job is slow, with real workers: what held it most is its largest state, and all sum to its time."""

from collections.abc import Callable
from functools import partial

import pytest

from app.core.limits import allowances
from app.core.pipeline import lifecycle
from app.core.reading import job_json, jobs
from app.core.reading.course import lift
from app.core.reading.course.points import course
from app.core.reading.course.time_spent import TimeSpent, time_spent
from app.services.options import Options
from models.session import in_transaction, reading
from tasks.wake import wake
from tests.conftest import ONE_IN_SHORT
from tests.support.servers import wait_until
from tests.support.stack import Running, Stack

HELD = 2.0  # seconds that a job is held for, at least


@pytest.mark.parametrize("environment", ONE_IN_SHORT, indirect=True)
def test_what_held_a_job_is_where_its_time_went(stack, upstream):
    # Given jobs that are held by a limit, by a cap and by the provider's own time
    upstream.configure(latency_ms=100)
    stack.environment |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": upstream.url}
    in_transaction(partial(allowances.put, group="anthropic:haiku-4.5", figures={"requests": 60}))
    in_transaction(partial(allowances.put, group="anthropic:sonnet-4", figures={"requests": 6_000}))
    stack.start()
    paced = stack.prompts(200, model="claude-haiku-4-5")
    capped = stack.prompts(50, model="claude-sonnet-4-5", options=Options(max_cost=1))
    asking = stack.prompts(20, params={"simulate": {"latency_ms": 1000 * HELD}})

    # When each has been so for a while, and one is paused as long
    capped.wait_for("paused")
    held_most(stack, paced, "requests")
    told = lift_of(stack, paced)
    held_most(stack, capped, "cap")
    act(stack, capped, lifecycle.cancel)
    asking.wait_for("completed")
    act(stack, paced, lifecycle.pause)
    held_most(stack, paced, "paused")
    act(stack, paced, lifecycle.cancel)
    paced.wait_for("cancelled")

    # Then their states say so, and sum to their wall clocks
    assert seconds_of(stack, asking)["provider"] > HELD - 0.1
    assert largest(stack, capped) == "cap"
    assert largest(stack, paced) == "paused"
    # And what would have lifted the limit was told
    assert told.startswith(
        "The group anthropic:haiku-4.5 may take 60 requests a minute (set here by an operator)"
    )
    assert "a minute the job would end about" in told
    # And the course has what was answered
    with reading() as session:
        points = course(session, view_of(stack, paced))
    assert points[-1].ended == paced.counts().seq
    assert points[-1].cost == paced.counts().cost


@pytest.mark.parametrize("environment", ONE_IN_SHORT, indirect=True)
def test_a_refused_account_and_a_killed_worker_are_not_the_providers_time(stack, upstream):
    # Given a job whose account is refused
    stack.environment |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": upstream.url}
    upstream.configure(faults=[{"kind": "status", "status": 401}])
    stack.start()
    refused = stack.prompts(5, model="claude-haiku-4-5")
    held_most(stack, refused, "account")
    assert "ANTHROPIC_API_KEY" in lift_of(stack, refused)

    # And one whose worker is killed with its calls in flight
    asking = stack.prompts(5, params={"simulate": {"latency_ms": 60_000}})
    held_for(stack, asking, "provider", 0.0)
    stack.nodes[0].container._container.kill()
    held_for(stack, asking, "workers")

    # Then the time is the account's and the workers'
    assert largest(stack, refused) == "account"
    assert seconds_of(stack, refused).get("provider", 0.0) < HELD
    assert seconds_of(stack, asking)["workers"] >= HELD


def view_of(stack: Stack, job: Running) -> jobs.JobView:
    with reading() as session:
        return jobs.find(session, stack.tenant_id, str(job.uid))


def spent(stack: Stack, job: Running) -> TimeSpent:
    view = view_of(stack, job)
    with reading() as session:
        return time_spent(session, view)


def seconds_of(stack: Stack, job: Running) -> dict[str, float]:
    found = spent(stack, job)
    seconds = {part.state: part.seconds for part in found.parts}
    assert sum(seconds.values()) == pytest.approx(found.seconds, abs=1)
    return seconds


def largest(stack: Stack, job: Running) -> str:
    seconds = seconds_of(stack, job)
    return max(seconds, key=lambda state: seconds[state])


def held_most(stack: Stack, job: Running, state: str) -> None:
    held_for(stack, job, state)
    wait_until(lambda: largest(stack, job) == state, seconds=40, what=f"{state} has held the job most")


def held_for(stack: Stack, job: Running, state: str, seconds: float = HELD) -> None:
    wait_until(
        lambda: seconds_of(stack, job).get(state, -1.0) >= seconds,
        seconds=40,
        what=f"the job is held by {state}: {seconds_of(stack, job)}",
    )


def lift_of(stack: Stack, job: Running) -> str:
    view = view_of(stack, job)
    with reading() as session:
        found = lift.find(session, view, job_json.limits_of([view])[view.id])
    assert found is not None
    return found.message


def act(stack: Stack, job: Running, verb: Callable[..., object]) -> None:
    in_transaction(lambda session: verb(session, lifecycle.find(session, stack.tenant_id, job.uid)))
    wake(job.id)
