"""Watching a job while it runs: server-sent events."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from flask import Response, request

from app.api.blueprint import Blueprint
from app.api.request_schemas import EventQuery
from app.api.response_schemas import EventOut
from app.core.accounts.api_keys import READ
from app.core.reading import record_json, records
from app.core.reading.events import Event
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.ingest.values import whole_number
from app.web import capacity
from app.web.auth import caller, needs
from app.web.job_lookup import find_job, with_content

HEARTBEAT = b": nothing new\n\n"  # a comment: shows proxies and readers that the stream is alive

AT_ONCE = 100  # answers in one event at most
EVENT_BYTES = 1_000_000  # of them; one more answer may follow
# They are JSON as they are, but many readers of lines take each for the end of one.
LINE_ENDS = {sign.encode(): f"\\u{ord(sign):04x}".encode() for sign in "\x85\u2028\u2029"}

blp = Blueprint("events", "Watching a job while it runs.")

_DOCUMENTED = {
    "parameters": [
        {
            "in": "header",
            "name": "Last-Event-ID",
            "schema": {"type": "string"},
            "description": "The id of the last event received: the stream resumes after it.",
        }
    ]
}


@blp.route("/jobs/<job_id>/events", methods=["GET"])
@needs(READ, 404, 410, 503)
@blp.doc(**_DOCUMENTED)
@blp.arguments(EventQuery, location="query")
@blp.response(200, EventOut, content_type="text/event-stream")
def stream_events(query: Mapping[str, str | None], job_id: str) -> Response:
    """Watch a job.

    The first event, `snapshot`, is the whole job. It is followed by `records`, the records that ended, as
    `{"records": [[index, status, seq, custom_id], …]}`, `progress` with the changing fields (counts, usage,
    cost, eta and the like) and `status` with the whole job, whenever its status changes. The stream ends with
    the job: its last event is a `status`.
    """
    view = find_job(job_id)
    seen = _last_event_id(view.seq)
    if query["include"] == "answers":
        told = _with_answers(with_content(view), follow(view, seen, caller().key_id, from_first=True))
    else:
        told = follow(view, seen, caller().key_id)
    return capacity.stream(_lines(told), "text/event-stream", {"X-Accel-Buffering": "no"})


def _last_event_id(newest: int) -> int | None:
    """The seq after which a reader resumes; None for a new reader, or for an id that is not valid."""
    seq = whole_number(request.headers.get("Last-Event-ID", ""))
    return None if seq is None or not 0 <= seq <= newest else seq


def _with_answers(view: JobView, events: Iterator[Event | None]) -> Iterator[Event | None]:
    """The events, those of records in pieces that hold the records themselves, read for this reader alone.

    Nothing of the database is held while a reader takes a piece.
    """
    for event in events:
        if event is None or not event.items:
            yield event
        else:
            yield from _pieces(view, event)


def _pieces(view: JobView, event: Event) -> Iterator[Event]:
    until = replace(view, seq=event.id)
    after: int | None = event.items[0][2] - 1
    while after is not None and after < event.id:
        begin = after
        with records.snapshot() as session:
            page = records.by_completion(session, until, begin, AT_ONCE, inputs=view.has_documents)
        answers, after = _some(page.records, page.after)
        last = event.id if after is None else after
        items = [item for item in event.items if begin < item[2] <= last]
        lines = b",".join(record_json.line(view.uid, record) for record in answers)
        data = b'{"records":%s,"answers":[%s]}' % (json.dumps(items).encode(), lines)
        yield replace(event, id=last, data=data, items=items)


def _some(found: Sequence[RecordView], after: int | None) -> tuple[Sequence[RecordView], int | None]:
    """As many of the records as one event may hold, and the seq of the last if others follow."""
    size = 0
    for number, record in enumerate(found[:-1], 1):
        size += record.size
        if size > EVENT_BYTES:
            return found[:number], record.seq
    return found, after


def _lines(events: Iterator[Event | None]) -> Iterator[bytes]:
    for event in events:
        if event is None:
            yield HEARTBEAT
        else:
            yield b"event: %s\nid: %d\ndata: %s\n\n" % (event.kind.encode(), event.id, _escaped(event.data))


def _escaped(data: bytes) -> bytes:
    """The same JSON on one line, whatever a reader takes for the end of a line."""
    for sign, escape in LINE_ENDS.items():
        data = data.replace(sign, escape)
    return data
