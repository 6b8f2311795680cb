"""Watching a job while it runs: server-sent events."""

from collections.abc import Iterator

from flask import Response, request
from flask_smorest import Blueprint

from app.api.response_schemas import EventOut
from app.core.accounts.api_keys import READ
from app.core.reading.events import Event
from app.core.reading.follow import follow
from app.core.reading.job_json import PREFIX
from app.ingest.values import whole_number
from app.web import capacity
from app.web.auth import caller, needs
from app.web.job_lookup import find_job

HEARTBEAT = b": nothing new\n\n"  # a comment: shows proxies and readers that the stream is alive

blp = Blueprint("events", __name__, url_prefix=PREFIX, description="Watching a job while it runs.")

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
@needs(READ, 404, 503)
@blp.doc(**_DOCUMENTED)
@blp.response(200, EventOut, content_type="text/event-stream")
def stream_events(job_id: str) -> Response:
    """Watch a job.

    The first event, `snapshot`, is the whole job. It is followed by `records`, the records that ended, as
    `{"records": [[index, status, seq], …]}`, `progress` with the changing fields (counts, usage, cost, eta
    and the like) and `status` with the whole job, whenever its status changes. The stream ends with the job:
    its last event is a `status`.
    """
    view = find_job(job_id)
    return capacity.stream(
        _lines(follow(view, _last_event_id(view.seq), caller().key_id)),
        "text/event-stream",
        {"X-Accel-Buffering": "no"},
    )


def _last_event_id(newest: int) -> int | None:
    """The seq after which a reader resumes; None for a new reader, or for an id that is not valid."""
    seq = whole_number(request.headers.get("Last-Event-ID", ""))
    return None if seq is None or not 0 <= seq <= newest else seq


def _lines(events: Iterator[Event | None]) -> Iterator[bytes]:
    for event in events:
        if event is None:
            yield HEARTBEAT
        else:
            yield b"event: %s\nid: %d\ndata: %s\n\n" % (event.kind.encode(), event.id, event.data)
