"""`penstock models`: what can be named with --model, and what it costs."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import click

from app.cli import listing, wrapping
from config import settings

HEADINGS = ("model", "input", "output", "cache read", "context", "can be asked")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything that is known, as JSON.")
def models(as_json: bool) -> None:
    """List the models with their prices, in USD per million tokens. Needs neither a stack nor a key.

    With PENSTOCK_URL and PENSTOCK_API_KEY, they are those of that stack.
    """
    found = _models()
    if as_json:
        listing.show_json(found)
        return
    listing.show(HEADINGS, [_row(model) for model in found], right=HEADINGS[1:5])
    click.echo()
    for note in _notes(found):
        wrapping.paragraph(note)


def _models() -> list[dict[str, Any]]:
    chosen = settings.read(os.environ)
    if chosen.penstock_url and chosen.penstock_api_key:
        from app.cli.client import Rest

        with Rest(chosen.penstock_url, chosen.penstock_api_key) as rest:
            return rest.models()
    from app.core.money import catalog

    return [catalog.write(model) for model in catalog.models(settings.current())]


def _row(model: dict[str, Any]) -> Sequence[str]:
    price = model["price"]
    rates = [f"${price[kind]}" for kind in ("input", "output", "cache_read")] if price else ["?"] * 3
    context = f"{model['context']:,}" if model["context"] else ""
    return [model["name"], *rates, context, "yes" if model["available"] else "no"]


def _notes(models: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What the table has no room for."""
    yield "Prices are in USD per million tokens, of today; the context holds the prompt and the answer."
    for model in models:
        long_prompt = (model["price"] or {}).get("long_prompt")
        if long_prompt:
            rates = f"${long_prompt['input']} in, ${long_prompt['output']} out"
            yield f"{model['name']}: {rates} when the prompt is over {long_prompt['over']:,} tokens."
    if default := [model["name"] for model in models if model["default"]]:
        yield f"Jobs that name no model ask {default[0]} (DEFAULT_MODEL)."
    for why in dict.fromkeys(model["why_not"] for model in models if model["why_not"]):
        yield f"{_names(models, why)}: no, {why}."


def _names(models: Sequence[dict[str, Any]], why: str) -> str:
    names = [model["name"] for model in models if model["why_not"] == why]
    return ", ".join(names) if len(names) <= 5 else f"{names[0]} and {len(names) - 1} others"
