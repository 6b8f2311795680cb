"""Every statement over the tables with a row a record finds its rows by an index."""

import json
import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text, update

from app.core.money import ledger, usage
from app.core.money.ledger import Call
from app.core.pipeline import claims, outcomes, pauses, recovery, scheduler
from app.core.pipeline.outcomes import Outcome
from app.core.reading import events, jobs, records, usage_export
from app.core.reading.course.points import course
from app.core.reading.course.time_spent import time_spent
from app.core.reading.details import asked_request, comparison, error_groups, record_attempts, record_search
from app.core.reading.details.phrase import Phrase
from app.core.reading.job_list import listing
from app.core.reading.job_list.listing import Query
from app.core.reading.job_list.status_filter import StatusFilter
from app.core.requests import job_context
from app.providers.client import Usage
from app.services import bulk_actions
from config import settings
from models import Job, RecordStatus, session
from models.base import now
from models.session import in_transaction, reading
from tasks import sweep
from tests.support.front_door import Door, Worker, number_of
from tests.support.stack import redis_away

RECORDS = 5_000  # of each job
OTHERS = 20  # jobs
TABLES = frozenset({"record", "record_input", "record_output", "attempt", "job_point"})
OF_LISTS = frozenset({"job", "job_counts", "job_spec"})
LISTED = 20_000  # jobs of others, in their lists

FILL = (
    "INSERT INTO record (job_id, idx, status, attempts, tries, deaths, request_bytes)"
    " SELECT job, idx, 4, 1, 0, 0, 200 FROM others",
    "INSERT INTO record_input (job_id, idx, body) SELECT job, idx, '{}' FROM others",
    "INSERT INTO record_output (job_id, idx, seq, body, cost, ended_at)"
    " SELECT job, idx, idx + 1, '{}', 1, now() FROM others",
    "INSERT INTO attempt (job_id, idx, attempt, tenant_id, outcome, model, cost, ended_at, input_tokens,"
    " output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens)"
    " SELECT job, idx, 1, 1000 + job, 'answered', 'simulated', 1, now(), 1, 1, 0, 0, 0 FROM others",
    "INSERT INTO job_point (job_id, at, seq, failed, cost)"
    " SELECT job, now() - idx * interval '1 second', idx, 0, 1 FROM others",
)

# Every other job is a single call, which is in no list.
FILL_LISTS = (
    "INSERT INTO job (id, uid, tenant_id, user_id, name, search_text, status, attended, priority, model,"
    " limit_group, total, cursor, max_request_bytes, metadata, created_at, updated_at)"
    " SELECT 1000 + n, gen_random_uuid(), tenant_id, id, 'job', 'job',"
    " CASE n % 50 WHEN 1 THEN 'paused' ELSE 'completed' END, CASE n % 2 WHEN 0 THEN 'whole' END, 5,"
    " 'simulated', 'simulated', 1, 1, 200, '{}', now(), now()"
    ' FROM generate_series(1, :count) n, "user" WHERE tenant_id = :tenant',
    "INSERT INTO job_counts (job_id, succeeded, failed, cancelled, expired, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_tokens, cost, cost_unconfirmed, unpriced, seq)"
    " SELECT id, 1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 1 FROM job WHERE id > 1000",
    "INSERT INTO job_spec (job_id, max_tokens, params) SELECT id, 100, '{}' FROM job WHERE id > 1000",
)

END_SHUFFLED = (
    "INSERT INTO record_output (job_id, idx, seq, body, cost, ended_at)"
    " SELECT :job, place / 1000 * 1000 + place * 7 % 1000, place + 1, '{}', 1, now()"
    " FROM generate_series(0, :many - 1) place",
    "UPDATE record SET status = 4 WHERE job_id = :job",
    "UPDATE job_counts SET succeeded = :many, seq = :many WHERE job_id = :job",
)

# From this release on PostgreSQL looks up what a list names; before, all between the list's bounds: here of
# the latest page, and of those that read its records beside it.
KNOWS_LISTS, WITHIN_BOUNDS = 170_000, 3_000

