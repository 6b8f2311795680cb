"""Where a job's time went: its states sum to its wall clock, and its course to its counts."""

import datetime as dt
import time
from functools import partial

import pytest
from sqlalchemy import bindparam, func, select, update

from app.core.pipeline import lifecycle, scheduler
from app.core.reading import jobs
from app.core.reading.course import lift
from app.core.reading.course.points import MOST, course
from app.core.reading.course.time_spent import time_spent
from app.core.reading.job_json import Limited
from config import settings
from models import Job, JobCounts, JobPoint, JobStatus, JobTime, Lease, transitions
from models.base import now
from models.session import in_transaction, reading
from models.upsert import insert_missing
from tasks import sweep, watch
from tests.support.front_door import Door, Worker, number_of
from tests.support.stack import redis_away

CALL = 0.25  # seconds that the calls of a `Worker` take
HOUR = dt.timedelta(hours=1)
SILENT = update(Lease).where(Lease.id == bindparam("lease")).values(still=1)
CAPPED = update(Job).where(Job.id == bindparam("job")).values(max_cost=10**10)
A_CENT = update(JobCounts).where(JobCounts.job_id == bindparam("job")).values(cost=10**10)
STARTED = update(Job).where(Job.id == bindparam("job")).values(started_at=now(-3_600))

MENDABLE = "with a detail"
TOLD = {
    "concurrency: 5 calls at a time, 30 would use the limit": (
        "5 calls may be in flight at a time (BATCH_MAX_CONCURRENT_LLM_CALLS); 30 would use the limit."
    ),
    "cap": (
        "The next call does not fit under a cost cap. At $0.01 a record so far, the 2 that are left bring the"
        " whole to about $0.03."
    ),
    "workers": (
        "The 64 threads of one worker are taken, or kept for other tenants: another slice worker makes room."
    ),
    "storage": "Answers wait for the database: look at its disk and its load.",
    MENDABLE: "a.test refuses the account: set another key.",
    None: "Its records wait for their turn.",
}

pytestmark = pytest.mark.usefixtures("environment")


@pytest.fixture
def door() -> Door:
    return Door()


def submit(door: Door, records: int = 3):
    with redis_away():
        return door.submit(records)


def view_of(door: Door, job):
    with reading() as session:
        return jobs.find(session, door.tenant_id, job["id"])


def spent(door: Door, job):
    with reading() as session:
        return time_spent(session, jobs.find(session, door.tenant_id, job["id"]))


def points(door: Door, job):
    with reading() as session:
        return course(session, jobs.find(session, door.tenant_id, job["id"]))


def advance(job) -> None:
    in_transaction(partial(scheduler.advance, job_id=number_of(job), held_for=0))


def set_back(job, seconds: float, *columns: str) -> None:
    """As if these times of the job's row were so long ago."""
    statement = update(JobTime).where(JobTime.job_id == number_of(job))
    in_transaction(lambda s: s.execute(statement.values(dict.fromkeys(columns, now(-seconds)))) and None)


def test_a_job_that_no_look_saw_is_split_by_its_calls(door):
    # Given a job that began, asked and ended between two ticks
    job, worker = submit(door), Worker()
    time.sleep(CALL + 0.05)
    advance(job)
    worker.end(job, [0, 1, 2])
    time.sleep(0.05)
    advance(job)

    # Then its calls, what came before them and what came after are told apart, and sum to its wall clock
    found = spent(door, job)
    view = view_of(door, job)
    assert found.state is None
    seconds = {part.state: part.seconds for part in found.parts}
    assert seconds["provider"] >= CALL - 0.1  # a machine that stands still meanwhile adds to it
    assert min(seconds["queue"], seconds["finishing"]) >= 0.04
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.seconds, abs=0.01)
    assert found.seconds == pytest.approx((view.ended_at - view.created_at).total_seconds())
    # And its course ends with its counts
    first, *_, last = points(door, job)
    assert (first.ended, last.ended, last.failed, last.cost) == (0, 3, 0, view.cost)


def test_a_pause_a_cancellation_and_a_retry_have_states_of_their_own(door):
    # Given a job that was paused, resumed, cancelled and, with a record that had failed, retried
    job, worker = submit(door), Worker()
    advance(job)
    worker.end(job, [0], error=("server_error", "no"))
    for step in ("pause", "resume", "cancel"):
        time.sleep(0.03)
        assert door.post(f"/api/v1/jobs/{job['id']}/{step}").status_code == 200
    sweep.sweep_once()
    time.sleep(0.03)
    assert door.post(f"/api/v1/jobs/{job['id']}/retry").status_code == 200

    # Then each has its time, and all of them that of the job until now
    found = spent(door, job)
    seconds = {part.state: part.seconds for part in found.parts}
    assert seconds["paused"] >= 0.02
    assert seconds["ended"] >= 0.02
    assert sum(seconds.values()) == pytest.approx(found.seconds, abs=0.05)


