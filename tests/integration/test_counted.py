"""What processes count: added up over all of them, in agreement with the books, whatever Redis does."""

import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from celery.app.task import Context
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from redis import RedisError, TimeoutError
from sqlalchemy import func, select

from app.core.limits import allowances
from app.core.measures import metrics, proven, sharing
from app.core.measures.counts import MAX_SERIES, OTHER, SUM, Counts, counts
from app.core.money.pricing import PICO
from app.core.monitoring import own_standing
from app.core.monitoring.collector import System
from config import settings
from models import Window
from models.session import in_transaction, reading
from tasks import measuring
from tests.conftest import ONE_IN_SHORT
from tests.support.servers import RedisServer, wait_until
from tests.support.stack import Stack, redis_at, redis_away

MODEL = {"provider": "anthropic", "model": "claude-haiku-4-5"}


def scraped() -> Callable[..., float]:
    """`value(name, label=…)`: the sum of the samples with these labels."""
    registry = CollectorRegistry()
    registry.register(System())
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))

    def value(name: str, **labels: Any) -> float:
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    return value


@pytest.mark.parametrize("environment", ONE_IN_SHORT, indirect=True)
def test_calls_records_tokens_and_cost_of_all_workers_are_those_of_the_books(stack: Stack, upstream) -> None:
    # Given two slice workers, and a provider that fails now and then, and refuses one record
    faults = [
        {"kind": "status", "status": 400, "matching": "Prompt 7"},
        {"kind": "status", "status": 500, "share": 0.3, "first_of_each": 1},
    ]
    upstream.configure(latency_ms=30, faults=faults)
    stack.environment |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": upstream.url}
    in_transaction(partial(allowances.put, group="anthropic:haiku-4.5", figures={"requests": 6_000}))
    stack.start(slice_workers=2)
    wait_until(lambda: scraped()("penstock_processes") == 3)
    pool = scraped()

    # And a document in a store that does not give it
    key = "00/document"
    (Path(urlsplit(settings.current().object_store_url).path) / key).mkdir(parents=True)
    stack.submit([{"document": {"key": key, "media_type": "text/plain"}}], model="claude-haiku-4-5")

    # When a job has ended, and the workers with it
    job = stack.prompts(60, model="claude-haiku-4-5").wait_for("completed")
    stack.stop()

    # Then what was counted is what the rows say
    value, attempts, row = scraped(), job.attempts(), job.counts()
    answered = [attempt for attempt in attempts if attempt.outcome == "answered" and not attempt.error_type]
    assert (row.succeeded, row.failed) == (59, 1)
    assert len(attempts) > 60
    assert value("penstock_records_total", outcome="succeeded", error_type="") == 59
    assert value("penstock_records_total", outcome="failed", error_type="invalid_request_error") == 1
    assert value("penstock_calls_total", **MODEL) == len(attempts)
    assert value("penstock_calls_total", error_type="server_error", **MODEL) == len(attempts) - 60
    assert value("penstock_call_duration_seconds_count", **MODEL) == len(answered)
    assert value("penstock_call_first_byte_seconds_count", **MODEL) == len(answered)
    assert value("penstock_call_tokens_total", kind="output", **MODEL) == row.output_tokens
    assert value("penstock_call_cost_dollars_total", **MODEL) == pytest.approx(float(row.cost / PICO))
    assert value("penstock_documents_not_fetched_total") >= 1
    # And windows, slices and messages were measured
    with reading() as session:
        windows = session.scalar(select(func.count()).where(Window.closed_at.is_not(None)))
    assert value("penstock_window_duration_seconds_count") == windows
    assert value("penstock_slice_duration_seconds_count") == value(
        "penstock_queue_wait_seconds_count", queue="slices"
    )
    # And those that live are told of, no longer
    assert pool("penstock_processes", role="slices") == 2
    assert pool("penstock_pool_connections", role="slices", state="most") >= 32
    assert pool("penstock_process_memory_bytes", role="control") > 20_000_000
    assert value("penstock_processes") == 0


@pytest.mark.one_database
def test_a_message_that_comes_again_waited_in_no_queue(environment) -> None:
    for redelivered in (True, False):
        delivery = {"routing_key": "slices", "redelivered": redelivered}
        request = Context(delivery_info=delivery, penstock_sent_at=time.time() - 720)
        measuring._observe(SimpleNamespace(request=request))

    assert [total for series, total in sharing.read_counts().items() if series.part != SUM] == [1]


