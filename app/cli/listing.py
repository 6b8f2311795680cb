"""Lists as aligned columns of plain text: nothing is cut off, so that other programs can read them."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import click

from app.cli.wrapping import terminal_width
from app.ingest.values import as_line

UNSHOWN = "\N{REPLACEMENT CHARACTER}"
INDENT = "    "  # of what continues a line


def show(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print `rows` under `headings`; the columns named in `right` are aligned there.

    On a terminal that is too narrow, a row goes on in the next line, between two cells.
    """
    # Names are whatever somebody has chosen: none can command the terminal.
    table = [list(headings), *([as_line(cell, UNSHOWN) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    folds = list(_folds(widths))
    for number, row in enumerate(table):
        cells = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(row, widths, headings, strict=True)
        ]
        lines = ["  ".join(cells[start:end]).rstrip() for start, end in pairwise(folds)]
        click.secho(f"\n{INDENT}".join(lines).rstrip(), bold=number == 0)


def show_json(content: Any) -> None:
    click.echo(json.dumps(content, indent=2, ensure_ascii=False))


def _folds(widths: Sequence[int]) -> Iterator[int]:
    """The columns that begin a line, and the number of columns: as many to a line as the terminal takes."""
    room = terminal_width()
    used = 0
    yield 0
    for column, width in enumerate(widths):
        if room is not None and used and used + 2 + width > room:
            yield column
            used = len(INDENT)
        used += width + (2 if used else 0)
    yield len(widths)
