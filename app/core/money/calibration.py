"""How many tokens a byte makes, how long answers get and how long they take: from a tenant's own ledger.

Without a history, from what is known of tokenizers, and from `max_tokens`.
"""

import datetime as dt
import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, select
from sqlalchemy.orm import Session

from app.core.money.ledger import ANSWERED
from app.ingest.draft import Defaults
from app.ingest.tally import content_bytes
from app.providers.client import KINDS, Tokens
from models.job import Job, JobCounts, JobSpec, JobStatus
from models.record import Attempt, Record

JOBS_LOOKED_AT = 200  # of the model, the newest first: their prompts are compared
ANSWERS_LOOKED_AT = 1_000
ENOUGH_ANSWERS = 20  # a job with fewer calibrates only where none has as many

# Bytes of English prose that make a token with the tokenizers before Opus 4.7; those since make about 30 %
# more tokens of the same text. Tables, code and other scripts make more, plain words fewer.
BYTES_PER_TOKEN = 3.5
NEWER_TOKENIZERS = 1.3
FRAME_TOKENS = 8.0  # of a request with one message, whatever it says

SHORT_ANSWER = 5  # tokens: a word or a number
LIKELY_SHARE = 0.25  # of `max_tokens`, which is mostly set to what no answer should reach
FIRST_TOKEN, TOKENS_A_SECOND = 1.0, 60.0  # of a large model; seconds, and tokens after that

SAME_REQUEST, SAME_MODEL = "same_request", "same_model"

_OLDER = re.compile(r"simulated|claude-(3|haiku-[34]|sonnet-[34]|opus-3|opus-4(?!-[789]))")


@dataclass(frozen=True, slots=True)
class Spread:
    """Of each answer: as in the least twentieth, on average, as in the greatest twentieth."""

    low: float
    likely: float
    high: float


GUESSED = Spread(0.6, 1.0, 2.0)  # times the likely tokens: plain words; code and other scripts


@dataclass(frozen=True, slots=True)
class Line:
    """Tokens of a request by its size."""

    fixed: float
    per_byte: float

    def tokens(self, size: float, requests: int = 1) -> float:
        """Of `requests` that have `size` bytes of content together."""
        return requests * self.fixed + size * self.per_byte


@dataclass(frozen=True, slots=True)
class Mix:
    """How input is priced: shares of the kinds of its tokens, which add up to 1, and searches for a call."""

    shares: Mapping[str, float] = field(default_factory=lambda: {"input_tokens": 1.0})
    searches: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """`job` is what it was taken from, `same` what that job has in common; both None without a history."""

    line: Line
    off: Spread  # how far the tokens of requests are off that line: factors around 1
    output_tokens: Spread | None  # None: nobody knows; up to `max_tokens`
    longest_known: bool  # whether no answer was cut, and the next are as long as these
    seconds: Spread | None  # None: as long as the output takes
    mix: Mix = field(default_factory=Mix)
    job: uuid.UUID | None = None
    same: str | None = None
    answers: int = 0


