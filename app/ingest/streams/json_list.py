"""A file that is a JSON list of records or of rows, read item by item however long it is.

Its items may also follow one another without a list around them, on one line each or on several.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, BinaryIO

from app.ingest.documents import Documents
from app.ingest.draft import Defaults, Draft, Problems
from app.ingest.intake import Intake
from app.ingest.jsonl import in_utf8
from app.ingest.records import read_record
from app.ingest.streams import members
from app.ingest.templates import Template
from app.ingest.values import byte_size

PIECE = 256_000  # bytes that are read at once
ROW = b'{"row":'  # how the body of a record begins that is a row
MOST_COLUMNS, MOST_NAME_BYTES = 1_000, 100_000  # of a table of the results


class JsonList:
    """The records of a seekable `stream`, or of its first `rows` items; `columns` is complete when they are.

    Invalid items are left out and listed in `problems`.
    """

    def __init__(
        self,
        stream: BinaryIO,
        defaults: Defaults,
        template: Template | None,
        problems: Problems,
        documents: Documents | None = None,
        *,
        max_records: int,
        rows: int | None = None,
    ) -> None:
        self._columns: dict[str, None] = {}  # names of the rows' cells, in the order in which they come
        self._name_bytes = 0
        self._intake = Intake("item {}", max_records, problems)
        self._read_record = partial(
            read_record, defaults=defaults, template=template, problems=problems, documents=documents
        )
        self.drafts = self._read(stream, rows)

    @property
    def columns(self) -> Sequence[str] | None:
        """The names of its rows' cells; None where no record is a row."""
        return list(self._columns) or None

    def _read(self, stream: BinaryIO, rows: int | None) -> Iterator[Draft]:
        """Raises `BadInput` where it is no JSON, and `TooLarge` at the first record too many."""
        with in_utf8(stream) as text:
            pieces = iter(partial(text.read, PIECE), b"")
            for number, item in enumerate(islice(members.values(pieces, "the file"), rows), start=1):
                draft = self._read_record(item, f"item {number}")
                if self._intake.admits(draft, number):
                    if draft.body.startswith(ROW):
                        self._note_columns(item)
                    yield draft
        self._intake.close("the file has no records: give a JSON list of objects")

    def _note_columns(self, item: dict[str, Any]) -> None:
        cells = item.get("row")
        for name in cells if isinstance(cells, dict) else item:
            if name not in self._columns and len(self._columns) < MOST_COLUMNS:
                self._name_bytes += byte_size(name)
                if self._name_bytes <= MOST_NAME_BYTES:
                    self._columns[name] = None
