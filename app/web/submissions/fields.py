"""The fields of a submission, with their validation: what a job may say of itself, wherever it comes from."""

import re
from collections.abc import Mapping, Sequence, Sized
from difflib import get_close_matches
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.core.money import pricing
from app.core.requests import answer_fields
from app.ingest import encodings
from app.ingest.bounds import MAX_MODEL
from app.ingest.draft import MAX_DEPTH
from app.ingest.values import byte_size, is_deeper, is_line, to_json
from app.providers import model_names
from app.web.blueprint import WebhookUrl
from app.web.submissions.asks import Asks
from config import settings

MAX_METADATA_KEYS = 64
MAX_METADATA_BYTES = 16_000
MAX_SYSTEM_BYTES = 8_000_000
MAX_SCHEMA_BYTES = 1_000_000
MAX_PARAMS_BYTES = 8_000_000
DAY = 86_400  # seconds

SEPARATORS = {",": ",", ";": ";", "tab": "\t", "|": "|"}  # of cells, by what a form says
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


def between(low: int, high: int, unit: str = "") -> validate.Range:
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
    if not is_line(value):
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


def _check_fields(value: Sequence[str]) -> None:
    if sum(map(byte_size, value)) > MAX_SCHEMA_BYTES:
        raise ma.ValidationError(f"they have over {MAX_SCHEMA_BYTES:,} bytes")


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
        super().__init__(strict=True, allow_none=True, validate=between(low, high, unit), metadata=metadata)


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


class AnswerFields(fields.List[str]):
    def __init__(self, data_key: str) -> None:
        description = (
            "In place of a schema: the fields of an answer, each as `name: kind`. A kind is"
            f" {answer_fields.SPELT}; `?` behind it lets an answer leave the field out, and after ` #` comes"
            " what the model should know of it."
        )
        example = ["sentiment: positive | negative | neutral", "score: 1..5 # how happy", "due: date?"]
        metadata = {"description": description, "example": example}
        super().__init__(
            fields.String(validate=_plain_text),
            data_key=data_key,
            allow_none=True,
            validate=_check_fields,
            metadata=metadata,
        )


class Flag(fields.Boolean):
    def __init__(self, **metadata: Any) -> None:
        super().__init__(allow_none=True, metadata=metadata)


class Reuse(fields.Field[int | str]):
    """For how many days answers are given again, or the id of the earlier job whose are."""

    default_error_messages = {  # noqa: RUF012 - marshmallow's own way
        "form": "give a number of days from 1 to 365, or the id of an earlier job"
    }

    def __init__(self, **metadata: Any) -> None:
        kinds = [{"type": "integer", "minimum": 1, "maximum": 365}, {"type": "string", "maxLength": 64}]
        super().__init__(allow_none=True, metadata={"anyOf": [*kinds, {"type": "null"}], **metadata})

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> int | str:
        if type(value) is int and 1 <= value <= 365:
            return value
        if isinstance(value, str) and 1 <= len(value) <= 64:
            return value
        raise self.make_error("form")


class JobChange(ma.Schema):
    """What can be changed about a job; omitted fields stay as they are."""

    name = Text(validate.Length(max=255), _check_name, description="null: none")
    metadata = JsonObject(
        _check_metadata, description="Replaces the current value.", example={"team": "reviews"}
    )
    priority = Whole(1, 10, description="10 is the most urgent.")
    max_cost = Dollars(description='USD, such as "2.50"; its calls never exceed it. null: no cap.')


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
    asks = Asks()
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
    answer_fields = AnswerFields(data_key="fields")
    escalate_to = Text(
        ModelName(),
        description="A stronger model of the same provider, which is asked where the job's own gives no"
        " answer that fits the schema.",
    )
    dedupe = Flag(
        description="Ask equal requests of the job once: the others are copies, which end with it and cost"
        " nothing. Turns of conversations are always asked."
    )
    try_first = Whole(
        1,
        1_000,
        " records",
        description="Ask so many records first, spread over all of them; then the job pauses, with its"
        " forecast by their answers, until it is resumed.",
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
    reuse = Reuse(
        description="A number of days: a record that asks the same as one of your jobs with `reuse` did, and"
        " was answered there within so long, has that answer. Or the id of an earlier job of the same"
        " records, such as a sample of the first ones: a record that asks the same as the one at its place"
        " there, and was answered, has that answer. It is not asked and costs nothing.",
    )
    prompt_cache = fields.Boolean(
        allow_none=True,
        metadata={
            "description": "Whether the provider is asked to keep what all records share, where that costs"
            " less; PROMPT_CACHE by default."
        },
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


class Separator(fields.String):
    """A character; a tab is the word `tab`, which every form can hold."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs)
        if text not in SEPARATORS:
            raise ma.ValidationError(f"give one of {' '.join(SEPARATORS)}; found {text[:20]}")
        return SEPARATORS[text]


class UploadFields(JobFields):
    """The fields of a submission whose records are in a file."""

    rows = Whole(1, 2**31 - 1, description="Only the first so many rows or lines that are asked.")
    sheet = Text(
        validate.Length(1, 255),
        description="The sheet of a workbook, by its name or its place; by default the first one shown.",
    )
    header_row = Whole(
        0,
        2**31 - 1,
        description="The row of a table that names the columns; 1 by default. 0: none does, and they are"
        " called `column 1`, `column 2` and so on.",
    )
    visible_only = Flag(description="Leave out the rows of a sheet that are hidden.")
    encoding = Text(
        validate.OneOf(encodings.NAMED, error=f"give one of {', '.join(encodings.NAMED)}; found {{input}}"),
        description="Of CSV or TSV; by default it is detected.",
    )
    separator = Separator(
        allow_none=True,
        metadata={
            "description": "Of the cells of CSV or TSV; by default it is detected.",
            "enum": [*SEPARATORS, None],
        },
    )
