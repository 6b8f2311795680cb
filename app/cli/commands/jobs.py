"""`penstock jobs`: submitted jobs, over the native contract, whether a stack runs or not."""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from app.cli import listing, wrapping
from app.cli.faults import INTERRUPTED
from app.cli.phrases import for_terminal

if TYPE_CHECKING:
    from app.cli.client import Rest

LISTED = 20
GOES_ON = "it goes on with `penstock up`, or with its own command"
WITHOUT_STACK = {
    "pending": GOES_ON,
    "running": GOES_ON,
    "cancelling": "calls were cut off with the last one; the next one books them, and then it is cancelled",
}
FORMATS = ("jsonl", "csv", "tsv", "xlsx", "json", "parquet")


@click.group(short_help="List, show, watch and change jobs, and get their results.")
def jobs() -> None:
    """List, show, watch, pause, resume, cancel, retry and delete jobs, and get their results.

    All but `watch` work without a stack, too.
    """


@jobs.command("list")
@click.option("--limit", default=LISTED, show_default=True, type=click.IntRange(1, 10_000))
def list_jobs(limit: int) -> None:
    """List the newest jobs."""
    from app.cli import target, words

    def row(job: dict[str, Any]) -> list[str]:
        ended = f"{words.ended(job):,}/{job['total']:,}"
        failed = f"{job['counts']['failed']:,}"
        return [
            job["id"],
            job["status"],
            ended,
            failed,
            words.dollars(job["cost"]),
            job["created_at"][:16],
            job["name"] or "",
        ]

    with target.running_or_none() as rest:
        rows = [row(job) for job in islice(rest.jobs(), limit)]
    listing.show(
        ("job", "status", "ended", "failed", "cost", "created", "name"),
        rows,
        right=("ended", "failed", "cost"),
    )


@jobs.command()
@click.argument("job_id")
def show(job_id: str) -> None:
    """Show everything about one job, as JSON."""
    from app.cli import target

    with target.running_or_none() as rest:
        listing.show_json(rest.job(job_id))


@jobs.command()
@click.argument("job_id")
@click.pass_context
def watch(context: click.Context, job_id: str) -> None:
    """Follow a job to its end; Ctrl-C stops watching, not the job."""
    from rich.console import Console

    from app.cli import target
    from app.cli.follow import follow
    from app.cli.patience import Patience
    from app.cli.views import view

    with target.running() as rest:
        job, console = rest.job(job_id), Console(stderr=True, highlight=False)
        try:
            with view(console, job["name"] or job["id"]) as shown:
                job = follow(rest, job, shown, Patience(console, 0))
        except KeyboardInterrupt:
            wrapping.paragraph("stopped watching; the job is left as it is", err=True)
            context.exit(INTERRUPTED)
    _tell(job)


@jobs.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job: nothing more is sent, and answers so far are kept."""
    _act(job_id, "cancel")


@jobs.command()
@click.argument("job_id")
def pause(job_id: str) -> None:
    """Pause a job: nothing more is sent until it is resumed."""
    _act(job_id, "pause")


@jobs.command()
@click.argument("job_id")
def resume(job_id: str) -> None:
    """Resume a paused job."""
    _act(job_id, "resume")


@jobs.command()
@click.argument("job_id")
@click.option(
    "--max-tokens", type=click.IntRange(1, 1_000_000), help="Longest answer, for each record that had less."
)
@click.option(
    "--only",
    multiple=True,
    metavar="WORD",
    help="Only records that ended with this error type, with `expired`, or with the stop reason `max_tokens`,"
    " `model_context_window_exceeded` or `refusal`. May be repeated.",
)
def retry(job_id: str, max_tokens: int | None, only: tuple[str, ...]) -> None:
    """Run again only the records that failed or expired.

    Answers that were cut are run again with a larger --max-tokens, those that were refused only if --only
    names them: the same request would end in the same way.
    """
    asked = {"max_tokens": max_tokens, "only": list(only) or None}
    choice = {name: value for name, value in asked.items() if value is not None}
    job = _do(lambda rest: rest.retry(job_id, choice))
    for word, count in job.get("left", {}).items():
        wrapping.paragraph(f"{count:,} × {word} not run again: the same request would end in the same way")


@jobs.command(short_help="Delete a job that has ended, with its records.")
@click.argument("job_id")
def delete(job_id: str) -> None:
    """Delete a job that has ended, with its records; what it cost stays in the ledger."""
    from app.cli import target

    with target.running_or_none() as rest:
        rest.delete(job_id)
    click.echo(f"job {job_id} is deleted")


@jobs.command(short_help="Get the answers of a job so far.")
@click.argument("job_id")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="File: .jsonl, .json, .csv, .tsv or .xlsx  [default: JSONL, printed]",
)
def results(job_id: str, out: Path | None) -> None:
    """Get the results of a job so far: every record that has ended, with its answer."""
    from app.cli import target
    from app.cli.jobs import written
    from app.errors import BadInput
    from config import settings

    form = FORMATS[0] if out is None else out.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise BadInput(
            f"{out}: results are written as {', '.join(f'.{one}' for one in FORMATS)}; give -o one of these"
            " extensions"
        )
    if out is not None:
        written.check(out)
    with target.running_or_none() as rest:

        def fill(to: BinaryIO) -> Path:
            rest.download(job_id, {"format": form}, to)
            return out or Path()

        if out is None:
            written.pipe(fill)
            return
        _, kept = written.write(out, fill, f"results of {job_id}", settings.read(os.environ).data)
    aside = f"; what it held before is kept as {kept.name}" if kept else ""
    wrapping.paragraph(f"written to {out}{aside}")


def _act(job_id: str, action: str) -> None:
    _do(lambda rest: rest.act(job_id, action))


def _do(action: Callable[["Rest"], dict[str, Any]]) -> dict[str, Any]:
    """Do something with a job, and tell how it stands then."""
    from app.cli import target

    with target.running_or_none() as rest:
        job = action(rest)
    _tell(job)
    if rest.is_offline and job["status"] in WITHOUT_STACK:
        wrapping.paragraph(f"no stack runs here: {WITHOUT_STACK[job['status']]}")
    return job


def _tell(job: dict[str, Any]) -> None:
    from app.cli import words

    wrapping.paragraph(
        f"job {job['id']} is {job['status']}: {words.ended(job):,} of {job['total']:,} records have ended"
    )
    if job["status_reason"]:
        wrapping.paragraph(for_terminal(job["status_reason"]))
