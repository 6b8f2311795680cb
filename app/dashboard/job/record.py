"""One record: what was asked, what came back, and every call that was made for it."""

import json
from typing import Any, Final

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import READ
from app.core.reading import answers, records
from app.core.reading.details import asked_request, record_attempts, record_texts
from app.core.reading.jobs import JobView
from app.core.reading.records import RecordView
from app.dashboard.blueprint import page
from app.dashboard.job import calls, frame
from app.errors import NotFound
from app.web import cursors
from app.web.auth import needs
from app.web.job_lookup import find_job, with_content
from models.session import reading

MOST: Final = 20_000  # characters of a text that are shown at first
WHOLE: Final = 2_000_000  # and when all of it is asked for

blp = Blueprint("job_record", __name__)


@blp.get("/jobs/<job_id>/records/<int:index>")
@needs(READ)
def show_record(job_id: str, index: int) -> Response:
    """The record and its calls."""
    view = with_content(find_job(job_id))
    if index >= view.total:
        raise NotFound(f"the job has no record {index + 1}: it has {view.total:,}")
    with reading() as session:
        [record] = records.those(session, view, [index], inputs=True)
        asked = asked_request.of(session, view, index)
        history = record_attempts.of(session, view, index)
    cursor = cursors.write(str(index - 1)) if index else None
    return page(
        "job/record.html",
        **frame.values(view, "records"),
        **_texts(view, record, asked),
        record=record,
        asked=asked,
        history=history,
        texts=record_texts,
        most=WHOLE if "whole" in request.args else MOST,
        call=calls.of(view, "/records", query={"limit": 1, "cursor": cursor}),
    )


def _texts(view: JobView, record: RecordView, asked: asked_request.Asked) -> dict[str, Any]:
    """The answer as text and as it came, or why there is none; and the rest of the request."""
    failed = record.error_type is not None or record.status.word in records.CLOSED_WORDS
    return {
        "answer": None if record.answer is None else answers.answer_text(record.answer),
        "raw": None if record.answer is None else record.answer.decode("utf-8", "replace"),
        "failure": answers.reason(record) if failed else None,
        "options": json.dumps(asked.options, indent=2, ensure_ascii=False) if asked.options else None,
    }
