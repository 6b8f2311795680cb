"""The priority queue: how many batches run at once, who is next, how many items may wait. No workers here."""

from functools import partial

import pytest

from app.core.limits import allowances
from app.core.pipeline import batch_settings, lifecycle, priority_queue
from app.errors import TooMany
from app.services.options import Options
from config import settings
from models.session import in_transaction, reading
from tasks import advance
from tasks.sweep import advance_due
from tests.support.front_door import Worker
from tests.support.stack import Running, Stack


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch, stack: Stack) -> Stack:
    """A queue of which two batches run at once, and in which ten items may wait."""
    monkeypatch.setenv("MAX_CONCURRENT_BATCHES", "2")
    monkeypatch.setenv("MAX_QUEUE_SIZE", "10")
    settings.current.cache_clear()
    return stack


def batch(stack: Stack, urgency: str = "normal", items: int = 1) -> Running:
    with reading() as session:
        priority = batch_settings.read(session).priority(urgency)
    return stack.prompts(items, options=Options(urgency=urgency, priority=priority))


def statuses(*batches: Running) -> list[str]:
    return [one.status for one in batches]


def position(waiting: Running) -> int:
    with reading() as session:
        return priority_queue.position(session, waiting.id)


def end(ended: Running, worker: Worker) -> None:
    """End every record of a running batch, and the batch with them."""
    worker.end({"id": str(ended.uid)}, range(ended.row().total))
    advance.run(ended.id)
    advance_due()


def test_so_many_batches_run_at_once_and_the_most_urgent_is_next(narrow):
    # Given two batches that run
    running = [batch(narrow), batch(narrow, "low")]
    assert statuses(*running) == ["running", "running"]

    # When others come, they wait in the order of their urgency, and of their age
    low, normal, critical, later = (
        batch(narrow, urgency) for urgency in ("low", "normal", "critical", "normal")
    )
    assert statuses(low, normal, critical, later) == ["pending"] * 4
    assert [position(one) for one in (critical, normal, later, low)] == [1, 2, 3, 4]

    # Then each end starts the next one
    worker = Worker()
    for ended, started in ((running[0], critical), (running[1], normal), (critical, later), (normal, low)):
        assert started.status == "pending"
        end(ended, worker)
        assert started.status == "running"


def test_a_job_of_another_door_is_not_in_the_queue(narrow):
    for _ in range(3):
        batch(narrow)
    assert narrow.prompts(20).status == "running"


def test_a_batch_that_is_cancelled_while_it_waits_leaves_its_place_to_the_next(narrow):
    running = [batch(narrow), batch(narrow)]
    first, second = batch(narrow), batch(narrow)

    in_transaction(
        lambda session: lifecycle.cancel(session, lifecycle.find(session, narrow.tenant_id, first.uid))
    )
    assert (first.status, position(second)) == ("cancelled", 1)
    end(running[0], Worker())
    assert second.status == "running"


def test_a_batch_whose_group_is_held_keeps_nobody_waiting(narrow, monkeypatch):
    # Given two batches for a model whose account is refused
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    settings.current.cache_clear()
    hold = partial(
        allowances.hold, group="anthropic:haiku-4.5", reason="account: x", seconds=600, probe_every=60
    )
    in_transaction(hold)
    from app.core.limits.limiter import limiter

    limiter().hold("anthropic:haiku-4.5", "account: x", seconds=600, every=60)
    held = [
        narrow.submit(
            [{"prompt": "x"}], model="claude-haiku-4-5", options=Options(urgency="critical", priority=10)
        )
        for _ in range(2)
    ]
    assert statuses(*held) == ["pending", "pending"]

    # Then the less urgent ones for another model run
    assert statuses(batch(narrow, "low"), batch(narrow, "low")) == ["running", "running"]


def test_weights_that_are_changed_order_those_who_wait(narrow):
    # Given a low and a normal one that wait
    for _ in range(2):
        batch(narrow)
    low, normal = batch(narrow, "low"), batch(narrow)
    assert (position(normal), position(low)) == (1, 2)

    # When low weighs more than normal
    changed = in_transaction(
        partial(batch_settings.change, values={"priority_weights": {"low": 0.9, "normal": 0.3}})
    )

    # Then it is next, and the other weights are what they were
    assert (position(low), position(normal)) == (1, 2)
    assert (low.row().priority, normal.row().priority) == (9, 3)
    assert changed.priority_weights == {"critical": 1.0, "high": 0.8, "normal": 0.3, "low": 0.9}


def test_items_beyond_the_queue_are_refused_and_nothing_of_them_is_stored(narrow):
    # Given nine items that wait
    batch(narrow, items=4)
    batch(narrow, items=5)

    # When two more come, they are told what fits
    with pytest.raises(TooMany, match="9 items are waiting and this adds 2; MAX_QUEUE_SIZE is 10") as refused:
        batch(narrow, items=2)
    assert refused.value.retry_after

    # Then one still fits, another door's are not counted, and what is being asked does not wait
    running = batch(narrow, items=1)
    narrow.prompts(50)
    Worker().claim({"id": str(running.uid)}, [0])
    batch(narrow, items=1)


def test_a_tenant_within_its_share_is_admitted_whatever_others_have_queued(narrow):
    # Given a tenant whose items fill the queue
    batch(narrow, items=10)

    # Then another has its half of the places, and the first none until it has fewer than its own half
    other = narrow.of_tenant("other")
    batch(other, items=5)
    with pytest.raises(TooMany, match=r"15 items are waiting and this adds 1.* your share is 5"):
        batch(other, items=1)
    with pytest.raises(TooMany):
        batch(narrow, items=1)


def test_a_paused_batch_takes_no_place(narrow):
    paused = batch(narrow, items=10)
    in_transaction(
        lambda session: lifecycle.pause(session, lifecycle.find(session, narrow.tenant_id, paused.uid))
    )
    batch(narrow, items=10)


def test_a_tenant_within_its_share_starts_though_others_have_filled_the_bound(narrow):
    # Given a tenant with as many batches as may run at once, and urgent ones that wait
    mine = [batch(narrow), batch(narrow), batch(narrow, "critical")]
    assert statuses(*mine) == ["running", "running", "pending"]

    # Then another's first one starts at once, and its second waits
    other = narrow.of_tenant("other")
    assert statuses(batch(other, "low"), batch(other)) == ["running", "pending"]

    # And the first tenant's next one starts when it has fewer than its own share
    worker = Worker()
    end(mine[0], worker)
    assert mine[2].status == "pending"
    end(mine[1], worker)
    assert mine[2].status == "running"


def test_what_is_configured_is_the_environments_word_until_somebody_says_else(environment):
    with reading() as session:
        found = batch_settings.read(session)
    assert found.batching == batch_settings.Batching(128, 50, True, True)
    assert found.priority_weights == {"critical": 1.0, "high": 0.8, "normal": 0.5, "low": 0.2}
    assert [found.priority(word) for word in ("critical", "high", "normal", "low")] == [10, 8, 5, 2]

    in_transaction(
        partial(
            batch_settings.change,
            values={
                "max_batch_size": 3,
                "enable_dynamic_batching": False,
                "enable_adaptive_batching": False,
            },
        )
    )
    with reading() as session:
        assert batch_settings.read(session).batching == batch_settings.Batching(3, 50, False, False)
