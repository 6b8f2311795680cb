"""What is open with a key ends soon after the key is revoked, whoever revokes it."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from simple_websocket import Client, ConnectionClosed

from app.core.accounts import api_keys, revocation
from app.dialects.processor.socket import PATH
from app.web.websockets import POLICY
from config import settings
from models.session import in_transaction
from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until
from tests.support.sse_reader import Stream
from tests.support.threaded_server import Served, serving

pytestmark = pytest.mark.one_database

SOON = 5  # seconds
TEXTS = {"requests": [{"text": "A text that is long enough.", "operation": "summarize"}]}


@pytest.fixture
def served(environment, monkeypatch) -> Iterator[Served]:
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    settings.current.cache_clear()
    with serving() as made:
        yield made


def revoke(door: Door) -> None:
    """As `penstock keys revoke` does: no web process is told."""
    in_transaction(partial(api_keys.revoke, prefix=door.prefix))


def ends(stream: Stream) -> bool:
    """Read a stream to its end; a connection that was cut ends it, too."""
    with stream, suppress(ConnectionError, ValueError):
        list(stream)
    return True


class Waiter(threading.Thread):
    """A request that waits for its answer."""

    def __init__(self, served: Served, door: Door, path: str, body: Any, **headers: str) -> None:
        super().__init__(daemon=True)
        self.answer: httpx2.Response | None = None
        self._send = partial(
            httpx2.post, served.url + path, json=body, headers=door.headers | headers, timeout=60
        )
        self.start()

    def run(self) -> None:
        self.answer = self._send()


class Download:
    """A download by a client that reads the head of the answer and then nothing for a while."""

    def __init__(self, served: Served, door: Door, path: str) -> None:
        host, port = urlsplit(served.url).netloc.split(":")
        self._wire = socket.socket()
        self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self._wire.connect((host, int(port)))
        self._wire.settimeout(20)
        self._wire.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {door.key}\r\n\r\n".encode())
        assert b" 200 " in self._wire.recv(1_000)

    def rest(self) -> int:
        """The bytes that still come until the connection ends."""
        size = 0
        try:
            while piece := self._wire.recv(1_000_000):
                size += len(piece)
        except ConnectionError:
            pass
        self._wire.close()
        return size


class Socket:
    """A WebSocket that is subscribed to a job."""

    def __init__(self, served: Served, door: Door, job: str) -> None:
        self.client = Client.connect(served.url.replace("http", "ws") + PATH, headers=door.headers)
        self.subscribe(job)
        assert json.loads(self.client.receive(10))["batch_id"] == job

    def subscribe(self, job: str) -> None:
        self.client.send(json.dumps({"action": "subscribe", "batch_id": job}))

    def ends_with(self) -> tuple[int, list[Any]]:
        """How the server closes, and what it tells before."""
        told = []
        try:
            while (message := self.client.receive(20)) is not None:
                told.append(message)
        except ConnectionClosed as closed:
            return int(closed.reason), told
        raise AssertionError("the connection is open")


def big_download(served: Served) -> tuple[str, int]:
    """A job whose results are larger than what lies between a server and its client."""
    job = served.door.submit(40)
    served.worker.end(job, range(40), json.dumps({"content": "x" * 500_000}).encode())
    return job["links"]["results"], 40 * 500_000


def test_streams_waits_downloads_and_sockets_end_within_seconds(served):
    # Given all that a key can hold open, beside what another key of the same user has
    key, other = served.door.other("acme"), served.door
    job = served.door.submit(2)
    results, size = big_download(served)
    streams = [
        Stream(served.url, job["links"]["events"], key.key, timeout=60),
        Stream(served.url, f"/api/v1/batch/jobs/{job['id']}/stream", key.key, timeout=60),
    ]
    streams[0].next("snapshot")
    download, wire = Download(served, key, results), Socket(served, key, job["id"])
    waits = [
        Waiter(served, key, JOBS, {"model": "simulated", "records": [{"prompt": "x"}]}, Prefer="wait=50"),
        Waiter(served, key, "/batch_process", TEXTS),
    ]
    others = [Stream(served.url, job["links"]["events"], other.key), Socket(served, other, job["id"])]
    others[0].next("snapshot")
    wait_until(lambda: len(key.get(JOBS).get_json()["data"]) == 4, what="both waits have begun")

    # When it is revoked
    revoke(key)
    revoked_at = time.monotonic()

    # Then all of it ends, and what was not sent is not
    assert all(ends(stream) for stream in streams)
    assert wire.ends_with() == (POLICY, [])
    for wait in waits:
        wait.join(20)
        assert wait.answer is not None
        assert wait.answer.status_code == 401, wait.answer.text
    assert time.monotonic() - revoked_at < SOON
    assert download.rest() < size / 2

    # And the other key's stay
    served.worker.end(job, [0])
    assert others[0].next("records").data["records"] == [[0, "succeeded", 1, "r0"]]
    assert json.loads(others[1].client.receive(10))["progress"] == 0.5
    others[0].close()
    others[1].client.close()


def test_a_new_subscription_is_checked_anew(served, monkeypatch):
    # Given a socket, and nobody who looks for revoked keys
    monkeypatch.setattr(revocation, "LOOK", 60.0)
    key, job = served.door.other("acme"), served.door.submit(1)
    wire = Socket(served, key, job["id"])

    # When its key is revoked and it asks for another job
    revoke(key)
    wire.subscribe(served.door.submit(1)["id"])

    # Then it learns nothing
    assert wire.ends_with() == (POLICY, [])


def test_the_keys_of_all_that_is_open_are_asked_for_at_once(served, statements, monkeypatch):
    # Given many streams of several keys
    monkeypatch.setattr(revocation, "LOOK", 0.2)
    job = served.door.submit(1)
    keys = [served.door.other("acme") for _ in range(3)]
    streams = [Stream(served.url, job["links"]["events"], key.key) for key in keys for _ in range(4)]
    for stream in streams:
        stream.next("snapshot")

    # When their keys are looked at
    with statements() as sent:
        wait_until(lambda: any("revoked_at IS NOT NULL" in statement for statement in sent), what="a look")

    # Then one statement has asked for all of them, and nobody looks once they have gone
    looks = [statement for statement in sent if "revoked_at IS NOT NULL" in statement]
    assert len(looks) == 1
    for stream in streams:
        stream.close()
    served.worker.end(job, [0])  # tells the server that its readers have gone
    wait_until(lambda: not revocation.watch()._uses, what="nothing is open")
    wait_until(
        lambda: all(thread.name != "revocation" for thread in threading.enumerate()), what="nobody looks"
    )
