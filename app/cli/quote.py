"""A quote on the terminal: as a table by itself, or in two lines before a run."""

from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.console import Console

from app.cli import listing, words, wrapping
from app.cli.client import Quote
from app.providers.registry import SIMULATED

CASES = ("low", "likely", "high")
INDENT = " " * 9
PROMPT_LINES, PROMPT_WIDTH = 6, 300  # of the first prompt, in lines and characters of each
ENOUGH = 30  # answers that are enough for a good calibration


def show(quote: Quote) -> None:
    """The whole quote, on standard output."""
    rows = [
        _row("tokens in", quote["input_tokens"], _count),
        _row("tokens out", quote["output_tokens"], _count),
        _row("cost", quote["cost"] or dict.fromkeys(CASES), words.about),
        _row("time", quote["duration_seconds"], words.duration),
    ]
    click.echo(f"{words.records(quote['records'])} for {quote['model']}\n")
    listing.show(("", *CASES), rows, right=CASES)
    click.echo()
    for name, fact in (*_facts(quote), *_taken_over_and_asked(quote)):
        wrapping.paragraph(fact, head=f"{name:<11} ", indent=" " * 12)


def tell(console: Console, quote: Quote) -> None:
    """In two lines, with its notes."""
    cost, time = quote["cost"], quote["duration_seconds"]
    money = f"cost {words.UNKNOWN}"
    if cost is not None:
        money = words.about(cost["likely"])
        if cost["low"] != cost["high"]:
            money = f"about {money} ({words.about(cost['low'])} to {words.about(cost['high'])})"
    line = f"{words.records(quote['records'])} · {money} · about {words.duration(time['likely'])}"
    line = f"{line}, limited by {words.reason(quote['limited_by'])}"
    wrapping.tell(console, line, head="quote    ")
    wrapping.tell(console, quote["basis"]["text"], head=INDENT, style="dim")
    for name, fact in _beside(quote):
        wrapping.tell(console, f"{name}: {fact}", head=INDENT, style="yellow")
    for name, fact in _taken_over_and_asked(quote):
        wrapping.tell(console, fact, head=f"{name:<9}")


def _taken_over_and_asked(quote: Quote) -> Iterator[tuple[str, str]]:
    """What is not paid again, and the first prompt, in which a wrong template is seen before it costs."""
    if reused := quote.get("reused"):
        total = quote["records"] + reused
        yield "reused", f"{reused:,} of {total:,} answers are those of an earlier job: not paid again"
    cached = quote.get("saved", {}).get("prompt_cache", {"tokens": 0})
    if cached["tokens"]:
        about = words.about(cached["cost"])
        yield "cached", f"about {cached['tokens']:,} tokens in are read from a cache, which saves {about}"
    if copies := quote.get("copies"):
        yield (
            "copies",
            f"{words.records(copies)} besides {'asks' if copies == 1 else 'ask'} the same: asked once",
        )
    if prompt := quote.get("first_prompt"):
        lines = prompt.strip().splitlines()
        text = "\n".join(line[:PROMPT_WIDTH] for line in lines[:PROMPT_LINES])
        cut = len(lines) > PROMPT_LINES or any(len(line) > PROMPT_WIDTH for line in lines[:PROMPT_LINES])
        yield "prompt 1", text + (" …" if cut else "")


def _row(name: str, figures: dict[str, Any], shown: Callable[[Any], str]) -> list[str]:
    return [name, *(shown(figures[case]) for case in CASES)]


def _facts(quote: Quote) -> Iterator[tuple[str, str]]:
    yield "limited by", words.reason(quote["limited_by"])
    if quote["queued_records"]:
        yield "queue", f"{words.records(quote['queued_records'])} of other jobs run in turns with these"
    yield "basis", quote["basis"]["text"]
    if quote["basis"]["job"]:
        yield "", f"of job {quote['basis']['job']}"
    elif quote["records"] > ENOUGH:
        yield "", f"(run it with --rows {ENOUGH} first: the next quote is calibrated with those answers)"
    if quote["skipped_rows"]:
        yield "skipped", words.skipped(quote["skipped_rows"])
    if quote["model"] == SIMULATED.name:
        yield "note", "the model `simulated` invents its answers, which are not billed"
    yield from _beside(quote)


def _beside(quote: Quote) -> Iterator[tuple[str, str]]:
    """What the buyer needs to know."""
    if quote["duplicates"]:
        subject = "record is" if quote["duplicates"] == 1 else "records are"
        yield "duplicates", f"{quote['duplicates']:,} {subject} the same as an earlier one"
    for warning in quote["warnings"]:
        yield "warning", warning


def _count(number: int) -> str:
    return f"{number:,}"
