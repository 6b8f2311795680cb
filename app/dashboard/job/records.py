"""A job's records: by status, by the type of their error, or by a text in their prompts and answers."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import READ
from app.core.reading import records
from app.core.reading.details import error_groups, record_search, record_texts
from app.core.reading.details.phrase import Phrase
from app.core.reading.details.record_search import Hit
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dashboard.blueprint import fragment, page
from app.dashboard.job import calls, frame, regions
from app.errors import BadInput
from app.ingest.values import whole_number
from app.web import cursors
from app.web.auth import needs
from app.web.job_lookup import find_job
from models.session import reading

ROWS: Final = 25
EVERY: Final = 1.0  # seconds between two renderings of the rows

blp = Blueprint("job_records", __name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which records are asked for; a page of them begins behind the index `after`."""

    status: str | None
    error: str | None  # a type of errors
    text: str
    phrase: Phrase | None
    after: int | None

    @classmethod
    def read(cls) -> "Asked":
        """From the address; raises `BadInput`."""
        given = request.args
        status = given.get("status") or None
        if status is not None and status not in records.WORDS:
            raise BadInput(f"there is no status {status!r}: choose one of {', '.join(records.WORDS)}")
        text, after = given.get("q", ""), frame.index_behind(given.get("after"))
        return cls(status, given.get("error") or None, text, Phrase.of(text), after)

    def address(self, base: str, **changes: Any) -> str:
        """The path of the same records, changed in these fields."""
        fields = {"status": self.status, "error": self.error, "q": self.text or None, "after": self.after}
        chosen = {name: value for name, value in (fields | changes).items() if value is not None}
        return f"{base}?{urlencode(chosen)}" if chosen else base


@dataclass(frozen=True, slots=True)
class Shown:
    """A page of records; `hits` says of those that a search found where. Others may come behind `after`."""

    records: list[RecordView]
    after: int | None
    hits: dict[int, Hit]


@blp.get("/jobs/<job_id>/records")
@needs(READ)
def list_records(job_id: str) -> Response:
    """A page of records; its rows change while the job runs."""
    view, asked = find_job(job_id), Asked.read()
    call = calls.of(view, "/records", query={"status": asked.status, "limit": ROWS, "cursor": _cursor(asked)})
    return page("job/records.html", **_values(asked, view), call=call)


@blp.get("/jobs/<job_id>/records/live")
@needs(READ)
def follow_records(job_id: str) -> Response:
    """The rows of a page, whenever the job has moved."""
    asked = Asked.read()

    def render(view: JobView) -> str:
        return fragment("job/records_region.html", **_values(asked, view))

    return regions.stream(find_job(job_id), "records", EVERY, render)


def _values(asked: Asked, view: JobView) -> dict[str, Any]:
    values = frame.values(view, "records")
    path = f"{values['base']}/records"
    shown = Shown([], None, {}) if view.content_removed_at is not None else _read(asked, view)
    number = whole_number(asked.text.strip())
    return values | {
        "asked": asked,
        "at": partial(asked.address, path),
        "live": asked.address(f"{path}/live"),
        "shown": shown,
        "records": shown.records,
        "texts": record_texts,
        "number": number if number is not None and 1 <= number <= view.total else None,
    }


def _read(asked: Asked, view: JobView) -> Shown:
    words = records.ALL_WORDS if asked.status is None else frozenset({asked.status})
    if asked.phrase is not None:
        with reading() as session:
            found = record_search.find(session, view, asked.phrase, asked.after, ROWS, words=words)
        return Shown([hit.record for hit in found.hits], found.after, {h.record.idx: h for h in found.hits})
    with records.snapshot() as session:
        if asked.error is not None:
            some = error_groups.page(session, view, asked.error, asked.after, ROWS)
        else:
            some = records.by_index(session, view, asked.after, ROWS, words=words, inputs=True)
    return Shown(some.records, some.after, {})


def _cursor(asked: Asked) -> str | None:
    return None if asked.after is None else cursors.write(str(asked.after))
