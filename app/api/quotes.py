"""The quote: what a submission would cost, before it is submitted."""

from typing import Any

from flask import request

from app.api.blueprint import Blueprint
from app.api.intake import take_in
from app.api.response_schemas import QuoteOut
from app.api.submissions import BODY
from app.core.accounts.api_keys import WRITE
from app.core.money import pricing
from app.core.money.quote import Quote, quote
from app.ingest.spool import DraftSpool
from app.services.submission import Options
from app.web.auth import caller, needs
from app.web.large_bodies import FORM, JSON, UPLOAD, WITH_DOCUMENTS, takes
from config import settings

blp = Blueprint("quotes", "What a submission would cost.")


@blp.route("/jobs/estimate", methods=["POST"])
@needs(WRITE, 413, 415, 422, 503)
@blp.doc(requestBody=BODY)
@blp.response(200, QuoteOut, description="Nothing was stored.")
@takes({JSON: WITH_DOCUMENTS, FORM: UPLOAD})
def estimate_job() -> dict[str, Any]:
    """Quote a job's tokens, cost and time.

    The request is the same as for submitting, and so are its errors. Figures are calibrated with the tenant's
    own answers from the model, if there are any.
    """
    with DraftSpool(settings.current().data) as spool:
        received = take_in(request, spool, None)
        found = quote(caller().tenant_id, spool, received.defaults)
    return _out(found, received.options)


def _out(found: Quote, options: Options) -> dict[str, Any]:
    by, skipped = found.calibration, options.skipped
    told = options.form and options.form.warning
    return {
        "model": found.model,
        "records": found.records,
        "duplicates": found.duplicates,
        "skipped_rows": None if skipped is None else list(skipped),
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cost": found.cost and {case: pricing.dollars(cost) for case, cost in found.cost.items()},
        "duration_seconds": {case: round(seconds, 1) for case, seconds in found.seconds.items()},
        "limited_by": found.limited_by,
        "queued_records": found.queued,
        "basis": {
            "calibrated": by.job is not None,
            "by": by.same,
            "job": None if by.job is None else str(by.job),
            "answers": by.answers,
            "text": found.basis,
        },
        "warnings": [*found.warnings, *([told] if told else ())],
    }
