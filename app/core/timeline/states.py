"""What a job's time is spent on: exactly one state at any moment, from its first row to its end."""

from dataclasses import dataclass

from models.job import JobStatus

STORING = "storing"  # its records are being stored
QUEUE = "queue"  # records wait for their turn: to be offered, and begun by a slice
WORKERS = "workers"  # for a thread of a worker, or for one in place of a worker that fell silent
REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = "requests", "input_tokens", "output_tokens"
CONCURRENCY = "concurrency"  # calls in flight, of the job or of its group
CAP = "cap"  # its cost cap, or its tenant's, has no room for the next call
ACCOUNT = "account"  # the provider refuses the account
OUTAGE = "outage"  # the provider refused calls and serves none for a while
CONFIGURATION = "configuration"  # its address, or a setting, is wrong
RETRIES = "retries"  # nothing is in flight, and what failed waits for its next call
PROVIDER = "provider"  # calls are in flight, and nothing but their answers is waited for
STORAGE = "storage"  # answers wait for the database
REDIS = "redis"  # there are no permits without it
FINISHING = "finishing"  # every record has ended; the job itself is being ended
PAUSED = "paused"
CLOSING = "closing"  # cancelled or expired: calls in flight are being ended
ENDED = "ended"  # at rest between an end and a retry
STOPPED = "stopped"  # no control worker ran

# Of `limited_by`, which may go on behind a colon.
_WORDS = {
    word: word
    for word in (
        REQUESTS,
        INPUT_TOKENS,
        OUTPUT_TOKENS,
        CONCURRENCY,
        CAP,
        ACCOUNT,
        CONFIGURATION,
        STORAGE,
        REDIS,
        WORKERS,
    )
} | {"provider": OUTAGE}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is seen of a job that is pending or running."""

    word: str | None  # its `limited_by`
    unended: int  # records
    claimed: int  # of these: they are in some worker's hands
    lost: int  # of these: that worker has fallen silent
    is_delayed: bool  # what is not claimed waits for a named time
    has_workers: bool


def after(status: JobStatus) -> str:
    """The state in which a job is when it takes a status, until more is known."""
    if status in (JobStatus.PENDING, JobStatus.RUNNING):
        return QUEUE
    if status == JobStatus.PAUSED:
        return PAUSED
    return CLOSING if status == JobStatus.CANCELLING else ENDED


def seen(facts: Facts) -> str:
    """What holds the job now.

    A limit is what the limiter said last, up to three seconds ago: it counts while a record is left to start.
    """
    if not facts.unended:
        return FINISHING
    if facts.claimed and facts.claimed == facts.lost:
        return WORKERS
    word = None if facts.word is None else _WORDS.get(facts.word.partition(":")[0])
    if facts.claimed == facts.unended:
        return word if word in (STORAGE, REDIS) else PROVIDER
    if word is not None:
        return word
    return PROVIDER if facts.claimed else _before_a_claim(facts)


def _before_a_claim(facts: Facts) -> str:
    if not facts.has_workers:
        return WORKERS
    return RETRIES if facts.is_delayed else QUEUE
