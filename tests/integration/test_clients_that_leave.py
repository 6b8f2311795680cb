"""A client that has gone is not worked for."""

import io
import socket
from collections.abc import Iterator

import pytest

from app.web import connection
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database

ROWS = b"prompt,question\n" + b"x,x\n" * 20_000


@pytest.fixture
def pair(monkeypatch) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's end of a connection and the server's, which is looked at each time."""
    monkeypatch.setattr(connection, "EVERY", 0.0)
    client, server = socket.socketpair()
    with client, server:
        yield client, server


def upload(door: Door, path: str, server: socket.socket):
    form = {"file": (io.BytesIO(ROWS), "rows.csv"), "model": "simulated"}
    if path.endswith("create"):
        form = {"file": form["file"], "aiProvider": "simulated"}
    return door.post(path, data=form, environ_overrides={"gunicorn.socket": server})


@pytest.mark.parametrize("path", ["/api/v1/jobs", "/api/v1/jobs/estimate", "/api/batch/create"])
def test_a_sheet_whose_sender_has_gone_is_read_no_further(environment, pair, path):
    # Given a sender that has closed its connection
    client, server = pair
    door = Door()
    client.close()

    # When its sheet is read, then that ends, and no job comes of it
    assert upload(door, path, server).status_code == 499
    assert door.get("/api/v1/jobs").get_json()["data"] == []


def test_a_sheet_whose_sender_waits_is_read(environment, pair):
    _, server = pair

    assert upload(Door(), "/api/v1/jobs", server).status_code == 202


def test_a_sender_that_has_sent_more_is_still_there(environment, pair):
    client, server = pair
    client.send(b"GET / HTTP/1.1\r\n")

    assert upload(Door(), "/api/v1/jobs", server).status_code == 202
