"""Adds up in Redis what all processes count, and keeps what each says of itself for as long as it lives.

Redis may forget all of it: a counter that starts anew is what Prometheus expects of a restart. While Redis is
away a process keeps what it has counted, and what it sent to a Redis that did not answer counts once.
"""

import json
import os
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import redis

from app.core.measures.counts import Series, counts
from app.core.outages import servers
from config import settings
from config.once import once

EVERY = 5.0  # seconds between two times that a process hands over
ADD = Path(__file__).with_name("add.lua").read_text(encoding="utf-8")
REMEMBERED = 3_600  # seconds that Redis knows the last delivery of a process, which may be sent again
ALIVE = 20.0  # seconds after which a process that said nothing is no longer told of


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process says of itself."""

    role: str
    memory: int  # bytes that are resident
    in_use: int  # connections to the database that its threads have in hand
    open: int  # those in its pool as well
    most: int  # that it may have open
    memory_use: float | None = None  # share of its bound that is in use; None without a bound, or not told


class Sharer:
    """Hands over what its process counts, and says how it stands, on a thread of its own."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing, self._name = standing, uuid.uuid4().hex
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand over the rest; the process is no longer told of."""
        self._stopped.set()
        self._thread.join(EVERY)
        with suppress(redis.RedisError):
            hand_over()
            _client().hdel(_key("processes"), self._name)

    def _run(self) -> None:
        while True:
            try:
                hand_over()
                said = json.dumps(asdict(self._standing()) | {"at": _time()})
                _client().hset(_key("processes"), self._name, said)
            except Exception as error:  # the next time takes all
                servers.tell(error, "metrics")
            if self._stopped.wait(EVERY):
                return


@once
def _client() -> redis.Redis:
    return redis.Redis.from_url(
        settings.current().limiter_url, socket_timeout=1, socket_connect_timeout=1, decode_responses=True
    )


def _key(name: str) -> str:
    return f"{settings.current().redis_prefix}metrics:{name}"


def _time() -> float:
    """Seconds by Redis's clock: those of machines differ."""
    seconds, microseconds = _client().time()
    return float(seconds + microseconds / 1e6)


class _Deliveries:
    """Those of this process: one at a time, each with a number, and sent again until Redis confirms it.

    A fork starts with none, as its parent goes on with its own.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was not confirmed."""
        self._lock = threading.Lock()
        self._process, self._number = uuid.uuid4().hex, 0
        self._unconfirmed: dict[Series, float] = {}

    def send(self) -> None:
        with self._lock:
            if self._unconfirmed:
                self._send()
            if found := counts.take():
                self._unconfirmed, self._number = found, self._number + 1
                self._send()

    def _send(self) -> None:
        told: list[str | float] = [self._number, REMEMBERED]
        for series, amount in self._unconfirmed.items():
            told += (json.dumps(series), amount)
        keys = [_key("counts"), _key(f"delivered:{self._process}")]
        _client().register_script(ADD)(keys, told)
        self._unconfirmed = {}


_deliveries = _Deliveries()
os.register_at_fork(after_in_child=_deliveries.reset)


def hand_over() -> None:
    """Add what this process has counted to what all have. Raises `redis.RedisError`, and keeps it then."""
    _deliveries.send()


def read_counts() -> dict[Series, float]:
    """What all processes have counted, this one included. Raises `redis.RedisError`."""
    hand_over()
    found = {}
    for field, amount in _client().hgetall(_key("counts")).items():
        metric, labels, part = json.loads(field)
        found[Series(metric, tuple(labels), part)] = float(amount)
    return found


def read_processes() -> list[Standing]:
    """How the living processes stand; what the dead have left is removed. Raises `redis.RedisError`."""
    alive, dead, now = [], [], _time()
    for name, said in _client().hgetall(_key("processes")).items():
        told = json.loads(said)
        if now - told.pop("at") > ALIVE:
            dead.append(name)
        else:
            known = {field.name: told[field.name] for field in fields(Standing) if field.name in told}
            alive.append(Standing(**known))
    if dead:
        _client().hdel(_key("processes"), *dead)
    return alive
