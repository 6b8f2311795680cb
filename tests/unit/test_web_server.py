"""What the web server is started with, and whose word it takes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_network
from pathlib import Path

import pytest
from gunicorn.config import Config

from app.server.bodies import Room
from app.server.connection import Connection
from app.server.crowd import Crowd, is_in
from app.server.worker import Worker, trust


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("certfile", "x.pem", "--certfile"),
        ("proxy_protocol", "v1", "--proxy-protocol"),
        ("http_protocols", "h1,h2", "--http-protocols"),
        ("protocol", "uwsgi", "--protocol"),
    ],
)
def test_options_that_it_cannot_serve_are_refused_by_name(option, value, named):
    cfg = Config()
    cfg.set(option, value)
    with pytest.raises(RuntimeError, match=named):
        Worker.check_config(cfg, None)


def test_the_ordinary_options_are_taken():
    Worker.check_config(Config(), None)


def test_nobody_is_believed_unless_named():
    cfg = Config()
    trust(cfg, [])
    assert (cfg.forwarded_allow_ips, cfg.forwarder_headers, cfg.secure_scheme_headers) == ([], [], {})
    assert cfg.header_map == "drop"


def test_a_proxy_that_is_named_is_believed():
    cfg = Config()
    trust(cfg, ["10.0.0.2/32"])
    assert cfg.forwarded_allow_ips == ["10.0.0.2/32"]
    assert "SCRIPT_NAME" in cfg.forwarder_headers


def test_an_address_is_in_a_network_however_it_is_written():
    networks = [ip_network("10.0.0.0/24"), ip_network("fd00::/64")]
    assert is_in("10.0.0.9", networks)
    assert is_in("::ffff:10.0.0.9", networks)
    assert is_in("fd00::9%eth0", networks)
    assert not is_in("10.0.1.9", networks)


def connection(stack: ExitStack, client: str) -> Connection:
    mine, theirs = socket.socketpair()
    stack.enter_context(theirs)
    made = Connection(Config(), mine, (client, 1), ("127.0.0.1", 80), Path(), Room())
    return stack.enter_context(closing(made))


def test_the_oldest_of_an_address_goes_and_no_other(stack, monkeypatch):
    # Given as many connections of an address as there may be, an older one of another, and a proxy
    monkeypatch.setattr("app.server.crowd.OF_ONE_ADDRESS", 3)
    crowd = Crowd([ip_network("10.0.0.2/32")])
    other = connection(stack, "192.0.2.1")
    assert crowd.join(other) is None
    # An IPv6 network of 64 bits is one customer's
    first, *rest = [connection(stack, f"2001:db8::{number}") for number in range(3)]
    assert [crowd.join(each) for each in (first, *rest)] == [None] * 3

    # When another one comes, its oldest must go
    assert crowd.join(connection(stack, "2001:db8::ffff")) is first
    crowd.leave(first)

    # And a proxy may have as many as it likes
    for _ in range(5):
        assert crowd.join(connection(stack, "10.0.0.2")) is None

    # Then of all of them, the oldest is the one that came first
    assert crowd.oldest() is other
