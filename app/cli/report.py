"""The end of a run: the answers in their file, and a summary."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from app.cli import faults, words
from app.cli.client import Job, Rest
from app.cli.order import Order
from app.providers.registry import SIMULATED

LOOKED_AT = 1_000  # failed records that are grouped
SHOWN = 5  # groups of them


def warn_of_simulated(console: Console, *, no_key: bool) -> None:
    why = "No ANTHROPIC_API_KEY is set. " if no_key else ""
    how = "\nSet ANTHROPIC_API_KEY, or choose a model with --model, to get real answers." if no_key else ""
    text = f"{why}The model `simulated` answers: all answers are INVENTED and worthless.{how}"
    shown = Panel(text, expand=False) if console.is_terminal else text
    console.print(shown, style="yellow", soft_wrap=not console.is_terminal)


@dataclass(frozen=True, slots=True)
class Written:
    """The file with the answers; `warning` says in what it is not the one that was asked for."""

    out: Path
    warning: str | None = None


def write(rest: Rest, job: Job, order: Order) -> Written:
    """Write the answers, completely or not at all.

    A plain sheet in place of a workbook with macros is an .xlsx: under the other name Excel refuses it.
    """
    part = order.out.with_name(order.out.name + ".part")
    try:
        with part.open("wb") as to:
            told = rest.download(job["id"], order.results(), to)
        is_plain = order.out.suffix.lower() == ".xlsm" and "macro" not in told.get("Content-Type", "")
        out = order.out.with_suffix(".xlsx") if is_plain else order.out
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
    return Written(out, told.get("Penstock-Warning"))


def tell(console: Console, rest: Rest, job: Job, written: Written) -> int:
    """Print the summary; returns the exit code."""
    for name, fact in _facts(job, written):
        console.print(Text(f"{name:<9}").append(fact), soft_wrap=True)
    if job["counts"]["failed"]:
        _tell_failures(console, job, rest.records(job["id"], "failed"))
    return _code(console, job)


def _facts(job: Job, written: Written) -> Iterator[tuple[str, Text]]:
    invented = job["model"] == SIMULATED.name
    yield "records", words.outcomes(job).append(words.time_taken(job))
    if job["skipped_rows"]:
        yield "skipped", Text(f"{words.rows(job['skipped_rows'])}, empty")
    yield "tokens", Text(words.tokens(job))
    yield "cost", Text(words.cost(job) + (" (invented answers are not billed)" if invented else ""))
    warnings = list(job.get("warnings", ()))
    if written.warning is not None and written.warning not in warnings:
        warnings.append(written.warning)
    for warning in warnings:
        yield "warning", Text(warning, "yellow")
    yield "answers", Text(str(written.out), "bold") + Text(" (invented)" if invented else "", "yellow")
    yield "job", Text(job["id"])


def _tell_failures(console: Console, job: Job, failed: Iterable[dict[str, Any]]) -> None:
    """The errors by type, each with its number and one record as an example."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in islice(failed, LOOKED_AT):
        groups.setdefault(record["error"]["type"], []).append(record)
    some = job["counts"]["failed"] > LOOKED_AT
    console.print(Text(f"why {'the first ' + format(LOOKED_AT, ',') if some else 'they'} failed", "red"))
    for kind, records in sorted(groups.items(), key=lambda group: -len(group[1]))[:SHOWN]:
        why = records[0]["error"]["message"] or "no details available"
        line = f"  {len(records):,} × {kind}; {_place(records[0])}: {why}"
        console.print(line, markup=False, soft_wrap=True)
    retry = f"penstock jobs retry {job['id']}"
    console.print(
        f"to retry only these: `{retry}` on a running stack, then this command", style="dim", markup=False
    )


def _place(record: dict[str, Any]) -> str:
    named = f" ({record['custom_id']})" if record.get("custom_id") else ""
    return f"record {record['index'] + 1}{named}"


def _code(console: Console, job: Job) -> int:
    if job["status"] != "completed":
        console.print(" ".join(_why_unfinished(job)), style="yellow", markup=False, soft_wrap=True)
        return faults.FAILED
    return faults.SOME_FAILED if job["counts"]["failed"] else 0


def _why_unfinished(job: Job) -> Iterator[str]:
    yield f"The job is {job['status']}."
    if job.get("status_reason"):
        yield job["status_reason"]
    if job["status"] == "paused":
        raised = " with a higher --max-cost" if job["max_cost"] is not None else ""
        yield f"The same command resumes it{raised}."
