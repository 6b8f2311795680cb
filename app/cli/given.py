"""What a command is given, as an order: a file, standard input, or documents."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from app.cli.input import documents, stdin
from app.cli.input.documents import Documents
from app.cli.input.stdin import STREAM
from app.cli.jobs import written
from app.cli.order import Order, check, check_out
from app.errors import BadInput

OF_TABLES = ("sheet", "header_row", "visible_only")  # in an order


@contextmanager
def order(files: Sequence[Path], format: str | None, out: Path | None, **asked: Any) -> Iterator[Order]:
    """The order, within whose block its files exist. Raises `BadInput` before anything is paid for."""
    found = None if STREAM in files else documents.find(files)
    if found is not None:
        yield _of_documents(found, out, asked)
        return
    if len(files) > 1:
        raise BadInput("give one table, or - alone: several files are taken where all are documents")
    with stdin.kept(files[0], format) as file:
        to = check(file, STREAM if files[0] == STREAM and out is None else out)
        made = Order(file, to, **asked)
        _check_written(made)
        yield made


def _of_documents(found: Documents, out: Path | None, asked: dict[str, Any]) -> Order:
    if asked.get("asks"):
        raise BadInput("--ask is for rows of a table: give --prompt, which is asked about each document")
    if asked.get("prompt") is None and not asked.get("answer_fields") and asked.get("schema") is None:
        raise BadInput("give --prompt, which is asked about each document, or --field for what to find in it")
    if others := [name for name in OF_TABLES if asked.get(name)]:
        raise BadInput(f"{', '.join(others)}: only a table has that: leave it out")
    if (rows := asked.pop("rows", None)) is not None:
        found = Documents(dict(islice(found.files.items(), rows)), found.place, found.skipped)
    to = check_out(out or found.place.with_name(f"{found.place.name}.answers.csv"))
    made = Order(found.place, to, documents=found, **asked)
    _check_written(made)
    return made


def _check_written(made: Order) -> None:
    if made.to_stdout:
        written.check_stdout(made.format)
    else:
        written.check(made.out)
