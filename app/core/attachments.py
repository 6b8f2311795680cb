"""Documents for the model: fetched from the object store when their call is about to leave."""

from app.core.documents import open_store
from app.errors import NotFound, RequestRejected
from app.ingest.documents import BAD_DOCUMENT, Block, Document


def block(document: Document) -> Block:
    """The content block of a document.

    Raises `RequestRejected` for one that there is not, `Unavailable` while the store is away.
    """
    if document.fault is not None:
        raise RequestRejected(document.fault, type=BAD_DOCUMENT)
    try:
        return document.block(open_store.store().get(document.key))
    except NotFound as error:
        raise RequestRejected(error.message, type=BAD_DOCUMENT) from error
