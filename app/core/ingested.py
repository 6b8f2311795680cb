"""What follows when a document has been taken in: written with the outcome of its record, or not at all."""

from collections.abc import Mapping

from sqlalchemy.orm import Session

from app.core.accounts import audit
from app.core.documents import handoff
from app.core.requests.job_context import JobContext
from app.ingest import documents

EVENT = "DOCUMENT_INGESTED"


def write(session: Session, job: JobContext, bodies: Mapping[int, bytes]) -> None:
    """Audit and offer the documents among records that have succeeded, by their index."""
    found = {idx: document for idx, body in bodies.items() if (document := documents.read(body))}
    if not found:
        return
    told = {document.file_id: {"filename": document.filename} for document in found.values()}
    audit.write(session, job.tenant_id, EVENT, "document", told)
    handoff.add(session, job, found)
