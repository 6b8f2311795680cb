"""Responses of the native contract: what routes return is dumped with these, and OpenAPI shows them.

Records and events are written without, as there may be a million of them.
"""

from typing import Any, get_args

import marshmallow as ma
from marshmallow import fields, validate

from app.api.saving_schemas import CachedOut, RepairsOut, ReusedFromOut, SavedOut
from app.core.money.calibration import SAME_MODEL, SAME_REQUEST
from app.core.money.usage import Grouping
from app.core.reading.job_json import REPAIRS
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
    """Token counts."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    cache_read_tokens = fields.Integer(required=True)
    cache_write_tokens = fields.Integer(required=True)


class LinksOut(ma.Schema):
    self = fields.String(required=True)
    records = fields.String(required=True)
    results = fields.String(required=True)
    events = fields.String(required=True)


def _time(*, data_key: str | None = None, **metadata: Any) -> fields.String:
    shown = {"format": "date-time", "example": "2026-11-22T10:15:00.123456Z", **metadata}
    return fields.String(required=True, allow_none=True, data_key=data_key, metadata=shown)


class ObstacleOut(ma.Schema):
    """Why the provider serves no calls now."""

    message = fields.String(
        required=True, metadata={"description": "What it said, which address was asked, and what to mend."}
    )
    address = fields.String(
        required=True, allow_none=True, metadata={"description": "That was asked, without its query."}
    )
    variable = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The setting to mend; null where it passes by itself."},
    )
    next_try_at = _time(description="When one call tries again; null: now.")


def _obstacle() -> fields.Nested:
    return fields.Nested(
        ObstacleOut,
        required=True,
        allow_none=True,
        metadata={"description": "null unless `limited_by` names the account, the provider or its address."},
    )


def _dollars(description: str) -> fields.String:
    return fields.String(
        required=True, allow_none=True, metadata={"example": "0.0123", "description": description}
    )


def _stop_reasons() -> fields.Dict:
    return fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "Records that ended with an answer, by its `stop_reason`: `max_tokens` and"
            " `model_context_window_exceeded` were cut, `refusal` was refused.",
            "example": {"end_turn": 900, "max_tokens": 12},
        },
    )


def _rate() -> fields.String:
    return fields.String(required=True, metadata={"example": "1.00"})


class DollarsByCaseOut(ma.Schema):
    low = _dollars("USD.")
    likely = _dollars("USD.")
    high = _dollars("USD.")


class JobOut(ma.Schema):
    """A job."""

    id = fields.String(required=True, metadata={"format": "uuid"})
    name = fields.String(required=True, allow_none=True)
    status = fields.String(
        required=True,
        validate=validate.OneOf([status.value for status in JobStatus if status != JobStatus.STAGING]),
        metadata={"description": "`completed`: every record has ended; see `counts` for how."},
    )
    status_reason = fields.String(required=True, allow_none=True)
    created_by = fields.String(required=True, metadata={"description": "The key's user."})
    model = fields.String(
        required=True, allow_none=True, metadata={"description": "null when its documents are only stored."}
    )
    max_tokens = fields.Integer(
        required=True, metadata={"description": "Of each answer, unless its record sets it."}
    )
    priority = fields.Integer(required=True)
    total = fields.Integer(required=True)
    counts = fields.Nested(CountsOut, required=True)
    progress = fields.Float(required=True, metadata={"description": "0 to 1."})
    eta = _time(description="The expected end at the recent pace.")
    limited_by = fields.String(
        required=True, allow_none=True, metadata={"description": "What limits its pace, if anything."}
    )
    stop_reasons = _stop_reasons()
    limited_by_detail = _obstacle()
    usage = fields.Nested(UsageOut, required=True)
    cost = _dollars("USD of all answers; null when one of them, or the model, has no price.")
    cost_unconfirmed = _dollars("USD that calls without an answer may have cost on top, at most.")
    max_cost = _dollars("USD.")
    cost_remaining = _dollars(
        "USD that the records which have not ended may still cost, about and at most; null where that is not"
        " known."
    )
    reused = fields.Integer(
        required=True, metadata={"description": "Records that have the answer of an earlier job."}
    )
    repairs = fields.Nested(RepairsOut, required=True)
    saved = fields.Nested(SavedOut, required=True)
    try_first = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "So many records are asked first; then the job pauses until it is resumed."},
    )
    tried_at = _time(description="When those had ended.")
    forecast = fields.Nested(
        DollarsByCaseOut,
        required=True,
        allow_none=True,
        metadata={"description": "USD of the whole job, by the answers to the records that it was tried on."},
    )
    warnings = fields.List(
        fields.String(),
        required=True,
        metadata={"description": "What its owner should know of its table, its model's price and the like."},
    )
    created_at = _time()
    updated_at = _time()
    started_at = _time()
    ended_at = _time()
    expires_at = _time()
    skipped_rows = fields.List(
        fields.Integer(),
        required=True,
        allow_none=True,
        metadata={"description": "Rows that are not asked: blank ones, totals and repeated headers."},
    )
    metadata = fields.Dict(required=True)
    links = fields.Nested(LinksOut, required=True)


class RetriedOut(JobOut):
    """A job that runs again."""

    left = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={
            "description": "Records that are not run again, by how they ended: the same request would be cut"
            " or refused again.",
            "example": {"refused": 2},
        },
    )


class JobPage(ma.Schema):
    data = fields.List(fields.Nested(JobOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class TokensByCaseOut(ma.Schema):
    low = fields.Integer(required=True)
    likely = fields.Integer(required=True)
    high = fields.Integer(required=True)


class SecondsByCaseOut(ma.Schema):
    low = fields.Float(required=True)
    likely = fields.Float(required=True)
    high = fields.Float(required=True)


class BasisOut(ma.Schema):
    """What a quote is based on."""

    calibrated = fields.Boolean(required=True)
    by = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf([SAME_REQUEST, SAME_MODEL]),
        metadata={"description": "What this job has in common with the one used for calibration."},
    )
    job = fields.String(required=True, allow_none=True, metadata={"format": "uuid"})
    answers = fields.Integer(
        required=True, metadata={"description": "The number of that job's answers that were used."}
    )
    text = fields.String(required=True, metadata={"description": "The same in a sentence."})


class QuoteOut(ma.Schema):
    """What a job would cost. `low` and `high` assume short or long answers throughout."""

    model = fields.String(required=True)
    records = fields.Integer(required=True)
    duplicates = fields.Integer(
        required=True, metadata={"description": "Records with the same request as an earlier one."}
    )
    reused = fields.Integer(
        required=True,
        metadata={
            "description": "Further records, which have the answer of an earlier job and cost nothing: no"
            " other figure counts them."
        },
    )
    copies = fields.Integer(
        required=True,
        metadata={
            "description": "Further records, which ask the same as another with `dedupe` and cost nothing: no"
            " other figure counts them."
        },
    )
    first_prompt = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "What the first record asks: 2,000 characters of its last message."},
    )
    skipped_rows = fields.List(
        fields.Integer(),
        required=True,
        allow_none=True,
        metadata={"description": "Rows that are not asked: blank ones, totals and repeated headers."},
    )
    input_tokens = fields.Nested(TokensByCaseOut, required=True)
    output_tokens = fields.Nested(TokensByCaseOut, required=True)
    saved = fields.Nested(
        CachedOut, required=True, metadata={"description": "What is likely not paid; `cost` is without it."}
    )
    cost = fields.Nested(
        DollarsByCaseOut,
        required=True,
        allow_none=True,
        metadata={"description": "null when the model has no price."},
    )
    duration_seconds = fields.Nested(
        SecondsByCaseOut,
        required=True,
        metadata={"description": "Under the current limits and queue; `low` without the queue."},
    )
    limited_by = fields.String(
        required=True,
        metadata={
            "description": "What determines the duration: `requests`, `input_tokens`, `output_tokens`,"
            " `concurrency`, `workers`."
        },
    )
    queued_records = fields.Integer(
        required=True,
        metadata={
            "description": "Other jobs' records that would run before this job's last one, in fair turns."
        },
    )
    basis = fields.Nested(BasisOut, required=True)
    warnings = fields.List(fields.String(), required=True)


class RatesOut(ma.Schema):
    """USD per million tokens."""

    input = _rate()
    cache_write_5m = _rate()
    cache_write_1h = _rate()
    cache_read = _rate()
    output = _rate()


class LongPromptOut(RatesOut):
    """What every token costs when the prompt is long."""

    over = fields.Integer(required=True, metadata={"description": "Tokens of the prompt."})


class PriceOut(RatesOut):
    """Today's price: USD per million tokens."""

    long_prompt = fields.Nested(
        LongPromptOut, required=True, allow_none=True, metadata={"description": "null: the same."}
    )


