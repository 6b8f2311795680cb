"""The object store: bytes under keys, in a folder or in S3.

Whatever is put is whole and durable, or it is not there. A store's own troubles are `Unavailable`.
"""

import re
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from app.errors import NotFound, RequestRejected
from app.ingest.documents import BAD_DOCUMENT, Block, Document
from config import settings

KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class Store(Protocol):
    """Keys are of our own making: letters, digits and `._-` between slashes, no part with a dot in front."""

    def put(self, key: str, content: BinaryIO) -> None:
        """Keep the bytes of `content`, from its beginning."""

    def get(self, key: str) -> bytes:
        """The bytes under `key`; raises `NotFound`."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove what is there under these keys."""

    def reach(self) -> None:
        """Raise `Unavailable` where nothing could be put."""


def document_key(tenant: uuid.UUID, file_id: uuid.UUID, sha256: str) -> str:
    """Where a tenant's document is kept."""
    return f"raw/{tenant}/{file_id}/{sha256}"


def checked(key: str) -> str:
    """`key`; raises `ValueError` for one that is not of our making."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of the object store")
    return key


@cache
def store() -> Store:
    """The store of OBJECT_STORE_URL, made once a process."""
    chosen = settings.current()
    parts = urlsplit(chosen.object_store_url)
    if parts.scheme == "s3":
        from app.core.documents.s3_store import (
            S3Store,  # boto3 takes a third of a second, and most use a folder
        )

        return S3Store(parts.netloc, parts.path.strip("/"), chosen.s3_endpoint_url)
    from app.core.documents.folder_store import FolderStore

    return FolderStore(Path(unquote(parts.path)))


def content_block(document: Document) -> Block:
    """The content block of a document.

    Raises `RequestRejected` for one that there is not, `Unavailable` while the store is away.
    """
    if document.fault is not None:
        raise RequestRejected(document.fault, type=BAD_DOCUMENT)
    try:
        return document.block(store().get(document.key))
    except NotFound as error:
        raise RequestRejected(error.message, type=BAD_DOCUMENT) from error
