"""The wire format of Message Batches: jobs and their records in Anthropic's words. Pure."""

from collections.abc import Mapping
from typing import Any

from app.core import batch_ids
from app.core.json_text import timestamp
from app.core.reading.job_json import Limited, progress_out
from app.core.reading.jobs import JobView
from app.web import error_shapes
from models.job import JobStatus

Json = dict[str, Any]

PREFIX = "/v1/messages/batches"
NEVER = (
    "2999-12-31T23:59:59.999999Z"  # the form has a time for every batch; jobs of other doors may have none
)
# What a record's error is called; one that is not here has a provider's own word, or is an `api_error`.
RECORD_ERRORS: Mapping[str, str] = {
    "invalid_request": "invalid_request_error",
    "invalid_input": "invalid_request_error",
    "unknown_model": "invalid_request_error",
    "schema_error": "invalid_request_error",
    "template_error": "invalid_request_error",
    "over_limit": "invalid_request_error",
    "too_large": "request_too_large",
    "account_refused": "permission_error",
    "rate_limited": "rate_limit_error",
    "overloaded": "overloaded_error",
    "unreachable": "overloaded_error",
    "timeout": "timeout_error",
    "gateway_timeout": "timeout_error",
}
OWN_ERRORS = frozenset({"invalid_request_error", "api_error", *error_shapes.ANTHROPIC_TYPES.values()})
error = error_shapes.anthropic


def batch(view: JobView, limited: Limited, root: str, *, strict: bool) -> Json:
    """A job as a Message Batch. `root` is the server's address; `strict` tells no outcome before the end."""
    uid = batch_ids.write(batch_ids.MESSAGE_BATCH, view.uid)
    has_results = view.content_removed_at is None and (
        view.status.final or (not strict and view.counts.unended < view.total)
    )
    is_cancelled = view.closed_as == JobStatus.CANCELLED
    return {
        "id": uid,
        "type": "message_batch",
        "processing_status": status(view),
        "request_counts": counts(view, strict=strict),
        "created_at": timestamp(view.created_at),
        "expires_at": timestamp(view.expires_at) or NEVER,
        "ended_at": timestamp(view.ended_at),
        "cancel_initiated_at": timestamp(view.closed_at or view.ended_at) if is_cancelled else None,
        "archived_at": timestamp(view.content_removed_at),
        "results_url": f"{root}{PREFIX}/{uid}/results" if has_results else None,
        "penstock": {
            "job_id": str(view.uid),
            "name": view.name,
            "status": view.status.value,
            "status_reason": view.status_reason,
            "model": view.model,
            **progress_out(view, limited),
        },
    }


def status(view: JobView) -> str:
    """This contract's word for a job's status."""
    if view.status.final:
        return "ended"
    is_cancelling = view.status == JobStatus.CANCELLING and view.closed_as != JobStatus.EXPIRED
    return "canceling" if is_cancelling else "in_progress"


def counts(view: JobView, *, strict: bool) -> Mapping[str, int]:
    """How many requests are where; their sum is the batch's size."""
    if strict and not view.status.final:
        return {"processing": view.total, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
    found = view.counts
    lost = found.unended if view.status.final else 0  # of a job that could not run
    return {
        "processing": found.unended - lost,
        "succeeded": found.succeeded,
        "errored": found.failed + lost,
        "canceled": found.cancelled,
        "expired": found.expired,
    }


def record_error(type: str) -> str:
    """This contract's word for a record's error."""
    return type if type in OWN_ERRORS else RECORD_ERRORS.get(type, "api_error")
