"""The first rows of a draft as the page shows them, with what they will ask and what was answered."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from app.core.accounts.api_keys import Caller
from app.core.documents import job_drafts
from app.core.documents.job_drafts import DOCUMENTS, JobDraft
from app.dashboard.new_job import form, preparing
from app.errors import BadInput, Refused
from app.ingest import tables
from app.ingest.operations import Operation
from app.ingest.previews.prompts import prompt_of
from app.ingest.previews.tables import (
    PROMPTS,
    ROWS,
    Prompt,
    ShownRow,
    TablePreview,
    first_prompts,
    prompts_of,
    read_preview,
)
from app.ingest.sheets.rows import Choice
from app.ingest.spool import DraftSpool
from app.ingest.template_hints import absent_columns
from app.ingest.templates import Template, compile_template
from app.ingest.values import is_blank
from app.services import chat_jobs, operation_jobs
from app.web.capacity import enough_memory
from app.web.submissions.bodies import asked_of
from app.web.submissions.intake import choice_of
from config import settings


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview, or why there is none; the first prompts, or why there are none."""

    preview: TablePreview | None = None
    fault: Refused | None = None
    prompts: Sequence[Prompt] = ()
    prompt_fault: str | None = None
    system: str | None = None  # that goes before the first of them

    @property
    def columns(self) -> Sequence[str]:
        return () if self.preview is None else self.preview.columns


def show(me: Caller, draft: JobDraft) -> Shown:
    """The draft's first rows and prompts."""
    try:
        if draft.format in tables.FORMATS:
            choice = choice_of(asked_of(form.of_table(draft.fields), io.BytesIO(), draft.format))
            memory = preparing.memory_of(draft)
            preview = _read(me.tenant_id, draft.files[0]["uid"], draft.format, choice, memory)
        elif draft.format == DOCUMENTS:
            preview = _documents(draft)
        else:
            return _lines(me, draft)
    except Refused as error:
        return Shown(fault=error)
    try:
        return _asked(me, draft, preview)
    except BadInput as error:
        return Shown(preview, prompt_fault=error.message)


@lru_cache(maxsize=16)  # of some megabytes at most: a person types many times at one of them
def _read(tenant_id: int, file: str, format: str, choice: Choice, memory: int) -> TablePreview:
    """A file never changes."""
    with job_drafts.opened_file(tenant_id, file) as stream, enough_memory(memory):
        return read_preview(format, stream, choice)


def _documents(draft: JobDraft) -> TablePreview:
    rows = [
        ShownRow(number, {"document": file["name"], "bytes": file["bytes"]})
        for number, file in enumerate(draft.files[:ROWS], start=1)
    ]
    return TablePreview(["document", "bytes"], rows, 0, (), (), has_more=len(draft.files) > ROWS)


def _lines(me: Caller, draft: JobDraft) -> Shown:
    """Lines of JSON show what they ask; a fault among the first of them stands in its place."""
    with DraftSpool(settings.current().data) as spool:
        try:
            received = preparing.prepare(me, draft, spool, rows=ROWS, asks=False)
        except Refused as error:
            return Shown(fault=error)
        template = received.defaults.template
        compiled = None if template is None else compile_template(template)
        texts = [
            prompt_of(record, received.defaults, compiled) for chunk in spool.chunks() for record in chunk
        ]
    rows = [ShownRow(number, {"prompt": text or ""}) for number, text in enumerate(texts, start=1)]
    preview = TablePreview(["prompt"], rows, 0, (), (), has_more=len(rows) == ROWS)
    return Shown(preview, prompts=[Prompt(row.number, row.cells["prompt"]) for row in rows[:PROMPTS]])


def _asked(me: Caller, draft: JobDraft, preview: TablePreview) -> Shown:
    """With what the first rows ask; raises `BadInput` for what cannot be asked yet."""
    typed = draft.fields
    if draft.format == DOCUMENTS:
        rows = preview.rows[:PROMPTS] if "template" in typed else ()
        return Shown(
            preview,
            prompts=[Prompt(row.number, typed["template"]) for row in rows],
            system=typed.get("system"),
        )
    if form.ask(typed) == form.PROMPT:
        return Shown(
            preview, prompts=prompts_of(preview, _template(typed, preview)), system=typed.get("system")
        )
    operation, needed = _operation(me, typed, preview.columns)
    texts = [row for row in preview.rows if not row.fault and not is_blank(row.cells.get(needed))]
    system = operation.system_for(texts[0].cells) if texts else None
    return Shown(preview, prompts=first_prompts(texts, operation.prompt_for), system=system)


def _template(typed: form.Typed, preview: TablePreview) -> Template:
    source = typed.get("template")
    if source is None and "prompt" not in preview.columns:
        raise BadInput("Write a prompt: each column is a chip to click, and each row fills it in")
    template = compile_template(source or "{{ prompt }}")
    if absent := template.variables - set(preview.columns):
        raise BadInput(absent_columns(absent, preview.columns))
    return template


def _operation(me: Caller, typed: form.Typed, columns: Sequence[str]) -> tuple[Operation, str]:
    """The operation that rows are asked, and the column that must not be empty."""
    if form.ask(typed) == form.CHAT:
        found = chat_jobs.find_columns(columns)
        if found.question is None:
            raise BadInput(f"the sheet has no column {' or '.join(chat_jobs.QUESTION)}")
        terms = form.chat_terms(typed, None)
        return chat_jobs.operation_of(
            found, terms, tenant_id=me.tenant_id, user_id=me.user_id
        ), found.question
    of_texts = form.operation_terms(typed, None)
    if of_texts.column not in columns:
        raise BadInput("choose the column that holds the texts")
    return operation_jobs.operation_of(of_texts), of_texts.column
