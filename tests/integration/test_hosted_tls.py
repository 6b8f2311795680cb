"""A Redis that speaks TLS, with a certificate by an authority of its host's own."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import redis

from app.core.monitoring import broker
from app.doctor.examination import examine
from app.doctor.finding import Finding, State
from app.doctor.parts import parts
from app.errors import Unavailable
from app.stack import commands
from app.stack.listen import listen
from config import settings
from tests.conftest import penstock_of_its_own
from tests.support.celery_nodes import PROJECT
from tests.support.relay import Relay, relay
from tests.support.stack import Stack, forget_process_state
from tests.support.stored_documents import Sender, document
from tests.support.threaded_server import serving
from tests.support.tls import Authority

UNKNOWN = "put the certificates of its host's authority into a PEM file, and name that in REDIS_TLS_CA"


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def network(redis_server, authority) -> Iterator[Relay]:
    with relay(redis_server.port, authority.context()) as made:
        yield made


@pytest.fixture
def variables(request, tmp_path, network, authority) -> Iterator[dict[str, str]]:
    """A Penstock whose Redis is reached by TLS alone."""
    more = {
        "REDIS_URL": f"rediss://127.0.0.1:{network.port}/0",
        "REDIS_TLS_CA": str(authority.file),
    }
    with penstock_of_its_own("sqlite", request, tmp_path, **more) as values:
        yield values


@pytest.fixture
def stranger(variables, monkeypatch) -> dict[str, str]:
    """The same, of which nobody has said who its Redis is."""
    monkeypatch.delenv("REDIS_TLS_CA")
    forget_process_state()
    return {name: value for name, value in variables.items() if name != "REDIS_TLS_CA"}


def test_a_job_and_a_document_take_every_way_over_tls(variables, tmp_path):
    # Given a Penstock of which a job is watched
    stack = Stack(variables, tmp_path).start()
    with serving() as served:
        try:
            job = served.door.submit(20)
            with served.watch(job, timeout=30) as stream:
                told = list(stream)
            sender = Sender(served.door)
            sender.submit([document()])
            handed_over(sender.tenant)
        finally:
            stack.stop()

    # Then it ended, and its watcher heard of it
    assert told[-1].data["counts"]["succeeded"] == 20


def test_a_certificate_that_nobody_knows_is_refused_by_each_process_at_its_start(stranger, tmp_path):
    with pytest.raises(Unavailable, match=UNKNOWN):
        broker.check_redis()

    worker = ended([sys.executable, "-m", "celery", "-A", "tasks", "worker"], stranger)
    up = ended([sys.executable, "-m", "app.cli", "up", "--port", "0"], stranger)
    with listen("127.0.0.1", 0) as listener:
        web = ended(commands.web(listener.fileno(), 1, 64), stranger, listener.fileno())

    for process in (worker, up, web):
        assert process.returncode != 0
        assert UNKNOWN in " ".join(process.stderr.split())


def test_doctor_tells_tls_and_names_a_certificate_that_nobody_knows(variables, monkeypatch):
    tls = found("tls")
    assert (tls.state, "REDIS_TLS_CA" in tls.text) == (State.OK, True)
    assert found("broker").state is not State.WRONG

    monkeypatch.delenv("REDIS_TLS_CA")
    forget_process_state()
    assert found("broker").state is State.WRONG
    assert UNKNOWN in found("broker").text


def test_a_certificate_for_another_name_is_refused_with_what_to_write(variables, network, monkeypatch):
    monkeypatch.setenv("REDIS_URL", f"rediss://localhost:{network.port}/0")
    forget_process_state()
    with pytest.raises(Unavailable, match="write the name that its host gives for it into REDIS_URL"):
        broker.check_redis()


def test_a_file_without_certificates_is_named(variables, tmp_path, monkeypatch):
    file = tmp_path / "empty.pem"
    file.write_text("none\n")
    monkeypatch.setenv("REDIS_TLS_CA", str(file))
    forget_process_state()
    with pytest.raises(Unavailable, match="the file that REDIS_TLS_CA names has no certificates"):
        broker.check_redis()


def test_a_password_that_the_server_does_not_accept_is_named(variables, network, authority, monkeypatch):
    monkeypatch.setenv("REDIS_URL", f"rediss://penstock:geheim@127.0.0.1:{network.port}/0")
    forget_process_state()
    with pytest.raises(Unavailable, match="does not accept the user and password") as refused:
        broker.check_redis()
    assert "geheim" not in str(refused.value)


def handed_over(tenant: str) -> None:
    """A parser finds a document in the list of the tenant."""
    with redis.Redis.from_url(settings.current().handoff_url) as client:
        assert client.brpop([f"tenant:{tenant}:queue:parse"], timeout=20) is not None


def ended(
    command: list[str], environment: dict[str, str], *descriptors: int
) -> subprocess.CompletedProcess[str]:
    """The end of a process that must not go on."""
    return subprocess.run(
        command,
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "REDIS_TLS_CA"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        pass_fds=descriptors,
    )


def found(subject: str) -> Finding:
    [finding] = [each for each in examine(parts(call=False)) if each.subject == subject]
    return finding
