"""What comes out of the native contract, as the OpenAPI document shows it. Nothing is written by these."""

from typing import Any, get_args

import marshmallow as ma
from marshmallow import fields, validate

from app.core.money.calibration import SAME_MODEL, SAME_REQUEST
from app.core.money.usage import Grouping
from app.core.reading.records import WORDS
from models.job import JobStatus


class CountsOut(ma.Schema):
    """Where the records are."""

    pending = fields.Integer(required=True)
    running = fields.Integer(required=True)
    succeeded = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    cancelled = fields.Integer(required=True)
    expired = fields.Integer(required=True)


class UsageOut(ma.Schema):
    """Tokens."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    cache_read_tokens = fields.Integer(required=True)
    cache_write_tokens = fields.Integer(required=True)


class LinksOut(ma.Schema):
    self = fields.String(required=True)
    records = fields.String(required=True)
    results = fields.String(required=True)
    events = fields.String(required=True)


def _time(**metadata: Any) -> fields.String:
    example = "2026-11-22T10:15:00.123456Z"
    return fields.String(
        required=True, allow_none=True, metadata={"format": "date-time", "example": example, **metadata}
    )


def _dollars(description: str) -> fields.String:
    return fields.String(
        required=True, allow_none=True, metadata={"example": "0.0123", "description": description}
    )


class JobOut(ma.Schema):
    """A job."""

    id = fields.String(required=True, metadata={"format": "uuid"})
    name = fields.String(required=True, allow_none=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf([status.value for status in JobStatus if status != JobStatus.STAGING]),
        metadata={"description": "`completed`: every record has ended; `counts` says how."},
    )
    status_reason = fields.String(required=True, allow_none=True)
    created_by = fields.String(required=True, metadata={"description": "The key's user."})
    model = fields.String(
        required=True, allow_none=True, metadata={"description": "null: its documents are only stored."}
    )
    priority = fields.Integer(required=True)
    total = fields.Integer(required=True)
    counts = fields.Nested(CountsOut, required=True)
    progress = fields.Float(required=True, metadata={"description": "0 to 1."})
    eta = _time(description="When it ends if it goes on as it went lately.")
    limited_by = fields.String(
        required=True, allow_none=True, metadata={"description": "Why it goes no faster, if anything."}
    )
    usage = fields.Nested(UsageOut, required=True)
    cost = _dollars("USD of all answers; null when one of them, or the model, has no price.")
    cost_unconfirmed = _dollars("USD that calls without an answer may have cost beside it, at most.")
    max_cost = _dollars("USD.")
    warnings = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What its owner should know, such as a model that has no price."},
    )
    created_at = _time()
    updated_at = _time()
    started_at = _time()
    ended_at = _time()
    expires_at = _time()
    skipped_rows = fields.List(
        fields.Integer(), required=True, allow_none=True, metadata={"description": "Wholly empty rows."}
    )
    metadata = fields.Dict(required=True)
    links = fields.Nested(LinksOut, required=True)


class JobPage(ma.Schema):
    data = fields.List(fields.Nested(JobOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class TokensByCaseOut(ma.Schema):
    low = fields.Integer(required=True)
    likely = fields.Integer(required=True)
    high = fields.Integer(required=True)


class DollarsByCaseOut(ma.Schema):
    low = _dollars("USD.")
    likely = _dollars("USD.")
    high = _dollars("USD.")


class SecondsByCaseOut(ma.Schema):
    low = fields.Float(required=True)
    likely = fields.Float(required=True)
    high = fields.Float(required=True)


class BasisOut(ma.Schema):
    """What a quote rests on."""

    calibrated = fields.Boolean(required=True)
    by = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([SAME_REQUEST, SAME_MODEL]),
        metadata={"description": "What the job that it was calibrated by has in common with this."},
    )
    job = fields.String(required=True, allow_none=True, metadata={"format": "uuid"})
    answers = fields.Integer(required=True, metadata={"description": "Of that job, that were looked at."})
    text = fields.String(required=True, metadata={"description": "The same in a sentence."})


class QuoteOut(ma.Schema):
    """What a job is going to cost. `low` and `high` are as if each answer were a short or a long one."""

    model = fields.String(required=True)
    records = fields.Integer(required=True)
    duplicates = fields.Integer(
        required=True, metadata={"description": "Records that ask the same as an earlier one."}
    )
    skipped_rows = fields.List(
        fields.Integer(), required=True, allow_none=True, metadata={"description": "Wholly empty rows."}
    )
    input_tokens = fields.Nested(TokensByCaseOut, required=True)
    output_tokens = fields.Nested(TokensByCaseOut, required=True)
    cost = fields.Nested(
        DollarsByCaseOut,
        required=True,
        allow_none=True,
        metadata={"description": "null when the model has no price."},
    )
    duration_seconds = fields.Nested(
        SecondsByCaseOut,
        required=True,
        metadata={"description": "Under the limits and the queue as they are; `low` without the queue."},
    )
    limited_by = fields.String(
        required=True,
        metadata={
            "description": "Why it takes so long: `requests`, `input_tokens`, `output_tokens`,"
            " `concurrency`, `workers`."
        },
    )
    queued_records = fields.Integer(
        required=True,
        metadata={"description": "Of other jobs, asked before the last one of this in fair turns."},
    )
    basis = fields.Nested(BasisOut, required=True)
    warnings = fields.List(fields.String(), required=True)


class RecordError(ma.Schema):
    type = fields.String(required=True)
    message = fields.String(required=True, allow_none=True)


class RecordOut(ma.Schema):
    """A record with its outcome."""

    id = fields.String(required=True, metadata={"format": "uuid"})
    index = fields.Integer(required=True)
    custom_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    attempts = fields.Integer(required=True)
    response = fields.Dict(
        required=True, allow_none=True, metadata={"description": "The provider's answer as it came."}
    )
    error = fields.Nested(RecordError, required=True, allow_none=True)
    usage = fields.Nested(UsageOut, required=True, allow_none=True)
    cost = _dollars("USD of all its answers.")
    latency_ms = fields.Integer(required=True, allow_none=True)
    started_at = _time()
    ended_at = _time()


class RecordPage(ma.Schema):
    data = fields.List(fields.Nested(RecordOut), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "A page may end before `limit` when its answers are long."},
    )


class AuditEventOut(ma.Schema):
    """What was done to a resource."""

    event_id = fields.String(required=True, metadata={"format": "uuid"})
    tenant_id = fields.String(required=True, metadata={"format": "uuid"})
    event_type = fields.String(required=True, metadata={"example": "DOCUMENT_INGESTED"})
    resource_type = fields.String(required=True, metadata={"example": "document"})
    resource_id = fields.String(required=True, metadata={"description": "Of a document its `file_id`."})
    details = fields.Dict(required=True)
    created_at = _time()


class AuditPage(ma.Schema):
    data = fields.List(fields.Nested(AuditEventOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class CallsOut(ma.Schema):
    """Calls that left."""

    answered = fields.Integer(required=True)
    unconfirmed = fields.Integer(required=True, metadata={"description": "Without an answer."})


class TokensOut(ma.Schema):
    """Tokens of answers, each kind that is priced by itself."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    cache_read_tokens = fields.Integer(required=True)
    cache_write_5m_tokens = fields.Integer(required=True)
    cache_write_1h_tokens = fields.Integer(required=True)


