"""The batch processor's WebSocket over a real server: what subscribers are told, and how connections end."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from simple_websocket import Client, ConnectionClosed

from app.dialects.processor.socket import PATH
from app.web import websockets
from tasks import advance
from tests.conftest import penstock_of_its_own
from tests.support.front_door import number_of
from tests.support.servers import wait_until
from tests.support.threaded_server import Served, serving

pytestmark = pytest.mark.one_database


@pytest.fixture
def served(request, tmp_path, monkeypatch) -> Iterator[Served]:
    monkeypatch.setattr(websockets, "IDLE", 0.5)
    with penstock_of_its_own("sqlite", request, tmp_path), serving() as made:
        yield made


class Watcher:
    """A WebSocket client."""

    def __init__(self, served: Served, key: str | None = None, **headers: str) -> None:
        headers = headers or {"X-API-Key": key or served.door.key}
        self.client = Client.connect(served.url.replace("http", "ws") + PATH, headers=headers)

    def send(self, action: str, batch: str) -> None:
        self.client.send(json.dumps({"action": action, "batch_id": batch}))

    def next(self, timeout: float = 10) -> dict[str, Any]:
        message = self.client.receive(timeout)
        assert message is not None, f"nothing within {timeout} s"
        return json.loads(message)

    def until(self, status: str) -> dict[str, Any]:
        while (message := self.next())["status"] != status:
            pass
        return message

    def end(self, timeout: float = 15) -> int:
        """How the server closes."""
        try:
            while self.client.receive(timeout) is not None:
                pass
        except ConnectionClosed as closed:
            return int(closed.reason)
        raise AssertionError(f"the connection is open after {timeout} s of silence")


def asked(served: Served, key: str | None = None) -> int:
    """The status of the answer to one who asks for an upgrade."""
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }
    return httpx2.get(served.url + PATH, headers=headers | ({"X-API-Key": key} if key else {})).status_code


def submit(served: Served, count: int = 4, **fields: Any) -> tuple[str, dict[str, Any]]:
    """A batch's id and its native job."""
    data = [{"prompt": f"Say {number}"} for number in range(count)]
    metadata = {"model_id": "simulated"}
    response = served.door.post(
        "/api/batch-processor/submit", json={"data": data, "metadata": metadata, **fields}
    )
    assert response.status_code == 200, response.text
    batch = response.get_json()["batch_id"]
    return batch, served.door.get(f"/api/v1/jobs/{batch}").get_json()


def finish(job: dict[str, Any]) -> None:
    advance.run(number_of(job))


def test_a_subscriber_is_told_the_state_at_once_then_what_moves_and_the_end(served):
    batch, job = submit(served, batch_id="mine")
    watcher = Watcher(served)
    watcher.send("subscribe", batch)
    assert watcher.next() == {"batch_id": "mine", "status": "processing", "progress": 0.0}

    served.worker.end(job, [0])
    while (message := watcher.next())["progress"] == 0:
        pass
    assert message == {"batch_id": "mine", "status": "processing", "progress": 0.25}
    served.worker.end(job, [1, 2, 3])
    finish(job)
    last = watcher.until("completed")
    assert last["progress"] == 1
    assert last["total_time_ms"] > 0
    assert "error" not in last


def test_many_subscriptions_share_a_connection_and_each_may_be_given_up(served):
    (one, first), (two, second), (three, third) = (submit(served) for _ in range(3))
    watcher = Watcher(served)
    for batch in (one, two, three):
        watcher.send("subscribe", batch)
        assert watcher.next()["batch_id"] == batch
    watcher.send("unsubscribe", two)
    watcher.send("subscribe", "nobody")
    assert watcher.next() == {"batch_id": "nobody", "status": "not_found", "progress": 0}

    # When all of them end, then those that are subscribed to are told
    for job in (first, second, third):
        served.worker.end(job, range(4))
        finish(job)
    told = set()
    while told < {one, three}:
        message = watcher.next()
        assert message["batch_id"] != two
        if message["status"] == "completed":
            told.add(message["batch_id"])


