"""Connections that no thread works for: who stays, and who goes for whom."""

import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest
from gunicorn.config import Config

from app.server import bounds
from app.server.bodies import Room
from app.server.connection import Connection
from app.server.crowd import Crowd
from app.server.lobby import Hands, Lobby
from app.server.watch import Watch, in_turn
from config.variables import Network

LARGE = b"x" * 1_000_000


class House:
    """A lobby, and clients that it talks to over real sockets."""

    def __init__(self, stack: ExitStack, folder: Path, most: int, trusted: Sequence[Network] = ()) -> None:
        self.selector = stack.enter_context(selectors.DefaultSelector())
        self.served: list[Connection] = []
        hands = Hands(self.served.append, lambda _: None, lambda _, error: None, lambda _: None)
        self.lobby = Lobby(Watch(self.selector, Crowd(trusted)), hands, most, idle=60)
        self._stack, self._folder = stack, folder
        stack.callback(lambda: [self.lobby.close(each) for each in list(self.lobby.connections)])

    def client(self, number: int, sent: bytes = b"") -> tuple[socket.socket, Connection]:
        mine, theirs = socket.socketpair()
        self._stack.enter_context(theirs)
        theirs.settimeout(5)
        theirs.sendall(sent)
        made = Connection(Config(), mine, (f"192.0.2.{number}", 1), ("", 80), self._folder, Room())
        self.lobby.enter(made)
        return theirs, made

    def answer(self, connection: Connection, content: bytes) -> None:
        connection.goes_on = True
        connection.sock.sendall(content)
        connection.sock.flush()
        self.lobby.finish(connection)

    def turn(self) -> None:
        for key in in_turn([key for key, _ in self.selector.select(1)]):
            key.data(key.fileobj)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def house(stack: ExitStack, tmp_path: Path) -> House:
    return House(stack, tmp_path, most=3)


def test_a_reader_that_comes_back_gets_all_of_its_answer(house):
    client, connection = house.client(1, b"GET / HTTP/1.1\r\n\r\n")
    assert house.served == [connection]
    house.answer(connection, LARGE)
    received = b""
    while len(received) < len(LARGE):
        received += client.recv(100_000)
        if connection.sock.kept:
            house.turn()
    assert received == LARGE


def test_a_proxy_closes_its_idle_connections_itself(stack, tmp_path):
    house = House(stack, tmp_path, most=3, trusted=[ip_network("192.0.2.9")])
    for number, seconds in ((1, 60), (9, 620)):
        _, connection = house.client(number, b"GET / HTTP/1.1\r\n\r\n")
        house.answer(connection, b"")
        assert connection.deadline == pytest.approx(time.monotonic() + seconds, abs=5), number


def test_the_reader_that_took_nothing_for_longest_is_cut_when_too_much_waits(house, monkeypatch):
    monkeypatch.setattr(bounds, "ANSWERS", 1_500_000)
    clients = [house.client(number, b"GET / HTTP/1.1\r\n\r\n") for number in range(2)]
    for _, connection in clients:
        house.answer(connection, LARGE)
    assert house.lobby.connections == {clients[1][1]}


def test_the_oldest_without_a_request_goes_for_a_new_one(house):
    idle, _ = house.client(1)
    _, answered = house.client(2, b"GET / HTTP/1.1\r\n\r\n")
    _, half = house.client(3, b"GET / HTT")
    _, new = house.client(4, b"GET / HTTP/1.1\r\n\r\n")
    assert idle.recv(1) == b""
    assert house.lobby.connections == {answered, half, new}


def test_a_new_one_is_refused_when_every_other_is_being_served(house):
    for number in range(3):
        house.client(number, b"GET / HTTP/1.1\r\n\r\n")
    late, _ = house.client(4)
    told = late.recv(1_000)
    assert told.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: " in told


def test_bulky_connections_come_after_requests(house, monkeypatch):
    monkeypatch.setattr("app.server.watch.BULKY", 1)
    reader, one = house.client(1, b"GET / HTTP/1.1\r\n\r\n")
    house.answer(one, LARGE)
    other, _ = house.client(2)
    reader.recv(500_000)
    other.sendall(b"GET / HTTP/1.1\r\n\r\n")
    keys = [key for key, _ in house.selector.select(1)]
    assert [key.data.is_bulky for key in in_turn(keys)] == [False, True]
