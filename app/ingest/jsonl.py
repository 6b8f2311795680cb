"""JSON lines: one record per line, read line by line however long the file is."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, BinaryIO, Protocol

from app.errors import BadInput
from app.ingest.documents import Documents
from app.ingest.draft import MAX_RECORD_BYTES, Defaults, Draft, Problems
from app.ingest.encodings import find_mark
from app.ingest.intake import Intake
from app.ingest.records import read_record
from app.ingest.templates import Template
from app.ingest.values import from_json

BOM = b"\xef\xbb\xbf"
READ_AT_MOST = MAX_RECORD_BYTES + 1  # so that one that is too long is noticed
BLANK = b" \t\r\n\v\f\0\x1a"  # old programs end a file with Ctrl-Z, or fill it up with NULs


class Lines(Protocol):
    """Where lines are read from."""

    def readline(self, size: int, /) -> bytes: ...

    def read(self, size: int, /) -> bytes: ...


def read_jsonl(
    stream: BinaryIO,
    defaults: Defaults,
    template: Template | None,
    problems: Problems,
    documents: Documents | None = None,
    *,
    max_records: int,
    rows: int | None = None,
) -> Iterator[Draft]:
    """The records of `stream`, or of its first `rows` lines that are not blank.

    Invalid lines are left out and listed in `problems`.

    Raises `BadInput` for a file without records and `TooLarge` at the first record too many.
    """
    intake = Intake("line {}", max_records, problems)
    with in_utf8(stream) as text:
        for number, line in islice(lines(text), rows):
            where = f"line {number}"
            if number == 1 and line.lstrip().startswith(b"["):
                raise BadInput(
                    f"{where}: the file begins with a JSON list: give one JSON object per line, or call the"
                    " file .json"
                )
            try:
                item = parse(line)
            except ValueError as error:
                problems.add(where, str(error))
                continue
            draft = read_record(item, where, defaults, template, problems, documents)
            if intake.admits(draft, number):
                yield draft
    intake.close("the file has no records: give one JSON object per line")


@contextmanager
def in_utf8(stream: BinaryIO) -> Iterator[Lines]:
    """The lines of `stream` in UTF-8; PowerShell and some others write UTF-16."""
    encoding = find_mark(stream)
    stream.seek(0)
    if encoding is None or encoding == "utf-8-sig":
        yield stream
        return
    text = io.TextIOWrapper(stream, encoding, newline="\n")
    try:
        yield _Encoded(text, encoding)
    finally:
        if not stream.closed:
            text.detach()


class _Encoded:
    """The lines of a text, encoded again."""

    def __init__(self, text: io.TextIOWrapper, encoding: str) -> None:
        self._text, self._encoding = text, encoding

    def readline(self, size: int, /) -> bytes:
        return self._encoded(self._text.readline, size)

    def read(self, size: int, /) -> bytes:
        return self._encoded(self._text.read, size)

    def _encoded(self, read: Callable[[int], str], size: int) -> bytes:
        try:
            return read(size).encode()
        except UnicodeError as error:
            name = self._encoding.upper()
            raise BadInput(f"the file begins as {name}, but is not {name}: save it as UTF-8") from error


def lines(stream: Lines) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers; only the beginning of a line that is too long."""
    number = 1
    line = _first_line(stream)
    while line:
        if line.strip(BLANK):
            yield number, line
        while len(line) > MAX_RECORD_BYTES and not line.endswith(b"\n"):
            line = stream.readline(READ_AT_MOST)  # the rest of a line that is too long
        line = stream.readline(READ_AT_MOST)
        number += 1


def _first_line(stream: Lines) -> bytes:
    line = stream.readline(READ_AT_MOST)
    while line.startswith(BOM):
        line = line[len(BOM) :]
        line += b"" if line.endswith(b"\n") else stream.readline(len(BOM))
    return line


def parse(line: bytes) -> Any:
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
