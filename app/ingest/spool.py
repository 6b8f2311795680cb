"""Drafts on disk: an input is validated completely before it is stored, and not parsed again to store it."""

import marshal
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from app.errors import TooLarge
from app.ingest import documents
from app.ingest.beginnings.common import CommonBeginning
from app.ingest.draft import REFUSED, Draft
from config import settings

CHUNK_DRAFTS = 1_000
CHUNK_BYTES = 8_000_000
MODELS = 100
LARGER = 4  # times MAX_UPLOAD_BYTES: each row of a table is stored with the names of all columns
LENGTH = Struct("<Q")  # before each chunk


class DraftSpool:
    """Drafts in an unlinked file in `directory`, so nothing is left of it even after a kill.

    Memory holds one chunk: up to 1,000 drafts or about 8 MB. Use it as a context manager.
    """

    def __init__(self, directory: Path) -> None:
        self.count = 0
        self.bytes = 0  # of all bodies
        self.request_bytes = 0  # of all requests as they will be sent, about
        self.max_request_bytes = 0  # memory that the largest request takes
        self.documents = 0  # records that are documents
        self.refused = 0  # records that fail without a call
        self.unbounded: str | None = None  # the first reason why a call's cost has no upper bound
        self.beginning = CommonBeginning()
        self.models: set[str] = set()  # named by records, the first hundred
        self._file = TemporaryFile(dir=directory)  # noqa: SIM115 - closed with the spool
        self._waiting: list[Draft] = []
        self._waiting_bytes = 0
        self._max_bytes = LARGER * settings.current().max_upload_bytes
        self._written = 0  # chunks

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, draft: Draft) -> None:
        """Add a draft; raises `TooLarge` when the records of a small file expand to too much."""
        size = len(draft.body)
        self.count += 1
        self.bytes += size
        if self.bytes > self._max_bytes:
            raise TooLarge(
                f"the records take over {self._max_bytes:,} bytes as stored, {LARGER} times"
                " MAX_UPLOAD_BYTES: split them into several jobs; a table with many columns is stored with"
                " each column's name in each row"
            )
        self.request_bytes += draft.request_bytes
        self.max_request_bytes = max(self.max_request_bytes, draft.held_bytes or draft.request_bytes)
        self.documents += draft.body.startswith(documents.BEGINNING)
        self.refused += draft.body.startswith(REFUSED)
        self.beginning.add(draft.body, is_turn=draft.conversation is not None)
        if draft.unbounded and self.unbounded is None:
            self.unbounded = f"record {self.count - 1}: {draft.unbounded}"
        if draft.model and len(self.models) < MODELS:
            self.models.add(draft.model)
        self._waiting.append(draft)
        self._waiting_bytes += size
        if len(self._waiting) >= CHUNK_DRAFTS or self._waiting_bytes >= CHUNK_BYTES:
            self._write()

    @property
    def asks_nothing(self) -> bool:
        """Whether all records fail without a call."""
        return 0 < self.count == self.refused

    @property
    def is_small(self) -> bool:
        """Whether everything fits in one chunk."""
        return self._written + bool(self._waiting) <= 1

    def chunks(self) -> Iterator[list[Draft]]:
        """All drafts in the order in which they were added; can be read again, as after a deadlock."""
        self._write()
        position = 0
        while True:
            self._file.seek(position)
            length = self._file.read(LENGTH.size)
            if not length:
                return
            # Written by this process, and accessible to no other.
            fields = marshal.loads(self._file.read(*LENGTH.unpack(length)))  # noqa: S302
            position = self._file.tell()
            yield list(map(Draft, *fields))

    def _write(self) -> None:
        if not self._waiting:
            return
        # Field by field: twice as fast as draft by draft.
        chunk = marshal.dumps(list(zip(*self._waiting, strict=True)))
        self._file.seek(0, 2)
        self._file.write(LENGTH.pack(len(chunk)) + chunk)
        self._written += 1
        self._waiting = []
        self._waiting_bytes = 0
