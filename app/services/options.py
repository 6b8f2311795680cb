"""What a caller says of a job besides its records and their defaults."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.ingest.forms.table_form import TableForm


@dataclass(frozen=True, slots=True)
class Repeat:
    """What identifies a submission when it is sent again."""

    key: str
    fingerprint: bytes  # a 32-byte digest of its content
    within: int | None = None  # seconds since the earlier one, at most; None: while its key is kept


@dataclass(frozen=True, slots=True)
class FileTerms:
    """What the caller said of a batch that is made of a file of requests."""

    endpoint: str
    input_file: str | None  # its id; None: the requests came with the call
    completion_window: str
    output_seconds: int | None = None  # after the batch's end, while its output can be read
    mixed: bool = False  # some of its lines have another url than `endpoint`


@dataclass(frozen=True, slots=True)
class Options:
    """A caller's options for a job besides its records and their defaults."""

    name: str | None = None
    priority: int = 5
    urgency: str | None = None  # puts it in the priority queue; see `models.job.Job`
    time_limit_ms: int | None = None  # counts from its first call
    label: str | None = None  # the caller's own name for it, which finds it as its id does
    max_concurrent: int | None = None  # calls in flight, across all workers, if lower than configured
    retries: int | None = None
    max_cost: int | None = None  # pico-dollars
    expires_in: int | None = None  # seconds
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str | None = None  # told when the job has ended
    columns: Sequence[str] | None = None  # of the table that was submitted
    asks: Sequence[str] | None = None  # names of the prompts that each of its rows is asked
    form: TableForm | None = None  # in which its results are given back
    skipped: Sequence[int] | None = None  # numbers of the table's rows that are not asked
    notes: Sequence[str] = ()  # what the owner should know of how the table was read
    runs_with: str | None = None  # the command with which it is paused
    attended: str | None = None  # a caller waits for its only answer: see `models.job.Job`
    # The id of an earlier job whose answers to equal requests are taken over; or a number of days, within
    # which any job's are that had one, too.
    reuse: str | int | None = None
    dedupe: bool = False  # equal requests are asked once
    try_first: int | None = None  # records that are asked before it pauses
    file_terms: FileTerms | None = None
    repeat: Repeat | None = None
