"""The content of a submission: its fields and records, from JSON or from a form with a file."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any, BinaryIO

import marshmallow as ma
from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from app.core.documents.upload import Upload
from app.errors import BadInput, TooLarge, UnknownForm
from app.ingest.documents import identity
from app.ingest.json_pieces import Path
from app.ingest.templates import compile_template
from app.ingest.values import from_json, kind_of, whole_number
from app.web import document_body, forms
from app.web.bodies import read_json
from app.web.capacity import SMALL
from app.web.errors import refuse_invalid
from app.web.forms import IN_MEMORY, FileForm, temporary
from app.web.large_bodies import WITH_DOCUMENTS
from app.web.spooling import DOCUMENT as PART
from app.web.spooling import SpoolingRequest
from app.web.submissions.documents import FormDocuments, are_asked
from app.web.submissions.fields import JobFields, UploadFields
from config import settings

# Occur in every body with documents, and with a template, unless they are escaped.
DOCUMENT, TEMPLATE = b'"document"', b'"template"'
PIECE = 256_000  # bytes that are received at once

OBJECTS = ("schema", "params", "metadata", "asks")  # JSON text in a form
LINES = ("fields",)  # a JSON list in a form, or a line of text for each
# Digits in a form.
NUMBERS = (
    "max_tokens",
    "priority",
    "expires_in",
    "timeout",
    "retries",
    "rows",
    "header_row",
    "reuse",
    "try_first",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A submission whose fields have been checked; fields that are null are omitted.

    Its records are in `records`, or in `stream` in the format that `format` names.
    """

    fields: Mapping[str, Any]
    stream: BinaryIO
    format: str
    records: list[Any] | None = None

    def fingerprint(self) -> bytes:
        """Equal for equal fields, records and file bytes, however they were encoded."""
        digest = hashlib.sha256(self.format.encode())
        for part in (self.fields, self.records):
            digest.update(json.dumps(part, sort_keys=True, default=identity).encode() + b"\n")
        if self.records is None:
            while block := self.stream.read(IN_MEMORY):
                digest.update(block)
            self.stream.seek(0)
        return digest.digest()


class JsonBody:
    """A JSON body, received but not yet read."""

    def __init__(self, request: Request, content: BinaryIO) -> None:
        limit = request.max_content_length = WITH_DOCUMENTS.bytes(settings.current())
        self._content = content
        self._seen: set[bytes] = set()
        self.size = 0
        before = b""
        try:
            while piece := request.stream.read(PIECE):
                content.write(piece)
                self.size += len(piece)
                self._seen.update(name for name in (DOCUMENT, TEMPLATE) if name in before + piece)
                before = (before + piece)[-len(DOCUMENT) :]
                if DOCUMENT not in self._seen:
                    self._check_size()
        except RequestEntityTooLarge:
            raise document_body.too_large(limit) from None

    def read(self, upload: Upload | None) -> Asked:
        """The submission; its documents go into `upload`, or stay as they are without one."""
        asked = self._with_documents(upload) if upload and DOCUMENT in self._seen else self._whole()
        if not isinstance(asked, dict):
            raise BadInput('the body is not a JSON object: give {"records": […], …}')
        records = asked.pop("records", None)
        if not isinstance(records, list):
            found = kind_of(records)
            raise BadInput(f"records: give a list, or upload the records as a file; found {found}")
        return Asked(_checked(asked, JobFields()), self._content, "json", records)

    def _whole(self) -> Any:
        self._check_size()
        self._content.seek(0)
        return read_json(self._content.read())

    def _with_documents(self, upload: Upload) -> Any:
        # Cells of a column of that name are not stored first and removed again, where that can be avoided.
        if TEMPLATE in self._seen and self.size <= settings.current().max_json_bytes:
            asked = self._whole()
            if _has_such_a_column(asked):
                return asked
        self._content.seek(0)
        asked = document_body.read(iter(partial(self._content.read, PIECE), b""), upload, _is_document)
        if _has_such_a_column(asked):
            upload.clear()
            return self._whole()
        for record in _records(asked):
            upload.fill(record, "document")
            if isinstance(inside := record.get("document"), dict):
                upload.fill(inside, "content")
        upload.refuse_unused()
        return asked

    def _check_size(self) -> None:
        limit = settings.current().max_json_bytes
        if self.size > limit:
            raise TooLarge(
                f"the JSON has over {limit:,} bytes (MAX_JSON_BYTES): send the records as a JSONL file, as"
                " multipart/form-data in the part named `file`"
            )


