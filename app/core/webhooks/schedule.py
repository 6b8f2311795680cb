"""When a delivery is tried again: the schedule of the specification Standard Webhooks."""

import datetime as dt
import random
from email.utils import parsedate_to_datetime

# Seconds before each attempt: ten attempts over 75 hours and 35 minutes.
DELAYS = (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
BUSY = frozenset({429, 502, 503, 504})  # the receiver wants, or gets, too many at once
JITTER = 0.1  # of a delay, at most: what failed at one moment does not come back at one moment
LONGEST_WAIT = 24 * 3600  # seconds that a receiver may ask for


def delay(attempts: int, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt, after so many; None when there is none.

    `retry_after` is what the receiver asked for, in seconds: it is never waited for less than that.
    """
    if attempts >= len(DELAYS):
        return None
    usual = DELAYS[attempts] * (1 + random.uniform(-JITTER, JITTER))  # noqa: S311 - no secret
    return max(usual, min(retry_after or 0, LONGEST_WAIT))


def retry_after(header: str | None, now: dt.datetime) -> float | None:
    """The seconds of a Retry-After, which has them or a date; None when it says neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        until = until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - now).total_seconds())
