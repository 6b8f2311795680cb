"""`GET /metrics`: who may read it, what it says, and that it says what it can when something is away."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from app.core.limits import limiter
from app.core.measures import metrics
from app.core.monitoring import collector
from app.core.pipeline import leases
from app.factory import create_app
from config import settings
from models import JobCounts, session
from models.base import now
from models.session import in_transaction
from tasks import sweep
from tests.support import servers
from tests.support.front_door import Door, Worker, number_of

pytestmark = pytest.mark.one_database


@pytest.fixture
def door(environment):
    return Door()


def test_this_machine_and_its_private_networks_need_no_key(door):
    for address in (
        "127.0.0.1",
        "10.1.2.3",
        "172.31.0.9",
        "192.168.1.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
    ):
        assert scrape_from(door, address).status_code == 200, address


def test_callers_from_elsewhere_need_a_key_with_a_scope_that_no_admin_has(door):
    scraper, operator = door.other(scopes=["metrics"]), door.other(scopes=["operator"])
    without = door.other(scopes=["admin"])
    for address in ("203.0.113.9", "172.32.0.1", "2001:db8::1", "::ffff:8.8.8.8", ""):
        assert scrape_from(door, address).status_code == 401, address
        assert scrape_from(door, address, **scraper.headers).status_code == 200, address
        assert scrape_from(door, address, **operator.headers).status_code == 200, address
        refused = scrape_from(door, address, **without.headers)
        assert refused.status_code == 403, address
        assert "'metrics'" in refused.get_json()["error"]["message"]


def test_what_came_through_a_proxy_needs_a_key_whatever_its_headers_say(door):
    operator = door.other(scopes=["operator"])
    for header in (
        "X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Proto", "X_Forwarded_For",
        "CF-Connecting-IP", "CF-Ray", "True-Client-IP", "Fly-Client-IP", "X-Amzn-Trace-Id", "X-Request-Id",
    ):  # fmt: skip
        claim = {header: "127.0.0.1"}
        assert scrape_from(door, "127.0.0.1", **claim).status_code == 401, header  # a proxy on this machine
        assert scrape_from(door, "203.0.113.9", **claim).status_code == 401, header
        assert scrape_from(door, "127.0.0.1", **claim, **operator.headers).status_code == 200, header


def test_a_proxy_that_is_named_is_not_nearby_though_it_adds_no_header(door, monkeypatch):
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.2, 10.9.0.0/16")
    settings.current.cache_clear()
    for address in ("10.0.0.2", "::ffff:10.0.0.2", "10.9.8.7"):
        assert scrape_from(door, address).status_code == 401, address
    assert scrape_from(door, "10.0.0.3").status_code == 200


def test_a_scraper_and_a_browser_are_known_by_what_they_send(door):
    for headers in (
        {"Accept": "text/plain", "X-Prometheus-Scrape-Timeout-Seconds": "10", "User-Agent": "Prometheus/3"},
        {"Accept-Language": "en", "Sec-Fetch-Mode": "navigate", "Upgrade-Insecure-Requests": "1"},
    ):
        assert scrape_from(door, "127.0.0.1", **headers).status_code == 200


def test_every_metric_is_there_and_no_other(door):
    found = {family.name: family for family in families(door.client)}
    asked_by_prometheus = {"Accept": "application/openmetrics-text; version=1.0.0"}
    text = door.client.get("/metrics", headers=asked_by_prometheus).text
    assert {family.name for family in openmetrics.text_string_to_metric_families(text)} == set(found)

    ours = {
        name: family.type
        for name, family in found.items()
        if not name.startswith("process_") and not name.endswith("_created")
    }
    assert ours == {metric.name.removesuffix("_total"): metric.kind for metric in metrics.ALL}
    assert "process_resident_memory_bytes" in found


def test_jobs_records_answers_and_cost_are_those_of_the_rows(door, monkeypatch):
    # Given jobs of two tenants: answers that ended in words of the Messages API, in another one and without a
    # word, with a price and without, a failure, a closed job, and a copy
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    settings.current.cache_clear()
    worker, mine = Worker(), door.submit(7)
    for index, reason in enumerate(["end_turn", "end_turn", "max_tokens", "out_of_paper", None]):
        answer = {"content": [{"type": "text", "text": "Good."}], "stop_reason": reason}
        worker.end(mine, [index], answer=json.dumps(answer).encode())
    worker.end(mine, [5], error=("invalid_request", "no"))
    paid = door.other().submit(2, model="claude-haiku-4-5")
    worker.end(paid, [0], model="claude-haiku-4-5")
    twice = door.submit([{"prompt": "Say it."}, {"prompt": "Say it."}], dedupe=True)
    worker.end(twice, [0])
    closed = door.submit(4)
    door.post(f"{closed['links']['self']}/cancel")
    sweep.sweep_once()

    # When they are scraped
    said = values(door.client)

    # Then the sums are over all tenants, and no label names one of them
    assert sum(value for (name, *_), value in said.items() if name == "penstock_jobs") == 3
    assert said["penstock_jobs_ended_total", "cancelled"] == 1
    assert said["penstock_jobs_ended_total", "failed"] == 0  # so that the first one is an increase
    assert said["penstock_records_total", "", "succeeded"] == 8
    assert said["penstock_records_total", "invalid_request", "failed"] == 1
    assert said["penstock_records_total", "", "cancelled"] == 4
    assert sum_of(said, "penstock_call_tokens_total", "input") == 80
    assert sum_of(said, "penstock_call_tokens_total", "output") == 40
    cost = Decimal(door.other().get("/api/v1/usage").get_json()["total"]["cost"])
    assert 0 < sum_of(said, "penstock_call_cost_dollars_total") == pytest.approx(float(cost))
    assert said["penstock_call_cost_unconfirmed_dollars_total", "claude-haiku-4-5", "anthropic"] == 0
    reasons = {name[1]: value for name, value in said.items() if name[0] == "penstock_stop_reasons_total"}
    assert reasons == {"end_turn": 2, "max_tokens": 1, "other": 1}


def test_limit_groups_queues_and_workers_are_seen(door, monkeypatch):
    # Given a limit, a worker, an upload, a job whose slices nobody takes, and its group that is held
    operator = door.other(scopes=["operator"])
    operator.call("PUT", "/api/v1/limits/simulated", json={"requests_per_minute": 120})
    Worker()
    in_transaction(partial(leases.take, works=False))
    door.submit(3)
    limiter.limiter().hold("simulated", "account: no_key", seconds=60, every=60)

    said = values(door.client)

    assert said["penstock_limit_allowed", "simulated", "requests"] == 120
    assert ("penstock_limit_allowed", "simulated", "input_tokens") not in said
    assert said["penstock_limit_used", "simulated", "requests"] == 0
    assert said["penstock_calls_in_flight", "simulated"] == 0
    assert said["penstock_last_sweep_seconds", "beat"] >= 0
    assert 0 < said["penstock_data_free_ratio",] < 1
    held = {cause: said["penstock_group_held", cause, "simulated"] for cause in limiter.CAUSES}
    assert held == {"account": 1, "provider": 0, "configuration": 0}
    # A hold that nobody has tried for long wakes nobody.
    monkeypatch.setattr(collector, "UNASKED", -3_600)
    assert values(Door().client)["penstock_group_held", "account", "simulated"] == 0
    assert said["penstock_queue_messages", "slices"] == 3
    assert said["penstock_queue_messages", "control"] == 0
    assert said["penstock_workers",] == 1


def test_models_that_callers_make_up_hide_no_group(door, monkeypatch):
    # Given jobs for models that nobody has, and a job for one that is known
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    monkeypatch.setattr(collector, "MAX_GROUPS", 2)
    settings.current.cache_clear()
    for model in ("claude-aaa-1", "claude-aab-1", "claude-opus-4-5"):
        door.submit(1, model=model)

    # Then that one's group is among those that there is room for
    groups = {name[1] for name in values(door.client) if name[0] == "penstock_calls_in_flight"}
    assert groups == {"anthropic:opus-4", "anthropic:claude-aaa-1"}


def test_a_job_that_is_overdue_is_counted_with_how_long_it_waits(door):
    job_id = number_of(door.submit(1))
    in_transaction(
        lambda session: (
            session.execute(update(JobCounts).where(JobCounts.job_id == job_id).values(wake_at=now(-90)))
            and None
        )
    )

    said = values(door.client)

    assert said["penstock_stuck_jobs",] == 1
    assert 90 <= said["penstock_oldest_due_seconds",] < 120


def test_requests_are_measured_by_route_and_nobody_can_make_up_a_label(door):
    # Given requests to a job, to nowhere, and with a method of the caller's invention
    job = door.submit(1)
    door.get(job["links"]["self"])
    door.get("/api/v1/jobs/nothing")
    door.get(f"/{job['id']}")
    door.call("BREW", "/api/v1/jobs")
    door.client.get("/api/v1/me")

    said = values(door.client)

    measured = {
        (route, method, status): value
        for (name, *labels), value in said.items()
        if name == "penstock_http_request_duration_seconds_count"
        for method, route, status in [labels]
    }
    assert measured == {
        ("/api/v1/jobs", "POST", "202"): 1,
        ("/api/v1/jobs/<job_id>", "GET", "200"): 1,
        ("/api/v1/jobs/<job_id>", "GET", "404"): 1,
        ("/api/v1/me", "GET", "401"): 1,
        ("none", "none", "404"): 1,
        ("none", "none", "405"): 1,
    }


def test_a_storm_of_scrapes_costs_one_reading(door, statements):
    with statements() as sent, ThreadPoolExecutor(16) as scrapers:
        for response in [scrapers.submit(door.client.get, "/metrics") for _ in range(64)]:
            assert response.result().status_code == 200

    assert sum("GROUP BY job.status" in statement for statement in sent) == 1


def test_a_scrape_reads_no_job_that_has_ended(door, statements_with_values):
    with statements_with_values() as sent:
        assert door.client.get("/metrics").status_code == 200

    assert len(sent) > 10
    with session.engine().connect() as connection:
        for statement, given in sent.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)
            assert not {step.detail for step in plan} & {"SCAN job", "SCAN job_counts"}, statement


def test_a_redis_that_is_full_or_stopped_hides_nothing_that_the_rows_say(door, monkeypatch):
    # Given a Redis that takes no more, and then takes connections and answers nothing
    redis = servers.RedisServer()
    redis.start()
    try:
        monkeypatch.setenv("REDIS_URL", redis.url)
        monkeypatch.setattr(collector, "PATIENCE", 0.3)
        settings.current.cache_clear()
        limiter.limiter.cache_clear()
        limiter.limiter()._redis.config_set("maxmemory", "1")
        full = values(Door().client)
        os.kill(redis.process.pid, signal.SIGSTOP)
        door = Door()
        door.submit(2)

        said = values(door.client)
    finally:
        redis.kill()

    # Then it is said which part is away
    assert (full["penstock_answers", "limiter"], full["penstock_answers", "database"]) == (0, 1)
    answers = {part: said["penstock_answers", part] for part in ("database", "limiter", "counts", "broker")}
    assert answers == {"database": 1, "limiter": 0, "counts": 0, "broker": 0}
    assert said["penstock_jobs", "pending"] == 1
    assert ("penstock_queue_messages", "slices") not in said


def test_a_database_that_is_stopped_hides_nothing_of_the_rest(door, monkeypatch):
    # Given a database that takes connections and answers nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x")
        monkeypatch.setattr(collector, "ROWS_PATIENCE", 0.3)
        settings.current.cache_clear()
        session.engine().dispose()
        session.engine.cache_clear()

        said = values(create_app().test_client())

    answers = {part: said["penstock_answers", part] for part in ("database", "limiter", "counts", "broker")}
    assert answers == {"database": 0, "limiter": 1, "counts": 1, "broker": 1}


def sum_of(said, *name):
    return sum(value for labels, value in said.items() if set(name) <= set(labels))


def scrape_from(door, address, **headers):
    return door.client.get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": address})


def families(client):
    return text_string_to_metric_families(client.get("/metrics").text)


def values(client):
    """Every sample: (name, values of the labels in alphabetic order of their names) -> value."""
    return {
        (sample.name, *(sample.labels[label] for label in sorted(sample.labels))): sample.value
        for family in families(client)
        for sample in family.samples
    }
