"""Small requests that would cost much: each is answered for little, and another tenant beside it as well."""

import http.client
import io
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from app.dashboard import cookie
from tests.conftest import penstock_of_its_own
from tests.support.browser_client import Browser
from tests.support.front_door import JOBS, Door
from tests.support.hostile import CORPUS, DOORS, NEW, QUOTE, Bomb, Request, bombs, form
from tests.support.web_process import WebProcess, web_process

PROCESSOR_SECONDS = 0.5  # that one request may cost
MEMORY = 100_000_000  # bytes that it may add
TRIES = 3  # what a request costs, it costs each time; what a busy machine adds, it does not
ROW = b"review,a\ngood,b\n"
PATIENCE = 5.0  # seconds within which another tenant is answered, on a machine that has other things to do


@dataclass
class Cost:
    """What the web process used while a request was answered."""

    processor_seconds: float = 0.0
    memory: int = 0  # bytes, at the highest

    @property
    def is_small(self) -> bool:
        return self.processor_seconds < PROCESSOR_SECONDS and self.memory < MEMORY


class Attack:
    """A web process, a tenant that attacks it, and another one that wants to be answered meanwhile."""

    def __init__(self, web: WebProcess) -> None:
        self.web = web
        self._alpha = Door("alpha")
        self._beta = self._alpha.other("beta")
        job, me = self._alpha.submit(1), self._alpha.get("/api/v1/me")
        self._own = {b"{job}": job["id"].encode(), b"{tenant}": me.get_json()["tenant_id"].encode()}
        self._sign_in()
        self._other = ThreadPoolExecutor(1)
        self.look()  # what a first request imports, connects or compiles is no bomb's doing
        for method, path in (("GET", "{draft}"), ("POST", JOBS)):
            self.send(Request(method, path, *form("small.csv", ROW, template=b"Judge {{ review }}")))

    def send(self, request: Request) -> tuple[int, bytes, str]:
        """The status and the body of the answer, and where it leads."""
        path, body = request.path.encode(), request.body
        for name, value in self._own.items():
            path, body = path.replace(name, value), body.replace(name, value)
        headers = {"X-API-Key": self._alpha.key, "Cookie": self._cookie, "Connection": "close"}
        return self._answer(request.method, path.decode(), body, {**headers, **request.headers})

    def look(self) -> float:
        """The other tenant's ordinary request; how long it took, in seconds."""
        began = time.monotonic()
        status, *_ = self._answer("GET", JOBS, b"", {"X-API-Key": self._beta.key, "Connection": "close"})
        assert status == 200
        return time.monotonic() - began

    def look_meanwhile(self) -> "Future[float]":
        return self._other.submit(self.look)

    def _sign_in(self) -> None:
        """With a browser, which drops a small sheet."""
        browser = Browser(self._alpha)
        browser.get(NEW)
        sheet = (io.BytesIO(ROW), "small.csv")
        dropped = browser.post(NEW, {"file": sheet}, content_type="multipart/form-data")
        port = urlsplit(self.web.url).port
        token = browser.client.get_cookie(cookie.NAME, path=cookie.PATH)
        assert token is not None
        self._cookie = f"{cookie.NAME}_{port}={token.value}"
        self._own |= {b"{token}": browser.token.encode(), b"{draft}": dropped.headers["Location"].encode()}

    def _answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, str]:
        """The status, the body and where it leads."""
        connection = http.client.HTTPConnection(urlsplit(self.web.url).netloc, timeout=30)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, response.read(), response.headers.get("Location", "")
        finally:
            connection.close()

    @contextmanager
    def measured(self) -> Iterator[Cost]:
        """The cost of the block, known at its end."""
        cost = Cost()
        self.web.forget_peak()
        seconds, resident = self.web.processor_seconds(), self.web.resident_bytes()
        yield cost
        cost.processor_seconds = self.web.processor_seconds() - seconds
        cost.memory = self.web.peak_bytes() - resident

    def close(self) -> None:
        self._other.shutdown()


@pytest.fixture(scope="module")
def attack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attack]:
    folder = tmp_path_factory.mktemp("hostile")
    own = penstock_of_its_own("postgresql", request, folder, DEFAULT_MODEL="simulated")
    with own as environment, web_process(environment, folder) as web:
        attack = Attack(web)
        yield attack
        attack.close()


every_bomb = pytest.mark.parametrize("bomb", bombs(), ids=lambda bomb: bomb.name)


def _at_one_door(bomb: Bomb) -> Request:
    """One of the bomb's requests, so that those of its kind are at every door."""
    requests = [request for request in bomb.requests() if request.path != QUOTE]
    of_its_kind = [other.name for other in bombs() if other.kind == bomb.kind]
    return requests[of_its_kind.index(bomb.name) % len(requests)]


@every_bomb
def test_a_bomb_costs_little_and_delays_nobody(attack: Attack, bomb: Bomb) -> None:
    _try(attack, bomb, _at_one_door(bomb))


@pytest.mark.long
@every_bomb
def test_a_bomb_costs_as_little_at_every_door(attack: Attack, bomb: Bomb) -> None:
    """A quote reads its request as a submission does."""
    for request in bomb.requests():
        _try(attack, bomb, request)


def _try(attack: Attack, bomb: Bomb, request: Request) -> None:
    # When the bomb is sent, and another tenant asks for something ordinary
    costs = []
    while len(costs) < TRIES and not (costs and costs[-1].is_small):
        with attack.measured() as cost:
            waiting = attack.look_meanwhile()
            status, answer, then = attack.send(request)
            waited = waiting.result()
        costs.append(cost)

    # Then both are answered, the bomb without harm and for little
    where = f"{request.method} {request.path}: {status} {answer[:300]!r}"
    assert status < 500, where
    is_page = request.path.startswith(("/ui", "{draft}"))  # which keeps it, with its fault beside it
    assert bomb.is_harmless or status >= 400 or is_page, where
    assert waited < PATIENCE, where
    assert costs[-1].is_small, f"{costs} {where}"
    if status == 303:
        _try(attack, bomb, Request("GET", then))


def test_every_folder_of_the_corpus_has_doors() -> None:
    folders = {path.name for path in CORPUS.iterdir() if path.is_dir() and not path.name.startswith("_")}

    assert folders <= DOORS.keys()
