"""Before the purchase: the models with their prices, and the quote of a submission."""

from typing import Any

from flask import request

from app.api.blueprint import Blueprint
from app.api.response_schemas import ModelList, QuoteOut
from app.api.submissions import BODY
from app.core.accounts.api_keys import READ, WRITE
from app.core.money import catalog, pricing
from app.core.money.quote import Quote, quote
from app.ingest.spool import DraftSpool
from app.services import submission
from app.services.options import Options
from app.web.auth import caller, needs
from app.web.large_bodies import FORM, JSON, UPLOAD, WITH_DOCUMENTS, takes
from app.web.submissions.intake import take_in
from config import settings

blp = Blueprint("quotes", "What the models cost, and what a submission would cost.")


@blp.route("/models", methods=["GET"])
@needs(READ)
@blp.response(200, ModelList)
def list_models() -> dict[str, Any]:
    """List the models that a job can name, with today's prices, and whether each can be asked here."""
    return {"data": [catalog.write(model) for model in catalog.models(settings.current())]}


@blp.route("/jobs/estimate", methods=["POST"])
@needs(WRITE, 413, 415, 422, 503)
@blp.doc(requestBody=BODY)
@blp.response(200, QuoteOut, description="Nothing was stored.")
@takes({JSON: WITH_DOCUMENTS, FORM: UPLOAD})
def estimate_job() -> dict[str, Any]:
    """Quote a job's tokens, cost and time.

    The request is the same as for submitting, and so are its errors. Figures are calibrated with the tenant's
    own answers from the model, if there are any. The model's provider needs no key for it.
    """
    with DraftSpool(settings.current().data) as spool:
        received = take_in(request, spool, None, asks=False)
        with submission.sparing_of(caller().tenant_id, received.defaults, received.options) as sparing:
            found = quote(caller().tenant_id, spool, received.defaults, sparing)
    return _out(found, received.options)


def _out(found: Quote, options: Options) -> dict[str, Any]:
    by, skipped = found.calibration, options.skipped
    told = options.form and options.form.warning
    return {
        "model": found.model,
        "records": found.records,
        "reused": found.reused,
        "copies": found.copies,
        "first_prompt": found.first_prompt,
        "duplicates": found.duplicates,
        "skipped_rows": None if skipped is None else list(skipped),
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cost": found.cost and {case: pricing.dollars(cost) for case, cost in found.cost.items()},
        "saved": {"prompt_cache": {"tokens": found.cache_reads, "cost": pricing.dollars(found.cache_saved)}},
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
        "warnings": [*options.notes, *found.warnings, *([told] if told else ())],
    }
