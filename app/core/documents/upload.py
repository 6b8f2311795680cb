"""Uploaded documents: decoded as they are read, and stored before their job is."""

import hashlib
import secrets
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, BinaryIO, cast

import structlog
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.core.documents import object_store, open_store
from app.errors import BadInput, TooLarge, Unavailable
from app.ingest.base64_text import Decoder
from app.ingest.documents import Stored, Unreadable
from app.ingest.media import Sniffer
from config import settings
from models.base import new_uid
from models.document import Blob
from models.session import in_transaction, reading
from models.upsert import insert_missing

IN_MEMORY = 1_000_000  # bytes of a document; a larger one is spooled to disk
BLOCK = 4_096  # bytes that even the smallest document takes on a disk
# Each document is a row, a folder and a file, a millisecond of work: of tiny ones a request may have few.
FREE_DOCUMENTS, BYTES_A_DOCUMENT = 150, 800

SMALL_IN_MEMORY = 2_000_000  # bytes, at a block each: more small documents are stored meanwhile

log = structlog.get_logger(__name__)


class Upload:
    """The documents of one request. Those that no job has taken at its end are removed; see `receiving`."""

    def __init__(self, tenant: uuid.UUID) -> None:
        self.uid = new_uid()
        self.count = 0  # documents that were stored
        self.bytes = 0  # that they take in the store
        self.most: int | None = None  # of these; None: as many as a request in JSON may have
        self._received = 0  # bytes of the request
        self._tenant = tenant
        self._mark = secrets.token_hex(16)  # unknown to the author of a body
        self._taken: list[Stored | Unreadable] = []
        self._filled = 0
        self._small: dict[str, bytes] = {}  # by key: not stored yet, as the request may yet be refused
        self._incoming: Incoming | None = None

    def receive(self, size: int) -> None:
        """Note bytes of the request that have arrived: they decide how many documents it may have."""
        self._received += size

    def open(self) -> "Incoming":
        """A receiver for the base64 of one document; there is only one at once."""
        self._incoming = Incoming(self)
        return self._incoming

    def decoded(self, text: str) -> Stored | Unreadable:
        """Store the document of a whole base64 text, and return it."""
        incoming = self.open()
        incoming.write(text.encode("utf-8", "surrogatepass"))
        return incoming.end()

    def keep(self, file: BinaryIO, media_type: str) -> str:
        """Store a whole file of the request beside its documents; returns its key in the object store."""
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]  # it wants a file that is open
        return self.store(file, digest.hexdigest(), file.tell(), media_type).key

    def document(self, file: BinaryIO) -> Stored:
        """Store a whole file of the request as a document."""
        file.seek(0)
        sniffer, digest = Sniffer(), hashlib.sha256()
        while piece := file.read(IN_MEMORY):
            sniffer.feed(piece)
            digest.update(piece)
        return self.store(file, digest.hexdigest(), file.tell(), sniffer.media_type())

    def fill(self, holder: dict[str, Any], name: str) -> None:
        """Replace a document's mark by the document; any other value stays."""
        mark, _, number = value.partition(":") if isinstance(value := holder.get(name), str) else ("", "", "")
        if mark == self._mark:
            holder[name] = self._taken[int(number)]
            self._filled += 1

    def refuse_unused(self) -> None:
        """Raise `BadInput` unless the mark of each document was replaced."""
        if self._filled < len(self._taken):
            raise BadInput("the body has duplicate names: give each name in an object once")

    def note(self, document: Stored | Unreadable) -> str:
        """Keep a document, stored or unreadable; returns the mark that stands for it."""
        self._taken.append(document)
        return f"{self._mark}:{len(self._taken) - 1}"

    def store(self, content: BinaryIO, sha256: str, size: int, media_type: str) -> Stored:
        """Put a document into the object store; a small one with others like it, by `store_small`.

        Raises `TooLarge` at the first document that is too many for the size of the request.
        """
        self.check_count(self.count + 1)
        self.bytes += max(1, -(-size // BLOCK)) * BLOCK
        limit = self.most or settings.current().max_request_bytes
        if self.bytes > limit:
            name = "MAX_UPLOAD_BYTES" if self.most else "MAX_REQUEST_BYTES"
            raise TooLarge(
                f"the documents of the request take over {limit:,} bytes ({name}), each one at least"
                f" {BLOCK:,}: send fewer at once"
            )
        file_id = new_uid()
        key = object_store.document_key(self._tenant, file_id, sha256)
        self.count += 1
        if size > BLOCK:
            self._put({key: content})
        else:
            content.seek(0)
            self._small[key] = content.read()
            if len(self._small) * BLOCK > SMALL_IN_MEMORY:
                self.store_small()
        return Stored(file_id, key, sha256, size, media_type)

    def store_small(self) -> None:
        """Put small documents that are not there yet into the object store; to be called before `take`."""
        small, self._small = self._small, {}
        if small:
            self._put({key: BytesIO(content) for key, content in small.items()})

    def _put(self, documents: Mapping[str, BinaryIO]) -> None:
        """Their rows are written first, so that no document is ever orphaned."""
        in_transaction(partial(_announce, keys=list(documents), upload=self.uid))
        for key, content in documents.items():
            open_store.store().put(key, content)

    def check_count(self, count: int) -> None:
        """Raise `TooLarge` when `count` documents are too many for what has arrived of the request."""
        allowed = FREE_DOCUMENTS + self._received // BYTES_A_DOCUMENT
        if count > allowed:
            raise TooLarge(
                f"the request has over {allowed:,} documents in its first {self._received:,} bytes: the limit"
                f" is {FREE_DOCUMENTS}, and one more for each {BYTES_A_DOCUMENT} bytes; join small ones"
            )

    def clear(self) -> None:
        """Discard all documents received so far."""
        self.close()
        self.count, self.bytes, self._taken, self._small = 0, 0, [], {}

    def close(self) -> None:
        """Remove the documents that no job has taken."""
        if self._incoming is not None:
            self._incoming.drop()
        if self.count:
            _remove(self.uid)

    def take(self, session: Session, job_id: int) -> None:
        """Give all documents to the job."""
        taken = session.scalars(
            update(Blob)
            .where(Blob.upload == self.uid, Blob.job_id.is_(None))
            .values(job_id=job_id)
            .returning(Blob.id)
        ).all()
        if len(taken) != self.count:
            raise Unavailable(
                "the documents took a day to arrive, and the first ones were removed: send them again"
            )


class Incoming:
    """One document: its base64 arrives in pieces and is decoded into bytes."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload
        self._file = _temporary(settings.current().data)
        self._decoder, self._sniffer, self._digest = Decoder(), Sniffer(), hashlib.sha256()
        self._size = 0
        self._fault: str | None = None

    def write(self, piece: bytes) -> None:
        """Decode and keep a piece; raises `TooLarge` when the document is too large."""
        if self._fault is not None:
            return
        try:
            content = self._decoder.feed(piece)
        except ValueError as error:
            self._fault = f"the content is not base64: {error}"
            return
        self._keep(content)

    def _keep(self, content: bytes) -> None:
        self._size += len(content)
        limit = settings.current().max_document_bytes
        if self._size > limit:
            raise TooLarge(
                f"a document has over {limit:,} bytes (MAX_DOCUMENT_BYTES): leave it out, or split it"
            )
        self._digest.update(content)
        self._sniffer.feed(content)
        self._file.write(content)

    def close(self) -> str:
        """End the text; returns the mark that stands for its document."""
        return self._upload.note(self.end())

    def end(self) -> Stored | Unreadable:
        """Store the document and return it."""
        with self._file as content:
            try:
                self._keep(self._decoder.close())
            except ValueError as error:
                self._fault = self._fault or f"the content is not base64: {error}"
            if self._fault is not None:
                return Unreadable(self._fault)
            kind = self._sniffer.media_type()
            return self._upload.store(content, self._digest.hexdigest(), self._size, kind)

    def drop(self) -> None:
        """Discard the temporary file, whether the document has ended or not."""
        self._file.close()


@contextmanager
def receiving(tenant: uuid.UUID) -> Iterator[Upload]:
    """An upload for the duration of the block; documents that no job has taken by its end are removed."""
    upload = Upload(tenant)
    try:
        yield upload
    finally:
        upload.close()


def _remove(upload: uuid.UUID) -> None:
    """Remove the upload's documents that no job has taken."""
    with reading() as session:
        rows = session.execute(
            select(Blob.id, Blob.key).where(Blob.upload == upload, Blob.job_id.is_(None))
        ).all()
    if not rows:
        return
    try:
        open_store.store().delete([row.key for row in rows])
    except Unavailable as error:
        log.warning("blobs.left", count=len(rows), reason=error.message)  # for the sweep to remove
        return
    in_transaction(partial(forget, ids=[row.id for row in rows]))


def forget(session: Session, ids: Sequence[int]) -> None:
    """Delete the rows of objects that are no longer in the store."""
    session.execute(delete(Blob).where(Blob.id.in_(ids)))


def _announce(session: Session, keys: Sequence[str], upload: uuid.UUID) -> None:
    # After a COMMIT whose answer was lost, the rows already exist.
    insert_missing(session, Blob, *({"key": key, "upload": upload} for key in keys))


def _temporary(folder: Path) -> BinaryIO:
    return cast(BinaryIO, SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(folder)))
