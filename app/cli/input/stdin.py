"""Standard input as a file: kept aside while a command runs, because it is sent more than once."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import click

from app.errors import BadInput
from app.ingest.sheets.kinds import find_kind

STREAM = Path("-")  # standard input as a file to read, standard output as one to write
FORMATS = ("csv", "tsv", "jsonl", "json", "xlsx", "xls", "xlsb", "ods", "parquet")


@contextmanager
def kept(file: Path, format: str | None) -> Iterator[Path]:
    """`file`; or for `-` a copy of standard input, which is gone after the block, named by its format.

    Raises `BadInput` where nothing comes.
    """
    if file != STREAM:
        if format is not None:
            raise click.UsageError("--format says what comes by standard input: give - as the file")
        yield file
        return
    with TemporaryDirectory(prefix="penstock-") as folder:
        copy = Path(folder, "stdin")
        with copy.open("xb") as to:
            shutil.copyfileobj(_arriving(), to)
        with copy.open("rb") as content:
            named = copy.with_suffix(f".{format or find_kind(content, 'csv')}")
        if not copy.stat().st_size:
            raise BadInput("nothing came by standard input: pipe a file into this command")
        yield copy.rename(named)


def _arriving() -> BinaryIO:
    if sys.stdin.isatty():
        click.secho("reading standard input until Ctrl-D", dim=True, err=True)
    return sys.stdin.buffer
