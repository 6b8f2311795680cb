"""Webhooks from end to end: registered by an SDK, sent by workers, verified by the SDKs."""

import json
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI

from app.factory import create_app
from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until
from tests.support.stack import Stack, redis_away
from tests.support.threaded_server import Served, serving
from tests.support.webhook_doors import CREATES

SHORT = ("sqlite", pytest.param("postgresql", marks=pytest.mark.long))
MESSAGES = "/v1/messages/batches"
HERE = "127.0.0.0/8"
WITHIN = 8.0  # seconds: the promised two, on a machine that has other work
MORE = {
    "WEBHOOK_NETWORKS": HERE,
    "DEFAULT_MODEL": "simulated",
    "PARSE_HANDOFF": "false",
    "ANTHROPIC_API_KEY": "is not used",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
}


@pytest.fixture(scope="module", params=SHORT)
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Workers whose webhooks may be sent to this machine."""
    folder: Path = tmp_path_factory.mktemp("webhooks")
    with penstock_of_its_own(request.param, request, folder, **MORE) as values:
        made = Stack(values, folder).start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def app(workers: Stack) -> Any:
    return create_app()


@pytest.fixture
def door(app: Any) -> Door:
    """Of a tenant of the test's own."""
    return Door(uuid.uuid4().hex, app=app)


@pytest.fixture
def served(door: Door) -> Iterator[Served]:
    with serving(door) as served:
        yield served


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
    # Given a job that waits, its cap too low for a call, and is ended here, where no message can be sent
    job = served.door.submit(1, model="claude-haiku-4-5", max_cost="0.000001", webhook_url=receiver.url)
    wait_until(lambda: served.door.job(job)["status"] == "paused")
    with redis_away():
        assert served.door.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200

        # Then a worker finds it by its row
        [told] = receiver.wait_for(1)
    assert json.loads(told.body)["type"] == "job.cancelled"


@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.name)
def test_the_end_of_a_batch_of_every_contract_is_told_to_its_own_address(door, receiver, create):
    # Given the secret of what is sent to addresses of jobs
    secret = door.get("/api/v1/webhook-secret").get_json()["secret"]

    # When a batch with such an address ends
    answer = create.send(door, receiver.url)
    assert answer.status_code in (200, 201, 202), answer.text
    [told] = receiver.wait_for(1)

    # Then either SDK verifies what is told there, and it names the job
    event = OpenAI(api_key="x").webhooks.unwrap(told.body, told.headers, secret=secret)
    other = Anthropic(api_key="x").beta.webhooks.unwrap(told.body.decode(), headers=told.headers, key=secret)
    assert event.id == other.id
    body = json.loads(told.body)
    assert (body["type"], body["data"]["id"]) == ("job.completed", answer.headers["Penstock-Job"])


@pytest.mark.parametrize("create", CREATES, ids=lambda create: create.name)
def test_an_address_that_is_private_is_refused_by_every_contract_in_its_own_shape(door, create):
    for url in ("https://169.254.169.254/latest", "https://[::ffff:10.0.0.1]/", "http://8.8.8.8/"):
        refused = create.send(door, url)

        assert refused.status_code == create.status, refused.text
        said = create.named(refused.get_json())
        assert "webhook_url" in said
        assert "WEBHOOK_NETWORKS" in said or "by https" in said


def test_the_address_of_a_message_batch_is_checked_before_anything_is_stored(door):
    params = {"model": "simulated", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]}
    asked = {"requests": [{"custom_id": "a", "params": params}]}

    # When it is no address, or there is another field
    for url in (5, [], "example.com", "https://example.com/" + "x" * 2_048):
        refused = door.post(MESSAGES, json=asked | {"webhook_url": url})
        assert refused.status_code == 400, url
        assert refused.get_json()["error"]["message"].startswith("webhook_url: ")
    assert "webhook: there is no such field" in door.post(MESSAGES, json=asked | {"webhook": "x"}).text

    # Then there is no batch; and none that says `null` wants to be told
    assert door.get(MESSAGES).get_json()["data"] == []
    assert door.post(MESSAGES, json=asked | {"webhook_url": None}).status_code == 200


