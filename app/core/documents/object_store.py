"""The object store: bytes under keys. Whatever is put is whole and durable, or it is not there.

A store's own troubles are `Unavailable`."""

import re
import uuid
from collections.abc import Iterable
from typing import BinaryIO, Protocol

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
        raise ValueError(f"{key!r} is not a key of the object store")
    return key
