"""The command line's client against a server that breaks off, refuses and comes back."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from rich.console import Console

from app.cli import follow as following
from app.cli.client import Rest
from app.cli.follow import follow
from app.cli.patience import Patience
from app.errors import StackGone, StackRefused, StackUnreachable

JOB = {
    "id": "j1",
    "status": "running",
    "total": 4,
    "counts": {"pending": 4, "running": 0, "succeeded": 0, "failed": 0, "cancelled": 0, "expired": 0},
}


def job(status: str = "running", succeeded: int = 0) -> dict:
    return JOB | {
        "status": status,
        "counts": JOB["counts"] | {"pending": 4 - succeeded, "succeeded": succeeded},
    }


class Script(ThreadingHTTPServer):
    """Answers each path with the next of its answers, the last one for ever; keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list] = {}
        self.asked: list[tuple[str, dict, bytes]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def next(self, path: str):
        answers = self.answers[path]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def headers_of(self, path: str, name: str) -> list[str | None]:
        return [headers.get(name) for asked, headers, _ in self.asked if asked == path]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        path = self.path.removeprefix("/api/v1")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((path, dict(self.headers), body))
        answer = self.server.next(path)
        if answer == "cut":
            self.close_connection = True
            self.connection.close()
            return
        status, content, headers, whole = answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (0 if whole else 100)))
        self.end_headers()
        self.wfile.write(content)
        self.close_connection = not whole

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


def says(value: object, status: int = 200, **headers: str):
    return status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers, True


def streams(*events: tuple[str, dict], whole: bool = True):
    text = "".join(f"id: {number}\nevent: progress\ndata: {json.dumps(data)}\n\n" for number, data in events)
    return 200, text.encode(), {"Content-Type": "text/event-stream"}, whole


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()
    yield script
    script.shutdown()
    script.server_close()


@pytest.fixture
def rest(server) -> Iterator[Rest]:
    with Rest(server.url, "pk_key") as client:
        yield client


def for_ever() -> Patience:
    return Patience(Console(file=io.StringIO()), 0)


class Shown:
    def __init__(self) -> None:
        self.succeeded: list[int] = []

    def show(self, job: dict) -> None:
        self.succeeded.append(job["counts"]["succeeded"])


def test_an_upload_whose_answer_was_lost_is_sent_again_as_the_same_submission(server, rest, tmp_path):
    # Given
    file = tmp_path / "reviews.csv"
    file.write_text("review\ngood\n")
    server.answers["/jobs"] = [
        "cut",
        says({"error": {"message": "still being read"}}, 409, **{"Retry-After": "0"}),
        says(job(), 202),
    ]
    # When
    made = rest.submit(file, {"template": "{{ review }}"}, "once")
    # Then
    assert made["id"] == "j1"
    assert len(server.asked) == 3
    assert server.headers_of("/jobs", "Idempotency-Key") == ["once"] * 3
    assert all(b"good" in body and b"{{ review }}" in body for _, _, body in server.asked)


def test_a_retry_waits_for_a_job_that_has_just_been_closed_but_is_not_sent_again_when_lost(server, rest):
    path = "/jobs/j1/retry"
    closing = says({"error": {"message": "still being updated"}}, 409, **{"Retry-After": "0"})
    server.answers[path] = [closing, says(job()), "cut"]

    assert rest.retry("j1", {"only": ["expired"]})["status"] == "running"
    with pytest.raises(StackUnreachable):
        rest.retry("j1")
    bodies = [body for asked, _, body in server.asked if asked == path]
    assert [bool(body) for body in bodies] == [True, True, False]


def test_a_quota_that_is_used_up_for_an_hour_is_told_at_once(server, rest, tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text("review\ngood\n")
    server.answers["/jobs"] = [
        says({"error": {"message": "100 in 3,548 s"}}, 429, **{"Retry-After": "3548"})
    ] * 2
    with pytest.raises(StackRefused, match="100 in 3,548 s"):
        rest.submit(file, {}, "once")
    assert len(server.asked) == 1


def test_a_refusal_carries_the_words_and_the_details_of_the_stack(server, rest):
    server.answers["/jobs/j1"] = [
        says({"error": {"type": "not_found", "message": "no such job", "details": {"a": 1}}}, 404)
    ]
    with pytest.raises(StackRefused, match="no such job") as refused:
        rest.job("j1")
    assert (refused.value.status, refused.value.details) == (404, {"a": 1})


def test_a_proxys_error_page_is_an_error_too(server, rest):
    server.answers["/jobs/j1"] = [(502, b"<html>bad gateway", {"Content-Type": "text/html"}, True)]
    with pytest.raises(StackRefused, match="the stack answered 502"):
        rest.job("j1")


def test_an_address_of_something_else_is_told(server, rest):
    server.answers["/jobs/j1"] = [(200, b"<html>welcome", {"Content-Type": "text/html"}, True)]
    with pytest.raises(StackRefused, match="is this the address of a Penstock"):
        rest.job("j1")


def test_pages_are_read_until_there_are_no_more(server, rest):
    server.answers["/jobs?limit=100"] = [says({"data": [job()], "next_cursor": "c"})]
    server.answers["/jobs?cursor=c&limit=100"] = [says({"data": [job()], "next_cursor": None})]
    assert len(list(rest.jobs())) == 2


def test_a_download_that_breaks_off_is_an_error_and_no_short_file(server, rest):
    server.answers["/jobs/j1/results?format=csv"] = [(200, b"review,answer\n", {}, False)]
    with pytest.raises(StackUnreachable):
        rest.download("j1", {"format": "csv"}, io.BytesIO())


def test_a_stream_that_breaks_off_goes_on_behind_the_last_event(server, rest, monkeypatch):
    # Given
    monkeypatch.setattr(following, "LOOK", 0.01)
    server.answers["/jobs/j1/events"] = [
        streams(("7", job(succeeded=1)), whole=False),
        streams(("8", job(succeeded=3)), ("9", job("completed", 4))),
    ]
    server.answers["/jobs/j1"] = [says(job("completed", 4))]
    shown = Shown()
    # When
    ended = follow(rest, job(), shown, for_ever())
    # Then
    assert ended["status"] == "completed"
    assert [
        number
        for number, before in zip(shown.succeeded, [None, *shown.succeeded], strict=False)
        if number != before
    ] == [0, 1, 3, 4]
    assert server.headers_of("/jobs/j1/events", "Last-Event-ID") == [None, "7"]


def test_without_a_stream_the_job_is_looked_at(server, rest, monkeypatch):
    # Given
    monkeypatch.setattr(following, "LOOK", 0.01)
    server.answers["/jobs/j1/events"] = [says({"error": {"message": "all streams are taken"}}, 503)]
    server.answers["/jobs/j1"] = [says(job(succeeded=2)), says(job("completed", 4))]
    shown = Shown()
    # When
    follow(rest, job(), shown, for_ever())
    # Then
    assert shown.succeeded == [0, 2, 4]


def test_a_paused_job_is_not_waited_for(server, rest):
    server.answers["/jobs/j1/events"] = [streams(("1", job("paused", 1)))]
    server.answers["/jobs/j1"] = [says(job("paused", 1))]
    assert follow(rest, job(), Shown(), for_ever())["status"] == "paused"


def test_a_stack_that_stays_away_is_gone(rest, server, monkeypatch):
    # Given
    monkeypatch.setattr(following, "LOOK", 0.01)
    monkeypatch.setattr(following, "AWAY", 0.2)
    server.answers["/jobs/j1/events"] = ["cut"]
    # When / Then
    with pytest.raises(StackGone):
        follow(rest, job(), Shown(), for_ever())
