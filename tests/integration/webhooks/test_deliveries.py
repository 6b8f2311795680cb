"""What becomes of deliveries: sent again, given up, shown, repeated; and where they never go."""

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select, update
from standardwebhooks import Webhook

from app.core.webhooks import claims, lookup, outcomes, transport
from models.base import now
from models.session import in_transaction, reading
from models.webhook import WebhookDelivery, WebhookEndpoint, WebhookSecret
from tasks import advance
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.webhook_receiver import receiving
from tests.support.webhook_sending import make_due, send_all

pytestmark = pytest.mark.one_database

ENDPOINTS, DELIVERIES = "/api/v1/webhooks", "/api/v1/webhook-deliveries"


def endpoint(door: Door, url: str, *event_types: str) -> str:
    asked = {"name": "n", "url": url, "event_types": event_types or ["job.cancelled"]}
    made = door.post(ENDPOINTS, json=asked)
    assert made.status_code == 201, made.text
    return str(made.get_json()["id"])


def cancelled(door: Door, **fields: Any) -> dict[str, Any]:
    """A job that has ended."""
    job = door.submit(1, **fields)
    assert door.post(f"{JOBS}/{job['id']}/cancel").status_code == 200
    return job


def deliveries(door: Door, **query: str) -> list[dict[str, Any]]:
    answer = door.get(DELIVERIES, query_string=query)
    assert answer.status_code == 200, answer.text
    return list(answer.get_json()["data"])


def test_what_fails_is_sent_again_under_one_id_until_the_schedule_ends(door, receiver):
    # Given a receiver that fails
    receiver.status, receiver.content = 500, b"no\0t now" + b"x" * 5_000
    endpoint(door, receiver.url)
    job = cancelled(door)

    # When all ten attempts are made
    for attempt in range(1, 11):
        send_all()
        [found] = deliveries(door)
        assert found["attempts"] == attempt
        make_due()

    # Then the delivery is given up, and shows what was answered
    send_all()
    assert len(receiver.received) == 10
    assert len({one.headers["webhook-id"] for one in receiver.received}) == 1
    assert len({one.body for one in receiver.received}) == 1
    [failed] = deliveries(door, status="failed")
    assert failed["payload"]["data"]["id"] == job["id"]
    assert (failed["last_status_code"], failed["next_attempt_at"]) == (500, None)
    assert failed["last_answer"].startswith("no\ufffdt now")
    assert len(failed["last_answer"]) == 1_000
    assert "500" in failed["last_error"]

    # And it is sent again on request, under the same id
    receiver.status = 200
    again = door.post(f"{DELIVERIES}/{failed['id']}/resend")
    assert (again.status_code, again.get_json()["status"]) == (202, "pending")
    send_all()
    [sent] = deliveries(door, status="succeeded", job=job["id"])
    assert (sent["id"], sent["last_error"]) == (failed["id"], None)
    assert receiver.received[-1].headers["webhook-id"] == failed["event_id"]


def test_a_pause_is_told_to_endpoints_and_to_no_address_of_a_job(door, receiver):
    endpoint(door, receiver.url, "job.paused")
    job = door.submit(1, webhook_url=f"{receiver.url}/own")

    # When its owner pauses it, which they may say twice
    for _ in range(2):
        assert door.post(f"{JOBS}/{job['id']}/pause").status_code == 200
    send_all()

    # Then that is told once
    [told] = receiver.received
    assert told.path == "/hooks"
    data = json.loads(told.body)["data"]
    assert (data["id"], data["status"], data["status_reason"]) == (
        job["id"],
        "paused",
        "Paused by its owner.",
    )


def test_a_redirect_is_a_failure_and_a_receiver_may_ask_for_time(door, receiver):
    # Given a receiver that leads elsewhere, and one that is busy
    with receiving(status=503, headers={"Retry-After": "7200"}) as busy:
        receiver.status, receiver.headers = 307, {"Location": busy.url}
        endpoint(door, receiver.url, "job.cancelled")
        endpoint(door, busy.url, "batch.cancelled")
        cancelled(door)

        # When both are sent to
        send_all()

        # Then the first is not followed, and the second is asked in two hours
        assert [len(one.received) for one in (receiver, busy)] == [1, 1]
        found = {one["event_type"]: one for one in deliveries(door)}
        assert found["job.cancelled"]["last_status_code"] == 307
        waits = waiting_seconds()
        assert 0 < waits["job.cancelled"] < 7
        assert 7_100 < waits["batch.cancelled"] <= 7_200


