"""Request bodies and queries of the native contract: every field with its validation, as in the OpenAPI
document.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any, get_args

import marshmallow as ma
from marshmallow import fields, validate

from app.core.accounts.api_keys import SCOPES
from app.core.limits import report
from app.core.money.usage import Grouping
from app.core.reading.records import WORDS
from app.web.submissions.fields import JobFields, UploadFields, Whole, between


class RetryIn(ma.Schema):
    """What to run again; by default everything that failed or expired and may end otherwise."""

    max_tokens = Whole(1, 1_000_000, description="For each record that had less.")
    ended_with = fields.List(  # a schema has an attribute `only`
        fields.String(validate=validate.Length(1, 100)),
        data_key="only",
        allow_none=True,
        validate=validate.Length(1, 100),
        metadata={
            "description": "Error types, `expired`, and the stop reasons `max_tokens`,"
            " `model_context_window_exceeded` and `refusal`: only records that ended with one of these.",
            "example": ["truncated"],
        },
    )


class DocumentIn(ma.Schema):
    """A document. Its bare content as a string is accepted, too."""

    content = fields.String(required=True, metadata={"contentEncoding": "base64"})
    filename = fields.String(allow_none=True)
    metadata = fields.Dict(allow_none=True)


class RecordIn(ma.Schema):
    """One of `prompt`, `messages`, `params`, `document`, `input`, `url`, or a row for the job's template."""

    class Meta:
        unknown = ma.INCLUDE

    custom_id = fields.String(allow_none=True)
    prompt = fields.String()
    messages = fields.List(fields.Dict())
    params = fields.Dict(metadata={"description": "A complete Messages request."})
    document = fields.Nested(DocumentIn)
    input = fields.Raw(
        metadata={
            "description": "A row of a tensor, for a model `inference:NAME`: a number, a string or a boolean,"
            " or rectangular lists of them.",
            "example": [1.0, 2.0, 3.0],
        }
    )
    url = fields.String(
        metadata={
            "description": "A path of OpenAI's API, to which `body` is sent as it stands, for a model of a"
            " provider that speaks it; or `/v1/messages`, whose `body` is like `params`.",
            "example": "/v1/chat/completions",
        }
    )
    body = fields.Dict(metadata={"description": "The request that goes to `url`."})
    method = fields.String(metadata={"description": "`POST`, if anything, next to `url`."})
    row = fields.Dict(
        metadata={"description": "Cells for the template; a bare object of cells is accepted, too."}
    )
    conversation = fields.String(
        allow_none=True, metadata={"description": "Records of one conversation are sent in order."}
    )
    max_tokens = fields.Integer(allow_none=True)


class JobIn(JobFields):
    """A job with its records."""

    records = fields.List(fields.Nested(RecordIn), required=True, metadata={"minItems": 1})


class Upload(UploadFields):
    """A job whose records are in a file, or which are documents. Objects are given as JSON text."""

    class Meta(UploadFields.Meta):
        keywords = {"oneOf": [{"required": ["file"]}, {"required": ["document"]}]}  # noqa: RUF012

    file = fields.Raw(
        metadata={
            "type": "string",
            "format": "binary",
            "description": "JSON lines, a JSON list, CSV, TSV, XLSX, XLS, XLSB, ODS or Parquet.",
        }
    )
    document = fields.List(
        fields.Raw(metadata={"type": "string", "format": "binary"}),
        metadata={
            "minItems": 1,
            "description": "In place of a file: PDF, pictures, text, DOCX and HTML, each a part with its file"
            " name, with nothing that is only for tables. With a `prompt`, `fields` or a `schema` each is"
            " sent to the model, DOCX and HTML as their text. Results as a table have the columns `file` and"
            " `page count`.",
        },
    )


class PageQuery(ma.Schema):
    limit = fields.Integer(load_default=100, validate=between(1, 1_000))
    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[A-Za-z0-9_-]+\Z", error="give `next_cursor` of the previous page"),
        metadata={"description": "`next_cursor` of the previous page."},
    )


class RecordQuery(PageQuery):
    status = fields.String(load_default=None, validate=validate.OneOf(WORDS))


class AuditQuery(PageQuery):
    event_type = fields.String(load_default=None, metadata={"example": "KEY_CREATED"})


class EventQuery(ma.Schema):
    include = fields.String(
        load_default=None,
        validate=validate.OneOf(["answers"]),
        metadata={
            "description": "`answers`: `records` events also have the records themselves, from the first that"
            " ended on, in events of about a megabyte."
        },
    )


