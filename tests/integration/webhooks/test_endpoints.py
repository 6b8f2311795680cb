"""Webhook endpoints, as OpenAI's SDK and the native contract manage them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

import httpx2
import openai
import pytest
from openai import OpenAI
from sqlalchemy import update
from standardwebhooks import Webhook, WebhookVerificationError

from app.core.webhooks import endpoints
from models.base import now
from models.session import in_transaction
from models.webhook import WebhookEndpoint, WebhookSecret
from tests.conftest import KINDS, penstock_of_its_own
from tests.support.front_door import Door
from tests.support.lost_answers import lossy_proxy
from tests.support.threaded_server import Served, serving
from tests.support.webhook_sending import send_all

ENDPOINTS = "/api/v1/webhooks"

pytestmark = pytest.mark.one_database


@pytest.fixture(params=KINDS)
def served(request: pytest.FixtureRequest, tmp_path) -> Iterator[Served]:
    with (
        penstock_of_its_own(request.param, request, tmp_path, WEBHOOK_NETWORKS="127.0.0.0/8"),
        serving() as made,
    ):
        yield made


@pytest.fixture
def client(served: Served) -> OpenAI:
    return openai_of(served, served.door)


def openai_of(served: Served, door: Door) -> OpenAI:
    return OpenAI(base_url=f"{served.url}/v1", api_key=door.key, max_retries=0)


def test_the_sdk_manages_endpoints(served, client):
    # When some are made
    made = [
        client.webhooks.create(name=f"n{n}", url=f"https://example.com/{n}", event_types=["batch.completed"])
        for n in range(3)
    ]

    # Then they are found, page by page, without their secrets
    assert all(each.signing_secret.startswith("whsec_") for each in made)
    assert len({each.signing_secret for each in made}) == 3
    page = client.webhooks.list(limit=2)
    assert [each.name for each in page.data] == ["n2", "n1"]
    assert page.has_more
    assert [each.id for each in client.webhooks.list(limit=2)] == [each.id for each in reversed(made)]
    got = client.webhooks.retrieve(made[0].id)
    assert got.object == "webhook_endpoint"
    assert got.created_at == got.updated_at == made[0].created_at
    assert got.signing_secret_hint == "whsec_…" + made[0].signing_secret[-4:]
    assert "signing_secret" not in got.model_dump(exclude={"signing_secret_hint"})
    assert got.model_extra["penstock"] == {
        "enabled": True, "disabled_at": None, "disabled_reason": None, "failing_since": None,
    }  # fmt: skip

    # And changed, and deleted
    changed = client.webhooks.update(made[0].id, name="other", event_types=["batch.failed", "batch.expired"])
    assert (changed.name, changed.url) == ("other", "https://example.com/0")
    assert changed.event_types == ["batch.failed", "batch.expired"]
    assert client.webhooks.delete(made[1].id).deleted
    with pytest.raises(openai.NotFoundError, match="deleted"):
        client.webhooks.retrieve(made[1].id)
    assert "batch.cancelled" in client.webhooks.event_types.list().data
    assert [each["name"] for each in served.door.get(ENDPOINTS).get_json()["data"]] == ["n2", "other"]

    # And a client that deletes what it lists gets to the last
    for each in client.webhooks.list(limit=1):
        client.webhooks.delete(each.id)
    assert client.webhooks.list().data == []
    with pytest.raises(openai.BadRequestError, match="give the id of a webhook endpoint; found 'x'"):
        client.webhooks.list(after="x")


def test_what_cannot_be_sent_to_is_a_400_in_openais_shape(served, client):
    for asked, param in [
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "url"),
        ({"url": "gopher://example.com"}, "url"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["response.completed"]}, "event_types[0]"),
        ({"name": ""}, "name"),
    ]:
        body = {"name": "n", "url": "https://example.com", "event_types": ["batch.completed"]} | asked
        with pytest.raises(openai.BadRequestError) as caught:
            client.webhooks.create(**body)
        assert caught.value.param == param, asked
        assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{served.url}/v1", api_key="pk_no", max_retries=0).webhooks.list()
    with pytest.raises(openai.PermissionDeniedError, match="'webhooks'"):
        openai_of(served, served.door.colleague("bob")).webhooks.list()
    with pytest.raises(openai.NotFoundError):
        client.post("/webhook_endpoints/we_1/nothing", cast_to=object)


def test_a_create_whose_answer_is_lost_makes_one_endpoint_and_tells_its_secret(served, client, receiver):
    asked = {"name": "n", "url": receiver.url, "event_types": ["batch.completed"]}
    with lossy_proxy(urlsplit(served.url).port) as proxy:
        proxy.to_lose = 1
        made = OpenAI(base_url=f"{proxy.url}/v1", api_key=served.door.key, max_retries=2).webhooks.create(
            **asked
        )
    assert proxy.lost == 1

    # Then there is one, whose secret is the one that was told
    assert [each.id for each in client.webhooks.list()] == [made.id]
    client.webhooks.test(made.id, event_type="batch.completed")
    [sent] = receiver.wait_for(1)
    client.webhooks.unwrap(sent.body, sent.headers, secret=made.signing_secret)

    # And two deliberate ones are two
    assert client.webhooks.create(**asked).id != client.webhooks.create(**asked).id
    assert len(list(client.webhooks.list())) == 3


@pytest.mark.parametrize("path", ["/v1/webhook_endpoints", ENDPOINTS])
def test_a_named_create_is_the_same_for_a_day(served, path):
    # Given an endpoint that was made under a name
    asked = {"name": "n", "url": "https://example.com", "event_types": ["job.completed"]}
    named = {"Idempotency-Key": "mine"}
    first = served.door.post(path, json=asked, headers=named)

    # Then the name stands for it and its secret, for no other content, and for no other tenant
    assert first.status_code in (200, 201)
    assert served.door.post(path, json=asked, headers=named).get_json() == first.get_json()
    other = served.door.post(path, json=asked | {"name": "other"}, headers=named)
    assert other.status_code in (400, 422)
    assert "used for another endpoint" in other.text
    strangers = served.door.other().post(path, json=asked, headers=named).get_json()
    assert strangers["id"] != first.get_json()["id"]
    assert len(served.door.get(ENDPOINTS).get_json()["data"]) == 1

    # And after a day it is free again
    ago = update(WebhookEndpoint).values(created_at=now(-86_401))
    in_transaction(lambda session: session.execute(ago) and None)
    assert served.door.post(path, json=asked, headers=named).get_json()["id"] != first.get_json()["id"]
    for wrong in ("", "a b", "x" * 256):
        assert served.door.post(path, json=asked, headers={"Idempotency-Key": wrong}).status_code in (
            400,
            422,
        )


def test_many_at_once_are_no_more_than_a_tenant_may_have(served):
    asked = {"name": "n", "url": "https://example.com", "event_types": ["job.completed"]}
    for _ in range(endpoints.MOST - 2):
        in_transaction(partial(endpoints.create, tenant_id=served.door.tenant_id, **asked))

    def create(_: int) -> tuple[int, str | None]:
        headers = {"Authorization": f"Bearer {served.door.key}"}
        answer = httpx2.post(f"{served.url}/v1/webhook_endpoints", json=asked, headers=headers)
        return answer.status_code, answer.headers.get("x-should-retry")

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(create, range(8))) == [(200, None)] * 2 + [(409, "false")] * 6
    assert len(served.door.get(ENDPOINTS, query_string={"limit": 100}).get_json()["data"]) == endpoints.MOST


def test_after_a_rotation_both_secrets_sign_for_a_day(served, client, receiver):
    # Given an endpoint whose secret was replaced, and stays valid for a day
    made = client.webhooks.create(name="n", url=receiver.url, event_types=["batch.cancelled"])
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    assert rotated.signing_secret != made.signing_secret

    # When an event is sent, then either secret verifies it
    cancelled(served)
    [first] = receiver.wait_for(1)
    for secret in (made.signing_secret, rotated.signing_secret):
        client.webhooks.unwrap(first.body, first.headers, secret=secret)
        Webhook(secret).verify(first.body, first.headers)

    # And after that day only the new one
    in_transaction(
        lambda session: (
            session.execute(
                update(WebhookSecret).where(WebhookSecret.expires_at.is_not(None)).values(expires_at=now(-1))
            )
            and None
        )
    )
    cancelled(served)
    second = receiver.wait_for(2)[1]
    Webhook(rotated.signing_secret).verify(second.body, second.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(made.signing_secret).verify(second.body, second.headers)

    # And a rotation without a word ends the old one at once
    last = client.webhooks.rotate_secret(made.id)
    cancelled(served)
    third = receiver.wait_for(3)[2]
    Webhook(last.signing_secret).verify(third.body, third.headers)
    assert len(third.headers["webhook-signature"].split(" ")) == 1


def test_the_sdk_tries_an_endpoint_out(served, client, receiver):
    made = client.webhooks.create(name="n", url=receiver.url, event_types=["batch.completed"])

    # When it is tried, the sample is signed as a real event is, and the answer's status is told
    tried = client.webhooks.test(made.id, event_type="batch.failed")
    assert (tried.success, tried.status_code, tried.webhook_endpoint_id) == (True, 204, made.id)
    [sent] = receiver.wait_for(1)
    event = client.webhooks.unwrap(sent.body, sent.headers, secret=made.signing_secret)
    assert event.type == "batch.failed"
    receiver.status = 500
    assert client.webhooks.test(made.id, event_type="job.completed").status_code == 500
    answer = served.door.post(f"{ENDPOINTS}/{made.id}/test", json={"event_type": "job.expired"})
    assert answer.get_json() == {"status_code": 500}

    # And an address where nobody is, is a 400 that says so
    client.webhooks.update(made.id, url="http://127.0.0.1:1/")
    with pytest.raises(openai.BadRequestError, match=r"could not be reached: .*127\.0\.0\.1"):
        client.webhooks.test(made.id, event_type="batch.failed")


def test_a_tenants_endpoints_are_its_own(served, client):
    made = client.webhooks.create(name="n", url="https://example.com", event_types=["batch.completed"])
    stranger = openai_of(served, served.door.other())

    assert list(stranger.webhooks.list()) == []
    for call in (
        stranger.webhooks.retrieve,
        stranger.webhooks.delete,
        stranger.webhooks.rotate_secret,
        partial(stranger.webhooks.update, url="https://example.org"),
        partial(stranger.webhooks.test, event_type="batch.completed"),
    ):
        with pytest.raises(openai.NotFoundError):
            call(made.id)
    mine = client.webhooks.retrieve(made.id)
    assert (mine.name, mine.url) == ("n", "https://example.com")


def cancelled(served: Served) -> None:
    """The end of a job, and what is sent of it."""
    job = served.door.submit(1)
    assert served.door.post(f"/api/v1/jobs/{job['id']}/cancel").status_code == 200
    send_all()
