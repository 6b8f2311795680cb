"""The books of the tests' provider: what arrived, what it was billed, and the most that came at a time."""

import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

OUTPUT_WINDOWS = 5  # output is known only afterwards: it is judged over five minutes


@dataclass
class Seen:
    """One request that arrived."""

    number: int
    at: float  # monotonic seconds
    wall: float  # Unix seconds
    sha256: str  # of the body
    text: str  # the last user text, its first 500 characters
    key: str  # the first 12 characters of the API key
    request_id: str = ""  # as the answer's `request-id` says
    outcome: str = "in flight"
    admitted: bool = False  # the limits let it pass
    input_tokens: int = 0  # billed, as are the next three
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0  # of these, what is kept for an hour
    streamed: bool = False
    disconnected: bool = False  # the client went before its answer was written
    request: dict[str, Any] | None = None  # only with `keep_requests`
    headers: dict[str, str] | None = None


class Densest:
    """The most that came in any span of time, known at once at any size."""

    def __init__(self) -> None:
        self.total = self.most = 0
        self._recent: deque[tuple[float, int]] = deque()
        self._in_span = 0

    def add(self, amount: int, seconds: float, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - seconds:
            self._in_span -= self._recent.popleft()[1]
        self._recent.append((now, amount))
        self._in_span += amount
        self.total += amount
        self.most = max(self.most, self._in_span)


BILLED = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")


class Books:
    """Every request since the last reset. Totals of what has ended are kept, not summed again."""

    def __init__(self) -> None:
        self.entries: list[Seen] = []
        self._open: dict[int, Seen] = {}
        self._outcomes: Counter[str] = Counter()
        self._billed: Counter[str] = Counter(dict.fromkeys(BILLED, 0))
        self._most_open = 0
        self._densest = {name: Densest() for name in ("requests", "input_tokens", "output_tokens")}

    def open(self, seen: Seen) -> None:
        """It has arrived."""
        self.entries.append(seen)
        self._open[seen.number] = seen
        self._most_open = max(self._most_open, len(self._open))

    def admit(self, seen: Seen, input_tokens: int, window: float, now: float) -> None:
        """The limits let it pass at `now` (monotonic), with what counts of its input."""
        seen.admitted = True
        self._densest["requests"].add(1, window, now)
        self._densest["input_tokens"].add(input_tokens, window, now)

    def generated(self, output_tokens: int, window: float, now: float) -> None:
        self._densest["output_tokens"].add(output_tokens, OUTPUT_WINDOWS * window, now)

    def close(self, seen: Seen) -> None:
        """Nothing about it will change."""
        if self._open.pop(seen.number, None) is None:
            return  # it is of the books before these
        self._outcomes[seen.outcome] += 1
        self._billed.update({name: getattr(seen, name) for name in BILLED})

    def summary(self) -> dict[str, Any]:
        outcomes, billed = self._outcomes.copy(), self._billed.copy()
        for seen in self._open.values():
            outcomes[seen.outcome] += 1
            billed.update({name: getattr(seen, name) for name in BILLED})
        return {
            "requests": len(self.entries),
            "outcomes": outcomes,
            "refused": outcomes["429"],
            **billed,
            "admitted": {name: span.total for name, span in self._densest.items()},
            "densest": {name: span.most for name, span in self._densest.items()},
            "first_at": self.entries[0].at if self.entries else None,
            "last_at": self.entries[-1].at if self.entries else None,
            "now": time.monotonic(),
            "in_flight": len(self._open),
            "most_in_flight": self._most_open,
        }
