"""`penstock up`."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import click

from app.cli import wrapping
from config import settings
from config.settings import Settings

CORES_USED = 2  # a slice worker makes several hundred calls per second; more processes are started on request
HEAD = 10  # columns of the name before a fact, as in `data      /home/…`


@click.command(short_help="Run the whole stack until Ctrl-C.")
@click.option("--host", help="Address to listen on  [default: API_HOST, else 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="0 picks a free one  [default: API_PORT, else 8000]"
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for all data  [default: PENSTOCK_DATA, else ~/.local/share/penstock]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Slice-worker processes  [default: one per core, at most two]",
)
@click.option(
    "--attached", is_flag=True, hidden=True, help="Stop when the process that started this one ends."
)
def up(host: str | None, port: int | None, data: Path | None, workers: int | None, attached: bool) -> None:
    """Run the whole stack: web and workers, with an embedded broker and database unless others are
    configured.
    """
    began = time.monotonic()
    from app.stack.up import Wanted
    from app.stack.up import up as run_stack

    if data:
        os.environ["PENSTOCK_DATA"] = str(data)
    workers = workers or min(CORES_USED, os.cpu_count() or 1)
    chosen = settings.read(os.environ)
    host, port = host or chosen.api_host, chosen.api_port if port is None else port
    say = _logged(chosen) if chosen.log_format == "json" else _say
    run_stack(Wanted(host, port, workers, began, parent=os.getppid() if attached else None), say)


def _logged(chosen: Settings) -> Callable[[str], None]:
    """Says it in the log, which more people can read than a terminal: without the link that signs in."""
    import structlog

    from config import logs

    logs.configure(chosen.log_level, chosen.log_format)
    log = structlog.get_logger("app.stack")

    def say(line: str) -> None:
        if "?token=" not in line:
            log.info("stack", told=" ".join(line.split()))

    return say


def _say(line: str) -> None:
    """The reader of the output may have gone; the stack continues, or stops cleanly."""
    try:
        wrapping.paragraph(line, indent=" " * HEAD if line[:HEAD].endswith("  ") else "")
    except OSError:
        pass
