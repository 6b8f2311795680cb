"""Lists as aligned columns of plain text: nothing is cut off, so that other programs can read them."""

from collections.abc import Iterable, Sequence

import click


def show(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print `rows` under `headings`; the columns named in `right` are aligned there."""
    lines = [list(headings), *(list(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [
            cell.rjust(width) if heading in right else cell.ljust(width)
            for cell, width, heading in zip(line, widths, headings, strict=True)
        ]
        click.secho("  ".join(cells).rstrip(), bold=number == 0)
