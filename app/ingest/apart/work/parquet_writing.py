"""Results as Parquet, written a row group at a time; see `app.core.reading.files.parquet_export`."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import date
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.ingest.apart.frames import Asked

GROUP_ROWS, GROUP_CHARACTERS = 20_000, 32_000_000  # of a row group, about
TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
}

Columns = Sequence[tuple[str, str]]  # the name and the kind of each
Numbered = tuple[int, Sequence[Any]]  # a row of the file, from 0 on, and what it gets


def work() -> Generator[bytes, Asked, None]:
    """Is sent the columns first, then rows in chunks, then None; answers each time with what was written.

    With a file each row is its number in that file and the cells that it gets behind its own.
    """
    asked = yield b""
    columns, file, sink = asked.value, asked.file, _Sink()
    if file is None:
        yield from _new(columns, sink)
    else:
        yield from _beside(pq.ParquetFile(BufferedReader(file, 1_000_000), pre_buffer=False), columns, sink)


class _Sink:
    """Collects what is written until it is taken."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, content: Any) -> int:
        self._written.append(bytes(content))
        return len(self._written[-1])

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        content = b"".join(self._written)
        self._written.clear()
        return content


def _new(columns: Columns, sink: _Sink) -> Generator[bytes, Asked, None]:
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns])
    rows: list[Sequence[Any]] = []
    characters = 0
    with pq.ParquetWriter(sink, schema) as writer:
        while (chunk := (yield sink.take()).value) is not None:
            rows += chunk
            characters += sum(len(cell) for row in chunk for cell in row if isinstance(cell, str))
            if len(rows) >= GROUP_ROWS or characters > GROUP_CHARACTERS:
                writer.write_batch(pa.record_batch(list(_arrays(columns, rows)), schema=schema))
                rows, characters = [], 0
        if rows:
            writer.write_batch(pa.record_batch(list(_arrays(columns, rows)), schema=schema))
    yield sink.take()


def _beside(own: pq.ParquetFile, columns: Columns, sink: _Sink) -> Generator[bytes, Asked, None]:
    """The columns of the file as they are, in batches, with others behind them."""
    schema = own.schema_arrow
    for name, kind in columns:
        schema = schema.append(pa.field(name, TYPES[kind]))
    waiting: deque[Numbered] = deque()
    end, are_all = 0, False
    with pq.ParquetWriter(sink, schema) as writer:
        for batch in own.iter_batches(batch_size=GROUP_ROWS, use_threads=False):
            start, end = end, end + batch.num_rows
            while not are_all and (not waiting or waiting[-1][0] < end - 1):
                chunk = (yield sink.take()).value
                are_all = chunk is None
                waiting.extend(chunk or ())
            rows = _until(waiting, start, end, len(columns))
            arrays = [*batch.columns, *_arrays(columns, rows)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
        while not are_all:
            are_all = (yield sink.take()).value is None
    yield sink.take()


def _until(waiting: deque[Numbered], start: int, end: int, width: int) -> list[Sequence[Any]]:
    """What each row from `start` to before `end` gets: nothing where nothing waits for it."""
    rows: list[Sequence[Any]] = [(None,) * width] * (end - start)
    while waiting and waiting[0][0] < end:
        number, cells = waiting.popleft()
        rows[number - start] = cells
    return rows


def _arrays(columns: Columns, rows: Sequence[Sequence[Any]]) -> Iterator[Any]:
    for index, (_, kind) in enumerate(columns):
        fit = _FIT[kind]
        values = [None if row[index] is None else fit(row[index]) for row in rows]
        yield pa.array(values, TYPES[kind])


def _text(value: Any) -> str:
    """Half a surrogate pair, which UTF-8 has no place for, as its code."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _integer(value: Any) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _date(value: Any) -> date | None:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        return None


# What does not fit its column is left out: the kinds of columns are found before, and what a model answered
# is there as a text as well.
_FIT: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": _date,
}
