"""Signs of life on standard error."""

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

from app.cli.wrapping import tell


def waiting(console: Console, what: str) -> AbstractContextManager[object]:
    """Show what is waited for while the block runs: animated on a terminal, as a line elsewhere."""
    if console.is_terminal:
        return console.status(Text(f"{what} …", style="dim"))
    say(console, what)
    return nullcontext()


def say(console: Console, line: str) -> None:
    tell(console, line, style="dim")
