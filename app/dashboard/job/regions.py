"""A region of a job's page: rendered anew as the job moves, and while it stands still."""

import time
from collections.abc import Callable, Iterator
from functools import partial

from flask import Response

from app.core.reading import jobs
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.dashboard import live
from app.dashboard.blueprint import fragment
from app.dashboard.job import frame
from app.dashboard.live import Region
from app.web.auth import caller
from models.session import reading

Render = Callable[[JobView], str]


def stream(view: JobView, tab: str, every: float, render: Render) -> Response:
    """The region's HTML where it changed, at most once in `every` seconds, and when the job has ended.

    With it comes what changes around it: what can be done to the job, and how many of its records failed.
    """

    def whole(job: JobView) -> str:
        return render(job) + fragment("job/new_head.html", **frame.values(job, tab))

    return live.stream(_regions(view, every, whole, caller().key_id))


def _regions(view: JobView, every: float, render: Render, key_id: int | None) -> Iterator[Region]:
    shown, rendered_at = "", float("-inf")
    for event in follow(view, view.seq, key_id):
        if time.monotonic() - rendered_at < live.pace(every) and not (event is not None and event.last):
            yield Region()
            continue
        found = yield from live.in_turn(partial(_render_anew, view, render))
        rendered_at = time.monotonic()
        if found is None:
            return  # it was deleted: who asks again is told so
        now, html = found
        yield Region(None if html == shown else html, is_last=now.status.final)
        if now.status.final:
            return
        shown = html


def _render_anew(view: JobView, render: Render) -> tuple[JobView, str] | None:
    """The job now, and its region; None when it was deleted."""
    with reading() as session:
        now = next(iter(jobs.watched(session, [view.id])), None)
    return None if now is None else (now, render(now))
