"""Real servers for every test: a Redis-protocol server and PostgreSQL from wheels, migrated databases.

A test that asks for `database` runs once on SQLite and once on PostgreSQL. Nothing here ever skips: a server
that cannot start fails the test.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from config import settings
from models import migrate, session
from tests import servers

# What a developer's own shell may hold must not reach a test.
for _name in list(os.environ):
    if _name.startswith(("PENSTOCK_", "ANTHROPIC_", "CLAUDE_", "BATCH_", "DEFAULT_M", "CELERY_")) or _name in (
        "DATABASE_URL",
        "REDIS_URL",
    ):
        del os.environ[_name]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis-protocol server of this test process's own."""
    with servers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server of this test process's own; the database at the address is the migrated template."""
    with servers.postgres() as url:
        migrate.upgrade(url)
        yield url


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        migrate.upgrade(f"sqlite:///{path}")
        yield path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty migrated database, once of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "penstock.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex}"
    base, _, template_name = template.partition("?")[0].rpartition("/")
    query = template.partition("?")[2]
    admin = create_engine(template.replace(f"/{template_name}", "/postgres", 1), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE {name} TEMPLATE "{template_name}"'))
    yield f"{base}/{name}" + (f"?{query}" if query else "")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def environment(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The variables of a Penstock of this test's own, set for this process and to hand to child processes."""
    servers.flush(redis_url)
    values = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "PENSTOCK_DATA": str(tmp_path)}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    forget_process_state()
    yield values
    session.engine().dispose()
    forget_process_state()


def forget_process_state() -> None:
    """Settings, engine and clients are made once a process; a test starts with none of them."""
    settings.current.cache_clear()
    session.engine.cache_clear()
