"""Submitting: the route that creates jobs."""

import re
from dataclasses import replace
from typing import Any

from flask import request

from app.api.blueprint import Blueprint
from app.api.request_schemas import JobIn, Upload
from app.api.response_schemas import JobOut
from app.core.accounts.api_keys import WRITE
from app.core.documents.upload import receiving
from app.core.reading import job_json
from app.ingest.spool import DraftSpool
from app.services import runs, submission
from app.web import idempotency, openapi
from app.web.auth import caller, needs
from app.web.capacity import wait_for_end
from app.web.job_lookup import find_submitted
from app.web.large_bodies import FORM, JSON, UPLOAD, WITH_DOCUMENTS, takes
from app.web.submissions.intake import take_in
from config import settings

LONGEST_WAIT = 60  # seconds that a caller may ask to wait

_WAIT = re.compile(r'wait="?(\d{1,9})"?', re.IGNORECASE | re.ASCII)

blp = Blueprint("submissions", "Submitting records.")

RECORDS = {
    "model": "simulated",
    "records": [
        {"custom_id": "sky", "prompt": "Why is the sky blue?"},
        {"custom_id": "prime", "prompt": "Name a prime number."},
    ],
}
TABLE = {
    "file": "id,review\n1,It came home every time.\n2,The handle is too hot.\n",
    "model": "simulated",
    "template": "Summarise: {{ review }}",
}
BODY = openapi.request_body((openapi.JSON, JobIn, RECORDS), (openapi.FORM, Upload, TABLE))

_DOCUMENTED = {
    "requestBody": BODY,
    "parameters": [
        idempotency.DESCRIPTION,
        {
            "in": "header",
            "name": "Prefer",
            "schema": {"type": "string"},
            "example": "wait=10",
            "description": "`wait=N`: respond when the job has ended, or after N seconds (at most 60).",
        },
    ],
}


@blp.route("/jobs", methods=["POST"])
@needs(WRITE, 409, 413, 415, 422, 429, 503)
@blp.doc(**_DOCUMENTED)
@blp.response(202, JobOut, description="The job is stored and will run.")
@blp.alt_response(200, schema=JobOut, description="With `Prefer: wait`: the job has ended.")
@takes({JSON: WITH_DOCUMENTS, FORM: UPLOAD})
def submit_job() -> tuple[dict[str, Any], int, dict[str, str]]:
    """Submit a job.

    Its records come as JSON, as a file, or as documents. If the input has errors, all of them are returned,
    each with its position, and nothing is stored.
    """
    sending, wait = idempotency.sending(request.headers), _wait()
    me = caller()
    with DraftSpool(settings.current().data) as spool, receiving(me.tenant_uid) as upload:
        received = take_in(request, spool, sending, upload)
        options = replace(received.options, runs_with=runs.named(request.headers.get(runs.HEADER)))
        submitted = submission.submit(me.tenant_id, me.user_id, spool, received.defaults, options, upload)
    view = find_submitted(submitted)
    waited = wait is not None and wait_for_end(view, wait)
    if waited:
        view = find_submitted(submitted)
    job = job_json.jobs_out([view])[0]
    headers = {"Location": job["links"]["self"]}
    if waited:
        headers["Preference-Applied"] = f"wait={wait}"
    if not submitted.created:
        headers["Idempotency-Replayed"] = "true"
    return job, 200 if waited and view.status.final else 202, headers


def _wait() -> int | None:
    """Seconds that the caller prefers to wait for the job to end."""
    preferences = ",".join(request.headers.getlist("Prefer")).split(",")
    for preference in preferences:
        found = _WAIT.fullmatch(preference.partition(";")[0].strip())
        if found:
            return min(int(found[1]), LONGEST_WAIT)
    return None
