"""The bodies of document jobs: every field with its validation, as in the OpenAPI document."""

from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.dialects.documents.wire import STATUSES
from app.ingest.documents import Stored, Unreadable
from app.ingest.values import is_plain, to_json
from app.web.blueprint import Lenient, WebhookUrl

LONGEST = 255  # characters in a file's name, and in a collection's
LARGEST = 16_000  # bytes of a document's metadata
LONGEST_PROMPT = 1_000_000  # characters


def _check_plain(value: str) -> None:
    if not is_plain(value):
        raise ma.ValidationError("give plain text, without NUL and unpaired surrogates")


def _check_content(value: Any) -> None:
    if not isinstance(value, Stored | Unreadable):
        raise ma.ValidationError("give the document's bytes as a base64 string")


def _check_size(value: Mapping[str, Any]) -> None:
    found = len(to_json(value))
    if found > LARGEST:
        raise ma.ValidationError(f"it has {found:,} bytes; the limit is {LARGEST:,}")


class DocumentIn(Lenient):
    """A document. One whose content is not base64 fails alone."""

    filename = fields.String(required=True, validate=[validate.Length(1, LONGEST), _check_plain])
    content = fields.Raw(
        required=True,
        validate=_check_content,
        metadata={"type": "string", "contentEncoding": "base64"},
    )
    metadata = fields.Dict(keys=fields.String(), load_default=dict, validate=_check_size)


class JobIn(Lenient):
    tenant_id = fields.UUID(
        required=True,
        metadata={
            "description": "The key's tenant, as `GET /api/v1/me` shows it; the UUID of zeros stands for it."
        },
    )
    documents = fields.List(
        fields.Nested(DocumentIn),
        required=True,
        validate=validate.Length(1, error="give at least one document"),
    )
    collection = fields.String(allow_none=True, validate=[validate.Length(max=LONGEST), _check_plain])
    priority = fields.Integer(
        strict=True,
        load_default=5,
        validate=validate.Range(1, 10, error="give 1 to 10; found {input}"),
        metadata={"description": "10 goes first."},
    )
    model = fields.String(
        allow_none=True,
        validate=validate.Regexp(r"[\w.:/@-]{1,200}\Z", error="give the name of a model"),
        metadata={"description": "The model for `prompt`; DEFAULT_MODEL by default."},
    )
    prompt = fields.String(
        allow_none=True,
        validate=[validate.Length(1, LONGEST_PROMPT), _check_plain],
        metadata={"description": "The prompt that is sent with each document, once it is stored."},
    )
    webhook_url = WebhookUrl()


class JobOut(ma.Schema):
    job_id = fields.UUID(required=True)
    tenant_id = fields.UUID(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    total_documents = fields.Integer(required=True)
    processed_count = fields.Integer(required=True)
    failed_count = fields.Integer(required=True)
    created_at = fields.String(required=True, metadata={"format": "date-time"})
    updated_at = fields.String(required=True, metadata={"format": "date-time"})
    collection = fields.String(required=True, allow_none=True)
    priority = fields.Integer(required=True)


class ProgressOut(ma.Schema):
    """What a message of the stream tells."""

    job_id = fields.UUID(required=True)
    event_type = fields.String(
        required=True, validate=validate.OneOf(("start", "progress", "fail", "cancel", "complete"))
    )
    document_index = fields.Integer(
        required=True, allow_none=True, metadata={"description": "Of `progress` and `fail`."}
    )
    filename = fields.String(required=True, allow_none=True)
    message = fields.String(required=True)
    timestamp = fields.String(required=True, allow_none=True, metadata={"format": "date-time"})
    status = fields.String(
        validate=validate.OneOf(STATUSES), metadata={"description": "Of `complete`: how the job has ended."}
    )


class EventOut(ma.Schema):
    """A message of the stream."""

    id = fields.String(required=True)
    event = fields.String(required=True, validate=validate.OneOf(("progress", "complete")))
    data = fields.String(
        required=True, metadata={"contentMediaType": "application/json", "contentSchema": [ProgressOut]}
    )


class CancelledOut(ma.Schema):
    status = fields.String(required=True, validate=validate.Equal("cancelled"))