pytestmark = pytest.mark.parametrize("environment", ["postgresql"], indirect=True)


def test_no_statement_reads_a_table_of_records_from_end_to_end(environment, statements_with_values):
    # Given a database full of other jobs' records, and one of ours
    door, worker = Door(), Worker()
    with redis_away():
        job = door.submit(RECORDS)
    fill()

    # When everything is done with it that is done with jobs
    with statements_with_values() as sent:
        live_through(door, worker, job)

    # Then no statement needed all rows of a table
    assert len(sent) > 50
    assert [found for found in map(scans, sent.items()) if found] == []


def test_no_statement_about_a_providers_cache_reads_a_table_from_end_to_end(
    environment, statements_with_values, monkeypatch
):
    # Given a job whose records share enough to be kept, in a database full of others
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    door, worker = Door(), Worker()
    with redis_away():
        job = number_of(door.submit(RECORDS, model="claude-haiku-4-5", system="A rule for all. " * 2_000))
    fill()
    advance = partial(scheduler.advance, job_id=job, held_for=0)

    # When one record is asked alone, and then the others
    with statements_with_values() as sent:
        (window,) = in_transaction(advance)
        take = partial(claims.take, window_id=window.window_id, epoch=window.epoch, limit=1)
        (claim,) = in_transaction(partial(take, lease_id=worker.lease_id)).claims
        in_transaction(advance)
        in_transaction(lambda s: outcomes.write(s, [written(claim)]))
        following = in_transaction(advance)

    # Then no statement needed all rows of a table
    assert (window.quota, following[0].quota) == (1, None)
    assert [found for found in map(scans, sent.items()) if found] == []


def test_results_in_the_order_of_ends_are_found_by_their_indices(environment, statements_with_values):
    # Given a job that has just ended, its records not in their order, in a database that nobody has analyzed
    door, many = Door(), 20_000
    with redis_away():
        job = door.submit(many)
    with session.engine().begin() as connection:
        for statement in END_SHUFFLED:
            connection.execute(text(statement), {"job": number_of(job), "many": many})

    # When its results are read in the order of their ends
    with statements_with_values() as sent:
        results = door.get(f"/api/v1/jobs/{job['id']}/results", query_string={"order": "completion"})
        read = [json.loads(line)["index"] for line in results.data.splitlines()]

    # Then all come in it, and no page looked at rows that were not its own
    assert read == [ended_at(place) for place in range(many)]
    in_vain = sum(map(looked_at_in_vain, sent.items()))
    assert in_vain == 0 or (version() < KNOWS_LISTS and in_vain < WITHIN_BOUNDS)


def test_copies_are_found_by_their_indices(environment, statements_with_values):
    # Given a job of which a third asks what an earlier record does, in a database that nobody has analyzed
    door, worker, many = Door(), Worker(), 15_000
    with redis_away():
        asked = [{"prompt": f"Say {number % 10_000}"} for number in range(many)]
        job = door.post_records(asked, dedupe=True).get_json()
    worker.end(job, range(2_000))

    # When others end, and their copies with them
    with statements_with_values() as sent:
        worker.end(job, range(2_000, 2_064))

    # Then no row was looked at that is none of theirs
    about = [item for item in sent.items() if "record_copy" in item[0]]
    assert len(about) == 2
    assert sum(map(looked_at, about)) < 20 * 64
    assert door.job(job)["counts"]["succeeded"] == 2 * 2_064


def test_the_list_of_jobs_is_read_by_its_indices(environment, statements_with_values):
    # Given a tenant with some jobs, and another with very many
    door = Door()
    other = door.other()
    with redis_away():
        jobs = [door.submit(1, name=f"mine {number}") for number in range(20)]
    fill_lists(other)

    # When the first tenant looks through them, searches, and plans to act on all of them
    with statements_with_values() as sent, reading() as s:
        for word in StatusFilter:
            listing.page(s, door.tenant_id, Query(word), None, 5)
            listing.page(s, door.tenant_id, Query(word, "mine"), uuid.UUID(jobs[-1]["id"]), 5)
        listing.tally(s, door.tenant_id, "")
        listing.tally(s, door.tenant_id, jobs[0]["id"][:13])
        bulk_actions.plan_all(s, door.tenant_id, bulk_actions.Action.CANCEL, Query())

    # Then no statement reads the jobs of the other from end to end
    assert len(sent) > 8
    assert [found for item in sent.items() if (found := scans(item, OF_LISTS))] == []

    # And the page of the other looks at no job that is not on it
    for word in (StatusFilter.ALL, StatusFilter.PAUSED):
        with statements_with_values() as sent, reading() as s:
            assert len(listing.page(s, other.tenant_id, Query(word), None, 50).jobs) == 50
        assert looked_at_in_vain(next(iter(sent.items()))) == 0


