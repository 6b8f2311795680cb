"""How figures, money and times are written for people. Times are in UTC; a script shows none of them anew."""

import datetime as dt
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from app.core.money import pricing
from app.core.reading.jobs import JobView
from app.dashboard.phrases import for_page

NOTHING = "–"
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))  # seconds


def number(value: float | None) -> str:
    """12,345"""
    return NOTHING if value is None else f"{value:,}"


def money(dollars: str | Decimal | None) -> str:
    """$12.34; what is no whole number of cents with the digits that say something: $0.0021."""
    if dollars is None:
        return "unknown"
    amount = Decimal(dollars)
    if abs(amount) >= 1 or amount == round(amount, 2):
        return f"${amount:,.2f}"
    digits = max(2, 1 - amount.adjusted())
    return f"${amount:.{digits}f}"


def called(job: JobView) -> str:
    """What a job is called, wherever it is shown."""
    return job.name or job.label or f"Job of {moment(job.created_at)}"


def dollars(pico: int | None) -> str | None:
    """Pico-dollars, as figures inside are, for `money`."""
    return None if pico is None else pricing.dollars(pico)


def moment(value: dt.datetime | str | None) -> str:
    """2026-11-27 14:05:09, in UTC."""
    if value is None:
        return NOTHING
    time = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def seconds(value: float | None) -> str:
    """1.4 s, 3 min 20 s, 2 h 5 min."""
    if value is None:
        return NOTHING
    if value < 10:
        return f"{value:.1f} s" if value >= 0.1 or value == 0 else f"{value * 1000:.0f} ms"
    whole, parts = round(value), []
    for step, unit in STEPS:
        if whole >= step:
            parts.append(f"{whole // step} {unit}")
            whole %= step
    return " ".join(parts[:2])


def size(value: float | None) -> str:
    """1.2 MB"""
    if value is None:
        return NOTHING
    for unit in ("bytes", "kB", "MB"):
        if value < 1_000:
            return f"{value:,.0f} {unit}" if unit == "bytes" else f"{value:,.1f} {unit}"
        value /= 1_000
    return f"{value:,.1f} GB"


def percent(part: float, whole: float) -> str:
    """34 %; never 100 % of what is not whole."""
    if not whole:
        return "0 %"
    return f"{min(int(100 * part / whole), 100)} %"


def plural(count: int, one: str, many: str | None = None) -> str:
    """1 job, 2 jobs"""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sentence(text: str) -> str:
    """A message of ours with a full stop, and with a capital letter unless it begins with an address."""
    begins_with_address = "://" in text.partition(" ")[0]
    return (
        (text[:1] if begins_with_address else text[:1].upper())
        + text[1:]
        + ("" if text.endswith((".", "!", "?", "…")) else ".")
    )


ALL: Mapping[str, Callable[..., Any]] = {
    "called": called,
    "number": number,
    "money": money,
    "dollars": dollars,
    "moment": moment,
    "seconds": seconds,
    "size": size,
    "percent": percent,
    "plural": plural,
    "sentence": sentence,
    "plain": for_page,
}
