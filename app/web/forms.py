"""Forms with a file: received to disk, measured, then read."""

import hashlib
from collections.abc import Mapping
from os import SEEK_END
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from app.errors import BadInput, TooLarge
from app.ingest.sheets.kinds import find_kind
from app.ingest.xlsx.meter import BYTES_PER_BYTE
from app.web.capacity import SMALL
from app.web.large_bodies import UPLOAD
from config import settings

IN_MEMORY = 1_000_000  # bytes of a body that are kept in memory; the rest goes to disk

UNPACKED = ("csv", "tsv", "jsonl", "json")
# The bytes of a file decide; its name says what a text is.
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "csv",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".xls": "xls",
    ".xlsb": "xlsb",
    ".ods": "ods",
    ".parquet": "parquet",
}
TYPES = {
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "application/json": "json",
    "text/csv": "csv",
    "text/plain": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-excel.sheet.binary.macroenabled.12": "xlsb",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.apache.parquet": "parquet",
}


class FileForm:
    """A form with a file, received but not yet read.

    `size` is how much memory reading it may take, in bytes. Raises `Refused`.
    """

    def __init__(self, request: Request) -> None:
        receive(request)
        limit, too_large = settings.current().max_upload_bytes, _too_large()
        self._form, self._files = request.form, request.files
        file = _file(self._form, self._files)
        self.name = file.filename or ""
        self.stream = cast(BinaryIO, file.stream)
        self.format = format_of(file)
        self.size = self.stream.seek(0, SEEK_END)
        if self.size > limit:
            raise too_large
        self.size = memory_for(self.format, self.size)
        self.stream.seek(0)

    def sha256(self) -> str:
        """The hash of the file."""
        digest = hashlib.sha256()
        self.stream.seek(0)
        while block := self.stream.read(IN_MEMORY):
            digest.update(block)
        self.stream.seek(0)
        return digest.hexdigest()

    def fields(self) -> dict[str, str]:
        """The non-empty fields besides the file."""
        return _fields(self._form, self._files)


def receive(request: Request) -> None:
    """Read a form to its end, its files to disk; raises `TooLarge`."""
    request.max_content_length = UPLOAD.bytes(settings.current())
    request.max_form_memory_size = settings.current().max_json_bytes
    try:
        request.form  # noqa: B018 - read with the first access
    except RequestEntityTooLarge:
        raise _too_large() from None


def fields_of(request: Request, *, besides: str) -> dict[str, str]:
    """The non-empty fields of a form that was received, beside parts of this name."""
    if besides in request.form:
        raise BadInput(f"{besides}: give each of these parts a file name")
    others = {name: file for name, file in request.files.items() if name != besides}
    if others:
        raise BadInput(f"{', '.join(others)}: unknown beside parts named `{besides}`; send a file by itself")
    return _fields(request.form)


def memory_for(format: str, size: int) -> int:
    """Bytes of memory that reading a file may take, here or in a helper: what is packed unpacks."""
    if format in UNPACKED:
        return size
    unpacked = size * BYTES_PER_BYTE
    return unpacked if format == "xlsx" else max(unpacked, SMALL + 1)


def temporary() -> BinaryIO:
    """A temporary file on Penstock's own disk, not in the system's folder for small files."""
    return cast(BinaryIO, SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(settings.current().data)))


def _too_large() -> TooLarge:
    return TooLarge(
        f"the upload has over {settings.current().max_upload_bytes:,} bytes (MAX_UPLOAD_BYTES), or its fields"
        " besides the file are too large: split the file into several jobs"
    )


def _fields(*parts: MultiDict[str, Any]) -> dict[str, str]:
    _refuse_repeated(*parts)
    return {name: text for name, text in parts[0].items() if text}


def _refuse_repeated(*parts: MultiDict[str, Any]) -> None:
    for part in parts:
        for name, values in part.lists():
            if len(values) > 1:
                raise BadInput(f"{name}: given {len(values)} times; give it once")


def _file(form: Mapping[str, str], files: MultiDict[str, FileStorage]) -> FileStorage:
    others = [name for name in files if name != "file"]
    if others:
        raise BadInput(f"{', '.join(others)}: unknown; the file must be the part named `file`")
    if "file" in form:
        raise BadInput("file: give the part a file name; its extension says the format")
    if "file" not in files:
        raise BadInput("file: missing; send the records as a part named `file`")
    return files["file"]


def format_of(file: FileStorage) -> str:
    """The format of a file, by its bytes and its name; raises `BadInput` for one that cannot be read."""
    return find_kind(cast(BinaryIO, file.stream), _format(file))


def _format(file: FileStorage) -> str:
    ending = PurePath(file.filename or "").suffix.lower()
    found = FORMATS.get(ending) or TYPES.get(file.mimetype)
    if found is None:
        raise BadInput(
            f"file: {file.filename!r} is not in a supported format; give one of {', '.join(FORMATS)}"
        )
    return found
