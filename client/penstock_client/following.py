"""Following a job by its events, from the first answer on or from the last that was read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from penstock_client import answers
from penstock_client.errors import JobStopped, PenstockError, Unreachable
from penstock_client.flows import JOBS
from penstock_client.objects import FINAL, Answer, Job
from penstock_client.progress import Bar
from penstock_client.wire import HEARD, Call, Contact, Patience

log = logging.getLogger("penstock_client")


class Following:
    """One reader of a job's answers.

    `call` opens the stream, `read` takes what came, and `lost` says how long to wait when it broke off.
    `is_over`: no answer will come any more.
    """

    def __init__(
        self,
        contact: Contact,
        raw: dict[str, Any],
        row: Callable[[int], Any],
        bar: Bar,
    ) -> None:
        self.raw, self.is_over = raw, False
        self._row, self._bar = row, bar
        self._patience = Patience(contact)
        self._last_id: str | None = None
        self._lines = Lines()
        self._read = 0  # answers of this stream
        self._is_alive = self._is_resumed = False
        self._told = ""

    def call(self) -> Call:
        """The request for what has not been read."""
        self._lines, self._is_alive, self._is_resumed = Lines(), False, self._last_id is not None
        headers = {"Last-Event-ID": self._last_id} if self._last_id is not None else {}
        path = f"{JOBS}/{self.raw['id']}/events"
        return Call("GET", path, query={"include": "answers"}, headers=headers, timeout=HEARD)

    def read(self, piece: bytes) -> list[Answer]:
        """The answers in the next bytes of the stream."""
        self._patience.heard()
        found: list[Answer] = []
        for event in self._lines.feed(piece):
            found += self._heard(event)
            self._is_alive = True
        self._bar.show(self.raw)
        return found

    def lost(self, error: PenstockError | None = None) -> float:
        """The stream ended; the seconds until it is opened again. Raises the error if that is no use."""
        if self.is_over:
            return 0
        if error is None and self._is_alive:
            return 0.1  # a server that stops ends its streams
        return self._patience.wait(error or Unreachable("the stream of events ended at once"))

    def close(self) -> None:
        """Raises `JobStopped` if records were left out, unless `try_first` did that."""
        self._bar.close(self.raw)
        job = Job.of(self.raw)
        if job.status != "completed" and not job.is_tried:
            raise JobStopped(job)

    def _heard(self, event: Event | None) -> list[Answer]:
        if event is None:  # nothing is new: all that there was has been read
            self.is_over = self.raw["status"] == "paused" and not self.raw["counts"]["running"]
            return []
        kind, data = event.kind, json.loads(event.data)
        found: list[Answer] = []
        if kind == "records":
            found = [self._answer(record) for record in data.get("answers", ())]
            self._read += len(found)
        else:
            self.raw |= {name: value for name, value in data.items() if name in self.raw}
            self._tell_obstacle()
        self._last_id = event.id or self._last_id
        self.is_over = self._has_stopped(kind)
        return found

    def _has_stopped(self, kind: str) -> bool:
        """Whether nothing comes after an event of this kind."""
        if self.raw["status"] in FINAL:
            return kind == "status"
        if self.raw["status"] != "paused":
            return False
        # Of a paused job a new reader gets what there is and then silence, one that resumes a status.
        counts = self.raw["counts"]
        is_whole = not self._is_resumed and self._read >= counts["succeeded"] + counts["failed"]
        return not counts["running"] and (kind == "status" or is_whole)

    def _answer(self, record: Mapping[str, Any]) -> Answer:
        return answers.read(record, self._row(record["index"]))

    def _tell_obstacle(self) -> None:
        """Say once why no record is answered, if nothing but its owner can mend that."""
        obstacle = (self.raw.get("limited_by_detail") or {}).get("message") or ""
        if obstacle and obstacle != self._told:
            log.warning("job %s waits: %s", self.raw["id"], obstacle)
        self._told = obstacle or self._told


class Event:
    """An event of the stream."""

    def __init__(self) -> None:
        self.kind, self.id, self.data = "message", "", ""


class Lines:
    """Server-sent events in bytes that come in any pieces. A comment is None: the stream is alive."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._event = Event()

    def feed(self, piece: bytes) -> Iterator[Event | None]:
        self._rest += piece
        if b"\n" not in piece:
            return
        *whole, rest = self._rest.split(b"\n")
        self._rest = rest
        for line in whole:
            text = line.decode().removesuffix("\r")
            if text.startswith(":"):
                yield None
            elif text:
                self._add(*text.partition(":")[::2])
            elif self._event.data:
                yield self._event
                self._event = Event()

    def _add(self, name: str, value: str) -> None:
        value = value.removeprefix(" ")
        if name == "event":
            self._event.kind = value
        elif name == "id":
            self._event.id = value
        elif name == "data":
            self._event.data += value
