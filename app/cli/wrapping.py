"""Sentences on a terminal: broken between words, never within one. In a file or a pipe each is one line."""

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def tell(console: "Console", text: "Text | str", *, head: str = "", style: str = "") -> None:
    """Print `text` behind `head`; on a terminal, the lines that follow are indented as far as `head` is."""
    from rich.text import Text

    whole = Text(head).append(text if isinstance(text, Text) else Text(text, style))
    if not console.is_terminal:
        console.print(whole, soft_wrap=True)
        return
    words = text if isinstance(text, Text) else Text(text, style)
    room = max(console.width - len(head), 20)
    for number, line in enumerate(words.wrap(console, room)):
        line.rstrip()
        console.print(Text(head if number == 0 else " " * len(head)).append(line), soft_wrap=True)


def paragraph(
    text: str, *, head: str = "", styled_head: str = "", indent: str = "", err: bool = False
) -> None:
    """Print `text` behind `head`, the lines that follow behind `indent`. `styled_head`: `head` in colour."""
    lines = folded(f"{head}{text}", indent=indent, err=err)
    lines[0] = (styled_head or head) + lines[0].removeprefix(head)
    click.echo("\n".join(lines), err=err)


def folded(text: str, *, indent: str = "", err: bool = False) -> list[str]:
    """The lines of `text` for the terminal that is written to, those after the first behind `indent`."""
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
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or [""]
