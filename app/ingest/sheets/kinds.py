"""What kind of file an upload is: by its bytes, because names of files are often wrong."""

from os import SEEK_END
from typing import BinaryIO

from app.errors import BadInput

ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
HEAD, TAIL = 4_096, 65_536  # bytes that are looked at; the tail holds the names of an archive's parts
TEXTS = ("csv", "tsv")
MARKED = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")  # text, whatever follows
MARKS = b"\xef\xbb\xbf \t\r\n\0"

# Parts that only archives of this kind have.
ARCHIVES = (
    (b"word/document.xml", "a Word document"),
    (b"ppt/presentation.xml", "a PowerPoint presentation"),
    (b"Index/Document.iwa", "an Apple Numbers or Pages document"),
    (b"application/vnd.oasis.opendocument", "an OpenDocument file"),
    (b"xl/workbook.bin", "a binary Excel workbook (XLSB)"),
)
PAGES = (b"<!doctype html", b"<html", b"<table", b"<head", b"<meta")
AS = "save it as .xlsx or .csv from the program that it is of"


def find_kind(stream: BinaryIO, named: str) -> str:
    """The format of a seekable `stream` that its name, or its sender, says is of the format `named`.

    Raises `BadInput` for a file that is certainly of no format that can be read.
    """
    stream.seek(0)
    head = stream.read(HEAD)
    if head.startswith(ZIP):
        stream.seek(-min(TAIL, stream.seek(0, SEEK_END)), SEEK_END)
        _refuse_other_archive(head + stream.read(TAIL))
        return "xlsx"
    if head.startswith(OLE):
        return "xlsx"  # whose reader says what it is
    start = head.lstrip(MARKS).lower()
    if start.startswith(b"%pdf"):
        raise BadInput(f"file: it is a PDF, whatever its name says: {AS}")
    if start.startswith(PAGES) or (start.startswith(b"<?xml") and b"<html" in start):
        raise BadInput(
            f"file: it is a web page (HTML), whatever its name says: open it in a spreadsheet and {AS}"
        )
    if start.startswith(b"<?xml"):
        raise BadInput(f"file: it is XML, whatever its name says: {AS}")
    if named == "xlsx" and (head.startswith(MARKED) or b"\0" not in head):
        return _text(start, "csv")
    return _text(start, named) if named in TEXTS else named


def _text(start: bytes, named: str) -> str:
    """JSON lines where the text begins like one of them: no header does."""
    return "jsonl" if start.startswith(b"{") and start[1:].lstrip(b"\0 \t")[:1] in (b'"', b"}") else named


def _refuse_other_archive(parts: bytes) -> None:
    for part, what in ARCHIVES:
        if part in parts:
            raise BadInput(f"file: it is {what}, whatever its name says: {AS}")
