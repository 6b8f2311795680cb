"""The end of a run: the answers in their file, and a summary."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from app.cli import faults, words, wrapping
from app.cli.client import Job, Rest
from app.cli.input.stdin import STREAM
from app.cli.jobs import trying, written
from app.cli.order import Order
from app.cli.phrases import for_terminal
from app.errors import Unavailable
from app.providers.client import MAX_TOKENS, REFUSAL, WINDOW_FULL
from app.providers.registry import SIMULATED

LOOKED_AT = 1_000  # failed records that are grouped
SHOWN = 5  # groups of them


def warn_of_simulated(console: Console, need: str | None) -> None:
    """`need` is the variable without which no real model answers by default; None: it was asked for."""
    why = "" if need is None else f"No {need} is set. "
    how = "" if need is None else f"\nSet {need} to get real answers, or put it into a file .env here."
    text = f"{why}The model `simulated` answers: all answers are INVENTED and worthless.{how}"
    shown = Panel(text, expand=False) if console.is_terminal else text
    console.print(shown, style="yellow", soft_wrap=not console.is_terminal)


@dataclass(frozen=True, slots=True)
class Written:
    """The file with the answers."""

    out: Path
    warning: str | None = None  # in what it is not the one that was asked for
    kept: Path | None = None  # where the file is that was there before, if it was not this run's


def write(rest: Rest, job: Job, order: Order, data: Path) -> Written:
    """Write the answers, completely or not at all; nothing where there are none yet.

    A plain sheet in place of a workbook with macros is an .xlsx: under the other name Excel refuses it.
    Raises `Unavailable` where they cannot be written: by then they are paid for, and kept.
    """
    if not words.ended(job):
        return Written(order.out)
    headers: dict[str, str] = {}
    if order.to_stdout:
        written.to_stdout(lambda to: headers.update(rest.download(job["id"], order.results(), to)))
        return Written(order.out, headers.get("penstock-warning"))

    def fill(to: BinaryIO) -> Path:
        headers.update(rest.download(job["id"], order.results(), to))
        is_plain = order.out.suffix.lower() == ".xlsm" and "macro" not in headers.get("content-type", "")
        return order.out.with_suffix(".xlsx") if is_plain else order.out

    try:
        out, kept = written.write(order.out, fill, order.whole_fingerprint(), data)
    except OSError as error:
        raise Unavailable(
            f"{order.out} cannot be written ({error.strerror}): the answers are kept; the same command, with"
            " another -o if need be, writes them and pays nothing"
        ) from None
    return Written(out, headers.get("penstock-warning"), kept)


def tell(console: Console, rest: Rest, job: Job, answers: Written) -> int:
    """Print the summary; returns the exit code."""
    for name, fact in _facts(job, answers):
        wrapping.tell(console, fact, head=f"{name:<9}")
    if job["counts"]["failed"]:
        _tell_failures(console, job, rest.records(job["id"], "failed"))
    for line in _stops(job):
        wrapping.tell(console, line, style="yellow")
    return _code(console, job)


def _stops(job: Job) -> Iterator[str]:
    """How many answers are not whole, and what can be done about it. An older stack does not say."""
    reasons, cap = job.get("stop_reasons", {}), job.get("max_tokens", 0)
    retry = f"penstock jobs retry {job['id']} --only"
    if cut := reasons.get(MAX_TOKENS):
        yield (
            f"{words.answers(cut)} cut at max_tokens {cap}: ask them again with --max-tokens:"
            f" `{retry} {MAX_TOKENS} --max-tokens {4 * cap}`"
        )
    if full := reasons.get(WINDOW_FULL):
        yield f"{words.answers(full)} cut, as the context window was full: make these records shorter"
    if refused := reasons.get(REFUSAL):
        yield f"{words.answers(refused)} refused by the model: stop_reason {REFUSAL} in the answers"


def _facts(job: Job, answers: Written) -> Iterator[tuple[str, Text]]:
    invented = job["model"] == SIMULATED.name
    yield "records", words.outcomes(job).append(words.time_taken(job))
    if job["skipped_rows"]:
        yield "skipped", Text(words.skipped(job["skipped_rows"]))
    if job.get("reused"):
        yield "reused", Text(f"{job['reused']:,} answers of an earlier job, not paid for again")
    yield from _economies(job)
    yield "tokens", Text(words.tokens(job))
    if (cached := job.get("saved", {}).get("prompt_cache")) and cached["tokens"]:
        yield "saved", Text(f"{words.dollars(cached['cost'])} by the provider's prompt cache")
    yield "cost", Text(words.cost(job) + (" (invented answers are not billed)" if invented else ""))
    warnings = list(job.get("warnings", ()))
    if answers.warning is not None and answers.warning not in warnings:
        warnings.append(answers.warning)
    for warning in warnings:
        yield "warning", Text(warning, "yellow")
    if words.ended(job):
        where = "standard output" if answers.out == STREAM else str(answers.out)
        yield "answers", Text(where, "bold") + Text(" (invented)" if invented else "", "yellow")
    yield "job", Text(job["id"])


def _economies(job: Job) -> Iterator[tuple[str, Text]]:
    """What was not asked twice, and what made answers fit. An older stack does not say."""
    copies = job.get("saved", {}).get("dedupe", {"records": 0})
    if copies["records"]:
        subject = "record asks" if copies["records"] == 1 else "records ask"
        yield "copies", Text(f"{copies['records']:,} {subject} the same as another: {_saved(copies)}")
    repairs = {name: count for name, count in job.get("repairs", {}).items() if count}
    if repairs:
        told = (f"{count:,} {name.replace('_', ' ')}" for name, count in repairs.items())
        yield "mended", Text(f"answers that did not fit at first: {', '.join(told)}")


def _saved(saved: dict[str, Any]) -> str:
    return f"{words.about(saved['cost'])} saved" if float(saved["cost"]) else "asked once"


def _tell_failures(console: Console, job: Job, failed: Iterable[dict[str, Any]]) -> None:
    """The errors by type, each with its number and one record as an example."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for record in islice(failed, LOOKED_AT):
        groups.setdefault(record["error"]["type"], []).append(record)
    some = job["counts"]["failed"] > LOOKED_AT
    console.print(Text(f"why {'the first ' + format(LOOKED_AT, ',') if some else 'they'} failed", "red"))
    for kind, records in sorted(groups.items(), key=lambda group: -len(group[1]))[:SHOWN]:
        why = records[0]["error"]["message"] or "no details available"
        wrapping.tell(console, f"{len(records):,} × {kind}; {_place(records[0])}: {why}", head="  ")
    wrapping.tell(console, "to run only these again: the same command with --retry-failed", style="dim")


