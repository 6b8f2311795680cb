"""The copy of a JSON Schema for a provider that enforces one only if its objects require every property.

There a property that may be left out is null instead. An answer is read back as it was meant: without what is
null and could not be.
"""

from collections.abc import Mapping
from typing import Any

from app.core.requests import sent_schema

NULL = {"type": "null"}


def of(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The copy; the schema itself where an object names no property, which nobody can enforce."""
    copy = sent_schema.of(schema)
    return schema if _is_open(copy) else _required(copy)


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """An answer without properties that are null, may be left out and may not be null."""
    if isinstance(value, list) and isinstance(items := schema.get("items"), Mapping):
        return [without_nulls(one, items) for one in value]
    named = schema.get("properties")
    if not isinstance(value, dict) or not isinstance(named, Mapping):
        return value
    required = schema.get("required") or ()
    return {
        name: without_nulls(part, named[name]) if isinstance(named.get(name), Mapping) else part
        for name, part in value.items()
        if part is not None or name in required or _takes_null(named.get(name))
    }


def _is_open(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_is_open, schema))
    if not isinstance(schema, Mapping):
        return False
    if schema.get("additionalProperties") is False and not schema.get("properties"):
        return True
    return any(map(_is_open, schema.values()))


def _required(part: Any) -> Any:
    if isinstance(part, list):
        return [_required(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    made = {name: _required(inner) for name, inner in part.items()}
    if made.get("additionalProperties") is False:
        before = part.get("required") or ()
        named = made["properties"]
        made["properties"] = {n: one if n in before else _or_null(one) for n, one in named.items()}
        made["required"] = list(named)
    return made


def _or_null(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if _takes_null(part):
        return part
    if isinstance(part.get("type"), str) and "const" not in part:
        choices = {"enum": [*part["enum"], None]} if "enum" in part else {}
        return {**part, "type": [part["type"], "null"], **choices}
    return {"anyOf": [part, NULL]}


def _takes_null(part: Any) -> bool:
    if not isinstance(part, Mapping):
        return True
    types = part.get("type")
    if types == "null" or (isinstance(types, list) and "null" in types):
        return True
    if "enum" in part:
        return None in part["enum"]
    return any(map(_takes_null, part.get("anyOf") or ())) or not part
