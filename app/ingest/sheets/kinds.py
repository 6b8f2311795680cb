"""What kind of file an upload is: by its bytes, because names of files are often wrong."""

from os import SEEK_END
from typing import BinaryIO

from app.errors import BadInput

END_OF_ZIP = b"PK\x05\x06"
PARQUET = b"PAR1"
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
HEAD, TAIL = 4_096, 65_536  # bytes that are looked at; the tail holds the names of an archive's parts
TEXTS = ("csv", "tsv")
PACKED_OR_BINARY = ("xlsx", "xls", "xlsb", "ods")
MARKED = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")  # text, whatever follows
MARKS = b"\xef\xbb\xbf \t\r\n\0"

# Parts that only archives of this kind have.
ARCHIVES = (
    (b"word/document.xml", "a Word document"),
    (b"ppt/presentation.xml", "a PowerPoint presentation"),
    (b"Index/Document.iwa", "an Apple Numbers or Pages document"),
    (b"application/vnd.oasis.opendocument.text", "an OpenDocument text"),
    (b"application/vnd.oasis.opendocument.presentation", "an OpenDocument presentation"),
)
WORKBOOKS = ((b"application/vnd.oasis.opendocument.spreadsheet", "ods"), (b"xl/workbook.bin", "xlsb"))
RELATIONS = b"_rels"  # which every workbook has
# How files of other kinds begin.
OTHERS = (
    (b"%pdf", "a PDF"),
    (b"{\\rtf", "a text with formats (RTF)"),
    (b"sqlite format 3", "an SQLite database"),
    (b"\x89png", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)
PACKED = ((b"\x1f\x8b", "gzip"), (b"7z\xbc\xaf", "7z"), (b"rar!", "RAR"))
PAGES = (b"<!doctype html", b"<html", b"<table", b"<head", b"<meta")
COMMENT = b"<!--"
AS = "save it as .xlsx or .csv from the program that it is of"


def find_kind(stream: BinaryIO, named: str) -> str:
    """The format of a seekable `stream` that its name, or its sender, says is of the format `named`.

    Raises `BadInput` for a file that is certainly of no format that can be read.
    """
    stream.seek(0)
    head = stream.read(HEAD)
    if head.startswith(ZIP):
        stream.seek(-min(TAIL, stream.seek(0, SEEK_END)), SEEK_END)
        return _archive(head + stream.read(TAIL))
    if head.startswith(OLE):
        return "xls"  # or today's with a password, as its reader says
    if head.startswith(PARQUET) and _ends_with(stream, PARQUET):
        return "parquet"
    start = head.lstrip(MARKS).lower()
    for beginning, how in PACKED:
        if start.startswith(beginning):
            raise BadInput(f"file: it is packed ({how}): unpack it, and send what is in it")
    for beginning, what in OTHERS:
        if start.startswith(beginning):
            raise BadInput(f"file: it is {what}, whatever its name says: {AS}")
    if start.startswith(PAGES) or (start.startswith((b"<?xml", COMMENT)) and b"<html" in start):
        raise BadInput(
            f"file: it is a web page (HTML), whatever its name says: open it in a spreadsheet and {AS}"
        )
    if start.startswith(b"<?xml"):
        raise BadInput(f"file: it is XML, whatever its name says: {AS}")
    if named in PACKED_OR_BINARY and (head.startswith(MARKED) or b"\0" not in head):
        return _text(start, "csv")
    return _text(start, named) if named in TEXTS or named == "jsonl" else named


def _ends_with(stream: BinaryIO, mark: bytes) -> bool:
    stream.seek(-len(mark), SEEK_END)
    return stream.read() == mark


def _text(start: bytes, named: str) -> str:
    """JSON where the text begins like a list of objects, or lines of them: no header does."""
    format = "jsonl"
    if start.startswith(b"["):
        start, format = start[1:].lstrip(b"\0 \t\r\n"), "json"
    return format if start.startswith(b"{") and start[1:].lstrip(b"\0 \t\r\n")[:1] in (b'"', b"}") else named


def _archive(parts: bytes) -> str:
    """The format of a workbook with these names of parts; raises `BadInput` for another archive."""
    for part, format in WORKBOOKS:
        if part in parts:
            return format
    _refuse_other_archive(parts)
    return "xlsx"


def _refuse_other_archive(parts: bytes) -> None:
    for part, what in ARCHIVES:
        if part in parts:
            raise BadInput(f"file: it is {what}, whatever its name says: {AS}")
    if RELATIONS not in parts.lower() and END_OF_ZIP in parts:
        raise BadInput("file: it is a ZIP archive, and no workbook: unpack it, and send what is in it")
