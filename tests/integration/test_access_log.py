"""The lines of a web process about the requests that it served."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from simple_websocket import Client

from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until
from tests.support.web_process import WebProcess

SOCKET = "/ws/batch-processor"


@pytest.fixture(scope="module")
def variables(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    with penstock_of_its_own("sqlite", request, tmp_path_factory.mktemp("penstock")) as values:
        yield values


@pytest.fixture(scope="module")
def door(variables: dict[str, str]) -> Door:
    return Door()


@pytest.fixture(scope="module")
def server(variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    more = {"LOG_FORMAT": "json", "TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8", "MAX_JSON_BYTES": "2000"}
    made = WebProcess(variables | more, tmp_path_factory.mktemp("web"), 40)
    try:
        wait_until(made.answers, seconds=60, what="the web process answers")
        yield made
    finally:
        made.stop()


def line_of(server: WebProcess, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        return [line for line in lines if line["event"] == "http.request" and fits(line)]

    wait_until(found, seconds=10, what=f"a line of the request in {server.log.read_text()[-2000:]}")
    [line] = found()
    return line


@pytest.mark.parametrize(
    ("passed_on", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),  # what the client claims is not believed
        ("nonsense", "nonsense"),
    ],
)
def test_the_client_is_whom_the_last_trusted_proxy_names(server, door, passed_on, client):
    name = f"request-{len(passed_on)}"
    headers = {"X-API-Key": door.key, "X-Forwarded-For": passed_on, "X-Request-Id": name}
    httpx2.get(f"{server.url}{JOBS}/none?secret=1", headers=headers, trust_env=False)

    line = line_of(server, lambda line: line.get("request_id") == name)
    assert (line["client"], line["status"], line["tenant"]) == (client, 404, "acme")
    assert (line["route"], line["path"]) == (f"{JOBS}/<job_id>", f"{JOBS}/none")


def test_what_is_refused_before_its_body_is_a_line(server, door):
    headers = {"X-API-Key": door.key, "X-Request-Id": "too-large"}
    answer = httpx2.post(server.url + JOBS, headers=headers, json={"x": "y" * 3_000}, trust_env=False)
    assert answer.status_code == 413
    line = line_of(server, lambda line: line.get("request_id") == "too-large")
    assert (line["method"], line["status"]) == ("POST", 413)


def test_a_websocket_is_a_line_when_it_is_over(server, door):
    socket = Client(server.url.replace("http", "ws") + SOCKET, headers={"X-API-Key": door.key})
    socket.send(json.dumps({"action": "subscribe", "batch_id": "none"}))
    socket.receive(timeout=5)
    assert SOCKET not in server.log.read_text()
    socket.close()

    line = line_of(server, lambda line: line["path"] == SOCKET)
    assert (line["status"], line["tenant"], line["route"]) == (101, "acme", SOCKET)


def test_a_probe_is_a_line_only_where_it_fails(server):
    # Given one that succeeds, and one without the key that a proxy's clients need
    assert [server.get(path, "").status_code for path in ("/ready", "/metrics")] == [200, 401]

    assert line_of(server, lambda line: line["path"] == "/metrics")["status"] == 401
    assert "/ready" not in server.log.read_text()
    assert "/health" not in server.log.read_text()
