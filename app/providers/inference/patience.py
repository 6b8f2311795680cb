"""How long a call that is not full waits for more items: as long as they can still be expected.

Jacobson's estimate of a timeout ("Congestion avoidance and control", 1988), applied to silences: the mean of
the gaps between items that came while others were waiting, and four times their mean deviation.
"""

LEAST = 0.001  # seconds: items that are sent together arrive within it
OF_MEAN, OF_DEVIATION = 1 / 8, 1 / 4  # weights of the latest gap
DEVIATIONS = 4


class Patience:
    """For items that share calls. Seconds throughout."""

    def __init__(self) -> None:
        self._mean: float | None = None  # None: nothing is known yet
        self._deviation = 0.0

    def silence(self, longest: float) -> float:
        """How long to wait after the latest item, `longest` at most: that is what is configured."""
        if self._mean is None:
            return longest
        return min(longest, max(LEAST, self._mean + DEVIATIONS * self._deviation))

    def came(self, gap: float) -> None:
        """An item came so long after the one before it, with which it could share a call."""
        if self._mean is None:
            self._mean, self._deviation = gap, gap / 2
            return
        error = gap - self._mean
        self._mean += OF_MEAN * error
        self._deviation += OF_DEVIATION * (abs(error) - self._deviation)

    def in_vain(self, longest: float) -> None:
        """An item waited, and no other came."""
        if self._mean is None:
            self._mean = self._deviation = longest / (1 + DEVIATIONS)
        self._mean /= 2
        self._deviation /= 2
