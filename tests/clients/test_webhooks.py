"""What is sent when a batch ends, verified and read by the SDKs with no code of ours."""

import json

import pytest

from tests.support.webhook_receiver import receiving

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def sent(house):
    """The event of a batch that has ended, as it arrived, with the secret of its endpoint."""
    with receiving() as receiver:
        told = house.python("openai", "openai_webhook_sent", RECEIVER=receiver.url, **house.tenant())
        _, ended = sorted(receiver.wait_for(2), key=lambda one: told["batch"].encode() in one.body)
    delivery = {"headers": ended.headers, "body": ended.body.decode(), "secret": told["secret"]}
    return told["batch"], {"DELIVERY": json.dumps(delivery)}


def test_openais_sdk_reads_the_event_and_refuses_a_changed_one(house, sent):
    batch, delivery = sent
    found = house.python("openai", "openai_webhook", **delivery)
    assert found == {"event": "BatchCompletedWebhookEvent", "type": "batch.completed", "id": batch}


def test_anthropics_sdk_verifies_the_event_and_refuses_a_changed_one(house, sent):
    batch, delivery = sent
    found = house.python("anthropic", "anthropic_webhook", **delivery)
    assert (found["type"], found["id"]) == ("batch.completed", batch)
    assert "APIWebhookValidationError" in found["refused"] or "WebhookVerificationError" in found["refused"]


def test_openais_sdk_for_typescript_reads_the_event_and_refuses_a_changed_one(house, sent):
    batch, delivery = sent
    found = house.node("openai_webhook", **delivery)
    assert found == {"type": "batch.completed", "id": batch, "refused": "InvalidWebhookSignatureError"}