def _place(record: dict[str, Any]) -> str:
    named = f" ({record['custom_id']})" if record.get("custom_id") else ""
    return f"record {record['index'] + 1}{named}"


def _code(console: Console, job: Job) -> int:
    if trying.is_over(job):
        return 0  # as it was asked for
    if job["status"] != "completed":
        wrapping.tell(console, " ".join(_why_unfinished(job)), style="yellow")
        return faults.FAILED
    return faults.SOME_FAILED if job["counts"]["failed"] else 0


def _why_unfinished(job: Job) -> Iterator[str]:
    yield f"The job is {job['status']}."
    if job.get("status_reason"):
        yield for_terminal(job["status_reason"])
    if job["status"] == "paused":
        raised = " with a higher --max-cost" if job["max_cost"] is not None else ""
        yield f"The same command resumes it{raised}."


def farewell(job_id: str, *, lives_on: bool) -> str:
    """What happens to the job after Ctrl-C, on a stack that lives on or that ends with the command."""
    if lives_on:
        return (
            f"the job continues; the same command follows it again, `penstock jobs pause {job_id}` pauses"
            f" it, `penstock jobs cancel {job_id}` ends it"
        )
    return (
        "stopping; the job is kept, and the same command resumes it, as does"
        f" `penstock jobs resume {job_id}`. Until then nothing more is sent; only calls under way are"
        " still answered, and paid"
    )
