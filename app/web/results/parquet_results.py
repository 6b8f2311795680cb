"""A job's results as Parquet: its own file with the answers' columns, or a new one whose types are found."""

from collections.abc import Callable, Iterator

from flask import Response

from app.core.documents.open_store import store
from app.core.reading import table_rows
from app.core.reading.files import parquet_export
from app.core.reading.files.parquet_export import Column, ParquetFile
from app.core.reading.jobs import JobView
from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx import own_workbook
from app.errors import NotFound
from app.ingest.apart.parquet import FIRST
from app.web import capacity
from app.web.capacity import Seat
from app.web.connection import while_connected
from app.web.forms import temporary
from app.web.results.downloads import download
from models.session import reading

GONE = "your file is not in the object store any more: its columns are of the types that their values have"


def new_file(
    view: JobView, layout: Layout, rows: Callable[[], Iterator[Row]], warning: str | None = None
) -> Response:
    """A new file. `rows` reads the results; it is called twice where the columns' types are unknown."""
    with capacity.preparing() as seat:
        own = _own_columns(view, layout, rows)
        file = ParquetFile([*own, *parquet_export.answer_columns(layout)])
        cells = (parquet_export.own_cells(layout, row) for row in rows())
        return _sent(view, file, file.rows(cells), seat, warning)


def own_file(
    view: JobView,
    key: str,
    layout: Layout,
    placed: Iterator[tuple[int, Row]],
    rows: Callable[[], Iterator[Row]],
) -> Response:
    """The file at `key` in the object store with the answers beside it, or a new one if it is gone."""
    with reading() as session:
        numbers = table_rows.numbers(session, view.id)
    with temporary() as content:
        try:
            store().copy(key, content)
        except NotFound:
            return new_file(view, layout, rows, GONE)
        with capacity.preparing() as seat:
            file = ParquetFile(parquet_export.answer_columns(layout), content)
            numbered = own_workbook.numbered(placed, numbers)
            cells = ((number - FIRST, parquet_export.answer_cells(layout, row)) for number, row in numbered)
            return _sent(view, file, file.beside(cells), seat, None)


def _own_columns(view: JobView, layout: Layout, rows: Callable[[], Iterator[Row]]) -> list[Column]:
    """Cells of CSV are texts; of other tables each column has the type that holds what its cells are."""
    if view.form is not None and view.form.delimited is not None:
        return [Column(name, "text") for name in layout.columns]
    return parquet_export.kinds_of(layout.columns, (row.cells for row in while_connected(rows())))


def _sent(
    view: JobView, file: ParquetFile, chunks: Iterator[bytes], seat: Seat, warning: str | None
) -> Response:
    try:
        response = download(view, "parquet", chunks, warning=warning, seat=seat)
    except BaseException:
        file.close()
        raise
    response.call_on_close(file.close)  # if nobody reads all of it
    return response