class ResultQuery(ma.Schema):
    format = fields.String(
        load_default="jsonl",
        validate=validate.OneOf(["jsonl", "csv", "tsv", "xlsx", "json", "parquet"]),
        metadata={
            "description": "A job that came as CSV or TSV gets its own encoding, separator, line ends and"
            " decimal sign in `csv`; one that came as XLSX gets its own workbook in `xlsx`, with the answers"
            " in columns on the right. Any other table is a plain one: UTF-8 with a byte order mark and"
            " commas or tabs, or a new sheet. `json` is a list with an object for each row: its own cells,"
            " and the answer's columns. A job that came as Parquet gets its own columns as they were in"
            " `parquet`, any other one columns of the types that their values have. The header"
            " `Penstock-Warning` says where that was not possible."
        },
    )
    order = fields.String(
        load_default="input",
        validate=validate.OneOf(["input", "completion"]),
        metadata={"description": "In the order of `completion`, `xlsx` is a new sheet."},
    )
    raw = fields.Boolean(
        load_default=False,
        metadata={
            "description": "By default cells of `csv` and `tsv` that begin with `=`, `+`, `-`, `@`, a tab or"
            " a carriage return, and are no plain numbers, get an apostrophe before them, because a"
            " spreadsheet would evaluate them. `true`: they stay as they are. In `xlsx` no text is a"
            " formula anyway."
        },
    )
    plain = fields.Boolean(
        load_default=False,
        metadata={"description": "`true`: a plain table, whatever the job came as."},
    )
    answer = fields.Boolean(
        load_default=False,
        metadata={
            "description": "Under `fields` or a `schema` a table has a column for each property of the"
            " answers. `true`: the whole answer has one, too."
        },
    )
    join_lists = fields.Boolean(
        load_default=False,
        metadata={
            "description": "`true`: in a table, lists of texts or numbers are parted by `; `, not JSON."
        },
    )


class LimitsIn(ma.Schema):
    """Omitted limits stay as they are; null returns a limit to its configured value."""

    requests_per_minute = Whole(1, report.HIGHEST["requests_per_minute"])
    input_tokens_per_minute = Whole(1, report.HIGHEST["input_tokens_per_minute"])
    output_tokens_per_minute = Whole(1, report.HIGHEST["output_tokens_per_minute"])
    max_concurrent_calls = Whole(
        1, report.HIGHEST["max_concurrent_calls"], description="Calls in flight, all jobs together."
    )


class Moment(fields.String):
    """A time in UTC. A date is its start; a time without a zone is in UTC."""

    def __init__(self, name: str, description: str) -> None:
        metadata = {"description": description, "example": "2026-11-01"}
        super().__init__(data_key=name, load_default=None, metadata=metadata)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        try:
            time = dt.datetime.fromisoformat(text)
            return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)
        except (ValueError, OverflowError):
            raise ma.ValidationError(
                f"give a date or a time, such as 2026-11-01 or 2026-11-01T12:00:00Z; found {text}"
            ) from None


class UsageQuery(PageQuery):
    group_by = fields.String(load_default="model", validate=validate.OneOf(get_args(Grouping)))
    since = Moment("from", "A date or a time, in UTC; by default the start of the current month.")
    until = Moment("to", "The exclusive end, after `from`; by default the end of the current month.")


class KeyIn(ma.Schema):
    name = fields.String(required=True, validate=validate.Length(1, 200))
    user_id = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(1, 200),
        metadata={"description": "The user that the key acts for; by default a new user."},
    )
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)),
        load_default=lambda: ["jobs:read", "jobs:write"],
        validate=validate.Length(min=1),
    )


class PromptOverrideIn(ma.Schema):
    """Templates for a record's row; null or omitted: the built-in one."""

    class Meta:
        keywords = {  # noqa: RUF012 - marshmallow's own way
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "string"}}}
                for name in ("prompt", "system")
            ]
        }

    prompt = fields.String(
        load_default=None,
        allow_none=True,
        validate=validate.Length(min=1),
        metadata={"description": "The prompt, such as `{{ question }}`."},
    )
    system = fields.String(load_default=None, allow_none=True, validate=validate.Length(min=1))

    @ma.validates_schema
    def _check_given(self, texts: Mapping[str, Any], **_: Any) -> None:
        if not any(texts.values()):
            raise ma.ValidationError("give a `prompt`, a `system`, or both; DELETE removes your own texts")
