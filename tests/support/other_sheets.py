"""Sheets in formats for which the tests have no writer: ODS and XLSB, as small as programs write them."""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq

EXCEL_97 = Path(__file__).with_name("files") / "excel-97.xls"  # written by xlwt

Rows = Sequence[Sequence[str | float | bool]]
ODS = "application/vnd.oasis.opendocument.spreadsheet"
OASIS = "urn:oasis:names:tc:opendocument:xmlns"
HEAD = (
    f'<office:document-content xmlns:office="{OASIS}:office:1.0" xmlns:table="{OASIS}:table:1.0"'
    f' xmlns:text="{OASIS}:text:1.0" office:version="1.2"><office:body><office:spreadsheet>'
)
TAIL = "</office:spreadsheet></office:body></office:document-content>"
MANIFEST = (
    f'<manifest:manifest xmlns:manifest="{OASIS}:manifest:1.0"><manifest:file-entry'
    f' manifest:full-path="/" manifest:media-type="{ODS}"/></manifest:manifest>'
)
RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship'
    ' Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
    ' Target="worksheets/sheet1.bin"/></Relationships>'
)


def ods(rows: Rows, sheet: str = "Sheet1") -> bytes:
    """A workbook with one sheet."""
    lines = "".join(f"<table:table-row>{''.join(map(_ods_cell, row))}</table:table-row>" for row in rows)
    return ods_of(f'<table:table table:name="{escape(sheet)}"><table:table-column/>{lines}</table:table>')


def ods_of(tables: str) -> bytes:
    """A workbook with these tables as XML."""
    return _archive(
        {
            "mimetype": ODS.encode(),
            "content.xml": f"{HEAD}{tables}{TAIL}".encode(),
            "META-INF/manifest.xml": MANIFEST.encode(),
        }
    )


def xlsb(rows: Rows, sheet: str = "Sheet1") -> bytes:
    """A workbook with one sheet."""
    book = [(131, b""), (143, b""), (156, struct.pack("<II", 0, 1) + _wide("rId1") + _wide(sheet))]
    height, width = len(rows), max(map(len, rows))
    lines = [(129, b""), (148, struct.pack("<IIII", 0, height - 1, 0, width - 1)), (145, b"")]
    for number, row in enumerate(rows):
        lines.append((0, struct.pack("<IIHHBI", number, 0, 300, 0, 0, 0)))
        lines += [_xlsb_cell(column, value) for column, value in enumerate(row)]
    return _archive(
        {
            "[Content_Types].xml": b"<Types/>",
            "xl/_rels/workbook.bin.rels": RELATIONS.encode(),
            "xl/workbook.bin": _records([*book, (144, b""), (132, b"")]),
            "xl/worksheets/sheet1.bin": _records([*lines, (146, b""), (130, b"")]),
        }
    )


def parquet_of(columns: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), out)
    return out.getvalue()


def _ods_cell(value: str | float | bool) -> str:
    if isinstance(value, bool):
        of = f'boolean" office:boolean-value="{str(value).lower()}'
    elif isinstance(value, str):
        of = "string"
    else:
        of = f'float" office:value="{value}'
    shown = f"<text:p>{escape(str(value))}</text:p>" if value != "" else ""
    return f'<table:table-cell office:value-type="{of}">{shown}</table:table-cell>'


def _xlsb_cell(column: int, value: str | float | bool) -> tuple[int, bytes]:
    head = struct.pack("<II", column, 0)
    if isinstance(value, bool):
        return 4, head + bytes([value])
    return (6, head + _wide(value)) if isinstance(value, str) else (5, head + struct.pack("<d", value))


def _wide(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def _records(records: Sequence[tuple[int, bytes]]) -> bytes:
    return b"".join(_id(kind) + _varint(len(content)) + content for kind, content in records)


def _id(kind: int) -> bytes:
    return bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])


def _varint(size: int) -> bytes:
    out = bytearray()
    while size > 127:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _archive(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "mimetype" else None)
    return out.getvalue()