class SumsOut(ma.Schema):
    """What calls came to."""

    calls = fields.Nested(CallsOut, required=True)
    usage = fields.Nested(TokensOut, required=True)
    server_tool_uses = fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "By tool."}
    )
    cost = _dollars("USD of answers; null when one of them has no price.")
    unpriced = fields.Integer(required=True, metadata={"description": "Answers that have no price."})
    cost_unconfirmed = _dollars("USD that calls without an answer may have cost beside it, at most.")


class GroupOut(SumsOut):
    """One of the first three, as `group_by` says."""

    model = fields.String()
    day = fields.String(metadata={"format": "date", "description": "In UTC."})
    job = fields.String(metadata={"format": "uuid"})


class UsagePage(ma.Schema):
    class Meta:
        include = {  # noqa: RUF012 - marshmallow's own way to a field with a keyword's name
            "from": _time(),
            "to": _time(description="The first moment that is not part of it."),
        }

    group_by = fields.String(required=True, validate=validate.OneOf(get_args(Grouping)))
    data = fields.List(fields.Nested(GroupOut), required=True)
    total = fields.Nested(SumsOut, required=True, metadata={"description": "Of all groups of all pages."})
    next_cursor = fields.String(required=True, allow_none=True)


class MeOut(ma.Schema):
    """Whom the key acts for."""

    tenant_id = fields.String(required=True, metadata={"format": "uuid"})
    tenant = fields.String(required=True)
    user_id = fields.String(required=True)
    key = fields.String(required=True, metadata={"description": "The key's prefix."})
    scopes = fields.List(fields.String(), required=True)


