"""Hours of work for several tenants while one thing after the other breaks; moments of it in CI."""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from app.core.accounts import api_keys
from models.session import in_transaction
from tests.faults.support.breakable_stack import CLAUDE, pass_by, stopped
from tests.faults.support.supervised_stack import WORKERS, House, house_of, job_of
from tests.support.invariants import Reconciled
from tests.support.stack import Running

SECONDS = int(os.environ.get("SOAK_SECONDS", "10"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
TENANTS = ("acme", "globex", "initech")
SIZES = (1, 3, 30, 99, 150, 400)
JUDGED = 600  # seconds; in a shorter run caches still fill
GROWN = 1.1

pytestmark = pytest.mark.timeout(2 * SECONDS + 600)

# What goes wrong at the provider, now and then, all the time.
FAULTS = [
    {"kind": "status", "status": 500, "share": 0.01, "first_of_each": 1},
    {"kind": "status", "status": 529, "share": 0.005, "first_of_each": 1},
    {"kind": "cut", "share": 0.01, "first_of_each": 1},
    {"kind": "half_json", "share": 0.01, "first_of_each": 1},
    {"kind": "hang", "share": 0.005, "first_of_each": 1},
]


@pytest.fixture
def house(request, upstream, tmp_path) -> Iterator[House]:
    with house_of("embedded", request, upstream, tmp_path) as lived_in:
        yield lived_in


def test_days_in_the_life_of_a_penstock(house, figures):
    # Given tenants who submit jobs of all sizes, and a provider that is not always well
    print(f"FAULT_SEED={SEED}, {SECONDS} s")
    house.upstream.configure(latency_ms=400, latency_sigma=0.5, faults=FAULTS)
    soak = Soak(house, random.Random(SEED))

    # When one thing after the other breaks: in the first half processes too, in the second none ends
    soak.run(SECONDS / 2, [soak.kill_a_worker, soak.kill_the_control_worker, soak.kill_the_web, *soak.pauses])
    halfway = memory(house)
    soak.run(SECONDS / 2, soak.pauses)
    grown = {name: (before, memory(house)[name]) for name, before in halfway.items() if name in memory(house)}

    # Then every record of every job ends once, all books agree, and no process has grown
    books = soak.end()
    figures.note(f"a soak of {SECONDS} s: {soak.broken} faults, {len(soak.jobs)} jobs", books)
    if SECONDS >= JUDGED:
        assert grown
        assert not {name: sizes for name, sizes in grown.items() if sizes[1] > sizes[0] * GROWN}


class Soak:
    """Jobs and faults, one after the other, by chance."""

    def __init__(self, house: House, chance: random.Random) -> None:
        self._house, self._chance = house, chance
        self.jobs: list[Running] = []
        self.broken = 0
        made = [
            in_transaction(lambda s, name=name: api_keys.create(s, name, name=name, scopes=["admin"]))
            for name in TENANTS
        ]
        self._keys = [key for _, key in made]
        self.pauses: list[Callable[[], None]] = [
            self.stop_a_worker,
            self.stop_the_broker,
            self.empty_the_broker,
        ]

    def run(self, seconds: float, faults: list[Callable[[], None]]) -> None:
        over = time.monotonic() + seconds
        while time.monotonic() < over:
            self._submit()
            if self._chance.random() < 0.5:
                self._chance.choice(faults)()
                self.broken += 1
            pass_by(self._chance.uniform(0.5, 3))

    def end(self) -> Reconciled:
        self._house.await_whole()
        for job in self.jobs:
            job.wait_for("completed", "paused", seconds=300)
        return self._house.reconcile(*self.jobs)

    def kill_a_worker(self) -> None:
        self._kill(self._chance.choice(WORKERS))

    def kill_the_control_worker(self) -> None:
        self._kill("control")

    def kill_the_web(self) -> None:
        self._kill("web")

    def stop_a_worker(self) -> None:
        """For a moment, or until it is taken for dead."""
        self._stop(self._chance.choice(WORKERS), self._chance.choice((1, 15)))

    def stop_the_broker(self) -> None:
        self._stop("broker", self._chance.choice((1, 5)))

    def empty_the_broker(self) -> None:
        self._house.flush_broker()

    def _submit(self) -> None:
        """As a client does: again, with the same key, until the door has taken it."""
        body = {
            "model": CLAUDE,
            "max_tokens": 100,
            "timeout": 5,
            "retries": 8,
            "records": self._house.bodies(self._chance.choice(SIZES)),
        }
        headers = {
            "X-API-Key": self._chance.choice(self._keys),
            "Idempotency-Key": f"soak-{len(self.jobs)}",
        }
        self.jobs.append(job_of(until_taken(self._house, body, headers)))

    def _kill(self, name: str) -> None:
        with suppress(ValueError):  # it is on its way back already
            self._house.kill(name)

    def _stop(self, name: str, seconds: float) -> None:
        with suppress(ValueError, ProcessLookupError), stopped(self._house.pid(name)):
            pass_by(seconds)


def until_taken(house: House, body: dict, headers: dict[str, str]) -> dict:
    over = time.monotonic() + 120
    while True:
        try:
            answer = httpx2.post(f"{house.up.address}/api/v1/jobs", json=body, headers=headers, timeout=30)
            if answer.status_code in (200, 202):
                return answer.json()
            assert answer.status_code in (409, 503), answer.text
        except httpx2.TransportError:
            pass
        assert time.monotonic() < over, "the door has taken no job for two minutes"
        pass_by(0.5)


def memory(house: House) -> dict[str, int]:
    """Resident bytes of each process, by its name and number."""
    found = {}
    for pid in house.up.family():
        with suppress(FileNotFoundError, ProcessLookupError):
            status = Path(f"/proc/{pid}/status").read_text()
            name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[-60:]
            found[f"{pid} {name}"] = int(status.partition("VmRSS:")[2].split()[0]) * 1024
    return found
