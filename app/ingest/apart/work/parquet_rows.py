"""The rows of a Parquet file as values of JSON, a batch of a row group at a time."""

import base64
import math
from collections.abc import Callable, Generator, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.ingest.apart.frames import Asked
from app.ingest.apart.work.chunks import in_chunks, rows_for, too_many

BATCH = 1_000  # rows that are unpacked at once
AS_THEY_ARE = (str, int, bool)


def work() -> Generator[Any, Asked, None]:
    """Answers first with the names of the columns, then with rows, a chunk each time."""
    file = (yield).opened()
    parquet = pq.ParquetFile(BufferedReader(file, 1_000_000), pre_buffer=False)
    if parquet.metadata.num_rows > rows_for(file.size):
        raise too_many(file.size)
    yield list(parquet.schema_arrow.names)
    yield from in_chunks(_rows(parquet), file.size)


def _rows(parquet: pq.ParquetFile) -> Iterator[list[Any]]:
    for batch in parquet.iter_batches(batch_size=BATCH, use_threads=False):
        columns = [list(map(value_of, _listed(column))) for column in batch.columns]
        yield from map(list, zip(*columns, strict=True))


def _listed(column: "pa.Array[Any]") -> list[Any]:
    """Values of Python; of moments finer than a microsecond what it holds of them."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    if pa.types.is_time64(column.type) and column.type.unit == "ns":
        column = column.cast(pa.time64("us"), safe=False)
    if pa.types.is_duration(column.type) and column.type.unit == "ns":
        column = column.cast(pa.duration("us"), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def value_of(value: Any) -> Any:
    """A value as JSON has it: moments in ISO 8601, decimals as texts, bytes as UTF-8 or base64."""
    if value is None or type(value) in AS_THEY_ARE:
        return value
    write = _WRITTEN.get(type(value))
    return str(value) if write is None else write(value)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _bytes(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()


def _members(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value_of(part) for name, part in value.items()}


_WRITTEN: dict[type, Callable[[Any], Any]] = {
    float: _number,
    Decimal: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    timedelta: str,
    bytes: _bytes,
    list: lambda value: list(map(value_of, value)),
    tuple: lambda value: list(map(value_of, value)),
    dict: _members,
}
