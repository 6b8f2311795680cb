"""Clients that send slowly, read slowly or not at all hold no thread that others need."""

import json
import re
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import insert, update

from models import JobCounts, Record, RecordOutput
from models.base import now
from models.session import in_transaction
from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.servers import wait_until
from tests.support.sse_reader import Stream
from tests.support.web_process import WebProcess, everything, response, web_process

THREADS = 40
MANY = 60  # connections, more than there are threads


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    folder = tmp_path_factory.mktemp("slow")
    with penstock_of_its_own("sqlite", request, folder) as values, web_process(values, folder, THREADS) as it:
        yield it


@pytest.fixture
def environment_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    with penstock_of_its_own("sqlite", request, tmp_path) as values:
        yield values


def post(key: str, length: int | str, path: str = JOBS, more: str = "") -> bytes:
    """The head of a JSON request; `length` says how its body is framed."""
    framing = f"Content-Length: {length}" if isinstance(length, int) else f"Transfer-Encoding: {length}"
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n"
        f"{framing}\r\n{more}\r\n"
    ).encode()


def nothing(key: str) -> bytes:
    return b""


def half_a_head(key: str) -> bytes:
    return b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: "


def unsent_body_without_a_key(key: str) -> bytes:
    return post("none", 100_000)


def unsent_small_body(key: str) -> bytes:
    return post(key, 1_000)


def stalled_json(key: str) -> bytes:
    return post(key, 100_000) + b'{"records": ['


def stalled_chunk(key: str) -> bytes:
    return post(key, "chunked") + b"fff\r\n{"


def stalled_chunk_line(key: str) -> bytes:
    return post(key, "chunked") + b"ff"


def stalled_large_chunk(key: str) -> bytes:
    return post(key, "chunked") + b"fffff\r\n" + b" " * 200_000


def stalled_form(key: str) -> bytes:
    head = post(key, 5_000_000).replace(b"application/json", b"multipart/form-data; boundary=b")
    return head + b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n'


def unsent_expected_body(key: str) -> bytes:
    return post(key, 100_000, more="Expect: 100-continue\r\n")


SLOW = [
    nothing, half_a_head, unsent_body_without_a_key, unsent_small_body, stalled_json, stalled_chunk,
    stalled_chunk_line, stalled_large_chunk, stalled_form, unsent_expected_body,
]  # fmt: skip


def test_clients_that_send_slowly_keep_nobody_waiting(server):
    door = Door()
    beta = door.other()
    for slow in SLOW:
        with ExitStack() as stack:
            # Given more of them than there are threads
            for _ in range(MANY):
                stack.enter_context(server.connect(slow(door.key)))

            # Then another caller is answered at once, and so is a probe
            assert server.get(JOBS, beta.key).status_code == 200, slow.__name__
            assert server.answers(), slow.__name__


def test_readers_that_take_nothing_keep_nobody_waiting(server):
    # Given pages too large for a socket, and more readers of them than there are threads
    door = Door()
    job = _large_job(door, Worker(), records=20, size=200_000)
    request = f"GET {job['links']['records']} HTTP/1.1\r\nHost: x\r\nX-API-Key: {door.key}\r\n\r\n".encode()
    with ExitStack() as stack:
        wires = [stack.enter_context(_narrow(server)) for _ in range(MANY)]
        for wire in wires:
            wire.sendall(request)

        # Then another caller is answered
        assert server.get(JOBS, door.other().key).status_code == 200

        # And who reads at last gets all of its page
        head, body = response(wires[-1])
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert len(json.loads(body)["data"]) == 20


def test_a_refusal_comes_before_the_body_and_says_that_the_connection_ends(server):
    for key, path, length, status in [
        ("none", JOBS, 100_000, b"401"),
        (Door().key, JOBS, 900_000_000, b"413"),
        (Door().key, "/nothing/here", 100_000, b"404"),
        (Door().key, "/batch_process", 17_000_000, b"413"),
        (Door().key, "/health", 100_000, b"405"),
    ]:
        # When a client sends the head of a large request, and part of its body
        with server.connect(post(key, length, path) + b" " * 70_000) as wire:
            # Then the answer is there, though the body is not, and it is the application's
            head, body = response(wire)
            assert head.split()[1] == status
            assert b"Connection: close" in head
            assert json.loads(body)


