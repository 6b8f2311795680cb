"""A form with documents: each goes to the object store as it comes, so that one at a time takes memory."""

import io
from collections.abc import Iterable
from typing import IO, Any, BinaryIO, cast

from app.core.documents import readable
from app.core.documents.open_store import store
from app.core.documents.upload import Upload
from app.errors import BadInput, TooLarge
from app.ingest.apart.documents import DocumentReader, kind_of
from app.ingest.documents import Stored, Unreadable
from app.ingest.draft import Problems
from app.web.forms import temporary
from config import settings

UNNAMED = "document"
ASKING = frozenset({"prompt", "fields", "schema"})


def are_asked(names: Iterable[str]) -> bool:
    """Whether fields of these names say what is asked of documents, which are only stored otherwise."""
    return not ASKING.isdisjoint(names)


class FormDocuments:
    """The documents of one form, in their order."""

    def __init__(self, upload: Upload | None) -> None:
        self.size = 0  # bytes received
        self._upload = upload
        if upload is not None:
            upload.most = settings.current().max_upload_bytes  # none of it is held in memory
        self._incoming: _Incoming | None = None  # the last one
        self._files: list[tuple[str, Stored]] = []

    def __len__(self) -> int:
        return len(self._files)

    def begin(self, name: str | None) -> IO[bytes]:
        """Where the content of the next document goes; it has ended when it is sought."""
        if self._upload is None:
            raise BadInput("a document's number of tokens cannot be known in advance: it has no quote")
        self._incoming = _Incoming(self, self._upload, name or UNNAMED)
        return cast(IO[bytes], self._incoming)

    def drop(self) -> None:
        """Of a form that ends in the middle nobody gets the last document, so nobody else would close it."""
        if self._incoming is not None:
            self._incoming.close()

    def end(self, name: str, content: BinaryIO) -> None:
        assert self._upload is not None
        self._files.append((name, self._upload.document(content)))

    def records(self, *, asks: bool) -> list[dict[str, Any]]:
        """Records of the documents. `asks`: they are sent to a model, so what it does not take is its text.

        Raises `BadInput` naming every file that cannot be read.
        """
        if not asks:
            return [_record(name, stored) for name, stored in self._files]
        problems, records = Problems(), []
        with DocumentReader() as reader:
            for name, stored in self._files:
                found = self._readable(name, stored, reader)
                if isinstance(found, Unreadable):
                    problems.add(name, found.why)
                records.append(_record(name, found))
        problems.refuse()
        return records

    def _readable(self, name: str, stored: Stored, reader: DocumentReader) -> Stored | Unreadable:
        """What a model gets of a file; one that has to be read is fetched once more."""
        assert self._upload is not None
        if kind_of(name, stored.media_type) is None:
            return readable.as_it_is(stored)
        self._upload.store_small()
        with temporary() as content:
            store().copy(stored.key, content)
            return readable.as_read(self._upload, stored, content, name, reader)


class _Incoming(io.RawIOBase):
    """One document, spooled until it is whole."""

    def __init__(self, documents: FormDocuments, upload: Upload, name: str) -> None:
        self._documents, self._upload, self._name = documents, upload, name
        self._content: BinaryIO = temporary()
        self._size = 0

    def write(self, piece: Any) -> int:
        self._size += len(piece)
        self._documents.size += len(piece)
        self._upload.receive(len(piece))
        limit = settings.current().max_document_bytes
        if self._size > limit:
            raise TooLarge(
                f"{self._name} has over {limit:,} bytes (MAX_DOCUMENT_BYTES): leave it out, or split it"
            )
        return self._content.write(piece)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self._content.closed:
            with self._content as content:
                self._documents.end(self._name, content)
        return 0

    def close(self) -> None:
        self._content.close()
        super().close()


def _record(name: str, content: Stored | Unreadable) -> dict[str, Any]:
    return {"document": {"content": content, "filename": name}}
