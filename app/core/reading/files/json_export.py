"""Results as a JSON list: an object for each row, with its own cells and the answer's columns."""

from collections.abc import Iterable, Iterator

from app.core.reading.layout import Layout, Row
from app.ingest.values import to_json

CHUNK = 64_000  # bytes


def json_chunks(layout: Layout, rows: Iterable[Row]) -> Iterator[bytes]:
    """The list in pieces of about 64 kB, a row on each line; a cell that a row lacks is left out."""
    names = layout.added
    waiting, size, before = [b"["], 1, b"\n"
    for row in rows:
        own = {column: row.cells[column] for column in layout.columns if column in row.cells}
        line = to_json({**own, **dict(zip(names, layout.added_values(row), strict=True))})
        waiting += (before, line)
        size += len(line)
        before = b",\n"
        if size >= CHUNK:
            yield b"".join(waiting)
            waiting, size = [], 0
    waiting.append(b"\n]\n")
    yield b"".join(waiting)
