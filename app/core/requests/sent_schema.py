"""The copy of a JSON Schema that a provider is sent: what it does not know there is put into words.

A provider that constrains an answer while it is written knows a part of JSON Schema, and refuses every
request whose schema has anything else. Bounds, patterns and the like go into the description, where the model
can read them; the answer is checked against the whole schema here.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from app.errors import BadInput

FORMATS = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
LONGEST = 2_000  # characters of constraints in a description

_ONE, _LISTS, _NAMED = ("items",), ("anyOf", "oneOf", "allOf"), ("properties", "$defs", "definitions")
_KNOWN = frozenset({"type", "title", "$ref", "required"})  # sent as they are
_UNSAID = frozenset({"$schema", "$id", "$comment", "additionalProperties", "description"})


def of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The copy. An object in it has no other properties than those that it names."""
    sent: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for name, value in schema.items():
        if name == "oneOf" and "anyOf" not in schema:
            sent["anyOf"] = _part(name, value)
        elif _is_known(name, value) and name != "oneOf":
            sent[name] = _part(name, value)
        elif name not in _UNSAID:
            left[name] = value
    if "$ref" in schema:  # stands alone, but for the definitions
        return {name: part for name, part in sent.items() if name in ("$ref", "$defs", "definitions")}
    if "object" in _types(schema):
        sent["additionalProperties"] = False
        _name_required(sent)
    if said := "\n\n".join(filter(None, [_description(schema), _said(left)])):
        sent["description"] = said
    return sent


def _name_required(sent: dict[str, Any]) -> None:
    """What is required and nowhere described may be anything; without a name it could not be there."""
    required, named = sent.get("required"), sent.get("properties", {})
    if not isinstance(required, list) or not isinstance(named, Mapping):
        return
    missing = [name for name in required if isinstance(name, str) and name not in named]
    if missing:
        sent["properties"] = {**named, **{name: {} for name in missing}}


def refuse_open(schema: Mapping[str, Any], place: str = "schema") -> None:
    """Raise `BadInput` for an object that names no property but describes those of any name.

    A provider that constrains an answer wants every property named, so all that it could be is `{}`.
    """
    opens = _opens(schema)
    if opens and not schema.get("properties") and "object" in _types({"type": "object", **schema}):
        raise BadInput(
            f"{place}: {opens[0]} describes properties without names, so the answer would be {{}}: name them"
            " in properties, or ask for a list of objects with a name and a value"
        )
    for step, part in _parts(schema):
        refuse_open(part, f"{place}/{step}")


def unsent(schema: Mapping[str, Any], place: str = "schema") -> list[str]:
    """Where objects may have more properties than they name: no answer has those, for the same reason."""
    named = "object" in _types(schema) and schema.get("properties")
    inner = [found for step, part in _parts(schema) for found in unsent(part, f"{place}/{step}")]
    return [*(f"{place}/{name}" for name in _opens(schema) if named), *inner]


def _opens(schema: Mapping[str, Any]) -> list[str]:
    """The words by which it describes properties of any name."""
    words = ("additionalProperties", "patternProperties")
    return [word for word in words if isinstance(schema.get(word), Mapping) and schema[word]]


def _parts(schema: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The schemas within one, with where they stand, as far as they are sent."""
    for name in (*_ONE, *_LISTS, *_NAMED):
        value = schema.get(name)
        inner: list[tuple[str, Any]] = [(name, value)] if name in _ONE else []
        if name in _LISTS and isinstance(value, list):
            inner = [(f"{name}/{number}", part) for number, part in enumerate(value)]
        elif name in _NAMED and isinstance(value, Mapping):
            inner = [(f"{name}/{key}", part) for key, part in value.items()]
        yield from ((step, part) for step, part in inner if isinstance(part, Mapping))


def _part(name: str, value: Any) -> Any:
    if name in _ONE:
        return _copy(value)
    if name in _LISTS and isinstance(value, list):
        return [_copy(part) for part in value]
    if name in _NAMED and isinstance(value, Mapping):
        return {inner: _copy(part) for inner, part in value.items()}
    return value


def _copy(part: Any) -> Any:
    if isinstance(part, Mapping):
        return of(part)
    return {} if part is True else part


def _is_known(name: str, value: Any) -> bool:
    if name == "format":
        return value in FORMATS
    if name == "minItems":
        return value in (0, 1)
    if name == "items":
        return value is True or isinstance(value, Mapping)
    if name in ("enum", "const"):
        values = value if name == "enum" and isinstance(value, list) else [value]
        return not any(isinstance(one, list | Mapping) for one in values)
    return name in _KNOWN or name in _LISTS or name in _NAMED


def _types(schema: Mapping[str, Any]) -> list[Any]:
    """Its types; a schema with properties and without a type means an object."""
    types = schema.get("type", "object" if "properties" in schema else [])
    return types if isinstance(types, list) else [types]


def _description(schema: Mapping[str, Any]) -> str:
    description = schema.get("description")
    return description if isinstance(description, str) else ""


def _said(left: Mapping[str, Any]) -> str:
    """Constraints as text, such as `{minimum: 1, maximum: 10}`."""
    if not left:
        return ""
    said = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in left.items())
    return "{" + (said if len(said) <= LONGEST else said[:LONGEST] + "…") + "}"
