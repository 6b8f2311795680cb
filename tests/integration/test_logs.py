"""The log of every process in production, over a job, and a Redis and a PostgreSQL that go and come back."""

import re
import signal
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy.orm import Session

from app.core.accounts import api_keys
from app.core.outages.outage import QUIET
from models import migrate
from models.session import make_engine
from tests.support import servers
from tests.support.commands import Command
from tests.support.production import Line, Production, in_production, read
from tests.support.servers import wait_until
from tests.support.upstream import Upstream

pytestmark = pytest.mark.timeout(300)

ALL = ("web", "slices", "control", "beat", "flower")
AWAY = 6.0  # seconds; the beat misses Redis when its next sweep is due
REQUEST = "the-request-1"
# What is worth a warning where nothing is wrong but what the test has done.
EXPECTED = {
    *("redis.away", "redis.back", "database.away", "database.back", "beat.gone", "beat.back"),
    *("record.failed", "group.held", "group.paced", "lease.dead", "window.lost"),
}
NOISE = re.compile("SecurityWarning|was open to other users|^Substantial drift")


class Story:
    """One production: a job through both outages; `lines` are what each process wrote, from start to end."""

    def __init__(self, made: Production, key: str, upstream: Upstream) -> None:
        self.made, self.key = made, key
        self.job = ""
        self.streamed = 0.0  # seconds for which somebody listened
        upstream.configure(
            latency_ms=300,
            faults=[
                {"kind": "status", "status": 429, "first": 1, "headers": {"retry-after": "1"}},
                {"kind": "status", "status": 400, "matching": "Prompt 7."},
            ],
        )

    def submit(self) -> None:
        records = [{"prompt": f"Prompt {number}."} for number in range(30)]
        answer = httpx2.post(
            f"{self.made.url}/api/v1/jobs",
            json={"model": "claude-haiku-4-5", "records": records},
            headers={"X-API-Key": self.key, "X-Request-Id": REQUEST},
            timeout=10,
            trust_env=False,
        )
        assert answer.status_code == 202, answer.text
        self.job = answer.json()["id"]

    def status(self) -> str:
        answer = httpx2.get(
            f"{self.made.url}/api/v1/jobs/{self.job}",
            headers={"X-API-Key": self.key},
            timeout=10,
            trust_env=False,
        )
        return str(answer.json().get("status"))

    def listen(self) -> None:
        """A reader of events from before the outages until after them."""
        began = time.monotonic()
        with httpx2.stream(
            "GET",
            f"{self.made.url}/api/v1/jobs/{self.job}/events",
            headers={"X-API-Key": self.key},
            timeout=60,
            trust_env=False,
        ) as events:
            for _ in events.iter_lines():
                pass
        self.streamed = time.monotonic() - began


@pytest.fixture(scope="module")
def told(
    upstream_process: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Story, dict[str, list[Line]]]]:
    folder = tmp_path_factory.mktemp("production")
    with _broker() as broker, servers.postgres_server() as database:
        migrate.upgrade(database.url)
        environment = {
            "DATABASE_URL": database.url,
            "REDIS_URL": broker.url,
            "PENSTOCK_DATA": str(folder),
            "PENSTOCK_GRACE_SECONDS": "2",
            "ANTHROPIC_API_KEY": "test-key",
            "ANTHROPIC_BASE_URL": upstream_process.url,
            "CLAUDE_REQUESTS_PER_MINUTE": "120",
        }
        with in_production(environment, folder) as made:
            made.wait_until_ready()
            story = Story(made, _key(database.url), upstream_process)
            _live(story, broker, database)
            made.stop()
            yield story, {name: made.lines(name) for name in ALL}
    upstream_process.reset()


@contextmanager
def _broker() -> Iterator[servers.RedisServer]:
    made = servers.RedisServer()
    made.start()
    try:
        yield made
    finally:
        made.kill()


def _key(url: str) -> str:
    engine = make_engine(url)
    with Session(engine) as session:
        _, key = api_keys.create(session, "acme", name="tests", scopes=["admin"])
        session.commit()
    engine.dispose()
    return key


def _live(story: Story, broker: servers.RedisServer, database: servers.PostgresServer) -> None:
    story.submit()
    reader = threading.Thread(target=story.listen)
    reader.start()
    story.made.get("/api/v1/jobs/what-somebody-types", story.key)
    story.made.wait_for("slices", lambda line: line["event"] == "record.failed")
    broker.kill()
    _be_watched(story, AWAY)
    broker.start()
    for name in ALL:
        story.made.wait_for(name, lambda line: line["event"] == "redis.back")
    database.stop()
    _be_watched(story, AWAY)
    database.start()
    for name in ("web", "slices", "control"):
        story.made.wait_for(name, lambda line: line["event"] == "database.back")
    wait_until(lambda: story.status() == "completed", seconds=60, what="the job is completed")
    reader.join(60)


