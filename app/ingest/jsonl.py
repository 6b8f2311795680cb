"""JSON lines: one record per line, read line by line however long the file is."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from app.errors import BadInput
from app.ingest.documents import Documents
from app.ingest.draft import MAX_RECORD_BYTES, Defaults, Draft, Problems
from app.ingest.intake import Intake
from app.ingest.records import read_record
from app.ingest.templates import Template
from app.ingest.values import from_json

BOM = b"\xef\xbb\xbf"
READ_AT_MOST = MAX_RECORD_BYTES + 1  # so that one that is too long is noticed


def read_jsonl(
    stream: BinaryIO,
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    documents: Documents | None = None,
    *,
    max_records: int,
) -> Iterator[Draft]:
    """The records of `stream`; invalid lines are left out and listed in `problems`.

    Raises `BadInput` for a file without records and `TooLarge` at the first record too many.
    """
    intake = Intake("line {}", max_records, problems)
    for number, line in _lines(stream):
        where = f"line {number}"
        try:
            item = _parse(line)
        except ValueError as error:
            problems.add(where, str(error))
            continue
        draft = read_record(item, where, defaults, template, problems, documents)
        if intake.admits(draft, number):
            yield draft
    intake.close("the file has no records: give one JSON object per line")


def _lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; only the beginning of a line that is too long."""
    number = 1
    line = _first_line(stream)
    while line:
        if not line.isspace():
            yield number, line
        while len(line) > MAX_RECORD_BYTES and not line.endswith(b"\n"):
            line = stream.readline(READ_AT_MOST)  # the rest of a line that is too long
        line = stream.readline(READ_AT_MOST)
        number += 1


def _first_line(stream: BinaryIO) -> bytes:
    line = stream.readline(READ_AT_MOST)
    if line.startswith(BOM):
        line = line[len(BOM) :]
        line += b"" if line.endswith(b"\n") else stream.readline(len(BOM))
    if line.lstrip().startswith(b"["):
        raise BadInput("line 1: the file begins with a JSON list: give one JSON object per line")
    return line


def _parse(line: bytes) -> Any:
    """The value of a line; raises `ValueError` describing the error."""
    if len(line) > MAX_RECORD_BYTES:
        raise ValueError(f"the line has over {MAX_RECORD_BYTES:,} bytes, the limit of a record")
    try:
        return from_json(line.decode())
    except UnicodeDecodeError as error:
        found = f"0x{line[error.start]:02x} at byte {error.start + 1}"
        raise ValueError(f"not UTF-8: {found}; save the file as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {error}") from None
