"""Upgrading a database to the newest revision, and checking whether it is there."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from models.session import make_engine

HERE = Path(__file__).parent / "migrations"


def configuration(url: str) -> Config:
    """Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> tuple[str | None, str]:
    """Upgrade the database at `url` to the newest revision; returns the revisions before and after."""
    engine = make_engine(url)
    try:
        if engine.dialect.name == "sqlite" and engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        before = revision(engine)
        command.upgrade(configuration(url), "head")
        return before, newest()
    finally:
        engine.dispose()


def revision(engine: Engine) -> str | None:
    """The database's revision; None before the first."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory(str(HERE)).get_current_head()
    assert head is not None
    return head


def why_not_current(engine: Engine) -> str | None:
    """What is wrong with the database's revision, and what to do; None when it is the one needed."""
    with engine.connect() as connection:
        return why_not(connection)


def why_not(connection: Connection) -> str | None:
    """The same of an open connection's database."""
    found, needed = _revision(connection), newest()
    if found == needed:
        return None
    if found is None:
        return f"the database has no tables yet (revision {needed} is needed): run `penstock migrate`"
    return f"the database is at revision {found}, but {needed} is needed: run `penstock migrate`"


def is_current(engine: Engine) -> bool:
    """Whether the database is at the revision that this code needs."""
    return revision(engine) == newest()
