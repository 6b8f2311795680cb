"""The size of calls at which a server answers the most items a second, found and followed by measuring.

The search is a compass search over sizes (Kolda, Lewis and Torczon, "Optimization by direct search", 2003):
the current size is compared with one a factor smaller and one a factor larger; the best of the three is the
next current size, and when that is the same one, the factor becomes its square root. A wide factor first
passes over the steps of a server that pads calls to powers of two, where a climb in small steps stays on the
first. A straight line fitted to the times, as in BentoML, does not find the best size of a server that slows
down beyond it, and an additive increase, as in Clipper, needs a bound on the time of a call to stop at.

Only the times of calls that were alone in flight count, as in Envoy's adaptive concurrency, since behind
others a call's time is mostly theirs; or where the server makes one call after the other, what `pairs` finds.
A size is judged by the lower quartile of its last few times: what disturbs a call makes it slower.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

START = 16  # items: the first size
WIDEST, AGAIN, FINEST = 4.0, 2.0, 1.04  # factors: of the first search, of later ones, of the end of a search
ENOUGH, ENOUGH_WIDE = 4, 2  # times by which a size is judged; the second while the factor is wide
KEPT = 15  # times of one size
STALE = 30.0  # seconds after which the times of a size that is not the current one are forgotten
TOLERANCE = 0.03  # of the best rate: within it a smaller size is preferred, whose items wait less
CLEAR = 1.3  # times the current size's rate: a single time is enough to move
HOPELESS = 0.5  # of the current size's rate: a single time is enough to drop a size
SLOWER, FASTER = 2.5, 0.4  # times the slowest and the fastest of the last few: the server has changed
SLOWER_PROBE, FASTER_PROBE = 1.5, 0.7  # the same for another size, whose older times are then void

# How long the next call to be measured is off, in times of the last one. It costs a server that answers
# several calls at once the time of two, in which the other calls are held back; and one that makes one call
# after the other nothing, but for a probe, which may be slow.
REST_IN_SEARCH, REST, REST_IN_TURN, REST_OF_PROBE = 1.5, 20.0, 2.0, 30.0
LEAST_REST, LEAST_REST_OF_PROBE = 1.0, 3.0  # seconds, after a search

UNFILLED_REST = 0.5  # seconds until a size that too few items came for is tried again
UNFILLED_MOST = 4  # times that it is, before the search goes on without it
UNFINISHED_KEPT = 20.0  # seconds until such a search is made again: the items may only have paused
SLOW_KEPT = 60.0  # seconds until a size whose call was given up is tried again
REFUSED_KEPT = 3_600.0  # seconds until a refused size is tried again: it costs each of its items a try


@dataclass(frozen=True, slots=True)
class Plan:
    """The next call: its items, and whether its time is to be measured, alone in flight."""

    size: int
    alone: bool = False


class Tuner:
    """Pure arithmetic: every time is passed in, in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.size = START
        self._factor = WIDEST
        self._times: dict[int, deque[float]] = {}  # of calls that were alone, by their items
        self._last: dict[int, float] = {}  # when the latest of these was measured
        self._unfilled: dict[int, tuple[int, float]] = {}  # how often too few items came for a size, and when
        self._again_at: float | None = None  # when a search that left sizes out is made again
        self._most = START  # items that a call may have, as of the last plan
        self._proven = 0  # items of the largest call that was answered
        self._barred: tuple[int, float] | None = None  # the smallest size that failed, and until when
        self._next = 0.0  # when the next call is to be measured
        self._next_probe = 0.0  # when, after a search, another size is tried
        self._probes_up = False
        self._doubted = False  # the last time of the current size did not match those before it

    @property
    def searching(self) -> bool:
        return self._factor > FINEST

    @property
    def rate(self) -> float | None:
        """Items a second at the current size; None before it was measured."""
        return self._rate(self.size) if self._times.get(self.size) else None

    def alone_seconds(self, items: int) -> float | None:
        """What a call of so many items takes when it is alone; None if that was not measured."""
        times = self._times.get(items)
        return _typical(times) if times else None

    def plan(self, max_batch_size: int, at: float) -> Plan:
        """The next call. The same until something is recorded, or the time of a measurement has come."""
        if self._barred is not None and at >= self._barred[1]:
            self._barred = None
        if self._again_at is not None and at >= self._again_at:
            self._unfilled.clear()
            self._search_again(at)
        self._most = max_batch_size
        self.size = min(self.size, self._most)
        size = self._to_measure(at)
        return Plan(self.size) if size is None else Plan(size, alone=True)

    def answered(self, items: int) -> None:
        """A call was answered, alone or not."""
        self._proven = max(self._proven, items)

    def measured(self, items: int, seconds: float, at: float, *, holds_others: bool = True) -> None:
        """A full call that was alone has taken so long.

        `holds_others`: the server works on several calls at once, and others waited for this one to end.
        """
        self._schedule(items, seconds, at, holds_others=holds_others)
        if self._record(items, seconds, at):
            self._decide(at)

    def unfilled(self, size: int, at: float) -> None:
        """Too few items came for a call that was to be measured: that says nothing of its speed."""
        self._unfilled[size] = self._unfilled.get(size, (0, 0.0))[0] + 1, at
        if self.searching and size != self.size and self._is_left_out(size):
            self._again_at = at + UNFINISHED_KEPT
            self._decide(at)
        elif size != self.size:
            self._rest_from_probes(0.0, at)

    def refused(self, items: int, at: float) -> None:
        """The server refused a call of several items, or broke on it."""
        self._bar(items, at, REFUSED_KEPT)

    def given_up(self, items: int, seconds: float, at: float) -> None:
        """A call had no answer when nobody waited for it any more."""
        rate = self.rate
        if rate is None or items / seconds < HOPELESS * rate:
            self._bar(items, at, SLOW_KEPT)

    def start_again(self, at: float) -> None:
        """Forget all times, and search from the present size."""
        self._times.clear()
        self._unfilled.clear()
        self._search_again(at)

    # --- what to measure next

    def _to_measure(self, at: float) -> int | None:
        """The size whose time is to be measured now; None: no call has to be alone."""
        if self.searching and at >= self._next and len(self._times.get(self.size, ())) >= self._enough:
            sizes = [size for size in self._neighbours() if self._is_open(size)]
            return next((size for size in sizes or [self.size] if self._may_fill(size, at)), None)
        if not self.searching and at >= self._next_probe:
            return self._probe()
        return self.size if at >= self._next and self._may_fill(self.size, at) else None

    def _neighbours(self) -> list[int]:
        """The sizes to compare the current one with, the smaller first: its calls take less time."""
        sizes = {self._by(1 / self._factor), self._by(self._factor)} - {self.size}
        return sorted(size for size in sizes if self._may_try(size))

    def _probe(self) -> int:
        size = self._by(AGAIN if self._probes_up else 1 / AGAIN)
        return size if self._may_try(size) else self.size

    @property
    def _enough(self) -> int:
        return ENOUGH_WIDE if self._factor >= AGAIN else ENOUGH

    def _by(self, factor: float) -> int:
        return max(1, min(self._most, round(self.size * factor)))

    def _may_try(self, size: int) -> bool:
        return self._barred is None or size < self._barred[0]

    def _is_open(self, size: int) -> bool:
        """Whether it has to be measured (again) before the sizes can be compared."""
        times = self._times.get(size)
        if self._is_left_out(size):
            return False
        hopeless = times and self._rate(size) < HOPELESS * self._rate(self.size)
        return not times or (len(times) < self._enough and not hopeless)

    def _is_left_out(self, size: int) -> bool:
        return self._unfilled.get(size, (0, 0.0))[0] >= UNFILLED_MOST

    def _may_fill(self, size: int, at: float) -> bool:
        return size not in self._unfilled or at - self._unfilled[size][1] >= UNFILLED_REST

    def _schedule(self, items: int, seconds: float, at: float, *, holds_others: bool) -> None:
        if self.searching and items != self.size:
            self._next = at + (REST_IN_SEARCH * seconds if holds_others else 0.0)
        elif not self.searching and items != self.size:
            self._rest_from_probes(seconds, at)
        elif not self.searching:
            self._next = at + max(LEAST_REST, seconds * (REST if holds_others else REST_IN_TURN))

    def _rest_from_probes(self, seconds: float, at: float) -> None:
        self._next_probe = at + max(LEAST_REST_OF_PROBE, REST_OF_PROBE * seconds)
        self._probes_up = not self._probes_up

    # --- what the times say

    def _record(self, items: int, seconds: float, at: float) -> bool:
        """Keep the time; False if it is doubtful, and the next one has to confirm it."""
        times = self._times.setdefault(items, deque(maxlen=KEPT))
        if items != self.size:
            if times and not FASTER_PROBE * min(times) <= seconds <= SLOWER_PROBE * max(times):
                times.clear()
        elif len(times) >= ENOUGH and not FASTER * min(times) <= seconds <= SLOWER * max(times):
            if not self._doubted:
                self._doubted, self._next = True, at
                return False
            self.start_again(at)
            times = self._times.setdefault(items, deque(maxlen=KEPT))
        self._doubted = self._doubted and items != self.size
        times.append(seconds)
        self._last[items] = at
        self._unfilled.pop(items, None)
        return True

    def _search_again(self, at: float) -> None:
        self._factor, self._next, self._again_at = max(self._factor, AGAIN), at, None

    def _decide(self, at: float) -> None:
        """Move to the best size; where this is it, compare it with closer ones."""
        self._forget(at)
        if not self._times.get(self.size):
            return
        best = _best(self._times, self.size, self._enough)
        if best != self.size:
            if not self.searching:  # what was measured before the server changed is void
                self._times = {size: self._times[size] for size in (self.size, best)}
                self._search_again(at)
            self.size = best
        elif len(self._times[self.size]) >= self._enough:
            while self.searching and not any(map(self._is_open, self._neighbours())):
                self._factor **= 0.5

    def _forget(self, at: float) -> None:
        for size in [size for size, last in self._last.items() if at - last > STALE and size != self.size]:
            self._times.pop(size, None)
            del self._last[size]

    def _rate(self, size: int) -> float:
        return size / _typical(self._times[size])

    def _bar(self, items: int, at: float, seconds: float) -> None:
        """Make no call of so many items.

        One that was answered before must fail twice in a row: the fault may have been in one of its items.
        """
        if items > self._proven and items > 1:
            self._barred = items, at + seconds
            for size in [size for size in self._times if size >= items]:
                del self._times[size]
            if self.size >= items:
                self.size = max(1, items // 2)
                self._search_again(at)
        self._proven = min(self._proven, items - 1)


def _typical(times: Sequence[float]) -> float:
    return sorted(times)[len(times) // 4]


def _best(times: Mapping[int, Sequence[float]], current: int, enough: int) -> int:
    """The smallest of those sizes whose rate is about the best."""
    rates = {size: size / _typical(known) for size, known in times.items() if known}
    judged = {
        size: rate
        for size, rate in rates.items()
        if size == current or len(times[size]) >= enough or rate > CLEAR * rates[current]
    }
    good = (1 - TOLERANCE) * max(judged.values())
    return min(size for size, rate in judged.items() if rate >= good)