def test_a_gone_endpoint_is_switched_off_and_its_owner_sees_it(door, receiver):
    # Given an endpoint with two events before it, that wants no more
    receiver.status = 410
    name = endpoint(door, receiver.url)
    cancelled(door)
    send_all()

    # Then it is switched off where its owner looks, and gets nothing more
    [shown] = door.get(ENDPOINTS).get_json()["data"]
    assert shown["enabled"] is False
    assert "410" in shown["disabled_reason"]
    assert shown["disabled_at"] is not None
    extras = door.get(f"/v1/webhook_endpoints/{name}").get_json()["penstock"]
    assert (extras["enabled"], extras["disabled_reason"]) == (False, shown["disabled_reason"])
    cancelled(door)
    send_all()
    [gone] = deliveries(door)
    assert (gone["status"], len(receiver.received)) == ("failed", 1)
    refused = door.post(f"{DELIVERIES}/{gone['id']}/resend")
    assert (refused.status_code, "switch it on" in refused.text) == (409, True)

    # Until its owner switches it on
    receiver.status = 200
    assert door.call("PATCH", f"{ENDPOINTS}/{name}", json={"enabled": True}).get_json()["enabled"] is True
    cancelled(door)
    send_all()
    assert [one["status"] for one in deliveries(door)] == ["succeeded", "failed"]


def test_five_days_of_failing_switch_an_endpoint_off(door, receiver):
    receiver.status = 500
    name = endpoint(door, receiver.url)
    cancelled(door)
    send_all()
    assert door.get(f"{ENDPOINTS}/{name}").get_json()["failing_since"] is not None

    # Given that it has failed for nearly five days, a success clears it
    failing_for(4.9)
    make_due()
    send_all()
    assert door.get(f"{ENDPOINTS}/{name}").get_json()["enabled"] is True
    receiver.status = 200
    make_due()
    send_all()
    assert door.get(f"{ENDPOINTS}/{name}").get_json()["failing_since"] is None

    # And when it has failed for five days, it is switched off
    receiver.status = 500
    cancelled(door)
    send_all()
    failing_for(5.01)
    make_due()
    send_all()
    shown = door.get(f"{ENDPOINTS}/{name}").get_json()
    assert shown["enabled"] is False
    assert "five days" in shown["disabled_reason"]


def test_an_address_that_does_not_answer_delays_no_other(door, receiver):
    # Given many events for one that never answers, and one for another behind them
    release = threading.Event()
    with receiving(before=release.wait) as dead:
        endpoint(door, dead.url, "job.cancelled")
        endpoint(door, receiver.url, "job.completed")
        for _ in range(12):
            cancelled(door)
        job = door.submit(1)
        worker = Worker()
        worker.end(job, [0])
        advance.run(number_of(job))
        sending = threading.Thread(target=send_all)

        # When they are sent, then the other one comes while the first ones hold no more than their places
        sending.start()
        receiver.wait_for(1)
        dead.wait_for(1)
        assert len(dead.received) <= 8
        release.set()
        sending.join(60)
        assert len(dead.received) == 12


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "10.0.0.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "2852039166",
        "0xA9.0xFE.1",
        "0251.0376.0251.0376",
        "0.0.0.0",
    ],
)
def test_a_job_leads_to_no_private_address_in_whatever_form(door, host):
    # Given a URL that was stored when its address was allowed, or whose name leads there now
    job = cancelled(door, webhook_url="https://example.com/hooks")
    change = update(WebhookDelivery).values(url=f"https://{host}/latest/meta-data")
    in_transaction(lambda session: session.execute(change) and None)

    # When it is sent, then nothing is connected to
    send_all()
    [found] = deliveries(door, job=job["id"])
    assert re.search("is not a public address|is not a canonical IPv4 address", found["last_error"])
    assert found["last_status_code"] is None


