"""Probes, for whatever keeps this process running and sends it requests. They need no key."""

import tempfile
from collections.abc import Callable, Mapping

import redis
import structlog
from flask import Blueprint as PlainBlueprint
from flask import Response
from kombu.connection import Connection

from app.api.blueprint import Blueprint, answer
from app.api.outputs import HealthOut, ReadyOut
from app.auth import public
from app.errors import Unavailable
from config import settings
from models import migrate
from models.session import engine

PATIENCE = 1  # seconds for what a submission does not need

log = structlog.get_logger(__name__)
blp = Blueprint("probes", "Whether this process runs, and whether it can take jobs.")
unprefixed = PlainBlueprint("unprefixed_probes", __name__)

Check = Callable[[], None]


@unprefixed.get("/health")
@blp.route("/health", methods=["GET"])
@public()
@blp.response(200, HealthOut)
def get_health() -> Response:
    """Whether this process runs."""
    return answer({"status": "ok"})


@unprefixed.get("/ready")
@blp.route("/ready", methods=["GET"])
@public()
@blp.response(200, ReadyOut)
def get_ready() -> Response:
    """Whether jobs can be submitted here.

    503 names what is missing for it; `degraded` is what else is away: jobs are taken, and go on when it is
    back.
    """
    down = _failing({"database": _check_database, "storage": _check_storage})
    if down:
        reasons = "; ".join(f"{name}: {why}" for name, why in down.items())
        raise Unavailable(f"jobs cannot be taken here: {reasons}", {"down": list(down)}, retry_after=5)
    return answer({"status": "ready", "degraded": list(_failing(_needed_to_run()))})


def _failing(checks: Mapping[str, Check]) -> dict[str, str]:
    """The checks that fail, and why, without words of a driver: they may hold a password."""
    failing: dict[str, str] = {}
    for name, check in checks.items():
        try:
            check()
        except Unavailable as error:
            failing[name] = error.message
        except Exception as error:
            log.warning("not_ready", what=name, exc_info=error)
            failing[name] = f"{type(error).__name__}, see the log"
    return failing


def _needed_to_run() -> dict[str, Check]:
    chosen = settings.current()
    return {"broker": lambda: _reach(chosen.broker_url), "limiter": lambda: _reach(chosen.limiter_url)}


def _check_database() -> None:
    found, needed = migrate.revision(engine()), migrate.newest()
    if found != needed:
        raise Unavailable(f"it is at revision {found}, needed is {needed}: run `penstock migrate`")


def _check_storage() -> None:
    with tempfile.TemporaryFile(dir=settings.current().data) as file:
        file.write(b"ready")
        file.flush()


def _reach(url: str) -> None:
    if url.startswith("redis"):
        with redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE) as client:
            client.ping()
        return
    with Connection(url, connect_timeout=PATIENCE) as connection:  # type: ignore[no-untyped-call]
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