class ModelOut(ma.Schema):
    """A model that a job can name."""

    name = fields.String(required=True, metadata={"example": "claude-haiku-4-5"})
    provider = fields.String(required=True, metadata={"example": "anthropic"})
    default = fields.Boolean(required=True, metadata={"description": "Asked by jobs that name none."})
    available = fields.Boolean(required=True, metadata={"description": "Whether it can be asked here now."})
    why_not = fields.String(
        required=True, allow_none=True, metadata={"example": "ANTHROPIC_API_KEY is not set"}
    )
    context = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Tokens of prompt and answer together; null: not known."},
    )
    price = fields.Nested(
        PriceOut, required=True, allow_none=True, metadata={"description": "null: not known, not free."}
    )


class ModelList(ma.Schema):
    data = fields.List(fields.Nested(ModelOut), required=True)


class RecordError(ma.Schema):
    type = fields.String(required=True)
    message = fields.String(required=True, allow_none=True)


class RecordDocumentOut(ma.Schema):
    """What its sender said of a document."""

    file_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As in the hand-off and the audit; null: it was not stored."},
    )
    filename = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    collection = fields.String(required=True, allow_none=True)


class RecordOut(ma.Schema):
    """A record with its outcome."""

    id = fields.String(required=True, metadata={"format": "uuid"})
    index = fields.Integer(required=True)
    custom_id = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(WORDS))
    stop_reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why the answer ended, in the provider's word.", "example": "end_turn"},
    )
    attempts = fields.Integer(required=True)
    response = fields.Dict(
        required=True,
        allow_none=True,
        metadata={
            "description": "The provider's answer, the same JSON. A record that failed as `truncated`,"
            " `refused` or `paused` has it, too."
        },
    )
    error = fields.Nested(RecordError, required=True, allow_none=True)
    usage = fields.Nested(UsageOut, required=True, allow_none=True)
    cost = _dollars("USD of all its answers; null where one has no price or does not say what it took.")
    latency_ms = fields.Integer(required=True, allow_none=True)
    started_at = _time()
    ended_at = _time()
    document = fields.Nested(RecordDocumentOut, metadata={"description": "Only of a document."})
    reused = fields.Boolean(
        metadata={"description": "true: the answer is that of an earlier job, and cost nothing here."}
    )
    reused_from = fields.Nested(ReusedFromOut, metadata={"description": "Only where `reused`: that job."})
    copy_of = fields.Integer(
        metadata={"description": "The index of the record that asks the same, and whose end it shares."}
    )
    value = fields.Raw(
        metadata={"description": "The answer's JSON as the schema has it; only under `fields` or `schema`."}
    )
    repair = fields.String(
        validate=validate.OneOf(REPAIRS),
        metadata={"description": "What made the answer fit its schema, if it did not at once."},
    )


