"""What whoever runs Penstock sees of webhooks: in the metrics, and from the doctor."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update

from app.doctor import webhooks
from app.doctor.finding import Finding, State
from config import settings
from models.base import now
from models.session import in_transaction, reading
from models.webhook import WebhookDelivery, WebhookEndpoint
from tests.support.front_door import JOBS, Door
from tests.support.webhook_sending import send_all

pytestmark = pytest.mark.one_database

ENDPOINTS = "/api/v1/webhooks"


def test_deliveries_are_counted_by_what_became_of_them(door, receiver):
    # Given one that was sent, one that has failed and is sent again, one that was given up, and two new ones
    asked = {"name": "n", "url": receiver.url, "event_types": ["job.cancelled"]}
    first = door.post(ENDPOINTS, json=asked).get_json()["id"]
    for status in (200, 500):
        receiver.status = status
        cancel(door)
        send_all()
    receiver.status = 410
    cancel(door.other(), webhook_url=receiver.url)
    send_all()
    cancel(door)
    cancel(door)

    # Then each is counted, over all tenants
    assert by(door, "state", "penstock_webhooks") == {"new": 2, "failing": 1}
    assert by(door, "outcome", "penstock_webhooks_ended_total") == {"sent": 1, "given_up": 1}

    # And how long the oldest has been due, and that an endpoint was switched off by us and not by its owner
    assert 0 <= value(door, "penstock_oldest_webhook_seconds") < 60
    assert value(door, "penstock_webhook_endpoints_switched_off") == 0
    change(update(WebhookDelivery).where(WebhookDelivery.attempts == 0).values(next_at=now(-90)))
    off = door.post(ENDPOINTS, json=asked | {"event_types": ["job.paused"]}).get_json()["id"]
    assert door.call("PATCH", f"{ENDPOINTS}/{off}", json={"enabled": False}).status_code == 200
    change(
        update(WebhookEndpoint)
        .where(WebhookEndpoint.disabled_at.is_(None))
        .values(disabled_at=now(), disabled_reason="It answered with 410 Gone.")
    )
    later = Door("later")  # at a web process that has not been scraped yet
    assert 90 <= value(later, "penstock_oldest_webhook_seconds") < 150
    assert value(later, "penstock_webhook_endpoints_switched_off") == 1
    assert door.get(f"{ENDPOINTS}/{first}").get_json()["enabled"] is False

    # And that what waits for an endpoint which is deleted is given up
    assert door.call("DELETE", f"{ENDPOINTS}/{first}").status_code == 204
    assert by(Door("last"), "outcome", "penstock_webhooks_ended_total") == {"sent": 1, "given_up": 4}


def test_the_doctor_names_what_is_late_switched_off_or_cannot_be_signed(door, receiver, monkeypatch):
    # Given that all is well
    name = door.post(
        ENDPOINTS, json={"name": "ends", "url": receiver.url, "event_types": ["job.cancelled"]}
    ).get_json()["id"]
    cancel(door)
    assert [found.state for found in examined()] == [State.OK]

    # When it has been due for minutes, then the worker is missed, or a receiver where others are sent
    change(update(WebhookDelivery).values(next_at=now(-180)))
    [late] = examined()
    assert late.state is State.WRONG
    assert "180 s, and none is sent" in late.text
    cancel(door, webhook_url=f"{receiver.url}/other")
    change(update(WebhookDelivery).where(WebhookDelivery.endpoint_id.is_(None)).values(last_attempt_at=now()))
    [late] = examined()
    assert (late.state, "others are sent" in late.text) == (State.WARNING, True)

    # When an endpoint wants no more, then its owner and the reason are named
    receiver.status = 410
    send_all()
    [off] = examined()
    assert off.state is State.WARNING
    assert "'ends' of 'acme' was switched off: It answered with 410" in off.text
    assert door.call("PATCH", f"{ENDPOINTS}/{name}", json={"enabled": False}).status_code == 200
    assert [found.state for found in examined()] == [State.WARNING]  # it had been switched off before
    assert door.call("DELETE", f"{ENDPOINTS}/{name}").status_code == 204

    # When the key of the secrets is another one, then that is said, and no secret
    door.get("/api/v1/webhook-secret")
    (settings.current().data / "secret-key").unlink()
    monkeypatch.setenv("PENSTOCK_SECRET_KEY", "another-key-of-at-least-32-characters")
    settings.current.cache_clear()
    [unsigned] = examined()
    assert unsigned.state is State.WRONG
    assert "PENSTOCK_SECRET_KEY" in unsigned.remedy
    assert "whsec" not in unsigned.text + unsigned.remedy


def cancel(door: Door, **fields: str) -> None:
    job = door.submit(1, **fields)
    assert door.post(f"{JOBS}/{job['id']}/cancel").status_code == 200


def change(statement: object) -> None:
    in_transaction(lambda session: session.execute(statement) and None)


def examined() -> list[Finding]:
    with reading() as session:
        return list(webhooks.look(session))


def by(door: Door, label: str, name: str) -> dict[str, float]:
    return {labels[label]: number for labels, number in samples(door, name)}


def value(door: Door, name: str) -> float:
    [(_, number)] = samples(door, name)
    return number


def samples(door: Door, name: str) -> list[tuple[dict[str, str], float]]:
    text = door.client.get("/metrics").get_data(as_text=True)
    return [
        (dict(sample.labels), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    ]
