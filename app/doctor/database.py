"""The database, and what only its rows show: migrations, beat, held limit groups, stuck jobs."""

import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from app.core.limits import allowances
from app.core.limits.obstacle import Obstacle
from app.core.pipeline.sweeping import stalled, sweep_owner
from app.doctor import clocks, webhooks
from app.doctor.finding import Finding, ok, warning, wrong
from config import settings
from models import migrate
from models.base import now
from models.job import LIVE, Job
from models.lease import Lease
from models.session import engine, is_pooled, reading

SUBJECTS = ("database", "migrations", "database clock", "beat", "limits", "jobs", webhooks.SUBJECT)
REMEDY = (
    "check DATABASE_URL, that its server is running and accepts connections from this machine, and that its"
    " role owns the tables"
)
OLDEST = 150_000  # in PostgreSQL's numbering of its versions
FULL = 0.8  # of its connections
TICKS = 15.0  # seconds within which the tick has checked every lease
NAMED = 5  # stuck jobs


def look() -> Iterator[Finding]:
    file = engine().url.database
    if settings.current().is_sqlite and not (file and Path(file).exists()):  # connecting would create it
        yield wrong("database", f"there is no {file}", "run `penstock migrate`, or `penstock up`")
        return
    with reading() as session:
        yield from _server(session)
        if not settings.current().is_sqlite:
            yield _pooler(session)
    found, needed = migrate.revision(engine()), migrate.newest()
    if found is not None:
        _write()
    if migrate.is_ahead(found):
        yield warning(
            "migrations",
            f"it is at revision {found}, which a newer release has made; this one needs {needed}",
            "right during an upgrade, or after it was taken back by one release; else run the newer release",
        )
    elif found != needed:
        ours = not migrate.is_foreign(found)
        remedy = "run `penstock migrate`" if ours else "check DATABASE_URL: it is another program's"
        yield wrong("migrations", f"it is at revision {found or 'none'}, but {needed} is needed", remedy)
        return
    else:
        yield ok("migrations", f"it is at the newest revision, {found}, and writable")
    if not settings.current().is_sqlite:  # its clock is this machine's
        yield _clock()
    with reading() as session:
        yield _beat(session)
        yield from _held(session)
        yield from _jobs(session)
        yield from webhooks.look(session)


def _server(session: Session) -> Iterator[Finding]:
    where = engine().url.render_as_string(hide_password=True)
    if settings.current().is_sqlite:
        version = session.scalar(text("SELECT sqlite_version()"))
        yield ok("database", f"SQLite {version} at {where}")
        return
    number, version = session.execute(
        text("SELECT current_setting('server_version_num')::int, current_setting('server_version')")
    ).one()
    if number < OLDEST:
        yield warning(
            "database", f"PostgreSQL {version} at {where}", "Penstock is tested with 15 and later: upgrade it"
        )
    else:
        yield ok("database", f"PostgreSQL {version} at {where}")
    yield from _connections(session)


def _pooler(session: Session) -> Finding:
    if is_pooled(session.connection()):
        return ok("pooler", "one that hands each transaction to a session of its own choice: none is set up")
    return ok("pooler", "none, or one that keeps sessions: each is set up once")


def _connections(session: Session) -> Iterator[Finding]:
    used, most = session.execute(
        text("SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity")
    ).one()
    if used > FULL * most:
        remedy = "raise max_connections: a Penstock process holds up to 32"
        yield warning("database", f"{used} of its {most} connections are in use", remedy)


def _write() -> None:
    """Raises the database's error if it is not writable; writes nothing."""
    with engine().connect() as connection, connection.begin() as transaction:
        connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
        transaction.rollback()


def _clock() -> Finding:
    sent = time.time()
    with reading() as session:
        reported = session.scalars(select(now())).one()
    return clocks.compared("database clock", "the database's", reported.timestamp(), sent, time.time())


def _beat(session: Session) -> Finding:
    """The tick checks every live lease several times in ten seconds; without leases this cannot be seen."""
    live = Lease.dead_at.is_(None)
    looked_at = session.scalar(select(func.max(func.coalesce(Lease.looked_at, Lease.created_at))).where(live))
    late = stalled.oldest_due(session)
    ago = None if looked_at is None else (session.scalars(select(now())).one() - looked_at).total_seconds()
    remedy = "run one beat (`celery --app tasks beat`, or --beat on one control worker) and a control worker"
    if late > TICKS:
        return wrong("beat", f"a job has been due for {late:.0f} s and was not advanced", remedy)
    if (worker := sweep_owner.stand_in(session)) is not None:
        return warning("beat", f"no beat requests the sweep; the worker {worker} has taken over", remedy)
    if ago is None:
        return warning("beat", "unknown: no worker has a lease to check", "start a slice worker")
    if ago > TICKS:
        return wrong("beat", f"the workers' leases have not been checked for {ago:.0f} s", remedy)
    return ok("beat", f"the workers' leases were checked {max(ago, 0):.0f} s ago, and no job is overdue")


def _held(session: Session) -> Iterator[Finding]:
    held = {name: hold for name, (_, hold) in allowances.read_all(session).items() if hold is not None}
    for name, hold in sorted(held.items()):
        remedy = (
            "it resumes by itself when a probe succeeds; for an account check its key, credit and spend limit"
        )
        why = Obstacle.from_json(hold.detail)
        yield warning(
            "limits",
            f"{name} is held ({hold.reason}); the next probe is in {hold.seconds:.0f} s",
            remedy if why is None else why.message,
        )
    if not held:
        yield ok("limits", "no limit group is held")


def _jobs(session: Session) -> Iterator[Finding]:
    found = stalled.find(session)
    for job in found[:NAMED]:
        yield wrong(
            "jobs",
            f"job {job.uid} is stuck: {job.why}",
            "run `penstock sweep`, and read the control worker's log",
        )
    if len(found) > NAMED:
        yield wrong("jobs", f"{len(found) - NAMED} more are stuck", "see above")
    if not found:
        live = session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(LIVE)))
        yield ok("jobs", f"no job is stuck; {live:,} have not ended")
