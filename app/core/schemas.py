"""Checking answers against the JSON Schema of their job."""

from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from app.errors import BadInput


def compile_schema(schema: Mapping[str, Any]) -> jsonschema_rs.Validator:
    """A validator; raises `BadInput` when `schema` is none.

    Patterns run in linear time, so no answer can keep a worker busy; references outside of the schema are
    refused, so nothing is fetched.
    """
    try:
        return jsonschema_rs.validator_for(
            dict(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        raise BadInput(f"schema: it is no JSON Schema that can be used: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:500]
