"""Probes, for process managers and load balancers. They need no key."""

import datetime as dt
import tempfile
from importlib.metadata import version
from typing import Any

from sqlalchemy import select

from app.api.blueprint import Blueprint
from app.api.response_schemas import HealthOut, ReadyOut, RootHealthOut
from app.core.limits import limiter
from app.core.monitoring import broker
from app.core.monitoring.bounded import Bounded
from app.core.outages import database, servers
from app.core.outages.outage import Outage, Server
from app.errors import Unavailable
from app.web import blueprint
from app.web.auth import public
from config import settings
from models.session import engine, reading

PATIENCE = 3.0  # seconds: a load balancer should learn what is down instead of waiting for what hangs

blp = Blueprint("probes", "Whether this process is alive, and whether it can accept jobs.")
root = blueprint.Blueprint("root probes", __name__, description="The same probes at the root path.")


@root.route("/health", methods=["GET"])
@public()
@root.response(200, RootHealthOut)
def get_root_health() -> dict[str, str]:
    """Whether this process is alive, at the root path."""
    time = dt.datetime.now(dt.UTC).isoformat()
    return {"status": "healthy", "timestamp": time, "version": version("penstock")}


@blp.route("/health", methods=["GET"])
@public()
@blp.response(200, HealthOut)
def get_health() -> dict[str, str]:
    """Whether this process is alive."""
    return {"status": "ok"}


@root.route("/ready", methods=["GET"])
@blp.route("/ready", methods=["GET"])
@public(503)
@blp.response(200, ReadyOut)
def get_ready() -> dict[str, Any]:
    """Whether jobs can be submitted here.

    A 503 names what is missing; `degraded` lists what else is down: jobs are accepted, and continue when it
    is back.
    """
    down = _failing("database", "storage") or _failing("migrations")
    if down:
        reasons = "; ".join(f"{name}: {why}" for name, why in down.items())
        raise Unavailable(f"jobs cannot be accepted: {reasons}", {"down": list(down)}, retry_after=5)
    return {"status": "ready", "degraded": list(_failing("broker", "limiter"))}


def _failing(*names: str) -> dict[str, str]:
    """The checks that fail, and why, without driver messages: they may contain a password."""
    failing: dict[str, str] = {}
    for name in names:
        try:
            CHECKS[name].get()
        except Unavailable as error:
            if name == "migrations":
                database.NOT_MIGRATED.noticed("ready", servers.kind(error), error.message)
            failing[name] = error.message
        except OSError as error:
            STORAGE.noticed("ready", servers.kind(error), str(error))
            failing[name] = f"{type(error).__name__}, see the log"
        except Exception as error:
            servers.tell(error, "ready")
            failing[name] = f"{type(error).__name__}: `penstock doctor` says more"
    return failing


def _check_database() -> None:
    with reading() as session:
        session.execute(select(1))


def _check_migrations() -> None:
    from models import migrate  # Alembic: not needed at startup

    why_not = migrate.why_not_current(engine())
    if why_not is not None:
        raise Unavailable(why_not)


def _check_storage() -> None:
    chosen = settings.current()
    for folder in filter(None, (chosen.data, chosen.status_files)):
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"ready")
            file.flush()


STORAGE = Outage("storage", lambda: Server(str(settings.current().data), _check_storage))

CHECKS = {
    "database": Bounded(_check_database, patience=PATIENCE),
    "migrations": Bounded(_check_migrations, patience=PATIENCE),
    "storage": Bounded(_check_storage, patience=PATIENCE),
    "broker": Bounded(broker.reach, patience=PATIENCE),
    "limiter": Bounded(lambda: limiter.limiter().reach(), patience=PATIENCE),
}
