"""Documents that a helper has to read: for their text where a model takes no others, or for their pages."""

import time
from os import SEEK_END
from pathlib import PurePath
from typing import BinaryIO, NamedTuple, Self

from app.errors import BadInput, TooLarge
from app.ingest import media
from app.ingest.apart.helper import Bounds, Helper

PDF, DOCX, HTML = "pdf", "docx", "html"
ENDINGS = {".docx": DOCX, ".docm": DOCX, ".html": HTML, ".htm": HTML, ".xhtml": HTML}
FREE_SECONDS, BYTES_A_SECOND = 30.0, 1_000_000  # in which they must be read
BOUNDS = Bounds(1_000_000_000, 10, each=True)


class Read(NamedTuple):
    """What a document gave; `fault`: why it cannot be read, and what to do."""

    text: str | None = None
    pages: int | None = None
    fault: str | None = None


def kind_of(name: str, media_type: str) -> str | None:
    """What a helper has to make of a document; None where a model takes it as it is."""
    if media_type == media.PDF:
        return PDF
    return ENDINGS.get(PurePath(name).suffix.lower()) if media_type in (media.TEXT, media.UNKNOWN) else None


class DocumentReader:
    """Reads any number of documents, one after the other. A context manager."""

    def __init__(self) -> None:
        self._helper: Helper | None = None
        self._seconds = FREE_SECONDS  # that are left for documents of the sizes that have come

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def read(self, kind: str, content: BinaryIO) -> Read:
        """What a document of this kind gives; where it ends its helper, the next one gets another.

        Raises `TooLarge` where all together take too long for their sizes.
        """
        self._seconds += content.seek(0, SEEK_END) / BYTES_A_SECOND
        if self._seconds < 0:
            raise TooLarge("the documents take too long to be read: send fewer of them at once")
        began = time.monotonic()
        try:
            return self._ask(kind, content)
        finally:
            self._seconds -= time.monotonic() - began

    def _ask(self, kind: str, content: BinaryIO) -> Read:
        if self._helper is None:
            self._helper = Helper("document_texts", BOUNDS, what="it cannot be read")
        try:
            return Read(*self._helper.ask(kind, content))
        except BadInput as error:
            self._end()
            return Read(fault=error.message)

    def _end(self) -> None:
        if self._helper is not None:
            self._helper.close()
            self._helper = None
