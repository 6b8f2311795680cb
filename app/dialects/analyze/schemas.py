"""The bodies of analyses: every field with its validation, as in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.web.blueprint import Lenient, ShortList, WebhookUrl

MOST = 500  # records per batch
NOTES, NOTE = 1_000, 100_000  # per record; characters of one note


# For the document: what `_check_content` checks.
HAS_NOTE = {"properties": {"notes": {"contains": {"type": "string", "pattern": r"\S"}}}}
HAS_DATA = {
    "required": ["structured_data"],
    "properties": {
        "structured_data": {"type": "object", "properties": {"data": {"type": "object", "minProperties": 1}}}
    },
}


class StructuredDataIn(Lenient):
    data = fields.Dict(keys=fields.String(), required=True)


class RecordIn(Lenient):
    """What to analyse: structured data, notes, or both."""

    class Meta(Lenient.Meta):
        keywords = {"anyOf": [HAS_NOTE, HAS_DATA]}  # noqa: RUF012 - marshmallow's own way

    structured_data = fields.Nested(StructuredDataIn, allow_none=True)
    notes = ShortList(
        fields.String(validate=validate.Length(max=NOTE)),
        most=NOTES,
        error=f"give up to {NOTES:,} notes",
        load_default=list,
    )

    @ma.validates_schema
    def _check_content(self, record: Mapping[str, Any], **_: Any) -> None:
        data = (record.get("structured_data") or {}).get("data")
        if not data and not any(note.strip() for note in record["notes"]):
            raise ma.ValidationError("nothing to analyse: give structured_data, notes, or both")


class BatchIn(Lenient):
    records = ShortList(
        fields.Nested(RecordIn),
        least=1,
        most=MOST,
        error=f"give 1 to {MOST} records in one batch",
        required=True,
    )
    webhook_url = WebhookUrl()


class JobQuery(ma.Schema):
    limit = fields.Integer(load_default=50, validate=validate.Range(1, 200))


class MetadataOut(ma.Schema):
    confidence = fields.Float(required=True, allow_none=True, metadata={"description": "0 to 1."})
    model_version = fields.String(required=True, allow_none=True)
    tokens_used = fields.Integer(required=True, allow_none=True)


class AnalysisOut(ma.Schema):
    summary = fields.String(required=True)
    insights = fields.List(fields.String(), allow_none=True, required=True)
    next_actions = fields.List(fields.String(), allow_none=True, required=True)
    metadata = fields.Nested(MetadataOut, required=True)


class AcceptedOut(ma.Schema):
    job_id = fields.String(required=True)
    status = fields.String(
        required=True, validate=validate.OneOf(["accepted", "processing", "completed", "failed"])
    )
    total_records = fields.Integer(required=True)
    message = fields.String(required=True)


class ResultOut(ma.Schema):
    index = fields.Integer(required=True)
    success = fields.Boolean(required=True)
    response = fields.Nested(AnalysisOut, allow_none=True, required=True)
    error = fields.String(required=True, allow_none=True)


class ListedOut(ma.Schema):
    job_id = fields.String(required=True)
    status = fields.String(required=True)
    total_records = fields.Integer(required=True)
    completed_count = fields.Integer(required=True)
    failed_count = fields.Integer(required=True)
    total_tokens_used = fields.Integer(
        required=True, metadata={"description": "Input and output tokens of the records that succeeded."}
    )
    created_at = fields.String(required=True)
    updated_at = fields.String(required=True)


class StatusOut(ListedOut):
    message = fields.String(required=True)
    progress_percent = fields.Float(required=True, metadata={"description": "0 to 100."})
    estimated_cost = fields.Float(
        required=True, allow_none=True, metadata={"description": "USD; null without a price."}
    )
    results = fields.List(fields.Nested(ResultOut), required=True)


class JobsOut(ma.Schema):
    jobs = fields.List(fields.Nested(ListedOut), required=True)