# Items of an inference server are not counted in tokens.
WITHOUT_TOKENS = Calibration(
    Line(0.0, 0.0), GUESSED, output_tokens=Spread(0, 0, 0), longest_known=True, seconds=None
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered call."""

    content_bytes: int
    tokens: Tokens
    searches: int
    seconds: float | None

    @property
    def input(self) -> int:
        return self.tokens.prompt_tokens


def calibrate(session: Session, tenant_id: int, defaults: Defaults) -> Calibration:
    """By the newest job of this tenant that asked the same, else the newest of the model, else by default."""
    if defaults.inputs:
        return WITHOUT_TOKENS
    jobs = _jobs(session, tenant_id, defaults)
    for same in (SAME_REQUEST, SAME_MODEL):
        fitting = [job for job in jobs if same == SAME_MODEL or job.asks_the_same]
        enough = (job for job in fitting if job.succeeded >= ENOUGH_ANSWERS)
        job = next(enough, None) or max(fitting, key=lambda job: job.succeeded, default=None)
        samples = [] if job is None else _samples(session, tenant_id, job.id, defaults.model)
        if job is not None and samples:
            return from_samples(samples, job.uid, same, job.max_tokens)
    return by_default(defaults.model)


def _jobs(session: Session, tenant_id: int, defaults: Defaults) -> Sequence[Row[*tuple[Any, ...]]]:
    """The newest jobs of the model that have answers, and whether they asked in the same way."""
    newest = (
        select(Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.model == defaults.model,
            Job.status != JobStatus.STAGING,
            Job.deleted_at.is_(None),
        )
        .order_by(Job.uid.desc())
        .limit(JOBS_LOOKED_AT)
        .subquery()
    )
    return session.execute(
        select(
            Job.id,
            Job.uid,
            JobCounts.succeeded,
            JobSpec.max_tokens,
            _asks_the_same(defaults).label("asks_the_same"),
        )
        .join(newest, newest.c.id == Job.id)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .join(JobSpec, JobSpec.job_id == Job.id)
        # A document's bytes are no measure of a text's tokens.
        .where(Job.tenant_id == tenant_id, JobCounts.succeeded > 0, JobSpec.prompt.is_(None))
        .order_by(Job.uid.desc())
    ).all()


def _asks_the_same(defaults: Defaults) -> ColumnElement[bool]:
    """Whether a job's parts are equal, as a submission writes them."""
    schema = None if defaults.schema is None else json.dumps(defaults.schema).encode()
    return and_(
        JobSpec.template.is_not_distinct_from(defaults.template),
        JobSpec.system.is_not_distinct_from(defaults.system),
        JobSpec.schema.is_not_distinct_from(schema),
        JobSpec.params == json.dumps(dict(defaults.params)).encode(),
    )


def _samples(session: Session, tenant_id: int, job_id: int, model: str) -> list[Sample]:
    """The newest answers, nearly: records are asked in their order, in which the key finds them."""
    rows = session.execute(
        select(Attempt, Record.request_bytes)
        .join(Record, and_(Record.job_id == Attempt.job_id, Record.idx == Attempt.idx))
        .where(
            Attempt.job_id == job_id,
            Attempt.tenant_id == tenant_id,
            Attempt.model == model,
            Attempt.outcome == ANSWERED,
            Attempt.output_tokens > 0,
        )
        .order_by(Attempt.idx.desc(), Attempt.attempt.desc())
        .limit(ANSWERS_LOOKED_AT)
    )
    return [_sample(attempt, request_bytes) for attempt, request_bytes in rows]


def _sample(attempt: Attempt, request_bytes: int) -> Sample:
    started: dt.datetime | None = attempt.started_at
    return Sample(
        content_bytes=content_bytes(request_bytes),
        tokens=Tokens(**{kind: getattr(attempt, kind) for kind in KINDS}),
        searches=(attempt.server_tool_uses or {}).get("web_search_requests", 0),
        seconds=None if started is None else max(0.0, (attempt.ended_at - started).total_seconds()),
    )


def from_samples(samples: Sequence[Sample], job: uuid.UUID, same: str, max_tokens: int) -> Calibration:
    """What these answers say; `max_tokens` is what their job allowed, at which longer ones were cut."""
    line = _line(samples)
    output = _spread([one.tokens.output_tokens for one in samples])
    times = [one.seconds for one in samples if one.seconds is not None]
    return Calibration(
        line=line,
        off=_spread([one.input / line.tokens(one.content_bytes) for one in samples], mean=1.0),
        output_tokens=output,
        longest_known=same == SAME_REQUEST and output.high < max_tokens,
        seconds=_spread(times) if times else None,
        mix=_mix(samples),
        job=job,
        same=same,
        answers=len(samples),
    )


def by_default(model: str) -> Calibration:
    """What is likely of any text."""
    factor = 1.0 if _OLDER.match(model) else NEWER_TOKENIZERS
    line = Line(FRAME_TOKENS, factor / BYTES_PER_TOKEN)
    return Calibration(line, GUESSED, output_tokens=None, longest_known=False, seconds=None)


def _line(samples: Sequence[Sample]) -> Line:
    """The line of least squares; without sizes enough to draw it, the one through nothing."""
    count = len(samples)
    size, tokens = sum(one.content_bytes for one in samples), max(1, sum(one.input for one in samples))
    wide = sum(one.content_bytes**2 for one in samples) * count - size**2
    if count >= ENOUGH_ANSWERS and wide > 0:
        together = sum(one.content_bytes * one.input for one in samples) * count - size * tokens
        per_byte = together / wide
        fixed = (tokens - per_byte * size) / count
        if per_byte > 0 and fixed >= 0:
            return Line(fixed, per_byte)
    return Line(0.0, tokens / size)


def _spread(values: Sequence[float], mean: float | None = None) -> Spread:
    """Five and ninety-five of a hundred, and between them the mean, if it is not given."""
    ordered = sorted(values)
    likely = sum(ordered) / len(ordered) if mean is None else mean
    margin = len(ordered) // 20
    return Spread(min(ordered[margin], likely), likely, max(ordered[-1 - margin], likely))


def _mix(samples: Sequence[Sample]) -> Mix:
    tokens = sum(one.input for one in samples)
    searches = sum(one.searches for one in samples) / len(samples)
    if not tokens:
        return Mix(searches=searches)
    kinds = [kind for kind in KINDS if kind != "output_tokens"]
    return Mix({kind: sum(getattr(one.tokens, kind) for one in samples) / tokens for kind in kinds}, searches)
