"""A job's records with their outcomes, from the first answer on."""

import json
from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.request_schemas import RecordQuery
from app.api.response_schemas import RecordPage
from app.core.accounts.api_keys import READ
from app.core.reading import record_json, records
from app.web import cursors
from app.web.auth import needs
from app.web.job_lookup import find_job, with_content

blp = Blueprint("records", "A job's records with their outcomes.")


@blp.route("/jobs/<job_id>/records", methods=["GET"])
@needs(READ, 404, 410)
@blp.arguments(RecordQuery, location="query")
@blp.response(200, RecordPage)
def list_records(query: dict[str, Any], job_id: str) -> Response:
    """List a job's records by index, optionally only those with `status`."""
    after = cursors.index_after(query["cursor"])
    words = records.ALL_WORDS if query["status"] is None else frozenset({query["status"]})
    view = with_content(find_job(job_id))
    with records.snapshot() as session:
        page = records.by_index(session, view, after, query["limit"], words=words, inputs=view.has_documents)
    data = b",".join(record_json.line(view.uid, record) for record in page.records)
    cursor = json.dumps(None if page.after is None else cursors.write(str(page.after))).encode()
    body = b"".join((b'{"data":[', data, b'],"next_cursor":', cursor, b"}"))
    return Response(body, mimetype="application/json")