def test_a_refused_upload_of_another_form_says_so(server):
    with server.connect(post(Door().key, 200_000).replace(b"/json", b"/pdf")) as wire:
        head, body = response(wire)
        assert head.split()[1] == b"415"
        assert "application/json" in json.loads(body)["error"]["message"]


def test_a_body_that_says_no_length_is_refused_when_it_is_too_large(server):
    with server.connect(post(Door().key, "chunked", "/batch_process")) as wire:
        wire.sendall(b"f42401\r\n" + b" " * 1_000_000)  # 16,000,001 bytes are announced
        head, body = response(wire)
        assert head.split()[1] == b"413"
        assert "MAX_JSON_BYTES" in json.loads(body)["detail"]


def test_a_client_that_waits_for_a_word_gets_it_or_the_refusal(server):
    door = Door()
    body = json.dumps({"model": "simulated", "records": [{"prompt": "x" * 100_000}]}).encode()
    small = json.dumps({"model": "simulated", "records": [{"prompt": "x"}]}).encode()
    for content in (small, body):
        head = post(door.key, len(content), more="Expect: 100-continue\r\n")
        with server.connect(head) as wire:
            assert wire.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            wire.sendall(content)
            assert response(wire)[0].startswith(b"HTTP/1.1 202")
    with server.connect(post("none", len(body), more="Expect: 100-continue\r\n")) as wire:
        assert response(wire)[0].startswith(b"HTTP/1.1 401")


def test_requests_sent_together_are_answered_in_their_order(server):
    door = Door()
    body = b'{"model": "simulated", "records": [{"prompt": "x"}]}'
    get = f"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-API-Key: {door.key}\r\n\r\n".encode()
    chunked = post(door.key, "chunked") + b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with server.connect(
        get + post(door.key, len(body)) + body + chunked + b"GET /health HTTP/1.1\r\nHost"
    ) as wire:
        for status in (b"200", b"202", b"202"):
            head, _ = _one(wire)
            assert head.split()[1] == status
            assert b"Connection: keep-alive" in head
        wire.sendall(b": x\r\nConnection: close\r\n\r\n")
        assert everything(wire).startswith(b"HTTP/1.1 200")


CHUNKED = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: "
NO_REQUESTS = {
    "bad size": CHUNKED + b"ZZ\r\n",
    "longer than its size": CHUNKED + b"1\r\nxyz\r\n",
    "bad extension": CHUNKED + b"1;=\r\nx\r\n",
    "bad trailer": CHUNKED + b"0\r\nHost: y\r\n\r\n",
    "endless size": CHUNKED + b"0" * 10_000,
    "tiny chunks": CHUNKED + b"1\r\nx\r\n" * 20_000,
    "both lengths": LENGTH + b"3\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": LENGTH + b"3\r\nContent-Length: 4\r\n\r\n",
    "sign": LENGTH + b"+3\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n",
    "no version": b"GET /?token=hidden\r\n\r\n",
    "empty lines": b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "large head": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000,
    "large line": b"GET /" + b"y" * 70_000,
}


@pytest.mark.parametrize("sent", NO_REQUESTS.values(), ids=NO_REQUESTS)
def test_what_is_no_request_is_refused_in_one_line_of_the_log(server, sent):
    known = len(server.log.read_text())
    with server.connect(sent) as wire:
        told = everything(wire)
    assert told.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    head, _, body = told.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    refusal = json.loads(body)  # in a form that every contract's clients read
    assert (refusal["type"], refusal["error"]["type"]) == ("error", "invalid_request_error")
    assert refusal["error"]["message"]
    assert f"\r\nRequest-Id: {refusal['request_id']}\r\n".encode() in head
    log = server.log.read_text()[known:]
    assert "Traceback" not in log
    assert log.count("http.invalid") == log.count(refusal["request_id"]) == 1
    assert "hidden" not in log


