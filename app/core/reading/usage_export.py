"""A tenant's usage as CSV, for its bookkeeper: a row for each day, model and user."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.core.accounts import api_keys
from app.core.money import pricing, usage
from app.core.money.usage import Line, Span
from app.core.reading import csv_export
from app.providers.client import KINDS
from models.session import reading

NAMES = (
    "day",
    "model",
    "user_id",
    "keys",  # names of some that act for the user
    "answered_calls",
    "unconfirmed_calls",
    *KINDS,
    "cost_usd",  # empty: one of the answers has no price
    "answers_without_price",
    "prompt_cache_saved_usd",
    "unconfirmed_cost_usd",  # at most, on top; empty: one of those calls has no price
)


def csv(tenant_id: int, span: Span) -> Iterator[bytes]:
    """The file, in pieces; each day is read by itself, and nothing of the database is held in between."""
    return csv_export.lines(NAMES, _rows(tenant_id, span))


def _rows(tenant_id: int, span: Span) -> Iterator[list[Any]]:
    while True:
        with reading() as session:
            lines = usage.of_next_day(session, tenant_id, span)
            keys = api_keys.names_by_user(session, tenant_id, {line.user for line in lines})
        if not lines:
            return
        for line in lines:
            yield _cells(line, "; ".join(keys[line.user]))
        span = replace(span, since=usage.end_of(lines[0].day))


def _cells(line: Line, keys: str) -> list[Any]:
    sums = line.sums
    return [
        line.day.isoformat(),
        line.model,
        line.user,
        keys,
        sums.answered,
        sums.unconfirmed,
        *(sums.tokens[kind] for kind in KINDS),
        _dollars(sums.cost),
        sums.unpriced,
        pricing.dollars(sums.cache_saved),
        _dollars(sums.cost_unconfirmed),
    ]


def _dollars(pico: int | None) -> str | None:
    return None if pico is None else pricing.dollars(pico)
