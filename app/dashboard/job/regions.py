"""A region of a job's page: rendered anew as the job moves, and while it stands still."""

import time
from collections.abc import Callable, Iterator

from flask import Response

from app.core.reading import jobs
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.dashboard import live
from app.dashboard.live import Region
from app.web.auth import caller
from models.session import reading

Render = Callable[[JobView], str]


def stream(view: JobView, every: float, render: Render) -> Response:
    """The region's HTML where it changed, at most once in `every` seconds, and when the job has ended."""
    return live.stream(_regions(view, every, render, caller().key_id))


def _regions(view: JobView, every: float, render: Render, key_id: int | None) -> Iterator[Region]:
    shown, rendered_at = "", float("-inf")
    for event in follow(view, view.seq, key_id):
        if time.monotonic() - rendered_at < live.pace(every) and not (event is not None and event.last):
            yield Region()
            continue
        rendered_at = time.monotonic()
        now = _anew(view)
        if now is None:
            return  # it was deleted: who asks again is told so
        html = render(now)
        yield Region(None if html == shown else html, is_last=now.status.final)
        if now.status.final:
            return
        shown = html


def _anew(view: JobView) -> JobView | None:
    with reading() as session:
        return next(iter(jobs.watched(session, [view.id])), None)
