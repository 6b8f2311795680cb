"""`penstock doctor` against real faults: what it names, and that it never hangs."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from redis import Redis
from sqlalchemy import text, update

from app.core.limits import allowances
from app.doctor import workers
from app.doctor.examination import examine
from app.doctor.finding import State
from app.doctor.parts import parts
from config import settings
from models import Lease, session
from models.base import now
from models.session import in_transaction
from tests.support import servers
from tests.support.celery_nodes import PROJECT
from tests.support.stack import forget_process_state

pytestmark = pytest.mark.one_database

# What is found does not depend on the kind of the database, but for what is said of it.
on_sqlite = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def soon(monkeypatch):
    """Nobody is there to answer, so nobody is waited for."""
    monkeypatch.setattr(workers, "ANSWER", 0.2)


@pytest.fixture
def redis(environment, monkeypatch):
    """A Redis of the test's own, to be broken."""
    server = servers.RedisServer()
    server.start()
    monkeypatch.setenv("REDIS_URL", server.url)
    forget_process_state()
    yield server
    server.kill()


def test_without_workers_each_queue_is_named_with_how_to_start_one(environment, soon):
    found = examined()

    assert [text for _, text in found["workers"]] == [
        "no worker that answers serves the queue control",
        "no worker that answers serves the queue slices",
    ]
    assert found["database"][0][0] is State.OK
    assert found["migrations"][0][0] is State.OK
    assert found["jobs"] == [(State.OK, "no job is stuck; 0 have not ended")]


@on_sqlite
def test_a_redis_that_is_stopped_is_named_and_the_rest_is_told(redis, soon):
    os.kill(redis.process.pid, signal.SIGSTOP)

    found = examined()

    assert states(found, "broker", "limiter", "workers") == [State.WRONG] * 3
    assert states(found, "queues", "limiter clock", "worker clocks") == [State.WARNING] * 3
    assert states(found, "storage", "database", "migrations", "jobs") == [State.OK] * 4


@on_sqlite
def test_a_redis_that_is_not_there_is_named_and_the_rest_is_told(redis, soon):
    redis.kill()

    found = examined()

    assert states(found, "broker", "limiter", "workers") == [State.WRONG] * 3
    assert "refused" in found["broker"][0][1]
    assert states(found, "storage", "database", "migrations", "jobs") == [State.OK] * 4


