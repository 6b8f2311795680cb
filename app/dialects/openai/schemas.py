"""The bodies of files and batches: every field with its validation, as in the OpenAPI document."""

import re
from collections.abc import Mapping
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.dialects.openai.lines import ENDPOINTS
from app.dialects.openai.wire import PURPOSES, STATUSES, WINDOW
from app.ingest.values import is_plain
from app.web.blueprint import Lenient, PageSize, WebhookUrl

PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512  # of metadata
HOUR, MONTH = 3_600, 2_592_000  # seconds: bounds of an expiry
SPAN = f"give a whole number from {HOUR:,} to {MONTH:,}; found {{input!r:.60}}"
A_STRING = "give a string"
SECONDS = {"m": 60, "h": 3_600, "d": 86_400}  # of a unit of a completion window

_WINDOW = re.compile(r"([1-9][0-9]{0,4})([mhd])")


def window_seconds(window: str) -> int:
    """The seconds of a completion window such as `24h`."""
    found = _WINDOW.fullmatch(window)
    assert found is not None, "the schema has checked it"
    return int(found[1]) * SECONDS[found[2]]


def _check_window(window: str) -> None:
    found = _WINDOW.fullmatch(window)
    if found is None or window_seconds(window) > MONTH:
        raise ma.ValidationError(
            f"give a number with m, h or d, up to 30d, such as {WINDOW!r}; found {window[:20]!r}"
        )


def _check_metadata(value: Mapping[str, Any]) -> None:
    if len(value) > PAIRS:
        raise ma.ValidationError(f"give up to {PAIRS} pairs; found {len(value):,}")
    for key, text in value.items():
        if len(key) > LONGEST_KEY or len(text) > LONGEST_VALUE:
            bounds = f"a key has up to {LONGEST_KEY} characters and a value {LONGEST_VALUE}"
            raise ma.ValidationError(f"{bounds}; see {key[:LONGEST_KEY]!r}")
        if not is_plain(key + text):
            raise ma.ValidationError("give plain text, without NUL and unpaired surrogates")


def _an_id(description: str, **options: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 100), metadata={"description": description}, **options)


class ExpiryIn(Lenient):
    """When a file can no longer be read."""

    anchor = fields.String(required=True, validate=validate.Equal("created_at"))
    seconds = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(HOUR, MONTH, error=SPAN),
        error_messages={"invalid": SPAN},
    )


class UploadIn(ma.Schema):
    """A file to be kept."""

    class Meta:
        unknown = ma.EXCLUDE

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})
    purpose = fields.String(
        required=True,
        validate=validate.OneOf(PURPOSES),
        metadata={"description": "`batch` for a file of requests: then it expires after 30 days by itself."},
    )
    anchor = fields.String(data_key="expires_after[anchor]", validate=validate.Equal("created_at"))
    seconds = fields.Integer(
        data_key="expires_after[seconds]",
        validate=validate.Range(HOUR, MONTH, error=SPAN),
        error_messages={"invalid": SPAN},
    )

    @ma.validates_schema
    def _check_expiry(self, data: Mapping[str, Any], **_: Any) -> None:
        if "anchor" in data and "seconds" not in data:
            name = "expires_after[seconds]"
            raise ma.ValidationError(f"give {HOUR:,} to {MONTH:,}; found only the anchor", name)


class FileQuery(ma.Schema):
    after = _an_id("The id of the last file of the previous page.")
    limit = PageSize(10_000, 10_000)
    order = fields.String(load_default="desc", validate=validate.OneOf(("asc", "desc")))
    purpose = fields.String(validate=validate.Length(1, 32))


class BatchQuery(ma.Schema):
    after = _an_id("The id of the last batch of the previous page.")
    limit = PageSize(20, 100)


