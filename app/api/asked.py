"""What a submission asks: its fields and its records, from JSON or from a form with a file."""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import SEEK_END
from pathlib import PurePath
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO, cast

import marshmallow as ma
from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.blueprint import read_json
from app.api.inputs import JobFields
from app.error_responses import refuse_invalid
from app.errors import BadInput, TooLarge, UnknownForm
from app.ingest.values import from_json
from config import settings

IN_MEMORY = 1_000_000  # bytes of a body; the rest of it waits on disk
FORM_MARGIN = 20_000_000  # bytes of an upload besides its file

FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".xlsx": "xlsx"}
TYPES = {
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/x-jsonlines": "jsonl",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
}
OBJECTS = ("schema", "params", "metadata")  # JSON text in a form
NUMBERS = ("max_tokens", "priority", "expires_in", "timeout", "retries")  # digits in a form


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission, its fields checked and without those that are null.

    Its records are in `records`, or in `stream` in the form that `format` names.
    """

    fields: Mapping[str, Any]
    stream: BinaryIO
    format: str
    records: list[Any] | None = None

    def fingerprint(self) -> bytes:
        """The same for the same fields, records and bytes of the file, however they were wrapped."""
        digest = hashlib.sha256(self.format.encode())
        for part in (self.fields, self.records):
            digest.update(json.dumps(part, sort_keys=True).encode() + b"\n")
        if self.records is None:
            while block := self.stream.read(IN_MEMORY):
                digest.update(block)
            self.stream.seek(0)
        return digest.digest()


class SpoolingRequest(Request):
    """Uploads wait on the disk that Penstock was given, not in the system's folder for small files."""

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return _temporary()


class JsonBody:
    """A body of JSON, received and not yet read."""

    def __init__(self, request: Request, content: BinaryIO) -> None:
        limit = settings.current().max_json_bytes
        request.max_content_length = limit
        self._content = content
        try:
            shutil.copyfileobj(request.stream, self._content)
        except RequestEntityTooLarge:
            raise TooLarge(
                f"the JSON has over {limit:,} bytes (MAX_JSON_BYTES): send the records as a JSONL file,"
                " as multipart/form-data with its part named `file`"
            ) from None
        self.size = self._content.tell()

    def read(self) -> Asked:
        self._content.seek(0)
        asked = read_json(self._content.read())
        if not isinstance(asked, dict):
            raise BadInput('the body is no JSON object: give {"records": […], …}')
        records = asked.pop("records", None)
        if not isinstance(records, list):
            found = "nothing" if records is None else type(records).__name__
            raise BadInput(f"records: give a list of them, or upload them as a file; found {found}")
        return Asked(_checked(asked), self._content, "json", records)


class FormBody:
    """A form with a file, received and not yet read."""

    def __init__(self, request: Request) -> None:
        limit = settings.current().max_upload_bytes
        request.max_content_length = limit + FORM_MARGIN
        request.max_form_memory_size = settings.current().max_json_bytes
        too_large = TooLarge(
            f"the upload has over {limit:,} bytes (MAX_UPLOAD_BYTES), or a field of it is too large:"
            " split the file into several jobs"
        )
        try:
            self._form, self._files = request.form, request.files
        except RequestEntityTooLarge:
            raise too_large from None
        self._file = _file(self._form, self._files)
        self.size = self._file.stream.seek(0, SEEK_END)
        if self.size > limit:
            raise too_large

    def read(self) -> Asked:
        _refuse_repeated(self._form, self._files)
        fields = {name: _value(name, text) for name, text in self._form.items() if text}
        self._file.stream.seek(0)
        return Asked(_checked(fields), cast(BinaryIO, self._file.stream), _format(self._file))


@contextmanager
def received(request: Request) -> Iterator[JsonBody | FormBody]:
    """The body of a submission, on disk until the end of the block; raises `Refused`."""
    if request.mimetype == "application/json":
        with _temporary() as content:
            yield JsonBody(request, content)
    elif request.mimetype == "multipart/form-data":
        yield FormBody(request)
    else:
        raise UnknownForm(
            "send JSON (application/json), or a file as multipart/form-data with its part named `file`;"
            f" found {request.mimetype or 'no content type'}"
        )


def _refuse_repeated(*parts: MultiDict[str, Any]) -> None:
    for part in parts:
        for name, values in part.lists():
            if len(values) > 1:
                raise BadInput(f"{name}: given {len(values)} times; give it once")


def _value(name: str, text: str) -> Any:
    """A form knows only text. What does not read as it should is left to the field's own check."""
    if name in NUMBERS and text.strip().removeprefix("-").isdigit():
        return int(text)
    if name in OBJECTS:
        try:
            return from_json(text)
        except ValueError as error:
            raise BadInput(f"{name}: give a JSON object; this is not JSON: {error}") from None
    return text


def _checked(fields: Mapping[str, Any]) -> dict[str, Any]:
    try:
        loaded = JobFields().load(fields)
    except ma.ValidationError as error:
        refuse_invalid(error)
    return {name: value for name, value in loaded.items() if value is not None}


def _file(form: Mapping[str, str], files: MultiDict[str, FileStorage]) -> FileStorage:
    others = [name for name in files if name != "file"]
    if others:
        raise BadInput(f"{', '.join(others)}: unknown; the file's part is named `file`")
    if "file" in form:
        raise BadInput("file: it came without a file name; its ending says what it holds")
    if "file" not in files:
        raise BadInput("file: missing; send the records as a part named `file`")
    return files["file"]


def _format(file: FileStorage) -> str:
    ending = PurePath(file.filename or "").suffix.lower()
    found = FORMATS.get(ending) or TYPES.get(file.mimetype)
    if found is None:
        raise BadInput(
            f"file: {file.filename!r} ends with {ending or 'nothing'!r}; records are read from"
            f" {', '.join(FORMATS)}"
        )
    return found


def _temporary() -> BinaryIO:
    return cast(BinaryIO, SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(settings.current().data)))
