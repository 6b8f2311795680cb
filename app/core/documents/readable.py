"""A file of a request as a document that a model takes: DOCX and HTML as their text, PDF with its pages."""

from dataclasses import replace
from io import BytesIO
from typing import BinaryIO

from app.core.documents.upload import Upload
from app.ingest import media
from app.ingest.apart.documents import PDF, DocumentReader, kind_of
from app.ingest.documents import Stored, Unreadable

TAKEN = (media.TEXT, media.PDF, *media.IMAGES)


def store(upload: Upload, content: BinaryIO, name: str, reader: DocumentReader) -> Stored | Unreadable:
    """Store what a model is sent of a file, or say why there is nothing, and what to do."""
    stored = upload.document(content)
    if kind_of(name, stored.media_type) is None:
        return as_it_is(stored)
    return as_read(upload, stored, content, name, reader)


def as_it_is(stored: Stored) -> Stored | Unreadable:
    """A file that nobody has to read before a model does."""
    if stored.media_type in TAKEN:
        return stored
    return Unreadable(
        "a model takes PDF, PNG, JPEG, GIF, WebP, DOCX, HTML and text in UTF-8, and this is"
        f" {stored.media_type}: save it as one of them, or leave it out"
    )


def as_read(
    upload: Upload, stored: Stored, content: BinaryIO, name: str, reader: DocumentReader
) -> Stored | Unreadable:
    """A stored file that has to be read; its text is stored beside it."""
    kind = kind_of(name, stored.media_type)
    assert kind is not None
    found = reader.read(kind, content)
    if found.fault is not None:
        return Unreadable(found.fault)
    if kind == PDF:
        return replace(stored, pages=found.pages)
    assert found.text is not None
    return upload.document(BytesIO(found.text.encode("utf-8", "replace")))
