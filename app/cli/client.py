"""A small client of the native contract, for the command line."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Self, TypeVar, cast

import httpx2

from app.cli.input.documents import Closed
from app.errors import StackRefused, StackUnreachable

RUN = "Penstock-Run"  # the header that names the command with which a job is paused
TRIES = 4  # tries of a request whose response was lost, or was "not right now"
LONGEST_WAIT = 30.0  # seconds; who is told to come back later than that is told so at once
HEARD = 60  # seconds without a byte after which an event stream is reopened; it sends heartbeats
UPLOAD_SECONDS = 900  # a large table is read completely before the response

T = TypeVar("T")
Job = dict[str, Any]
Quote = dict[str, Any]


class Rest:
    """The native contract at one address, with one key."""

    def __init__(self, url: str, key: str, transport: httpx2.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self.is_offline = transport is not None  # this process answers itself, and no worker is there
        address = httpx2.URL(self.url)
        self._client = httpx2.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx2.Timeout(30, connect=5),
            trust_env=address.host
            not in ("127.0.0.1", "localhost", "::1"),  # a proxy cannot reach our loopback
            transport=transport,
        )

    def come_from(self, run: str | None) -> None:
        """From now on jobs are made, resumed and paused as those of this command, if one is named."""
        if run is not None:
            self._client.headers[RUN] = run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def submit(
        self, file: Path, fields: Mapping[str, str], key: str, documents: Mapping[str, Path] | None = None
    ) -> Job:
        """Submit a job with the records in `file`, or of `documents` by their names; `key` identifies the
        submission, so it creates at most one job.
        """
        name = {"Idempotency-Key": key}

        def send() -> Any:
            with ExitStack() as opened:
                parts = (
                    [("file", (file.name, opened.enter_context(file.open("rb"))))]
                    if documents is None
                    else [("document", (name, _closed(path))) for name, path in documents.items()]
                )
                return self._json(
                    "POST", "/jobs", data=dict(fields), files=parts, headers=name, timeout=UPLOAD_SECONDS
                )

        job: Job = _again(send)
        return job

    def estimate(self, file: Path, fields: Mapping[str, str]) -> Quote:
        """Quote a job with the records in `file`; nothing is stored."""

        def send() -> Any:
            with file.open("rb") as content:
                parts = {"file": (file.name, content)}
                return self._json(
                    "POST", "/jobs/estimate", data=dict(fields), files=parts, timeout=UPLOAD_SECONDS
                )

        quote: Quote = _again(send)
        return quote

    def models(self) -> list[dict[str, Any]]:
        """The models of that stack, with their prices."""
        found: list[dict[str, Any]] = _again(lambda: self._json("GET", "/models"))["data"]
        return found

    def jobs(self) -> Iterator[Job]:
        """Every job, newest first."""
        yield from self.pages("/jobs", {})

    def job(self, job_id: str) -> Job:
        return _again(lambda: self._json("GET", f"/jobs/{job_id}"))

    def act(self, job_id: str, action: str) -> Job:
        """`cancel`, `pause` or `resume`."""
        job: Job = self._json("POST", f"/jobs/{job_id}/{action}")
        return job

    def retry(self, job_id: str, choice: Mapping[str, Any] | None = None) -> Job:
        """Run again what failed, or what `choice` names; a job that has just been closed is waited for."""
        request = {"json": dict(choice)} if choice else {}
        job: Job = _when_taken(lambda: self._json("POST", f"/jobs/{job_id}/retry", **request))
        return job

    def delete(self, job_id: str) -> None:
        """Remove a job that has ended, and its content."""
        with self._reaching():
            response = self._client.delete(f"/jobs/{job_id}")
        _check(response)

    def change(self, job_id: str, **fields: str) -> Job:
        """Change a job's fields, such as its `max_cost`."""
        job: Job = self._json("PATCH", f"/jobs/{job_id}", json=fields)
        return job

    def records(self, job_id: str, status: str) -> Iterator[dict[str, Any]]:
        yield from self.pages(f"/jobs/{job_id}/records", {"status": status})

    def events(self, job_id: str, last_id: str | None) -> Iterator[httpx2.ServerSentEvent]:
        """A job's events after `last_id`; ends with the job or with `StackUnreachable`."""
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout = httpx2.Timeout(HEARD, connect=5)
        with self._stream(f"/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
            yield from httpx2.EventSource(response)

    def download(self, job_id: str, query: Mapping[str, str], to: BinaryIO) -> Mapping[str, str]:
        """Write the results to `to` as they arrive; returns the headers of the response."""
        with self._stream(f"/jobs/{job_id}/results", params=dict(query)) as response:
            for chunk in response.iter_bytes():
                to.write(chunk)
            return response.headers

    def read(self, path: str, query: Mapping[str, str]) -> Any:
        return _again(lambda: self._json("GET", path, params=dict(query)))

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Sent once, whatever becomes of the response."""
        return self._json(method, path, **({} if body is None else {"json": dict(body)}))

    def pages(self, path: str, query: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: dict[str, str] = {}
        while True:
            params = {**query, **cursor, "limit": "100"}
            page = _again(partial(self._json, "GET", path, params=params))
            yield from page["data"]
            if not page["next_cursor"]:
                return
            cursor = {"cursor": page["next_cursor"]}

    def _json(self, method: str, path: str, **request: Any) -> Any:
        with self._reaching():
            response = self._client.request(method, path, **request)
        _check(response)
        try:
            return response.json()
        except ValueError:
            message = (
                f"{self.url} answered with something other than JSON: is this the address of a Penstock?"
            )
            raise StackRefused(response.status_code, {"message": message}) from None

    @contextmanager
    def _stream(self, path: str, **request: Any) -> Iterator[httpx2.Response]:
        with self._reaching(), self._client.stream("GET", path, **request) as response:
            if response.is_error:
                response.read()
            _check(response)
            yield response

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        try:
            yield
        except httpx2.TransportError as error:
            raise StackUnreachable(self.url, error) from error


def _closed(path: Path) -> IO[bytes]:
    return cast(IO[bytes], Closed(path))


def _check(response: httpx2.Response) -> None:
    """Raise `StackRefused` for an error response, in whatever shape: it may come from a proxy."""
    if not response.is_error:
        return
    try:
        error = dict(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        error = {}
    wait = response.headers.get("Retry-After", "")
    raise StackRefused(response.status_code, error, float(wait) if wait.isdigit() else None)


def _again(send: Callable[[], T]) -> T:
    """Send again when the response was lost or asks for it; only requests that are safe to repeat."""
    for number in range(1, TRIES):
        try:
            return send()
        except StackUnreachable:
            time.sleep(0.25 * 2**number)
        except StackRefused as answer:
            _wait_as_told(answer)
    return send()


def _when_taken(send: Callable[[], T]) -> T:
    """Send again only when the response asks for it: what was refused has not been done."""
    for _ in range(1, TRIES):
        try:
            return send()
        except StackRefused as answer:
            _wait_as_told(answer)
    return send()


def _wait_as_told(answer: StackRefused) -> None:
    """Raises the answer itself where waiting does not help."""
    if answer.retry_after is None or answer.retry_after > LONGEST_WAIT:
        raise answer
    time.sleep(answer.retry_after)
