"""Rows in chunks: each small enough for whoever gets it, all together no more than their file may give."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

CELLS, CHARACTERS = 50_000, 4_000_000  # of a chunk, about
MAX_ROW_CHARACTERS = 32_000_000
# A row takes ten microseconds of whoever gets it. What real programs write takes over five bytes a row.
FREE_ROWS, ROWS_PER_BYTE = 20_000, 1
WIDE = 8  # cells that cost as much as another row


def in_chunks(rows: Iterable[Sequence[Any]], size: int) -> Iterator[list[list[Any]]]:
    """The rows, without what is empty behind the last cell of each; `size` is that of the file in bytes.

    Raises `ValueError` for more cells than a file of its size may have, and for a row that is too long.
    """
    chunk: list[list[Any]] = []
    cells = characters = 0
    room = rows_for(size)
    for number, row in enumerate(rows, start=1):
        filled = _filled(row)
        length = sum(len(cell) for cell in filled if isinstance(cell, str))
        if length > MAX_ROW_CHARACTERS:
            raise ValueError(f"row {number} has over {MAX_ROW_CHARACTERS:,} characters, the limit of a row")
        room -= 1 + len(filled) // WIDE
        if room < 0:
            raise too_many(size)
        chunk.append(filled)
        cells += len(filled) + 1
        characters += length
        if cells > CELLS or characters > CHARACTERS:
            yield chunk
            chunk = []
            cells = characters = 0
    if chunk:
        yield chunk


def rows_for(size: int) -> int:
    """Narrow rows that a file of `size` bytes may give."""
    return FREE_ROWS + ROWS_PER_BYTE * size


def too_many(size: int) -> ValueError:
    return ValueError(
        f"it has {size:,} bytes and more rows or cells than a file of its size may: save it as CSV or JSONL"
    )


def _filled(row: Sequence[Any]) -> list[Any]:
    width = len(row)
    while width and (row[width - 1] == "" or row[width - 1] is None):
        width -= 1
    return ["" if cell is None else cell for cell in row[:width]]
