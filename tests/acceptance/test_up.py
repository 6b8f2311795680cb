"""`penstock up` as its user sees it: real broker, real workers, real web, real signals."""

import os
import pty
import re
import secrets
import signal
import socket
import subprocess
import sys
from urllib.parse import urlsplit

import httpx2
import pytest

from config import private
from tests.support.commands import EMBEDDED, Command, Stack, lives, open_to_others
from tests.support.servers import wait_until

CHILDREN = ("slice1", "control", "web", "broker")
OPERATORS = secrets.token_hex(32)  # a key of the environment


@pytest.fixture
def up(tmp_path):
    started: list[Command] = []

    def start(*options: str, **environment: str) -> Stack:
        stack = Stack(tmp_path / "data", *options, **environment)
        started.append(stack)
        return stack

    yield start
    for stack in started:
        stack.clear_away()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A stack for the tests that leave it running: with an operator's key, and without one for Claude."""
    stack = Stack(tmp_path_factory.mktemp("up") / "data", API_KEYS=OPERATORS, ANTHROPIC_API_KEY="")
    yield stack.is_ready()
    stack.clear_away()


def job_of(stack: Stack, records: int) -> dict:
    body = {"model": "simulated", "records": [{"prompt": f"number {number}"} for number in range(records)]}
    with stack.client() as client:
        return client.post("/jobs", json=body, headers={"Prefer": "wait=30"}).json()


def caller(stack: Stack, key: str | None = None) -> httpx2.Client:
    """With that key, or the first one."""
    key = key or (stack.data / "api-key").read_text().strip()
    return httpx2.Client(base_url=stack.address, headers={"X-API-Key": key}, timeout=30)


def test_one_command_serves_a_job_and_says_where_everything_is(shared):
    # Given
    key = shared.data / "api-key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert re.search(r"docs +http://127.0.0.1:\d+/docs", shared.said)
    assert re.search(r"ready after \d+\.\d s", shared.said)
    assert shared.told()["ready"] is True
    assert httpx2.get(f"{shared.address}/health").status_code == 200
    # When
    job = job_of(shared, 3)
    # Then
    assert (job["status"], job["counts"]["succeeded"]) == ("completed", 3)


def test_without_a_key_it_says_once_which_model_is_missing_and_how_to_try_every_contract(shared):
    # When
    text = {"text": "A text that is long enough.", "operation": "summarize"}
    with caller(shared, OPERATORS) as client:
        refused = client.post("/batch_process", json={"requests": [text]})
    # Then
    assert refused.status_code == 422
    assert "DEFAULT_MODEL=simulated" in refused.json()["detail"][0]["msg"]
    [line] = [line for line in shared.said.splitlines() if "ANTHROPIC_API_KEY" in line]
    assert "`claude-haiku-4-5` (DEFAULT_MODEL)" in line
    assert "start with DEFAULT_MODEL=simulated" in line


def test_a_key_of_the_environment_configures_batching_and_no_other_power_over_the_system(shared):
    # Given what the batch processor's clients know: one key, from the environment of the stack
    configure, limits = "/api/batch-processor/configure", "/api/v1/limits/simulated"
    with caller(shared, OPERATORS) as operator, caller(shared) as first:
        # Then it configures, for everybody
        assert operator.post(configure, json={"max_batch_size": 64}).json()["max_batch_size"] == 64
        assert first.get(configure).json()["max_batch_size"] == 64
        # And sets no limits, makes no keys, and sees nothing of other tenants
        made = first.post("/api/v1/keys", json={"name": "admin", "scopes": ["admin"]}).json()
        assert operator.put(limits, json={"requests_per_minute": 9}).status_code == 403
        assert operator.post("/api/v1/keys", json={"name": "x", "scopes": ["batching"]}).status_code == 403
        from_afar = operator.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"})
        assert from_afar.status_code == 403
    # And an admin of the tenant is told which keys may
    with caller(shared, made["key"]) as admin:
        refused = admin.post(configure, json={"max_batch_size": 32})
        assert refused.status_code == 403
        told = refused.json()["message"]
    assert "needs a key with the scope 'batching'" in told
    assert "API_KEYS" in told
    assert "penstock keys create" in told


def test_an_operator_in_another_shell_finds_the_stack_well(shared):
    # When
    doctor, sweep = Command(["doctor"], shared.data), Command(["sweep"], shared.data)
    scraped = httpx2.get(f"{shared.address}/metrics")
    # Then
    codes = [doctor.ends(), sweep.ends()]
    assert codes == [0, 0], doctor.said + sweep.said
    assert "0 wrong" in doctor.said
    assert "slices is served by slice1@" in doctor.said
    assert sweep.said == "nothing was left behind\n"
    for part in ("database", "limiter", "broker"):
        assert f'penstock_answers{{part="{part}"}} 1.0' in scraped.text


