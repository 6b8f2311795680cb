"""From a draft to a job that can be quoted, tried and submitted, by the checks of every other door."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, BinaryIO

from app.core.accounts.api_keys import Caller
from app.core.documents import job_drafts, readable
from app.core.documents.job_drafts import DOCUMENTS, JobDraft
from app.core.documents.upload import Upload
from app.dashboard.new_job import form
from app.errors import BadInput
from app.ingest import tables
from app.ingest.apart.documents import DocumentReader
from app.ingest.documents import Unreadable
from app.ingest.draft import Problems
from app.ingest.spool import DraftSpool
from app.providers import registry
from app.services import chat_jobs, operation_jobs, table_form
from app.services.operation_rows import SheetJob
from app.web.capacity import enough_memory
from app.web.connection import while_connected
from app.web.forms import memory_for
from app.web.submissions.bodies import Asked, asked_for, asked_of
from app.web.submissions.documents import are_asked
from app.web.submissions.intake import Received, choice_of, read_in
from config import settings


def prepare(
    me: Caller,
    draft: JobDraft,
    spool: DraftSpool,
    upload: Upload | None = None,
    *,
    rows: int | None = None,
    asks: bool = True,
) -> Received:
    """Fill `spool` with the draft's records, or the first `rows` of them; raises `Refused` with every error.

    `upload` takes what the job keeps besides. `asks`: they will be sent.
    """
    if draft.format == DOCUMENTS:
        return _of_documents(me, draft, spool, upload, rows, asks=asks)
    with _opened(me, draft) as stream:
        if draft.format in tables.FORMATS and form.ask(draft.fields) != form.PROMPT:
            return _of_sheet(me, draft, stream, spool, upload, rows, asks=asks)
        fields = {**_common(draft, rows), **form.of_prompt(draft.fields)}
        return read_in(asked_of(fields, stream, draft.format), spool, None, upload, asks=asks)


def check_table(draft: JobDraft, stream: BinaryIO, rows: int | None = None) -> Asked:
    """The fields that every job of a table has; raises `BadInput` naming every invalid one."""
    return asked_of(_common(draft, rows), stream, draft.format)


def memory_of(draft: JobDraft) -> int:
    """Bytes that reading its file may take: a workbook unpacks."""
    return memory_for(draft.format, draft.bytes)


def _common(draft: JobDraft, rows: int | None) -> dict[str, str]:
    fields = form.of_job(draft.fields, draft.name)
    if draft.format in tables.FORMATS:
        fields |= form.of_table(draft.fields)
    if rows is None:
        return fields
    fields.pop("try_first", None)  # the first rows are a job of their own
    return {**fields, "rows": str(rows)}


@contextmanager
def _opened(me: Caller, draft: JobDraft) -> Iterator[BinaryIO]:
    with job_drafts.opened(me.tenant_id, draft) as stream, enough_memory(memory_of(draft)):
        yield stream


def _of_sheet(
    me: Caller,
    draft: JobDraft,
    stream: BinaryIO,
    spool: DraftSpool,
    upload: Upload | None,
    rows: int | None,
    *,
    asks: bool,
) -> Received:
    asked = check_table(draft, stream, rows)
    job = _sheet_job(me, draft, asked)
    if asks:
        registry.require(job.defaults.model, settings.current(), "model")
    for record in while_connected(job.drafts):
        spool.add(record)
    job.problems.refuse()
    fields = asked.fields
    options = replace(
        job.options(),
        name=fields.get("name"),
        priority=fields.get("priority", 5),
        max_cost=fields.get("max_cost"),
        reuse=fields.get("reuse"),
        dedupe=fields.get("dedupe", False),
        try_first=fields.get("try_first"),
        form=table_form.find(draft.format, stream, job.sheet, upload),
        notes=job.sheet.notes(),
    )
    return Received(job.defaults, options)


def _sheet_job(me: Caller, draft: JobDraft, asked: Asked) -> SheetJob:
    choice, max_tokens = choice_of(asked), asked.fields.get("max_tokens")
    if form.ask(draft.fields) == form.CHAT:
        return chat_jobs.read(
            draft.format,
            asked.stream,
            form.chat_terms(draft.fields, max_tokens),
            tenant_id=me.tenant_id,
            user_id=me.user_id,
            choice=choice,
        )
    return operation_jobs.read(
        draft.format, asked.stream, form.operation_terms(draft.fields, max_tokens), choice
    )


def _of_documents(
    me: Caller, draft: JobDraft, spool: DraftSpool, upload: Upload | None, rows: int | None, *, asks: bool
) -> Received:
    """Each file is a document with the prompt, or is only stored without one."""
    typed = form.of_prompt(draft.fields)
    if "template" in typed:
        typed["prompt"] = typed.pop("template")
    elif asks and "fields" not in typed:
        raise BadInput.of_field("template", "write what is to be asked of each document")
    fields = {**form.of_job(draft.fields, draft.name), **typed}
    if rows is not None:
        fields.pop("try_first", None)
    if upload is None:
        raise BadInput("a document's number of tokens is not known before it is asked, so it has no quote")
    records = _readable(me, draft, upload, rows, asks=are_asked(typed))
    return read_in(asked_for(fields, records), spool, None, upload, asks=asks)


def _readable(
    me: Caller, draft: JobDraft, upload: Upload, rows: int | None, *, asks: bool
) -> list[dict[str, Any]]:
    """Records of the files; raises `BadInput` naming all that a model could not read, if it `asks`."""
    upload.receive(draft.bytes)
    problems, records = Problems(), []
    with DocumentReader() as reader:
        for place, file in list(enumerate(draft.files))[:rows]:
            with job_drafts.opened(me.tenant_id, draft, place) as content:
                name = file["name"]
                found = readable.store(upload, content, name, reader) if asks else upload.document(content)
            if isinstance(found, Unreadable):
                problems.add(name, found.why)
            records.append({"document": {"content": found, "filename": name}})
    problems.refuse()
    return records