def test_a_scrape_reads_no_job_that_has_ended(environment, statements_with_values):
    # Given very many jobs, of which a few have not ended
    door = Door()
    fill_lists(door)
    with session.engine().begin() as connection:
        connection.execute(text("UPDATE job SET status = 'completed' WHERE id > 2000"))
    analyze()

    # When Prometheus asks how the system stands
    with statements_with_values() as sent:
        answer = door.client.get("/metrics").text

    # Then no statement reads a table of jobs from end to end
    assert 'penstock_jobs{status="paused"} 20.0' in answer
    assert len(sent) > 10
    assert [found for item in sent.items() if (found := scans(item, OF_LISTS))] == []


def ended_at(place: int) -> int:
    """The index of the record that ended there, as `END_SHUFFLED` has it."""
    return place // 1000 * 1000 + place * 7 % 1000


def live_through(door: Door, worker: Worker, job: dict[str, Any]) -> None:
    """Claim, end, show, follow, pause, give back, expire, cancel, retry, sweep, export and delete."""
    job_id, name = number_of(job), f"/api/v1/jobs/{job['id']}"
    window = in_transaction(partial(scheduler.advance, job_id=job_id, held_for=0))[0]
    claim = partial(
        claims.take, window_id=window.window_id, epoch=window.epoch, lease_id=worker.lease_id, limit=64
    )
    taken = in_transaction(claim)
    assert len(taken.claims) == 64
    set_job(job_id, max_cost=10**15)
    assert len(in_transaction(claim).claims) == 64
    worker.end(job, range(200, 300))
    worker.end(job, range(300, 360), error=("server_error", "no"))
    in_transaction(lambda s: outcomes.write(s, [given_back(claim) for claim in taken.claims[:30]]))
    in_transaction(partial(claims.take_due, window_id=window.window_id, lease_id=worker.lease_id, limit=10))
    look(door, name)
    sweep.sweep_once()
    sweep.tick()
    in_transaction(partial(recovery.end_lease, lease_id=worker.lease_id, died=True))
    in_transaction(partial(pauses.pause_if_hopeless, job_id=job_id))
    door.post(f"{name}/pause")
    door.post(f"{name}/resume")
    set_job(job_id, expires_at=now(-1))
    in_transaction(partial(scheduler.advance, job_id=job_id, held_for=0))
    sweep.sweep_once()
    look(door, name)
    set_job(job_id, expires_at=None)
    assert door.post(f"{name}/retry").status_code == 200
    in_transaction(partial(scheduler.advance, job_id=job_id, held_for=0))
    door.post(f"{name}/cancel")
    sweep.sweep_once()
    assert door.job(job)["status"] == "cancelled"
    look(door, name)
    assert door.call("DELETE", name).status_code == 204
    sweep.sweep_once()


def set_job(job_id: int, **values: Any) -> None:
    in_transaction(lambda s: s.execute(update(Job).where(Job.id == job_id).values(**values)) and None)


def given_back(claim: Any) -> Outcome:
    of = job_context.of(claim.job_id)
    return Outcome(job=of, claim=claim, call=Call(ledger.UNSENT, of.model), again_in=0.0)


def written(claim: Any) -> Outcome:
    """An answer that wrote to the cache."""
    of, usage = job_context.of(claim.job_id), Usage(10, 5, cache_write_5m_tokens=8_000)
    call = Call(ledger.ANSWERED, of.model, usage)
    return Outcome(of, claim, call, RecordStatus.SUCCEEDED, body=b"{}", usage=usage)