def test_nothing_of_it_is_open_to_other_users_of_the_machine(shared):
    # Given
    secrets = [(shared.data / "api-key").read_text().strip(), urlsplit(shared.told()["redis_url"]).password]
    job_of(shared, 3)
    # Then its files are closed, and all of them are known to be its own
    assert {path.name for path in shared.data.iterdir()} >= {"penstock.db-wal", "broker", "logs", "up.lock"}
    assert open_to_others(shared.data) == []
    assert private.is_ours_alone(shared.data)
    # And neither what it says, nor its logs, nor any command line has a secret
    told = [shared.said, *shared.family().values()]
    told += [log.read_text() for log in (shared.data / "logs").iterdir()]
    assert not [text for text in told for secret in secrets if secret in text]
    # And its beat keeps no schedule that could be replaced
    assert not list(shared.data.glob("*schedule*"))


def test_a_terminal_is_shown_the_first_key(tmp_path):
    # Given
    terminal, end = pty.openpty()
    told = b""
    # When
    with subprocess.Popen(
        [sys.executable, "-m", "app.cli", "up", "--port", "0", "--workers", "1"],
        env=os.environ | EMBEDDED | {"PENSTOCK_DATA": str(tmp_path / "data")},
        stdin=subprocess.DEVNULL,
        stdout=end,
        stderr=end,
        start_new_session=True,
    ) as stack:
        while b"ready after" not in told:
            told += os.read(terminal, 1_000)
        stack.send_signal(signal.SIGTERM)
        while b"stopped" not in told:
            told += os.read(terminal, 1_000)
        stack.wait(30)
    os.close(terminal)
    os.close(end)
    # Then
    assert (tmp_path / "data" / "api-key").read_text().strip().encode() in told


def test_a_second_up_on_the_same_data_is_refused_with_the_pid_of_the_first(shared):
    second = Stack(shared.data)
    assert second.ends() == 1
    assert f"process {shared.process.pid} {shared.address}" in second.said


def test_a_child_that_is_killed_comes_back_and_there_is_never_a_second_beat(shared):
    # Given
    before = [shared.pid_of(name) for name in CHILDREN]
    # When
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    # Then
    for name in CHILDREN:
        shared.says(f"{name} ended after")
    wait_until(lambda: all_run(shared, before), seconds=60, what="every child runs again")
    assert job_of(shared, 3)["counts"]["succeeded"] == 3
    assert sum("celery beat" in command for command in shared.family().values()) == 1


def all_run(stack: Stack, before: list[int]) -> bool:
    try:
        now = [stack.pid_of(name) for name in CHILDREN]
        return not set(now) & set(before) and httpx2.get(f"{stack.address}/health").is_success
    except (ValueError, FileNotFoundError, httpx2.TransportError):
        return False


def test_ctrl_c_ends_every_process_in_order(up):
    # Given
    stack = up("--workers", "2").is_ready()
    assert sum("--queues slices" in command for command in stack.family().values()) == 2
    pids = list(stack.family())
    # When
    stack.interrupt()
    # Then
    assert stack.ends() == 0
    assert not any(map(lives, pids))
    assert "is killed" not in stack.said
    assert stack.said.endswith("stopped\n")


def test_a_port_that_is_taken_is_named_and_nothing_is_left_running(up):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = up("--port", str(port))
        assert stack.ends() == 1
        assert stack.said == (
            f"error: port {port} of 127.0.0.1 is in use: "
            "choose another with --port, or --port 0 for a free one\n"
        )


@pytest.mark.long
def test_kill_9_leaves_no_process_and_the_next_up_goes_on_with_key_and_jobs(up):
    # Given
    first = up().is_ready()
    job = job_of(first, 2)
    key = (first.data / "api-key").read_text()
    pids = list(first.family())
    assert len(pids) >= 7  # keeper, broker, slice worker, control worker and beat, web and its worker
    # When
    first.process.kill()
    second = up().is_ready()
    # Then
    assert not any(map(lives, pids))
    assert (second.data / "api-key").read_text() == key
    assert key.strip() not in second.said
    with second.client() as client:
        assert client.get(f"/jobs/{job['id']}").json()["status"] == "completed"


@pytest.mark.parametrize("environment", ["postgresql"], indirect=True)
def test_real_redis_and_postgresql_are_used_when_they_are_named(environment, up):
    # Given
    named = {name: environment[name] for name in ("REDIS_URL", "DATABASE_URL")}
    stack = up(**named).is_ready()
    # Then
    assert not any("valkey" in command for command in stack.family().values())
    assert not (stack.data / "penstock.db").exists()
    assert job_of(stack, 3)["counts"]["succeeded"] == 3