def test_a_name_is_judged_by_where_it_leads_at_the_connection(door, monkeypatch):
    """`localhost` leads to an allowed network by IPv4, and by IPv6 to one that is not."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # is not used
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        cancelled(door, webhook_url=url)
        send_all()
        assert [one["status"] for one in deliveries(door)] == ["succeeded"]
        assert len(receiver.received) == 1


def test_slow_and_endless_answers_hold_nobody_up(door, monkeypatch):
    # Given one that sends a success and then its content for ever, and one that never sends a status
    monkeypatch.setattr(transport, "PATIENCE", 1.0)
    monkeypatch.setattr(transport, "FOR_THE_ANSWER", 0.3)
    with trickling(b"HTTP/1.1 200 OK\r\n\r\n") as endless, trickling(b"HTTP/1.1 200 O") as mute:
        endpoint(door, endless.url, "job.cancelled")
        endpoint(door, mute.url, "batch.cancelled")
        cancelled(door)

        send_all()

    found = {one["event_type"]: one for one in deliveries(door)}
    assert found["job.cancelled"]["status"] == "succeeded"
    assert len(found["job.cancelled"]["last_answer"]) <= transport.KEPT
    assert "no answer within" in found["batch.cancelled"]["last_error"]


def test_a_name_that_leads_elsewhere_by_now_is_not_followed(door, monkeypatch):
    # Given a name that leads to where clouds keep their credentials, in two forms
    really = socket.getaddrinfo

    def rebound(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host != "rebound.example":
            return really(host, port, *arguments, **options)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::ffff:169.254.169.254", port, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", rebound)
    cancelled(door, webhook_url="https://rebound.example/latest/meta-data")

    # When it is sent, then nothing is connected to
    send_all()
    [found] = deliveries(door)
    assert "169.254.169.254 is not a public address" in found["last_error"]
    assert found["last_status_code"] is None


def test_of_an_answer_without_end_only_its_beginning_is_taken(door):
    # Given one that answers with as much as is taken
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\nContent-Encoding: gzip\r\n\r\n"
    with trickling(head, pieces=b"x" * 65_536, every=0) as flood:
        cancelled(door, webhook_url=flood.url)
        send_all()

    [found] = deliveries(door)
    assert found["status"] == "succeeded"
    assert len(found["last_answer"]) == transport.KEPT
    assert flood.sent < 20_000_000  # what the system's own buffers hold


def test_a_secret_is_in_no_log_and_in_no_row(door, receiver, tmp_path, caplog, capfd):
    # Given secrets of an endpoint and of the tenant, new ones and replaced ones
    caplog.set_level("DEBUG")
    made = door.post(ENDPOINTS, json={"name": "n", "url": receiver.url, "event_types": ["job.cancelled"]})
    secrets = [made.get_json()["secret"], door.get("/api/v1/webhook-secret").get_json()["secret"]]
    keep = {"keep_for_24_hours": True}
    for path in (f"{ENDPOINTS}/{made.get_json()['id']}/rotate", "/api/v1/webhook-secret/rotate"):
        secrets.append(door.post(path, json=keep).get_json()["secret"])

    # When they sign what succeeds and what fails
    for status in (200, 500, 410):
        receiver.status = status
        cancelled(door, webhook_url=receiver.url)
        send_all()

    # Then neither the log nor the database has them
    output = capfd.readouterr()
    written = caplog.text + output.out + output.err
    assert "webhook.failed" in written
    assert door.get("/api/v1/webhook-deliveries").get_json()["data"][0]["id"] in written
    rows = written.encode() + b"".join(path.read_bytes() for path in tmp_path.glob("penstock.db*"))
    with reading() as session:
        rows += repr(session.execute(select(WebhookSecret.sealed, WebhookSecret.hint)).all()).encode()
    for secret in secrets:
        assert secret.removeprefix("whsec_").encode() not in rows


def test_what_a_process_took_and_never_sent_is_sent_by_another_one(door, receiver):
    # Given a process that is killed with an event in its hands
    cancelled(door, webhook_url=receiver.url)
    [taken] = in_transaction(partial(claims.claim, in_flight=claims.InFlight()))

    # Then nobody else sends it for a minute
    send_all()
    assert receiver.received == []

    # And then another one does; what the first one says of it after all changes nothing
    make_due()
    send_all()
    [sent] = receiver.received
    assert sent.headers["webhook-id"] == taken.event_id
    late = partial(outcomes.record, claim=taken, answer=transport.Answer(status=500))
    in_transaction(late)
    [found] = deliveries(door)
    assert (found["status"], found["attempts"]) == ("succeeded", 1)


def test_a_name_that_nobody_knows_fails_and_says_so(door):
    cancelled(door, webhook_url="https://nobody.invalid/hooks")

    send_all()

    [found] = deliveries(door)
    assert "nobody.invalid" in found["last_error"]
    assert found["attempts"] == 1
    assert lookup._held == {}


def test_a_webhook_url_is_signed_with_the_tenants_secret(door, receiver):
    # Given a job of each contract with an address of its own
    secret = door.get("/api/v1/webhook-secret").get_json()["secret"]
    assert door.get("/api/v1/webhook-secret").get_json()["secret"] == secret
    assert door.other().get("/api/v1/webhook-secret").get_json()["secret"] != secret
    job = cancelled(door, webhook_url=receiver.url)

    # When it has ended, then the message is verified with that secret, also after a rotation
    send_all()
    Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    new = door.post("/api/v1/webhook-secret/rotate", json={"keep_for_24_hours": True}).get_json()["secret"]
    [delivery] = deliveries(door, job=job["id"])
    assert delivery["endpoint"] is False
    door.post(f"{DELIVERIES}/{delivery['id']}/resend")
    send_all()
    for each in (secret, new):
        Webhook(each).verify(receiver.received[1].body, receiver.received[1].headers)


def test_another_tenants_deliveries_do_not_exist(door, receiver):
    name = endpoint(door, receiver.url)
    job = cancelled(door)
    send_all()
    [mine] = deliveries(door)
    stranger = door.other()

    assert deliveries(stranger) == []
    assert stranger.get(f"{DELIVERIES}/{mine['id']}").status_code == 404
    assert stranger.post(f"{DELIVERIES}/{mine['id']}/resend").status_code == 404
    for query in ({"endpoint": name}, {"job": job["id"]}):
        assert stranger.get(DELIVERIES, query_string=query).status_code == 404
    assert len(deliveries(door, endpoint=name)) == 1


def test_a_tenant_with_very_many_addresses_leaves_room_for_the_others(door):
    # Given a tenant with an event for each of very many addresses, and behind it one of another
    mine, other = door.tenant_id, door.other().tenant_id
    for tenant, count in ((mine, claims.IN_ALL + 100), (other, 1)):
        rows = [
            WebhookDelivery(
                tenant_id=tenant,
                event_id=f"evt_{number}",
                event_type="job.completed",
                url=f"https://{number}.invalid/",
                target=f"https://{number}.invalid:443",
                body=b"{}",
            )
            for number in range(count)
        ]
        in_transaction(lambda session, rows=rows: session.add_all(rows))

    # When a sender takes what it has room for, then each tenant has its share
    taken = in_transaction(partial(claims.claim, in_flight=claims.InFlight()))
    assert Counter(claim.tenant_id for claim in taken) == {mine: claims.OF_A_TENANT, other: 1}


def test_what_else_is_for_a_busy_receiver_waits_too(door, receiver):
    # Given many events for one that asks for an hour, and one for another
    with receiving(status=429, headers={"Retry-After": "3600"}) as busy:
        endpoint(door, busy.url, "job.cancelled")
        for _ in range(12):
            cancelled(door)
        endpoint(door, receiver.url, "batch.cancelled")
        cancelled(door)

        # When they are sent, then most of them are not even tried
        send_all()
        assert len(busy.received) <= 8
        assert len(receiver.received) == 1
        found = deliveries(door, status="pending")
        assert len(found) == 13
        assert sum(one["attempts"] for one in found) == len(busy.received)
        assert waiting_seconds()["job.cancelled"] > 3_500

        # And what comes later waits as well, but not for the other one
        tried = len(busy.received)
        cancelled(door)
        send_all()
        assert (len(busy.received), len(receiver.received)) == (tried, 2)


def test_an_endpoint_that_went_while_an_event_was_written_holds_up_nothing(door, receiver):
    # Given events for an endpoint that is deleted, for one that is switched off, and for another
    gone, off = endpoint(door, receiver.url), endpoint(door, receiver.url)
    endpoint(door, receiver.url)
    cancelled(door)
    assert door.call("PATCH", f"{ENDPOINTS}/{off}", json={"enabled": False}).status_code == 200
    assert door.call("DELETE", f"{ENDPOINTS}/{gone}").status_code == 204
    again = update(WebhookDelivery).values(status="pending")
    in_transaction(lambda session: session.execute(again) and None)

    # When they are sent, then the last one comes, and the others say why they do not
    send_all()
    assert len(receiver.received) == 1
    found = {one["last_error"]: one["status"] for one in deliveries(door)}
    assert found == {
        None: "succeeded",
        "its endpoint was deleted": "failed",
        "its endpoint is switched off": "failed",
    }


def failing_for(days: float) -> None:
    change = update(WebhookEndpoint).values(failing_since=now(-days * 86_400))
    in_transaction(lambda session: session.execute(change) and None)


def waiting_seconds() -> dict[str, float]:
    with reading() as session:
        time_ = session.scalars(select(now())).one()
        rows = session.execute(select(WebhookDelivery.event_type, WebhookDelivery.next_at)).all()
    return {kind: (at - time_).total_seconds() for kind, at in rows}


@dataclass
class Trickle:
    url: str
    sent: int = 0  # bytes, behind the head


@contextmanager
def trickling(head: bytes, pieces: bytes = b"x", every: float = 0.01) -> Iterator[Trickle]:
    """A server that sends `head`, and then pieces every so many seconds for as long as somebody reads."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        ended = threading.Event()
        trickle = Trickle(f"http://127.0.0.1:{server.getsockname()[1]}/")

        def serve() -> None:
            while not ended.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.sendall(head)
                        while not ended.wait(every):
                            connection.sendall(pieces)
                            trickle.sent += len(pieces)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield trickle
        ended.set()
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)
