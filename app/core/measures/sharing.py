"""Adds up in Redis what all processes count, and keeps what each says of itself for as long as it lives.

Redis may forget all of it: a counter that starts anew is what Prometheus expects of a restart. While Redis is
away a process keeps what it has counted.
"""

import json
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields

import redis

from app.core.measures.counts import Series, counts
from app.core.outages import servers
from config import settings
from config.once import once

EVERY = 5.0  # seconds between two times that a process hands over
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
            except redis.RedisError as error:  # the next time takes all
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


def hand_over() -> None:
    """Add what this process has counted to what all have. Raises `redis.RedisError`, and keeps it then.

    An answer that is lost on its way may let some of it be counted twice.
    """
    if not (taken := counts.take()):
        return
    try:
        pipe = _client().pipeline()
        for series, amount in taken.items():
            pipe.hincrbyfloat(_key("counts"), json.dumps(series), amount)
        pipe.execute()
    except redis.RedisError:
        counts.put_back(taken)
        raise


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
