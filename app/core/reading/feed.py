"""Live events of jobs: one thread a process reads what has changed, once for all readers.

Redis only notifies; events are made from rows. A job is read as soon as Redis notifies of it, at most four
times a second, and once a second in any case: with Redis away events are a second late and complete. A job
that stands still is read every five seconds, so that whoever watches paused jobs for days costs little.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from app.core.outages import servers
from app.core.pipeline.notifications import Listener
from app.core.reading import events, job_json, jobs
from app.core.reading.events import Event, Item, State
from app.core.reading.job_json import Limited
from app.core.reading.jobs import JobView
from app.errors import ReaderCut
from config import settings
from config.once import once
from models.session import reading

BUSY = 0.25  # seconds between two reads of a job that changes: two events a read, so eight a second
QUIET = 1.0  # seconds between two reads of a job without notifications
STILL = 5.0  # seconds between them when nothing has moved for `STANDS`
STANDS = 10.0  # seconds
BEHIND = 1_000  # events that may wait for a reader; then it is cut, and resumes by its last id


def _no_notice() -> None:
    """A reader that waits in `next` needs none."""


class Reader:
    """A subscription to one job's events. Use it as a context manager."""

    def __init__(self, feed: "Feed", job_id: int, seen: State, notify: Callable[[], None]) -> None:
        self.job_id = job_id
        self._notify = notify
        self.start = 0  # a seq: the feed brings what comes after it; read the rest from rows
        self.seen = seen
        self._feed = feed
        self._waiting: SimpleQueue[Event | None] = SimpleQueue()  # None: there will be no more
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.leave(self)

    def next(self, timeout: float) -> Event | None:
        """The next event; None if there is none for `timeout` seconds. Raises `ReaderCut` at the end."""
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
        self._notify()

    def close(self) -> None:
        self._closed = True
        self._waiting.put(None)
        self._notify()


class _Topic:
    """A job that has readers."""

    def __init__(self, job_id: int, seq: int) -> None:
        self.job_id = job_id
        self.seq = seq  # of the last record that was pushed
        self.readers: set[Reader] = set()
        self.changed = True
        self.read_at = float("-inf")  # monotonic
        self.moved_at = time.monotonic()

    def due_in(self, now: float) -> float:
        quiet = QUIET if now - self.moved_at < STANDS else STILL
        return self.read_at + (BUSY if self.changed else quiet) - now


class Feed:
    """The readers of this process and the thread that serves them; it runs while there are any."""

    def __init__(self) -> None:
        self._topics: dict[int, _Topic] = {}
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopping = False

    def join(self, view: JobView, seen: State, notify: Callable[[], None] = _no_notice) -> Reader:
        """Watch the job of `view`, which the reader has seen in the state `seen`; see `Reader.start`.

        `notify` is called, on the feed's thread, when the reader has something to read.
        """
        reader = Reader(self, view.id, seen, notify)
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

    @property
    def is_stopping(self) -> bool:
        """Whether this process ends: so must every stream."""
        return self._stopping

    def _run(self) -> None:
        listener = Listener(settings.current().limiter_url)
        try:
            while self._is_needed():
                changed = listener.listen(self._idle_for())
                due = self._due(changed)
                if due:
                    self._serve(due)
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

    def _due(self, changed: Iterable[int]) -> list[_Topic]:
        now = time.monotonic()
        with self._lock:
            for job_id in changed:
                if job_id in self._topics:
                    self._topics[job_id].changed = True
            return [topic for topic in self._topics.values() if topic.due_in(now) <= 0]

    def _serve(self, topics: Sequence[_Topic]) -> None:
        """Read the jobs, and push what is new of them to their readers."""
        for topic in topics:
            topic.read_at, topic.changed = time.monotonic(), False
        try:
            found = _read(topics)
            limits = job_json.limits_of(view for view, _ in found.values())
            for topic in topics:
                if topic.job_id in found:
                    view, items = found[topic.job_id]
                    self._push(topic, view, items, limits[topic.job_id])
        except Exception as error:
            # Mostly the database is away. In any case readers stay, and the next read is in a second.
            servers.tell(error, "news")

    def _push(self, topic: _Topic, view: JobView, items: Sequence[Item], limited: Limited) -> None:
        with self._lock:
            topic.seq = items[-1][2] if len(items) == events.GROUP else view.seq
            topic.changed = topic.changed or topic.seq < view.seq
            group = [events.records(items)] if items else []
            if group:
                topic.moved_at = time.monotonic()
            if topic.seq == view.seq:  # the job's state follows the last record that it counts
                _push_state(topic.readers, group, view, limited)
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


def _push_state(readers: Iterable[Reader], group: Sequence[Event], view: JobView, limited: Limited) -> None:
    """Push the records to each reader, and what it has not seen of the job's state; last the status.

    All at once: waking a reader costs more than what it then writes.
    """
    state = events.state(view, limited)
    progress, status = events.progress(view, limited), events.status(view, limited)
    for reader in readers:
        seen = reader.seen
        reader.push(
            [
                *group,
                *([progress] if seen.moved != state.moved else ()),
                *([status] if seen.status != state.status else ()),
            ]
        )
        reader.seen = state


@once
def feed() -> Feed:
    """The feed of this process."""
    return Feed()
