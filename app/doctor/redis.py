"""Broker and limiter: whether they answer, keep their data, and how much is waiting."""

import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from kombu.connection import Connection
from redis import Redis

from app.core.monitoring import broker
from app.doctor import clocks
from app.doctor.finding import Finding, ok, warning, wrong
from config import settings

BROKER = ("broker", "queues")
BROKER_REMEDY = (
    "check REDIS_URL (or CELERY_BROKER_URL), for a certificate of the host's own REDIS_TLS_CA, and that its"
    " server is running and accepts connections from this machine"
)
LIMITER = ("limiter", "limiter clock")
LIMITER_REMEDY = "check REDIS_URL, and that its server is running: without it no call starts"
PATIENCE = 2  # seconds
OLDEST = (6, 2)
FULL = 0.8  # of maxmemory
MANY = 500  # messages in the control queue, which are small and quick


def look_at_broker() -> Iterator[Finding]:
    chosen = settings.current()
    broker.check_redis()
    if broker.is_redis():
        yield from _server("broker", chosen.broker_url)
    else:
        yield _amqp(chosen.broker_url)
    yield _queues()


def look_at_limiter() -> Iterator[Finding]:
    chosen = settings.current()
    broker.check_redis()
    if _place(chosen.limiter_url)[:2] == _place(chosen.broker_url)[:2]:
        with _client(chosen.limiter_url) as client:
            client.ping()
        yield ok("limiter", f"it is the broker's server, in database {_place(chosen.limiter_url)[2]}")
    else:
        yield from _server("limiter", chosen.limiter_url)
    yield _clock(chosen.limiter_url)


def _client(url: str) -> Redis:
    return Redis.from_url(
        url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, decode_responses=True
    )


def _place(url: str) -> tuple[str | None, int, str]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or 6379, parts.path.strip("/") or "0"


def _server(subject: str, url: str) -> Iterator[Finding]:
    """One Redis: its version, and settings that would lose messages or permits."""
    host, port, database = _place(url)
    with _client(url) as client:
        info: Mapping[str, Any] = client.info()
        if not (refused := _refusal(client, info)):
            client.set("penstock:doctor", 1, ex=1)
    version = str(info["redis_version"])
    name = info.get("server_name") or "redis"
    tls = " over TLS" if urlsplit(url).scheme == "rediss" else ""
    where = f"{name} {info.get('valkey_version', version)} at {host}:{port}, database {database}{tls}"
    if refused:
        yield wrong(
            subject,
            f"{where}: {refused}",
            "set REDIS_URL to the primary, or wait until it has finished loading",
        )
        return
    complaints = list(_complaints(subject, where, version, info))
    yield from complaints
    if not complaints:
        yield ok(subject, f"{where}: noeviction, append-only file, {info['used_memory_human']} used")


def _refusal(client: Redis, info: Mapping[str, Any]) -> str:
    if info.get("loading"):
        return "it is still loading its file"
    return "it is a replica, which accepts no writes" if info.get("role") == "slave" else ""


def _complaints(subject: str, where: str, version: str, info: Mapping[str, Any]) -> Iterator[Finding]:
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield wrong(subject, f"{where}: too old", "Penstock needs 6.2 or later")
    policy = info.get("maxmemory_policy", "unknown")
    if policy != "noeviction":
        remedy = (
            "set maxmemory-policy noeviction in its configuration: eviction would lose messages and permits"
        )
        yield wrong(subject, f"{where}: maxmemory-policy is {policy}", remedy)
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > FULL * most:
        full = f"{where}: {info['used_memory_human']} of maxmemory {info['maxmemory_human']} are used"
        yield warning(subject, full, "raise maxmemory before it rejects writes")
    if not info.get("aof_enabled"):
        remedy = "set appendonly yes: without it, everything queued waits for a sweep after a restart"
        yield warning(subject, f"{where}: it has no append-only file", remedy)


def _amqp(url: str) -> Finding:
    with Connection(url, connect_timeout=PATIENCE) as connection:  # type: ignore[no-untyped-call]
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
        properties = connection.connection.server_properties
    return ok(
        "broker",
        f"{properties.get('product', 'AMQP')} {properties.get('version', '')} at {urlsplit(url).hostname}",
    )


def _queues() -> Finding:
    lengths = broker.queue_lengths()
    text = ", ".join(f"{length:,} in {queue}" for queue, length in lengths.items())
    if lengths[broker.CONTROL] > MANY:
        remedy = "start a control worker, or another one: these messages finish jobs and recover them"
        return warning("queues", f"waiting messages: {text}", remedy)
    return ok("queues", f"waiting messages: {text}")


def _clock(url: str) -> Finding:
    with _client(url) as client:
        client.ping()
        sent = time.time()
        seconds, micros = client.time()
    return clocks.compared("limiter clock", "Redis'", seconds + micros / 1e6, sent, time.time())
