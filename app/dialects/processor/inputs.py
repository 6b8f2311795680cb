"""The inputs of the batch processor's calls, as validated and as in the OpenAPI document."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.core.monitoring.analytics import METRICS, PERIODS
from app.core.pipeline import lookup
from app.dialects.processor.time_limits import INPUTS_MS, LONGEST_MS, SHORTEST_MS
from app.dialects.processor.wire import URGENCIES, WORDS
from app.ingest.values import to_json
from app.web.blueprint import Lenient, Truth, WebhookUrl

MOST_ITEMS = 1_000
MAX_METADATA_KEYS = 64
MAX_METADATA_BYTES = 16_000
LABEL = rf"{lookup.LABEL.pattern}\Z"


def _check_metadata(value: dict[str, Any]) -> None:
    size = len(to_json(value))
    if len(value) > MAX_METADATA_KEYS or size > MAX_METADATA_BYTES:
        raise ma.ValidationError(
            f"give up to {MAX_METADATA_KEYS} keys and {MAX_METADATA_BYTES:,} bytes;"
            f" found {len(value)} and {size:,}"
        )


class BatchIn(Lenient):
    """A batch. Each item has `prompt`, `messages` or `input`, and may have a `request_id` and any others."""

    data = fields.List(
        fields.Raw(metadata={"type": "object", "example": {"input": [1.0, 2.0]}}),
        required=True,
        validate=validate.Length(1, MOST_ITEMS, error=f"give 1 to {MOST_ITEMS:,} items"),
    )
    priority = fields.String(load_default="normal", validate=validate.OneOf(URGENCIES))
    batch_id = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Regexp(LABEL, error="give 1 to 128 of A-Z, a-z, 0-9 and . _ : -"),
    )
    timeout_ms = fields.Integer(
        strict=True,
        load_default=None,
        validate=validate.Range(
            SHORTEST_MS, LONGEST_MS, error=f"give {SHORTEST_MS} to {LONGEST_MS:,}; found {{input}}"
        ),
        metadata={
            "description": "How long the batch may take from its first call, in milliseconds. By default"
            f" {INPUTS_MS:,} if its items are `input`s, {LONGEST_MS:,} otherwise."
        },
    )
    metadata = fields.Dict(keys=fields.String(), load_default=None, allow_none=True, validate=_check_metadata)
    webhook_url = WebhookUrl()


class ResultsQuery(ma.Schema):
    in_part = fields.Boolean(
        data_key="partial",
        load_default=False,
        metadata={"description": "Return the results so far, even before the end."},
    )


class BatchesQuery(ma.Schema):
    status = fields.String(load_default="active", validate=validate.OneOf(("active", "all", *WORDS)))
    limit = fields.Integer(load_default=10, validate=validate.Range(1, 100, error="give 1 to 100"))


class Weight(fields.Float):
    """A number; marshmallow takes its digits in a string, too."""

    def __init__(self) -> None:
        super().__init__(validate=validate.Range(0.1, 1.0, error="give 0.1 to 1"))

    def _validated(self, value: Any) -> float:
        if not isinstance(value, int | float):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class WeightsIn(ma.Schema):
    critical, high, normal, low = (Weight() for _ in URGENCIES)


class ConfigurationIn(ma.Schema):
    """Omitted fields stay as they are."""

    max_batch_size = fields.Integer(strict=True, validate=validate.Range(1, 1_024, error="give 1 to 1,024"))
    max_wait_time_ms = fields.Integer(
        strict=True, validate=validate.Range(0, 10_000, error="give 0 to 10,000")
    )
    enable_dynamic_batching = Truth()
    enable_adaptive_batching = Truth(
        metadata={
            "description": "Size and wait tune themselves to the inference server, within the two maxima;"
            " false: they are exactly those two."
        }
    )
    priority_weights = fields.Nested(WeightsIn)


class Names(fields.String):
    """Comma-separated names, each of them known."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        names = [name.strip() for name in super()._deserialize(value, *args, **kwargs).split(",")]
        if unknown := [name for name in names if name not in METRICS]:
            raise ma.ValidationError(f"unknown: {', '.join(unknown)}; known: {', '.join(METRICS)}")
        return names


_LIST = rf"^({'|'.join(METRICS)})( *, *({'|'.join(METRICS)}))*$"


class AnalyticsQuery(ma.Schema):
    period = fields.String(load_default="1h", validate=validate.OneOf(tuple(PERIODS)))
    metrics = Names(
        load_default=lambda: list(METRICS), metadata={"example": ",".join(METRICS), "pattern": _LIST}
    )
