"""Request bodies and queries of the native contract: every field with its validation, as in the OpenAPI
document.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sized
from difflib import get_close_matches
from typing import Any, get_args

import marshmallow as ma
from marshmallow import fields, validate

from app.core.accounts.api_keys import SCOPES
from app.core.limits import report
from app.core.money import pricing
from app.core.money.usage import Grouping
from app.core.reading.records import WORDS
from app.ingest.bounds import MAX_MODEL
from app.ingest.draft import MAX_DEPTH
from app.ingest.values import byte_size, is_deeper, to_json
from app.providers import model_names
from app.web.blueprint import WebhookUrl
from config import settings

MAX_METADATA_KEYS = 64
MAX_METADATA_BYTES = 16_000
MAX_SYSTEM_BYTES = 8_000_000
MAX_SCHEMA_BYTES = 1_000_000
MAX_PARAMS_BYTES = 8_000_000
DAY = 86_400  # seconds

UNKNOWN = "Unknown field."  # marshmallow's
# Of a Messages request, which a job passes on.
SENT_WITH_REQUESTS = frozenset(
    {
        *("temperature", "top_p", "top_k", "stop_sequences", "thinking", "tools", "tool_choice"),
        *("output_config", "service_tier", "inference_geo", "speed", "cache_control"),
    }
)
# They have fields of their own, belong to the records, or are set by Penstock.
NOT_PARAMS = ("model", "max_tokens", "system", "messages", "stream")


def _between(low: int, high: int, unit: str = "") -> validate.Range:
    return validate.Range(low, high, error=f"give {low:,} to {high:,}{unit}; found {{input}}")


def _plain_text(value: str) -> None:
    """Text that every database can store."""
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ma.ValidationError("give plain text, without NUL and unpaired surrogates")


def _small(what: str, limit: int, value: Any) -> None:
    if is_deeper(value, MAX_DEPTH):
        raise ma.ValidationError(f"{what} is nested over {MAX_DEPTH} deep")
    size = byte_size(value) if isinstance(value, str) else len(to_json(value))
    if size > limit:
        raise ma.ValidationError(f"{what} has {size:,} bytes; the limit is {limit:,}")


def _check_name(value: str) -> None:
    if not value.isprintable():
        raise ma.ValidationError("use printable characters only")


def _check_system(value: str) -> None:
    _small("it", MAX_SYSTEM_BYTES, value)


def _check_metadata(value: Mapping[str, Any]) -> None:
    _at_most(value, MAX_METADATA_KEYS)
    _small("it", MAX_METADATA_BYTES, value)


def _at_most(value: Sized, limit: int) -> None:
    if len(value) > limit:
        raise ma.ValidationError(f"has {len(value):,} keys; the limit is {limit}")


def _check_schema(value: Mapping[str, Any]) -> None:
    _small("it", MAX_SCHEMA_BYTES, value)


def _check_params(value: Mapping[str, Any]) -> None:
    if taken := [name for name in NOT_PARAMS if name in value]:
        raise ma.ValidationError(
            f"{', '.join(taken)}: not allowed here; `model`, `max_tokens` and `system` go next to `params`,"
            " messages belong to the records, and answers are never streamed"
        )
    if not isinstance(value.get("output_config", {}), Mapping):
        raise ma.ValidationError("`output_config` must be an object")
    _small("it", MAX_PARAMS_BYTES, value)


def _up_to_the_deadline(value: int) -> None:
    longest = settings.current().call_deadline
    if not 1 <= value <= longest:
        raise ma.ValidationError(f"give 1 to {longest:,} seconds (CALL_DEADLINE_SECONDS); found {value}")


class Text(fields.String):
    def __init__(self, *checks: Any, **metadata: Any) -> None:
        super().__init__(allow_none=True, validate=[_plain_text, *checks], metadata=metadata)


class Whole(fields.Integer):
    def __init__(self, low: int, high: int, unit: str = "", **metadata: Any) -> None:
        super().__init__(strict=True, allow_none=True, validate=_between(low, high, unit), metadata=metadata)


class Seconds(fields.Integer):
    """A deadline for calls: at most the one that the broker's visibility timeout is based on."""

    def __init__(self, **metadata: Any) -> None:
        super().__init__(strict=True, allow_none=True, validate=_up_to_the_deadline, metadata=metadata)


class Dollars(fields.Field[int]):
    """Dollars, as a decimal string or a number; pico-dollars internally."""

    # Digits, not all of them 0. The upper bound is `pico`'s to check.
    form = re.compile(r"(?=.*[1-9])([0-9]{1,7}(\.[0-9]{1,12})?|\.[0-9]{1,12})")
    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "form": 'give dollars such as "2.50": over 0, up to 1,000,000, with up to twelve decimal places'
    }

    def __init__(self, **metadata: Any) -> None:
        kinds = {"type": ["string", "number"], "pattern": f"^{self.form.pattern}$"}
        bounds = {"minimum": 1e-12, "maximum": 1_000_000}
        super().__init__(allow_none=True, metadata={**kinds, **bounds, **metadata})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int:
        if isinstance(value, str) and not self.form.fullmatch(value):
            raise self.make_error("form")
        try:
            return pricing.pico(str(value))
        except ValueError:
            raise self.make_error("form") from None


