"""`penstock jobs`: submitted jobs, over the native contract."""

from itertools import islice
from typing import Any

import click

from app.cli import listing

LISTED = 20


@click.group()
def jobs() -> None:
    """List, show, cancel and retry jobs."""


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

    with target.running() as rest:
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

    with target.running() as rest:
        _print(rest.job(job_id))


@jobs.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job: nothing more is sent, and answers so far are kept."""
    _act(job_id, "cancel")


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
    job = _act(job_id, "retry", {name: value for name, value in asked.items() if value is not None})
    for word, count in job.get("left", {}).items():
        click.echo(f"{count:,} × {word} not run again: the same request would end in the same way")


def _act(job_id: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    from app.cli import target, words

    with target.running() as rest:
        job = rest.act(job_id, action, body)
    click.echo(
        f"job {job['id']} is {job['status']}: {words.ended(job):,} of {job['total']:,} records have ended"
    )
    return job


def _print(job: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(job, indent=2, ensure_ascii=False))
