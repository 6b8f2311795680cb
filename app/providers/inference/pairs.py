"""Whether a server makes one call after the other, and then how long a call takes, whoever else is calling.

Two calls leave together, as in the packet pairs of networks (Keshav, "A control-theoretic approach to flow
control", 1991). A server that makes them one after the other ends the second later by the time that it takes,
however long both waited behind the calls of other processes. One that makes them side by side ends them at
about the same time.
"""

from collections import deque
from statistics import median

STAGGER = 0.002  # seconds between the two, so that they arrive in their order
KEPT = 5  # pairs
ENOUGH = 2
APART = 0.25  # of the time of the first: they were made one after the other


class Pairs:
    """Pure arithmetic on the latest pairs of calls of one size."""

    def __init__(self) -> None:
        self._apart: deque[float] = deque(maxlen=KEPT)

    @property
    def known(self) -> bool:
        return len(self._apart) >= ENOUGH

    @property
    def in_turn(self) -> bool:
        """Whether the server makes one call after the other."""
        return self.known and median(self._apart) > APART

    def ended(self, first_seconds: float, apart: float) -> None:
        """The first took so long, and the second ended so much later; below 0: before it."""
        self._apart.append(apart / first_seconds)
