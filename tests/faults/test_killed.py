"""Any process is killed (kill -9), at any moment: the job goes on by itself and no record is lost."""

import socket
import time
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select

from models import Job
from models.session import reading
from tests.faults.support import rounds
from tests.faults.support.breakable_stack import CLAUDE, first_answer, held_by, lease_of
from tests.faults.support.supervised_stack import WORKERS, House, house_of, job_of
from tests.support.invariants import Reconciled
from tests.support.stack import Running

pytestmark = pytest.mark.timeout(3600)

# Seconds from a kill to the first new answer to a record that the dead had in hand. Only the long form is
# judged by it: it has the machine for itself.
SOON = 20

LONG = pytest.mark.long


@pytest.fixture(
    scope="module",
    params=[
        "embedded",
        pytest.param("postgresql", marks=LONG),
        pytest.param("rabbitmq", marks=LONG),
    ],
)
def house(request, upstream_process, tmp_path_factory):
    with house_of(request.param, request, upstream_process, tmp_path_factory.mktemp("house")) as lived_in:
        lived_in.kind = request.param
        yield lived_in


def begin(house: House, records: int, moment: int) -> Running:
    """A job of which so many records have ended, at a provider that takes its time."""
    house.await_whole()
    house.upstream.reset()
    house.upstream.configure(latency_ms=600, latency_sigma=0.4)
    job = house.ask(records)
    job.wait_until_ended(moment)
    return job


def busiest(house: House, job: Running) -> tuple[str, int]:
    """The worker that holds most of the job's records, and its lease."""
    leases = {name: lease_of(house.pid(name)) for name in WORKERS}
    held = {name: len(held_by(lease, job)) for name, lease in leases.items()}
    name = max(held, key=lambda name: held[name])
    return name, leases[name]


def finish(house: House, job: Running) -> Reconciled:
    job.wait_for("completed", seconds=120)
    assert job.statuses() == {"succeeded": job.row().total}
    return house.reconcile(job)


def test_one_of_two_workers(house, records, moments, figures):
    for moment in moments:
        # Given a job, and a worker with calls in flight
        job = begin(house, records, moment)
        victim, lease = busiest(house, job)

        # When it is killed
        house.kill(victim)
        killed = time.monotonic()
        held = held_by(lease, job)

        # Then the other one asks its records again, soon
        seconds = first_answer(job, held, killed) if held else None
        books = finish(house, job)
        figures.note(f"one worker killed ({house.kind})", books, seconds)
        assert seconds is None or seconds < SOON or not rounds.LONG
        assert books.unconfirmed == len(held)


@pytest.mark.long
def test_all_workers(house, records, moments, figures):
    for moment in moments:
        job = begin(house, records, moment)
        leases = [lease_of(house.pid(name)) for name in WORKERS]
        house.kill(*WORKERS)
        killed = time.monotonic()
        held = [idx for lease in leases for idx in held_by(lease, job)]
        seconds = first_answer(job, held, killed, seconds=90) if held else None
        figures.note(f"all workers killed ({house.kind})", finish(house, job), seconds)


@pytest.mark.long
def test_the_control_worker_and_the_beat_in_it(house, records, moments, figures):
    for moment in moments:
        job = begin(house, records, moment)
        house.kill("control")
        killed = time.monotonic()
        ended = job.ended()
        if ended < job.row().total:
            job.wait_until_ended(ended + 1)
        seconds = time.monotonic() - killed
        books = finish(house, job)
        figures.note(f"control worker and beat killed ({house.kind})", books, seconds)
        assert books.unconfirmed == 0  # it makes no calls


@pytest.mark.long
def test_the_web_server_in_the_middle_of_an_upload(house, records, moments, figures):
    for moment in moments:
        # Given a job, and the upload of another one of which half has been sent
        job = begin(house, records, moment)
        lines = "".join(f'{{"prompt": "{body["prompt"]}"}}\n' for body in house.bodies(records)).encode()
        upload = Upload(house, lines)
        upload.send_half()
        known = jobs()

        # When the web server is killed
        house.kill("web")
        upload.is_cut()
        assert jobs() == known

        # Then the job does not notice, nothing is stored of the upload, and sent again it is one job
        house.await_whole()
        other = upload.send_again()
        other.wait_for("completed", seconds=120)
        job.wait_for("completed", seconds=120)
        assert jobs() == known + 1
        books = house.reconcile(job, other)
        figures.note(f"web server killed during an upload ({house.kind})", books)
        assert (books.unconfirmed, other.row().total) == (0, records)


@pytest.mark.long
def test_the_whole_of_penstock_up(house, records, moments, figures):
    for moment in moments:
        # Given
        job = begin(house, records, moment)

        # When all of it is killed and started again
        house.kill_everything()
        killed = time.monotonic()
        ended = job.ended()
        house.start()

        # Then the job goes on by itself
        if ended < job.row().total:
            job.wait_until_ended(ended + 1, seconds=90)
        seconds = time.monotonic() - killed
        figures.note(
            f"all of `penstock up` killed, started again ({house.kind})", finish(house, job), seconds
        )


def jobs() -> int:
    """How many there are, of whatever status."""
    with reading() as session:
        return session.scalar(select(func.count()).select_from(Job)) or 0


class Upload:
    """A file on its way to the door."""

    def __init__(self, house: House, lines: bytes) -> None:
        self._house = house
        fields = {"model": CLAUDE, "max_tokens": "100"}
        parts = [
            f'--part\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        head = b'--part\r\nContent-Disposition: form-data; name="file"; filename="prompts.jsonl"\r\n\r\n'
        self._body = b"".join(parts) + head + lines + b"\r\n--part--\r\n"
        self._key = f"upload-{time.monotonic_ns()}"

    def send_half(self) -> None:
        address = urlsplit(self._house.up.address)
        self._socket = socket.create_connection((address.hostname, address.port))
        lines = [
            "POST /api/v1/jobs HTTP/1.1",
            f"Host: {address.netloc}",
            *(f"{name}: {value}" for name, value in self._headers().items()),
            f"Content-Length: {len(self._body)}",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + self._body[: len(self._body) // 2])

    def is_cut(self) -> None:
        self._socket.settimeout(30)
        try:
            assert self._socket.recv(1) == b""
        except ConnectionResetError:
            pass
        self._socket.close()

    def send_again(self) -> Running:
        with self._house.client() as client:
            made = client.post("/jobs", content=self._body, headers=self._headers())
        assert made.status_code == 202, made.text
        return job_of(made.json())

    def _headers(self) -> dict[str, str]:
        with self._house.client() as client:
            key = client.headers["X-API-Key"]
        return {
            "X-API-Key": key,
            "Idempotency-Key": self._key,
            "Content-Type": "multipart/form-data; boundary=part",
        }
