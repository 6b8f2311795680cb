"""What every door turns its input into, and where the faults of an input are collected."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.errors import BadInput, Path
from app.ingest.operations import Operation
from app.ingest.values import byte_size, to_json

MAX_RECORD_BYTES = 32_000_000  # what a provider takes as one request
ENVELOPE_BYTES = 200  # model, max_tokens, role and the braces around them


class Draft(NamedTuple):
    """One record that is not stored yet.

    `body` is compact JSON, an object with exactly one of the keys `prompt` (text), `messages` (a list),
    `params` (a whole Messages request), `row` (an object of cells for the job's template, or for the job's
    operation that `operation` names beside it), `document` (as `app.ingest.documents.Document` writes it),
    `input` (a row of a tensor: a value or rectangular lists of them).
    """

    body: bytes
    # Of the request as it will be sent, about: prompts rendered, job-level parts included. A document counts
    # as the text that would be as many tokens.
    request_bytes: int
    custom_id: str | None = None
    conversation: str | None = None
    max_tokens: int | None = None
    model: str | None = None  # its own, if it names one
    unbounded: str | None = None  # why nobody can say what its call costs at most
    priced_by: dict[str, str] | None = None  # what of its own params its price hangs on, if anything
    held_bytes: int | None = None  # of memory that its request takes, if that is not `request_bytes`


@dataclass(frozen=True, slots=True)
class Defaults:
    """What belongs to the job and is stored once."""

    model: str
    max_tokens: int
    system: str | None = None
    template: str | None = None
    prompt: str | None = None  # asked about each document; None: documents are only stored
    schema: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    inputs: bool = False  # its model is asked with `input`s, and with nothing else
    operations: Mapping[str, Operation] = field(default_factory=dict)  # that its records name
    timeout: int | None = None  # seconds that a call may take; None: as long as any may
    request_bytes: int = field(init=False)  # what the job adds to each of its requests, about

    def __post_init__(self) -> None:
        added = sum(len(to_json(part)) for part in (self.schema, self.params) if part)
        said = byte_size(self.system or "") + byte_size(self.prompt or "")
        object.__setattr__(self, "request_bytes", ENVELOPE_BYTES + said + added)


def asking(
    name: str,
    row: Mapping[str, Any],
    defaults: Defaults,
    *,
    custom_id: str | None = None,
    conversation: str | None = None,
) -> Draft:
    """The draft of a record that asks the job's operation `name` about `row`.

    The row is stored whole, so that an answer can be shown beside what was asked. Raises `BadInput` if it
    does not fit the operation's templates.
    """
    operation = defaults.operations[name]
    said = operation.prompt_for(row) + (operation.system_for(row) or "")
    size = byte_size(said) + operation.schema_bytes + defaults.request_bytes
    return Draft(to_json({"operation": name, "row": row}), size, custom_id, conversation)


class Problems:
    """The faults of one input: all are counted, the first hundred are told."""

    TOLD = 100

    def __init__(self) -> None:
        self.listed: list[dict[str, Any]] = []
        self.paths: list[Path] = []
        self.count = 0

    def add(self, where: str, message: str, path: Path = ()) -> None:
        """`where` is the place as its author knows it: `line 7`, `row 3, column "review"`, `records[2]`.

        `path` is the same in steps; left out, it is the one step `where`.
        """
        self.count += 1
        if len(self.listed) < self.TOLD:
            self.listed.append({"where": _printable(where), "message": _printable(message)})
            self.paths.append(path or ("body", where))

    def refuse(self) -> None:
        """Raise `BadInput` if there was any fault."""
        if not self.count:
            return
        first = self.listed[0]
        message = f"{first['where']}: {first['message']}"
        if self.count > 1:
            message += f" (and {self.count - 1} more; nothing was stored)"
        raise BadInput(message, self.listed, more=self.count - len(self.listed), paths=self.paths)


def _printable(text: str) -> str:
    """Names of columns and keys are the sender's, and may hold half a surrogate pair."""
    return text.encode("utf-8", "backslashreplace").decode()