@pytest.mark.one_database
def test_what_is_counted_while_redis_is_away_comes_later(environment) -> None:
    counts.add(metrics.CALLS, "p", "m", "answered", "")
    with redis_away(), pytest.raises(RedisError):
        sharing.read_counts()
    counts.add(metrics.CALLS, "p", "m", "answered", "", by=2)

    assert list(sharing.read_counts().values()) == [3]
    assert list(sharing.read_counts().values()) == [3]  # and only once


@pytest.mark.one_database
def test_what_a_frozen_redis_takes_late_counts_once(environment) -> None:
    # Given a Redis that takes requests, and answers none in time
    redis = RedisServer()
    redis.start()
    with redis_at(redis.url):
        counts.add(metrics.RECOVERED_LEASES)
        sharing.read_counts()
        os.kill(redis.process.pid, signal.SIGSTOP)
        counts.add(metrics.RECOVERED_LEASES)
        with pytest.raises(TimeoutError):
            sharing.hand_over()

        # When it goes on, and reads what was given up, while the process sends it again with what is new
        os.kill(redis.process.pid, signal.SIGCONT)
        counts.add(metrics.RECOVERED_LEASES)
        found = sharing.read_counts()
        redis.kill()

    # Then all is counted, and nothing twice
    assert list(found.values()) == [3]


@pytest.mark.one_database
def test_a_release_with_other_buckets_is_understood(environment) -> None:
    other = replace(metrics.CALL_SECONDS, buckets=(0.3, 0.5, 2_000))
    for seconds in (0.2, 0.4, 1_900.0, 3_000.0):
        counts.observe(other, seconds, "p", "m")

    value = scraped()
    assert value("penstock_call_duration_seconds_bucket", le="0.25") == 0
    assert value("penstock_call_duration_seconds_bucket", le="0.5") == 2
    assert value("penstock_call_duration_seconds_bucket", le="1800.0") == 2
    assert value("penstock_call_duration_seconds_count") == 4


@pytest.mark.one_database
def test_forked_processes_add_up_and_none_counts_for_its_parent(environment) -> None:
    def count() -> None:
        counts.observe(metrics.CALL_SECONDS, 0.2, "p", "m")
        sharing._client.cache_clear()
        sharing.hand_over()

    counts.observe(metrics.CALL_SECONDS, 700.0, "p", "m")
    children = [multiprocessing.get_context("fork").Process(target=count) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()

    value = scraped()
    assert value("penstock_call_duration_seconds_bucket", le="0.25") == 3
    assert value("penstock_call_duration_seconds_bucket", le="600.0") == 3
    assert value("penstock_call_duration_seconds_count") == 4
    assert value("penstock_call_duration_seconds_sum") == pytest.approx(700.6)


@pytest.mark.one_database
def test_a_process_that_says_nothing_more_is_no_longer_told_of(environment, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "EVERY", 0.01)
    sharer = own_standing.share("web")
    wait_until(lambda: len(sharing.read_processes()) == 1)
    sharer._stopped.set()  # killed: it cannot take leave

    monkeypatch.setattr(sharing, "ALIVE", 0.0)
    wait_until(lambda: sharing.read_processes() == [])


@pytest.mark.one_database
def test_a_process_that_cannot_say_how_it_stands_counts_on(environment, monkeypatch) -> None:
    monkeypatch.setattr(sharing, "EVERY", 0.01)
    asked = []

    def standing() -> sharing.Standing:
        asked.append(1)
        raise ProcessLookupError

    sharer = sharing.Sharer(standing)
    wait_until(lambda: len(asked) > 2)
    sharer.stop()


def test_a_name_that_a_caller_made_up_is_no_label_until_it_is_answered() -> None:
    made_up = f"claude-{uuid.uuid4().hex}"
    assert proven.model("claude-haiku-4-5-20251001") == "claude-haiku-4-5-20251001"
    assert proven.group("anthropic:haiku-4.5") == "anthropic:haiku-4.5"
    assert (proven.model(made_up), proven.group(f"anthropic:{made_up}")) == (OTHER, OTHER)

    proven.answered(made_up)
    assert (proven.model(made_up), proven.group(f"anthropic:{made_up}")) == (made_up, f"anthropic:{made_up}")


def test_labels_that_others_choose_do_not_grow_for_ever() -> None:
    of_process = Counts()
    for number in range(MAX_SERIES + 500):
        of_process.add(metrics.CALLS, "p", f"model-{number}", "answered", "")
    of_process.add(metrics.CALLS, "p", "model-3", "answered", "")

    taken = of_process.take()
    assert len(taken) == MAX_SERIES + 1
    assert taken[metrics.CALLS.name, (OTHER,) * 4, ""] == 500
    assert taken[metrics.CALLS.name, ("p", "model-3", "answered", ""), ""] == 2
    assert of_process.take() == {}
