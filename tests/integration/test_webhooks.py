"""Webhooks from end to end: registered by an SDK, sent by workers, verified by the SDKs."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.conftest import KINDS, penstock_of_its_own
from tests.support.stack import Stack
from tests.support.threaded_server import Served, serving
from tests.support.webhook_receiver import Receiver, receiving

HERE = "127.0.0.0/8"


@pytest.fixture(scope="module", params=KINDS)
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers whose webhooks may be sent to this machine."""
    folder: Path = tmp_path_factory.mktemp("webhooks")
    with penstock_of_its_own(request.param, request, folder, WEBHOOK_NETWORKS=HERE) as values:
        made = Stack(values, folder).start()
        yield made
        made.stop()


@pytest.fixture
def served(workers: Stack) -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def openai_of(served: Served) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=served.door.key, max_retries=0)


def test_the_end_of_a_job_is_told_within_two_seconds_and_both_sdks_verify_it(served, receiver):
    # Given an endpoint that the official SDK has registered
    client = openai_of(served)
    endpoint = client.webhooks.create(
        name="all", url=receiver.url, event_types=["batch.completed", "job.completed"]  # type: ignore[list-item]
    )

    # When a job ends
    job = served.door.submit(3)
    both = receiver.wait_for(2)

    # Then both events came at once, and either SDK verifies them
    ended = time.time()
    while served.door.job(job)["ended_at"] is None:
        assert time.time() - ended < 10
    for one in both:
        event = client.webhooks.unwrap(one.body, one.headers, secret=endpoint.signing_secret)
        other = Anthropic(api_key="x").beta.webhooks.unwrap(
            one.body.decode(), headers=one.headers, key=endpoint.signing_secret
        )
        assert event.id == other.id == one.headers["webhook-id"]
    bodies = {body["type"]: body for body in (json.loads(one.body) for one in both)}
    assert bodies["batch.completed"]["data"] == {"id": f"batch_{job['id'].replace('-', '')}"}
    assert bodies["job.completed"]["data"]["id"] == job["id"]
    assert bodies["job.completed"]["data"]["counts"]["succeeded"] == 3