class BatchIn(Lenient):
    """A batch of the requests in a file, or of those that come with it."""

    class Meta:
        keywords = {"anyOf": [{"required": ["input_file_id"]}, {"required": ["requests"]}]}  # noqa: RUF012

    endpoint = fields.String(
        required=True,
        validate=validate.OneOf(ENDPOINTS, error=f"give one of {', '.join(ENDPOINTS)}; found {{input}}"),
    )
    completion_window = fields.String(
        required=True,
        validate=_check_window,
        metadata={"description": "Minutes, hours or days, such as `24h`, after which no request is sent."},
    )
    input_file_id = _an_id("An uploaded file with the purpose `batch`.", allow_none=True)
    requests = fields.List(
        fields.Raw(allow_none=True, metadata={"type": "object"}),
        allow_none=True,
        metadata={
            "description": "Instead of a file: its lines as objects. `method` and `url` may be left out."
        },
    )
    metadata = fields.Dict(
        keys=fields.String(),
        values=fields.String(error_messages={"invalid": A_STRING, "null": A_STRING}),
        allow_none=True,
        error_messages={"invalid": "give an object whose values are strings"},
        validate=_check_metadata,
        metadata={"description": f"Up to {PAIRS} pairs of strings."},
    )
    output_expires_after = fields.Nested(ExpiryIn, allow_none=True)
    webhook_url = WebhookUrl()

    @ma.validates_schema
    def _check_source(self, data: Mapping[str, Any], **_: Any) -> None:
        given = [name for name in ("input_file_id", "requests") if data.get(name) is not None]
        if len(given) != 1:
            found = "both" if given else "neither"
            message = f"give either the id of an uploaded file, or `requests`; found {found}"
            raise ma.ValidationError(message, "input_file_id")


def _time(description: str) -> fields.Integer:
    return fields.Integer(required=True, allow_none=True, metadata={"description": description})


class FileOut(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("file"))
    bytes = fields.Integer(required=True)
    created_at = fields.Integer(required=True, metadata={"description": "In seconds of Unix time."})
    expires_at = _time("When it can no longer be read.")
    filename = fields.String(required=True)
    purpose = fields.String(required=True, validate=validate.OneOf((*PURPOSES, "batch_output")))
    status = fields.String(required=True, validate=validate.Equal("processed"))
    status_details = fields.String(required=True, allow_none=True)


class FilePage(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(FileOut), required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = fields.Boolean(required=True)


class DeletedOut(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("file"))
    deleted = fields.Boolean(required=True)


class LineErrorOut(ma.Schema):
    """Why a line cannot be asked."""

    code = fields.String(required=True, allow_none=True)
    line = fields.Integer(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    param = fields.String(required=True, allow_none=True)


class LineErrorsOut(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(LineErrorOut), required=True)


class CountsOut(ma.Schema):
    total = fields.Integer(required=True)
    completed = fields.Integer(required=True)
    failed = fields.Integer(required=True)


class CachedOut(ma.Schema):
    cached_tokens = fields.Integer(required=True)


class ReasoningOut(ma.Schema):
    reasoning_tokens = fields.Integer(required=True)


class UsageOut(ma.Schema):
    input_tokens = fields.Integer(required=True)
    input_tokens_details = fields.Nested(CachedOut, required=True)
    output_tokens = fields.Integer(required=True)
    output_tokens_details = fields.Nested(ReasoningOut, required=True)
    total_tokens = fields.Integer(required=True)


class BatchOut(ma.Schema):
    id = fields.String(required=True)
    object = fields.String(required=True, validate=validate.Equal("batch"))
    endpoint = fields.String(required=True)
    model = fields.String(required=True, allow_none=True)
    errors = fields.Nested(LineErrorsOut, required=True, allow_none=True)
    input_file_id = fields.String(required=True)
    completion_window = fields.String(required=True)
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    output_file_id = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "As soon as there is an answer; it can be read while the batch runs."},
    )
    error_file_id = fields.String(required=True, allow_none=True)
    created_at = fields.Integer(required=True)
    in_progress_at = _time("When the first request was sent.")
    expires_at = _time("When no more requests are sent.")
    finalizing_at = _time("When the last request had ended.")
    completed_at = _time("The same: there is nothing to be written then.")
    failed_at = _time("When its requests were found to be invalid.")
    expired_at = _time("When it ended because its time was up.")
    cancelling_at = _time("When it was cancelled.")
    cancelled_at = _time("When the last call of a cancelled batch had ended.")
    request_counts = fields.Nested(CountsOut, required=True)
    metadata = fields.Dict(keys=fields.String(), values=fields.String(), required=True, allow_none=True)
    usage = fields.Nested(UsageOut, required=True)
    penstock = fields.Dict(
        keys=fields.String(),
        required=True,
        metadata={
            "description": "What only Penstock tells, as in `GET /api/v1/jobs/{job_id}`: the job's id,"
            " counts, progress, tokens and cost, when it will end, and what limits its speed."
        },
    )


class BatchPage(ma.Schema):
    object = fields.String(required=True, validate=validate.Equal("list"))
    data = fields.List(fields.Nested(BatchOut), required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)
    has_more = fields.Boolean(required=True)
