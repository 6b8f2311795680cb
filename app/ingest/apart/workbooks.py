"""The rows of XLS, XLSB and ODS: values as they are stored, for a helper reads them by a library.

It does not tell which rows are hidden, what formats numbers are shown in, or which cells hold an error.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from os import SEEK_END
from typing import BinaryIO
from zipfile import BadZipFile

from app.errors import BadInput
from app.ingest.apart.helper import Bounds, Helper
from app.ingest.sheets.choosing import Listed, choose
from app.ingest.sheets.rows import Choice, Row, Source, coordinate

FREE_MEMORY, MEMORY_PER_BYTE = 150_000_000, 200  # of the helper, and of it for each byte of the file
PACKED = ("xlsb", "ods")  # archives


def read_rows(format: str, stream: BinaryIO, choice: Choice) -> Source:
    """The rows of the chosen sheet of a seekable `stream` of `format`; raises `BadInput`, also while they are
    read.
    """
    name = format.upper()
    if choice.visible_only:
        raise BadInput(
            f"visible_only: which rows of {name} are hidden is not known: save it as .xlsx, or leave it out"
        )
    size = stream.seek(0, SEEK_END)
    if format in PACKED:
        _check_unpacked(stream, name)
    bounds = Bounds.for_size(size, times=MEMORY_PER_BYTE, free=FREE_MEMORY)
    helper = Helper("spreadsheet", bounds, what=f"the file cannot be read as {name}")
    try:
        sheets = [Listed(sheet, "", is_shown) for sheet, is_shown in helper.ask(file=stream)]
        chosen = choose(sheets, choice.sheet).name
        areas = helper.ask(chosen)
    except BaseException:
        helper.close()
        raise
    shown = [sheet.name for sheet in sheets if sheet.is_shown]
    source = Source(iter(()), chosen, [sheet.name for sheet in sheets], shown)
    source.remark = (
        f"of {name} it is not known which rows are hidden, which cells hold errors and how numbers are"
        " shown: save it as .xlsx if that matters"
    )
    source.rows = _rows(helper)
    if areas:
        source.rows = _carried(areas, source, choice.header_row, size)
    return source


def _rows(helper: Helper) -> Iterator[Row]:
    with helper:
        number = 0
        while chunk := helper.ask():
            for cells in chunk:
                number += 1
                if cells:
                    yield Row(number, cells)


def _check_unpacked(stream: BinaryIO, name: str) -> None:
    """Refuse an archive that says that it unpacks to more than a file of its size may."""
    from app.ingest.xlsx.archive import Archive

    try:
        archive = Archive(stream)
        for part in archive.parts:
            archive.meter.expect(part.file_size)
            archive.meter.take_text(part.file_size)
    except BadZipFile as error:
        raise BadInput(
            f"the file cannot be read as {name}: it is cut short or damaged ({error}): save it again"
        ) from error


def _carried(
    areas: Iterable[tuple[int, int, int, int]], source: Source, header_row: int, size: int
) -> Iterator[Row]:
    """The rows, with the values of merged areas below the header in each row that they cover."""
    from app.ingest.xlsx.merged import Area, Carrier
    from app.ingest.xlsx.meter import Meter

    found: Mapping[int, set[Area]] = defaultdict(set)
    for top, left, bottom, right in areas:
        if header_row < top < bottom:
            name = f"{coordinate(left - 1, top)}:{coordinate(right - 1, bottom)}"
            found[top].add(Area(name, left, bottom))
    carrier = Carrier(found, source.carried, Meter(size))
    return map(carrier.fill, source.rows)


read_xls, read_xlsb, read_ods = (partial(read_rows, format) for format in ("xls", "xlsb", "ods"))
