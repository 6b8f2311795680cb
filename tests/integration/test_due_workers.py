"""The number of slice workers that the chart's query asks for: deploy/helm/penstock/files/due_workers.sql."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from models import session
from models.base import now
from models.limit import LimitGroup
from models.session import in_transaction
from tests.integration.test_plans import nodes
from tests.support import chart
from tests.support.front_door import Door, Worker, number_of
from tests.support.stack import redis_away

MILLION = 1_000_000
CLAUDE = "claude-sonnet-4-5"
GROUP = "anthropic:sonnet-4"

pytestmark = pytest.mark.parametrize("environment", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def query() -> str:
    return chart.query()


@pytest.fixture
def door(environment, monkeypatch) -> Iterator[Door]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    with redis_away():
        yield Door()


def test_an_idle_service_asks_for_no_worker_and_a_single_record_for_one(door, query):
    assert workers(query) == 0

    # When there is a record to be asked
    job = door.submit(1)
    assert workers(query) == 1

    # Then a worker is wanted while it is in flight, too, until it has ended
    Worker().claim(job, [0])
    assert workers(query) == 1
    alter("UPDATE record SET status = 0")
    Worker().end(job, [0])
    assert workers(query) == 0


def test_a_paused_job_a_closed_one_and_records_given_back_for_later_ask_for_none(door, query):
    # Given a job of a million
    enlarge(door.submit(2))
    assert workers(query) > 20

    # When it is paused, or about to be cancelled, or all of it waits for a named time
    alter("UPDATE job SET status = 'paused'")
    assert workers(query) == 0
    alter("UPDATE job SET status = 'running', closed_as = 'cancelled'")
    assert workers(query) == 0
    alter("UPDATE job SET closed_as = NULL, total = 2")
    alter("UPDATE record SET status = 2, not_before = now() + interval '10 minutes'")
    assert workers(query) == 0

    # Then it asks again when its time comes
    alter("UPDATE record SET not_before = now() + interval '30 seconds' WHERE idx = 0")
    assert workers(query) == 1


def test_a_million_records_under_a_limit_ask_for_what_the_limit_can_use(door, query):
    # Given a job of a million for Claude, of which nothing is known: 50 requests per minute
    enlarge(door.submit(2, model=CLAUDE))
    assert workers(query) == 1

    # When the provider allows 60,000 a minute, then that is 1,000 calls per second of 650 that a worker makes
    limit(learned_requests=60_000)
    assert workers(query) == 2

    # When an operator allows less, or more than the provider does, then the least of them counts
    limit(requests_per_minute=600)
    assert workers(query) == 1
    limit(requests_per_minute=MILLION)
    assert workers(query) == 2

    # When no more than so many calls may be in flight, of three seconds each
    limit(requests_per_minute=None, learned_requests=MILLION, max_concurrent_calls=1_950)
    assert workers(query) == 1
    limit(max_concurrent_calls=3_900)
    assert workers(query) == 2


def test_without_a_limit_a_million_records_ask_for_more_than_there_are(door, query):
    enlarge(door.submit(2))
    assert workers(query) > 20  # that many are wanted to be done within a minute

    # Unless the job's own bound of calls in flight is one that a single worker can hold
    alter("UPDATE job SET max_concurrent = 100")
    assert workers(query) == 1


def test_slow_calls_need_more_workers_and_large_answers_fewer(door, query):
    # Given a job under a limit of 60,000 a minute, with answers
    job = enlarge(door.submit(20, model=CLAUDE))
    limit(learned_requests=60_000)
    Worker().end(job, range(10))

    # When a call takes 30 s, then 30,000 are in flight, and a worker holds 2,560
    alter("UPDATE record_output SET latency_ms = 30000")
    assert workers(query) == 12

    # When a call takes 20 tokens of an output limit of 20,000 a minute, then 500 calls of 30 s are in flight
    limit(learned_output_tokens=20_000)
    alter("UPDATE job_counts SET output_tokens = 20 * succeeded")
    assert workers(query) == 1


def test_a_held_group_asks_for_a_worker_only_when_its_next_probe_is_due(door, query):
    # Given a group that is held for an hour, and nothing else to do
    enlarge(door.submit(2, model=CLAUDE))
    hold("1 hour")
    assert workers(query) == 0

    # Then a worker is there for the probe, without which the group would be held for ever
    hold("30 seconds")
    assert workers(query) == 1
    hold("-1 minute")
    assert workers(query) == 1

    # And another group's jobs are served meanwhile
    hold("1 hour")
    enlarge(door.submit(2))
    assert workers(query) > 20


def test_the_query_is_cheap_beside_many_jobs(door, query):
    # Given thousands of jobs that have ended, hundreds that go on, and all their records
    job = door.submit(3)
    Worker().end(job, [0])
    copy_job(number_of(job), ended=20_000, live=500)

    # When KEDA asks
    plan, seconds = explained(query)

    # Then it reads unfinished jobs by their index, and no table of records from end to end
    read = [node for node in nodes(plan) if "Relation Name" in node]
    tables = {node["Relation Name"] for node in read if node["Node Type"] == "Seq Scan"}
    assert not tables & {"job", "job_counts", "record", "record_output"}, json.dumps(plan)
    assert "ix_job_live" in {node.get("Index Name") for node in nodes(plan)}
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) < 10_000
    assert seconds < 1


def test_who_asks_needs_to_read_a_few_figures_and_no_content(door, query):
    # Given a user with the rights that the chart's README grants, and no others
    door.submit(1)
    ((grants,),) = [re.findall("```sql\n(.*?)```", chart.README.read_text(), re.DOTALL)]
    alter(grants)
    try:
        # Then it can ask, and cannot read a prompt or an answer
        assert workers(query, role="penstock_scaler") == 1
        for table in ("record_input", "record_output", "job_spec", "api_key"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                workers(f"SELECT * FROM {table}", role="penstock_scaler")
    finally:
        alter("DROP OWNED BY penstock_scaler; DROP ROLE penstock_scaler")


def workers(query: str, role: str | None = None) -> int:
    with session.engine().connect() as connection:
        if role is not None:
            connection.exec_driver_sql(f"SET LOCAL ROLE {role}")
        found = connection.exec_driver_sql(query.replace("%", "%%")).scalar_one()
    assert isinstance(found, int)
    return found


def enlarge(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let a job have a million records, most of which nobody has stored."""
    alter(f"UPDATE job SET total = {MILLION} WHERE id = {number_of(job)}")
    return job


