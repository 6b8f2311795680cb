"""The rows of a Parquet file below a header of its columns' names, read by a helper."""

from collections.abc import Iterator, Sequence
from os import SEEK_END
from typing import BinaryIO

from app.errors import BadInput
from app.ingest.apart.helper import Bounds, Helper
from app.ingest.sheets.rows import Choice, Row, Source

# Of the helper, and of it for each byte of the file: a part of a row group is unpacked at a time.
FREE_MEMORY, MEMORY_PER_BYTE = 350_000_000, 40
FIRST = 2  # the number of the first row, as the names are row 1


def read_rows(stream: BinaryIO, choice: Choice) -> Source:
    """The rows of a seekable `stream`, their values as JSON has them; raises `BadInput`, also while they are
    read.
    """
    if choice.header_row != 1:
        raise BadInput("header_row: a Parquet file names its columns itself: leave it out")
    size = stream.seek(0, SEEK_END)
    bounds = Bounds.for_size(size, times=MEMORY_PER_BYTE, free=FREE_MEMORY)
    helper = Helper("parquet_rows", bounds, what="the file cannot be read as Parquet")
    return Source(_rows(helper, helper.ask(file=stream)))


def _rows(helper: Helper, names: Sequence[str]) -> Iterator[Row]:
    with helper:
        yield Row(1, names)
        number = FIRST
        while chunk := helper.ask():
            for cells in chunk:
                yield Row(number, cells)
                number += 1
