"""The order behind a `penstock run`: checked, identified by a fingerprint, cut to its first rows."""

import csv
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.errors import BadInput

READ = (".csv", ".tsv", ".jsonl", ".xlsx", ".xlsm")
WRITTEN = READ


@dataclass(frozen=True, slots=True)
class Order:
    """One table or list of records, the prompt for each, and the file for the answers."""

    file: Path
    out: Path
    prompt: str | None = None
    model: str | None = None
    system: str | None = None
    max_tokens: int | None = None
    rows: int | None = None  # only the first N; None: all
    max_cost: str | None = None  # USD; not part of the fingerprint
    raw: bool = False  # cells of CSV that a spreadsheet would evaluate stay as they are

    @property
    def format(self) -> str:
        ending = self.out.suffix.lower().removeprefix(".")
        return "xlsx" if ending == "xlsm" else ending

    def results(self) -> dict[str, str]:
        """The query for the answers; those to a TSV file are a plain CSV where a CSV was asked for."""
        query = {"format": self.format}
        if self.raw:
            query["raw"] = "true"
        if self.format == "csv" and self.file.suffix.lower() == ".tsv":
            query["plain"] = "true"
        return query

    def fields(self) -> dict[str, str]:
        """The form fields of the submission, besides the file."""
        given = {
            "template": self.prompt,
            "model": self.model,
            "system": self.system,
            "max_tokens": self.max_tokens and str(self.max_tokens),
            "max_cost": self.max_cost,
        }
        fields = {name: value for name, value in given.items() if value}
        metadata = json.dumps({"run_fingerprint": self.fingerprint()})
        return fields | {"name": self.name, "metadata": metadata}

    def key(self, earlier: str | None) -> str:
        """The submission's key, so that two equal runs at once create one job. `earlier` was not resumed."""
        file = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        return f"run-{self.fingerprint()}-{file}-{earlier or 'first'}"

    @property
    def name(self) -> str:
        """The file's name, as the name of a job."""
        return "".join(letter for letter in self.file.name if letter.isprintable())[:255]

    def fingerprint(self) -> str:
        """Equal for equal content, template, model and parameters; the file's name does not matter."""
        with self.file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256")
        asked = [self.prompt, self.model, self.system, self.max_tokens, self.rows]
        digest.update(json.dumps(asked).encode())
        return digest.hexdigest()


def check(file: Path, out: Path | None) -> Path:
    """The file for the answers: `out`, or next to `file`. Raises `BadInput` before anything is paid for."""
    check_input(file)
    chosen = out or file.with_name(f"{file.stem}.answers{file.suffix}")
    if chosen.suffix.lower() not in WRITTEN:
        raise BadInput(
            f"{chosen}: answers are written as {', '.join(WRITTEN)}; give -o one of these extensions"
        )
    if chosen.resolve() == file.resolve():
        raise BadInput(f"{chosen} is the input itself: choose another file with -o")
    if not chosen.parent.is_dir():
        raise BadInput(f"{chosen.parent} is not a directory: create it, or choose another with -o")
    return chosen


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


@contextmanager
def content(order: Order) -> Iterator[Path]:
    """The file to send: the input, or a copy of its first rows under the same name."""
    if order.rows is None:
        yield order.file
        return
    with tempfile.TemporaryDirectory() as folder:
        beginning = Path(folder, order.file.name)
        _CUTS[order.file.suffix.lower()](order.file, beginning, order.rows)
        yield beginning


def _cut_lines(file: Path, to: Path, rows: int) -> None:
    with file.open("rb") as lines, to.open("wb") as kept:
        for line in lines:
            if rows == 0:
                return
            rows -= bool(line.strip())
            kept.write(line)


def _cut_csv(file: Path, to: Path, rows: int) -> None:
    """Copy the bytes of the header and of the first rows; cells may contain line breaks."""
    csv.field_size_limit(sys.maxsize)
    with file.open("rb") as lines, to.open("wb") as kept:
        taken: list[bytes] = []

        def decoded() -> Iterator[str]:
            for line in lines:
                taken.append(line)
                yield line.decode("latin-1")  # one character per byte: only quotes and delimiters matter here

        try:
            for number, _ in enumerate(csv.reader(decoded(), delimiter=_delimiter(file))):
                if number > rows:
                    return
                kept.writelines(taken)
                taken.clear()
        except csv.Error as error:
            raise BadInput(f"{file} cannot be split into rows ({error}): omit --rows") from None


def _delimiter(file: Path) -> str:
    with file.open("rb") as lines:
        header = lines.readline().decode("latin-1")
    return max(",;\t|", key=header.count)


def _cut_xlsx(file: Path, to: Path, rows: int) -> None:
    import openpyxl

    shutil.copyfile(file, to)
    book = openpyxl.load_workbook(to)
    sheet = book.worksheets[0]
    sheet.delete_rows(rows + 2, max(sheet.max_row - rows - 1, 0))
    book.save(to)


_CUTS = {".csv": _cut_csv, ".tsv": _cut_csv, ".jsonl": _cut_lines, ".xlsx": _cut_xlsx, ".xlsm": _cut_xlsx}