def look(door: Door, name: str) -> None:
    """Everything that readers may ask of a job."""
    for path in ("/api/v1/jobs", name, "/api/v1/usage", "/api/v1/usage?group_by=user", "/api/v1/limits"):
        assert door.get(path).status_code == 200, path
    with reading() as s:
        month = usage.span(s, None, None)
    assert b"".join(usage_export.csv(door.tenant_id, month)).count(b"\r\n") > 1
    for status in (None, "pending", "running", "succeeded", "failed", "cancelled", "expired"):
        asked: dict[str, Any] = {"limit": 10} if status is None else {"limit": 10, "status": status}
        page = door.get(f"{name}/records", query_string=asked)
        cursor = page.json["next_cursor"]
        if cursor is not None:
            assert door.get(f"{name}/records", query_string=asked | {"cursor": cursor}).status_code == 200
    for order in ("input", "completion"):
        assert door.get(f"{name}/results", query_string={"order": order}).status_code == 200
    with reading() as s:
        found = s.get_one(Job, number_of({"id": name.rpartition("/")[2]}))
        events.ended_since(s, found.id, 0, 1_000)
    look_closer(number_of({"id": name.rpartition("/")[2]}))


def look_closer(job_id: int) -> None:
    """What the page of a job reads besides."""
    phrase = Phrase.of("say 1")
    assert phrase is not None
    with reading() as s:
        [view] = jobs.watched(s, [job_id])
        for words in (records.ALL_WORDS, frozenset({"failed"}), frozenset({"pending"})):
            record_search.find(s, view, phrase, None, 10, words=words)
        error_groups.of(s, view)
        error_groups.page(s, view, "server_error", None, 10)
        record_attempts.of(s, view, 1)
        asked_request.of(s, view, 1)
        for changed in (True, False):
            comparison.find(s, view, view, None, 10, changed=changed)
        time_spent(s, view)
        course(s, view)


def fill() -> None:
    with session.engine().begin() as connection:
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE others ON COMMIT DROP AS SELECT job, idx"
                f" FROM generate_series(1001, {1000 + OTHERS}) job, generate_series(0, {RECORDS - 1}) idx"
            )
        )
        for statement in FILL:
            connection.execute(text(statement))
    analyze()


def fill_lists(door: Door) -> None:
    with session.engine().begin() as connection:
        values = {"tenant": door.tenant_id, "count": LISTED}
        for statement in FILL_LISTS:
            connection.execute(text(statement), values if ":tenant" in statement else {})
    analyze()


def analyze() -> None:
    with session.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def scans(sent: tuple[str, Any], tables: frozenset[str] = TABLES) -> str | None:
    """The statement, if PostgreSQL would read all of one of the tables for it."""
    statement, values = sent
    with session.engine().connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
    read = {node.get("Relation Name") for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"}
    return f"{', '.join(read & tables)}: {statement}\n{json.dumps(plan)}" if read & tables else None


def version() -> int:
    with session.engine().connect() as connection:
        return int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())


def looked_at_in_vain(sent: tuple[str, Any]) -> int:
    """How many rows PostgreSQL reads for a SELECT and does not want."""
    statement, values = sent
    # A long stream looks now and then whether its key is still valid.
    if not statement.startswith("SELECT") or statement.startswith("SELECT api_key."):
        return 0
    with session.engine().connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values).scalar_one()
    return sum(node.get("Rows Removed by Filter", 0) for node in nodes(plan[0]["Plan"]))


def looked_at(sent: tuple[str, Any]) -> int:
    """How many rows PostgreSQL reads for a statement that was carried out, if it is carried out again."""
    statement, values = sent
    with session.engine().connect() as connection:
        # Its rows are there by now.
        again = statement + (" ON CONFLICT DO NOTHING" if statement.startswith("INSERT") else "")
        plan = connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {again}", values).scalar_one()
        connection.rollback()
    return sum(
        int(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)))
        for node in nodes(plan[0]["Plan"])
        if "Relation Name" in node
    )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
