"""Lists as aligned columns of plain text: nothing is cut off, so that other programs can read them."""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence

import click

INDENT = "    "  # of what continues a line


def show(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print `rows` under `headings`; the columns named in `right` are aligned there.

    On a terminal that is too narrow, a row goes on in the next line, between two cells.
    """
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        ]
        click.secho("\n".join(_folded(cells)), bold=number == 0)


def paragraph(text: str, *, indent: str = "", err: bool = False) -> None:
    """Print `text`, broken between words where it is for a terminal; lines after the first start with
    `indent`.
    """
    click.echo("\n".join(folded(text, indent=indent, err=err)), err=err)


def folded(text: str, *, indent: str = "", err: bool = False) -> list[str]:
    """The lines of `text` for a terminal's width; one line per paragraph where nobody looks at it."""
    width = terminal_width(err=err)
    if width is None:
        return text.split("\n")
    return [line for part in text.split("\n") for line in _broken(part, width, indent)]


def terminal_width(*, err: bool = False) -> int | None:
    """Columns of the terminal that is written to; None where it is a file or a pipe."""
    stream = sys.stderr if err else sys.stdout
    return shutil.get_terminal_size().columns if stream.isatty() else None


def _broken(text: str, width: int, indent: str) -> list[str]:
    lines = textwrap.wrap(
        text,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )
    return lines or [""]


def _folded(cells: Sequence[str]) -> list[str]:
    """The cells in as few lines as the terminal allows; no cell is broken."""
    width = terminal_width()
    lines = [cells[0]]
    for cell in cells[1:]:
        longer = f"{lines[-1]}  {cell}"
        if width is not None and len(longer.rstrip()) > width:
            lines.append(f"{INDENT}{cell.strip()}")
        else:
            lines[-1] = longer
    return [line.rstrip() for line in lines]
