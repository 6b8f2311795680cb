"""The content of a job's stream: every document once, in completion order, and the end."""

from collections.abc import Iterator, Sequence

from app.core.reading import jobs, records
from app.core.reading.events import Event, Item
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dialects.documents import wire
from app.dialects.documents.wire import Place
from models.job import JobStatus
from models.session import reading

HEARTBEAT = b": nothing new\n\n"
AT_ONCE = 50  # documents whose rows are read together


def tell(view: JobView, seen: Place | None, key_id: int | None) -> Iterator[bytes]:
    """The messages after `seen`, with a comment whenever nothing happens for a while; the last one is the
    end.

    The stream is cut early when this process stops, its reader cannot keep up or its key is revoked: it can
    be resumed, with a key.
    """
    begun = seen is not None
    for event in follow(view, seen.seq if seen else 0, key_id):
        if event is None:
            yield HEARTBEAT
        elif event.kind in ("records", "status"):
            now = _look(view)
            if now.started_at is not None and not begun:
                begun = True
                yield wire.start(now)
            yield from _outcomes(now, event.items)
            if event.last:
                yield from _end(now, event, seen or Place())


def _outcomes(view: JobView, items: Sequence[Item]) -> Iterator[bytes]:
    for first in range(0, len(items), AT_ONCE):
        for record in _read(view, [idx for idx, *_ in items[first : first + AT_ONCE]]):
            yield wire.outcome(view, record)


def _end(view: JobView, event: Event, seen: Place) -> Iterator[bytes]:
    """Documents that the job's end kept from being sent have no place of their own among the outcomes."""
    if view.counts.cancelled + view.counts.expired and not seen.cancel:
        ended = records.ended(view, inputs=True)
        yield from (wire.unsent(view, record) for record in ended if record.seq is None)
    if view.status is JobStatus.CANCELLED and not (seen.cancel and seen.seq == event.id):
        yield wire.cancel(view)
    yield wire.complete(view)


def _look(view: JobView) -> JobView:
    with reading() as session:
        return jobs.watched(session, [view.id])[0]


def _read(view: JobView, indices: Sequence[int]) -> list[RecordView]:
    with reading() as session:
        return records.those(session, view, indices, inputs=True)
