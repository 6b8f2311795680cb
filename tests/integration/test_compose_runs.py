"""docker-compose.yml as an operator starts it, but without Docker: `tests/support/composed.py` says how."""

import base64
import json
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boto3
import httpx2
import pytest

from tests.support.composed import Composed, composed
from tests.support.servers import wait_until
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.one_database, pytest.mark.timeout(240)]

JOBS = "/api/v1/jobs"
WAITS = (0.2, 0.8, 1.4, 2.0)  # seconds of the calls whose end a stream tells
DOTENV = {"PENSTOCK_WEB_THREADS": "40", "CLAUDE_REQUESTS_PER_MINUTE": "6000"}
MANY = 60  # clients, more than the web has threads


@pytest.fixture(scope="module")
def running() -> Iterator[Composed]:
    """Everything but the monitoring, with two workers; Claude is a server of this machine."""
    with (
        Upstream() as upstream,
        tempfile.TemporaryDirectory() as folder,
        composed(Path(folder), ANTHROPIC_BASE_URL=upstream.url, **DOTENV) as made,
    ):
        Path(folder).chmod(0o755)
        made.make_secrets(ANTHROPIC_API_KEY="sk-of-the-workers", POSTGRES_PASSWORD="p@ss/w#rd:%")
        for service in ("postgres", "redis", "object-store", "web", "control", "beat", "flower"):
            made.up(service)
        made.up("worker", scale=2)
        made.up("proxy")
        yield made


@pytest.fixture(scope="module")
def key(running: Composed) -> str:
    [web] = running.of("web")
    return web.run("penstock", "keys", "create", "--scopes", "admin operator").split()[-1]


@pytest.fixture(scope="module")
def web(running: Composed, key: str) -> Iterator[httpx2.Client]:
    """The web's own port, on this machine."""
    address = f"http://127.0.0.1:{running.port('web', 8000)}"
    with httpx2.Client(base_url=address, headers={"X-API-Key": key}, timeout=30, trust_env=False) as client:
        yield client


class Proxy:
    """Callers from other machines, who know the proxy by its names and its authority's certificate."""

    def __init__(self, running: Composed) -> None:
        [container] = running.of("proxy")
        self.port = running.port("proxy", 443)
        authority = container.volume("/data") / "caddy" / "pki" / "authorities" / "local" / "root.crt"
        wait_until(authority.exists, what="the proxy has an authority of its own")
        self.trust = ssl.create_default_context(cafile=str(authority))
        self.client = httpx2.Client(verify=self.trust, timeout=30, trust_env=False)

    def get(self, path: str, host: str = "localhost", **more: Any) -> httpx2.Response:
        with self.stream(path, host, **more) as response:
            response.read()
        return response

    def stream(self, path: str, host: str = "localhost", headers: dict[str, str] | None = None, **more: Any):
        """An answer that is read as it comes."""
        named = {"Host": f"{host}:{self.port}"} | (headers or {})
        url, sni = f"https://127.0.0.1:{self.port}{path}", {"sni_hostname": host}
        return self.client.stream("GET", url, headers=named, extensions=sni, **more)

    def connect(self, sent: bytes) -> ssl.SSLSocket:
        """A connection on which this was sent."""
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        secured = self.trust.wrap_socket(wire, server_hostname="localhost")
        secured.sendall(sent)
        return secured


@pytest.fixture(scope="module")
def proxy(running: Composed) -> Iterator[Proxy]:
    made = Proxy(running)
    yield made
    made.client.close()


def ended(web: httpx2.Client, **submission: Any) -> dict[str, Any]:
    submitted = web.post(JOBS, json=submission)
    assert submitted.status_code == 202, submitted.text
    link = submitted.json()["links"]["self"]
    wait_until(lambda: web.get(link).json()["status"] == "completed", what="the job has ended")
    job: dict[str, Any] = web.get(link).json()
    return job


