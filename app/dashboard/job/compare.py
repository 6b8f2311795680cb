"""Two jobs of the same rows side by side: what each took, and first the rows whose answers differ."""

from typing import Any, Final

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import READ
from app.core.reading import jobs
from app.core.reading.details import comparison, record_texts
from app.core.reading.jobs import JobView
from app.dashboard.blueprint import page
from app.dashboard.job import calls, figures, frame
from app.errors import BadInput, NotFound
from app.web.auth import caller, needs
from app.web.job_lookup import find_job
from models.session import reading

ROWS: Final = 20

blp = Blueprint("job_compare", __name__)


@blp.get("/jobs/<job_id>/compare")
@needs(READ)
def compare_jobs(job_id: str) -> Response:
    """The other job is chosen first; it is named in `with`."""
    view, name = find_job(job_id), request.args.get("with", "").strip()
    values = frame.values(view, "compare")
    if not name:
        return _choose(view)
    try:
        with reading() as session:
            other = jobs.find(session, caller().tenant_id, name)
    except NotFound as error:
        return _choose(view, name, error)
    both = [(one, figures.read(one)) for one in (view, other)]
    call = calls.of(other, "/results", query={"format": "jsonl"}, save_as="right.jsonl")
    return page("job/compare.html", **values, **_pairs(view, other), both=both, texts=record_texts, call=call)


def _choose(view: JobView, name: str = "", fault: NotFound | None = None) -> Response:
    """The jobs that may have the same rows; with a fault, no job is called `name`."""
    with reading() as session:
        found = comparison.candidates(session, caller().tenant_id, view)
    return page(
        "job/compare_with.html",
        status=200 if fault is None else fault.status,
        **frame.values(view, "compare"),
        candidates=[(one, figures.read(one)) for one in found],
        name=name,
        fault=fault,
    )


def _pairs(view: JobView, other: JobView) -> dict[str, Any]:
    """A page of rows: `part` is `changed` or `same`."""
    is_gone = view.content_removed_at is not None or other.content_removed_at is not None
    after, part = frame.index_behind(request.args.get("after")), request.args.get("part", "changed")
    if part not in ("changed", "same"):
        raise BadInput(f"a comparison shows what is `changed` or the `same`, not {part[:40]!r}")
    found = comparison.Compared([], None)
    if not is_gone:
        with reading() as session:
            found = comparison.find(session, view, other, after, ROWS, changed=part == "changed")
    return {"other": other, "part": part, "begun": after, "found": found, "is_gone": is_gone}
