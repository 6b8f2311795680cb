"""What is typed on the page of a new job: read from its form, kept with its draft, meant for a job. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.datastructures import MultiDict

from app.ingest.previews.tables import TablePreview
from app.ingest.template_hints import place
from app.services import chat_jobs, operation_jobs

PROMPT, OPERATION, CHAT = "prompt", "operation", "chat"  # what is asked of each row
OF_JOBS = ("name", "model", "max_tokens", "max_cost", "priority", "try_first", "reuse", "dedupe")
OF_TABLES = ("sheet", "header_row", "visible_only", "encoding", "separator")
OF_PROMPTS = ("template", "system")
OTHERS = ("ask", "operation", "column", "question", "provider", "search", "lang", "own_texts")
ANSWER = "answer_fields"  # name and kind of each
TEXT = "text"  # the kind of a field where none is typed
TRIED_WITH = "tried_with"  # what was typed when the first rows were asked

BESIDE = frozenset(
    {"name", "max_cost", "priority", "try_first", "reuse", "dedupe", TRIED_WITH}
)  # what changes no answer

Typed = Mapping[str, Any]


def read(form: MultiDict[str, str]) -> dict[str, Any]:
    """What is typed, without what is empty."""
    names = (*OF_JOBS, *OF_TABLES, *OF_PROMPTS, *OTHERS)
    # Browsers send a line's end as two characters.
    texts = {name: form.get(name, "").replace("\r\n", "\n").replace("\0", "") for name in names}
    typed: dict[str, Any] = {name: text for name, text in texts.items() if text.strip()}
    lists = (form.getlist(f"answer_{part}") for part in ("name", "kind"))
    if found := [list(parts) for parts in zip(*lists, strict=False) if parts[0].strip()]:
        typed[ANSWER] = found
    return typed


def insert(typed: Typed, column: str) -> dict[str, Any]:
    """With a column at the end of the prompt, for browsers without our script."""
    return {**typed, "template": f"{typed.get('template', '')}{place(column)}"}


def first(preview: TablePreview) -> dict[str, Any]:
    """What the page begins with: questions of a chat where the sheet has them, else a prompt."""
    found = chat_jobs.find_columns(preview.columns)
    is_chat = found.question is not None and "prompt" not in preview.columns
    header = {"header_row": str(preview.header_row)} if preview.header_row > 1 else {}
    return {"ask": CHAT if is_chat else PROMPT, "column": preview.longest, **header}


def ask(typed: Typed) -> str:
    found = str(typed.get("ask", PROMPT))
    return found if found in (OPERATION, CHAT) else PROMPT


def of_job(typed: Typed, name: str) -> dict[str, str]:
    """The fields that each job has, as the native contract names them."""
    return {"name": name, **{key: typed[key].strip() for key in OF_JOBS if key in typed}}


def of_table(typed: Typed) -> dict[str, str]:
    """Those that say how a table is to be read."""
    return {key: typed[key].strip() if key != "sheet" else typed[key] for key in OF_TABLES if key in typed}


def of_prompt(typed: Typed) -> dict[str, str]:
    """Those of a prompt of one's own."""
    fields = {key: typed[key] for key in OF_PROMPTS if key in typed}
    listed = [f"{name.strip()}: {kind.strip() or TEXT}" for name, kind, *_ in typed.get(ANSWER, ())]
    return {**fields, "fields": json.dumps(listed)} if listed else fields


def operation_terms(typed: Typed, max_tokens: int | None) -> operation_jobs.Terms:
    return operation_jobs.Terms(
        operation=typed.get("operation", ""),
        column=typed.get("column", ""),
        question=typed.get("question"),
        model=typed.get("model"),
        max_tokens=max_tokens,
    )


def chat_terms(typed: Typed, max_tokens: int | None) -> chat_jobs.Terms:
    return chat_jobs.Terms(
        ai=typed.get("provider"),
        search=typed.get("search"),
        lang=typed.get("lang"),
        own_texts="own_texts" in typed,
        max_tokens=max_tokens,
    )


def asked_with(typed: Typed) -> str:
    """Equal for equal requests: what is typed besides what does not change an answer."""
    asked = {name: value for name, value in typed.items() if name not in BESIDE}
    return json.dumps(asked, sort_keys=True)
