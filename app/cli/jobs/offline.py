"""Jobs while no stack runs: this process answers the native contract from the database, to itself alone.

What needs no worker works like that: to list, show, cancel, pause, resume, delete, and to read results.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from app.cli.client import Job, Rest
from app.cli.database import check_revision
from app.errors import Unavailable
from config import logs, private, settings
from config.secret_files import is_given
from config.settings import Settings

ADDRESS = "http://127.0.0.1"
NOWHERE = "redis://127.0.0.1:1/0"  # refuses at once; the default could be the Redis of something else


@contextmanager
def contract(chosen: Settings, key: Callable[[], str]) -> Iterator[Rest]:
    """The contract, as the stack on this database would answer it; `key` is asked for once there is one."""
    _check(chosen)
    if not is_given("REDIS_URL", os.environ):
        os.environ["REDIS_URL"] = NOWHERE
    settings.current.cache_clear()
    from app.factory import create_app

    with private.closed_to_others():
        app = create_app()
        logs.configure("CRITICAL", "text")  # the answer says what went wrong
        with _Own(ADDRESS, key(), httpx2.WSGITransport(app=app)) as rest:
            yield rest


class _Own(Rest):
    """What this process answers itself; it also does what a retry needs of a stack."""

    def retry(self, job_id: str, choice: Mapping[str, Any] | None = None) -> Job:
        """As of a stack, whose sweep has updated the records of jobs that were closed."""
        from app.core.pipeline import retention
        from models.session import in_transaction

        while in_transaction(retention.settle):
            pass
        return super().retry(job_id, choice)


def _check(chosen: Settings) -> None:
    """The database has tables; an embedded one is migrated like that of a stack that starts."""
    if not chosen.database_url:
        raise Unavailable("BATCH_PERSISTENCE_BACKEND=memory keeps jobs only while their stack runs")
    if not chosen.is_sqlite:
        check_revision()
        return
    from sqlalchemy import make_url

    from models import migrate as migrations

    file = make_url(chosen.database_url).database
    if not file or not os.path.exists(file):  # noqa: PTH110 - a name, maybe empty
        raise Unavailable(f"there are no jobs on {chosen.data}: no stack has run there yet")
    migrations.upgrade(chosen.database_url)
