"""Upgrading a database to the newest revision, and checking whether it is there."""

from pathlib import Path
from typing import TypeGuard

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from app.errors import Conflict
from models.session import make_engine

HERE = Path(__file__).parent / "migrations"


def configuration(url: str) -> Config:
    """Alembic's configuration; there is no alembic.ini."""
    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    return config


def upgrade(url: str) -> tuple[str | None, str]:
    """Upgrade the database at `url` to the newest revision; returns the revisions before and after.

    One that a newer release has migrated stays as it is. Raises `Conflict` for another program's.
    """
    engine = make_engine(url)
    try:
        if engine.dialect.name == "sqlite" and engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        before = revision(engine)
        if is_foreign(before):
            raise Conflict(_foreign(before))
        if is_ahead(before):
            return before, before
        command.upgrade(configuration(url), "head")
        return before, newest()
    finally:
        engine.dispose()


def revision(engine: Engine) -> str | None:
    """The database's revision; None before the first."""
    with engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str:
    """The revision that this code needs."""
    head = ScriptDirectory(str(HERE)).get_current_head()
    assert head is not None
    return head


def is_ahead(found: str | None) -> TypeGuard[str]:
    """Whether a newer release has migrated the database: revisions are numbered.

    During an upgrade, and after it was taken back, two releases use one database: what a migration changes is
    changed in such a way that the release before can live with it.
    """
    return found is not None and not is_foreign(found) and found > newest()


def is_foreign(found: str | None) -> TypeGuard[str]:
    """Whether another program that uses Alembic has migrated the database: its revisions are not numbered."""
    return found is not None and not found.isdecimal()


def _foreign(found: str) -> str:
    return f"the database is at revision {found}, which no release of Penstock has made: check DATABASE_URL"


def why_not_current(engine: Engine) -> str | None:
    """Why this code cannot use the database, and what to do; None when it can."""
    found, needed = revision(engine), newest()
    if found == needed or is_ahead(found):
        return None
    if is_foreign(found):
        return _foreign(found)
    if found is None:
        return f"the database has no tables yet (revision {needed} is needed): run `penstock migrate`"
    return f"the database is at revision {found}, but {needed} is needed: run `penstock migrate`"
