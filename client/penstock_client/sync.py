"""The client for ordinary programs and notebooks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from penstock_client import flows, transport
from penstock_client.case import Case
from penstock_client.errors import JobStopped, PenstockError
from penstock_client.objects import Answer, Job, Quote
from penstock_client.order import Asked, Order
from penstock_client.wire import Call, Flow, Got, refusal

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class Penstock:
    """A Penstock at one address, with one key; by default those in PENSTOCK_URL and PENSTOCK_API_KEY.

    `patience`: seconds for which a server that has gone away is waited for. What it was doing goes on.
    """

    def __init__(self, url: str | None = None, key: str | None = None, *, patience: float = 600) -> None:
        self._contact = transport.contact(url, patience)
        self._http = httpx.Client(**transport.settings(self._contact, key))

    def run(
        self,
        rows: Any,
        prompt: str | None = None,
        *,
        again: bool = False,
        progress: bool | None = None,
        **asked: Unpack[Asked],
    ) -> Run:
        """Ask a model for each of the rows, and iterate over the answers as they arrive.

        `rows` are a list (or any iterable) of dicts or texts, a DataFrame of pandas or polars, a table of
        pyarrow, or the path of a file. `prompt` is a template such as `Summarise: {{ review }}`; the column
        of texts is called `text`. Without it each row is a whole record: a text, or a dict with a `prompt`,
        `messages` and so on. `asked` are the job's fields (`Asked`): `fields`, `schema`, `model`, `system`,
        `max_tokens`, `params`, `max_cost`, `dedupe`, `reuse`, `try_first` …

        The same call again finds the same job, whatever became of the program: it goes on with it, or gives
        the answers of a completed one, and pays for nothing twice. One that was cancelled, failed, expired
        or deleted is done again. `again`: a completed one, too.
        """
        order = Order(rows, prompt, asked)
        raw = self._do(flows.submitted(self._contact, order, again=again))
        return Run(self, Case(self._contact, raw, order, progress))

    def estimate(self, rows: Any, prompt: str | None = None, **asked: Unpack[Asked]) -> Quote:
        """What the same `run` would cost. Nothing is stored, and no model is asked."""
        return Quote.of(self._do(flows.estimated(self._contact, Order(rows, prompt, asked))))

    def jobs(self) -> Iterator[Job]:
        """Every job, newest first."""
        cursor: str | None = None
        while True:
            page = self._do(flows.page(self._contact, cursor))
            yield from map(Job.of, page["data"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def job(self, id: str) -> Job:
        return Job.of(self._do(flows.shown(self._contact, id)))

    def answers(self, job: Job | str, *, progress: bool | None = None) -> Run:
        """The run of a job that is there already, whoever submitted it; its rows are not known here."""
        id = job if isinstance(job, str) else job.id
        return Run(self, Case(self._contact, self._do(flows.shown(self._contact, id)), None, progress))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Penstock:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Penstock({self._contact.url!r})"

    def _do(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                got: Got = None
                if isinstance(step, Call):
                    got = self._send(step)
                else:
                    time.sleep(step)
                step = flow.send(got)
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, call: Call) -> Got:
        try:
            return transport.reply(
                self._http.request(
                    call.method, call.path, timeout=transport.timeout(call), **call.arguments()
                )
            )
        except httpx.RequestError as error:
            return transport.unreachable(self._contact, error)

    @contextmanager
    def _stream(self, call: Call) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer as they come; raises our errors."""
        timeout, more = transport.timeout(call), call.arguments()
        try:
            with self._http.stream(call.method, call.path, timeout=timeout, **more) as response:
                if not response.is_success:
                    response.read()
                    raise refusal(transport.reply(response))
                yield response.iter_bytes()
        except httpx.RequestError as error:
            raise transport.unreachable(self._contact, error) from error


class Run:
    """A job, and its answers: iterating begins with the first one, each time."""

    def __init__(self, client: Penstock, case: Case) -> None:
        self._client, self._case = client, case

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def job(self) -> Job:
        """The job as it was last heard of."""
        return self._case.job

    def __iter__(self) -> Iterator[Answer]:
        """The answers in the order in which they arrive, those that are there already first.

        Ends with the job, or with its pause after `try_first`. Raises `JobStopped` after the last one if
        the job did not get to all of its records.
        """
        following = self._case.follow()
        while not following.is_over:
            broke: PenstockError | None = None
            try:
                with self._client._stream(following.call()) as pieces:
                    for piece in pieces:
                        yield from following.read(piece)
                        if following.is_over:
                            break
            except PenstockError as error:
                broke = error
            time.sleep(following.lost(broke))
        following.close()

    def wait(self) -> Job:
        """The job when it has ended; raises as iterating does."""
        for _ in self:
            pass
        return self.job

    def to_frame(self, library: str | None = None) -> Any:
        """The rows with the answers on their right, in their order, when the job ends or is paused.

        A frame of `library` (`pandas` or `polars`), by default the one that the rows came from. Its column
        `status` says which rows were not asked. The rows of a file are those that were asked.
        """
        found: list[Answer] = []
        try:
            found += self
        except JobStopped:
            pass  # the frame says so
        if (frame := self._case.frame(library, found)) is not None:
            return frame
        with self._client._stream(self._case.table()) as pieces:
            return self._case.of_table(library, b"".join(pieces))

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the answers so far to a file: a sheet comes back as it was, with columns on its right."""
        to = Path(path)
        with self._client._stream(self._case.results(to)) as pieces, to.open("wb") as file:
            file.writelines(pieces)
        return to

    def cancel(self) -> Job:
        """Ask no further record; the answers that are there stay."""
        return self._act("cancel")

    def pause(self) -> Job:
        return self._act("pause")

    def resume(self) -> Job:
        """Go on, as after `try_first`."""
        return self._act("resume")

    def retry(self, *, only: Sequence[str] | None = None, max_tokens: int | None = None) -> Job:
        """Ask again what failed, and nothing else; iterating then gives all answers, the new ones too.

        `only` names what is asked again instead, by how it ended (`truncated`, `refusal`, `expired` …);
        `max_tokens` gives each record more room.
        """
        choice = {"only": None if only is None else list(only), "max_tokens": max_tokens}
        return self._told(self._client._do(flows.retried(self._case.contact, self.id, choice)))

    def change(self, **fields: Any) -> Job:
        """Change `name`, `metadata`, `priority` or `max_cost`."""
        return self._told(self._client._do(flows.changed(self._case.contact, self.id, fields)))

    def delete(self) -> None:
        """Remove the job, which has ended, with its content; what it cost stays known."""
        self._client._do(flows.deleted(self._case.contact, self.id))

    def _act(self, action: str) -> Job:
        return self._told(self._client._do(flows.acted(self._case.contact, self.id, action)))

    def _told(self, raw: dict[str, Any]) -> Job:
        self._case.raw |= raw
        return self.job

    def __repr__(self) -> str:
        return f"<Run of job {self.id}: {self.job.status}>"
