"""Alembic's entry: run by `models.migrate.upgrade` (and by `alembic revision` in development)."""

from alembic import context
from sqlalchemy import text

from models import Base
from models.session import make_engine

# Two `penstock migrate` at once: the second waits for the first. The number is Penstock's own, any will do.
ADVISORY_LOCK = 7_305_811_203


def run() -> None:
    engine = make_engine(context.config.attributes["url"])
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
            # A migration that cannot have its lock at once must not stop everybody behind it.
            connection.execute(text("SET LOCAL lock_timeout = '2s'"))
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            render_as_batch=connection.dialect.name == "sqlite",
        )
        context.run_migrations()
    engine.dispose()


run()
