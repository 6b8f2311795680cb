"""One action on many jobs: what it says that it would touch is what it touches."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest
from sqlalchemy import update

from app.core.reading import jobs as reader
from app.core.reading.job_list.listing import Query
from app.core.reading.job_list.status_filter import StatusFilter
from app.errors import BadInput
from app.services import bulk_actions
from app.services.bulk_actions import Action, Plan
from models import Job, JobCounts
from models.session import in_transaction, reading
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.stack import redis_away

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment) -> Iterator[Door]:
    """Nobody starts what it submits."""
    with redis_away():
        yield Door()


def test_a_cancel_touches_what_runs_and_leaves_the_rest(door):
    # Given jobs that wait, run and have ended, and one of another tenant
    waiting, under_way = door.submit(3), door.submit(3)
    Worker().end(under_way, [0])
    over, others = door.submit(1), door.other().submit(1)
    end(door, over)

    # When all of them are to be cancelled
    chosen = [waiting, under_way, over, others]
    plan = planned(door, Action.CANCEL, chosen)

    # Then it says how many records that are, and what is left out
    assert told(plan) == {"touched": ids(under_way, waiting), "left out": {"ended already": ids(over)}}
    assert (plan.records, plan.missing, plan.beyond) == (3 + 2, 1, 0)
    assert plan.cost == price(under_way)

    # And that is what is done
    outcome = carry_out(door, plan)
    assert list(map(str, outcome.done)) == ids(under_way, waiting)
    assert outcome.refused == {}
    assert [door.job(job)["status"] for job in (waiting, under_way, over)] == [
        "cancelled",
        "cancelled",
        "completed",
    ]


def test_a_retry_asks_again_what_failed_and_says_what_it_may_cost(door):
    # Given jobs of which half failed, nothing failed, nothing has ended, and one whose content is gone
    failed, good, runs, gone = (door.submit(4) for _ in range(4))
    end(door, failed, failures=2)
    end(door, good)
    end(door, gone, failures=4)
    set_job(gone, content_removed_at=datetime.now(UTC))
    set_job(failed, model="claude-haiku-4-5")  # which has a price
    one = unit_price(failed)

    # When all that the list shows is to be retried
    with reading() as session:
        plan = bulk_actions.plan_all(session, door.tenant_id, Action.RETRY, Query())

    # Then it says which, and what at most
    assert told(plan) == {
        "touched": ids(failed),
        "left out": {
            "their inputs were deleted: submit them again": ids(gone),
            "not ended yet": ids(runs),
            "no record failed or expired": ids(good),
        },
    }
    assert (plan.records, plan.may_cost) == (2, 2 * one)

    # And that is what is done
    assert [str(uid) for uid in carry_out(door, plan).done] == ids(failed)
    assert door.job(failed)["status"] == "running"


def test_what_changed_meanwhile_is_left_and_told(door):
    # Given five ended jobs that are to be deleted
    kept, deleted, retried, again, gone = jobs = [door.submit(1) for _ in range(5)]
    for job in jobs:
        end(door, job, failures=1)
    plan = planned(door, Action.DELETE, jobs)
    assert plan.records == 5

    # When, before it is confirmed, one is retried, another has even run to its end again, and one was deleted
    for job in (retried, again):
        assert door.post(f"{JOBS}/{job['id']}/retry").status_code == 200
    advance.run(number_of(again))
    end(door, again)
    door.call("DELETE", f"{JOBS}/{gone['id']}")
    outcome = carry_out(door, plan)

    # Then these are refused, each with its reason, and the others are done
    assert {str(uid) for uid in outcome.done} == {*ids(kept), *ids(deleted)}
    reasons = {str(uid): reason for uid, reason in outcome.refused.items()}
    assert "running" in reasons[retried["id"]]
    assert "run again meanwhile" in reasons[again["id"]]
    assert "no job" in reasons[gone["id"]]
    assert door.job(again)["status"] == "completed"

    # And to cancel what is cancelled already is told, too
    cancelling = planned(door, Action.CANCEL, [retried])
    door.post(f"{JOBS}/{retried['id']}/cancel")
    assert [*carry_out(door, cancelling).refused.values()] == ["The job is cancelled already."]


def test_no_more_jobs_than_a_thousand_at_once(door, monkeypatch):
    # Given more jobs in a list than are acted on at once
    monkeypatch.setattr(bulk_actions, "MOST", 2)
    jobs = [door.submit(1) for _ in range(5)]

    # When all of them are to be cancelled
    with reading() as session:
        plan = bulk_actions.plan_all(session, door.tenant_id, Action.CANCEL, Query(StatusFilter.WAITING))

    # Then it is the newest, and how many are left is told
    assert told(plan)["touched"] == ids(jobs[4], jobs[3])
    assert plan.beyond == 3

    # And who chooses or confirms more is refused
    with pytest.raises(BadInput, match="3 jobs were chosen: at most 2"):
        planned(door, Action.CANCEL, jobs[:3])
    with pytest.raises(BadInput):
        bulk_actions.carry_out(door.tenant_id, Action.CANCEL, [uuid.uuid4() for _ in range(3)], plan.at)


def planned(door: Door, action: Action, jobs: Sequence[dict]) -> Plan:
    with reading() as session:
        return bulk_actions.plan(session, door.tenant_id, action, [uuid.UUID(job["id"]) for job in jobs])


def carry_out(door: Door, plan: Plan) -> bulk_actions.Outcome:
    return bulk_actions.carry_out(door.tenant_id, plan.action, [view.uid for view in plan.touched], plan.at)


def told(plan: Plan) -> dict:
    return {
        "touched": [str(view.uid) for view in plan.touched],
        "left out": {reason: [str(view.uid) for view in views] for reason, views in plan.left_out.items()},
    }


def ids(*jobs: dict) -> list[str]:
    return [job["id"] for job in jobs]


def end(door: Door, job: dict, failures: int = 0) -> None:
    worker = Worker()
    if failures:
        worker.end(job, range(failures), error=("invalid_request", "too long"))
    worker.end(job, range(failures, job["total"]))
    advance.run(number_of(job))


def set_job(job: dict, **values) -> None:
    where = Job.uid == uuid.UUID(job["id"])
    in_transaction(lambda session: session.execute(update(Job).where(where).values(**values)) and None)


def price(job: dict) -> int:
    """Pico-dollars that its answers cost."""
    with reading() as session:
        return session.get_one(JobCounts, number_of(job)).cost


def unit_price(job: dict) -> int:
    """Pico-dollars that one of its records may cost."""
    with reading() as session:
        [view] = reader.watched(session, [number_of(job)])
    assert view.record_costs
    return view.record_costs