def _be_watched(story: Story, seconds: float) -> None:
    """As by a load balancer and a caller, each of them twice a second."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        story.made.get("/ready")
        story.made.get("/health")
        story.made.get("/api/v1/jobs?q=hidden", story.key)
        time.sleep(0.5)  # they would not wait for a fact either


def test_nothing_is_written_but_json_without_a_traceback(told) -> None:
    _, lines = told  # reading them has found every line to be an object with its fields
    for name in ALL:
        assert lines[name], name
        assert [line for line in lines[name] if "exception" in line] == [], name
    # And each process has said how it stands, at the end too
    assert _events(lines["web"])["Shutting down: Master"] == 1
    for name in ("slices", "control"):
        assert _events(lines[name])["worker.stopped"] == 1


@pytest.mark.parametrize(
    ("server", "processes"), [("redis", ALL), ("database", ("web", "slices", "control"))]
)
def test_a_server_that_goes_and_comes_back_is_two_lines_of_each_process(told, server, processes) -> None:
    _, lines = told
    for name in processes:
        found = [line for line in lines[name] if line["event"].startswith(f"{server}.")]
        assert [line["event"] for line in found] == [f"{server}.away", f"{server}.back"], name
        away, back = found
        assert away["server"]
        assert away["during"] in back["missed"]
        assert back["left_out"] == sum(back["missed"].values()) - 1
        assert 1 < back["seconds"] < AWAY + QUIET + 10


def test_each_process_says_that_it_has_started(told) -> None:
    _, lines = told
    assert all(lines[name] for name in ALL)
    assert lines["beat"][0]["event"] == "beat.runs"


def test_an_outage_is_told_by_no_other_line(told) -> None:
    _, lines = told
    for name in ALL:
        others = {
            line["event"]
            for line in lines[name]
            if line["level"] in ("warning", "error", "critical") and not NOISE.search(line["event"])
        }
        assert others <= EXPECTED, name


def test_a_job_is_named_by_its_id_and_its_request_follows_it_through_every_process(told) -> None:
    story, lines = told
    for name in ALL:
        assert {line["job"] for line in lines[name] if "job" in line} <= {story.job}, name
    uuid.UUID(story.job)
    for name, event in (
        ("web", "batch.received"),
        ("slices", "group.held"),
        ("slices", "record.failed"),
        ("control", "batch.completed"),
    ):
        line = next(line for line in lines[name] if line["event"] == event)
        named = line["job"], line["request_id"], line["tenant"]
        assert named == (story.job, REQUEST, "acme"), (name, event)


def test_a_line_of_a_call_names_its_record_and_attempt(told) -> None:
    _, lines = told
    held = next(line for line in lines["slices"] if line["event"] == "group.held")
    failed = next(line for line in lines["slices"] if line["event"] == "record.failed")
    assert (held["attempt"], held["task"]) == (1, "penstock.slice")
    assert held["index"] in range(30)
    assert failed["index"] == 7


def test_each_request_is_a_line_and_that_of_a_stream_comes_with_its_end(told) -> None:
    story, lines = told
    requests = [line for line in lines["web"] if line["event"] == "http.request"]

    submitted = next(line for line in requests if line["method"] == "POST")
    assert (submitted["route"], submitted["status"], submitted["client"]) == (
        "/api/v1/jobs",
        202,
        "127.0.0.1",
    )
    assert (submitted["request_id"], submitted["tenant"]) == (REQUEST, "acme")
    assert submitted["bytes"] > 0
    assert submitted["seconds"] > 0

    [stream] = [line for line in requests if line["route"] == "/api/v1/jobs/<job_id>/events"]
    assert stream["path"] == f"/api/v1/jobs/{story.job}/events"
    assert abs(stream["seconds"] - story.streamed) < 1

    # Probes are left out unless they fail, and so is what stands behind a question mark
    assert {line["status"] for line in requests if line["path"] == "/ready"} == {503}
    assert not [line for line in requests if line["path"] == "/health"]
    assert "hidden" not in str(requests)


def test_invalid_settings_are_one_line_of_each_process(tmp_path: Path) -> None:
    broken = {"MAX_RECORDS": "many", "PENSTOCK_DATA": str(tmp_path), "REDIS_URL": "redis://127.0.0.1:1"}
    with in_production(broken, tmp_path) as made:
        for process in made.processes.values():
            assert process.wait(60) != 0
        for name in ALL:
            refused = [line for line in made.lines(name) if line["event"] == "process.refused"]
            assert [line["why"].partition(" ")[0] for line in refused] == ["MAX_RECORDS='many'"], name
            assert [line for line in made.lines(name) if "exception" in line] == [], name


def test_penstock_up_writes_lines_too_without_the_link_that_signs_in(tmp_path: Path) -> None:
    data = tmp_path / "data"
    up = Command(["up", "--port", "0", "--workers", "1"], data, API_ENV="production")
    try:
        up.says("ready after", seconds=90)
    finally:
        up.process.send_signal(signal.SIGTERM)
        assert up.ends() == 0, up.said

    assert [line["told"] for line in read(up.output) if line["event"] == "stack"][-1] == "stopped"
    assert "token=" not in up.said
    for name in ("web", "control", "slice1"):
        assert [line for line in read(data / "logs" / f"{name}.log") if "exception" in line] == []


def _events(lines: list[Line]) -> Counter[str]:
    return Counter(line["event"] for line in lines)
