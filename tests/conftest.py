"""Real servers for every test: a Redis-protocol server and PostgreSQL from wheels, migrated databases.

A test that asks for `environment` or `stack` runs once on SQLite and once on PostgreSQL, on a database of its
own. `running` is a stack whose workers serve all tests of a module. Nothing here ever skips: a server that
cannot start fails the test.
"""

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from sqlalchemy import create_engine, text
from xdist.scheduler import LoadScopeScheduling

from tests.support import kept_statements, quick_applications, servers

quick_applications.install()
kept_statements.install()

# What a developer's own shell may hold must not reach a test.
for _name in list(os.environ):
    if _name.startswith(
        (
            *("PENSTOCK_", "ANTHROPIC_", "CLAUDE_", "BATCH_", "DEFAULT_M", "CELERY_", "MAX_"),
            *("FLOWER_", "OTEL_"),
        )
    ) or _name in (
        "DATABASE_URL",
        "REDIS_URL",
        "API_KEYS",
        "REQUIRE_API_KEY",
        "CORS_ORIGINS",
        "ALLOWED_HOSTS",
    ):
        del os.environ[_name]

# Hundreds of processes start: compiling our modules anew costs each of them a third of a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that runs the tests in its background lets them ignore Ctrl-C, and what they start would inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Celery's application is configured once a process: its broker's address must be known before anything of
# ours is imported. The server itself starts with the first test that wants it.
_redis = servers.RedisServer()
os.environ["REDIS_URL"] = _redis.url

from models import migrate, session  # noqa: E402
from tests.support.stack import Stack, forget_process_state  # noqa: E402
from tests.support.upstream import Upstream  # noqa: E402

# The variables of the Penstocks that are set for this process, the outermost first, and those it had before.
_set: list[dict[str, str]] = [dict(os.environ)]
_ended: set[str] = set()  # variables of those that ended in this test

KINDS = ("sqlite", "postgresql")
# For tests that take long and of which one database is like the other.
ONE_IN_SHORT = ("postgresql", pytest.param("sqlite", marks=pytest.mark.long))

# How long an example takes is the machine's matter. The ordinary suite tries the same examples each time, so
# that a commit is judged by what it changes; `make test-all` looks for new ones.
_UNTIMED = {
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.too_slow],
}
hypothesis.settings.register_profile("penstock", **_UNTIMED, derandomize=True)
hypothesis.settings.register_profile("explore", **_UNTIMED, max_examples=2_000)
hypothesis.settings.load_profile("penstock")


class _Scheduling(LoadScopeScheduling):
    """As `--dist loadscope`; what shares a whole Penstock and a browser is for one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    return _Scheduling(config, log) if config.getoption("dist") == "loadscope" else None


@pytest.hookimpl(tryfirst=True)  # before `-m` has its say
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is about the wire runs on one database, and on both in the long form."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        if (
            item.get_closest_marker("one_database")
            and callspec is not None
            and "postgresql" in callspec.params.values()
        ):
            item.add_marker(pytest.mark.long)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Iterator[None]:
    """No variable of a Penstock outlives it.

    A test's `monkeypatch` may be undone after the Penstock whose variables it changed, and sets them again.
    """
    yield
    while _ended:
        name = _ended.pop()
        before = next((values[name] for values in reversed(_set) if name in values), None)
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis-protocol server of this test process's own."""
    _redis.start()
    yield _redis.url
    _redis.kill()


@pytest.fixture(scope="session")
def redis_server(redis_url: str) -> servers.RedisServer:
    return _redis


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[servers.PostgresServer]:
    """A PostgreSQL server of this test process's own."""
    with servers.postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres_server: servers.PostgresServer) -> str:
    """The server's address; it names the migrated template."""
    migrate.upgrade(postgres_server.url)
    return postgres_server.url


@pytest.fixture(scope="session")
def sqlite_template() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        migrate.upgrade(f"sqlite:///{path}")
        yield path


@contextmanager
def new_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """An empty migrated database: a copy of the template, which costs less than migrating."""
    if kind == "sqlite":
        path = folder / "penstock.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template: str = request.getfixturevalue("postgres_url")
    name = f"test_{uuid.uuid4().hex}"
    base, _, template_name = template.partition("?")[0].rpartition("/")
    query = template.partition("?")[2]
    address = template.replace(f"/{template_name}", "/postgres", 1)
    admin = create_engine(address, isolation_level="AUTOCOMMIT", pool_pre_ping=True)
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE {name} TEMPLATE "{template_name}"'))
    yield f"{base}/{name}" + (f"?{query}" if query else "")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@contextmanager
def penstock_of_its_own(
    kind: str, request: pytest.FixtureRequest, folder: Path, **more: str
) -> Iterator[dict[str, str]]:
    """The variables of a Penstock, set for this process and to hand to child processes."""
    redis_url: str = request.getfixturevalue("redis_url")
    servers.flush(redis_url)
    with new_database(kind, request, folder) as database_url, pytest.MonkeyPatch.context() as patch:
        values = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PENSTOCK_DATA": str(folder),
            "LOG_LEVEL": "INFO",
            "PENSTOCK_GRACE_SECONDS": "5",
            **more,
        }
        for name, value in values.items():
            patch.setenv(name, value)
        _set.append(values)
        forget_process_state()
        try:
            yield values
        finally:
            session.engine().dispose()
            forget_process_state()
            _set.pop()
            _ended.update(values)


@pytest.fixture(params=KINDS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Penstock of the test's own without processes: an empty database of each kind, an empty broker."""
    with penstock_of_its_own(request.param, request, tmp_path) as values:
        yield values


@pytest.fixture
def stack(environment: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    """A Penstock of the test's own; `stack.start()` starts its workers."""
    made = Stack(environment, tmp_path)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def upstream_process() -> Iterator[Upstream]:
    """A provider that speaks Anthropic's Messages API over HTTP and keeps its own books."""
    with Upstream() as provider:
        yield provider


@pytest.fixture
def upstream(upstream_process: Upstream) -> Upstream:
    """A provider that behaves well and has empty books."""
    upstream_process.reset()
    return upstream_process


@pytest.fixture(scope="module", params=KINDS)
def running(
    request: pytest.FixtureRequest, upstream_process: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A Penstock whose two slice workers and control worker serve all tests of a module.

    Claude is the upstream, with more room than any test needs.
    """
    folder = tmp_path_factory.mktemp("running")
    more = {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": upstream_process.url,
        "CLAUDE_REQUESTS_PER_MINUTE": "60000",
        "BATCH_MAX_CONCURRENT_LLM_CALLS": "500",
    }
    with penstock_of_its_own(request.param, request, folder, **more) as values:
        made = Stack(values, folder).start(slice_workers=2)
        yield made
        made.stop()