def test_what_is_no_request_is_counted(server):
    refused = 'penstock_http_request_duration_seconds_count{method="none",route="none",status="431"}'

    def count() -> int:
        lines = server.get("/metrics", "").text.splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(refused))

    known = count()
    with server.connect(NO_REQUESTS["large head"]) as wire:
        everything(wire)
    wait_until(lambda: count() == known + 1)


def test_a_header_with_underscores_is_not_a_header_with_dashes(server):
    for name in ("X_API_Key", "SCRIPT_NAME"):
        head = f"GET /x/metrics HTTP/1.1\r\nHost: x\r\n{name}: /x\r\nConnection: close\r\n\r\n"
        with server.connect(head.encode()) as wire:
            assert everything(wire).startswith(b"HTTP/1.1 404")


def test_bodies_that_never_end_take_no_memory(server):
    # Given a process at rest
    door = Door()
    server.get(JOBS, door.key)
    before = server.resident_bytes()

    # When forty documents of 15 MB each have come but for their last bytes
    document = b'{"documents": [{"content": "' + b"A" * 15_000_000
    with ExitStack() as stack:
        for _ in range(40):
            head = post(door.key, 15_500_000, "/api/v1/batch/jobs")
            stack.enter_context(server.connect(head + document))

        # Then they are on disk
        assert server.get(JOBS, door.key).status_code == 200
        assert server.resident_bytes() - before < 60_000_000


