"""Operations: named ways to build a request, from config/operations.toml.

A job stores the operations that its records name, so that later changes do not affect it.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib import resources
from typing import Any

from app.ingest.templates import Template, compile_template
from app.ingest.values import to_json


@dataclass(frozen=True)
class Operation:
    """One operation: templates for a record's row, and the JSON Schema of its answer.

    For the rows of a table, `names` maps the template's names to columns, and `values` are the job's values
    for all rows.
    """

    prompt: str
    system: str | None = None
    schema: Mapping[str, Any] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise `BadInput` for a template that cannot be used."""
        self._prompt, self._system  # noqa: B018 - compiled with the first access

    def prompt_for(self, row: Mapping[str, Any]) -> str:
        """The prompt for `row`; raises `BadInput` if the row does not fit the template."""
        return self._prompt.render(self._named(row))

    def system_for(self, row: Mapping[str, Any]) -> str | None:
        """The system prompt that goes with it."""
        return None if self._system is None else self._system.render(self._named(row))

    def _named(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self.names and not self.values:
            return row
        return {**row, **self.values, **{name: row[column] for name, column in self.names.items()}}

    @cached_property
    def _prompt(self) -> Template:
        return compile_template(self.prompt)

    @cached_property
    def _system(self) -> Template | None:
        return None if self.system is None else compile_template(self.system)

    @cached_property
    def schema_bytes(self) -> int:
        return 0 if self.schema is None else len(to_json(self.schema))


@cache
def shipped() -> Mapping[str, Operation]:
    """The operations of config/operations.toml by name."""
    return _read(
        tomllib.loads(resources.files("config").joinpath("operations.toml").read_text(encoding="utf-8"))
    )


def to_bytes(operations: Mapping[str, Operation]) -> bytes | None:
    """A job's operations as stored; None for none."""
    if not operations:
        return None
    names = [one.name for one in fields(Operation)]
    return to_json({name: {part: getattr(one, part) for part in names} for name, one in operations.items()})


def from_bytes(stored: bytes | None) -> Mapping[str, Operation]:
    return {} if stored is None else _read(json.loads(stored))


def _read(table: Mapping[str, Mapping[str, Any]]) -> dict[str, Operation]:
    return {
        name: Operation(**{**parts, "prompt": parts["prompt"].strip("\n")}) for name, parts in table.items()
    }