def test_a_look_writes_what_has_changed_and_nothing_else(door, statements):
    # Given a job under way that was looked at
    job, worker = submit(door), Worker()
    advance(job)
    worker.claim(job, [0])
    watch.look()
    assert spent(door, job).state == "provider"

    # When nothing happens, then the next look only reads
    with statements() as sent:
        watch.look()
    assert not [line for line in sent if not line.startswith(("SELECT", "BEGIN"))]

    # When its worker has fallen silent, then it waits for workers
    sweep.find_dead()
    in_transaction(lambda s: s.execute(SILENT, {"lease": worker.lease_id}) and None)
    watch.look()
    assert spent(door, job).state == "workers"


def test_a_job_that_a_process_of_the_last_release_ended_is_watched_no_longer(door):
    # Given a job that ended without its time being kept
    job, worker = submit(door), Worker()
    advance(job)
    watch.look()
    worker.end(job, [0, 1, 2])

    def end(session):
        row = lifecycle.lock(session, number_of(job))
        transitions.move_job(session, row, JobStatus.COMPLETED, ended_at=now())

    in_transaction(end)

    # When it is looked at, then its time ends with it
    watch.look()
    found = spent(door, job)
    assert sum(part.seconds for part in found.parts) == pytest.approx(found.seconds, abs=0.02)
    with reading() as session:
        assert not session.get_one(JobTime, number_of(job)).watched


def test_the_time_in_which_nothing_ran_is_not_the_providers(door):
    # Given a job that was last looked at an hour ago
    job, worker = submit(door), Worker()
    advance(job)
    worker.claim(job, [0])
    watch.look()
    set_back(job, 3_600, "seen_at")
    set_back(job, 3_610, "since")

    # Then that hour is nobody's, as soon as it is read and when it is written; the test itself takes a while
    for _ in range(2):
        seconds = {part.state: part.seconds for part in spent(door, job).parts}
        assert seconds["stopped"] == pytest.approx(3_600, abs=60)
        assert seconds["provider"] == pytest.approx(10, abs=60)
        watch.look()


def test_a_long_course_has_few_points_and_still_its_sums(door):
    # Given a job with more points than a chart has room for, evenly over an hour
    job = submit(door, 5)
    advance(job)
    view, many = view_of(door, job), 1_500
    assert view.started_at is not None
    in_transaction(lambda s: s.execute(STARTED, {"job": view.id}) and None)
    start = view_of(door, job).started_at
    rows = [
        {"job_id": view.id, "at": start + n * HOUR / many, "seq": n, "failed": 0, "cost": 10 * n}
        for n in range(1, many)
    ]
    in_transaction(lambda s: insert_missing(s, JobPoint, *rows))

    # Then they are thinned, and each tells of all records that ended since the one before
    found = points(door, job)
    assert MOST / 2 < len(found) <= MOST
    assert found == sorted(found, key=lambda point: point.at)
    assert [point.per_minute for point in found[1:-1]] == [pytest.approx(25, rel=0.2)] * (len(found) - 2)


def test_what_limits_a_job_is_told_with_what_would_lift_it(door, monkeypatch):
    # Given a capped job of which one record was answered for a cent, and of which five may be asked at a time
    monkeypatch.setenv("BATCH_MAX_CONCURRENT_LLM_CALLS", "5")
    settings.current.cache_clear()
    job, worker = submit(door), Worker()
    advance(job)
    worker.end(job, [0])
    for change in (CAPPED, A_CENT):
        in_transaction(lambda s, change=change: s.execute(change, {"job": number_of(job)}) and None)
    view = view_of(door, job)

    # Then each thing that may hold it has its sentence, with a figure where there is one
    for limited, told in TOLD.items():
        word = "account: refused" if limited == MENDABLE else limited
        detail = {"message": "a.test refuses the account: set another key"} if limited == MENDABLE else None
        with reading() as session:
            found = lift.find(session, view, Limited(word, detail))
        assert found is not None
        assert found.message == told


def test_points_go_with_the_content_and_the_sums_stay(door):
    job, worker = submit(door), Worker()
    advance(job)
    worker.end(job, [0, 1, 2])
    advance(job)
    assert points(door, job)
    assert door.call("DELETE", f"/api/v1/jobs/{job['id']}").status_code == 204
    sweep.sweep_once()
    with reading() as session:
        assert session.scalar(select(func.count()).select_from(JobPoint)) == 0
        assert session.get(JobTime, number_of(job)) is not None