class FormBody:
    """A form with a file, received but not yet read."""

    def __init__(self, request: Request) -> None:
        self._form = FileForm(request)
        self.size = self._form.size

    def read(self, upload: Upload | None) -> Asked:
        if upload is not None:
            upload.receive(self.size)
        return asked_of(self._form.fields(), self._form.stream, self._form.format)


class DocumentsBody:
    """A form with documents, which are stored, but not yet read."""

    def __init__(self, fields: Mapping[str, str], documents: FormDocuments) -> None:
        self._fields, self._documents = fields, documents
        self._asks = are_asked(fields)
        # Little of it is held in memory; but reading documents takes a helper, of which there are few.
        self.size = SMALL + 1 if self._asks else 0

    def read(self, _: Upload | None) -> Asked:
        records = self._documents.records(asks=self._asks)
        return asked_for(self._fields, records)


def asked_of(fields: Mapping[str, str], stream: BinaryIO, format: str) -> Asked:
    """The submission of a form's fields and a file; raises `BadInput` naming every invalid field."""
    parsed = {name: _value(name, text) for name, text in fields.items()}
    return Asked(_checked(parsed, UploadFields()), stream, format)


def asked_for(fields: Mapping[str, str], records: list[Any]) -> Asked:
    """The submission of a form's fields and records; raises `BadInput` naming every invalid field."""
    parsed = {name: _value(name, text) for name, text in fields.items()}
    return Asked(_checked(parsed, JobFields()), BytesIO(), "json", records)


@contextmanager
def received(request: Request, upload: Upload | None) -> Iterator[JsonBody | FormBody | DocumentsBody]:
    """The body of a submission, on disk until the end of the block; raises `Refused`."""
    if request.mimetype == "application/json":
        with temporary() as content:
            yield JsonBody(request, content)
    elif request.mimetype == "multipart/form-data":
        yield _form(request, upload)
    else:
        raise UnknownForm(
            "send JSON (application/json), or multipart/form-data with the records in the part named `file`,"
            " or with documents in parts named `document`; found"
            f" {request.mimetype or 'no content type'}"
        )


def _form(request: Request, upload: Upload | None) -> FormBody | DocumentsBody:
    """A form with a file, or with documents in its place."""
    documents = FormDocuments(upload)
    if isinstance(request, SpoolingRequest):
        request.documents = documents
    try:
        forms.receive(request)
    except BaseException:
        documents.drop()
        raise
    if not len(documents):
        return FormBody(request)
    return DocumentsBody(forms.fields_of(request, besides=PART), documents)


def _is_document(path: Path) -> bool:
    """Whether the string at `path` is the content of a record's document."""
    match path:
        case ("records", int(), "document") | ("records", int(), "document", "content"):
            return True
    return False


def _has_such_a_column(asked: Any) -> bool:
    """Whether records are rows for a template that uses a column of that name."""
    source = asked.get("template") if isinstance(asked, dict) else None
    return isinstance(source, str) and "document" in compile_template(source).variables


def _records(asked: Any) -> list[dict[str, Any]]:
    records = asked.get("records") if isinstance(asked, dict) else None
    return [record for record in records if isinstance(record, dict)] if isinstance(records, list) else []


def _value(name: str, text: str) -> Any:
    """Parse a form's text. What cannot be parsed is left to the field's own validation."""
    if name in NUMBERS and (number := whole_number(text)) is not None:
        return number
    if name in LINES and not text.lstrip().startswith("["):
        return list(filter(str.strip, text.splitlines()))
    if name in OBJECTS + LINES:
        try:
            return from_json(text)
        except ValueError as error:
            raise BadInput(f"{name}: give JSON; this is not: {error}") from None
    return text


def _checked(fields: Mapping[str, Any], schema: ma.Schema) -> dict[str, Any]:
    try:
        loaded = schema.load(fields)
    except ma.ValidationError as error:
        refuse_invalid(error)
    return {name: value for name, value in loaded.items() if value is not None}
