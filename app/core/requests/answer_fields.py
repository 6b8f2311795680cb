"""The fields of a structured answer, as a person lists them, and the JSON Schema that asks for them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.errors import BadInput
from app.ingest.draft import Problems
from app.ingest.values import is_plain, quoted

ONE_OF = "one of"
KINDS: Mapping[str, Mapping[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "whole number": {"type": "integer"},
    "yes or no": {"type": "boolean"},
    ONE_OF: {"type": "string"},
    "list of texts": {"type": "array", "items": {"type": "string"}},
}
MOST, LONGEST = 50, 100  # fields and choices; characters of a name


class AnswerField(NamedTuple):
    name: str
    kind: str
    choices: Sequence[str] = ()  # of the kind ONE_OF


def schema_of(fields: Sequence[AnswerField]) -> dict[str, Any] | None:
    """The schema of an answer with these fields, all of them required; None without any.

    Raises `BadInput` with every fault, at `field 1` and so on.
    """
    if not fields:
        return None
    if len(fields) > MOST:
        raise BadInput(f"an answer may have {MOST} fields here, and {len(fields):,} are listed")
    problems, properties = Problems(), dict[str, Any]()
    for number, field in enumerate(fields, start=1):
        for fault in _faults(field, properties):
            problems.add(f"field {number}", fault)
        choices = {"enum": list(field.choices)} if field.kind == ONE_OF else {}
        properties[field.name] = {**KINDS.get(field.kind, {}), **choices}
    problems.refuse()
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _faults(field: AnswerField, before: Mapping[str, Any]) -> list[str]:
    found = []
    if not field.name:
        found.append("give it a name")
    elif len(field.name) > LONGEST or not is_plain(field.name):
        found.append(f"its name must be plain text of up to {LONGEST} characters")
    elif field.name in before:
        found.append(f"another field is called {quoted(field.name)}, too")
    if field.kind not in KINDS:
        found.append(f"give it one of the kinds {', '.join(KINDS)}")
    if field.kind == ONE_OF:
        if not 2 <= len(field.choices) <= MOST:
            found.append(f"give 2 to {MOST} choices, parted by commas")
        elif len(set(field.choices)) < len(field.choices):
            found.append("a choice is listed twice")
    return found
