"""Analyses: batches of records, their status, and single records."""

from collections.abc import Sequence
from typing import Any

from flask import Response

from app.core.accounts.api_keys import READ, WRITE
from app.core.money import usage
from app.core.reading import jobs, records
from app.core.reading.answers import failure
from app.core.reading.job_json import PREFIX, cost
from app.dialects.analyze import wire
from app.dialects.analyze.schemas import (
    AcceptedOut,
    AnalysisOut,
    BatchIn,
    JobQuery,
    JobsOut,
    RecordIn,
    StatusOut,
)
from app.errors import Unanswered, Unavailable
from app.ingest.draft import Defaults
from app.providers import registry
from app.services import submission
from app.services.options import Options, Repeat
from app.services.submission import Submitted
from app.web import bodies, capacity, idempotency, openapi
from app.web.answers import answer_with
from app.web.auth import caller, needs
from app.web.blueprint import Blueprint
from app.web.error_shapes import DetailOut, InvalidOut
from app.web.job_lookup import find_job, find_submitted
from app.web.large_bodies import JSON, PLAIN, takes
from config import settings
from models.record import RecordStatus
from models.session import reading

PREFIXES = (f"{PREFIX}/batch", f"{PREFIX}/analyze")

blp = Blueprint(
    "analyze",
    __name__,
    errors=DetailOut,
    invalid=InvalidOut,
    lenient=True,
    url_prefix=PREFIX,
    description=f"{openapi.OTHERS} Analyses of records and notes.",
)


RECORD = {
    "structured_data": {"data": {"pressure_bar": 7.2, "valve": "open"}},
    "notes": ["The valve was hard to turn."],
}


@blp.route("/batch/analyze", methods=["POST"])
@needs(WRITE, 409, 413, 415, 422, 429, 503)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, BatchIn, {"records": [RECORD]})),
    parameters=[idempotency.DESCRIPTION],
)
@blp.response(202, AcceptedOut)
@takes({JSON: PLAIN})
def analyze_batch() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Submit records for analysis; results come with the status."""
    with bodies.json_body() as body:
        known = bodies.known(BatchIn(), body)
        asked = bodies.load(BatchIn(), known)
        made = _submit(asked["records"], idempotency.repeat(known), asked.get("webhook_url"))
    view = find_submitted(made)
    return wire.write_accepted(view), 202, {"Location": f"{PREFIX}/batch/{view.uid}/status"}


@blp.route("/batch/<job_id>/status", methods=["GET"])
@needs(READ, 404, 503)
@blp.response(200, StatusOut)
def get_status(job_id: str) -> Response:
    """Get the status of a batch, with the results so far."""
    view = find_job(job_id)
    with reading() as session:
        used = usage.of_successes(session, [view.id])
    content = wire.write_status(view, used.get(view.id, 0), cost(view))
    return answer_with(content, "results", wire.results(records.ended(view)), view.total)


@blp.route("/batch/jobs", methods=["GET"])
@needs(READ)
@blp.arguments(JobQuery, location="query")
@blp.response(200, JobsOut)
def list_jobs(query: dict[str, int]) -> dict[str, Any]:
    """List jobs, newest first."""
    with reading() as session:
        found = jobs.page(session, caller().tenant_id, None, query["limit"])
        used = usage.of_successes(session, [view.id for view in found])
    return {"jobs": [wire.write_listed(view, used.get(view.id, 0)) for view in found]}


@blp.route("/analyze", methods=["POST"])
@needs(WRITE, 409, 413, 415, 422, 429, 502, 503)
@blp.doc(
    requestBody=openapi.request_body((openapi.JSON, RecordIn, RECORD)), parameters=[idempotency.DESCRIPTION]
)
@blp.response(200, AnalysisOut)
@takes({JSON: PLAIN})
def analyze_one() -> dict[str, Any]:
    """Analyse one record and return the analysis.

    A 502 says why the model returned no analysis. When it takes longer than BATCH_PROCESS_WAIT_SECONDS, the
    response is a 503, and the analysis continues as the job in the header Penstock-Job.
    """
    with bodies.json_body() as body:
        known = bodies.known(RecordIn(), body)
        made = _submit([bodies.load(RecordIn(), known)], idempotency.repeat(known))
    view = find_submitted(made)
    if capacity.wait_for_end(view, settings.current().batch_process_wait):
        view = find_submitted(made)
    if not view.status.final:
        raise Unavailable(
            f"the analysis is still running: GET {PREFIX}/batch/{view.uid}/status", retry_after=5
        )
    [record] = records.ended(view)
    if record.answer is None or record.status is not RecordStatus.SUCCEEDED:
        raise Unanswered(failure(record))
    return wire.write_response(record.answer, record.usage)


def _submit(
    records: Sequence[dict[str, Any]], repeat: Repeat | None, webhook_url: str | None = None
) -> Submitted:
    chosen, me = settings.current(), caller()
    registry.require(chosen.default_model, chosen)
    defaults = Defaults(chosen.default_model, chosen.default_max_tokens, operations=wire.operation())
    drafts = wire.drafts(records, defaults)
    bound = registry.promised_concurrency(defaults.model, chosen)
    options = Options(max_concurrent=bound, webhook_url=webhook_url, repeat=repeat)
    return submission.submit_drafts(me.tenant_id, me.user_id, drafts, defaults, options)
