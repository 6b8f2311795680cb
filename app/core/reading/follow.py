"""Following one job from any of its events to its end, without a gap."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from app.core.accounts.revocation import watch
from app.core.reading import events, job_json
from app.core.reading.events import Event, State
from app.core.reading.feed import Reader, feed
from app.core.reading.job_json import Limited
from app.core.reading.jobs import JobView
from app.errors import ReaderCut
from models.session import reading

# Seconds. That a reader has gone is noticed at the second write after it; until then its seat is taken.
HEARTBEAT = 5.0


def follow(
    view: JobView, seen: int | None, key_id: int | None, *, from_first: bool = False
) -> Iterator[Event | None]:
    """The job's events after seq `seen`, and None whenever there was none for 5 s; the last is its end.

    A new reader (`seen` is None) gets the whole job first, and with `from_first` then every record that has
    ended. One that resumes gets what it missed and then the job's state. The events end early when this
    process stops, the reader cannot keep up or its key is revoked.
    """
    limited = job_json.limits_of([view])[view.id]
    with _reader(view, events.state(view, limited), key_id) as reader:
        known = max(view.seq, reader.start)
        if seen is None:
            begin = 0 if from_first else view.seq  # a reader that leaves behind the snapshot resumes there
            yield replace(events.snapshot(view, limited), id=begin)
            yield from _missed(view.id, begin, known)
        else:
            yield from _missed(view.id, seen, known)
            yield events.progress(view, limited)
        if seen is not None or view.status.final:
            yield events.status(view, limited)
        if not view.status.final:
            yield from _live(reader, known)


def wait_until_ended(view: JobView, seconds: float, key_id: int | None) -> None:
    """Return when the job has ended, `seconds` are over, this process stops or the key is revoked."""
    deadline = time.monotonic() + seconds
    if view.status.final:
        return
    with _reader(view, events.state(view, Limited()), key_id) as reader:
        try:
            while (remaining := deadline - time.monotonic()) > 0:
                event = reader.next(remaining)
                if event is not None and event.last:
                    return
        except ReaderCut:
            return


@contextmanager
def _reader(view: JobView, seen: State, key_id: int | None) -> Iterator[Reader]:
    with feed().join(view, seen) as reader, watch().use(key_id, reader.close):
        yield reader


def _missed(job_id: int, after: int, until: int) -> Iterator[Event]:
    while after < until:
        with reading() as session:
            items = events.ended_since(session, job_id, after, until)
        if not items:
            return
        yield events.records(items)
        after = items[-1][2]


def _live(reader: Reader, known: int) -> Iterator[Event | None]:
    """The feed's events, without what the reader knows already: the feed may have been behind."""
    try:
        while True:
            event = reader.next(HEARTBEAT)
            new = None if event is None else event.after(known)
            if event is None or new is not None:
                yield new
            if event is not None and event.last:
                return
    except ReaderCut:
        return
