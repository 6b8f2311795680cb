"""What all views of one job share: its name, its tabs, and where a page of its records begins."""

from typing import Any, Final

from app.core.reading.jobs import JobView
from app.dashboard import filters
from app.dashboard.blueprint import PREFIX
from app.errors import BadInput
from app.ingest.values import whole_number

JOBS: Final = f"{PREFIX}/jobs"


def address(view: JobView) -> str:
    """The path of the job's page; its other views are below it."""
    return f"{JOBS}/{view.uid}"


def values(view: JobView, tab: str) -> dict[str, Any]:
    """What templates of a job's views have: the job, the path of its page, and which of its tabs this is."""
    return {"job": view, "base": address(view), "tab": tab, "title": filters.called(view)}


def index_behind(text: str | None) -> int | None:
    """The index behind which a page begins, from its address; None for the first page."""
    if not text:
        return None
    index = whole_number(text)
    if index is None or not 0 <= index < 2**31:
        raise BadInput(f"a page begins behind the index of a record, not behind {text[:40]!r}")
    return index