def test_a_batch_that_has_ended_is_told_and_the_connection_closes_by_itself(served, monkeypatch):
    monkeypatch.setattr(websockets, "IDLE", 0.5)
    batch, job = submit(served)
    served.worker.end(job, range(4), error=("x", "y"))
    finish(job)

    watcher = Watcher(served)
    watcher.send("subscribe", batch)
    message = watcher.next()
    assert (message["status"], message["progress"]) == ("failed", 1)
    assert message["error"]
    assert watcher.end() == 1000


def test_a_connection_lasts_while_a_subscription_does(served, monkeypatch):
    monkeypatch.setattr(websockets, "IDLE", 0.2)
    batch, job = submit(served)
    watcher = Watcher(served)
    watcher.send("subscribe", batch)
    watcher.next()
    while watcher.client.receive(0.6) is not None:
        pass
    assert watcher.client.connected
    served.door.call("DELETE", f"/api/batch-processor/cancel/{batch}")
    finish(job)
    assert watcher.until("cancelled")["total_time_ms"] >= 0
    assert watcher.end() == 1000


def test_without_a_key_there_is_no_upgrade(served):
    assert asked(served) == 401
    assert asked(served, "pk_aaaaaaaaaa_wrong") == 401
    bearer = Watcher(served, Authorization=f"Bearer {served.door.key}")
    bearer.send("subscribe", "nobody")
    assert bearer.next()["status"] == "not_found"


def test_another_tenants_batch_is_not_found(served):
    batch, _ = submit(served)
    watcher = Watcher(served, served.door.other().key)
    watcher.send("subscribe", batch)
    assert watcher.next() == {"batch_id": batch, "status": "not_found", "progress": 0}


@pytest.mark.parametrize(
    "message", ["hello", "[]", '{"action": "subscribe"}', '{"action": "x", "batch_id": "y"}']
)
def test_what_nobody_understands_ends_the_connection_with_a_reason(served, message):
    watcher = Watcher(served)
    watcher.client.send(message)
    assert watcher.end() == websockets.POLICY


def test_subscriptions_of_a_connection_are_bounded(served, monkeypatch):
    monkeypatch.setattr(websockets, "MOST_SUBSCRIPTIONS", 2)
    batches = [submit(served, 1)[0] for _ in range(3)]
    watcher = Watcher(served)
    for batch in batches:
        watcher.send("subscribe", batch)
    assert watcher.end() == websockets.POLICY


def test_a_reader_that_reads_nothing_is_dropped_and_its_messages_are_not_kept(served, monkeypatch):
    # Given a client that asks and asks, and reads nothing
    monkeypatch.setattr(websockets, "STALLED", 1)
    wire = socket.create_connection(("127.0.0.1", int(served.url.rpartition(":")[2])))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.sendall(
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"X-API-Key: {served.door.key}\r\n\r\n".encode()
    )
    body = json.dumps({"action": "subscribe", "batch_id": "n" * 80}).encode()
    frame = bytes((0x81, 0x80 | len(body), 0, 0, 0, 0)) + body

    # When its messages come faster than they are answered, then no more of them are taken
    wire.settimeout(4)
    assert b" 101 " in wire.recv(4_096)
    with pytest.raises((ConnectionResetError, BrokenPipeError, TimeoutError)):
        wire.sendall(frame * 100_000)

    # And its seat is free, though the client is still there
    seats = served.door.app.extensions["seats"]
    wait_until(lambda: seats.free == seats.count, what="the seat is free")
    wire.close()


def test_every_seat_that_is_taken_is_told_before_the_upgrade(served):
    seats = served.door.app.extensions["seats"]
    for tenant in range(seats.count):
        assert seats.take(-tenant)
    assert asked(served, served.door.key) == 503
    for tenant in range(seats.count):
        seats.give_back(-tenant)
    assert Watcher(served).client.connected


def test_pings_are_frames_of_the_protocol(served, monkeypatch):
    monkeypatch.setitem(served.door.app.config["SOCK_SERVER_OPTIONS"], "ping_interval", 1)
    batch, _ = submit(served)
    watcher = Watcher(served)
    watcher.send("subscribe", batch)
    watcher.next()
    while (message := watcher.client.receive(3)) is not None:  # the time of three pings
        assert json.loads(message)["batch_id"] == batch
    assert watcher.client.connected
