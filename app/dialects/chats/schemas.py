"""The bodies of chat batches: every field with its validation, as in the OpenAPI document."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.web.blueprint import WebhookUrl

FORMATS = ("json", "csv", "xlsx")

_TRUE = {"true", "True", "TRUE", "on", "yes", "1"}  # `True` is what Python's requests sends
_FALSE = {"false", "False", "FALSE", "off", "no", "0"}


def _none() -> None:
    """The default of a field of a form, which has no null: a function's value is not in the document."""


def _check_printable(value: str) -> None:
    if not value.isprintable():
        raise ma.ValidationError("use printable characters only")


class Text(fields.String):
    def __init__(self, longest: int, description: str) -> None:
        super().__init__(
            load_default=_none,
            validate=[validate.Length(max=longest), _check_printable],
            metadata={"description": description},
        )


class Provider(fields.String):
    """Case-insensitive."""

    def __init__(self, description: str) -> None:
        super().__init__(load_default=_none, metadata={"description": description})

    def _deserialize(self, *args: Any, **kwargs: Any) -> Any:
        return super()._deserialize(*args, **kwargs).strip().lower()


class CreateIn(ma.Schema):
    """A batch, besides its file."""

    batchName = Text(255, "The file's name by default.")
    aiProvider = Provider("`anthropic` or `simulated`; by default the provider of DEFAULT_MODEL.")
    searchProvider = Provider("`anthropic`: the model may search the web; `none`.")
    lang = Text(50, "The language of the page that the questions come from, such as `en`.")
    applyOverrides = fields.Boolean(
        load_default=False,
        truthy=_TRUE,
        falsy=_FALSE,
        metadata={"description": "Use your own texts (`/api/v1/prompt-overrides/chat`)."},
    )
    webhook_url = WebhookUrl()


class UploadIn(CreateIn):
    """A batch with its sheet, CSV or XLSX."""

    file = fields.Raw(
        required=True,
        metadata={
            "type": "string",
            "format": "binary",
            "description": "Columns: `REDACTEDQUESTION` (or `question`); optional: `chatId` and `URL`.",
        },
    )


class BatchQuery(ma.Schema):
    batchId = fields.String(required=True)


class ResultQuery(BatchQuery):
    format = fields.String(
        load_default="json",
        validate=validate.OneOf(FORMATS),
        metadata={
            "description": "In `csv`, cells are as they were sent and answered, also those that a spreadsheet"
            " would evaluate; in `xlsx` no text is a formula."
        },
    )


class ErrorOut(ma.Schema):
    """An error."""

    error = fields.String(required=True)
    error_id = fields.String(metadata={"description": "Identifies an unexpected error in the log."})


class CreatedOut(ma.Schema):
    batchId = fields.String(required=True)


class StatusOut(CreatedOut):
    status = fields.String(
        required=True,
        validate=validate.OneOf(
            ["queued", "processing", "processed", "completed_with_errors", "cancelled", "failed"]
        ),
    )
    totalItems = fields.Integer(required=True)
    processedItems = fields.Integer(required=True, metadata={"description": "What succeeded."})
    failedItems = fields.Integer(required=True)
    skippedRows = fields.List(
        fields.Integer(),
        allow_none=True,
        metadata={"description": "Numbers of the first thousand rows without a question."},
        required=True,
    )
    createdAt = fields.String(required=True)
    updatedAt = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    aiProvider = fields.String(required=True, allow_none=True)
    searchProvider = fields.String(required=True, allow_none=True)
    pageLanguage = fields.String(required=True, allow_none=True)


class UsageOut(ma.Schema):
    """Tokens, and web searches."""

    input_tokens = fields.Integer(required=True)
    output_tokens = fields.Integer(required=True)
    cache_read_tokens = fields.Integer(required=True)
    cache_write_tokens = fields.Integer(required=True)
    web_search_requests = fields.Integer(required=True)


class ResultOut(ma.Schema):
    row = fields.Integer(
        required=True, allow_none=True, metadata={"description": "As in the sheet, its header being 1."}
    )
    chatId = fields.String(required=True, allow_none=True)
    REDACTEDQUESTION = fields.String(required=True, allow_none=True)
    URL = fields.String(required=True, allow_none=True)
    status = fields.String(required=True, validate=validate.OneOf(["processed", "failed"]))
    answer = fields.String(required=True, allow_none=True)
    error = fields.String(required=True, allow_none=True)
    interactionId = fields.String(required=True)
    usage = fields.Nested(UsageOut, allow_none=True, required=True)
    cost = fields.Float(
        required=True, allow_none=True, metadata={"description": "USD; null without a price."}
    )


class CancelledOut(CreatedOut):
    status = fields.String(required=True, validate=validate.Equal("cancelled"))