def alter(statement: str) -> None:
    with session.engine().begin() as connection:
        connection.execute(text(statement))


def limit(**figures: int | None) -> None:
    def work(open_session: Any) -> None:
        row = open_session.get(LimitGroup, GROUP) or LimitGroup(name=GROUP, updated_at=now())
        for name, figure in figures.items():
            setattr(row, name, figure)
        open_session.add(row)

    in_transaction(work)


def hold(until: str) -> None:
    limit()
    alter(f"UPDATE limit_group SET held_until = now() + interval '{until}'")


def copy_job(job_id: int, ended: int, live: int) -> None:
    """Many jobs like this one, those that have ended first."""
    last = 1_000 + ended + live
    status = f"CASE WHEN n <= {1_000 + ended} THEN 'completed' ELSE 'running' END"
    each = f"generate_series(1001, {last}) n"
    with session.engine().begin() as connection:
        columns = copied_columns(connection, "job", {"id": "n", "uid": "gen_random_uuid()", "status": status})
        connection.execute(text(f"INSERT INTO job {columns} FROM job, {each} WHERE job.id = {job_id}"))
        for table in ("job_counts", "record", "record_output"):
            columns = copied_columns(connection, table, {"job_id": "n"})
            copied = f"FROM {table}, {each} WHERE job_id = {job_id}"
            connection.execute(text(f"INSERT INTO {table} {columns} {copied}"))
    with session.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def copied_columns(connection: Any, table: str, instead: Mapping[str, str]) -> str:
    found = connection.execute(
        text("SELECT column_name FROM information_schema.columns WHERE table_name = :table"), {"table": table}
    ).scalars()
    names = sorted(set(found))
    values = ", ".join(instead.get(name, f'{table}."{name}"') for name in names)
    return "({}) SELECT {}".format(", ".join(f'"{name}"' for name in names), values)


def explained(query: str) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    workers(query)
    seconds = time.monotonic() - began
    with session.engine().connect() as connection:
        asked = f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".replace("%", "%%")
        plan = connection.exec_driver_sql(asked).scalar_one()
    return plan[0]["Plan"], seconds