class RecordPage(ma.Schema):
    data = fields.List(fields.Nested(RecordOut), required=True)
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "A page may have fewer than `limit` records when their answers are long."},
    )


class AuditEventOut(ma.Schema):
    """What was done to a resource."""

    event_id = fields.String(required=True, metadata={"format": "uuid"})
    tenant_id = fields.String(required=True, metadata={"format": "uuid"})
    event_type = fields.String(required=True, metadata={"example": "KEY_CREATED"})
    resource_type = fields.String(required=True, metadata={"example": "key"})
    resource_id = fields.String(
        required=True, metadata={"description": "For a key its prefix, for a document its `file_id`."}
    )
    details = fields.Dict(
        required=True,
        metadata={
            "description": "`by`: the `key`, or the `command` on the server, and its `user`; `changed`: each"
            " value before and after. A document has what its sender said of it."
        },
    )
    created_at = _time()


class AuditPage(ma.Schema):
    data = fields.List(fields.Nested(AuditEventOut), required=True)
    next_cursor = fields.String(required=True, allow_none=True)


class CallsOut(ma.Schema):
    """Calls that were sent."""

    answered = fields.Integer(required=True)
    unconfirmed = fields.Integer(
        required=True,
        metadata={"description": "Without an answer, or with one that does not say what it took."},
    )