class JsonObject(fields.Dict):
    def __init__(self, check: Any, **metadata: Any) -> None:
        super().__init__(keys=fields.String(), allow_none=True, validate=check, metadata=metadata)


class JobChange(ma.Schema):
    """What can be changed about a job; omitted fields stay as they are."""

    name = Text(validate.Length(max=255), _check_name, description="null: none")
    metadata = JsonObject(
        _check_metadata, description="Replaces the current value.", example={"team": "reviews"}
    )
    priority = Whole(1, 10, description="10 is the most urgent.")
    max_cost = Dollars(description='USD, such as "2.50"; its calls never exceed it. null: no cap.')


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


class ModelName(validate.Regexp):
    """The form of a model's name; says which one may have been meant."""

    def __init__(self) -> None:
        super().__init__(r"[\w.:/@-]{1,200}\Z", error="give the name of a model")

    def __call__(self, value: Any) -> Any:
        try:
            return super().__call__(value)
        except ma.ValidationError:
            meant = model_names.suggestions(value[:MAX_MODEL])
            if not meant:
                raise
            raise ma.ValidationError(f"{self.error}{model_names.did_you_mean(meant)}") from None


class JobFields(JobChange):
    """A submission's fields, besides its records."""

    model = Text(ModelName(), description="DEFAULT_MODEL by default; GET /api/v1/models lists them.")
    max_tokens = Whole(1, 1_000_000, description="For each answer, unless the record sets it.")
    system = Text(_check_system)
    template = Text(description="The prompt for each row, such as `Summarise: {{ review }}`.")
    prompt = Text(
        validate.Length(1),
        _check_system,
        description="The prompt for each document; without it, documents are only stored.",
    )
    schema = JsonObject(
        _check_schema,
        description="A JSON Schema that every answer must match.",
        example={"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]},
    )
    params = JsonObject(
        _check_params,
        description="Anything else to include in every Messages request.",
        example={"temperature": 0},
    )
    expires_in = Whole(
        1, 30 * DAY, " seconds", description="Seconds until the records that have not been sent expire."
    )
    timeout = Seconds(description="Seconds that one call may take; CALL_DEADLINE_SECONDS by default.")
    retries = Whole(0, 20, description="Retries after a failure that is the record's own.")
    reuse = Text(
        validate.Length(1, 64),
        description="The id of an earlier job of the same records, such as a sample of the first ones. A"
        " record that asks the same as the one at its place there, and was answered there, has that answer:"
        " it is not asked and costs nothing.",
    )
    webhook_url = WebhookUrl()

    def handle_error(self, error: ma.ValidationError, data: Any, **_: Any) -> None:
        """Say where a field belongs that is not one of ours, or which one was meant."""
        for name, found in error.messages_dict.items():
            if found == [UNKNOWN]:
                error.messages_dict[name] = [self._unknown(str(name))]

    def _unknown(self, name: str) -> str:
        if name in SENT_WITH_REQUESTS:
            return f'{UNKNOWN.rstrip(".")}: put it into `params`, such as {{"params": {{"{name}": …}}}}'
        close = get_close_matches(name, self.fields, n=1)
        return f"{UNKNOWN.rstrip('.')}: did you mean `{close[0]}`?" if close else UNKNOWN


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


class UploadFields(JobFields):
    """The fields of a submission whose records are in a file."""

    rows = Whole(1, 2**31 - 1, description="Only the first so many rows or lines that are asked.")
    sheet = Text(
        validate.Length(1, 255),
        description="The sheet of a workbook, by its name or its place; by default the first one shown.",
    )
    header_row = Whole(1, 2**31 - 1, description="The row of a table that names the columns; 1 by default.")
    visible_only = fields.Boolean(
        allow_none=True, metadata={"description": "Leave out the rows of a sheet that are hidden."}
    )


class Upload(UploadFields):
    """A job whose records are in a file: JSON lines, CSV, TSV or XLSX. Objects are given as JSON text."""

    file = fields.Raw(required=True, metadata={"type": "string", "format": "binary"})


class PageQuery(ma.Schema):
    limit = fields.Integer(load_default=100, validate=_between(1, 1_000))
    cursor = fields.String(
        load_default=None,
        validate=validate.Regexp(r"[A-Za-z0-9_-]+\Z", error="give `next_cursor` of the previous page"),
        metadata={"description": "`next_cursor` of the previous page."},
    )


class RecordQuery(PageQuery):
    status = fields.String(load_default=None, validate=validate.OneOf(WORDS))


class AuditQuery(PageQuery):
    event_type = fields.String(load_default=None, metadata={"example": "DOCUMENT_INGESTED"})


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
        validate=validate.OneOf(["jsonl", "csv", "tsv", "xlsx"]),
        metadata={
            "description": "A job that came as CSV or TSV gets its own encoding, separator, line ends and"
            " decimal sign in `csv`; one that came as XLSX gets its own workbook in `xlsx`, with the answers"
            " in columns on the right. Any other table is a plain one: UTF-8 with a byte order mark and"
            " commas or tabs, or a new sheet. The header `Penstock-Warning` says where that was not possible."
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
