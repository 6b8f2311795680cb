"""Webhooks from end to end: registered by an SDK, sent by workers, verified by the SDKs."""

import base64
import json
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.conftest import ONE_IN_SHORT, penstock_of_its_own
from tests.support.furnished_tenant import NOTES, TEXTS
from tests.support.stack import Stack, redis_away
from tests.support.threaded_server import Served, serving
from tests.support.webhook_receiver import Receiver, receiving

HERE = "127.0.0.0/8"
WITHIN = 8.0  # seconds: the promised two, on a machine that has other work
MORE = {"WEBHOOK_NETWORKS": HERE, "DEFAULT_MODEL": "simulated", "PARSE_HANDOFF": "false"}
ASYNC = {"Prefer": "respond-async"}
TEXT, NOTE, SIMULATED = TEXTS["requests"][0], NOTES["records"][0], {"model_id": "simulated"}


@pytest.fixture(scope="module", params=ONE_IN_SHORT)
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers whose webhooks may be sent to this machine."""
    folder: Path = tmp_path_factory.mktemp("webhooks")
    with penstock_of_its_own(request.param, request, folder, **MORE) as values:
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
        name="all",
        url=receiver.url,
        event_types=["batch.completed", "job.completed"],  # type: ignore[list-item]
    )

    # When a job ends
    job = served.door.submit(3)
    both = receiver.wait_for(2)

    # Then both events came at once, and either SDK verifies them
    ended = datetime.fromisoformat(served.door.job(job)["ended_at"]).timestamp()
    for one in both:
        assert one.at - ended < WITHIN
        event = client.webhooks.unwrap(one.body, one.headers, secret=endpoint.signing_secret)
        other = Anthropic(api_key="x").beta.webhooks.unwrap(
            one.body.decode(), headers=one.headers, key=endpoint.signing_secret
        )
        assert event.id == other.id == one.headers["webhook-id"]
    bodies = {body["type"]: body for body in (json.loads(one.body) for one in both)}
    assert bodies["batch.completed"]["data"] == {"id": f"batch_{job['id'].replace('-', '')}"}
    assert bodies["job.completed"]["data"]["id"] == job["id"]
    assert bodies["job.completed"]["data"]["counts"]["succeeded"] == 3


def test_what_ends_while_redis_is_away_is_told_all_the_same(served, receiver):
    # Given a job that ends here, where no message can be sent
    with redis_away():
        job = served.door.submit(1, webhook_url=receiver.url)
        assert served.door.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200

        # Then a worker finds it by its row
        [told] = receiver.wait_for(1)
    assert json.loads(told.body)["type"] == "job.cancelled"


def test_every_contract_tells_the_end_of_its_batches(served, receiver):
    # Given a batch of each contract, with an address of its own
    door, url = served.door, receiver.url
    tenant = door.get("/api/v1/me").get_json()["tenant_id"]
    text = {"content": base64.b64encode(b"some text").decode(), "filename": "a.txt"}
    answers = [
        door.post("/batch_process", headers=ASYNC, json={"requests": [TEXT], "webhook_url": f"{url}/text"}),
        door.post("/api/v1/batch/analyze", json={"records": [NOTE], "webhook_url": f"{url}/analyze"}),
        door.post(
            "/api/v1/batch/jobs",
            json={"tenant_id": tenant, "documents": [text], "webhook_url": f"{url}/documents"},
        ),
        door.post(
            "/api/batch/create",
            data={"file": (BytesIO(b"chatId,question\n1,What?\n"), "q.csv"), "webhook_url": f"{url}/chats"},
        ),
        door.post(
            "/api/batch-processor/submit",
            json={"data": [{"prompt": "x"}], "metadata": SIMULATED, "webhook_url": f"{url}/processor"},
        ),
        door.upload("r.jsonl", b'{"prompt": "x"}\n', webhook_url=f"{url}/file"),
    ]
    jobs = [answer.headers["Penstock-Job"] for answer in answers]

    # Then each is told there, with its own job
    told = {one.path: json.loads(one.body) for one in receiver.wait_for(len(jobs))}
    assert sorted(told) == sorted(
        f"/hooks/{name}" for name in ("text", "analyze", "documents", "chats", "processor", "file")
    )
    assert {event["data"]["id"] for event in told.values()} == set(jobs)
    assert {event["type"] for event in told.values()} == {"job.completed"}