@on_sqlite
def test_a_redis_that_evicts_or_is_full_is_named(redis, soon):
    with Redis.from_url(redis.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        evicts = examined()["broker"]
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1")
        full = examined()["broker"]
        client.config_set("maxmemory", "0")

    assert any(state is State.WRONG and "maxmemory-policy is allkeys-lru" in text for state, text in evicts)
    assert any(state is State.WRONG and "maxmemory" in text for state, text in full)


@on_sqlite
def test_a_database_that_is_stopped_is_named_and_the_rest_is_told(environment, monkeypatch, soon):
    # Given a database that takes connections and answers nothing
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://me:geheim@127.0.0.1:{silent.getsockname()[1]}/x")
        session.engine().dispose()
        forget_process_state()

        found = examined()

    assert states(found, "database") == [State.WRONG]
    assert states(found, "migrations", "beat", "limits", "jobs") == [State.WARNING] * 4
    assert states(found, "storage", "limiter") == [State.OK] * 2
    assert "geheim" not in str(found)


@pytest.mark.parametrize("revision", ["0000", None])
def test_a_database_of_another_revision_is_named_with_what_to_do(environment, soon, revision):
    change = (
        "DROP TABLE alembic_version"
        if revision is None
        else "UPDATE alembic_version SET version_num = '0000'"
    )
    in_transaction(lambda transaction: transaction.execute(text(change)) and None)

    (finding,) = [finding for finding in examine(parts(call=False)) if finding.subject == "migrations"]

    assert (finding.state, finding.remedy) == (State.WRONG, "run `penstock migrate`")
    assert f"at revision {revision or 'none'}," in finding.text


def test_a_database_that_a_newer_release_has_migrated_is_a_warning(environment, soon):
    change = "UPDATE alembic_version SET version_num = '9999'"
    in_transaction(lambda transaction: transaction.execute(text(change)) and None)

    (finding,) = [finding for finding in examine(parts(call=False)) if finding.subject == "migrations"]

    assert (finding.state, "9999" in finding.text) == (State.WARNING, True)


@on_sqlite
def test_a_directory_that_cannot_be_written_or_is_not_there_is_named(environment, monkeypatch, soon):
    for directory in ("/proc", "/nowhere"):
        monkeypatch.setenv("PENSTOCK_DATA", directory)
        settings.current.cache_clear()
        assert states(examined(), "storage") == [State.WRONG], directory


@on_sqlite
def test_a_directory_that_others_can_read_is_named_and_left_as_it_is(environment, soon):
    data = settings.current().data
    data.chmod(0o755)

    (opened, found), _ = examined()["storage"]

    assert (opened, found) == (State.WARNING, f"{data} is open to other users of this machine")
    assert data.stat().st_mode & 0o777 == 0o755


def test_a_held_group_and_a_tick_that_does_not_run_are_named(environment, soon):
    # Given an account that was refused, and a lease that nobody has looked at for a minute
    def work(transaction):
        allowances.hold(transaction, "anthropic:haiku-4", "account: 401", seconds=60, probe_every=60)
        transaction.add(Lease(name="host:1", looked_at=None))
        transaction.flush()
        transaction.execute(update(Lease).values(looked_at=now(-60)))

    in_transaction(work)

    found = examined()

    (held,) = found["limits"]
    assert held[0] is State.WARNING
    assert "anthropic:haiku-4 is held (account: 401); the next probe is in" in held[1]
    assert found["beat"] == [(State.WRONG, "the workers' leases have not been checked for 60 s")]


@on_sqlite
def test_the_command_tells_all_and_says_by_its_exit_code_whether_anything_is_wrong(environment):
    # When a process of its own looks, with a Redis that is not there
    gone = f"redis://:geheim@127.0.0.1:{servers.free_port()}/0"
    ended = run("--json", REDIS_URL=gone)

    # Then the findings are JSON, and the code says that something is wrong
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert {"subject", "state", "text", "remedy"} == set(found[0])
    assert {finding["subject"] for finding in found if finding["state"] == "wrong"} >= {"broker", "workers"}
    assert "geheim" not in ended.stdout + ended.stderr


@on_sqlite
def test_a_stack_that_runs_is_well_and_each_of_its_parts_that_fails_is_named(stack, upstream, monkeypatch):
    # Given a stack whose provider is the upstream
    variables = {"ANTHROPIC_API_KEY": "good-key", "ANTHROPIC_BASE_URL": upstream.url}
    stack.environment |= variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.current.cache_clear()
    control = stack.start().nodes[-1].container._container.process
    upstream.configure(keys=["good-key"])
    servers.wait_until(
        lambda: examined()["beat"][0][0] is State.OK, what="the slice worker has a lease, and it was seen"
    )

    # Then nothing is wrong, and the key is tried
    found = examined(call=True)
    assert [state for subject in found for state, _ in found[subject] if state is State.WRONG] == []
    assert found["provider"] == [(State.OK, f"{upstream.url} accepts the key, and lists 2 models")]
    assert found["beat"][0][0] is State.OK
    assert [text.partition(" by ")[0] for _, text in found["workers"]] == [
        "control is served",
        "slices is served",
    ]

    # When the provider refuses the key, and the control worker is stopped
    upstream.configure(keys=["another-key"])
    os.kill(control.pid, signal.SIGSTOP)
    found = examined(call=True)
    os.kill(control.pid, signal.SIGCONT)

    # Then both are named, and the key is not told
    assert found["provider"][0][0] is State.WRONG
    assert "rejects the key" in found["provider"][0][1]
    assert "good-key" not in str(found)
    assert [state for state, _ in found["workers"]] == [State.WRONG, State.OK]


def examined(*, call=False):
    """State and text of every finding, by subject."""
    found = {}
    for finding in examine(parts(call=call)):
        assert bool(finding.remedy) is (finding.state is not State.OK), finding
        found.setdefault(finding.subject, []).append((finding.state, finding.text))
    return found


def states(found, *subjects):
    return [found[subject][-1][0] for subject in subjects]


def run(*options, **variables):
    command = [sys.executable, "-m", "app.cli", "doctor", *options]
    return subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
