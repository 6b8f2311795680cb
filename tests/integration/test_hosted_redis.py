"""A Redis as hosts sell it: one database, TLS with a certificate of their own."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
import redis

from app.core.limits.limiter import CallTerms, limiter
from app.core.monitoring import broker
from app.errors import Unavailable
from app.stack import commands
from app.stack.listen import listen
from config import settings
from tests.support.celery_nodes import PROJECT
from tests.support.servers import RedisServer
from tests.support.stack import Stack, forget_process_state

pytestmark = pytest.mark.parametrize("environment", ["sqlite"], indirect=True)


@pytest.fixture
def one_database(environment, monkeypatch):
    """A server with database 0 alone."""
    server = RedisServer()
    server.start("--databases", "1")
    monkeypatch.setenv("REDIS_URL", server.url)
    environment["REDIS_URL"] = server.url
    forget_process_state()
    yield server
    server.kill()


def refused(command: list[str], pass_fds: Sequence[int] = ()) -> str:
    """What a process says that refuses to start."""
    ended = subprocess.run(
        command,
        cwd=PROJECT,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        pass_fds=pass_fds,
    )
    assert ended.returncode != 0
    return ended.stderr


def test_a_server_without_the_databases_is_refused_with_the_setting(one_database):
    with pytest.raises(Unavailable, match="set REDIS_ONE_DATABASE=true"):
        broker.check_redis()

    said = refused([sys.executable, "-m", "celery", "-A", "tasks", "worker"])
    assert "set REDIS_ONE_DATABASE=true" in said


def test_one_database_does_with_all_keys_under_a_prefix(one_database, environment, monkeypatch, tmp_path):
    monkeypatch.setenv("REDIS_ONE_DATABASE", "true")
    environment["REDIS_ONE_DATABASE"] = "true"
    forget_process_state()
    broker.check_redis()
    stack = Stack(environment, tmp_path).start()
    try:
        job = stack.submit([{"prompt": f"number {number}"} for number in range(20)], model="simulated")
        assert job.wait_for("completed", seconds=40).statuses() == {"succeeded": 20}
    finally:
        stack.stop()
    with redis.Redis.from_url(settings.current().redis_url, decode_responses=True) as client:
        keys = {str(key) for key in client.scan_iter(count=1_000)}
    assert keys
    assert {key for key in keys if not key.startswith("penstock:")} == set()
    assert limiter().standing(CallTerms("simulated", 0)).requests == 20


def test_the_web_process_refuses_such_a_server_at_its_start_in_one_sentence(one_database):
    with listen("127.0.0.1", 0) as listener:
        said = refused(commands.web(listener.fileno(), 1, 64), pass_fds=[listener.fileno()])
    assert "penstock: the server of REDIS_URL has no database" in said
    assert "Traceback" not in said
