"""How long calls take under shared limits: the tightest bound decides."""

from dataclasses import dataclass

from app.providers.client import RateLimits

WORKERS_A_SECOND = 1_000  # records that a machine with two cores claims, asks and writes: 1,400 were measured
NOTHING = RateLimits()


@dataclass(frozen=True, slots=True)
class Work:
    """A job's calls: their number, their total tokens, and the seconds that one takes."""

    calls: int
    input_tokens: float  # that count toward the limit
    output_tokens: float
    seconds: float


def bound(
    work: Work, before: int, figures: RateLimits, seats: int | None, unused: RateLimits | None = None
) -> tuple[float, str]:
    """Seconds until the last answer, and the limit that decides it; see `waits`."""
    found = waits(work, before, figures, seats, unused)
    limited_by = max(found, key=lambda name: found[name])
    # The last call's own time is added to each.
    return found[limited_by] + work.seconds, limited_by


def waits(
    work: Work, before: int, figures: RateLimits, seats: int | None, unused: RateLimits | None = None
) -> dict[str, float]:
    """Seconds until the last call leaves, by each limit as if there were no other.

    `before` is the number of other jobs' calls made before the last one of these, assumed to be as large;
    `seats` is how many of the job's own calls may be in flight; `unused` is what the last minute has left of
    `figures`, None where all calls are paced.
    """
    left = unused or NOTHING
    contention = (work.calls + before) / work.calls
    return {
        "workers": (work.calls + before) / WORKERS_A_SECOND,
        "requests": _wait(work.calls * contention, figures.requests, left.requests),
        "input_tokens": _wait(work.input_tokens * contention, figures.input_tokens, left.input_tokens),
        "output_tokens": _wait(work.output_tokens * contention, figures.output_tokens, left.output_tokens),
        "concurrency": max(
            _rounds(work.calls, seats) * work.seconds,
            _rounds(work.calls + before, figures.concurrent) * work.seconds,
        ),
    }


def _wait(amount: float, per_minute: int | None, unused: int | None) -> float:
    """The seconds until the last of `amount` leaves, at `per_minute` or, as the limiter has it, at once."""
    if not per_minute:
        return 0.0
    if unused is None or amount > unused + per_minute:
        return amount * 60 / per_minute
    return 0.0 if amount <= unused else 60.0


def _rounds(calls: int, concurrent: int | None) -> float:
    """How often the seats are refilled."""
    return max(0.0, calls / concurrent - 1) if concurrent else 0.0