def test_a_disk_without_room_is_told(server):
    # Given a process that can write to no file
    limits = resource.prlimit(server.worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.worker.pid, resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        # Then a body that needs one is refused, and what needs none is answered
        with server.connect(post(Door().key, 200_000) + b" " * 200_000) as wire:
            assert everything(wire).startswith(b"HTTP/1.1 503")
        assert server.answers()
    finally:
        resource.prlimit(server.worker.pid, resource.RLIMIT_FSIZE, limits)


def test_who_brings_no_request_leaves_first(server):
    # Given a client that keeps its connection
    door = Door()
    with ExitStack() as stack, httpx2.Client(base_url=server.url, trust_env=False, timeout=8) as client:
        # When a thousand connections come and send half a head
        wires = [stack.enter_context(server.connect(half_a_head(""))) for _ in range(1_000)]

        # Then the oldest of them have gone, and the client is answered all the same
        assert client.get(JOBS, headers=door.headers).status_code == 200
        assert all(wire.recv(1) == b"" for wire in wires[:700])
        wires[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            wires[-1].recv(1)


def test_large_content_finds_a_place_or_is_refused_at_once(server):
    # Given a tenant whose large submissions are being read, one after the other, as fast as it can
    door = Door()
    beta = door.other()
    content = {"model": "simulated", "records": [{"prompt": "x" * 1_100_000, "unknown": 1}]}
    body = json.dumps(content).encode()
    request = post(door.key, len(body)) + body
    with ExitStack() as stack:
        # When more of them come than there are threads
        wires = [stack.enter_context(server.connect(request)) for _ in range(MANY)]

        # Then another caller is answered, and each of them is read or told to come back
        assert server.get(JOBS, beta.key).status_code == 200
        heads = [response(wire)[0] for wire in wires]
        assert {head.split()[1] for head in heads} <= {b"422", b"503"}
        assert all(b"Retry-After: " in head for head in heads if b" 503 " in head)


@pytest.mark.long
def test_a_request_that_takes_too_long_is_told_so(server):
    door = Door()
    with ExitStack() as stack:
        wires = [
            stack.enter_context(server.connect(slow(door.key), timeout=30))
            for slow in (half_a_head, unsent_small_body, stalled_json, stalled_chunk_line, stalled_form)
        ]
        for wire in wires:
            assert everything(wire).startswith(b"HTTP/1.1 408")


def test_a_caller_with_very_many_requests_at_once_keeps_nobody_waiting(server):
    # Given a caller that sends hundreds of requests before it reads one answer
    door = Door()
    beta = door.other()
    request = f"GET {JOBS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {door.key}\r\n\r\n".encode()
    with ExitStack() as stack:
        wires = [stack.enter_context(server.connect(request * 20)) for _ in range(4 * MANY)]

        # Then another's next request is answered before all of those
        assert server.get(JOBS, beta.key).status_code == 200
        assert len(wires[0].recv(1)) > 0
        wires[-1].setblocking(False)
        with suppress(BlockingIOError):
            assert wires[-1].recv(1_000_000).count(b"HTTP/1.1 200") < 20


def test_a_server_that_stops_waits_for_no_half_request(environment_of_its_own, tmp_path):
    # Given a server with idle connections, half a request, and a request on its way
    door = Door()
    with web_process(environment_of_its_own, tmp_path, THREADS) as server, ExitStack() as stack:
        for slow in (nothing, half_a_head, unsent_small_body):
            stack.enter_context(server.connect(slow(door.key)))
        kept = stack.enter_context(server.connect())
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: keep-alive" in response(kept)[0]

        # When it is told to stop, a request on a connection that is open is still answered
        stopped = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "Handling signal: term" in server.log.read_text(), what="it stops")
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" in response(kept)[0]

        # Then it ends long before the time that requests have
        assert server.process.wait(20) == 0
        assert time.monotonic() - stopped < 15
        assert "Traceback" not in server.log.read_text()


@pytest.mark.long
def test_a_thousand_half_requests_beside_two_hundred_streams(environment_of_its_own, tmp_path):
    # Given a server at rest, and how long a small request takes there
    door = Door()
    beta = door.other()
    with web_process(environment_of_its_own, tmp_path, 256) as server, ExitStack() as stack:
        job = door.submit(1)
        at_rest = _slowest(server, beta)

        # When a tenant has 200 streams open, and 1,000 half requests come from the same address
        streams = [
            stack.enter_context(Stream(server.url, job["links"]["events"], door.key)) for _ in range(200)
        ]
        assert {stream.status for stream in streams} == {200}
        for _ in range(1_000):
            stack.enter_context(server.connect(half_a_head("")))

        # Then another tenant's requests take little longer, and its own stream finds a place
        assert _slowest(server, beta) < max(5 * at_rest, 0.1)
        other = beta.submit(1)
        with Stream(server.url, other["links"]["events"], beta.key) as stream:
            assert stream.status == 200


def _slowest(server: WebProcess, door: Door) -> float:
    """How long all but one in a hundred requests take at most, in seconds."""
    took = []
    for _ in range(300):
        began = time.monotonic()
        assert server.get(JOBS, door.key).status_code == 200
        took.append(time.monotonic() - began)
    return sorted(took)[296]


def _narrow(server: WebProcess) -> socket.socket:
    """A connection that takes little at once."""
    wire = socket.socket()
    wire.settimeout(10)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.connect(("127.0.0.1", server.port))
    return wire


def _one(wire: socket.socket) -> tuple[bytes, bytes]:
    """Exactly one response of several that may be there."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += wire.recv(1)
    [length] = re.findall(rb"Content-Length: (\d+)", head)
    body = b""
    while len(body) < int(length):
        body += wire.recv(int(length) - len(body))
    return head, body


def _large_job(door: Door, worker: Worker, records: int, size: int) -> dict:
    """A job whose records all have an answer of this size."""
    job = door.submit(records)
    worker.end(job, [0])
    job_id, body = number_of(job), json.dumps({"content": [{"type": "text", "text": "x" * size}]}).encode()

    def work(session) -> None:
        session.execute(update(Record).where(Record.job_id == job_id).values(status=4, attempts=1))
        session.execute(
            insert(RecordOutput).values(ended_at=now()),
            [{"job_id": job_id, "idx": index, "seq": index + 1, "body": body} for index in range(1, records)],
        )
        session.execute(
            update(JobCounts).where(JobCounts.job_id == job_id).values(succeeded=records, seq=records)
        )

    in_transaction(work)
    return job
