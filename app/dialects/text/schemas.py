"""The bodies of text batches: every field with its validation, as in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.core.pipeline.lookup import LABEL
from app.dialects.text.wire import OPERATIONS
from app.ingest.values import to_json
from app.web.blueprint import Lenient, WebhookUrl

SHORTEST, LONGEST = 10, 10_000  # characters of a text without surrounding whitespace
LONGEST_QUESTION = 2_000  # characters
LARGEST = 16_000  # bytes of options, and of metadata


def _check_text(value: str) -> None:
    found = len(value.strip())
    if not SHORTEST <= found <= LONGEST:
        raise ma.ValidationError(
            f"give {SHORTEST} to {LONGEST:,} characters, not counting surrounding whitespace; found {found:,}"
        )


def _check_size(value: Mapping[str, Any]) -> None:
    found = len(to_json(value))
    if found > LARGEST:
        raise ma.ValidationError(f"it has {found:,} bytes; the limit is {LARGEST:,}")


def _object(description: str) -> fields.Dict:
    return fields.Dict(
        keys=fields.String(),
        allow_none=True,
        validate=_check_size,
        metadata={"description": description},
    )


# For the document: what `_check_question` checks.
NEEDS_QUESTION = {
    "if": {"properties": {"operation": {"const": "qa"}}},
    "then": {"required": ["question"], "properties": {"question": {"type": "string", "pattern": r"\S"}}},
}


class TextIn(Lenient):
    """A text and its operation."""

    class Meta(Lenient.Meta):
        keywords = NEEDS_QUESTION

    text = fields.String(
        required=True,
        validate=_check_text,
        metadata={
            "description": f"{SHORTEST} to {LONGEST:,} characters, not counting surrounding whitespace.",
            "pattern": rf"^\s*\S[\s\S]{{{SHORTEST - 2},}}\S\s*$",
        },
    )
    operation = fields.String(required=True, validate=validate.OneOf(OPERATIONS))
    question = fields.String(
        allow_none=True,
        validate=validate.Length(max=LONGEST_QUESTION),
        metadata={"description": "Required by `qa`."},
    )
    options = _object("Passed to the model unchanged, such as `max_length` or `max_points`.")
    user_metadata = _object("Returned with the answer.")

    @ma.validates_schema
    def _check_question(self, data: Mapping[str, Any], **_: Any) -> None:
        if data.get("operation") == "qa" and not (data.get("question") or "").strip():
            raise ma.ValidationError("give the question: the operation qa requires one", "question")


class BatchIn(Lenient):
    requests = fields.List(fields.Nested(TextIn), required=True, metadata={"minItems": 1})
    batch_id = fields.String(
        allow_none=True,
        validate=validate.Regexp(rf"{LABEL.pattern}\Z", error="1 to 128 letters, digits and . _ : -"),
        metadata={
            "description": "The caller's own name for the batch. If it is reused, it refers to"
            " the newest batch."
        },
    )
    webhook_url = WebhookUrl()


class SentimentOut(ma.Schema):
    sentiment = fields.String(required=True, validate=validate.OneOf(["positive", "negative", "neutral"]))
    confidence = fields.Float(required=True)
    explanation = fields.String(required=True)


class MetadataOut(ma.Schema):
    """null: submitted through another contract, or not known."""

    word_count = fields.Integer(required=True, allow_none=True)
    input_tokens = fields.Integer(required=True, allow_none=True)
    output_tokens = fields.Integer(required=True, allow_none=True)
    user_metadata = fields.Dict(required=True, allow_none=True)


class ResponseOut(ma.Schema):
    operation = fields.String(
        required=True, allow_none=True, metadata={"description": "null: submitted through another contract."}
    )
    success = fields.Boolean(required=True)
    result = fields.String(required=True, allow_none=True)
    sentiment = fields.Nested(SentimentOut, allow_none=True, required=True)
    key_points = fields.List(fields.String(), allow_none=True, required=True)
    questions = fields.List(fields.String(), allow_none=True, required=True)
    metadata = fields.Nested(MetadataOut, required=True)
    processing_time = fields.Float(required=True, allow_none=True, metadata={"description": "Seconds."})
    timestamp = fields.String(required=True, allow_none=True)
    cache_hit = fields.Boolean(
        required=True, metadata={"description": "Always false: every answer is the model's own."}
    )


class ItemOut(ma.Schema):
    request_index = fields.Integer(required=True)
    status = fields.String(required=True, validate=validate.OneOf(["completed", "failed"]))
    response = fields.Nested(ResponseOut, allow_none=True, required=True)
    error = fields.String(required=True, allow_none=True)


class BatchOut(ma.Schema):
    batch_id = fields.String(required=True)
    total_requests = fields.Integer(required=True)
    completed = fields.Integer(required=True)
    failed = fields.Integer(required=True)
    results = fields.List(fields.Nested(ItemOut), required=True)
    total_processing_time = fields.Float(
        required=True, allow_none=True, metadata={"description": "Seconds, once ended."}
    )
    timestamp = fields.String(required=True)


class StatusOut(BatchOut):
    status = fields.String(
        required=True, validate=validate.OneOf(["PENDING", "IN_PROGRESS", "COMPLETED", "FAILED"])
    )
    message = fields.String(required=True, allow_none=True, metadata={"description": "Why it is FAILED."})
