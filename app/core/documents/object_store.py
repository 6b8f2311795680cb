"""The object store: bytes under keys. An object that was put is whole and durable, or does not exist.

Failures of a store itself are `Unavailable`."""

import re
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol

KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")


class Store(Protocol):
    """Keys are always ours: letters, digits and `._-` between slashes, no part starting with a dot."""

    def put(self, key: str, content: BinaryIO) -> None:
        """Store the bytes of `content`, from its beginning."""

    def get(self, key: str) -> bytes:
        """The bytes under `key`; raises `NotFound`."""

    def copy(self, key: str, to: BinaryIO) -> None:
        """Write the bytes under `key` into the empty file `to`, piece by piece; raises `NotFound`."""

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """The bytes under `key` as a file to be read and sought in a block; raises `NotFound`."""

    def delete(self, keys: Iterable[str]) -> None:
        """Remove the objects under these keys, if they exist."""

    def reach(self) -> None:
        """Raise `Unavailable` if nothing can be stored."""

    def prepare(self) -> None:
        """Make the folder or the bucket, if it is not there; raises `Unavailable`."""


def document_key(tenant: uuid.UUID, file_id: uuid.UUID, sha256: str) -> str:
    """The key of a tenant's document."""
    return f"raw/{tenant}/{file_id}/{sha256}"


def checked(key: str) -> str:
    """`key`; raises `ValueError` unless it is valid."""
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a key of the object store")
    return key
