"""What the sweep found and mended, one thing each, so that a person can be told which and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """`what` is the word of the log's sums, `why` a sentence; `count` is of records, rows or keys."""

    what: str
    why: str
    job_id: int | None = None
    count: int = 1