def test_a_batch_that_is_invalid_is_told_as_one_that_has_failed(served, receiver):
    # Given an endpoint for failures, and a batch whose only request is none
    client = openai_of(served)
    endpoint = client.webhooks.create(
        name="failures",
        url=f"{receiver.url}/failures",
        event_types=["batch.failed", "job.failed"],  # type: ignore[list-item]
    )
    began = time.time()
    batch = client.batches.create(
        completion_window="24h",
        endpoint="/v1/chat/completions",
        input_file_id=None,  # type: ignore[arg-type]
        extra_body={"requests": [{"custom_id": "a", "body": []}], "webhook_url": f"{receiver.url}/own"},
    )
    assert batch.status == "failed"

    # Then its end is told at once, with ids that every contract takes
    told = {(one.path, json.loads(one.body)["type"]): one for one in receiver.wait_for(3)}
    assert set(told) == {
        ("/hooks/failures", "batch.failed"), ("/hooks/failures", "job.failed"), ("/hooks/own", "job.failed"),
    }  # fmt: skip
    assert all(one.at - began < WITHIN for one in told.values())
    one = told["/hooks/failures", "batch.failed"]
    event = client.webhooks.unwrap(one.body, one.headers, secret=endpoint.signing_secret)
    assert event.type == "batch.failed"
    assert event.data.id == batch.id
    assert client.batches.retrieve(event.data.id).id == batch.id
    of_job = json.loads(told["/hooks/own", "job.failed"].body)["data"]
    assert "requests are invalid" in of_job["status_reason"]
    assert served.door.get(f"/api/v1/jobs/{of_job['id']}").get_json()["id"] == of_job["id"]


def test_the_id_of_an_event_is_taken_by_every_contract(served, receiver):
    client = openai_of(served)
    client.webhooks.create(name="all", url=receiver.url, event_types=["batch.completed"])
    served.door.submit(1)
    [told] = receiver.wait_for(1)

    name = json.loads(told.body)["data"]["id"]

    assert client.batches.retrieve(name).id == name
    anthropic = Anthropic(base_url=served.url, api_key=served.door.key, max_retries=0)
    assert anthropic.messages.batches.retrieve(name).id == f"msg{name}"


def test_a_call_that_somebody_waits_for_is_no_batch(served, receiver):
    # Given one who is told of every end, and a batch before and after a single call
    client = openai_of(served)
    client.webhooks.create(
        name="all",
        url=receiver.url,
        event_types=["batch.completed", "job.completed"],  # type: ignore[list-item]
    )
    before = served.door.submit(1)
    answer = client.chat.completions.with_raw_response.create(
        model="simulated", messages=[{"role": "user", "content": "Why?"}]
    )
    single = answer.headers["Penstock-Job"]
    after = served.door.submit(1)

    # Then nothing is told of the call
    told = [json.loads(one.body) for one in receiver.wait_for(4)]
    ids = {each["data"]["id"] for each in told if each["type"] == "job.completed"}
    assert ids == {before["id"], after["id"]}

    # And no list has it, in either direction; it is found by its id
    anthropic = Anthropic(base_url=served.url, api_key=served.door.key, max_retries=0)
    batches = {f"batch_{job['id'].replace('-', '')}" for job in (before, after)}
    assert {each.id for each in client.batches.list()} == batches
    listed = list(anthropic.messages.batches.list())
    assert {each.id.removeprefix("msg") for each in listed} == batches
    back = anthropic.messages.batches.list(before_id=listed[-1].id)
    assert [each.id for each in back.data] == [listed[0].id]
    assert [each["id"] for each in served.door.get(JOBS).get_json()["data"]] == [after["id"], before["id"]]
    assert served.door.get(f"{JOBS}/{single}").get_json()["id"] == single


def test_a_job_that_is_paused_is_told_with_the_reason(served, receiver):
    # Given a job whose cap is too low for a call
    openai_of(served).webhooks.create(name="p", url=receiver.url, event_types=["job.paused"])  # type: ignore[list-item]
    job = served.door.submit(1, model="claude-haiku-4-5", max_cost="0.000001")

    # Then its pause is told, and why
    [told] = receiver.wait_for(1)
    body = json.loads(told.body)
    assert (body["type"], body["data"]["id"], body["data"]["status"]) == ("job.paused", job["id"], "paused")
    assert "max_cost" in body["data"]["status_reason"]
    assert body["data"]["ended_at"] is None
    assert body["data"]["counts"]["succeeded"] == 0
