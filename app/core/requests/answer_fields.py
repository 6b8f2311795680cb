"""The fields of a structured answer, as a person lists them, and the JSON Schema that asks for them.

A field is `name: kind`, as in `sentiment: positive | negative | neutral`. After ` #` comes what the model
should know of it, and `?` behind the name or the kind says that an answer may leave it out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import BadInput, Fault
from app.ingest.draft import Problems
from app.ingest.values import is_plain, quoted

KINDS: Mapping[str, Mapping[str, Any]] = {
    "text": {"type": "string"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "yes/no": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
SPELT = "text, number, integer, yes/no, date, 1..5, a | b | c, or list of any of these"
MOST, LONGEST, LONGEST_DESCRIPTION = 50, 100, 1_000  # fields and choices; characters of a name or a choice
LIST = "list of "

_RANGE = re.compile(r"(-?\d{1,15}(?:\.\d{1,9})?)\s*\.\.\s*(-?\d{1,15}(?:\.\d{1,9})?)", re.ASCII)
_DESCRIPTION = re.compile(r"\s#\s*")


def schema_of(fields: Iterable[str]) -> dict[str, Any] | None:
    """The schema of an answer with these fields; None without any.

    Raises `BadInput` with every fault, at `field 1` and so on.
    """
    problems, properties, required = Problems(), dict[str, Any](), list[str]()
    for number, text in enumerate(fields, start=1):
        if number > MOST:
            raise BadInput(f"fields: an answer may have {MOST} fields, and more are listed: give a schema")
        try:
            name, is_optional, asked = _field(text, properties)
        except Fault as fault:
            problems.add(f"field {number}", str(fault), ("fields", number - 1))
            continue
        properties[name] = asked
        if not is_optional:
            required.append(name)
    problems.refuse()
    if not properties:
        return None
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _field(text: str, before: Mapping[str, Any]) -> tuple[str, bool, dict[str, Any]]:
    """Its name, whether it may be left out, and what it may be; raises `Fault`."""
    shown, *rest = _DESCRIPTION.split(text, maxsplit=1)
    name, colon, kind = shown.partition(":")
    is_optional = name.rstrip().endswith("?") or kind.rstrip().endswith("?")
    name, kind = name.strip().removesuffix("?").rstrip(), kind.strip().removesuffix("?").rstrip()
    if not colon or not kind:
        raise Fault(f"give `name: kind`, and as its kind one of {SPELT}; found {quoted(text[:LONGEST])}")
    if not name:
        raise Fault("give it a name before the colon")
    if len(name) > LONGEST or not is_plain(name):
        raise Fault(f"its name must be plain text of up to {LONGEST} characters")
    if name in before:
        raise Fault(f"another field is called {quoted(name)}, too")
    asked = _kind(kind)
    if is_optional:
        asked = _or_null(asked)
    if rest:
        if len(rest[0]) > LONGEST_DESCRIPTION or not is_plain(rest[0]):
            raise Fault(f"its description must be plain text of up to {LONGEST_DESCRIPTION:,} characters")
        asked["description"] = rest[0].strip()
    return name, is_optional, asked


def _kind(kind: str) -> dict[str, Any]:
    if kind.lower().startswith(LIST):
        inner = kind[len(LIST) :].strip()
        if inner.lower().startswith(LIST):
            raise Fault("a list of lists is not a kind of field: give a schema")
        return {"type": "array", "items": _kind(inner)}
    if "|" in kind:
        return {"type": "string", "enum": _choices(kind)}
    if found := _RANGE.fullmatch(kind):
        return _between(*found.groups())
    if kind.lower() not in KINDS:
        raise Fault(f"{quoted(kind[:LONGEST])} is not a kind: give one of {SPELT}")
    return dict(KINDS[kind.lower()])


def _choices(kind: str) -> list[str]:
    choices = [choice.strip() for choice in kind.split("|")]
    if not all(choices):
        raise Fault("a choice is empty: give text on both sides of each |")
    if len(choices) > MOST or any(len(choice) > LONGEST or not is_plain(choice) for choice in choices):
        raise Fault(f"give up to {MOST} choices, each plain text of up to {LONGEST} characters")
    if len(set(choices)) < len(choices):
        raise Fault("a choice is listed twice")
    return choices


def _between(low: str, high: str) -> dict[str, Any]:
    is_whole = "." not in low + high
    least, most = (int(low), int(high)) if is_whole else (float(low), float(high))
    if least >= most:
        raise Fault(f"{low}..{high} has nothing in it: give the lower bound first")
    return {"type": "integer" if is_whole else "number", "minimum": least, "maximum": most}


def _or_null(asked: dict[str, Any]) -> dict[str, Any]:
    """The same, or null: some providers want every property of an answer in it."""
    choices = {"enum": [*asked["enum"], None]} if "enum" in asked else {}
    return {**asked, "type": [asked["type"], "null"], **choices}
