"""Pages of others in a browser nearby: what is open without a key is not open to them."""

import io
import socket

import httpx2
import pytest
from simple_websocket import Client

from app.dialects.processor.socket import PATH
from app.web import strangers
from config import settings
from tests.support.front_door import JOBS, Door
from tests.support.threaded_server import serving

pytestmark = pytest.mark.one_database

OTHER_NAMES = (
    "evil.example",
    "evil.example:8000",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "1.evil",
    "localhost@evil.example",
    "",
)
THIS_SERVER = ("localhost", "LOCALHOST:8000", "127.0.0.1", "10.1.2.3:8000", "[::1]", "[fd00::1]:8000")
OTHER_PAGES = (
    "https://evil.example",
    "http://localhost:3000",
    "http://localhost.evil.example",
    "https://app.example.com.evil.example",
    "chrome-extension://localhost",
    "null",
    "",
)
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


@pytest.fixture
def door(environment):
    return Door()


@pytest.fixture
def open_door(environment, monkeypatch):
    """Where no key is required, and pages of one other origin are let in."""
    monkeypatch.setenv("REQUIRE_API_KEY", "false")
    monkeypatch.setenv("DEFAULT_MODEL", "simulated")
    monkeypatch.setenv("CORS_ORIGINS", "https://app.example.com")
    settings.current.cache_clear()
    return Door()


def scrape(door, **headers):
    return door.client.get("/metrics", headers=headers).status_code


def submit(door, **headers):
    """Submit as a form on a page does: a browser sends it without asking first."""
    form = {"model": "simulated", "template": "{{ a }}", "file": (io.BytesIO(b"a\nx\n"), "a.csv")}
    return door.client.post(JOBS, data=form, headers=headers)


@pytest.mark.parametrize("host", OTHER_NAMES)
def test_a_name_that_was_made_to_lead_here_reads_no_metrics(door, host):
    assert scrape(door, Host=host) == 403
    operator = door.other(scopes=["operator"])
    assert scrape(door, Host=host, **operator.headers) == 200
    assert scrape(door, Host=host, **door.headers) == 403


@pytest.mark.parametrize("host", [*THIS_SERVER, socket.gethostname(), f"{socket.gethostname()}:9000"])
def test_an_address_and_this_machines_names_read_metrics(door, host):
    assert scrape(door, Host=host) == 200


def test_a_name_that_is_set_reads_metrics(environment, monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "penstock.internal, web")
    settings.current.cache_clear()
    door = Door()
    for host in ("penstock.internal", "Penstock.Internal:8000", "web:8000", "web."):
        assert scrape(door, Host=host) == 200, host
    for host in ("x.penstock.internal", "webs"):
        assert scrape(door, Host=host) == 403, host


def test_what_the_refusal_says_is_what_to_do(door):
    refused = door.client.get("/metrics", headers={"Host": "evil.example" * 20})
    message = refused.get_json()["error"]["message"]
    assert "ALLOWED_HOSTS" in message
    assert "evil.example" in message
    assert len(message) < 400


@pytest.mark.parametrize("origin", OTHER_PAGES)
def test_another_page_submits_nothing_where_no_key_is_required(open_door, origin):
    refused = submit(open_door, Origin=origin)

    assert refused.status_code == 403, refused.text
    assert open_door.client.get(JOBS).get_json()["data"] == []
    assert scrape(open_door, Origin=origin) == 403


@pytest.mark.parametrize("host", OTHER_NAMES)
def test_a_page_under_a_name_that_was_made_to_lead_here_does_nothing(open_door, host):
    assert submit(open_door, Host=host, Origin=f"http://{host}").status_code == 403
    assert open_door.client.get(JOBS, headers={"Host": host}).status_code == 403
    assert open_door.client.get("/health", headers={"Host": host}).status_code == 200  # a probe says nothing


def test_pages_of_this_server_and_those_that_are_named_may_and_so_may_what_is_no_page(open_door):
    for headers in (
        {},
        {"Origin": "http://localhost"},
        {"Origin": "https://app.example.com"},
        {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"},
        {"Host": "[::1]:8000", "Origin": "http://[::1]:8000"},
        {"Host": "localhost", "Origin": "https://localhost:443"},
    ):
        assert submit(open_door, **headers).status_code == 202, headers


def test_with_a_key_it_does_not_matter_which_page_it_is(open_door, door):
    for one in (open_door, door):
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            assert submit(one, **headers, **one.headers).status_code == 202


def test_a_socket_of_another_page_is_not_opened_where_no_key_is_required(open_door):
    with serving() as served:
        url = served.url.replace("http", "ws") + PATH
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):
            assert httpx2.get(served.url + PATH, headers=UPGRADE | headers).status_code == 403, headers
        for headers in ({}, {"Origin": "http://127.0.0.1"}, {"Origin": "https://app.example.com"}):
            client = Client.connect(url, headers=headers)
            client.send('{"action": "subscribe", "batch_id": "none"}')
            assert "not_found" in client.receive(10)
            client.close()
        keyed = Client.connect(url, headers={"Origin": "https://evil.example", **served.door.headers})
        keyed.close()


def test_this_machine_has_names():
    assert {"localhost", socket.gethostname().lower()} <= strangers.own_names()
