"""Signs of life on standard error."""

from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text


def waiting(console: Console, what: str) -> AbstractContextManager[object]:
    """Show what is waited for while the block runs: animated on a terminal, as a line elsewhere."""
    if console.is_terminal:
        return console.status(Text(f"{what} …", style="dim"))
    say(console, what)
    return nullcontext()


def say(console: Console, line: str) -> None:
    console.print(line, style="dim", markup=False, soft_wrap=True)
