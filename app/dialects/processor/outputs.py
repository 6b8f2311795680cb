"""The batch processor's responses, as written and as in the OpenAPI document.

Results, which may be long, are written without them (`app.dialects.processor.wire.result`).
"""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.core.monitoring.analytics import METRICS, PERIODS
from app.dialects.processor.wire import URGENCIES, WORDS


class ErrorOut(ma.Schema):
    """Every error of this contract."""

    error = fields.String(required=True)
    error_id = fields.String(required=True, metadata={"description": "Identifies the error in the log."})
    message = fields.String(
        required=True, metadata={"description": "What was requested, what was found, and what to do."}
    )
    problems = fields.List(
        fields.Dict(), metadata={"description": "For invalid input: `where` and `message`."}
    )
    more = fields.Integer(metadata={"description": "How many more problems there are than those listed."})
    status = fields.String(metadata={"description": "For a 409: the state that the batch is in."})
    quota = fields.String(metadata={"description": "For a 429: which quota is used up."})
    allowed = fields.Integer(metadata={"description": "For a 429: the quota."})
    used = fields.Integer(metadata={"description": "For a 429: how much of it is used."})
    asked = fields.Integer(metadata={"description": "For a 429: how many records this would add."})


def _time(description: str = "") -> fields.String:
    described = {"description": description} if description else {}
    return fields.String(required=True, metadata={"format": "date-time"} | described)


def _word() -> fields.String:
    return fields.String(required=True, validate=validate.OneOf(WORDS))


def _number(description: str, **options: Any) -> fields.Float:
    return fields.Float(required=True, metadata={"description": description}, **options)


def _count(description: str = "") -> fields.Integer:
    metadata = {"description": description} if description else {}
    return fields.Integer(required=True, metadata=metadata)


class SubmittedOut(ma.Schema):
    batch_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.Equal("queued"))
    estimated_completion_time = _time("At the latest when the time limit is over.")
    queue_position = _count("Batches that go first, and this one.")
    request_count = _count()
    warning = fields.String(
        metadata={
            "description": "That the batch is estimated to take longer than its time limit, or that the model"
            " `simulated` invents its outputs; and what to do."
        }
    )


class StatusOut(ma.Schema):
    batch_id = fields.String(required=True)
    status = _word()
    progress = _number("0 to 1.")
    completed_requests = _count("Items that have ended, failed ones included.")
    failed_requests = _count()
    total_requests = _count()
    estimated_completion_time = _time("At the latest when the time limit is over.")
    processing_time_ms = _count()
    error = fields.String(metadata={"description": "Why the batch, or a part of it, has no results."})


class ItemErrorOut(ma.Schema):
    type = fields.String(required=True)
    message = fields.String(required=True)


class ResultOut(ma.Schema):
    """The result of one item."""

    request_id = fields.String(required=True)
    output = fields.Raw(required=True, metadata={"description": "A text, or a model's tensor; null: none."})
    confidence = _number("null where the model gives none.", allow_none=True)
    processing_time_ms = fields.Integer(required=True, allow_none=True)
    error = fields.Nested(ItemErrorOut, required=True, allow_none=True)
    simulated = fields.Boolean(
        validate=validate.Equal(True), metadata={"description": "The model `simulated` invented the output."}
    )


class ResultsMetadataOut(ma.Schema):
    total_processing_time_ms = _count()
    average_per_request_ms = _number("")
    batch_size = _count()
    model = fields.String(required=True, metadata={"description": "The model that the batch was sent to."})
    warning = fields.String(
        metadata={"description": "That the outputs are invented, and what makes them real."}
    )


class ResultsOut(ma.Schema):
    batch_id = fields.String(required=True)
    status = _word()
    results = fields.List(fields.Nested(ResultOut), required=True)
    metadata = fields.Nested(ResultsMetadataOut, required=True)


class ListedOut(ma.Schema):
    batch_id = fields.String(required=True)
    status = _word()
    priority = fields.String(required=True, validate=validate.OneOf(URGENCIES))
    request_count = _count()
    completed_requests = _count()
    created_at = _time()


class BatchesOut(ma.Schema):
    batches = fields.List(fields.Nested(ListedOut), required=True)
    has_more = fields.Boolean(required=True)


class CancelledOut(ma.Schema):
    batch_id = fields.String(required=True)
    status = fields.String(required=True, validate=validate.Equal("cancelled"))


class WeightsOut(ma.Schema):
    critical, high, normal, low = (fields.Float(required=True) for _ in URGENCIES)


class ConfigurationOut(ma.Schema):
    max_batch_size = _count()
    max_wait_time_ms = _count()
    enable_dynamic_batching = fields.Boolean(required=True)
    enable_adaptive_batching = fields.Boolean(required=True)
    priority_weights = fields.Nested(WeightsOut, required=True)


class CurrentOut(ma.Schema):
    """Over the last minute, the batch size over the last hour."""

    active_batches = _count()
    queue_length = _count("Records that wait.")
    average_batch_size = _number("Records of one call.")
    throughput_per_second = _number("Records.")
    average_latency_ms = _number("Of a call.")


class TotalsOut(ma.Schema):
    total_processed = _count("Records, since the start.")
    success_rate = _number("0 to 1; null before the first record.", allow_none=True)
    error_rate = _number("0 to 1; null before the first record.", allow_none=True)
    average_processing_time_ms = _number("Of a call, within the last hour.")


class ResourcesOut(ma.Schema):
    cpu_usage_percent = _number("100 is one core.")
    memory_usage_mb = _number("")
    gpu_usage_percent = _number("null without a GPU.", allow_none=True)
    of = fields.String(required=True, metadata={"description": "What the figures are about."})


class MetricsOut(ma.Schema):
    current_stats = fields.Nested(CurrentOut, required=True)
    performance_stats = fields.Nested(TotalsOut, required=True)
    resource_usage = fields.Nested(ResourcesOut, required=True)


class PointOut(ma.Schema):
    at = _time()
    value = _number("null: nothing to measure.", allow_none=True)


class SeriesOut(ma.Schema):
    """Those that were asked for."""

    class Meta:
        include = {name: fields.List(fields.Nested(PointOut)) for name in METRICS}  # noqa: RUF012 - marshmallow's
        keywords = {"minProperties": 1}  # noqa: RUF012 - the same


class AnalyticsOut(ma.Schema):
    period = fields.String(required=True, validate=validate.OneOf(tuple(PERIODS)))
    metrics = fields.Nested(SeriesOut, required=True)