def test_workers_that_alone_have_the_key_answer_a_job(running, web):
    # Given a web that has no key for Claude
    assert running.secret("anthropic_api_key").read_text() == "sk-of-the-workers"
    assert "anthropic_api_key" not in running.of("web")[0].spec["secrets"]

    # When jobs for it come in, one of them with a document
    job = ended(web, model="claude-haiku-4-5", records=[{"prompt": f"Question {n}"} for n in range(40)])
    document = base64.b64encode(b"A text to be read.").decode()
    read = ended(web, model="claude-haiku-4-5", prompt="Read it.", records=[{"document": document}])

    # Then all are answered, and the document is in the bucket that was made for it
    assert (job["counts"]["succeeded"], read["counts"]["succeeded"]) == (40, 1)
    assert len(stored_in(running)) == 1
    assert "0 wrong, 0 warning" in running.of("web")[0].run("penstock", "doctor")


def test_events_arrive_one_by_one_through_the_proxy(web, proxy, key):
    # Given a job whose calls end one after the other
    records = [
        {
            "params": {
                "messages": [{"role": "user", "content": "Why?"}],
                "max_tokens": 20,
                "simulate": {"latency_ms": 1000 * seconds},
            }
        }
        for seconds in WAITS
    ]
    job = web.post(JOBS, json={"model": "simulated", "records": records}).json()

    # When its events are read through TLS
    heard = []
    with proxy.stream(job["links"]["events"], headers={"X-API-Key": key}) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line == "event: records":
                heard.append(time.monotonic())

    # Then each came when its call had ended, not all of them at the end
    assert len(heard) >= 3
    assert heard[-1] - heard[0] > (WAITS[-1] - WAITS[0]) / 2


def test_a_websocket_passes_the_proxy(proxy, key):
    head = (
        "GET /ws/batch-processor HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        f"X-API-Key: {key}\r\n\r\n"
    )
    with proxy.connect(head.encode()) as wire:
        assert wire.recv(1_000).startswith(b"HTTP/1.1 101 ")


def test_slow_clients_of_the_proxy_hold_no_thread_of_the_web(proxy, key):
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    with ExitStack() as stack:
        # Given more of them than the web has threads, each with a body that does not end
        for _ in range(MANY):
            stack.enter_context(proxy.connect(head.encode() + b'{"records": ['))

        # Then another is answered at once
        assert proxy.get(JOBS, headers={"X-API-Key": key}, timeout=5).status_code == 200


def test_metrics_are_open_to_prometheus_and_not_to_who_comes_through_the_proxy(web, proxy):
    directly = httpx2.get(f"{str(web.base_url).rstrip('/')}/metrics", timeout=30, trust_env=False)
    assert "penstock_workers 2.0" in directly.text
    assert proxy.get("/metrics").status_code == 401


def test_flower_has_a_name_of_its_own_and_wants_its_password(running, proxy):
    user, password = running.secret("flower_login").read_text().split(":")
    assert proxy.get("/workers", host="flower.localhost").status_code == 401
    shown = proxy.get("/workers?refresh=1", host="flower.localhost", auth=(user, password))
    assert "slices@worker-2" in shown.text


def test_who_comes_without_tls_is_sent_to_it(running):
    address = f"http://127.0.0.1:{running.port('proxy', 80)}/docs"
    answer = httpx2.get(address, headers={"Host": "localhost"}, timeout=10, trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["Location"].startswith("https://localhost")


def test_every_health_check_succeeds_and_every_service_ends_in_its_time(running):
    # Given all of them, by their own checks
    running.await_all()
    lasting = {name for name, service in running.services.items() if "profiles" not in service}
    assert {each.service for each in running.containers} == lasting | {"proxy"}

    # When they are stopped, then none has to be killed, and none has failed
    running.down()
    for each in running.containers:
        assert each.process.returncode in (0, -15), (each.name, each.said)
        assert "Traceback" not in each.said or each.service == "object-store", (each.name, each.said)


def test_no_secret_is_on_a_command_line_or_in_an_environment(running):
    secrets = [path.read_text() for path in running.secret("").iterdir()]
    for each in running.containers:
        shown = json.dumps([each.spec.get("command"), each.environment()])
        assert not any(secret and json.dumps(secret)[1:-1] in shown for secret in secrets), each.name


def stored_in(running: Composed) -> list[str]:
    """The keys of what is in the store's bucket."""
    address = f"http://127.0.0.1:{running.port('object-store', 8333)}"
    names = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=address, **names)
    found = client.list_objects_v2(Bucket="penstock")
    client.close()
    return [each["Key"] for each in found.get("Contents", [])]
