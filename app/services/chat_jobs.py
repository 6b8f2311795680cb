"""Chat batches: the questions of a sheet as a job, conversation by conversation, whatever door they use."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

from app.core.requests import prompt_overrides
from app.errors import BadInput
from app.ingest.draft import Defaults, Problems
from app.ingest.operations import Operation
from app.ingest.sheets.rows import EVERYTHING, Choice
from app.ingest.tables import Sheet, read_rows, size_of
from app.services import chat_providers, operation_rows
from app.services.operation_rows import SheetJob
from config import settings
from models.session import reading

OPERATION = "chat"
QUESTION = ("REDACTEDQUESTION", "question")  # of two such columns the first one is used
CHAT, PAGE = "chatId", "URL"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a caller says of a batch besides its sheet."""

    ai: str | None = None  # the provider; None: that of the default model
    search: str | None = None  # who searches the web for it; None: nobody
    lang: str | None = None  # of the page that the questions come from
    own_texts: bool = False  # the caller's own instead of those that are shipped
    max_tokens: int | None = None  # of an answer; None: the default


@dataclass(frozen=True, slots=True)
class Columns:
    """The sheet's names for the relevant columns; None: it has no such column."""

    question: str | None
    chat: str | None
    page: str | None

    @property
    def names(self) -> dict[str, str]:
        """By the names that templates use."""
        found = {"question": self.question, "url": self.page}
        return {name: column for name, column in found.items() if column is not None}


def find_columns(names: Iterable[str]) -> Columns:
    """The columns by their names, ignoring case."""
    known = {name.casefold(): name for name in names}
    asked = [known[name.casefold()] for name in QUESTION if name.casefold() in known]
    return Columns(asked[0] if asked else None, known.get(CHAT.casefold()), known.get(PAGE.casefold()))


def read(
    format: str,
    stream: BinaryIO,
    terms: Terms,
    *,
    tenant_id: int,
    user_id: int,
    choice: Choice = EVERYTHING,
) -> SheetJob:
    """The questions of a sheet in the seekable `stream`.

    Raises `BadInput` where it has no column of questions, and for a search that is not to be had.
    """
    chosen = chat_providers.choose(terms.ai, terms.search, settings.current())
    problems = Problems()
    sheet = Sheet(read_rows(format, stream, choice), problems, size_of(stream), choice)
    columns = find_columns(sheet.columns)
    if columns.question is None:
        there = ", ".join(f'"{name}"' for name in sheet.columns[:50])
        raise BadInput(f'the column "{QUESTION[0]}" (or "{QUESTION[1]}") is missing; the sheet has {there}')
    operation = operation_of(columns, terms, tenant_id=tenant_id, user_id=user_id)
    defaults = Defaults(
        chosen.model,
        terms.max_tokens or settings.current().default_max_tokens,
        params=chosen.params,
        operations={OPERATION: operation},
    )
    drafts = operation_rows.drafts(
        sheet,
        operation_rows.Columns(OPERATION, columns.question, columns.chat, is_numbered=True),
        defaults,
        problems,
        max_records=settings.current().max_records,
        if_empty=f'no row has a question in the column "{columns.question}"',
    )
    metadata = {
        "searchProvider": chosen.search,
        "pageLanguage": terms.lang,
        "applyOverrides": terms.own_texts,
    }
    return SheetJob(sheet, drafts, problems, defaults, metadata)


def operation_of(columns: Columns, terms: Terms, *, tenant_id: int, user_id: int) -> Operation:
    """The operation as it is asked of a row, with the caller's own texts if requested."""
    if terms.own_texts:
        with reading() as session:
            found = prompt_overrides.applied(session, tenant_id, user_id, OPERATION)
    else:
        found = prompt_overrides.shipped(OPERATION)
    return replace(found, names=columns.names, values={"url": None, "lang": terms.lang})
