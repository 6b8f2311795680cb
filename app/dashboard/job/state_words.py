"""The states of a job's time for people: their names, what each means, and to which group it belongs."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.core.reading.course.time_spent import UNMEASURED
from app.core.timeline import states

QUEUE, PERMITS, PROVIDER, STORAGE, STILL = "queue", "permits", "provider", "storage", "still"
GROUPS = {
    QUEUE: "In the queue",
    PERMITS: "Waiting for permits",
    PROVIDER: "At the provider",
    STORAGE: "Waiting for storage",
    STILL: "Standing still",
}


@dataclass(frozen=True, slots=True)
class Words:
    group: str
    label: str
    meaning: str


WORDS: Mapping[str, Words] = {
    states.STORING: Words(QUEUE, "Being stored", "Its records were checked and written to the database."),
    states.QUEUE: Words(QUEUE, "Waiting for its turn", "Its records waited until a worker began with them."),
    states.WORKERS: Words(
        QUEUE,
        "Waiting for workers",
        "No thread of a worker was free, or none ran, or one fell silent with its records. More slice workers"
        " make room.",
    ),
    states.FINISHING: Words(QUEUE, "Being finished", "Every record had ended; the sums were taken."),
    states.REQUESTS: Words(PERMITS, "Requests a minute", "As many calls left as its limit group allows."),
    states.INPUT_TOKENS: Words(
        PERMITS, "Input tokens a minute", "The limit of its group's input tokens was used up."
    ),
    states.OUTPUT_TOKENS: Words(
        PERMITS, "Output tokens a minute", "The limit of its group's output tokens was used up."
    ),
    states.CONCURRENCY: Words(
        PERMITS, "Calls at a time", "As many calls were in flight as the job, or its group, may have."
    ),
    states.CAP: Words(PERMITS, "Its cost cap", "The next call did not fit under a cap. Raising it goes on."),
    states.PROVIDER: Words(
        PROVIDER, "Answers under way", "Calls were in flight, and nothing else held the job back."
    ),
    states.OUTAGE: Words(
        PROVIDER,
        "Provider not serving",
        "The provider refused calls, and all waited before a new try.",
    ),
    states.ACCOUNT: Words(
        PROVIDER,
        "Account refused",
        "The provider refused the account: its key, credit or spend limit.",
    ),
    states.CONFIGURATION: Words(
        PROVIDER, "Wrong address", "What was asked is not the provider's API, or not reachable as configured."
    ),
    states.RETRIES: Words(
        PROVIDER,
        "Between two tries",
        "What was left had failed once, and waited for its next call.",
    ),
    states.STORAGE: Words(STORAGE, "Database", "Answers waited to be written; no call left meanwhile."),
    states.REDIS: Words(STORAGE, "Redis", "Without Redis there are no permits, so no calls."),
    states.PAUSED: Words(STILL, "Paused", "By its owner, or by Penstock for the reason that the job shows."),
    states.CLOSING: Words(STILL, "Being closed", "It was cancelled or expired; its last calls were ended."),
    states.ENDED: Words(STILL, "At rest", "It had ended, and was retried later."),
    states.STOPPED: Words(STILL, "Penstock stopped", "No control worker ran."),
    UNMEASURED: Words(STILL, "Not measured", "By a release that did not keep a job's time."),
}


def of(state: str) -> Words:
    """Also of a state that a later release has written."""
    return WORDS.get(state, Words(STILL, state.replace("_", " "), ""))
