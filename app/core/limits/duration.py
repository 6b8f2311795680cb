"""How long calls take under limits that others share: what bounds them most decides."""

from dataclasses import dataclass

from app.providers.client import RateLimits

WORKERS_A_SECOND = 1_000  # records that a machine of two cores claims, asks and writes: 1,400 were measured


@dataclass(frozen=True, slots=True)
class Work:
    """A job's calls: how many, their tokens together, and the seconds of one."""

    calls: int
    input_tokens: float  # that count toward the limit
    output_tokens: float
    seconds: float


def bound(work: Work, before: int, figures: RateLimits, seats: int | None) -> tuple[float, str]:
    """Seconds until the last answer, and what makes it take so long.

    `before` are calls of others that get their turn before the last one of these, taken to be as large;
    `seats` is how many of the job's own calls may be in flight.
    """
    crowd = (work.calls + before) / work.calls
    waits = {
        "workers": (work.calls + before) / WORKERS_A_SECOND,
        "requests": _minutes(work.calls * crowd, figures.requests),
        "input_tokens": _minutes(work.input_tokens * crowd, figures.input_tokens),
        "output_tokens": _minutes(work.output_tokens * crowd, figures.output_tokens),
        # The last call's own time is added to each.
        "concurrency": max(
            _rounds(work.calls, seats) * work.seconds,
            _rounds(work.calls + before, figures.concurrent) * work.seconds,
        ),
    }
    limited_by = max(waits, key=lambda name: waits[name])
    return waits[limited_by] + work.seconds, limited_by


def _minutes(amount: float, a_minute: int | None) -> float:
    """Seconds."""
    return amount * 60 / a_minute if a_minute else 0.0


def _rounds(calls: int, at_a_time: int | None) -> float:
    """How often the seats are filled again."""
    return max(0.0, calls / at_a_time - 1) if at_a_time else 0.0
