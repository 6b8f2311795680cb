"""Rows as lines of JSON, on disk where they are many."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping
from tempfile import SpooledTemporaryFile
from typing import Any

from penstock_client import frames
from penstock_client.given import Content

IN_MEMORY = 8_000_000  # bytes of rows; the rest goes to disk
NAMES = ("custom_id", "conversation")  # cells of a row that name its record, or what it is a turn of
COLUMN = "text"  # of rows that are texts


class Lines(Content):
    """Rows, each a line of JSON. `with_prompt`: they are rows for the prompt, and otherwise whole records."""

    def __init__(self, rows: Any, *, with_prompt: bool) -> None:
        super().__init__(SpooledTemporaryFile(max_size=IN_MEMORY), "rows.jsonl")  # noqa: SIM115 - see `__del__`
        self._with_prompt = with_prompt
        self.rows = rows if frames.library_of(rows) else None
        self._begins = array("Q")  # of the lines, in bytes
        self._are_texts = bytearray()  # for each row, whether it was given as a text
        digest, size = hashlib.sha256(), 0
        for number, row in enumerate(rows if self.rows is None else frames.rows_of(rows)):
            line = _line(number, row, with_prompt)
            self._begins.append(size)
            self._are_texts.append(isinstance(row, str))
            size += self.content.write(line)
            digest.update(line)
        self.digest = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._begins)

    def row(self, index: int) -> Any:
        if not 0 <= index < len(self):
            return None
        self.content.seek(self._begins[index])
        line = json.loads(self.content.readline())
        row = line["row"] if self._with_prompt else line
        return row[COLUMN if self._with_prompt else "prompt"] if self._are_texts[index] else row

    def cells(self) -> Iterator[dict[str, Any]]:
        """All rows as dicts."""
        rows = map(self.row, range(len(self)))
        return (row if isinstance(row, dict) else {COLUMN: row} for row in rows)


def _line(number: int, row: Any, with_prompt: bool) -> bytes:
    if isinstance(row, str):
        record: Mapping[Any, Any] = {"row": {COLUMN: row}} if with_prompt else {"prompt": row}
    elif isinstance(row, Mapping):
        record = _of_cells(row) if with_prompt else row
    else:
        raise TypeError(f"row {number}: give a dict or a text; found {type(row).__name__}")
    try:
        return _encoded(record)
    except (TypeError, ValueError) as error:
        raise TypeError(f"row {number}: {error}") from None


def _of_cells(row: Mapping[Any, Any]) -> Mapping[str, Any]:
    """A row under its own key, so that no column can be taken for a request of its own."""
    record: dict[str, Any] = {"row": {str(name): value for name, value in row.items()}}
    for name in NAMES:
        value = _plain(row.get(name))
        if value not in (None, ""):
            record[name] = str(value)
    return record


def _encoded(record: Mapping[Any, Any]) -> bytes:
    try:
        text = json.dumps(record, ensure_ascii=False, allow_nan=False, default=_known)
    except ValueError:  # not a number: what frames have where nothing is
        text = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False, default=_known)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # half of a surrogate pair can only be written as its code
        return json.dumps(json.loads(text)).encode() + b"\n"


def _plain(value: Any) -> Any:
    """The same without any `nan`."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and value != value else value  # noqa: PLR0124 - so nan is found


def _known(value: Any) -> Any:
    """What JSON has no form for."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, dt.datetime):
        is_date = value.tzinfo is None and value.time() == dt.time()
        return (value.date() if is_date else value).isoformat()
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if hasattr(value, "tolist"):  # of numpy: a number, or an array
        return _plain(value.tolist())
    if type(value).__module__ in ("decimal", "uuid", "fractions", "pathlib"):
        return str(value)
    raise TypeError(f"a value of the type {type(value).__name__} cannot be sent: make it a text or a number")
