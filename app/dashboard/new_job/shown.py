"""The first rows of a draft as the page shows them, with what they will ask and what was answered."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app.core.accounts.api_keys import Caller
from app.core.documents import drafts
from app.core.documents.drafts import DOCUMENTS, Draft
from app.dashboard.new_job import form, preparing
from app.errors import BadInput, Refused
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
from app.ingest.templates import compile_template
from app.ingest.values import is_blank
from app.services import chat_jobs, operation_jobs
from app.web.submissions.intake import choice_of
from config import settings

# Where a problem is: `row 7, column "review"`, `line 7`, `records[6].document`.
PLACE = re.compile(r"(?:row|line) (\d{1,9})\b|records\[(\d{1,9})\]")


@dataclass(frozen=True, slots=True)
class Shown:
    """A preview, or why there is none; the first prompts, or why there are none."""

    preview: TablePreview | None = None
    fault: Refused | None = None
    prompts: Sequence[Prompt] = ()
    prompt_fault: str | None = None
    system: str | None = None  # of an operation
    faults: Mapping[int, Sequence[str]] = field(default_factory=dict)  # of rows, by their numbers

    @property
    def columns(self) -> Sequence[str]:
        return () if self.preview is None else self.preview.columns


def show(me: Caller, draft: Draft) -> Shown:
    """The draft's first rows and prompts."""
    try:
        if draft.format in preparing.TABLES:
            choice = choice_of(preparing.check_table(draft, io.BytesIO()))
            preview = _read(me.tenant_id, draft.files[0]["uid"], draft.format, choice)
        elif draft.format == DOCUMENTS:
            preview = _documents(draft)
        else:
            return _lines(me, draft)
    except Refused as error:
        return Shown(fault=error)
    try:
        return Shown(preview, prompts=_prompts(me, draft, preview), system=_system(draft))
    except BadInput as error:
        return Shown(preview, prompt_fault=error.message)


def by_row(problems: Sequence[Mapping[str, Any]]) -> dict[int, list[str]]:
    """The faults of rows by their numbers; what has another place is left out."""
    found: dict[int, list[str]] = {}
    for problem in problems:
        if place := PLACE.match(problem["where"]):
            number = int(place[1]) if place[1] else int(place[2]) + 1
            rest, message = problem["where"][place.end() :].strip(", "), problem["message"]
            found.setdefault(number, []).append(f"{rest}: {message}" if rest else message)
    return found


@lru_cache(maxsize=16)  # of up to 4 MB each: a person types many times at one of them
def _read(tenant_id: int, file: str, format: str, choice: Choice) -> TablePreview:
    """A file never changes."""
    with drafts.opened_file(tenant_id, file) as stream:
        return read_preview(format, stream, choice)


def _documents(draft: Draft) -> TablePreview:
    rows = [
        ShownRow(number, {"document": file["name"], "bytes": file["bytes"]})
        for number, file in enumerate(draft.files[:ROWS], start=1)
    ]
    return TablePreview(["document", "bytes"], rows, 0, (), (), has_more=len(draft.files) > ROWS)


def _lines(me: Caller, draft: Draft) -> Shown:
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


def _prompts(me: Caller, draft: Draft, preview: TablePreview) -> list[Prompt]:
    typed = draft.fields
    if draft.format == DOCUMENTS:
        rows = preview.rows[:PROMPTS] if "template" in typed else ()
        return [Prompt(row.number, typed["template"]) for row in rows]
    if form.ask(typed) == form.PROMPT:
        source = typed.get("template")
        if source is None and "prompt" not in preview.columns:
            raise BadInput("Write a prompt: each column is a chip to click, and each row fills it in")
        template = compile_template(source or "{{ prompt }}")
        if absent := template.variables - set(preview.columns):
            raise BadInput(f"the table has no column {', '.join(sorted(absent))}")
        return prompts_of(preview, template)
    if form.ask(typed) == form.CHAT:
        columns = chat_jobs.find_columns(preview.columns)
        if columns.question is None:
            raise BadInput(f"the sheet has no column {' or '.join(chat_jobs.QUESTION)}")
        terms = form.chat_terms(typed, None)
        operation = chat_jobs.operation_of(columns, terms, tenant_id=me.tenant_id, user_id=me.user_id)
        needed = columns.question
    else:
        terms_of_texts = form.operation_terms(typed, None)
        operation, needed = operation_jobs.operation_of(terms_of_texts), terms_of_texts.column
        if needed not in preview.columns:
            raise BadInput("choose the column that holds the texts")
    texts = (row for row in preview.rows if not is_blank(row.cells.get(needed)))
    return first_prompts(texts, operation.prompt_for)


def _system(draft: Draft) -> str | None:
    return draft.fields.get("system") if form.ask(draft.fields) == form.PROMPT else None
