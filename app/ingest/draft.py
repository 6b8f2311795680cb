"""What every entry point turns its input into, and where the errors of an input are collected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.errors import BadInput, Fault, Path
from app.ingest.beginnings.common import SharedInput
from app.ingest.operations import Operation
from app.ingest.values import byte_size, is_deeper, to_json

MAX_RECORD_BYTES = 32_000_000  # the largest request that a provider accepts
MAX_DEPTH = 100  # of lists and objects: later readers may have less stack than this one
REFUSED = b'{"refused":'  # how the body of a record begins that is never asked
ENVELOPE_BYTES = 200  # model, max_tokens, role and the braces around them


class Draft(NamedTuple):
    """One record that is not stored yet.

    `body` is compact JSON, an object with exactly one of the keys `prompt` (a string), `messages` (a list),
    `params` (a complete Messages request), `row` (an object of cells for the job's template, or for the job's
    operation named in `operation`), `document` (as written by `app.ingest.documents.Document`), `input` (a
    row of a tensor: a value or rectangular lists of them), `url` (a path of an OpenAI-compatible API, to
    which the object in `body`, next to it, is sent as it stands), `refused` (an object with the `type` and
    the `message` of why the record is never asked: its contract lets it fail by itself).
    """

    body: bytes
    # The approximate size of the request as it will be sent: prompts rendered, job-level parts included. A
    # document counts as the text with as many tokens.
    request_bytes: int
    custom_id: str | None = None
    conversation: str | None = None
    max_tokens: int | None = None
    model: str | None = None  # its own, if it names one
    unbounded: str | None = None  # why its call's cost has no upper bound
    priced_by: dict[str, str] | None = None  # its own params that affect its price, if any
    held_bytes: int | None = None  # of memory that its request takes, if different from `request_bytes`


@dataclass(frozen=True, slots=True)
class Defaults:
    """What belongs to the job and is stored once."""

    model: str
    max_tokens: int
    system: str | None = None
    template: str | None = None
    prompt: str | None = None  # sent with each document; None: documents are only stored
    schema: Mapping[str, Any] | None = None
    escalate_to: str | None = None  # the model that is asked where the job's gives no answer that fits
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: bool = False  # its model takes `input`s
    messages: bool = True  # its model takes everything else
    whole: bool = False  # its model takes requests for a path of an OpenAI-compatible API
    operations: Mapping[str, Operation] = field(default_factory=dict)  # those that its records name
    prompt_cache: bool | None = (
        None  # what its records share may be kept by the provider; None: by the setting
    )
    shared_input: SharedInput | None = None  # of records that bring their own messages; None: nothing
    timeout: int | None = None  # seconds that a call may take; None: no limit of the job's own
    # What its submitter's own client said to the provider, by lower-case names: goes with each of its calls.
    headers: Mapping[str, str] = field(default_factory=dict)
    request_bytes: int = field(init=False)  # the approximate size that the job adds to each request

    def __post_init__(self) -> None:
        added = sum(len(to_json(part)) for part in (self.schema, self.params) if part)
        shared = byte_size(self.system or "") + byte_size(self.prompt or "")
        object.__setattr__(self, "request_bytes", ENVELOPE_BYTES + shared + added)


def asking(
    name: str,
    row: Mapping[str, Any],
    defaults: Defaults,
    *,
    custom_id: str | None = None,
    conversation: str | None = None,
) -> Draft:
    """The draft of a record that runs the job's operation `name` on `row`.

    The row is stored whole, so that an answer can be shown next to it. Raises `BadInput` if it does not fit
    the operation's templates.
    """
    operation = defaults.operations[name]
    text = operation.prompt_for(row) + (operation.system_for(row) or "")
    size = byte_size(text) + operation.schema_bytes + defaults.request_bytes
    return Draft(to_json({"operation": name, "row": row}), size, custom_id, conversation)


def refused(type: str, message: str, *, custom_id: str | None = None) -> Draft:
    """The draft of a record that fails with this error when its turn comes, without a call."""
    return Draft(to_json({"refused": {"type": type, "message": message}}), ENVELOPE_BYTES, custom_id)


def as_json(value: Any) -> bytes:
    """A part of a record, as it is stored; raises `Fault` for what is too deep, and for what is no JSON."""
    if is_deeper(value, MAX_DEPTH):
        raise Fault(f"it is nested over {MAX_DEPTH} deep")
    try:
        return to_json(value)
    except ValueError as error:
        raise Fault(f"it cannot be written as JSON: {error}") from None


def sized(size: int, defaults: Defaults) -> int:
    """Bytes of a request, `size` of which are the record's own; raises `Fault` where they are too many."""
    total = size + defaults.request_bytes
    if total > MAX_RECORD_BYTES:
        raise Fault(f"the request has {total:,} bytes; the limit is {MAX_RECORD_BYTES:,}")
    return total


class Problems:
    """The errors of one input: all are counted, the first hundred are listed."""

    TOLD = 100

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.paths: list[Path] = []
        self.count = 0

    def add(self, where: str, message: str, path: Path = ()) -> None:
        """`where` is the position in its author's terms: `line 7`, `row 3, column "review"`, `records[2]`.

        `path` is the same in steps; by default the single step `where`.
        """
        self.count += 1
        if len(self.listed) < self.TOLD:
            self.listed.append({"where": _printable(where), "message": _printable(message)})
            self.paths.append(path or ("body", where))

    def refuse(self) -> None:
        """Raise `BadInput` if there was any error."""
        if not self.count:
            return
        first = self.listed[0]
        message = f"{first['where']}: {first['message']}"
        if self.count > 1:
            message += f" (and {self.count - 1} more; nothing was stored)"
        raise BadInput(message, self.listed, more=self.count - len(self.listed), paths=self.paths)


def _printable(text: str) -> str:
    """Names of columns and keys are chosen by the sender, and may contain unpaired surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()
