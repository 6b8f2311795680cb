"""Documents as records: their properties, how a record stores them, and how the model gets them."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from app.ingest import media
from app.ingest.draft import MAX_RECORD_BYTES, Defaults, Draft
from app.ingest.values import to_json

BEGINNING = b'{"document":'  # of the body of a record that is a document
BAD_DOCUMENT = "bad_document"  # the error's type

# The number of text bytes that would be about as many tokens; a job's answers give better values.
IMAGE_BYTES = 6_400  # 1,600 tokens
PDF_PAGE_BYTES = 12_000  # 3,000 tokens
PDF_BYTES_A_PAGE = 75_000

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document in the object store."""

    file_id: uuid.UUID
    key: str
    sha256: str
    size: int  # bytes
    media_type: str  # detected from its bytes
    pages: int | None = None  # None: it has none, or nobody counted them


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Content that is not a document."""

    why: str


def identity(found: object) -> str:
    """What identifies a request's content, for `json.dumps`: independent of where a document is stored."""
    match found:
        case Stored():
            return found.sha256
        case Unreadable():
            return found.why
    return str(found)


class Documents(Protocol):
    """Receives the content of documents while the text is read."""

    def decoded(self, text: str) -> Stored | Unreadable:
        """The document of a complete base64 text, once it is stored."""


@dataclass(frozen=True, slots=True)
class Document:
    """One record's document. `fault`: it could not be read, and its record fails because of it."""

    filename: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file_id: str = ""
    key: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    media_type: str = media.UNKNOWN
    fault: str | None = None
    collection: str | None = None  # to which its job adds it
    pages: int | None = None

    @classmethod
    def of(
        cls,
        content: Stored | Unreadable,
        filename: str | None,
        metadata: Mapping[str, Any],
        collection: str | None = None,
    ) -> "Document":
        if isinstance(content, Unreadable):
            return cls(filename, metadata, fault=content.why, collection=collection)
        return cls(
            filename,
            metadata,
            str(content.file_id),
            content.key,
            content.sha256,
            content.size,
            content.media_type,
            collection=collection,
            pages=content.pages,
        )

    def body(self) -> bytes:
        """As its record stores it.

        What was added later stands beside the document: workers of the release before expect no other fields
        in it.
        """
        own = asdict(self)
        later = {name: own.pop(name) for name in ("collection", "pages")}
        return to_json({"document": own, **{name: part for name, part in later.items() if part is not None}})

    def description(self) -> dict[str, Any]:
        """What its sender said of it."""
        return {"filename": self.filename, "metadata": self.metadata, "collection": self.collection}

    def as_answer(self) -> dict[str, Any]:
        """The answer of a record that only stores it."""
        return {
            "file_id": self.file_id,
            "filename": self.filename,
            "sha256": self.sha256,
            "storage_path": self.key,
            "bytes": self.size,
            "media_type": self.media_type,
        }

    @property
    def counted_bytes(self) -> int:
        """The number of text bytes that would be about as many tokens."""
        if self.media_type in media.IMAGES:
            return IMAGE_BYTES
        if self.media_type == media.PDF:
            return PDF_PAGE_BYTES * (self.pages or -(-self.size // PDF_BYTES_A_PAGE))
        return self.size

    @property
    def held_bytes(self) -> int:
        """Bytes in the request, where it is base64 or, if text, JSON."""
        return self.size if self.media_type == media.TEXT else -(-self.size // 3) * 4

    @property
    def unbounded(self) -> str | None:
        """Why its number of tokens has no upper bound; None for text."""
        if self.media_type == media.TEXT:
            return None
        return f"a document of type {self.media_type} may be any number of tokens"

    @property
    def is_readable(self) -> bool:
        """Whether a model can take it."""
        return self.media_type in (media.TEXT, media.PDF, *media.IMAGES)

    def block(self, content: bytes) -> Block:
        """The content block with which the model gets it."""
        if self.media_type == media.TEXT:
            return {"type": "text", "text": content.decode()}
        source = {
            "type": "base64",
            "media_type": self.media_type,
            "data": base64.b64encode(content).decode(),
        }
        return {"type": "document" if self.media_type == media.PDF else "image", "source": source}


def draft(
    document: Document, defaults: Defaults, *, custom_id: str | None = None, max_tokens: int | None = None
) -> Draft:
    """The draft of a document; raises `ValueError` for one that the job's model cannot take."""
    body = document.body()
    if defaults.prompt is None or document.fault is not None:
        return Draft(body, len(body), custom_id)
    if not document.is_readable:
        raise ValueError(
            f"the model takes PDF, PNG, JPEG, GIF, WebP and UTF-8 text; this is {document.media_type}"
        )
    held = document.held_bytes + defaults.request_bytes
    if held > MAX_RECORD_BYTES:
        raise ValueError(f"the request has {held:,} bytes; the limit is {MAX_RECORD_BYTES:,}")
    return Draft(
        body,
        document.counted_bytes + defaults.request_bytes,
        custom_id,
        max_tokens=max_tokens,
        unbounded=document.unbounded,
        held_bytes=held,
    )


def held_bytes(body: bytes, request_bytes: int) -> int:
    """Bytes of memory that a record's request takes, given its `request_bytes`."""
    document = read(body)
    return request_bytes if document is None else document.held_bytes + request_bytes - document.counted_bytes


def read(body: bytes) -> Document | None:
    """The record's document; None for a record of another kind."""
    if not body.startswith(BEGINNING):
        return None
    record = json.loads(body)
    return Document(**record["document"], collection=record.get("collection"), pages=record.get("pages"))
