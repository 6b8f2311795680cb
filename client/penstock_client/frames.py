"""Frames of pandas and polars, and tables of pyarrow: read without importing what the caller has not."""

from __future__ import annotations

import importlib
import importlib.util
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from typing import Any

from penstock_client.errors import PenstockError
from penstock_client.objects import Answer

LIBRARIES = ("pandas", "polars")
KINDS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "Table"}
AT_ONCE = 10_000  # rows of a frame that are Python's own objects at a time


def library_of(rows: Any) -> str | None:
    """The library whose frame this is; None for anything else."""
    kind = type(rows)
    library = kind.__module__.partition(".")[0]
    return library if KINDS.get(library) == kind.__name__ else None


def rows_of(frame: Any) -> Iterator[dict[str, Any]]:
    """The rows of a frame; what is missing in one is None."""
    library = library_of(frame)
    if library == "polars":
        yield from frame.iter_rows(named=True)
    elif library == "pyarrow":
        for batch in frame.to_batches(max_chunksize=AT_ONCE):
            yield from batch.to_pylist()
    else:
        names = [str(name) for name in frame.columns]
        for start in range(0, len(frame), AT_ONCE):
            part = frame.iloc[start : start + AT_ONCE]
            columns = (part.iloc[:, number] for number in range(len(names)))
            cells = [column.astype(object).where(column.notna(), None).tolist() for column in columns]
            yield from (dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True))


def chosen(wanted: str | None, rows: Any) -> str:
    """The library for a frame of answers: the one that is wanted, that of the rows, or one that is there."""
    own = library_of(rows)
    found = wanted or (own if own in LIBRARIES else None)
    if found is None:
        found = next((name for name in LIBRARIES if importlib.util.find_spec(name)), None)
    if found not in LIBRARIES:
        raise PenstockError(f"a frame is one of {' or '.join(LIBRARIES)}: install one of them")
    return found


def with_columns(library: str, rows: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    """The frame of `rows` (a frame, or a list of dicts) with further columns on its right."""
    return _pandas(rows, columns) if library == "pandas" else _polars(rows, columns)


def _pandas(rows: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    pd = importlib.import_module("pandas")
    if library_of(rows) is None:
        frame = pd.DataFrame(list(rows))
    else:
        frame = rows.copy() if library_of(rows) == "pandas" else rows.to_pandas()
    for name, values in columns.items():
        # Whole numbers stay whole where some are missing.
        column = pd.Series(list(values), index=frame.index, dtype=object)
        frame[name] = column.convert_dtypes() if _is_plain(values) else column
    return frame


def _polars(rows: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    pl = importlib.import_module("polars")
    own = library_of(rows)
    if own == "polars":
        frame = rows
    elif own == "pyarrow":
        frame = pl.from_arrow(rows)
    elif own == "pandas":
        frame = pl.from_pandas(rows)
    else:
        frame = pl.DataFrame(list(rows), infer_schema_length=None, strict=False)
    return frame.with_columns([pl.Series(name, values, strict=False) for name, values in columns.items()])


def of_table(library: str, table: bytes) -> Any:
    """The frame of a plain CSV file."""
    content = BytesIO(table.removeprefix(BOM_UTF8))
    if library == "pandas":
        return importlib.import_module("pandas").read_csv(content)
    return importlib.import_module("polars").read_csv(content, infer_schema_length=None)


def _is_plain(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, (dict, list)) for value in values)


def columns_of(
    answers: Sequence[Answer], count: int, status: str, properties: Sequence[str], taken: Sequence[str]
) -> dict[str, list[Any]]:
    """The columns of answers, in the order of `count` rows.

    An answer with named properties has one for each of them, every other a single one; a name that the rows
    have already gets `answer.` before it. Where a row has no answer there is None, and `status`.
    """
    rows: dict[int, Answer] = {answer.index: answer for answer in answers}
    ordered = [rows.get(index) for index in range(count)]
    values = [answer.value if answer and isinstance(answer.value, dict) else {} for answer in ordered]
    columns: dict[str, list[Any]] = {name: [value.get(name) for value in values] for name in properties}
    if not properties:
        columns["answer"] = [answer and _whole(answer) for answer in ordered]
    columns["status"] = [answer.status if answer else status for answer in ordered]
    columns["error"] = [answer and _reason(answer) for answer in ordered]
    columns["cost"] = [answer and _cost(answer) for answer in ordered]
    return {f"answer.{name}" if name in taken else name: column for name, column in columns.items()}


def _whole(answer: Answer) -> Any:
    return answer.text if answer.value is None else answer.value


def _reason(answer: Answer) -> str | None:
    return f"{answer.error.type}: {answer.error.message}" if answer.error else None


def _cost(answer: Answer) -> float | None:
    return None if answer.cost is None else float(answer.cost)
