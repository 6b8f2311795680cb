"""The forms that change a job: what was typed, checked as the native contract checks it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.money import pricing
from app.core.reading.jobs import JobView
from app.core.requests.asked_again import Choice
from app.errors import BadInput
from app.ingest.bounds import MAX_TOKENS
from app.ingest.values import is_line, whole_number

LONGEST_NAME = 255  # characters
# Digits, not all of them 0. The upper bound is `pico`'s to check.
DOLLARS = re.compile(r"(?=.*[1-9])([0-9]{1,7}(\.[0-9]{1,12})?|\.[0-9]{1,12})")


@dataclass(frozen=True, slots=True)
class Change:
    """What the form of changes holds: as it was typed, and what is wrong with it by field."""

    name: str
    priority: str
    max_cost: str
    faults: Mapping[str, str]
    values: Mapping[str, Any]  # for `lifecycle.change`

    @classmethod
    def of_job(cls, view: JobView) -> "Change":
        cap = "" if view.max_cost is None else pricing.dollars(view.max_cost)
        return cls(view.name or "", str(view.priority), cap, {}, {})

    @classmethod
    def typed(cls, form: Mapping[str, str]) -> "Change":
        name, priority = form.get("name", "").strip(), form.get("priority", "").strip()
        max_cost = form.get("max_cost", "").strip().lstrip("$").replace(",", "")
        level, cap = whole_number(priority), _pico(max_cost)
        faults = {}
        if len(name) > LONGEST_NAME or not is_line(name):
            faults["name"] = f"Give a name of at most {LONGEST_NAME} characters that can be printed."
        if level is None or not 1 <= level <= 10:
            faults["priority"] = "Give a whole number from 1 to 10, which is the most urgent."
        if max_cost and cap is None:
            faults["max_cost"] = "Give dollars such as 2.50: over 0, and up to 1,000,000; or nothing."
        return cls(
            name, priority, max_cost, faults, {"name": name or None, "priority": level, "max_cost": cap}
        )


def choice(only: list[str], max_tokens: str) -> Choice:
    """What a form asks again: records that ended with one of these words, or all that may end otherwise."""
    tokens = whole_number(max_tokens.strip()) if max_tokens.strip() else None
    if max_tokens.strip() and (tokens is None or not 1 <= tokens <= MAX_TOKENS):
        raise BadInput.of_field("max_tokens", f"give a whole number from 1 to {MAX_TOKENS:,}")
    return Choice(frozenset(only) or None, tokens)


def _pico(dollars: str) -> int | None:
    try:
        return pricing.pico(dollars) if DOLLARS.fullmatch(dollars) else None
    except ValueError:
        return None
