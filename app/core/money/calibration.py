"""Tokens per byte, the length of answers and their duration, estimated from a tenant's own ledger.

Without a history they are estimated from general figures for tokenizers, and from `max_tokens`.
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

MAX_JOBS = 200  # of the model, the newest first: their prompts are compared
MAX_ANSWERS = 1_000
ENOUGH_ANSWERS = 20  # a job with fewer is used only where none has as many

# Bytes of English prose per token with the tokenizers before Opus 4.7; later ones make about 30 % more tokens
# of the same text. Tables, code and other scripts make more, plain words fewer.
BYTES_PER_TOKEN = 3.5
NEWER_TOKENIZERS = 1.3
FRAME_TOKENS = 8.0  # of a request with one message, whatever its content

SHORT_ANSWER = 5  # tokens: a word or a number
LIKELY_SHARE = 0.25  # of `max_tokens`, which is mostly set higher than any answer should reach
FIRST_TOKEN, TOKENS_A_SECOND = 1.0, 60.0  # of a large model; seconds to the first token, and rate after it

SAME_REQUEST, SAME_MODEL = "same_request", "same_model"

_OLDER = re.compile(r"simulated|claude-(3|haiku-[34]|sonnet-[34]|opus-3|opus-4(?!-[789]))")


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure of each answer: the 5th percentile, the mean and the 95th percentile."""

    low: float
    likely: float
    high: float


GUESSED = Spread(0.6, 1.0, 2.0)  # factors of the likely tokens: for plain words; for code and other scripts


@dataclass(frozen=True, slots=True)
class Line:
    """The tokens of a request as a linear function of its size."""

    fixed: float
    per_byte: float

    def tokens(self, size: float, requests: int = 1) -> float:
        """The tokens of `requests` requests with `size` bytes of content in total."""
        return requests * self.fixed + size * self.per_byte


@dataclass(frozen=True, slots=True)
class Mix:
    """How input is priced: the share of each kind of token, adding up to 1, and searches per call."""

    shares: Mapping[str, float] = field(default_factory=lambda: {"input_tokens": 1.0})
    searches: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """`job` is the job used, `same` what it has in common with the new one; both None without a history."""

    line: Line
    off: Spread  # how far the tokens of requests deviate from that line: factors around 1
    output_tokens: Spread | None  # None: unknown, up to `max_tokens`
    longest_known: bool  # whether no answer was cut off and the new ones will be of the same length
    seconds: Spread | None  # None: derived from the output
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
    """From the tenant's newest job with the same request, else its newest of the model, else by default."""
    if not defaults.messages:
        return WITHOUT_TOKENS
    jobs = _jobs(session, tenant_id, defaults)
    for same in (SAME_REQUEST, SAME_MODEL):
        fitting = [job for job in jobs if same == SAME_MODEL or job.same_request]
        enough = (job for job in fitting if job.succeeded >= ENOUGH_ANSWERS)
        job = next(enough, None) or max(fitting, key=lambda job: job.succeeded, default=None)
        samples = [] if job is None else _samples(session, tenant_id, job.id, defaults.model)
        if job is not None and samples:
            return from_samples(samples, job.uid, same, job.max_tokens)
    return by_default(defaults.model)


def _jobs(session: Session, tenant_id: int, defaults: Defaults) -> Sequence[Row[*tuple[Any, ...]]]:
    """The newest jobs of the model that have answers, and whether they made the same request."""
    newest = (
        select(Job.id)
        .where(
            Job.tenant_id == tenant_id,
            Job.model == defaults.model,
            Job.status != JobStatus.STAGING,
            Job.deleted_at.is_(None),
        )
        .order_by(Job.uid.desc())
        .limit(MAX_JOBS)
        .subquery()
    )
    return session.execute(
        select(
            Job.id,
            Job.uid,
            (JobCounts.succeeded - Job.reused).label("succeeded"),
            JobSpec.max_tokens,
            _same_request(defaults).label("same_request"),
        )
        .join(newest, newest.c.id == Job.id)
        .join(JobCounts, JobCounts.job_id == Job.id)
        .join(JobSpec, JobSpec.job_id == Job.id)
        # The bytes of documents do not predict the tokens of texts.
        .where(Job.tenant_id == tenant_id, JobCounts.succeeded > Job.reused, JobSpec.prompt.is_(None))
        .order_by(Job.uid.desc())
    ).all()


def _same_request(defaults: Defaults) -> ColumnElement[bool]:
    """Whether a job's request parts are equal, as a submission stores them."""
    schema = None if defaults.schema is None else json.dumps(defaults.schema).encode()
    return and_(
        JobSpec.template.is_not_distinct_from(defaults.template),
        JobSpec.system.is_not_distinct_from(defaults.system),
        JobSpec.schema.is_not_distinct_from(schema),
        JobSpec.params == json.dumps(dict(defaults.params)).encode(),
    )


def _samples(session: Session, tenant_id: int, job_id: int, model: str) -> list[Sample]:
    """Roughly the newest answers: the key finds records by index, in which order they are asked."""
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
        .limit(MAX_ANSWERS)
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
    """A calibration by these answers; `max_tokens` is their job's, at which longer answers were cut off."""
    line = _line(samples)
    output = _spread([sample.tokens.output_tokens for sample in samples])
    times = [sample.seconds for sample in samples if sample.seconds is not None]
    return Calibration(
        line=line,
        off=_spread([sample.input / line.tokens(sample.content_bytes) for sample in samples], mean=1.0),
        output_tokens=output,
        longest_known=same == SAME_REQUEST and output.high < max_tokens,
        seconds=_spread(times) if times else None,
        mix=_mix(samples),
        job=job,
        same=same,
        answers=len(samples),
    )


def by_default(model: str) -> Calibration:
    """A calibration for texts of any kind."""
    factor = 1.0 if _OLDER.match(model) else NEWER_TOKENIZERS
    line = Line(FRAME_TOKENS, factor / BYTES_PER_TOKEN)
    return Calibration(line, GUESSED, output_tokens=None, longest_known=False, seconds=None)


def _line(samples: Sequence[Sample]) -> Line:
    """The line of least squares; without enough different sizes, the one through the origin."""
    count = len(samples)
    size = sum(sample.content_bytes for sample in samples)
    tokens = max(1, sum(sample.input for sample in samples))
    variance = sum(sample.content_bytes**2 for sample in samples) * count - size**2
    if count >= ENOUGH_ANSWERS and variance > 0:
        products = sum(sample.content_bytes * sample.input for sample in samples)
        per_byte = (products * count - size * tokens) / variance
        fixed = (tokens - per_byte * size) / count
        if per_byte > 0 and fixed >= 0:
            return Line(fixed, per_byte)
    return Line(0.0, tokens / size)


def _spread(values: Sequence[float], mean: float | None = None) -> Spread:
    """The 5th and 95th percentiles, and between them the mean, unless it is given."""
    ordered = sorted(values)
    likely = sum(ordered) / len(ordered) if mean is None else mean
    margin = len(ordered) // 20
    return Spread(min(ordered[margin], likely), likely, max(ordered[-1 - margin], likely))


def _mix(samples: Sequence[Sample]) -> Mix:
    tokens = sum(sample.input for sample in samples)
    searches = sum(sample.searches for sample in samples) / len(samples)
    if not tokens:
        return Mix(searches=searches)
    kinds = [kind for kind in KINDS if kind != "output_tokens"]
    shares = {kind: sum(getattr(sample.tokens, kind) for sample in samples) / tokens for kind in kinds}
    return Mix(shares, searches)
