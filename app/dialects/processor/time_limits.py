"""A batch's time limit: the one that applies, and a warning where it is too short."""

from app.core.reading.forecast import Forecast

SHORTEST_MS, LONGEST_MS = 100, 300_000
INPUTS_MS = 5_000  # of inputs that set none; prompts, whose calls take seconds, have the longest


def of(kind: str, asked: int | None) -> int:
    """The time limit of a batch of this kind, in ms from its first call; `asked` is its own, if any."""
    if asked is not None:
        return asked
    return LONGEST_MS if kind == "prompt" else INPUTS_MS


def warning(expected: Forecast) -> str | None:
    """That the batch is estimated to take longer than it may, and what to do; None if it is not."""
    takes, limit = expected.takes_ms, expected.limit_ms
    if takes is None or limit is None or takes <= limit:
        return None
    larger = "" if limit == LONGEST_MS else f"give a larger timeout_ms (up to {LONGEST_MS:,}), or "
    return (
        f"The batch is estimated to take {takes:,} ms from its first call, and its time limit is {limit:,}"
        f" ms: items that have not ended by then expire. To have all of them answered, {larger}submit fewer"
        " items at a time."
    )
