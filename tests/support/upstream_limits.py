"""How the tests' provider limits its callers: a sliding window of requests, and token buckets.

A bucket holds `burst_seconds` of its rate and is refilled continuously. A shorter span than the limit's own
window models a provider that enforces a minute's limit in every few seconds.
"""

import math
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

REQUESTS, INPUT, OUTPUT = "requests", "input-tokens", "output-tokens"


@dataclass(frozen=True)
class Allowed:
    """What may pass in `seconds`. None: any number."""

    figures: Mapping[str, int | None]  # by REQUESTS, INPUT and OUTPUT
    seconds: float = 60.0
    burst: float = 60.0  # seconds of the rate that may come at once
    paced: bool = False  # requests have a bucket too, rather than a sliding window


@dataclass(frozen=True)
class Refused:
    """What does not pass: which limit it is, and the seconds until it would."""

    name: str
    limit: int
    wait: float

    @property
    def message(self) -> str:
        name = self.name.replace("-", " ")
        return f"This request would exceed your limit of {self.limit} {name} a minute"


class Meter(Protocol):
    """One limit. `now` is in monotonic seconds."""

    limit: int

    def wait(self, amount: int, now: float) -> float:
        """0 when `amount` may pass, else the seconds until it could."""

    def take(self, amount: int, now: float) -> None: ...

    def left(self, now: float) -> float: ...

    def reset(self, now: float) -> float:
        """Seconds until all of the limit is there again."""


class SlidingWindow:
    """At most `limit` in any `seconds`."""

    def __init__(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds
        self.taken: deque[float] = deque()

    def change(self, limit: int, seconds: float) -> None:
        self.limit, self.seconds = limit, seconds

    def wait(self, amount: int, now: float) -> float:
        self._forget(now)
        if len(self.taken) < self.limit:
            return 0.0
        return self.taken[len(self.taken) - self.limit] + self.seconds - now

    def take(self, amount: int, now: float) -> None:
        self.taken.append(now)

    def left(self, now: float) -> float:
        self._forget(now)
        return self.limit - len(self.taken)

    def reset(self, now: float) -> float:
        return self.taken[-1] + self.seconds - now if self.taken else 0.0

    def _forget(self, now: float) -> None:
        while self.taken and self.taken[0] <= now - self.seconds:
            self.taken.popleft()


class Bucket:
    """Refilled by `limit` in `seconds`, up to what `burst` seconds bring; it may owe, and begins full."""

    def __init__(self, limit: int, seconds: float, burst: float, now: float) -> None:
        self.change(limit, seconds, burst)
        self.level, self.at = self.size, now

    def change(self, limit: int, seconds: float, burst: float, now: float | None = None) -> None:
        """Go on with other figures; what is in it stays, as far as it fits."""
        if now is not None:
            self._fill(now)
        self.limit, self.seconds = limit, seconds
        self.rate = limit / seconds
        self.size = max(1.0, self.rate * burst)
        if now is not None:
            self.level = min(self.level, self.size)

    def wait(self, amount: int, now: float) -> float:
        self._fill(now)
        if amount > self.limit:
            return self.seconds  # and it never will
        # What is larger than the bucket passes when that is full, and leaves it owing.
        lacking = min(amount, self.size) - self.level
        # A hair's breadth: the refill is a sum of floats.
        return lacking / self.rate if lacking > 1e-6 else 0.0

    def take(self, amount: int, now: float) -> None:
        self._fill(now)
        self.level -= amount

    def left(self, now: float) -> float:
        self._fill(now)
        return self.level

    def reset(self, now: float) -> float:
        return (self.size - self.left(now)) / self.rate

    def _fill(self, now: float) -> None:
        self.level = min(self.size, self.level + (now - self.at) * self.rate)
        self.at = now


class ProviderLimits:
    """All limits of the provider, over all its callers."""

    def __init__(self) -> None:
        self._meters: dict[str, Meter] = {}

    def change(self, allowed: Allowed) -> None:
        """Apply other figures at once: a limit that stays keeps what it counted."""
        now = time.monotonic()
        for name, limit in allowed.figures.items():
            old = self._meters.pop(name, None)
            if limit is not None:
                self._meters[name] = self._meter(name, limit, allowed, old, now)

    @staticmethod
    def _meter(name: str, limit: int, allowed: Allowed, old: Meter | None, now: float) -> Meter:
        if name == REQUESTS and not allowed.paced:
            if not isinstance(old, SlidingWindow):
                return SlidingWindow(limit, allowed.seconds)
            old.change(limit, allowed.seconds)
            return old
        if not isinstance(old, Bucket):
            return Bucket(limit, allowed.seconds, allowed.burst, now)
        old.change(limit, allowed.seconds, allowed.burst, now)
        return old

    def admit(self, input_tokens: int, now: float) -> Refused | None:
        """Take a request and its input; or say what refuses it, and take nothing.

        Output is not known yet: one token of it must be left.
        """
        wanted = {REQUESTS: 1, INPUT: input_tokens, OUTPUT: 1}
        refusals = [
            Refused(name, meter.limit, wait)
            for name, meter in self._meters.items()
            if (wait := meter.wait(wanted[name], now)) > 0
        ]
        if refusals:
            return max(refusals, key=lambda refused: refused.wait)
        for name in (REQUESTS, INPUT):
            if name in self._meters:
                self._meters[name].take(wanted[name], now)
        return None

    def generated(self, output_tokens: int, now: float) -> None:
        """Take output, when it has been made."""
        if OUTPUT in self._meters:
            self._meters[OUTPUT].take(output_tokens, now)

    def headers(self) -> dict[str, str]:
        """What each limit allows, has left, and when it will be whole; `tokens` is the scarcer of the two."""
        now = time.monotonic()
        tokens = [meter for name, meter in self._meters.items() if name != REQUESTS]
        shown = dict(self._meters)
        if tokens:
            shown["tokens"] = min(tokens, key=lambda meter: meter.left(now) / meter.limit)
        headers: dict[str, str] = {}
        for name, meter in shown.items():
            left = max(0.0, meter.left(now))
            # Tokens are told in thousands, as the provider does, except where that would hide a small limit.
            rounded = round(left, -3) if name != REQUESTS and meter.limit >= 100_000 else math.floor(left)
            reset = datetime.now(UTC) + timedelta(seconds=max(0.0, meter.reset(now)))
            headers |= {
                f"anthropic-ratelimit-{name}-limit": str(meter.limit),
                f"anthropic-ratelimit-{name}-remaining": str(int(rounded)),
                f"anthropic-ratelimit-{name}-reset": reset.isoformat(timespec="seconds"),
            }
        return headers
