"""The order behind a `penstock run`: checked, and identified by a fingerprint."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from app.cli.input.documents import Documents
from app.cli.input.stdin import STREAM
from app.errors import BadInput
from app.ingest.values import as_line

READ = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".xlsx", ".xlsm", ".xls", ".xlsb", ".ods", ".parquet")
ANSWERED_AS = {".txt": ".csv", ".xls": ".xlsx", ".xlsb": ".xlsx", ".ods": ".xlsx"}  # where it is another one
WRITTEN = (".csv", ".tsv", ".jsonl", ".json", ".xlsx", ".xlsm", ".parquet")
FINGERPRINT, WHOLE = "run_fingerprint", "run_whole"  # in the metadata of a run's job


@dataclass(frozen=True, slots=True)
class Order:
    """One table or list of records, the prompt for each, and the file for the answers."""

    file: Path
    out: Path
    prompt: str | None = None
    asks: Sequence[str] = ()  # several prompts, `name: template` each, in place of the one
    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    rows: int | None = None  # only the first N; None: all
    max_cost: str | None = None  # USD; not part of the fingerprint, nor is the next one
    reuse: str | None = None  # the id of a job whose answers are not paid for again
    schema: Mapping[str, Any] | None = None  # that every answer must match
    answer_fields: Sequence[str] = ()  # in place of a schema: `name: kind`
    escalate_to: str | None = None  # the model that is asked where the other gives no answer that fits
    dedupe: bool = False  # equal rows are asked once
    reuse_days: int | None = None  # within which answers are taken over from any job that has it, too
    try_first: int | None = None  # rows that are asked before the others, to know what all cost
    params: Mapping[str, Any] = field(default_factory=dict)  # sent with every request
    prompt_cache: bool | None = (
        None  # False: the provider keeps nothing; changes no answer, so no fingerprint
    )
    sheet: str | None = None  # of a workbook; None: the first one that is shown
    header_row: int | None = None  # None: the first
    visible_only: bool = False  # without hidden rows
    documents: Documents | None = None  # in place of the file, which only names them
    raw: bool = False  # cells of CSV that a spreadsheet would evaluate stay as they are
    with_answer: bool = False  # the whole answer has a column beside those of its fields
    join_lists: bool = False  # lists in cells are one text, parted by `; `

    @property
    def format(self) -> str:
        own = ".csv" if self.documents else answered_as(self.file)
        ending = (own if self.to_stdout else self.out.suffix.lower()).removeprefix(".")
        return "xlsx" if ending == "xlsm" else ending

    @property
    def to_stdout(self) -> bool:
        return self.out == STREAM

    def results(self) -> dict[str, str]:
        """The query for the answers; those to a TSV file are a plain CSV where a CSV was asked for."""
        query = {"format": self.format}
        shown = {"raw": self.raw, "answer": self.with_answer, "join_lists": self.join_lists}
        query |= {name: "true" for name, wanted in shown.items() if wanted}
        if self.format == "csv" and self.file.suffix.lower() == ".tsv":
            query["plain"] = "true"
        return query

    def fields(self) -> dict[str, str]:
        """The form fields of the submission, besides the file."""
        given = {
            "prompt" if self.documents else "template": self.prompt,
            "asks": json.dumps(self.asks, ensure_ascii=False) if self.asks else None,
            "model": self.model,
            "system": self.system,
            "max_tokens": self.max_tokens and str(self.max_tokens),
            "max_cost": self.max_cost,
            "reuse": str(self.reuse_days) if self.reuse_days else self.reuse,
            "fields": json.dumps(self.answer_fields) if self.answer_fields else None,
            "escalate_to": self.escalate_to,
            "dedupe": "true" if self.dedupe else None,
            "try_first": self.try_first and str(self.try_first),
            "schema": None if self.schema is None else json.dumps(self.schema),
            "params": json.dumps(self.params) if self.params else None,
            "prompt_cache": "false" if self.prompt_cache is False else None,
            "rows": self.rows and str(self.rows),
            "sheet": self.sheet,
            "header_row": None if self.header_row is None else str(self.header_row),
            "visible_only": "true" if self.visible_only else None,
        }
        fields = {name: value for name, value in given.items() if value}
        metadata = json.dumps({FINGERPRINT: self.fingerprint(), WHOLE: self.whole_fingerprint()})
        return fields | {"name": self.name, "metadata": metadata}

    def key(self, earlier: str | None) -> str:
        """The submission's key, so that two equal runs at once create one job. `earlier` was not resumed."""
        file = hashlib.sha256(f"{self.name} {self.reuse or ''}".encode()).hexdigest()[:16]
        return f"run-{self.fingerprint()}-{file}-{earlier or 'first'}"

    @property
    def name(self) -> str:
        """The file's name, as the name of a job."""
        return as_line(self.file.name)[:255]

    def fingerprint(self) -> str:
        """Equal for equal content, template, model and parameters; the file's name does not matter."""
        digest = self._digest()
        asked: list[Any] = [self.prompt, self.model, self.system, self.max_tokens, self.rows]
        # A job without any of these keeps the fingerprint that it always had.
        answers = [list(self.answer_fields) or None, self.escalate_to]
        of_sheets = [self.sheet, self.header_row, self.visible_only]
        for more in ([self.schema, self.params or None], of_sheets, [self.asks or None], answers):
            if any(part not in (None, False) for part in more):
                asked += more
        digest.update(json.dumps(asked).encode())
        return digest.hexdigest()

    def _digest(self) -> "hashlib._Hash":
        """Of the file, or of the documents with their names."""
        if self.documents is None:
            with self.file.open("rb") as content:
                return hashlib.file_digest(content, "sha256")
        return hashlib.sha256(self.documents.digest)

    def whole_fingerprint(self) -> str:
        """The fingerprint of the same command for all rows."""
        return replace(self, rows=None).fingerprint()


def check(file: Path, out: Path | None) -> Path:
    """The file for the answers: `out`, or next to `file`. Raises `BadInput` before anything is paid for."""
    check_input(file)
    chosen = check_out(out or file.with_name(f"{file.stem}.answers{answered_as(file)}"))
    if chosen != STREAM and chosen.resolve() == file.resolve():
        raise BadInput(f"{chosen} is the input itself: choose another file with -o")
    return chosen


def check_out(chosen: Path) -> Path:
    """The file for the answers; raises `BadInput` where they cannot be written."""
    if chosen == STREAM:
        return chosen
    if chosen.suffix.lower() not in WRITTEN:
        raise BadInput(
            f"{chosen}: answers are written as {', '.join(WRITTEN)}; give -o one of these extensions"
        )
    if not chosen.parent.is_dir():
        raise BadInput(f"{chosen.parent} is not a directory: create it, or choose another with -o")
    return chosen


def answered_as(file: Path) -> str:
    """The extension of a file of answers to `file`, unless another one is asked for."""
    return ANSWERED_AS.get(file.suffix.lower(), file.suffix)


def check_input(file: Path) -> None:
    """Raise `BadInput` unless `file` exists and has a supported extension."""
    if not file.exists():
        raise BadInput(f"{file} does not exist")
    if not file.is_file():
        raise BadInput(f"{file} is not a file")
    if file.suffix.lower() not in READ:
        raise BadInput(f"{file}: supported are {', '.join(READ)}")
    try:
        file.open("rb").close()
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror})") from None
