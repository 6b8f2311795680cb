"""News of jobs as they happen: one thread a process reads what has moved, once for all who watch.

Redis only says *look*; what is told comes from rows. A job is looked at as soon as Redis says so, at most
four times a second, and once a second in any case: with Redis away news is a second late and complete.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

import structlog

from app.core.pipeline.notifications import Listener
from app.core.reading import events, job_json, jobs
from app.core.reading.events import Event, Item, State
from app.core.reading.jobs import JobView
from app.errors import ReaderCut
from config import settings
from models.session import reading

BUSY = 0.25  # seconds between two looks at a job that moves: two events a look, so eight a second
QUIET = 1.0  # seconds between two looks at a job of which nothing is heard
BEHIND = 1_000  # events that may wait for a reader; then it is cut, and resumes by its last id

log = structlog.get_logger(__name__)


def _nobody() -> None:
    """Who waits in `Reader.next` need not be told."""


class Reader:
    """One who watches a job. Use it as a context manager."""

    def __init__(self, feed: "Feed", job_id: int, told: State, tell: Callable[[], None]) -> None:
        self.job_id = job_id
        self._tell = tell
        self.start = 0  # the feed tells what is behind this seq; what is before it is read from rows
        self.told = told
        self._feed = feed
        self._waiting: SimpleQueue[Event | None] = SimpleQueue()  # None: news is over
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.leave(self)

    def next(self, timeout: float) -> Event | None:
        """The next event; None when there was none for `timeout` seconds. Raises `ReaderCut` at the end."""
        try:
            event = self._waiting.get(timeout=timeout)
        except Empty:
            return None
        if event is None or self._closed:
            raise ReaderCut
        return event

    def push(self, events: Sequence[Event]) -> None:
        if not events:
            return
        for event in events:
            self._waiting.put(event)
        if self._waiting.qsize() > BEHIND:
            self._closed = True
        self._tell()

    def close(self) -> None:
        self._closed = True
        self._waiting.put(None)
        self._tell()


class _Topic:
    """A job that somebody watches."""

    def __init__(self, job_id: int, seq: int) -> None:
        self.job_id = job_id
        self.seq = seq  # told up to here
        self.readers: set[Reader] = set()
        self.moved = True
        self.looked_at = float("-inf")

    def due_in(self, now: float) -> float:
        return self.looked_at + (BUSY if self.moved else QUIET) - now


class Feed:
    """The readers of this process and the thread that serves them; it runs while there are any."""

    def __init__(self) -> None:
        self._topics: dict[int, _Topic] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = False

    def join(self, view: JobView, told: State, tell: Callable[[], None] = _nobody) -> Reader:
        """Watch a job whose `view` was told as `told`; `Reader.start` says from where on news comes.

        `tell` is called, on the feed's thread, when the reader has something to read.
        """
        reader = Reader(self, view.id, told, tell)
        with self._lock:
            topic = self._topics.setdefault(view.id, _Topic(view.id, view.seq))
            reader.start = topic.seq
            topic.readers.add(reader)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
                self._thread.start()
        return reader

    def leave(self, reader: Reader) -> None:
        with self._lock:
            topic = self._topics.get(reader.job_id)
            if topic is not None:
                topic.readers.discard(reader)
                if not topic.readers:
                    del self._topics[reader.job_id]

    def stop(self) -> None:
        """End every stream, within a quarter of a second. Takes no lock: a signal handler may call it."""
        self._stopping = True

    def _run(self) -> None:
        listener = Listener(settings.current().limiter_url)
        try:
            while self._is_needed():
                heard = listener.listen(self._idle_for())
                due = self._due(heard)
                if due:
                    self._look(due)
        finally:
            listener.close()

    def _is_needed(self) -> bool:
        with self._lock:
            if self._stopping:
                for topic in self._topics.values():
                    for reader in topic.readers:
                        reader.close()
            if not self._topics:
                self._thread = None
            return self._thread is not None

    def _idle_for(self) -> float:
        now = time.monotonic()
        with self._lock:
            soonest = min((topic.due_in(now) for topic in self._topics.values()), default=0.0)
        return min(max(soonest, 0.0), BUSY)

    def _due(self, heard: Iterable[int]) -> list[_Topic]:
        now = time.monotonic()
        with self._lock:
            for job_id in heard:
                if job_id in self._topics:
                    self._topics[job_id].moved = True
            return [topic for topic in self._topics.values() if topic.due_in(now) <= 0]

    def _look(self, topics: Sequence[_Topic]) -> None:
        for topic in topics:
            topic.looked_at, topic.moved = time.monotonic(), False
        try:
            found = _read(topics)
            reasons = job_json.limited_by(view for view, _ in found.values())
            for topic in topics:
                if topic.job_id in found:
                    view, items = found[topic.job_id]
                    self._tell(topic, view, items, reasons[topic.job_id])
        except Exception:
            # Mostly a database that is away. Whatever it is, readers stay, and the next look is in a second.
            log.exception("news_not_read")

    def _tell(self, topic: _Topic, view: JobView, items: Sequence[Item], limited_by: str | None) -> None:
        with self._lock:
            topic.seq = items[-1][2] if len(items) == events.GROUP else view.seq
            topic.moved = topic.moved or topic.seq < view.seq
            group = [events.records(items)] if items else []
            if topic.seq == view.seq:  # how the job stands comes behind the last record that it counts
                _tell_state(topic.readers, group, view, limited_by)
            elif group:
                for reader in topic.readers:
                    reader.push(group)


def _read(topics: Sequence[_Topic]) -> dict[int, tuple[JobView, list[Item]]]:
    since = {topic.job_id: topic.seq for topic in topics}
    with reading() as session:
        return {
            view.id: (view, events.ended_since(session, view.id, since[view.id], view.seq))
            for view in jobs.watched(session, since)
        }


def _tell_state(
    readers: Iterable[Reader], group: Sequence[Event], view: JobView, limited_by: str | None
) -> None:
    """Tell each of the records, and what it does not know of the job's state; the status last, it may end.

    All at once: each time that a reader wakes costs more than what it then writes.
    """
    state = events.state(view, limited_by)
    progress, status = events.progress(view, limited_by), events.status(view, limited_by)
    for reader in readers:
        told = reader.told
        reader.push(
            [
                *group,
                *([progress] if told.moved != state.moved else ()),
                *([status] if told.status != state.status else ()),
            ]
        )
        reader.told = state


@cache
def feed() -> Feed:
    """The feed of this process."""
    return Feed()
