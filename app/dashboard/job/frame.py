"""What all views of one job share: its name, its tabs, and regions that follow it while it runs."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from flask import Response, stream_with_context

from app.core.reading.follow import follow
from app.core.reading.jobs import JobView
from app.dashboard import live
from app.dashboard.blueprint import PREFIX
from app.errors import BadInput
from app.ingest.values import whole_number
from app.web.auth import caller

JOBS: Final = f"{PREFIX}/jobs"


def address(view: JobView) -> str:
    """The path of the job's page; its other views are below it."""
    return f"{JOBS}/{view.uid}"


def values(view: JobView, tab: str) -> dict[str, Any]:
    """What templates of a job's views have: the job, the path of its page, and which of its tabs this is."""
    return {"job": view, "base": address(view), "tab": tab, "title": view.name or f"Job {view.uid}"}


def index_behind(text: str | None) -> int | None:
    """The index behind which a page begins, from its address; None for the first page."""
    if not text:
        return None
    index = whole_number(text)
    if index is None or not 0 <= index < 2**31:
        raise BadInput(f"a page begins behind the index of a record, not behind {text[:40]!r}")
    return index


def following(view: JobView, render: Callable[[JobView], str], pause: float) -> Response:
    """A region of a page, rendered again whenever the job has moved, at most every `pause` seconds."""
    key_id = caller().key_id
    regions: Any = _regions(view, render, pause, key_id)
    return live.stream(stream_with_context(regions))


def _regions(
    view: JobView, render: Callable[[JobView], str], pause: float, key_id: int | None
) -> Iterator[str | None]:
    """What moves within a pause waits for its end: the next event, or a heartbeat, shows it."""
    shown, at = "", float("-inf")
    waiting: JobView | None = None
    for event in follow(view, None, key_id):
        if event is not None:
            waiting = event.view or waiting
        is_last = event is not None and event.last
        if waiting is None or (time.monotonic() - at < pause and not is_last):
            yield None
            continue
        html = yield from live.in_turn(partial(render, waiting))
        at = time.monotonic()
        waiting = None
        yield None if html == shown else html
        shown = html
