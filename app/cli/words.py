"""Facts of a job in few words."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.text import Text

from app.cli.client import Job

ENDED = ("succeeded", "failed", "cancelled", "expired")
OVER = ("completed", "failed", "cancelled", "expired")  # statuses of a job that is over
REASONS = {
    "requests": "requests per minute",
    "input_tokens": "input tokens per minute",
    "output_tokens": "output tokens per minute",
    "cap": "its cost cap",
    "concurrency": "concurrent calls",
    "workers": "the workers",
    "redis": "Redis, which is down",
}
UNKNOWN = "unknown (the model has no price)"
STYLES = {"succeeded": "green", "failed": "red", "cancelled": "yellow", "expired": "yellow"}


def ended(job: Job) -> int:
    """Records with an outcome."""
    return sum(job["counts"][name] for name in ENDED)


def is_over(job: Job) -> bool:
    return job["status"] in OVER


def outcomes(job: Job) -> Text:
    """`298 succeeded · 2 failed`: zeros are left out."""
    counts = job["counts"]
    parts = [
        Text(f"{counts[name]:,} {name}", STYLES[name])
        for name in ENDED
        if counts[name] or name == "succeeded"
    ]
    return Text(" · ").join(parts)


def state(job: Job, rate: float) -> Text:
    """Its progress: outcomes, rate, cost, time left, and what limits it."""
    parts = [outcomes(job)]
    if not is_over(job):
        left = job["total"] - ended(job)
        if rate > 0:
            parts.append(Text(pace(rate), "cyan"))
        parts.append(Text(_cost_by_name(job)))
        if rate > 0 and left:
            parts.append(Text(f"{duration(left / rate)} left"))
        if job["status"] != "running":
            parts.append(Text(job["status"], "yellow"))
        if job.get("limited_by") not in (None, job["status"]):
            parts.append(Text(f"limited by {reason(job['limited_by'])}", "yellow"))
    else:
        parts.append(Text(_cost_by_name(job)))
    return Text(" · ").join(parts)


def pace(rate: float) -> str:
    """Records per second; slow ones per minute."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"


def cost(job: Job) -> str:
    """In dollars; what a crash may have cost next to what is known."""
    if job["cost"] is None:
        return UNKNOWN
    known = dollars(job["cost"])
    unconfirmed = Decimal(job.get("cost_unconfirmed") or 0)
    return f"{known} (+ up to {dollars(unconfirmed)} unconfirmed)" if unconfirmed else known


def _cost_by_name(job: Job) -> str:
    """The cost where nothing before it says that it is one."""
    return f"cost {UNKNOWN}" if job["cost"] is None else cost(job)


def records(count: int) -> str:
    return f"{count:,} record{'' if count == 1 else 's'}"


def dollars(amount: Any) -> str:
    """With cents; below ten dollars with all significant digits, six at most. `?` without a price."""
    if amount is None:
        return "?"
    value = Decimal(amount)
    if value >= 10 or value == 0:
        return f"${value:,.2f}"
    whole, _, digits = f"{value:.6f}".partition(".")
    return f"${whole}.{digits.rstrip('0').ljust(2, '0')}"


def about(amount: Any) -> str:
    """To three digits, because it is not exact."""
    return dollars(None if amount is None else Decimal(f"{Decimal(amount):.2e}"))


def tokens(job: Job) -> str:
    usage = job["usage"]
    cached = usage["cache_read_tokens"]
    text = f"{usage['input_tokens'] + usage['cache_write_tokens'] + cached:,} in"
    if cached:
        text += f" ({cached:,} of them from the cache)"
    return f"{text}, {usage['output_tokens']:,} out"


def time_taken(job: Job) -> str:
    """` in 0:07`, from the first call to the last answer, a second at least; nothing if it never started."""
    if not job["started_at"] or not job["ended_at"]:
        return ""
    started, ended_at = (datetime.fromisoformat(job[name]) for name in ("started_at", "ended_at"))
    return f" in {duration(max((ended_at - started).total_seconds(), 1))}"


def answers(count: int) -> str:
    """`1 answer was` or `12 answers were`, for a sentence about them."""
    return "1 answer was" if count == 1 else f"{count:,} answers were"


def rows(numbers: Sequence[int]) -> str:
    """`row 7`, `rows 7, 9`, and the first ten of many."""
    listed = ", ".join(str(number) for number in numbers[:10])
    more = f" and {len(numbers) - 10:,} more" if len(numbers) > 10 else ""
    return f"row{'s' if len(numbers) > 1 else ''} {listed}{more}"


def skipped(numbers: Sequence[int]) -> str:
    """`rows 3, 7, not asked: …`."""
    return f"{rows(numbers)}, not asked: blank, totals, or the header again"


def duration(seconds: float) -> str:
    """`0:07`, `12:30`, `3:05:00`, and days from two on."""
    whole = round(seconds)
    if whole >= 172_800:
        return f"{whole // 86_400} days"
    hours, rest = divmod(whole, 3_600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def reason(word: str) -> str:
    """What limits a job, in words where the limiter's own would be too short."""
    return REASONS.get(word, word.replace("_", " "))
