"""A region of a page about a job's time: rendered anew as the job moves, and while it stands still."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flask import Response, stream_with_context

from app.core.reading import jobs
from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.dashboard import live
from app.web.auth import caller
from models.session import reading

Render = Callable[[JobView], str]


def stream(view: JobView, every: float, render: Render) -> Response:
    """The region's HTML at most once in `every` seconds, and once more when the job has ended."""
    regions: Any = _regions(view, every, render, caller().key_id)
    return live.stream(stream_with_context(regions))


def _regions(view: JobView, every: float, render: Render, key_id: int | None) -> Iterator[str | None]:
    rendered_at = float("-inf")
    for event in follow(view, view.seq, key_id):
        if time.monotonic() - rendered_at < every and not (event is not None and event.last):
            yield None
            continue
        yield (yield from live.in_turn(partial(_render_anew, view, render)))
        rendered_at = time.monotonic()


def _render_anew(view: JobView, render: Render) -> str:
    with reading() as session:
        now = next(iter(jobs.watched(session, [view.id])), view)
    return render(now)
