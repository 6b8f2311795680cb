"""What the `x-ratelimit-…` headers of an OpenAI-compatible server say: its limits, and when they reset."""

import re
from collections.abc import Mapping

from app.errors import ProviderError, RateLimited
from app.providers import refusals
from app.providers.client import RateLimits

MINUTE, DAY = 60.0, 86_400.0  # seconds
BETWEEN = 2_400.0  # seconds: a window that is longer is a day's
LARGEST = 10**12

_DURATION = re.compile(
    r"(?:(?P<d>\d+)d)?(?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_SECONDS = {"d": DAY, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def duration(text: str) -> float | None:
    """The seconds of `6m0s`, `1h2m`, `7.66s` or `20ms`, or of a bare number; None for anything else."""
    text = text.strip().lower()
    found = _DURATION.fullmatch(text)
    if text and found is not None:
        return sum(float(value) * _SECONDS[unit] for unit, value in found.groupdict().items() if value)
    return refusals.number(text)


def refused(status: int, body: object, headers: Mapping[str, str]) -> ProviderError:
    """The exception for a refusal: as `refusals.read`, with what these headers say."""
    error = refusals.read(status, body, headers)
    error.limits = rate_limits(headers)
    if isinstance(error, RateLimited):
        error.retry_after = pause(headers)
    return error


def rate_limits(headers: Mapping[str, str]) -> RateLimits | None:
    """Limits per minute of requests, and of all tokens together; None where the headers have none."""
    requests, tokens = _per_minute(headers, "requests"), _per_minute(headers, "tokens")
    if requests is None and tokens is None:
        return None
    return RateLimits(requests=requests, input_tokens=tokens)


def pause(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait after a 429: as it asks, else until the limits that have nothing left reset."""
    asked = refusals.pause(headers)
    if asked is not None:
        return asked
    spent = [kind for kind in ("requests", "tokens") if refusals.number(_of(headers, "remaining", kind)) == 0]
    resets = [seconds for kind in spent if (seconds := duration(_of(headers, "reset", kind))) is not None]
    return max((seconds for seconds in resets if seconds <= refusals.LONGEST_PAUSE), default=None)


def _per_minute(headers: Mapping[str, str], kind: str) -> int | None:
    limit = refusals.number(_of(headers, "limit", kind))
    if limit is None or not 1 <= limit < LARGEST:
        return None
    return max(1, int(limit * MINUTE / _window(headers, kind, limit)))


def _window(headers: Mapping[str, str], kind: str, limit: float) -> float:
    """Seconds that a limit is for: small accounts have one of requests a day, in the same header.

    What was used comes back evenly, so what is missing and the time until it is back tell the whole.
    """
    remaining = refusals.number(_of(headers, "remaining", kind))
    reset = duration(_of(headers, "reset", kind))
    if remaining is None or reset is None or remaining >= limit:
        return MINUTE
    return DAY if reset * limit / (limit - remaining) > BETWEEN else MINUTE


def _of(headers: Mapping[str, str], what: str, kind: str) -> str:
    return headers.get(f"x-ratelimit-{what}-{kind}", "")