class KeyOut(ma.Schema):
    id = fields.String(required=True, metadata={"format": "uuid"})
    name = fields.String(required=True)
    user_id = fields.String(required=True)
    prefix = fields.String(required=True)
    scopes = fields.List(fields.String(), required=True)
    created_at = _time()
    revoked_at = _time()


class NewKeyOut(KeyOut):
    key = fields.String(required=True, metadata={"description": "The key itself. It is never shown again."})


class KeyList(ma.Schema):
    data = fields.List(fields.Nested(KeyOut), required=True)


class FigureOut(ma.Schema):
    figure = fields.Integer(
        required=True, allow_none=True, metadata={"description": "null: no limit is known"}
    )
    source = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["set", "configured", "learned", "assumed"]),
        metadata={
            "description": "by PUT; by the environment or a file; by the provider's answers; by nobody"
        },
    )


class AllowedOut(ma.Schema):
    requests_per_minute = fields.Nested(FigureOut, required=True)
    input_tokens_per_minute = fields.Nested(FigureOut, required=True)
    output_tokens_per_minute = fields.Nested(FigureOut, required=True)
    max_concurrent_calls = fields.Nested(FigureOut, required=True)


class UsedOut(ma.Schema):
    """Within the last minute, what is in flight by its estimate."""

    requests = fields.Integer(required=True)
    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    calls_in_flight = fields.Integer(required=True)


class WaitingOut(ma.Schema):
    id = fields.String(required=True, metadata={"format": "uuid"})
    name = fields.String(required=True, allow_none=True)
    priority = fields.Integer(required=True)


class LimitGroupOut(ma.Schema):
    """Models that share limits, and the jobs that share the group."""

    group = fields.String(required=True)
    allowed = fields.Nested(AllowedOut, required=True)
    used = fields.Nested(UsedOut, required=True, allow_none=True, metadata={"description": "null: no Redis"})
    ramp = fields.Float(
        required=True, allow_none=True, metadata={"description": "The share that a ramp limit leaves."}
    )
    limited_by = fields.String(required=True, allow_none=True)
    held_until = _time(description="The next probe of a group that was refused.")
    waiting = fields.List(fields.Nested(WaitingOut), required=True)
    waiting_of_others = fields.Integer(required=True, metadata={"description": "Jobs of other tenants."})


class LimitList(ma.Schema):
    data = fields.List(fields.Nested(LimitGroupOut), required=True)


class HealthOut(ma.Schema):
    status = fields.String(required=True)


class ReadyOut(HealthOut):
    degraded = fields.List(
        fields.String(), required=True, metadata={"description": "What is away; submitting works without it."}
    )


class TextsOut(ma.Schema):
    prompt = fields.String(required=True)
    system = fields.String(required=True, allow_none=True)


class PromptOverrideOut(ma.Schema):
    """A user's own texts."""

    name = fields.String(required=True)
    prompt = fields.String(required=True, allow_none=True, metadata={"description": "null: as shipped."})
    system = fields.String(required=True, allow_none=True, metadata={"description": "null: as shipped."})
    shipped = fields.Nested(TextsOut, required=True)
    updated_at = _time()
