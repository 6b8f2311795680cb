"""Documents as records: what is known of one, how its record says it, and what it is for the model."""

import base64
import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from app.ingest import media
from app.ingest.values import to_json

BEGINNING = b'{"document":'  # of the body of a record that is a document
BAD_DOCUMENT = "bad_document"  # the error's type

# What a model makes of them, about, as bytes of text that would be as many tokens; a job's own answers tell more.
IMAGE_BYTES = 6_400  # 1,600 tokens
PDF_PAGE_BYTES = 12_000  # 3,000 tokens
PDF_BYTES_A_PAGE = 75_000

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Stored:
    """A document that lies in the object store."""

    file_id: uuid.UUID
    key: str
    sha256: str
    size: int  # bytes
    media_type: str  # by its own bytes


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Content that is no document."""

    why: str


class Documents(Protocol):
    """Takes what documents hold as their text is read."""

    def decoded(self, text: str) -> Stored | Unreadable:
        """The document that a whole base64 text holds, once it is stored."""


@dataclass(frozen=True, slots=True)
class Document:
    """One record's document. `fault`: it could not be read, and its record fails by that."""

    filename: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    file_id: str = ""
    key: str = ""
    sha256: str = ""
    size: int = 0  # bytes
    media_type: str = media.UNKNOWN
    fault: str | None = None

    @classmethod
    def of(cls, content: Stored | Unreadable, filename: str | None, metadata: Mapping[str, Any]) -> "Document":
        if isinstance(content, Unreadable):
            return cls(filename, metadata, fault=content.why)
        return cls(
            filename,
            metadata,
            str(content.file_id),
            content.key,
            content.sha256,
            content.size,
            content.media_type,
        )

    def body(self) -> bytes:
        """As its record stores it."""
        return to_json({"document": asdict(self)})

    def told(self) -> dict[str, Any]:
        """As its owner is told where it lies."""
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
        """Bytes of text that would be as many tokens, about."""
        if self.media_type in media.IMAGES:
            return IMAGE_BYTES
        if self.media_type == media.PDF:
            return PDF_PAGE_BYTES * -(-self.size // PDF_BYTES_A_PAGE)
        return self.size

    @property
    def held_bytes(self) -> int:
        """Bytes of the request, in which it is base64 or, of text, JSON."""
        return self.size if self.media_type == media.TEXT else -(-self.size // 3) * 4

    @property
    def unbounded(self) -> str | None:
        """Why nobody can say how many tokens it is at most; None for text."""
        if self.media_type == media.TEXT:
            return None
        return f"a document of the type {self.media_type} may be any number of tokens"

    def block(self, content: bytes) -> Block:
        """The content block by which the model gets it. Raises `ValueError` for what no model takes."""
        if self.media_type == media.TEXT:
            return {"type": "text", "text": content.decode()}
        if self.media_type not in (media.PDF, *media.IMAGES):
            raise ValueError(
                "the model takes PDF, PNG, JPEG, GIF, WebP and UTF-8 text; this document is none of them"
            )
        source = {
            "type": "base64",
            "media_type": self.media_type,
            "data": base64.b64encode(content).decode(),
        }
        return {"type": "document" if self.media_type == media.PDF else "image", "source": source}


def read(body: bytes) -> Document | None:
    """The document that a record is; None for a record of another kind."""
    return Document(**json.loads(body)["document"]) if body.startswith(BEGINNING) else None