class TokensOut(ma.Schema):
    """Tokens of answers, by kind as priced."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    cache_read_tokens = fields.Integer(required=True)
    cache_write_5m_tokens = fields.Integer(required=True)
    cache_write_1h_tokens = fields.Integer(required=True)


class SumsOut(ma.Schema):
    """Totals of calls."""

    calls = fields.Nested(CallsOut, required=True)
    usage = fields.Nested(TokensOut, required=True)
    server_tool_uses = fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "By tool."}
    )
    cost = _dollars("USD of answers; null when one of them has no price.")
    unpriced = fields.Integer(required=True, metadata={"description": "Answers that have no price."})
    saved = fields.Nested(CachedOut, required=True)
    cost_unconfirmed = _dollars("USD that calls without an answer may have cost on top, at most.")


class GroupKeyOut(ma.Schema):
    model = fields.String()
    day = fields.String(metadata={"format": "date", "description": "In UTC."})
    job = fields.String(metadata={"format": "uuid"})
    user = fields.String(metadata={"description": "The `user_id` of its keys."})
    key_names = fields.List(
        fields.String(),
        metadata={"description": "Of the 20 newest keys that act for it, each name once."},
    )


class GroupOut(SumsOut, GroupKeyOut):
    """Has one of `model`, `day`, `job` and `user`, as `group_by` says."""


class TotalOut(SumsOut):
    """Totals of all calls, and what the jobs that were submitted in that time saved."""

    saved = fields.Nested(SavedOut, required=True)


class UsagePage(ma.Schema):
    since = _time(data_key="from")
    until = _time(data_key="to", description="The exclusive end.")
    group_by = fields.String(required=True, validate=validate.OneOf(get_args(Grouping)))
    data = fields.List(fields.Nested(GroupOut), required=True)
    total = fields.Nested(TotalOut, required=True, metadata={"description": "Of all groups on all pages."})
    next_cursor = fields.String(required=True, allow_none=True)


class MeOut(ma.Schema):
    """The tenant and user that the key acts for."""

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
    figure = fields.Integer(required=True, allow_none=True, metadata={"description": "null: no known limit"})
    source = fields.String(
        required=True,
        allow_none=True,
        validate=validate.OneOf(["set", "configured", "learned", "assumed"]),
        metadata={
            "description": "set by PUT; configured in the environment or a file; learned from the provider's"
            " responses; assumed by default"
        },
    )


class AllowedOut(ma.Schema):
    requests_per_minute = fields.Nested(FigureOut, required=True)
    input_tokens_per_minute = fields.Nested(FigureOut, required=True)
    output_tokens_per_minute = fields.Nested(FigureOut, required=True)
    max_concurrent_calls = fields.Nested(FigureOut, required=True)


class UsedOut(ma.Schema):
    """Used within the last minute; calls in flight count with their estimate."""

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
    used = fields.Nested(
        UsedOut,
        required=True,
        allow_none=True,
        metadata={
            "description": "By all tenants. null: Redis is down, or the key lacks the scope `operator`."
        },
    )
    ramp = fields.Float(
        required=True, allow_none=True, metadata={"description": "The share that a ramp limit leaves."}
    )
    starts = fields.String(
        required=True,
        validate=validate.OneOf(["burst", "paced"]),
        metadata={
            "description": "`burst`: small jobs leave at once, as far as the last minute has left room."
            " `paced`: the provider refused that: until `paced_until` calls are spread over the minute."
        },
    )
    paced_until = _time(description="null unless `starts` is `paced`.")
    held_until = _time(description="The next probe of a held group.")
    limited_by = fields.String(required=True, allow_none=True)
    limited_by_detail = _obstacle()
    waiting = fields.List(fields.Nested(WaitingOut), required=True)
    waiting_of_others = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Jobs of other tenants; null without the scope `operator`."},
    )


class EndedOut(ma.Schema):
    """Records that have ended: for each its index, its status, its place among those that have ended, and its
    `custom_id`. Later versions may append more.
    """

    records = fields.List(
        fields.List(fields.Raw(metadata={"type": ["integer", "string", "null"]})),
        required=True,
        metadata={"example": [[0, "succeeded", 1, "sky"]]},
    )
    answers = fields.List(
        fields.Nested(RecordOut),
        metadata={"description": "With `include=answers`: the same records, as under `/records`."},
    )


class ProgressOut(ma.Schema):
    """What moves with every answer; as in the job."""

    counts = fields.Nested(CountsOut, required=True)
    progress = fields.Float(required=True)
    eta = _time()
    limited_by = fields.String(required=True, allow_none=True)
    limited_by_detail = _obstacle()
    usage = fields.Nested(UsageOut, required=True)
    cost = _dollars("USD.")
    cost_unconfirmed = _dollars("USD.")


class EventOut(ma.Schema):
    """An event of a job's stream. The data of `snapshot` and `status` is the whole job."""

    id = fields.String(metadata={"description": "For `Last-Event-ID`."})
    event = fields.String(
        required=True, validate=validate.OneOf(["snapshot", "records", "progress", "status"])
    )
    data = fields.String(
        required=True,
        metadata={"contentMediaType": "application/json", "contentSchema": [JobOut, EndedOut, ProgressOut]},
    )


class LimitList(ma.Schema):
    data = fields.List(fields.Nested(LimitGroupOut), required=True)


class HealthOut(ma.Schema):
    status = fields.String(required=True)


class RootHealthOut(HealthOut):
    timestamp = fields.String(required=True, metadata={"format": "date-time"})
    version = fields.String(required=True, metadata={"description": "Penstock's."})


class ReadyOut(HealthOut):
    degraded = fields.List(
        fields.String(), required=True, metadata={"description": "What is down; submitting works without it."}
    )


class TextsOut(ma.Schema):
    prompt = fields.String(required=True)
    system = fields.String(required=True, allow_none=True)


class PromptOverrideOut(ma.Schema):
    """A user's own texts."""

    name = fields.String(required=True)
    prompt = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the built-in one."}
    )
    system = fields.String(
        required=True, allow_none=True, metadata={"description": "null: the built-in one."}
    )
    shipped = fields.Nested(TextsOut, required=True)
    updated_at = _time()
