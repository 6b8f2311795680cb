"""The configured object store, in a folder or in S3, and the content blocks read from it for calls."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.core.documents.object_store import Store
from app.errors import NotFound, RequestRejected
from app.ingest.documents import BAD_DOCUMENT, Block, Document
from config import settings
from config.once import once


@once
def store() -> Store:
    """The store at OBJECT_STORE_URL, made once per process."""
    chosen = settings.current()
    parts = urlsplit(chosen.object_store_url)
    if parts.scheme == "s3":
        # boto3 takes a third of a second to import, and most installations use a folder.
        from app.core.documents.s3_store import S3Store

        return S3Store(parts.netloc, parts.path.strip("/"), chosen.s3_endpoint_url)
    from app.core.documents.folder_store import FolderStore

    return FolderStore(Path(unquote(parts.path)))


def content_block(document: Document) -> Block:
    """The content block of a document.

    Raises `RequestRejected` if the document is bad or missing, `Unavailable` while the store is away.
    """
    if document.fault is not None:
        raise RequestRejected(document.fault, type=BAD_DOCUMENT)
    try:
        return document.block(store().get(document.key))
    except NotFound as error:
        raise RequestRejected(error.message, type=BAD_DOCUMENT) from error
