"""A job's results as a file: streamed page by page, whatever their size."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

from flask import Response

from app.core.documents.open_store import store
from app.core.reading import encodable, record_json, records, table_rows
from app.core.reading.files.joined_rows import joined
from app.core.reading.jobs import JobView
from app.core.reading.layout import Layout, Row
from app.core.reading.records import Page, RecordView
from app.core.reading.xlsx import own_workbook
from app.errors import NotFound
from app.ingest.forms.delimited import Delimited
from app.ingest.forms.table_form import TableForm
from app.ingest.forms.workbook import Workbook
from app.web import capacity
from app.web.capacity import Seat
from app.web.connection import while_connected
from app.web.forms import temporary
from app.web.results import downloads, parquet_results
from app.web.results.downloads import download, table
from models.session import reading

TOO_LONG = "the answers are too long for your workbook: this is a plain sheet"
GONE = "your workbook is not in the object store any more: this is a plain sheet"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The file that is asked for."""

    format: str  # one of `downloads.TYPES`
    order: str = "input"  # or "completion"
    plain: bool = False  # not in the form in which the table was submitted
    raw: bool = False  # cells that a spreadsheet would evaluate stay as they are
    answer: bool = False  # the whole answer beside the columns of its fields
    joins_lists: bool = False  # lists of texts are one text, parted by `; `


def file_of(view: JobView, wanted: Wanted) -> Response:
    """What has ended so far of a job that has its content.

    One JSON object per line; or the table that was submitted, in the form in which it came, with the answers
    in additional columns. Raises `Unavailable` when the caller's tenant gets no seat.
    """
    format, order = wanted.format, wanted.order
    if format == "jsonl":
        return download(view, format, _jsonl(view, order))
    with reading() as session:
        layout = table_rows.layout(
            session, view.id, answer=wanted.answer or None, joins_lists=wanted.joins_lists
        )
    if format == "parquet":
        return _parquet(view, layout, wanted)
    if view.form is not None and not wanted.plain:
        if format == "xlsx" and order == "input":
            return _workbook(view, view.form, layout)
        if view.form.delimited is not None and format in ("csv", view.form.format):
            return _delimited(view, view.form.format, view.form.delimited, layout, wanted)
    return table(view, format, layout, _rows(view, order, layout), raw=wanted.raw)


def _delimited(view: JobView, format: str, form: Delimited, layout: Layout, wanted: Wanted) -> Response:
    """The job's table in its own form, or in UTF-8 if its encoding cannot hold the answers."""
    with capacity.preparing() as seat:
        warning = None
        if not encodable.holds_all(form.encoding, while_connected(_ended(view))):
            warning = (
                f"the answers have characters that {downloads.charset(form.encoding)}, the encoding of the"
                " input, does not have: this file is in UTF-8"
            )
            form = replace(form, encoding="utf-8", has_mark=True)
        rows = _rows(view, wanted.order, layout)
        return table(view, format, layout, rows, form=form, raw=wanted.raw, warning=warning, seat=seat)


def _parquet(view: JobView, layout: Layout, wanted: Wanted) -> Response:
    rows, form = partial(_rows, view, wanted.order, layout), view.form
    if form is None or form.kept is None or wanted.plain or wanted.order != "input":
        return parquet_results.new_file(view, layout, rows)
    return parquet_results.own_file(view, form.kept, layout, _placed(view, layout), rows)


def _workbook(view: JobView, form: TableForm, layout: Layout) -> Response:
    """The job's own workbook with the answers, or a plain sheet if it has none or they do not fit."""
    workbook, warning = form.workbook, form.warning
    if workbook is not None and not own_workbook.fits(workbook, view.total, view.usage["output_tokens"]):
        workbook, warning = None, TOO_LONG
    with capacity.preparing() as seat:
        if workbook is not None:
            try:
                return _own(view, workbook, layout, seat)
            except NotFound:
                warning = GONE
        return table(view, "xlsx", layout, _rows(view, "input", layout), warning=warning, seat=seat)


def _own(view: JobView, workbook: Workbook, layout: Layout, seat: Seat) -> Response:
    with reading() as session:
        numbers = table_rows.numbers(session, view.id)
    file = temporary()
    try:
        store().copy(workbook.key, file)
        rows = own_workbook.numbered(_placed(view, layout), numbers)
        chunks = own_workbook.workbook_chunks(file, workbook, layout, rows)
        ending, kind = ("xlsm", downloads.MACROS) if workbook.has_macros else ("xlsx", None)
        response = download(view, ending, _then_close(file, chunks), content_type=kind, seat=seat)
    except BaseException:
        file.close()
        raise
    response.call_on_close(file.close)  # if nobody reads any of it
    return response


def _then_close(file: BinaryIO, chunks: Iterator[bytes]) -> Iterator[bytes]:
    with file:
        yield from chunks


def _jsonl(view: JobView, order: str) -> Iterator[bytes]:
    for page in _pages(view, order, inputs=view.has_documents):
        yield b"".join(record_json.line(view.uid, record) + b"\n" for record in page.records)


def _rows(view: JobView, order: str, layout: Layout) -> Iterator[Row]:
    """What has ended, as rows; those with several prompts always come in the order of the input."""
    if layout.asks:
        records = (record for page in _pages(view, "input", inputs=True) for record in page.records)
        yield from (row for _, row in joined(records, layout.asks))
        return
    for page in _pages(view, order, inputs=True):
        yield from map(table_rows.row, page.records)


def _placed(view: JobView, layout: Layout) -> Iterator[tuple[int, Row]]:
    """The same without the cells of their own, each with its place among the rows that were asked."""
    if layout.asks:
        return joined(_ended(view), layout.asks)
    return ((record.idx, table_rows.row(record)) for record in _ended(view))


def _ended(view: JobView) -> Iterator[RecordView]:
    """Every record that has ended, by index, without what it asked."""
    for page in _pages(view, "input", inputs=False):
        yield from page.records


def _pages(view: JobView, order: str, *, inputs: bool) -> Iterator[Page]:
    """Every record that has ended, once. No connection or transaction is held between two pages."""
    if order == "input":
        yield from records.walk(partial(records.by_index, words=records.ENDED_WORDS, inputs=inputs), view)
    else:
        yield from records.walk(partial(records.by_completion, inputs=inputs), view)
        yield from records.walk(partial(records.never_asked, inputs=inputs), view)
