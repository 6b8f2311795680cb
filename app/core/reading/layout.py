"""The columns of a results table: those of the input, those of the answers, and what they took."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.ingest.values import as_text

ANSWER = "answer"
OUTCOME = ("status", "stop_reason", "error", "input_tokens", "output_tokens", "cost")
DATE = "date"
JOINED = "; "  # between the texts of a list


@dataclass(frozen=True, slots=True)
class AnswerColumn:
    """A property of the answers. `type`: as JSON Schema calls it, or `date`; None: of several, or unknown."""

    name: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One record and its result; `cells` are by column, and some may be missing."""

    cells: Mapping[str, Any]
    answer: str | None
    status: str
    error: str | None
    input_tokens: int | None
    output_tokens: int | None
    cost: str | None  # USD, a decimal
    stop_reason: str | None = None  # why the answer ended, in the provider's word
    value: Any = None  # the answer's JSON, under a schema
    answers: Sequence[str | None] = ()  # of a row that was asked several prompts


@dataclass(frozen=True, slots=True)
class Layout:
    """`answer`: the whole answer has a column, too. `joins_lists`: lists of texts are one text, not JSON.

    `asks` are the names of the prompts of each row, if they are several: each answer has a column then.
    """

    columns: Sequence[str]
    fields: Sequence[AnswerColumn] = ()
    answer: bool = True
    joins_lists: bool = False
    asks: Sequence[str] = ()

    @property
    def header(self) -> list[str]:
        return [*self.columns, *self.added]

    @property
    def added(self) -> list[str]:
        """The names of the columns that the input does not have.

        A property that has the name of one of the input's columns gets the prefix `answer.`, what it took
        `penstock_`.
        """
        names = list(self.columns)
        for name in self.asks or [field.name for field in self.fields]:
            names.append(_free(name, "answer.", names))
        for name in ((ANSWER,) if self._has_answer else ()) + OUTCOME:
            names.append(_free(name, "penstock_", names))
        return names[len(self.columns) :]

    @property
    def types(self) -> list[str | None]:
        """Those of the added columns, as `AnswerColumn` has them."""
        own: list[str | None] = [field.type for field in self.fields]
        if self.asks:
            own = ["string"] * len(self.asks)
        return [*own, *["string"] * (3 + self._has_answer), "integer", "integer", "number"]

    def cells(self, row: Row) -> list[Any]:
        """The cells of one row, in the order of `header`."""
        return [*map(row.cells.get, self.columns), *self.added_cells(row)]

    def added_cells(self, row: Row) -> list[Any]:
        """Those of the added columns: text, numbers, booleans, dates; the cost is the last, as text."""
        if self.asks:
            return [*row.answers, *self._took(row)]
        return [*map(self._cell, self.fields, self._values(row)), *self._took(row)]

    def added_values(self, row: Row) -> list[Any]:
        """The same as JSON has them: lists and objects as they are."""
        return [*(row.answers if self.asks else self._values(row)), *self._took(row)]

    @property
    def _has_answer(self) -> bool:
        return self.answer and not self.asks

    def _values(self, row: Row) -> list[Any]:
        found = row.value if isinstance(row.value, Mapping) else {}
        return [found.get(field.name) for field in self.fields]

    def _took(self, row: Row) -> list[Any]:
        took = [row.status, row.stop_reason, row.error, row.input_tokens, row.output_tokens, row.cost]
        return [row.answer, *took] if self._has_answer else took

    def _cell(self, field: AnswerColumn, value: Any) -> Any:
        if field.type == DATE and isinstance(value, str):
            return _date(value)
        if field.type == "integer" and isinstance(value, float) and value.is_integer():
            return int(value)  # in JSON Schema 4.0 is one
        if (
            isinstance(value, list)
            and self.joins_lists
            and not any(isinstance(v, dict | list) for v in value)
        ):
            return JOINED.join(map(as_text, value))
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False)
        return value


def fields_of(schema: Mapping[str, Any] | None) -> list[AnswerColumn]:
    """The columns of answers under a schema: its properties, in their order; none if it has no such form."""
    named = _resolved(schema or {}, schema or {}).get("properties")
    if not isinstance(named, Mapping):
        return []
    return [AnswerColumn(name, _type(_resolved(part, schema or {}))) for name, part in named.items()]


def _resolved(part: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a part of a schema is, if it is a reference into its own definitions."""
    found = part
    for _ in range(10):  # a reference may lead to another, or to itself
        reference = found.get("$ref") if isinstance(found, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found = root
        for step in filter(None, reference.removeprefix("#").split("/")):
            found = found.get(step) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _type(part: Mapping[str, Any]) -> str | None:
    types = part.get("type")
    of = [types] if isinstance(types, str) else types if isinstance(types, list) else []
    but_null = [kind for kind in of if kind != "null"]
    if len(but_null) != 1 or not isinstance(but_null[0], str):
        return None
    return DATE if but_null[0] == "string" and part.get("format") == "date" else but_null[0]


def _date(text: str) -> dt.date | str:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return text


def _free(name: str, prefix: str, taken: Sequence[str]) -> str:
    while name in taken:
        name = f"{prefix}{name}"
    return name
